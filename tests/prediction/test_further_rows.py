"""Responses drawn for further rows, and means where several fixed factors go by codes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from problems import computing

import mixedfit as mf


def test_responses_of_a_new_group_must_have_the_marginal_covariance() -> None:
    """zΩz' + σ² with Ω = σ²λλᵀ. The rival draws b from λᵀλ, as good where effects are uncorrelated only."""
    rng = np.random.default_rng(6)
    group, x = np.repeat(np.arange(20), 5), np.tile(np.arange(5.0), 20)
    b = rng.normal(size=(20, 2)) @ np.array([[2.0, -1.6], [0.0, 0.6]])
    y = b[group, 0] + b[group, 1] * x + rng.normal(size=100)
    fit = mf.lmm("y ~ x + (x | g)", {"y": y, "x": x, "g": group}).fit()
    rows = pd.DataFrame({"x": [0.0, 1.0, 3.0, 3.0], "g": [900, 900, 900, 901]})
    drawn = fit.simulate(8000, seed=1, newdata=rows, new_levels="marginal").to_numpy()
    z = np.column_stack([np.ones(4), rows["x"]])
    same = rows["g"].to_numpy()[:, None] == rows["g"].to_numpy()
    omega, lam = fit.cov_re["g"].to_numpy(), fit._fit.lam[0]
    covariance = np.where(same, z @ omega @ z.T, 0.0) + fit.scale * np.eye(4)
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((drawn.mean(axis=1) - z @ fit.params) / scale).max() < 5 / np.sqrt(8000)
    error = np.sqrt((covariance**2 + np.outer(scale, scale) ** 2) / 8000)
    assert np.abs((np.cov(drawn) - covariance) / error).max() < 5
    rival = np.where(same, fit.scale * z @ lam.T @ lam @ z.T, 0.0) + fit.scale * np.eye(4)
    assert np.abs((rival - covariance) / error).max() > 50


def test_means_must_be_those_of_the_columns_when_two_fixed_factors_go_by_codes() -> None:
    """Xβ̂ with X written out. The rival looks for the second factor's coefficients one place too far on."""
    rng = np.random.default_rng(8)
    one, other, group = rng.integers(0, 5, 80), rng.integers(0, 6, 80), np.repeat(np.arange(10), 8)
    frame = pd.DataFrame({"x": rng.normal(size=80), "a": one.astype(str), "b": other.astype(str), "g": group})
    frame["y"] = frame["x"] + one - 2.0 * other + rng.normal(size=80)
    with computing("dense"):
        fit = mf.lmm("y ~ x + a + b + (1 | g)", frame).fit()
    assert len(fit._fit.design.many) == 2
    X = np.column_stack(
        [np.ones(80), frame["x"], one[:, None] == np.arange(1, 5), other[:, None] == np.arange(1, 6)]
    )
    expected = X @ fit.params.to_numpy()
    np.testing.assert_allclose(fit.predict(frame, re_form="none"), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fit.predict(re_form="none"), expected, rtol=1e-9, atol=1e-9)
