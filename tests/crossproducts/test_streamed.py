"""Cross-products of rows in batches equal those of one frame, whatever the batches and their order."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import Problem
from strategies import fittable, thetas

import mixedfit as mf
from mixedfit.crossproducts import product_sums
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.crossproducts.summed import products_of
from mixedfit.design.collected import collected
from mixedfit.design.design import Design
from mixedfit.estimation.fit import criterion_of

SETTINGS: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

LABELS = {
    "text": lambda values: values,
    "category": lambda values: pd.Categorical(values, categories=sorted(set(values), reverse=True)),
    "numbers": lambda values: pd.factorize(pd.Series(values), sort=True)[0] * 7 - 3,
    "floats": lambda values: pd.factorize(pd.Series(values), sort=True)[0] / 4,
    "booleans": lambda values: np.array([value.endswith(("0", "2", "4")) for value in values]),
}


def in_batches(frame: pd.DataFrame, cuts: list[int]) -> list[pd.DataFrame]:
    """Return consecutive parts of a frame; some may be empty."""
    ends = [0, *sorted(cuts), len(frame)]
    return [frame.iloc[a:b] for a, b in pairwise(ends)]


def both(formula: str, frame: pd.DataFrame, batches: Any, **options: Any) -> tuple[Design, Design]:
    """Return the designs of a frame and of its rows in batches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, frame, **options).design, mf.lmm(formula, batches, **options).design


def same_criterion(one: Design, other: Design, theta: Any, *, reml: bool = True) -> None:
    """Assert that two designs have the same criterion and estimates at θ."""
    values = [criterion_of(d, products_of(d), reml, None)(theta) for d in (one, other)]
    scale = 1.0 + abs(values[0].value)
    assert values[1].value == pytest.approx(values[0].value, abs=1e-10 * scale)
    assert values[1].sigma == pytest.approx(values[0].sigma, rel=1e-9)
    kept = [products_of(d).fixed.kept for d in (one, other)]
    np.testing.assert_array_equal(kept[1], kept[0])


@settings(max_examples=25, derandomize=True, **SETTINGS)
@given(data=st.data())
def test_products_must_be_those_of_the_frame_whatever_the_batches(data: Any) -> None:
    """Rivals: a basis of the first batch alone, levels in order of appearance, products of pairs seen once."""
    problem: Problem = data.draw(fittable(wild=False))
    frame = problem.frame.copy()
    n = len(frame)
    for group in ("g", "h", "k"):
        if group in frame:
            frame[group] = LABELS[data.draw(st.sampled_from(["text", "category", "numbers", "floats"]))](
                frame[group]
            )
    if problem.weights is not None:
        frame["w"] = problem.weights
    frame = frame.iloc[data.draw(st.permutations(range(n)))]
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6))
    weights = None if problem.weights is None else "w"
    one, other = both(problem.formula, frame, in_batches(frame, cuts), weights=weights)
    theta = data.draw(thetas(problem))
    same_criterion(one, other, theta)
    same_criterion(one, other, theta, reml=False)


def crossed(n: int = 400, seed: int = 1) -> pd.DataFrame:
    """Return rows of two crossed factors, a number whose range moves, and late levels."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": np.sort(rng.exponential(3.0, n)) ** 3 + 100,
            "z": rng.normal(size=n),
            "g": rng.integers(0, 30, n),
            "h": rng.choice(list("pqrstuvw"), n),
            "f": np.repeat(["late", "early"], [n // 5, n - n // 5])[::-1],
            "w": rng.uniform(0.5, 2, n),
            "o": rng.normal(size=n),
        }
    )
    frame["y"] = frame["x"] / 10 + rng.normal(size=30)[frame["g"]] + rng.normal(size=n)
    return frame


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x * f + (x | g) + (1 | h)",
        "y ~ scale(x) + poly(z, 2) + (1 | g)",
        "y ~ ns(x, 3) + center(z) + (scale(z) | g)",
        "y ~ bs(z, 5) + offset(o) + (f || g) + (z | h)",
        "y ~ C(g) + (1 | h)",
        "y ~ f + I(x * 2) + x + (1 | g:h)",
        "log(y + 100) ~ x + (1 | h/g)",
        "y ~ x + f",
        "y ~ z + (0 + f | g) + cs(0 + f | h)",
    ],
)
@pytest.mark.parametrize("rows", [7, 64])
def test_formula_must_give_the_products_of_the_frame(formula: str, rows: int) -> None:
    """The mean, the knots, the polynomials and the levels are those of all rows, not of a batch."""
    frame = crossed(160)
    frame.loc[[1, 7, 133], "z"] = np.nan
    one, other = both(formula, frame, [frame], weights="w", offset="o")
    batches = both(formula, frame, in_batches(frame, list(range(rows, 160, rows))), weights="w", offset="o")[
        1
    ]
    assert batches.x_names == one.x_names
    assert batches.theta_names == one.theta_names
    for block, own in zip(one.blocks, batches.blocks, strict=True):
        assert own.effects == block.effects
        assert own.grouping.levels.equals(block.grouping.levels)
    theta = 0.3 + 0.1 * np.cos(np.arange(one.n_theta))
    same_criterion(one, other, theta)
    same_criterion(one, batches, theta)


def test_sparse_tail_must_be_that_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested factors with many levels: the tail is stored in blocks; a pair of levels comes up in some batches only."""
    from mixedfit.crossproducts import sparse_products

    for module in (product_sums, sparse_products):
        monkeypatch.setattr(module, "SMALLEST", 20)
    rng = np.random.default_rng(4)
    n = 1500
    school = rng.integers(0, 100, n)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "school": school, "pupil": school * 4 + rng.integers(0, 4, n)}
    )
    frame["year"] = frame["school"] % 50 + 1000
    frame["y"] = rng.normal(size=n) + rng.normal(size=100)[school]
    formula = "y ~ x + (1 | pupil) + (x | school) + (1 | year)"
    one, other = both(formula, frame, in_batches(frame, [10, 500, 900]))
    assert products_of(one).sparse is not None
    assert products_of(other).sparse is not None
    same_criterion(one, other, np.array([0.7, 0.5, 0.1, 0.3, 0.2]))
    np.testing.assert_allclose(
        products_of(other).sparse.diagonal(), products_of(one).sparse.diagonal(), rtol=1e-10
    )


