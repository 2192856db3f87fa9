"""Compiled searches of small models against searches in Python over LAPACK."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit import small
from mixedfit.criterion import Criterion
from mixedfit.crossprod import with_response
from mixedfit.estimate import estimate
from mixedfit.newton import Responses, can_search, search_responses

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


def new_responses(fit: Any, count: int) -> list[Any]:
    """Return cross-products of the fit's design with responses on other scales."""
    rng = np.random.default_rng(8)
    design = fit._fit.design
    out = []
    for r in range(count):
        y = 10.0**r * (design.y + 0.3 * rng.normal(size=design.n))
        out.append(with_response(fit._fit.cross, design.with_response(y)))
    return out


@pytest.mark.parametrize("sigma", [None, 0.7])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", MODELS.values(), ids=MODELS)
def test_search_of_many_responses_must_end_where_each_fit_ends(
    formula: str, reml: bool, sigma: float | None, data: pd.DataFrame
) -> None:
    fit = mf.lmm(formula, data).fit(reml=reml)
    crosses = new_responses(fit, 4)
    structures = tuple(block.structure for block in fit._fit.design.blocks)
    criterion = Criterion(fit._fit.cross, structures, reml, sigma, canonical=True)
    assert can_search(criterion)
    start = np.concatenate([s.start for s in structures])
    responses = Responses(
        np.stack([c.first.border[:, :, -1] for c in crosses]),
        np.stack([c.gram[-1] for c in crosses]),
        np.array([c.fixed.scale for c in crosses]),
    )
    ends = search_responses(criterion, start, responses, LIMITS)
    with patch.object(small, "SMALL_COLUMNS", 0):
        for r, cross in enumerate(crosses):
            expected = estimate(cross, structures, reml=reml, sigma=sigma)
            if not (ends.reached[r] and np.abs(ends.x[r, criterion.diagonal]).min() > 1e-3):
                assert sigma is not None or expected.convergence.status == "boundary"
                continue
            assert ends.value[r] == pytest.approx(expected.evaluation.value, rel=1e-10, abs=1e-8)
            assert ends.prss[r] == pytest.approx(expected.evaluation.tail.prss, rel=1e-6)
            inside = Criterion(cross, structures, reml, sigma, canonical=True)(ends.x[r])
            assert inside.value == pytest.approx(ends.value[r], rel=1e-12)
            assert ends.decrement[r] < 1e-9


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


def test_many_searches_must_be_refused_when_compiled_code_cannot_take_the_model(data: pd.DataFrame) -> None:
    fit = mf.lmm("y ~ x + (1 | g)", data).fit()
    structures = tuple(block.structure for block in fit._fit.design.blocks)
    with patch.object(small, "SMALL_COLUMNS", 0):
        criterion = Criterion(fit._fit.cross, structures, True, None, canonical=True)
        nothing = Responses(np.zeros((0, 12, 1)), np.zeros((0, 3)), np.zeros(0))
        with pytest.raises(ValueError, match="can_search"):
            search_responses(criterion, np.ones(1), nothing, LIMITS)
