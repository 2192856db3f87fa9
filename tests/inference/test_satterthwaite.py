"""Satterthwaite's degrees of freedom of F tests."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfit as mf


def test_f_test_must_have_two_degrees_of_freedom_when_one_contrast_has_fewer() -> None:
    """Two balanced groups: the mean has 2 − 1 degrees of freedom, the slope within groups 20 − 2 − 1.

    Fai and Cornelius' expected value does not exist at ν ≤ 2; lmerTest's get_Fstat_ddf returns 2. The rival does so
    only where no contrast has more than 2.
    """
    rng = np.random.default_rng(2)
    x, group = np.tile(np.arange(10) - 4.5, 2), np.repeat([0, 1], 10)
    y = 3.0 * group + 0.2 * x + rng.normal(size=20)
    fit = mf.lmm("y ~ x + (1 | g)", {"y": y, "x": x, "g": group}).fit()
    assert fit.varcorr["vcov"].iloc[0] > 0
    alone = [fit.t_test(name).table["df"].iloc[0] for name in ("(Intercept)", "x")]
    assert alone == pytest.approx([1.0, 17.0], rel=1e-5)
    assert fit.f_test(["(Intercept)", "x"]).df_denom == 2.0


def test_f_test_must_match_the_mean_of_independent_t_statistics() -> None:
    """ν = 2E/(E − q) with E = Σ ν_i/(ν_i − 2): Fai & Cornelius (1996). The rivals: least, mean and largest ν_i."""
    rng = np.random.default_rng(3)
    x, group = np.tile(np.arange(4) - 1.5, 6), np.repeat(np.arange(6), 4)
    y = 2.0 * rng.normal(size=6)[group] + rng.normal(size=24)
    fit = mf.lmm("y ~ x + (1 | g)", {"y": y, "x": x, "g": group}).fit()
    first, second = 5.0, 24.0 - 6.0 - 1.0
    expected = first / (first - 2) + second / (second - 2)
    expected = 2 * expected / (expected - 2)
    assert min(abs(expected - rival) for rival in (5.0, 11.0, 17.0)) > 0.5
    assert fit.f_test(["(Intercept)", "x"]).df_denom == pytest.approx(expected, rel=1e-5)
