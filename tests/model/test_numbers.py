"""Numbers with a closed form that are easily wrong by a factor or a sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def fit() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


def test_corrected_criterion_must_be_that_of_hurvich_and_tsai() -> None:
    """AICc = AIC + 2k(k + 1)/(n − k − 1); few rows tell n − k − 1 from n − k."""
    frame = mf.load_dataset("Dyestuff")[:10]
    small = mf.lmm("Yield ~ 1 + (1 | Batch)", frame).fit(reml=False)
    assert (small.n_parameters, small.nobs) == (3, 10)
    assert small.aicc - small.aic == pytest.approx(2 * 3 * 4 / (10 - 3 - 1))


def test_saved_fit_must_keep_a_residual_deviation_that_was_held(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"y": [0.3, 0.5, -0.1, 0.2, 0.9, 0.4], "v": [0.1, 0.2, 0.15, 0.1, 0.3, 0.2], "s": list("abcdef")}
    )
    held = mf.lmm("y ~ 1 + (1 | s)", frame, weights=1 / frame["v"]).fit(sigma=1)
    held.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert loaded.sigma == 1.0
    assert loaded.n_parameters == held.n_parameters == 2
    assert list(loaded.vcov_varpar().index) == [".sig01"]
    assert loaded.refit(frame["y"] + [0.1, -0.1, 0.2, 0.0, 0.1, -0.2]).sigma == 1.0


def test_delta_interval_of_a_correlation_must_be_that_of_fishers_z() -> None:
    results = fit()
    error = float(np.sqrt(results.vcov_varpar().loc[".sig02", ".sig02"]))
    rho = float(results.parameters("lme4")[".sig02"])
    z = np.arctanh(rho) + np.array([-1.0, 1.0]) * 1.959963984540054 * error / (1.0 - rho**2)
    row = results.tidy("ran_pars", conf_int=True).set_index("term").loc["cor__(Intercept).Days"]
    assert row[["conf.low", "conf.high"]].to_numpy(dtype=float) == pytest.approx(np.tanh(z), rel=1e-9)


def test_covariance_of_scaled_roots_must_be_the_delta_method_of_the_others() -> None:
    """Of Ω = LLᵀ with L = σλ: Ω₁₁ = L₁₁², Ω₂₁ = L₁₁L₂₁, Ω₂₂ = L₂₁² + L₂₂²."""
    results = fit()
    roots = results.vcov_varpar(scale="cholesky").to_numpy()
    a, b, c = results.sigma * results.theta.to_numpy()
    turned = np.array([[2 * a, 0, 0, 0], [b, a, 0, 0], [0, 2 * b, 2 * c, 0], [0, 0, 0, 1.0]])
    expected = results.vcov_varpar(scale="variance").to_numpy()
    assert turned @ roots @ turned.T == pytest.approx(expected, rel=1e-7, abs=1e-7 * np.abs(expected).max())


def test_nested_factors_must_be_named_inner_factor_first() -> None:
    frame = mf.load_dataset("Pastes")
    names = list(mf.lmm("strength ~ 1 + (1 | batch/cask)", frame).fit().ngroups)
    assert sorted(names) == ["batch", "cask:batch"]
    frame = frame.assign(lot=frame["batch"].cat.codes // 2)
    names = list(mf.lmm("strength ~ 1 + (1 | lot/batch/cask)", frame).fit().ngroups)
    assert sorted(names) == ["batch:lot", "cask:batch:lot", "lot"]


def test_weights_given_as_a_series_must_be_matched_by_the_index() -> None:
    frame = mf.load_dataset("sleepstudy")
    weights = pd.Series(1.0 + np.arange(len(frame)) % 4, index=frame.index)
    right = mf.lmm("Reaction ~ Days + (1 | Subject)", frame.assign(w=weights), weights="w").fit()
    shuffled = weights.sample(frac=1.0, random_state=1)
    again = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, weights=shuffled).fit()
    assert again.reml_criterion == pytest.approx(right.reml_criterion, rel=1e-12)


def test_refit_must_weight_the_rows_when_a_fixed_factor_has_many_levels() -> None:
    rng = np.random.default_rng(4)
    n = 1200
    frame = pd.DataFrame(
        {"x": rng.standard_normal(n), "f": rng.integers(0, 300, n).astype(str), "h": rng.integers(0, 15, n)}
    )
    frame["y"], frame["z"] = rng.standard_normal(n), rng.standard_normal(n) + 0.2 * frame["h"]
    frame["w"] = rng.uniform(0.5, 5.0, n)
    refitted = mf.lmm("y ~ x + f + (1 | h)", frame, weights="w").fit().refit(frame["z"])
    direct = mf.lmm("z ~ x + f + (1 | h)", frame, weights="w").fit()
    assert refitted.reml_criterion == pytest.approx(direct.reml_criterion, rel=1e-10)
    assert refitted.params.to_numpy() == pytest.approx(direct.params.to_numpy(), rel=1e-6, abs=1e-8)


def test_scaled_residuals_must_be_weighted_by_the_roots_of_the_weights() -> None:
    frame = mf.load_dataset("sleepstudy").assign(w=1.0 + np.arange(180) % 3)
    results = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, weights="w").fit()
    expected = (frame["Reaction"] - results.fittedvalues) * np.sqrt(frame["w"]) / results.sigma
    assert results.scaled_resid.to_numpy() == pytest.approx(expected.to_numpy())
    quartile = float(results.summary().residuals["3Q"])
    assert quartile == pytest.approx(np.quantile(expected, 0.75))
