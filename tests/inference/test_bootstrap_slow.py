"""Bootstrap tables beside lme4's, and the coverage of every kind of interval."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER, SHARED_FOLDER

import mixedfit as mf
from mixedfit.inference.bootstrap.intervals import INTERVALS, monte_carlo_error

PUBLISHED = SHARED_FOLDER / "references" / "published" / "expected.json"


def errors_of(drawn: mf.inference.bootstrap.Bootstrap, other: int) -> np.ndarray:
    """Return the Monte-Carlo error of the difference of our limits and those from `other` replicates elsewhere."""
    own = np.array([monte_carlo_error(v.dropna().to_numpy(), 0.95) for _, v in drawn.replicates.items()])
    return own * np.sqrt(1.0 + drawn.n / other)


def seedlings() -> mf.MixedResults:
    return mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight")).fit()


@pytest.mark.slow
def test_seedlings_must_have_the_notes_bootstrap_intervals() -> None:
    # confint(m1, method = "boot"): 500 replicates of lme4's bootMer.
    notes = np.array(
        [[1.529722, 5.404522], [1.542917, 2.195049], [11.907640, 19.013466], [-8.758632, 1.066519]]
    )
    fit = seedlings()
    drawn = fit.bootstrap(10_000, seed=1)
    off = np.abs(drawn.conf_int()[["lower", "upper"]].to_numpy() - notes).max(axis=1)
    assert np.all(off < 4.0 * errors_of(drawn, 500))
    about_blups = fit.fittedvalues.to_numpy()[:, None] + fit.sigma * np.random.default_rng(1).normal(
        size=(56, 300)
    )
    rival = np.array([fit.refit(y).params.to_numpy() for y in about_blups.T])
    limits = np.quantile(rival, [0.025, 0.975], axis=0).T
    assert np.all(np.abs(limits - notes[2:]).max(axis=1) > 4.0 * errors_of(drawn, 500)[2:])


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published results do not lie beside the project")
def test_sleepstudy_must_have_the_published_bootstrap_intervals() -> None:
    cases = json.loads(PUBLISHED.read_text(encoding="utf-8"))["cases"]
    case = next(c for c in cases if c["kind"] == "boot_ci")
    table = pd.read_csv(PUBLISHED.parent / case["csv"], dtype={"Subject": "category"})
    drawn = mf.lmm(case["formula"], table).fit().bootstrap(10_000, seed=2)
    order = [".sig01", ".sig03", ".sig02", ".sigma", "(Intercept)", "Days"]
    errors = dict(zip(drawn.replicates.columns, errors_of(drawn, 500), strict=True))
    limits = drawn.conf_int().loc[order]
    for side in ("lower", "upper"):
        for name, ours, theirs in zip(order, limits[side], case["expected"][side], strict=True):
            assert abs(ours - theirs) < 4.0 * errors[name], (name, side, ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seedling_weight", "sleepstudy", "dyestuff_ml"])
def test_replicates_must_be_distributed_as_those_of_bootmer(name: str) -> None:
    table = json.loads((REFERENCE_FOLDER / "bootstrap.json").read_text(encoding="utf-8"))
    case, probabilities = table[name], np.array(table["made_by"]["probabilities"])
    data = mf.load_dataset("Dyestuff" if name == "dyestuff_ml" else name)
    drawn = mf.lmm(case["formula"], data).fit(case["reml"]).bootstrap(10_000, seed=4)
    for parameter, theirs in case["parameters"].items():
        ours = drawn.replicates[parameter].dropna().to_numpy()
        share = np.sqrt(1.0 + theirs["finite"] / ours.size)
        off = np.abs(np.quantile(ours, probabilities) - theirs["quantiles"])
        assert np.all(off < 4.5 * share * np.array(theirs["quantile_se"]) + 1e-9), (parameter, off)
        kurtosis = np.mean((ours - ours.mean()) ** 4) / np.var(ours) ** 2
        error = 0.5 * theirs["sd"] * np.sqrt((kurtosis - 1.0) / theirs["finite"]) * share
        assert abs(ours.std() - theirs["sd"]) < 4.5 * error, parameter
    rate = case["singular"]
    error = np.sqrt(max(rate * (1 - rate), 1e-4) * (1 / case["n"] + 1 / drawn.n))
    assert abs(drawn.singular.mean() - rate) < 4.5 * error


@pytest.mark.slow
def test_intervals_of_fixed_effects_must_cover_as_promised() -> None:
    """1,000 data sets of 30 groups of 4, 95% intervals of the slope from 400 replicates each: 93 to 97% cover."""
    rng = np.random.default_rng(2024)
    groups, rows, slope = 30, 4, 0.5
    frame = pd.DataFrame({"g": np.repeat(np.arange(groups), rows), "x": rng.normal(size=groups * rows)})
    frame["y"] = rng.normal(size=len(frame))
    model = mf.lmm("y ~ x + (1 | g)", frame).fit()
    inside = dict.fromkeys(INTERVALS, 0)
    for number in range(1000):
        b = 0.8 * rng.normal(size=groups)[frame["g"]]
        y = 1.0 + slope * frame["x"] + b + rng.normal(size=len(frame))
        drawn = model.refit(y).bootstrap(400, seed=number)
        for kind in inside:
            limits = drawn.conf_int(0.95, kind, "x").loc["x"]
            inside[kind] += bool(limits["lower"] < slope < limits["upper"])
    print("cover of 1,000:", inside)
    assert all(930 <= count <= 970 for count in inside.values()), inside


@pytest.mark.slow
def test_intervals_of_a_variance_must_cover_as_promised() -> None:
    """σ from 400 residual degrees of freedom: percentile, BCa, normal, basic and shortest agree and cover."""
    rng = np.random.default_rng(7)
    groups, rows, sigma = 100, 5, 2.0
    frame = pd.DataFrame({"g": np.repeat(np.arange(groups), rows), "y": rng.normal(size=groups * rows)})
    model = mf.lmm("y ~ 1 + (1 | g)", frame).fit()
    inside = dict.fromkeys(INTERVALS, 0)
    for number in range(1000):
        y = rng.normal(size=groups)[frame["g"]] + sigma * rng.normal(size=len(frame))
        drawn = model.refit(y).bootstrap(400, seed=number)
        for kind in inside:
            limits = drawn.conf_int(0.95, kind, ".sigma").loc[".sigma"]
            inside[kind] += bool(limits["lower"] < sigma < limits["upper"])
    print("cover of 1,000:", inside)
    assert all(930 <= count <= 970 for count in inside.values()), inside
