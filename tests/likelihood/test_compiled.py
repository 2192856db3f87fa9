"""Compiled searches of small models against searches in Python over LAPACK."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.likelihood import compiled as small

LIMITS = (1e-9, 1e-18, 100)

MODELS = {
    "one effect": "y ~ x + (1 | g)",
    "two effects": "y ~ x + (x | g)",
    "three effects": "y ~ x + (x + z | g)",
    "uncorrelated": "y ~ x + (x || g)",
    "crossed": "y ~ x + (1 | g) + (1 | h)",
    "slopes in the factor with fewer levels": "y ~ x + (1 | h) + (x + z | g)",
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """240 rows, 12 groups g, 15 groups h; all effects matter."""
    rng = np.random.default_rng(5)
    g, h = rng.integers(12, size=240), rng.integers(15, size=240)
    x, z = rng.normal(size=(2, 240))
    effects = rng.normal(size=(3, 12))[:, g]
    y = effects[0] + effects[1] * x + effects[2] * z + rng.normal(size=15)[h] + 0.5 * rng.normal(size=240)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g, "h": h})


@pytest.mark.parametrize("formula", MODELS.values(), ids=MODELS)
def test_compiled_fit_must_equal_one_over_lapack(formula: str, data: pd.DataFrame) -> None:
    fit = mf.lmm(formula, data).fit()
    with patch.object(small, "SMALL_COLUMNS", 0):
        slow = mf.lmm(formula, data).fit()
        np.testing.assert_allclose(slow.theta, fit.theta, rtol=1e-6)
        np.testing.assert_allclose(slow.cov_params(), fit.cov_params(), rtol=1e-6)
        for group in fit.random_effects:
            expected = slow.random_effects_cov[group]
            np.testing.assert_allclose(fit.random_effects_cov[group], expected, rtol=1e-5, atol=1e-8)
        assert slow.reml_criterion == pytest.approx(fit.reml_criterion, rel=1e-12)
        assert slow.deviance == pytest.approx(fit.deviance, rel=1e-12)
