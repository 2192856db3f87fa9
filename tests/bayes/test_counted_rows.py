"""Rows of weight 0: answers by rows are those of the rows that count."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfit as mf

FORMULA = "y ~ x + (1 | g)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Return rows of six groups; all rows of group "f", which come last, and two others have weight 0."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat(list("abcdef"), 6), "x": rng.standard_normal(36)})
    frame["y"] = 3 + frame["x"] + rng.standard_normal(6)[frame["g"].map(ord) - 97] + rng.standard_normal(36)
    frame["w"] = np.where(frame["g"] == "f", 0.0, rng.uniform(0.5, 2, 36))
    frame.loc[[2, 9], "w"] = 0.0
    frame.loc[[2, 9], "y"] = 100.0
    return frame.set_index(pd.Index([f"r{i}" for i in range(36)]))


@pytest.fixture(scope="module")
def posterior(data: pd.DataFrame) -> mf.Posterior:
    return mf.lmm(FORMULA, data, weights="w").gibbs(draws=250, tune=200, seed=1)


def test_log_likelihood_must_be_the_normal_density_of_the_rows_that_count(
    posterior: mf.Posterior, data: pd.DataFrame
) -> None:
    rows = data[data["w"] > 0]
    effects = posterior.random_effects["g"].values[:, :, rows["g"].map(ord) - 97, 0]
    mean = posterior["(Intercept)"][:, :, None] + posterior["x"][:, :, None] * rows["x"].to_numpy() + effects
    scale = posterior["sigma"][:, :, None] / np.sqrt(rows["w"].to_numpy())
    expected = stats.norm.logpdf(rows["y"].to_numpy(), mean, scale)
    np.testing.assert_allclose(posterior.log_likelihood(), expected, rtol=1e-10)
    assert posterior.loo().pointwise.index.equals(rows.index)


def test_density_of_a_group_must_be_that_of_its_rows_that_count(
    posterior: mf.Posterior, data: pd.DataFrame
) -> None:
    """With all effects integrated out, WAIC's elpd plus its penalty is log mean p(y_j | β, τ, σ)."""
    found = posterior.waic(by="g")
    assert list(found.pointwise.index) == list("abcde")
    rows = data[(data["g"] == "a") & (data["w"] > 0)]
    logs = []
    for draw in range(0, 250):
        for chain in range(4):
            at = {name: posterior[name][chain, draw] for name in posterior.names}
            mean = at["(Intercept)"] + at["x"] * rows["x"]
            V = at["sd_(Intercept)|g"] ** 2 + np.diag(at["sigma"] ** 2 / rows["w"])
            logs.append(stats.multivariate_normal.logpdf(rows["y"], mean, V))
    expected = np.log(np.mean(np.exp(logs)))
    assert float(found.pointwise["a"] + found.penalty["a"]) == pytest.approx(expected, abs=1e-8)


def test_checks_and_replicates_must_leave_out_rows_of_weight_zero(
    posterior: mf.Posterior, data: pd.DataFrame
) -> None:
    """With the two rows of 100 the largest response would be 100."""
    rows = data[data["w"] > 0]
    table = posterior.check(["max", "between_sd"], seed=1).table["observed"]
    assert table["max"] == rows["y"].max()
    assert table["between_sd"] == pytest.approx(rows.groupby("g")["y"].mean().std())
    for groups in ("same", "new"):
        assert posterior.replicate(5, groups=groups, seed=1).shape == (5, len(rows))


def test_refit_must_leave_out_the_row_that_it_predicts(posterior: mf.Posterior, data: pd.DataFrame) -> None:
    """A position among the rows that count would be another row's among all rows."""
    from mixedfit.bayes.draws.counted_rows import on_counted_rows

    own = on_counted_rows(posterior)
    assert own.without is not None
    other = own.without(np.array([10]), 1)
    assert other.design.weights is not None
    left_out = set(data.index[data["w"] > 0]) - set(data.index[other.design.weights > 0])
    assert left_out == {data.index[data["w"] > 0][10]}
    assert other.effects[0].shape[2] == 5


def test_arviz_must_have_the_rows_that_count(
    posterior: mf.Posterior, data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_dict(groups: Any, *, coords: Any, dims: Any) -> Any:
        return groups, coords

    monkeypatch.setitem(sys.modules, "arviz_base", SimpleNamespace(from_dict=from_dict))
    groups, coords = posterior.to_arviz(seed=1)
    assert list(coords["row"]) == list(data.index[data["w"] > 0])
    for group in ("log_likelihood", "posterior_predictive"):
        assert groups[group]["y"].shape == (4, 250, 28)
    assert groups["observed_data"]["y"].max() < 100
    assert groups["posterior"]["b|g"].shape[2] == len(coords["g"]) == 6


def test_sigma_by_group_must_keep_the_groups_of_the_rows_that_count(data: pd.DataFrame) -> None:
    frame = data.assign(h=np.tile(["p", "q"], 18))
    posterior = mf.lmm(FORMULA, frame, weights="w").gibbs(draws=50, tune=20, seed=1, sigma="by:h")
    rows = frame[frame["w"] > 0]
    effects = posterior.random_effects["g"].values[:, :, rows["g"].map(ord) - 97, 0]
    mean = posterior["(Intercept)"][:, :, None] + posterior["x"][:, :, None] * rows["x"].to_numpy() + effects
    sigmas = np.stack([posterior[f"sigma[{h}]"] for h in rows["h"]], axis=2)
    expected = stats.norm.logpdf(rows["y"].to_numpy(), mean, sigmas / np.sqrt(rows["w"].to_numpy()))
    np.testing.assert_allclose(posterior.log_likelihood(), expected, rtol=1e-10)
