"""Coverage of intervals of residual parameters, and recovery of the parameters of simulated data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

R = mf.residuals
TRUE = {"phi": 0.5, ".sigma": 1.0, ".sig01": 0.8, "ratio(b)": 1.5, "x": 0.5}


def rows(groups: int, times: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame([(g, t) for g in range(groups) for t in range(times)], columns=["g", "t"])
    frame["x"], frame["arm"] = rng.normal(size=len(frame)), np.where(frame["g"] % 2 == 0, "a", "b")
    return frame


def responses(frame: pd.DataFrame, count: int) -> Any:
    """Return responses of a random intercept with autoregressive residuals that vary more in arm b."""
    rng, times = np.random.default_rng(11), int(frame["t"].max()) + 1
    groups = len(frame) // times
    lags = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    root = np.linalg.cholesky(TRUE["phi"] ** lags)
    spread = np.where(frame["arm"] == "b", TRUE["ratio(b)"], 1.0)
    for _ in range(count):
        noise = (rng.normal(size=(groups, times)) @ root.T).ravel()
        intercepts = np.repeat(TRUE[".sig01"] * rng.normal(size=groups), times)
        yield 2.0 + TRUE["x"] * frame["x"].to_numpy() + intercepts + spread * noise


@pytest.mark.slow
def test_profile_intervals_of_a_residual_structure_must_cover() -> None:
    count, names = 500, ["phi", "ratio(b)", ".sig01", ".sigma", "x"]
    frame = rows(40, 6)
    structure = R.AR1("t", "g") * R.VarIdent("arm")
    fit, covered = None, np.zeros(len(names))
    for y in responses(frame, count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if fit is None:
                fit = mf.lmm("y ~ x + (1 | g)", frame.assign(y=y), residual=structure).fit(reml=False)
            limits = fit.refit(y).conf_int(method="profile", parameters=names)
        truth = np.array([TRUE[name] for name in names])
        low, high = limits.loc[names, "lower"].fillna(-np.inf), limits.loc[names, "upper"].fillna(np.inf)
        covered += (low.to_numpy() <= truth) & (truth <= high.to_numpy())
    coverage = dict(zip(names, covered / count, strict=True))
    print(coverage)
    assert all(0.925 <= share <= 0.98 for share in coverage.values()), coverage


@pytest.mark.slow
def test_parameters_of_both_structures_must_be_recovered() -> None:
    rng, groups, times, per = np.random.default_rng(3), 1200, 4, 3
    frame = pd.DataFrame(
        [(g, t, r) for g in range(groups) for t in range(times) for r in range(per)], columns=["g", "t", "r"]
    )
    frame["order"] = frame["t"] * per + frame["r"]
    frame["arm"] = np.where(frame["g"] % 2 == 0, "a", "b")
    apart = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    effects = rng.multivariate_normal(np.zeros(times), 2.0 * 0.7**apart, size=groups)
    size = times * per
    lags = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    noise = rng.multivariate_normal(np.zeros(size), 0.4**lags, size=groups)
    spread = np.where(frame["arm"] == "b", 1.5, 1.0)
    frame["y"] = 3 + effects[frame["g"], frame["t"]] + spread * noise[frame["g"], frame["order"]]
    structure = R.AR1("order", "g") * R.VarIdent("arm")
    fit = mf.lmm("y ~ 1 + ar1(0 + t | g)", frame, residual=structure).fit()
    errors = np.sqrt(np.diag(fit.vcov_varpar()))
    estimates = fit.parameters("lme4").iloc[:-1]
    truth = pd.Series({".sig01": 2**0.5, ".sig02": 0.7, ".sigma": 1.0, "phi": 0.4, "ratio(b)": 1.5})
    z = (estimates - truth[estimates.index]) / errors
    print(pd.DataFrame({"estimate": estimates, "truth": truth, "z": z}))
    assert fit.converged
    assert z.abs().max() < 3.5
