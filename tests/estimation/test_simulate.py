"""Drawn responses: their moments, what is held and what is drawn, on rows of the fit and on new ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

DRAWS = 4000


@cache
def sleep() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


def moments_must_be(drawn: pd.DataFrame, mean: Any, covariance: Any) -> None:
    """Compare with five standard errors of the moments of normal draws."""
    n = drawn.shape[1]
    variances = np.diag(covariance)
    assert np.all(np.abs(drawn.mean(axis=1) - mean) < 5 * np.sqrt(variances / n))
    error = np.sqrt((np.outer(variances, variances) + np.asarray(covariance) ** 2) / n)
    assert np.all(np.abs(np.cov(drawn.to_numpy()) - covariance) < 5 * error)


def test_marginal_draws_of_new_rows_must_share_the_effects_of_a_level() -> None:
    fit = sleep()
    new = pd.DataFrame(
        {"Days": [0.0, 9.0, 4.0, 9.0, 2.0], "Subject": ["308", "308", "x", "x", "y"]}, index=list("abcde")
    )
    drawn = fit.simulate(DRAWS, seed=3, newdata=new)
    z = np.column_stack([np.ones(5), new["Days"]])
    same = new["Subject"].to_numpy()[:, None] == new["Subject"].to_numpy()
    covariance = np.where(same, z @ fit._fit.omega[0] @ z.T, 0.0) + fit.scale * np.eye(5)
    moments_must_be(drawn, fit.predict(new, re_form="none"), covariance)
    assert list(drawn.index) == list("abcde")
    assert list(drawn.columns[:2]) == ["sim_1", "sim_2"]


@pytest.mark.parametrize("new_levels", ["population", "marginal"])
def test_effects_that_are_held_must_be_the_blups(new_levels: Any) -> None:
    fit = sleep()
    new = pd.DataFrame({"Days": [1.0, 8.0, 8.0], "Subject": ["309", "309", "new"]})
    drawn = fit.simulate(DRAWS, seed=4, newdata=new, re_form="all", new_levels=new_levels)
    mean = fit.predict(new, new_levels=new_levels)
    extra = 0.0 if new_levels == "population" else fit._fit.omega[0]
    z = np.array([1.0, 8.0])
    variances = fit.scale + np.array([0.0, 0.0, z @ (extra * np.ones((2, 2))) @ z])
    moments_must_be(drawn, mean, np.diag(variances))
    with pytest.raises(mf.DataError, match="'new'"):
        fit.simulate(newdata=new, re_form="all")


def test_effects_left_out_must_be_drawn_beside_those_held() -> None:
    fit = sleep()
    rows = fit._fit.design.blocks[0].codes == 3
    drawn = fit.simulate(DRAWS, seed=5, re_form="~ (1 | Subject)")[rows]
    days = np.arange(10.0)
    covariance = fit._fit.omega[0][1, 1] * np.outer(days, days) + fit.scale * np.eye(10)
    moments_must_be(drawn, fit.predict(re_form="~ (1 | Subject)")[rows], covariance)


def test_draws_must_be_the_same_for_a_seed_and_the_first_of_more() -> None:
    fit = sleep()
    for options in ({}, {"re_form": "all"}, {"newdata": mf.load_dataset("sleepstudy")[:30]}):
        few, many = fit.simulate(2, seed=1, **options), fit.simulate(5, seed=1, **options)
        pd.testing.assert_frame_equal(few, many.iloc[:, :2])
        assert not np.allclose(many["sim_1"], many["sim_2"])
    assert np.isfinite(fit.refit(fit.simulate(seed=2)["sim_1"]).llf)


def test_weights_must_scale_the_residuals_of_draws() -> None:
    frame = mf.load_dataset("sleepstudy").assign(w=lambda d: 1.0 + d["Days"] % 3)
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, weights="w").fit()
    new = {"Days": [1, 2], "Subject": ["308", "309"]}
    with pytest.raises(mf.ModelError, match="Give weights="):
        fit.simulate(newdata=new)
    drawn = fit.simulate(DRAWS, seed=6, newdata=new, re_form="all", weights=[1.0, 9.0])
    moments_must_be(drawn, fit.predict(new), np.diag(fit.scale / np.array([1.0, 9.0])))
    own = fit.simulate(DRAWS, seed=7, re_form="all")[:4]
    moments_must_be(own, fit.fittedvalues[:4], np.diag(fit.scale / frame["w"].to_numpy()[:4]))


def test_missing_values_of_new_rows_must_give_missing_draws() -> None:
    new = pd.DataFrame({"Days": [1.0, np.nan, 2.0], "Subject": ["308", "308", None]})
    drawn = sleep().simulate(3, seed=1, newdata=new)
    assert drawn.isna().all(axis=1).tolist() == [False, True, True]


def test_crossed_factors_must_be_drawn_each_by_its_level() -> None:
    fit = mf.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("Penicillin")).fit()
    new = pd.DataFrame({"plate": ["a", "a", "new"], "sample": ["A", "B", "A"]})
    drawn = fit.simulate(DRAWS, seed=8, newdata=new)
    plate, sample = (float(o[0, 0]) for o in fit._fit.omega)
    covariance = fit.scale * np.eye(3) + plate * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    covariance = covariance + sample * np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    moments_must_be(drawn, fit.predict(new, re_form="none"), covariance)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 0}, "n is 0"), ({"seed": "x"}, "seed='x'"), ({"new_levels": "x"}, "new_levels='x'")],
)
def test_wrong_options_of_draws_must_be_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        sleep().simulate(**options)