def test_basis_must_follow_a_covariate_that_drifts() -> None:
    """In the basis of the first batch the covariate is 1e6 SD away: five digits of the criterion would be lost."""
    rng = np.random.default_rng(5)
    n = 3000
    frame = pd.DataFrame(
        {"x": 1e7 + np.linspace(0, 1e3, n) ** 3 + rng.normal(size=n), "g": np.arange(n) % 40}
    )
    frame["y"] = 1e-9 * frame["x"] + rng.normal(size=n) + rng.normal(size=40)[frame["g"]]
    one, other = both("y ~ x + (x | g)", frame, in_batches(frame, list(range(20, n, 20))))
    same_criterion(one, other, np.array([1.0, 1e-10, 1e-9]))


def test_columns_of_one_name_must_not_be_taken_for_one_column() -> None:
    """A number is named as a level of a factor among the effects."""
    frame = crossed(120).rename(columns={"z": "hq"})
    one, other = both("y ~ x + hq + (0 + h | g)", frame, in_batches(frame, [30, 60]))
    theta = 0.2 + 0.1 * np.cos(np.arange(one.n_theta))
    same_criterion(one, other, theta)
    totals = other.absent.known_totals()
    np.testing.assert_allclose(
        np.linalg.norm(totals.columns[:, totals.fixed[2]]), np.linalg.norm(frame["hq"]), rtol=1e-10
    )


def test_batches_without_weight_must_count_for_nothing() -> None:
    """The first batch has no row of positive weight, and another lacks some effects."""
    frame = crossed(120)
    frame.loc[:29, "w"] = 0.0
    frame.loc[60:80, "z"] = 0.0
    one, other = both("y ~ x + f + (z | g) + (1 | h)", frame, in_batches(frame, [30, 60, 81]), weights="w")
    same_criterion(one, other, np.array([0.7, 0.1, 0.5, 0.3]))


def test_rows_must_be_those_of_the_frame_when_they_are_read_again() -> None:
    frame = crossed(60)
    one, other = both("y ~ x + f + (z | g) + (1 | h)", frame, in_batches(frame, [7, 30]))
    again = collected(other)
    np.testing.assert_array_equal(again.X, one.X)
    np.testing.assert_array_equal(again.y, one.y)
    for block, own in zip(one.blocks, again.blocks, strict=True):
        np.testing.assert_array_equal(own.codes, block.codes)
        np.testing.assert_array_equal(own.z, block.z)
    assert cross_products(again).n == products_of(other).n


@pytest.mark.parametrize(
    ("formula", "unidentified"),
    [
        ("y ~ 1 + (1 | g) + (1 | twin)", True),
        ("y ~ 1 + (1 | g) + (1 | h)", False),
        ("y ~ 1 + (1 | g) + (1 | shifted)", False),  # crossed, with as many levels
        ("y ~ 1 + (1 | g) + (1 | outer)", False),  # g nested in it
    ],
)
@pytest.mark.parametrize("cuts", [[50, 51, 200], []])
def test_two_names_of_the_same_groups_must_be_seen(formula: str, unidentified: bool, cuts: list[int]) -> None:
    frame = crossed()
    frame["twin"], frame["outer"] = frame["g"].astype(str), frame["g"].astype("category").cat.codes // 2
    frame["shifted"] = (frame["g"].astype("category").cat.codes + np.arange(len(frame))) % frame[
        "g"
    ].nunique()
    _, other = both(formula, frame, in_batches(frame, cuts))
    assert any(moved.any() for moved in products_of(other).unidentified) == unidentified


def test_arrays_must_be_contiguous_as_kernels_take_them() -> None:
    """With arrays of another layout, kernels of numba 0.60 computed wrong numbers."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {"x": rng.normal(5, 2, 300), "g": rng.integers(0, 9, 300), "h": rng.integers(0, 4, 300)}
    )
    frame["y"] = frame["x"] + rng.normal(size=300)
    cross = mf.lmm("y ~ x + (x | g) + (1 | h)", [frame[:100], frame[100:]]).fit()._fit.cross
    first = cross.first
    for array in (first.gram, first.border, first.values, first.indptr, first.indices, cross.gram):
        assert array.flags.c_contiguous
