"""Errors of residual parameters against second derivatives of the dense likelihood, by ML and by REML."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.arrays import Array

R = mf.residuals


def panel() -> pd.DataFrame:
    """Return 30 groups of 3 visits with autocorrelated errors, whose SD grows with v and falls with the weight."""
    rng = np.random.default_rng(11)
    g, t = np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30)
    data = pd.DataFrame({"g": g, "t": t, "visit": np.array(list("pqr"))[t], "x": rng.normal(size=90)})
    data["v"], data["w"] = rng.uniform(0.1, 4.0, 90), rng.uniform(0.3, 3.0, 90)
    root = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(np.arange(3), np.arange(3))))
    e = (rng.normal(size=(30, 3)) @ root.T).ravel()
    data["y"] = 1 + data["x"] + (0.7 + data["v"]) * e / np.sqrt(data["w"])
    return data


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "autoregression": (R.AR1("t", "g"), {"weights": "w"}),
    "variance function": (R.VarConstPower("v"), {"weights": "w"}),
    "both": (R.AR1("t", "g") * R.VarExp("v"), {}),
    "unstructured": (R.Unstructured("visit", "g"), {"weights": "w"}),
}


@lru_cache
def fitted(name: str, reml: bool) -> mf.MixedResults:
    structure, options = MODELS[name]
    return mf.lmm("y ~ x", panel(), residual=structure, **options).fit(reml=reml)


def criterion_of(fit: mf.MixedResults) -> Callable[[Array, Array | None], float]:
    """Return the criterion as a function of (σ, x) and of β, by default that of generalised least squares."""
    design, own = fit._fit.design, fit._fit.residual
    assert own is not None
    w = np.ones(design.n) if design.weights is None else design.weights
    rows = np.arange(design.n)

    def criterion(at: Array, beta: Array | None = None) -> float:
        V = at[0] ** 2 * own.model.matrix(at[1:], rows) / np.sqrt(np.outer(w, w))
        root = np.linalg.cholesky(V)
        X, y = np.linalg.solve(root, design.X), np.linalg.solve(root, design.y)
        rest = y - X @ (np.linalg.lstsq(X, y, rcond=None)[0] if beta is None else beta)
        value = 2 * np.log(np.diag(root)).sum() + rest @ rest
        return float(value + (np.linalg.slogdet(X.T @ X)[1] if fit._fit.reml else 0.0))

    return criterion


def covariance(function: Callable[[Array], float], centre: Array) -> Array:
    """Return 2H⁻¹ with H the second derivative by extrapolated central differences."""
    near, far = (_hessian(function, centre, step) for step in (2e-3, 4e-3))
    return 2 * np.linalg.inv((4 * near - far) / 3)


def _hessian(function: Callable[[Array], float], centre: Array, step: float) -> Array:
    moves, count = np.diag(step * np.maximum(np.abs(centre), 0.3)), centre.size
    H = np.zeros((count, count))
    for a in range(count):
        for b in range(a + 1):
            s, t = moves[a], moves[b]
            corners = [i * j * function(centre + i * s + j * t) for i in (1, -1) for j in (1, -1)]
            H[a, b] = H[b, a] = sum(corners) / (4 * s[a] * t[b])
    return H


def turned(fit: mf.MixedResults) -> Array:
    """Return the derivative of σ and the residual parameters in (σ, x)."""
    own = fit._fit.residual
    assert own is not None
    slopes = own.model.natural_slopes(own.x)
    out = np.eye(1 + own.x.size)
    out[1:, 1:] = slopes
    return out


@pytest.mark.everyday(3)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", list(MODELS))
def test_errors_must_be_those_of_the_dense_second_derivative(name: str, reml: bool) -> None:
    """Rivals: the other criterion; one V for all groups; no second derivative of the variance function."""
    fit = fitted(name, reml)
    own, criterion = fit._fit.residual, criterion_of(fit)
    assert own is not None
    change = turned(fit)
    expected = change @ covariance(criterion, np.append(fit.sigma, own.x)) @ change.T  # type: ignore[arg-type]
    table = fit.vcov_varpar()
    order = [".sigma", *(p.name for p in own.model.natural(own.x))]
    size = np.sqrt(np.diag(expected))
    found = table.loc[order, order].to_numpy()
    np.testing.assert_allclose(found / np.outer(size, size), expected / np.outer(size, size), atol=2e-4)
    other = fitted(name, not reml).vcov_varpar().loc[order, order].to_numpy()
    assert np.abs((found - other) / np.outer(size, size)).max() > 2e-3


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", list(MODELS))
def test_joint_errors_must_be_those_of_the_dense_second_derivative(name: str) -> None:
    """Rival: coefficients whose errors are only those that the variances add."""
    fit = fitted(name, False)
    own, criterion = fit._fit.residual, criterion_of(fit)
    assert own is not None
    k, p = 1 + own.x.size, len(fit.params)
    centre = np.concatenate([[fit.sigma], own.x, fit.params])
    change = np.eye(k + p)
    change[:k, :k] = turned(fit)
    expected = change @ covariance(lambda at: criterion(at[:k], at[k:]), centre) @ change.T
    order = [".sigma", *(q.name for q in own.model.natural(own.x)), *fit.params.index]
    found = fit.vcov_varpar(joint=True).loc[order, order].to_numpy()
    size = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found / np.outer(size, size), expected / np.outer(size, size), atol=5e-4)
