"""Intervals hold what they say, and the rival that ignores how errors of β and b go together does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mixedfit as mf

Z = float(norm.ppf(0.975))


class Study:
    """Draws data from known parameters, y = Xβ + Zb + ε with intercepts and slopes by group, and new rows.

    Parameters
    ----------
    groups, rows : int
        Groups, and rows in each.
    root : ndarray, shape (2, 2)
        With root rootᵀ = Ω; σ = 1.
    """

    def __init__(self, groups: int, rows: int, root: Any, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.root = np.asarray(root)
        g = np.repeat(np.arange(groups), rows)
        self.frame = pd.DataFrame({"g": g, "x": np.tile(np.linspace(-1, 1, rows), groups)})
        self.new = pd.DataFrame({"g": np.arange(groups + 40), "x": self.rng.uniform(-1.5, 1.5, groups + 40)})
        self.known = self.new["g"].to_numpy() < groups
        slope = "x" if self.root[1, 1] > 0 else "1"
        self.fit = mf.lmm(f"y ~ x + ({slope} | g)", self.frame.assign(y=self.rng.normal(size=len(g)))).fit()

    def draw(self) -> tuple[mf.MixedResults, Any, Any]:
        """Return a fit, and the true means and a response of the new rows."""
        b = self.rng.normal(size=(len(self.new), 2)) @ self.root.T

        def means(table: pd.DataFrame) -> Any:
            g, x = table["g"].to_numpy(), table["x"].to_numpy()
            return 3.0 + b[g, 0] + (2.0 + b[g, 1]) * x

        fit = self.fit.refit(means(self.frame) + self.rng.normal(size=len(self.frame)))
        mean = means(self.new)
        return fit, mean, mean + self.rng.normal(size=len(self.new))


def inside(table: pd.DataFrame, value: Any) -> Any:
    return ((table["lower"] <= value) & (value <= table["upper"])).to_numpy()


def independent_errors(fit: mf.MixedResults, new: pd.DataFrame) -> Any:
    """Return the rival's errors: β and b drawn apart from their own covariances, as merTools does."""
    block, cov = fit._fit.design.blocks[0], fit._fit.mode_covariance[0]
    x = np.column_stack([np.ones(len(new)), new["x"]])
    z = x[:, : block.k]
    fixed = np.einsum("ik,kl,il->i", x, fit.cov_params().to_numpy(), x)
    return np.sqrt(fixed + np.einsum("ik,ikl,il->i", z, cov[new["g"].to_numpy()], z))


@pytest.mark.slow
def test_intervals_of_known_and_new_groups_must_cover_as_often_as_they_say() -> None:
    """60 groups: with Ω estimated from so many, normal quantiles cover 94.5% where t quantiles would cover 95%.

    Intervals for means, which hold no residual, feel more of it if variances count as known.
    """
    study = Study(60, 8, [[1.0, 0.0], [0.2, 0.5]], seed=11)
    kinds = ("prediction", "mean", "kenward-roger")
    counts = {f"{kind} {group}": [0.0, 0] for kind in kinds for group in ("known", "new")}
    for _ in range(1500):
        fit, mean, response = study.draw()
        for interval in kinds:
            options: dict[str, Any] = {
                "interval": "prediction" if interval == "prediction" else "confidence",
                "ddf": interval if interval == "kenward-roger" else "normal",
            }
            value = response if interval == "prediction" else mean
            hit = inside(fit.predict(study.new, new_levels="marginal", **options), value)
            for which, rows in (("known", study.known), ("new", ~study.known)):
                counts[f"{interval} {which}"][0] += hit[rows].sum()
                counts[f"{interval} {which}"][1] += int(rows.sum())
    coverage = {name: hits / total for name, (hits, total) in counts.items()}
    print(coverage)
    for name, share in coverage.items():
        least = {"mean": 0.93, "prediction": 0.94, "kenward-roger": 0.945}[name.split()[0]]
        assert least < share < 0.96, name


@pytest.mark.slow
def test_intervals_for_new_groups_must_cover_by_satterthwaites_degrees_of_freedom_when_groups_are_few() -> (
    None
):
    """The rival takes normal quantiles, which are too short where eight groups tell how groups vary."""
    study = Study(8, 10, [[2.0, 0.0], [0.0, 0.0]], seed=13)
    new = study.new[~study.known]
    hits = {"satterthwaite": 0.0, "normal": 0.0}
    for _ in range(1500):
        fit, _, response = study.draw()
        for ddf in ("satterthwaite", "normal"):
            table = fit.predict(new, new_levels="marginal", interval="prediction", ddf=ddf)  # type: ignore[call-overload]
            hits[ddf] += inside(table, response[~study.known]).mean() / 1500
    print(hits)
    assert 0.94 < hits["satterthwaite"] < 0.96
    assert hits["normal"] < 0.93


@pytest.mark.slow
def test_intervals_must_be_narrower_than_those_of_independent_draws_of_beta_and_b() -> None:
    """Eight groups of 30 rows: a group's mean is known well, β is not, and their errors cancel.

    The rival's intervals for the means of known groups are wider and cover too often.
    """
    study = Study(8, 30, [[1.0, 0.0], [0.0, 0.0]], seed=12)
    known = study.new[study.known]
    hits, rival_hits, ratio, total = 0.0, 0.0, [], 0
    for _ in range(1500):
        fit, mean, _ = study.draw()
        table, value = fit.predict(known, interval="confidence"), mean[study.known]
        rival = independent_errors(fit, known)
        hits += inside(table, value).sum()
        rival_hits += (np.abs(table["mean"] - value) <= Z * rival).sum()
        ratio.append(rival / table["se"])
        total += len(known)
    print(hits / total, rival_hits / total, np.mean(ratio), np.min(ratio))
    assert 0.94 < hits / total < 0.96
    assert rival_hits / total > 0.97
    assert np.mean(ratio) > 1.2


def test_errors_must_be_smaller_than_those_of_independent_draws() -> None:
    """On one data set: the rival of the slow test, for every known group."""
    study = Study(8, 30, [[1.0, 0.0], [0.0, 0.0]], seed=12)
    fit, _, _ = study.draw()
    known = study.new[study.known]
    assert np.all(independent_errors(fit, known) > 1.1 * fit.predict(known, se=True)["se"])
