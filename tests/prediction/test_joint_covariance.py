"""Covariances of prediction errors against the inverse of Henderson's equations, dense; Cullis's heritability."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

import mixedfit as mf

FORMULAS = [
    "y ~ x + (1 | g)",
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ f * x + (1 | g) + (1 | h)",
    "y ~ f + (x | g) + (1 | h)",
    "y ~ 1 + (1 | g) + (x | h) + (1 | g:h)",
    "y ~ 0 + f + (1 | h/g)",
    "y ~ f + x + (0 + f | g)",
]


def rows(seed: int = 3, n: int = 130) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "g": rng.integers(0, 9, n).astype(str),
            "h": rng.integers(0, 6, n).astype(str),
            "f": rng.choice(["a", "b", "c"], n),
            "x": rng.normal(size=n) + 3.0,
            "w": rng.uniform(0.4, 2.0, n),
        }
    )
    data.loc[5:8, "w"] = 0.0
    effect = rng.normal(size=(9, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]])
    g = data["g"].astype(int)
    data["y"] = effect[g, 0] + (1 + effect[g, 1]) * data["x"] + rng.normal(size=6)[data["h"].astype(int)]
    data["y"] += rng.normal(size=n)
    return data


class Henderson:
    """Covariance of (β̂ − β, b̂ − b) over kept fixed effects and all random effects, by n × n matrices."""

    def __init__(self, fit: Any) -> None:
        self.inner = fit._fit
        design = self.inner.design
        self.kept = self.inner.kept.astype(bool)
        weights = np.ones(design.n) if design.weights is None else design.weights
        self.starts = []
        at = int(self.kept.sum())
        columns, roots = [design.X[:, self.kept]], [np.eye(at)]
        for block, omega in zip(design.blocks, self.inner.omega, strict=True):
            Z = np.zeros((design.n, block.levels * block.k))
            for e in range(block.k):
                Z[np.arange(design.n), block.codes * block.k + e] = block.z[:, e]
            values, vectors = np.linalg.eigh(omega)
            columns.append(Z)
            roots.append(np.kron(np.eye(block.levels), vectors * np.sqrt(np.maximum(values, 0.0))))
            self.starts.append(at)
            at += Z.shape[1]
        self.rows, root = np.hstack(columns), block_diag(*roots)
        scaled = self.rows @ root
        C = scaled.T @ (weights[:, None] * scaled) / self.inner.sigma**2
        C[np.arange(self.starts[0], at), np.arange(self.starts[0], at)] += 1.0
        self.inverse = root @ np.linalg.inv(C) @ root.T

    def block(self, f: int, effects: list[int]) -> np.ndarray:
        block = self.inner.design.blocks[f]
        places = [self.starts[f] + level * block.k + e for level in range(block.levels) for e in effects]
        return self.inverse[np.ix_(places, places)]


def fitted(formula: str, weighted: bool) -> Any:
    return mf.lmm(formula, rows(), weights="w" if weighted else None).fit()


@pytest.mark.everyday(8)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("formula", FORMULAS)
def test_covariance_of_blups_must_be_that_of_hendersons_equations(formula: str, weighted: bool) -> None:
    """The rival: the covariance given β, which has no covariance between levels."""
    fit = fitted(formula, weighted)
    oracle = Henderson(fit)
    for f, block in enumerate(fit._fit.design.blocks):
        expected = oracle.block(f, list(range(block.k)))
        size = np.abs(expected).max()
        assert fit.blup_cov(block.name).to_numpy() == pytest.approx(expected, abs=1e-7 * size)
        one = fit.blup_cov(block.name, block.effects[-1])
        last = oracle.block(f, [block.k - 1])
        assert one.to_numpy() == pytest.approx(last, abs=1e-7 * size)
        assert list(one.index) == list(block.grouping.levels)


@pytest.mark.everyday(4)
@pytest.mark.parametrize("formula", FORMULAS)
def test_covariance_of_predictions_must_be_that_of_hendersons_equations(formula: str) -> None:
    fit = fitted(formula, weighted=True)
    oracle = Henderson(fit)
    expected = oracle.rows @ oracle.inverse @ oracle.rows.T
    ours = fit.prediction_cov().to_numpy()
    assert ours == pytest.approx(expected, abs=1e-7 * np.abs(expected).max())
    assert np.sqrt(np.diag(ours)) == pytest.approx(fit.predict(se=True)["se"].to_numpy(), rel=1e-7)
    new = rows(seed=8, n=12)
    fixed = fit.prediction_cov(new, re_form="none").to_numpy()
    X = fit._fit.design.recipe.fixed_rows(new)[0]
    assert fixed == pytest.approx(X @ fit.cov_params().to_numpy() @ X.T, abs=1e-8)


def test_sparse_tails_must_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfit.crossproducts.sparse_products.SMALLEST", 10)
    rng = np.random.default_rng(2)
    school = np.repeat(np.arange(60), 5)
    data = pd.DataFrame({"school": school.astype(str), "room": (np.arange(school.size) % 2).astype(str)})
    data["y"] = rng.normal(size=60)[school] + rng.normal(size=school.size)
    data["y"] += rng.normal(size=120)[2 * school + data["room"].astype(int)]
    fit = mf.lmm("y ~ room + (1 | school/room)", data).fit()
    oracle = Henderson(fit)
    for f, block in enumerate(fit._fit.design.blocks):
        assert fit.blup_cov(block.name).to_numpy() == pytest.approx(oracle.block(f, [0]), abs=1e-8)
    assert fit._fit.cross.sparse is not None


def test_many_level_fixed_factor_must_not_change_the_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows().assign(many=lambda d: (np.arange(len(d)) % 14).astype(str))
    plain = mf.lmm("y ~ many + (1 | g) + (1 | h)", data).fit()
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    coded = mf.lmm("y ~ many + (1 | g) + (1 | h)", data).fit()
    assert coded._fit.design.many
    for name in ("g", "h"):
        expected = plain.blup_cov(name).to_numpy()
        assert coded.blup_cov(name).to_numpy() == pytest.approx(expected, rel=1e-6)
    new = data.head(5)
    assert coded.prediction_cov(new).to_numpy() == pytest.approx(
        plain.prediction_cov(new).to_numpy(), rel=1e-6
    )


def test_differences_must_be_of_predictions_with_their_joint_errors() -> None:
    fit = fitted("y ~ f + (x | g) + (1 | h)", weighted=False)
    oracle = Henderson(fit)
    f = [block.name for block in fit._fit.design.blocks].index("g")
    table = fit.blup_differences("g", "x")
    values, cov = fit.random_effects["g"]["x"].to_numpy(), oracle.block(f, [1])
    for row, (i, j) in zip(table.itertuples(), combinations(range(len(values)), 2), strict=True):
        assert row.estimate == pytest.approx(values[i] - values[j], abs=1e-10)
        assert row.std_error == pytest.approx(np.sqrt(cov[i, i] + cov[j, j] - 2 * cov[i, j]), rel=1e-6)
    some = fit.blup_differences("g", levels=["3", "7"])
    assert some["effect"].tolist() == ["(Intercept)", "x"]
    assert some[["level", "other"]].to_numpy().tolist() == [["3", "7"]] * 2


def test_rows_that_are_not_determined_must_have_no_covariance() -> None:
    data = rows().query("not (f == 'b' and h == '2')")
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("y ~ f * h + (1 | g)", data).fit()
    new = pd.DataFrame({"f": ["b", "a", "b"], "h": ["2", "2", "3"], "g": ["1", "1", None]})
    known = np.isfinite(np.diag(fit.prediction_cov(new).to_numpy()))
    assert known.tolist() == [False, True, False]


def test_new_levels_must_share_their_effects_only_within_a_level() -> None:
    fit = fitted("y ~ 1 + (1 | g)", weighted=False)
    new = pd.DataFrame({"g": ["new", "new", "other", "3"]})
    cov = fit.prediction_cov(new, new_levels="marginal").to_numpy()
    variance = float(fit.cov_re["g"].iloc[0, 0])
    mean = float(fit.cov_params().iloc[0, 0])
    assert cov[0, 0] == pytest.approx(mean + variance, rel=1e-9)
    assert cov[0, 1] == pytest.approx(mean + variance, rel=1e-9)
    assert cov[0, 2] == pytest.approx(mean, rel=1e-9)
    with pytest.raises(mf.DataError, match="did not see"):
        fit.prediction_cov(new)


@pytest.mark.parametrize("seed", range(4))
def test_heritability_must_be_cullis_of_an_incomplete_block_design(seed: int) -> None:
    """The rival: 1 − PEV/σ²_g, and the covariance given β."""
    rng = np.random.default_rng(seed)
    genotypes, size = 20, 4
    plots = [
        (f"r{rep}", f"r{rep}b{b}", str(g))
        for rep in range(3)
        for b, part in enumerate(np.array_split(rng.permutation(genotypes), genotypes // size))
        for g in part
    ]
    data = pd.DataFrame(plots, columns=["rep", "blk", "gen"])
    data["y"] = rng.normal(size=genotypes)[data["gen"].astype(int)] + rng.normal(size=len(data)) * 0.6
    data["y"] += data["blk"].map({b: rng.normal() * 0.5 for b in data["blk"].unique()})
    fit = mf.lmm("y ~ rep + (1 | gen) + (1 | blk)", data).fit()
    oracle = Henderson(fit)
    f = [block.name for block in fit._fit.design.blocks].index("gen")
    P = oracle.block(f, [0])
    mean = np.mean([P[i, i] + P[j, j] - 2 * P[i, j] for i, j in combinations(range(genotypes), 2)])
    found = fit.heritability("gen")
    variance = float(fit.cov_re["gen"].iloc[0, 0])
    assert found["mean_variance_of_difference"] == pytest.approx(mean, rel=1e-7)
    assert found["cullis"] == pytest.approx(1 - mean / (2 * variance), rel=1e-7)
    assert found["mean_reliability"] == pytest.approx(1 - np.trace(P) / genotypes / variance, rel=1e-7)


def test_names_that_are_not_known_must_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fitted("y ~ x + (x | g)", weighted=False)
    for ask, says in (
        (lambda: fit.blup_cov("G"), "Did you mean 'g'"),
        (lambda: fit.blup_cov("g", "X"), "Did you mean 'x'"),
        (lambda: fit.blup_cov("g", levels=["3", "33"]), "'33' is not a level"),
        (lambda: fit.heritability("g", "slope"), "is not an effect"),
        (lambda: mf.lmm("y ~ x", rows()).fit().blup_cov("g"), "no random effects"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            ask()
    monkeypatch.setattr("mixedfit.prediction.joint.LARGEST", 10)
    with pytest.raises(mf.ModelError, match="too large"):
        fit.blup_cov("g")
    with pytest.raises(mf.ModelError, match="too large"):
        fit.prediction_cov()


def test_a_variance_of_0_must_have_no_errors_and_no_heritability() -> None:
    data = pd.DataFrame(
        {"g": np.repeat([str(i) for i in range(8)], 4), "y": np.tile([-2.0, -1.0, 1.0, 2.0], 8)}
    )
    fit = mf.lmm("y ~ 1 + (1 | g)", data).fit()
    assert fit.singular
    assert np.abs(fit.blup_cov("g").to_numpy()).max() == 0
    assert fit.heritability("g")["cullis"] == 0


def test_standard_errors_must_stay_the_same_after_covariances_of_large_tails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The inverse of a large tail shares its memory with the factor."""
    before = fitted("y ~ f + (x | g) + (1 | h)", weighted=False).predict(se=True)
    monkeypatch.setattr("mixedfit.likelihood.dense_tail.LARGE_TAIL", 1)
    fit = fitted("y ~ f + (x | g) + (1 | h)", weighted=False)
    covariance = fit.prediction_cov()
    assert np.sqrt(np.diag(covariance)) == pytest.approx(before["se"].to_numpy(), rel=1e-8)
    pd.testing.assert_frame_equal(fit.predict(se=True), before, rtol=1e-8)
    assert fit.prediction_cov().to_numpy() == pytest.approx(covariance.to_numpy(), rel=1e-8, abs=1e-10)
