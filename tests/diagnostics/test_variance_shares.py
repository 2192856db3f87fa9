"""R², intraclass correlations and their intervals; all are defined when a variance is 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dense_diagnostics import DESIGNS, dense, fitted, frame
from scipy.special import expit, logit, ndtri

import mixedfit as mf


@pytest.mark.parametrize("name", [n for n in DESIGNS if n != "offset"])
def test_shares_must_be_the_variances_of_the_rows(name: str) -> None:
    fit, slow = fitted(name), dense(name)
    found = fit.diagnostics.variance_shares
    fixed = np.var(fit._fit.fixed_part[slow.rows], ddof=1)
    random = fit.scale * (np.trace(slow.V) - np.trace(slow.R)) / len(slow.rows)
    residual = fit.scale * np.trace(slow.R) / len(slow.rows)
    assert found["variance"].iloc[0] == pytest.approx(fixed, rel=1e-9, abs=1e-12)
    assert found["variance"].iloc[1:-1].sum() == pytest.approx(random, rel=1e-9, abs=1e-12)
    assert found["variance"].iloc[-1] == pytest.approx(residual, rel=1e-9)
    total = fixed + random + residual
    r2, icc = fit.diagnostics.r_squared()["estimate"], fit.diagnostics.icc()["estimate"]
    assert r2["marginal"] == pytest.approx(fixed / total, abs=1e-9)
    assert r2["conditional"] == pytest.approx((fixed + random) / total, abs=1e-9)
    assert icc["adjusted"] == pytest.approx(random / (random + residual), abs=1e-9)
    assert icc["conditional"] == pytest.approx(random / total, abs=1e-9)
    assert icc.iloc[2:].sum() == pytest.approx(icc["adjusted"], abs=1e-9)


def test_r_squared_must_be_those_of_mumin() -> None:
    # MuMIn::r.squaredGLMM of the same model, as its documentation and many tutorials print it
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    found = fit.diagnostics.r_squared()["estimate"]
    assert found["marginal"] == pytest.approx(0.2786511, abs=5e-6)
    assert found["conditional"] == pytest.approx(0.7992199, abs=5e-6)
    omega = fit.varcorr["vcov"]  # the rival: the variance of the intercept for the mean over the rows
    fixed = fit.diagnostics.variance_shares["variance"]["fixed effects"]
    assert abs((fixed + omega[0]) / (fixed + omega[0] + fit.scale) - 0.7992199) > 1e-2


def test_offset_must_not_count_as_explained_variance() -> None:
    fit = fitted("offset")
    mean = fit._fit.fixed_part - frame("")["off"].to_numpy()
    assert fit.diagnostics.variance_shares["variance"].iloc[0] == pytest.approx(
        np.var(mean, ddof=1), rel=1e-12
    )


def test_shares_must_be_defined_when_a_variance_is_zero() -> None:
    diagnostics = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit().diagnostics
    assert (diagnostics.icc()["estimate"] == 0.0).all()
    assert (diagnostics.r_squared()["estimate"] == 0.0).all()
    assert diagnostics.icc("delta")[["lower", "upper"]].isna().all(axis=None)
    boot = diagnostics.icc("bootstrap", n=50, seed=1)
    assert (boot["lower"] == 0.0).all()
    assert (boot["upper"] > 0.0).all()
    pca = diagnostics.random_effects_pca
    assert pca["sd"].tolist() == [0.0]
    assert pca["proportion"].tolist() == [0.0]


def test_delta_interval_must_be_fishers_when_groups_are_balanced() -> None:
    # one-way, REML: F = MSB/MSW with var(log F) = 2/(m − 1) + 2/(m(k − 1)); logit(icc) = log((F − 1)/k)
    m, k = 6, 5
    table = mf.load_dataset("Dyestuff")
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", table).fit()
    means = table.groupby("Batch", observed=True)["Yield"].mean()
    between = k * means.var()
    within = table.groupby("Batch", observed=True)["Yield"].var().mean()
    f = between / within
    error = f / (f - 1.0) * np.sqrt(2.0 / (m - 1) + 2.0 / (m * (k - 1)))
    centre = np.log((f - 1.0) / k)
    for level in (0.9, 0.95):
        reach = ndtri(0.5 + level / 2) * error
        found = fit.diagnostics.icc("delta", level=level).loc["adjusted"]
        assert found["estimate"] == pytest.approx(expit(centre), rel=1e-6)
        np.testing.assert_allclose(
            found[["lower", "upper"]], expit([centre - reach, centre + reach]), rtol=1e-5
        )


@pytest.mark.parametrize("name", ["slopes", "crossed", "weights"])
def test_delta_interval_must_follow_from_the_joint_covariance(name: str) -> None:
    fit = fitted(name)
    inner = fit._fit
    covariance = fit.vcov_varpar(scale="variance", joint=True).to_numpy()
    weights = np.ones(inner.design.n) if inner.design.weights is None else inner.design.weights
    rows = fit.varcorr
    start = np.concatenate([rows["vcov"], fit.params])

    def ratios(values: np.ndarray) -> np.ndarray:
        beta = values[len(rows) :]
        fixed, random, at = np.var(inner.design.X @ beta, ddof=1), 0.0, 0
        for block in inner.design.blocks:
            omega = np.zeros((block.k, block.k))
            # varcorr has variances first, then covariances; vcov_varpar goes down the columns of the triangle
            columns, lower = np.triu_indices(block.k)
            omega[lower, columns] = omega[columns, lower] = values[at : at + lower.size]
            at += lower.size
            random += np.einsum("ik,kl,il->i", block.z, omega, block.z).mean()
        residual = values[at] * np.mean(1.0 / weights)
        total = fixed + random + residual
        return np.array([fixed / total, (fixed + random) / total])

    order, at = [], 0
    for block in inner.design.blocks:
        table = rows.iloc[at : at + block.k * (block.k + 1) // 2]
        columns, lower = np.triu_indices(block.k)
        for j, i in zip(columns, lower, strict=True):
            names = (block.effects[j], None if i == j else block.effects[i])
            match = [r for r in table.itertuples() if (r.var1, r.var2) == names]
            order.append(match[0].Index)
        at += len(table)
    values = np.concatenate([start[order], start[[len(rows) - 1]], fit.params])
    estimates = ratios(values)
    slopes = np.array(
        [
            (ratios(values + h * e) - ratios(values - h * e)) / (2 * h)
            for e in np.eye(values.size)
            for h in [1e-5]
        ]
    ).T
    errors = np.sqrt(np.diag(slopes @ covariance @ slopes.T)) / estimates / (1 - estimates)
    found = fit.diagnostics.r_squared("delta")
    np.testing.assert_allclose(found["estimate"], estimates, rtol=1e-9)
    np.testing.assert_allclose(
        logit(found["upper"]) - logit(found["estimate"]), ndtri(0.975) * errors, rtol=1e-5
    )


def test_bootstrap_interval_must_be_percentiles_of_the_replicates() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    found = fit.diagnostics.icc("bootstrap", n=60, seed=7, level=0.9).loc["adjusted"]
    theta = fit.bootstrap(60, seed=7).theta.to_numpy()[:, 0]
    wanted = np.quantile(theta**2 / (1.0 + theta**2), [0.05, 0.95])
    np.testing.assert_allclose(found[["lower", "upper"]], wanted, atol=1e-5)


def test_option_must_be_refused_when_it_is_not_known() -> None:
    diagnostics = fitted("slopes").diagnostics
    with pytest.raises(mf.ModelError, match=r"interval='boot'.*Did you mean 'bootstrap'\?"):
        diagnostics.icc("boot")  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="level is 95"):
        diagnostics.r_squared("delta", level=95)


def test_components_must_be_principal_components_of_the_covariance() -> None:
    fit = fitted("slopes")
    omega = fit._fit.omega[0]
    values, vectors = np.linalg.eigh(omega)
    table, loadings = fit.diagnostics.random_effects_pca, fit.diagnostics.random_effects_loadings
    np.testing.assert_allclose(table["sd"] ** 2, values[::-1], rtol=1e-10)
    np.testing.assert_allclose(table["cumulative"].iloc[-1], 1.0)
    for j in range(2):
        own = loadings.iloc[:, j].to_numpy()
        assert abs(own @ vectors[:, ::-1][:, j]) == pytest.approx(1.0, abs=1e-10)
        assert own[np.abs(own).argmax()] > 0
    assert fitted("no random effects").diagnostics.random_effects_pca.empty
    assert isinstance(fitted("no random effects").diagnostics.random_effects_loadings, pd.DataFrame)
