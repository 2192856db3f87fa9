"""Diagnostics of fits with a residual structure: n × n matrices, and refits without the rows."""

from __future__ import annotations

import warnings
from functools import cache, cached_property
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from dense_diagnostics import DenseDiagnostics
from residual_oracle import residual_covariance

import mixedfit as mf
from mixedfit.diagnostics.variance_shares import Shares
from mixedfit.estimation.parameters import parameters_of, values_of

matplotlib.use("Agg")
R = mf.residuals


@cache
def panel(seed: int = 2, groups: int = 14) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame([(g, t) for g in range(groups) for t in range(5)], columns=["g", "t"])
    lags = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    noise = rng.multivariate_normal(np.zeros(5), 0.5**lags, size=groups)[frame["g"], frame["t"]]
    frame["x"], frame["site"] = rng.normal(size=len(frame)), frame["g"] % 4
    frame["arm"] = np.where(frame["g"] % 2 == 0, "a", "b")
    frame["y"] = 2 + 0.5 * frame["x"] + rng.normal(size=groups)[frame["g"]]
    frame["y"] += np.where(frame["arm"] == "b", 1.6, 1.0) * noise
    frame["w"], frame["visit"] = rng.uniform(0.5, 2.0, len(frame)), "v" + frame["t"].astype(str)
    return frame.drop(index=rng.choice(len(frame), 8, replace=False)).sample(frac=1.0, random_state=1)


MODELS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "gls": ("y ~ x", R.AR1("t", "g"), {}),
    "weights": ("y ~ x + (1 | g)", R.AR1("t", "g") * R.VarIdent("arm"), {"weights": "w"}),
    "nested": ("y ~ x + t + (1 | site)", R.CompoundSymmetry("g"), {}),
    "effects": ("y ~ x + homdiag(0 + visit | g)", R.AR1("t", "g"), {}),
}


@cache
def fitted(name: str, rows: tuple[Any, ...] = ()) -> mf.MixedResults:
    formula, structure, options = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, panel().drop(index=list(rows)), residual=structure, **options).fit()


class Dense(DenseDiagnostics):
    @cached_property
    def R(self) -> Any:  # noqa: N802
        own = self._inner.residual
        assert own is not None
        p = {n.name: float(n.value) for n in own.model.natural(own.x)}
        group = "g" if own.model.structure.correlation else None
        matrix = residual_covariance(own.model.structure, panel(), group, p)
        w = self._inner.design.weights
        return matrix if w is None else matrix / np.sqrt(np.outer(w, w))


