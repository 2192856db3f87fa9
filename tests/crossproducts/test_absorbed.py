"""Products less a fixed factor of many levels have the REML criterion of all products, but for a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.crossproducts import absorbed as absorption
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.design import model_matrix
from mixedfit.likelihood.criterion import Criterion


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 700
    frame = pd.DataFrame({"g": rng.integers(0, 12, n), "h": rng.integers(0, 7, n), "x": rng.normal(2, 1, n)})
    frame["f"], frame["k"] = (
        np.char.add(a, rng.integers(0, b, n).astype(str)) for a, b in (("f", 80), ("k", 9))
    )
    frame["y"] = frame["x"] + rng.normal(size=12)[frame["g"]] + rng.normal(size=n)
    frame["w"] = rng.uniform(0.5, 2, n)
    return frame


@pytest.fixture(autouse=True)
def few_levels_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_matrix, "MANY_LEVELS", 8)
    monkeypatch.setattr(absorption, "FEWEST", 10)


def products(formula: str, **options: Any) -> tuple[Any, CrossProducts]:
    design = mf.lmm(formula, rows(), **options).design
    return tuple(block.structure for block in design.blocks), cross_products(design)


@pytest.mark.parametrize("options", [{}, {"weights": "w"}])
@pytest.mark.parametrize(
    "formula", ["y ~ x + f + (1 + x | g) + (1 | h)", "y ~ 0 + x + k + f + (1 | g)", "y ~ x + f + k + (1 | g)"]
)
def test_criterion_without_the_levels_must_differ_by_a_constant(formula: str, options: Any) -> None:
    """Rivals: n rows in place of n less the levels; Z not projected."""
    structures, cross = products(formula, **options)
    fewer = absorption.absorbed(cross)
    assert fewer is not None
    assert fewer.q_tail < cross.q_tail
    differences = []
    for seed in range(3):
        full, small = (Criterion(own, structures, True) for own in (cross, fewer))
        theta = np.random.default_rng(seed).uniform(0.1, 1.5, full.n_theta)
        one, two = full(theta), small(theta)
        np.testing.assert_allclose(two.gradient, one.gradient, rtol=1e-8, atol=1e-8)
        differences.append(one.value - two.value)
    np.testing.assert_allclose(differences, differences[0], atol=1e-8)


def test_search_without_the_levels_must_end_where_the_whole_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only REML can leave them out: the maximum of the likelihood is another one."""
    model = mf.lmm("y ~ x + f + (1 | g)", rows())
    fits = [model.fit(reml=reml) for reml in (True, False)]
    monkeypatch.setattr(absorption, "FEWEST", 10**9)
    for fit, reml in zip(fits, (True, False), strict=True):
        whole = model.fit(reml=reml)
        np.testing.assert_allclose(fit.theta, whole.theta, rtol=1e-6)
        np.testing.assert_allclose(fit.bse, whole.bse, rtol=1e-7)
        assert fit.deviance == pytest.approx(whole.deviance, abs=1e-7)


def test_levels_must_stay_when_the_random_effects_are_no_fewer() -> None:
    assert absorption.absorbed(products("y ~ x + k + (1 | g)")[1]) is None
    assert absorption.absorbed(products("y ~ x + (1 | g) + (1 | h)")[1]) is None
