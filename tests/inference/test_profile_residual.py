"""Profiles of fits with a residual structure: every point is a constrained minimum of the n × n density.

The rivals are intervals with the residual parameters left at their estimates, which are too short, and Wald's, which
are symmetric on their scale.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import mixedfit as mf
from mixedfit.core.linalg import blas_threads

R = mf.residuals
CHI = 3.841458820694124


@cache
def panel(seed: int = 3, groups: int = 24, times: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame([(g, t) for g in range(groups) for t in range(times)], columns=["g", "t"])
    frame["x"], frame["arm"] = rng.normal(size=len(frame)), np.where(frame["g"] % 2 == 0, "a", "b")
    lags = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    noise = rng.multivariate_normal(np.zeros(times), 0.4**lags, size=groups)[frame["g"], frame["t"]]
    frame["y"] = 2 + 0.5 * frame["x"] + rng.normal(size=groups)[frame["g"]]
    frame["y"] += 0.8 * rng.normal(size=groups)[frame["g"]] * frame["x"]
    frame["y"] += np.where(frame["arm"] == "b", 1.5, 1.0) * noise
    frame["k"] = frame["t"] // 2
    effects = rng.multivariate_normal(np.zeros(3), 2.0 * 0.5 ** lags[:3, :3], size=groups)[
        frame["g"], frame["k"]
    ]
    frame["u"] = 2 + 0.5 * frame["x"] + effects
    frame["u"] += np.where(frame["arm"] == "b", 1.5, 1.0) * rng.normal(size=len(frame))
    frame["visit"] = "v" + frame["t"].astype(str)
    return frame.drop(index=rng.choice(len(frame), 12, replace=False)).reset_index(drop=True)


Values = dict[str, float]


def same(data: pd.DataFrame) -> Any:
    return data["g"].to_numpy()[:, None] == data["g"].to_numpy()


def lags(data: pd.DataFrame) -> Any:
    return np.abs(np.subtract.outer(data["t"].to_numpy(), data["t"].to_numpy()))


def spread(data: pd.DataFrame, p: Values) -> Any:
    s = np.where(data["arm"] == "b", p["ratio(b)"], 1.0)
    return p[".sigma"] ** 2 * np.outer(s, s)


def slopes(data: pd.DataFrame, p: Values) -> Any:
    z = np.column_stack([np.ones(len(data)), data["x"]])
    cov = p[".sig02"] * p[".sig01"] * p[".sig03"]
    omega = np.array([[p[".sig01"] ** 2, cov], [cov, p[".sig03"] ** 2]])
    return same(data) * (z @ omega @ z.T + spread(data, p) * p["phi"] ** lags(data))


def autoregressive(data: pd.DataFrame, p: Values) -> Any:
    apart = np.abs(np.subtract.outer(data["k"].to_numpy(), data["k"].to_numpy()))
    effects = p[".sig01"] ** 2 * p[".sig02"] ** apart
    return same(data) * effects + np.diag(np.diag(spread(data, p)))


def unstructured(data: pd.DataFrame, p: Values) -> Any:
    names = sorted(data["visit"].unique())
    c, s = np.eye(len(names)), np.array([p.get(f"ratio({v})", 1.0) for v in names])
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            c[i, j] = c[j, i] = p[f"cor({other},{one})"]
    at = data["visit"].map(names.index).to_numpy()
    return same(data) * p[".sigma"] ** 2 * (np.outer(s, s) * c)[np.ix_(at, at)]


def toeplitz(data: pd.DataFrame, p: Values) -> Any:
    rho = np.array([1.0, *(p[f"rho{k}"] for k in range(1, 5))])
    return same(data) * p[".sigma"] ** 2 * rho[lags(data)]


MODELS: dict[str, tuple[str, Any, Callable[[pd.DataFrame, Values], Any], str]] = {
    "slopes": ("y ~ x + (1 + x | g)", R.AR1("t", "g") * R.VarIdent("arm"), slopes, "t < 5"),
    "ar1": ("u ~ x + ar1(0 + k | g)", R.VarIdent("arm"), autoregressive, "t < 6"),
    "unstructured": ("y ~ x", R.Unstructured("visit", "g"), unstructured, "t < 3"),
    "toeplitz": ("y ~ x", R.Toeplitz("visit", "g"), toeplitz, "t < 5"),
}


@cache
def fitted(name: str) -> tuple[mf.MixedResults, pd.DataFrame, mf.Profile]:
    formula, structure, _, rows = MODELS[name]
    data = panel().query(rows)
    fit = mf.lmm(formula, data, residual=structure).fit(reml=False)
    return fit, data, fit.profile(levels=(0.95,))


CASES = [
    *(("slopes", p) for p in (".sig01", ".sig02", ".sig03", ".sigma", "phi", "ratio(b)", "x")),
    *(("ar1", p) for p in (".sig01", ".sig02", ".sigma", "ratio(b)", "(Intercept)")),
    *(("unstructured", p) for p in ("cor(v0,v1)", "cor(v1,v2)", "cor(v0,v2)", "ratio(v2)", ".sigma", "x")),
    *(("toeplitz", p) for p in ("rho1", "rho3", ".sigma")),
]


@pytest.mark.everyday(1)
@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_points_of_a_profile_must_be_constrained_minima_of_the_dense_density(
    name: str, parameter: str
) -> None:
    fit, data, profile = fitted(name)
    covariance, response = MODELS[name][2], data[fit.formula.split()[0]]
    names = [p.name for p in profile.parameters]
    points = profile.table[profile.table["parameter"] == parameter]
    free = [n for n in names if n != parameter]
    correlations = [p.name for p in profile.parameters if p.kind == "correlation"]

    def deviance(values: Any, held: float) -> float:
        p = dict(zip(free, values, strict=True)) | {parameter: held}
        if any(abs(p[n]) > 1 for n in correlations):
            return 1e10
        rest = response - p["(Intercept)"] - p["x"] * data["x"]
        try:
            root = np.linalg.cholesky(covariance(data, p))
        except np.linalg.LinAlgError:
            return 1e10
        solved = np.linalg.solve(root, rest)
        return float(2 * np.log(np.diag(root)).sum() + len(rest) * np.log(2 * np.pi) + solved @ solved)

    with blas_threads(1):
        for _, point in points.iterrows():
            at = point[free].to_numpy(float)
            claimed, held = float(point["deviance"]), float(point["value"])
            if np.any(np.isnan(at)) or np.any(at[[n.startswith(".sig") for n in free]] < 1e-4):
                continue  # on the boundary
            assert deviance(at, held) == pytest.approx(claimed, abs=2e-5)
            lower = minimize(deviance, at, args=(held,), method="BFGS", options={"maxiter": 8})
            assert lower.fun > claimed - 2e-4


@pytest.mark.everyday(1)
@pytest.mark.parametrize("name", list(MODELS))
def test_limits_must_be_where_the_deviance_has_risen_by_chi_square(name: str) -> None:
    fit, _, profile = fitted(name)
    limits = profile.conf_int(0.95)
    wald = fit.conf_int(0.95, delta=True)
    for parameter, row in limits.iterrows():
        for limit in row:
            if np.isfinite(limit) and limit not in (0.0, 1.0, -1.0):
                rise = profile.held(str(parameter), limit)["deviance"] - fit.deviance
                assert rise == pytest.approx(CHI, abs=2e-3)
    inside = limits.notna().all(axis=1) & wald.notna().all(axis=1)
    share = (limits["upper"] - limits["lower"]) / (wald["upper"] - wald["lower"])
    assert share[inside].between(0.6, 1.7).all()


def test_interval_must_end_at_the_limit_of_a_parameter_that_the_data_do_not_exclude() -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "t": np.tile(np.arange(6), 20)})
    data["y"] = rng.normal(size=120)
    fit = mf.lmm("y ~ 1", data, residual=R.CAR1("t", "g")).fit()
    low, high = fit.conf_int(method="profile", parameters="phi").loc["phi"]
    assert low == 0.0
    assert 0.0 < high < 0.5


def test_profile_of_a_parameter_on_its_limit_must_have_the_other_end() -> None:
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "t": np.tile(np.arange(6), 20)})
    data["y"] = np.cumsum(rng.normal(size=(20, 6)), axis=1).ravel()
    fit = mf.lmm("y ~ t", data, residual=R.Exponential("t", "g", nugget=True)).fit()
    assert fit.convergence.status == "boundary"
    low, high = fit.conf_int(method="profile", parameters="nugget").loc["nugget"]
    assert low == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < high < 1.0