@pytest.mark.parametrize("name", list(MODELS))
def test_leverages_and_residuals_must_be_those_of_dense_matrices(name: str) -> None:
    fit = fitted(name)
    slow, found = Dense(fit), fit.diagnostics
    np.testing.assert_allclose(found.leverages["overall"], np.diag(slow.hat), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.leverages["fixed"], np.diag(slow.fixed_hat), rtol=1e-7, atol=1e-9)
    for kind, values in slow.residuals.items():
        np.testing.assert_allclose(found.residuals[kind], values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", list(MODELS))
def test_cooks_distance_must_be_the_change_of_the_mixed_model_equations(name: str) -> None:
    fit = fitted(name)
    slow, design = Dense(fit), fit._fit.design
    Z = [np.zeros((design.n, 0))]
    for block, lam in zip(design.blocks, fit._fit.lam, strict=True):
        indicator = np.eye(block.levels)[block.codes]
        Z.append(np.einsum("ij,ik->ijk", indicator, block.z @ lam).reshape(design.n, -1))
    M = np.hstack([slow.X, *Z])  # spherical effects, so that no covariance is inverted
    prior = np.diag(np.r_[np.zeros(slow.X.shape[1]), np.ones(M.shape[1] - slow.X.shape[1])])
    whole, y = M.T @ np.linalg.solve(slow.R, M) + prior, design.y
    estimate = np.linalg.solve(whole, M.T @ np.linalg.solve(slow.R, y))
    for i in (0, 7, 30):
        keep = np.delete(np.arange(design.n), i)
        inner = np.linalg.inv(slow.R[np.ix_(keep, keep)])
        own = np.linalg.solve(M[keep].T @ inner @ M[keep] + prior, M[keep].T @ inner @ y[keep])
        d = estimate - own
        expected = d @ whole @ d / (slow.X.shape[1] * fit.sigma**2)
        assert fit.diagnostics.cooks_distance.iloc[i] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("group", [None, "g"])
@pytest.mark.parametrize("name", list(MODELS))
def test_held_influence_must_be_that_of_gls_without_the_rows(name: str, group: str | None) -> None:
    fit = fitted(name)
    if group == "g" and name == "nested":
        group = "site"
    slow, found = Dense(fit), fit.diagnostics.influence(group)
    codes = slow.everything if group is None else panel()[group].to_numpy()
    beta, phi = slow.gls(slow.everything)
    for i, code in enumerate(np.unique(codes)):
        own, inner = slow.gls(np.flatnonzero(codes != code))
        d = beta - own
        np.testing.assert_allclose(found.params.iloc[i], own, rtol=1e-7, atol=1e-8)
        distance = d @ np.linalg.solve(phi, d) / slow.p / fit.sigma**2
        assert found.table["cooks_distance"].iloc[i] == pytest.approx(distance, rel=1e-6, abs=1e-10)
        ratio = np.linalg.det(inner) / np.linalg.det(phi)
        assert found.table["covratio"].iloc[i] == pytest.approx(ratio, rel=1e-7)


@pytest.mark.parametrize("name", ["gls", "weights", "effects"])
def test_refitted_influence_must_be_a_fit_without_the_rows(name: str) -> None:
    fit = fitted(name)
    found = fit.diagnostics.influence("g", refit=True)
    for i in (0, 5):
        rows = tuple(panel().index[panel()["g"] == found.table.index[i]])
        refit = fitted(name, rows)
        np.testing.assert_allclose(found.params.iloc[i], refit.params, rtol=1e-4, atol=1e-5)
        theirs = values_of(refit._fit, [p for p in parameters_of(refit._fit) if p.kind != "fixed"])
        np.testing.assert_allclose(found.variances.iloc[i], theirs, rtol=1e-3, atol=1e-4)
        assert found.criterion.iloc[i] == pytest.approx(refit._fit.evaluation.value, abs=1e-6)


def test_sets_must_be_deleted_together() -> None:
    fit = fitted("weights")
    found = fit.diagnostics.influence("g", sets=[[1, 4], [2]])
    keep = np.flatnonzero(~panel()["g"].isin([1, 4]))
    np.testing.assert_allclose(found.params.iloc[0], Dense(fit).gls(keep)[0], rtol=1e-7)


def test_shares_of_variance_must_have_intervals_by_the_delta_method() -> None:
    fit = fitted("weights")
    for table in (fit.diagnostics.r_squared("delta"), fit.diagnostics.icc("delta")):
        assert np.all(table["lower"] < table["estimate"])
        assert np.all(table["estimate"] < table["upper"])


def test_slopes_of_shares_must_be_those_of_the_structure_of_effects() -> None:
    """The rival takes the first effect's variance for that of all effects."""
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + ar1(0 + Days | Subject)", data).fit()._fit
    shares = Shares(fit)
    s, rho = values_of(fit, [p for p in parameters_of(fit) if p.place >= 0])
    lags = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    slopes = shares.slopes[0][1]
    assert shares.components[1] == pytest.approx(s**2 * np.sum(shares.products[0] * rho**lags), rel=1e-10)
    assert slopes[0] == pytest.approx(shares.components[1] / s**2, rel=1e-8)
    expected = s**2 * np.sum(shares.products[0] * lags * rho ** np.maximum(lags - 1, 0))
    assert slopes[1] == pytest.approx(expected, rel=1e-8, abs=1e-8)
