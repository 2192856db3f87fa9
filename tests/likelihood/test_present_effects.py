"""Levels with few of many effects: the sums over their own effects are those of the loop over all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.estimation.fit import criterion_of
from mixedfit.likelihood import first_factor, present_effects


def diary(levels: int = 9, seed: int = 1) -> pd.DataFrame:
    """Return rows of levels that have two to five of 20 times, some of them twice."""
    rng = np.random.default_rng(seed)
    rows = [
        (g, t)
        for g in range(levels)
        for t in rng.choice(20, size=rng.integers(2, 6), replace=False)
        for _ in range(rng.integers(1, 3))
    ]
    frame = pd.DataFrame(rows, columns=["g", "t"])
    frame["x"], frame["y"] = rng.normal(size=(2, len(frame)))
    return frame


FORMULAS = ["y ~ x + ou(0 + t | g)", "y ~ x + (1 | g) + ou(0 + t | g)", "y ~ 1 + ar1(0 + t | g)"]


def facts(formula: str, reml: bool, theta: Any, weights: Any = None) -> dict[str, Any]:
    """Return what is computed from the first factor at θ."""
    design = mf.lmm(formula, diary(), weights=weights).design
    cross = cross_products(design)
    evaluation = criterion_of(design, cross, reml, None)(theta)
    lam, count = evaluation.tail.lams[0], design.blocks[0].k
    coefficients = np.random.default_rng(3).normal(size=(design.blocks[0].levels, count, 2))
    products, crossed = np.zeros((2, 2)), np.zeros((2, cross.p))
    first_factor.variates(cross, lam, coefficients, products, crossed)
    return {
        "value": evaluation.value,
        "gradient": evaluation.gradient,
        "curvature": evaluation.curvature,
        "exact curvature": evaluation.exact_curvature,
        "modes": first_factor.modes(cross, lam, evaluation.solution),
        "projected": first_factor.project(cross, lam, np.zeros((0, cross.p + 1))),
        "products": products,
        "crossed": crossed,
        "conditional": evaluation.tail.mode_blocks(0),
    }


@pytest.mark.everyday(6)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("correlation", [0.7, 0.0])
def test_sums_over_own_effects_must_be_those_over_all(
    formula: str, reml: bool, correlation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 0 ou has correlations of 1, and Ω no Cholesky factor."""
    size = mf.lmm(formula, diary()).design.n_theta
    theta = np.array([0.6, 1.3, correlation][-size:])
    taken = []
    monkeypatch.setattr(
        first_factor,
        "level_classes",
        lambda cross: taken.append(present_effects.level_classes(cross)) or taken[-1],
    )
    found = facts(formula, reml, theta)
    assert any(taken)
    monkeypatch.setattr(first_factor, "level_classes", lambda cross: [])
    expected = facts(formula, reml, theta)
    for name, value in expected.items():
        if value is not None:
            np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-8, err_msg=name)


def test_levels_with_all_effects_must_take_the_loop_over_all() -> None:
    frame = pd.DataFrame({"g": np.repeat(np.arange(5), 15), "t": np.tile(np.arange(15), 5)})
    frame["y"] = np.random.default_rng(2).normal(size=75)
    assert not present_effects.level_classes(cross_products(mf.lmm("y ~ 1 + ou(0 + t | g)", frame).design))


def test_times_of_their_own_must_fit_as_the_residual_structure_with_a_nugget() -> None:
    """σ² + s² exp(−κd) either way; a dense covariance of all distinct times in every level was refused."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"g": np.repeat(np.arange(60), 6), "t": rng.uniform(0, 10, 360)})
    apart = np.abs(np.subtract.outer(frame.t.to_numpy(), frame.t.to_numpy()))
    together = np.equal.outer(frame.g.to_numpy(), frame.g.to_numpy())
    series = rng.multivariate_normal(np.zeros(360), np.where(together, np.exp(-apart / 2), 0.0))
    frame["y"] = 10 + series + 0.5 * rng.normal(size=360)
    effects = mf.lmm("y ~ 1 + ou(0 + t | g)", frame).fit()
    law = mf.residuals.Exponential("t", "g", nugget=True)
    residuals = mf.lmm("y ~ 1", frame, residual=law).fit()
    assert effects.reml_criterion == pytest.approx(residuals.reml_criterion, abs=1e-6)
    np.testing.assert_allclose(effects.bse, residuals.bse, rtol=1e-5)
    nugget = residuals.residual_params["estimate"]["nugget"]
    assert effects.sigma**2 == pytest.approx(residuals.sigma**2 * nugget, rel=1e-4)


def test_too_many_places_must_be_refused_with_the_residual_structure_of_the_same_model() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"g": np.repeat(np.arange(300), 5), "t": rng.uniform(0, 10, 1500)})
    frame["y"], frame["h"] = rng.normal(size=1500), np.tile(np.arange(5), 300)
    words = r"residual=mf.residuals.Exponential\('t', 'g', nugget=True\) is the same model"
    with pytest.raises(mf.ModelError, match=words):
        mf.lmm("y ~ 1 + ou(0 + t | g)", frame)
    with pytest.raises(mf.ModelError, match="1000 distinct places"):
        mf.lmm("y ~ 1 + ar1(0 + k | g) + (1 | h)", frame.assign(k=np.arange(1500) % 1000))
