"""Fits at the edge of what the data determine: a result, or a refusal in the package's words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from models import sleepstudy
from problems import computing

import mixedfit as mf


@pytest.fixture
def frame() -> pd.DataFrame:
    """Six groups of four, a covariate, a fixed factor m of six levels and one, k, that m determines."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": rng.normal(size=24), "x": rng.normal(size=24), "g": np.arange(24) % 6})
    table["m"] = np.array(list("abcdef"))[np.arange(24) // 4]
    table["k"] = table["m"].replace({"b": "a"})
    return table


def by_columns_and_codes(formula: str, frame: pd.DataFrame, **options: Any) -> list[mf.MixedResults]:
    """Return fits with the fixed factors as columns of X and as codes."""
    columns = mf.lmm(formula, frame, **options).fit()
    with computing("dense"):
        return [columns, mf.lmm(formula, frame, **options).fit()]


# -- several minima --------------------------------------------------------------------------------


def test_fit_must_find_the_deeper_minimum_when_the_likelihood_has_two() -> None:
    """Deviance 33.50 at θ = 0 and 31.79 at θ = 2.68, which lme4 finds from θ = 1."""
    data = {
        "y": np.array([2.0, 2, -2, -2, -1, 0, 4, -2]),
        "x": np.array([3.0, 0, -3, -3, -1, 3, 1, 3]),
        "g": [0, 0, 0, 0, 0, 1, 2, 3],
    }
    fit = mf.lmm("y ~ x + (1 | g)", data).fit(reml=False)
    assert fit.deviance == pytest.approx(31.7894, abs=1e-4)


# -- starts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [np.nan, np.inf])
def test_start_must_be_refused_when_not_finite(start: float) -> None:
    with pytest.raises(mf.ModelError, match="start"):
        mf.lmm("Reaction ~ Days + (1 | Subject)", sleepstudy()).fit(start=[start])


def test_fit_must_be_found_when_the_start_is_far_away() -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", sleepstudy())
    assert model.fit(start=[1e9, 1e9, 1e9]).reml_criterion == pytest.approx(1743.6283, abs=1e-4)


@pytest.mark.everyday(21)
@pytest.mark.parametrize("exponent", [-300, -20, -3, 3, 6, 7, 8, 9, 12, 18, 25, 100, 200, 308])
@pytest.mark.parametrize(
    ("name", "formula", "size"),
    [
        ("sleepstudy", "Reaction ~ Days + (Days | Subject)", 3),
        ("sleepstudy", "Reaction ~ Days + (Days || Subject)", 2),
        ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", 2),
    ],
)
def test_fit_must_be_found_from_any_finite_start(name: str, formula: str, size: int, exponent: int) -> None:
    model = mf.lmm(formula, mf.load_dataset(name))
    best = model.fit().reml_criterion
    rng = np.random.default_rng(abs(exponent))
    same = np.full(size, 10.0**exponent)
    signs = same * rng.uniform(-1, 1, size)
    spread = 10.0 ** rng.uniform(-abs(exponent), abs(exponent), size)
    for start in (same, signs, spread):
        fit = model.fit(start=start)
        assert fit.converged, start
        assert fit.reml_criterion == pytest.approx(best, abs=1e-6), start


# -- responses that leave nothing to the residual --------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        "constant",
        "group",
        "line",
    ],
)
def test_exact_response_must_give_a_zero_residual_or_a_refusal(frame: pd.DataFrame, response: str) -> None:
    exact = {"constant": 3.0, "group": 1.0 * frame["g"], "line": 2 * frame["x"] + 1}[response]
    fixed = "x" if response == "line" else "1"
    model = mf.lmm(f"y ~ {fixed} + (1 | g)", frame.assign(y=exact))
    try:
        sigma = model.fit().sigma
    except mf.ModelError:
        return
    assert sigma < 1e-10


# -- effects that the data do not determine --------------------------------------------------------


def test_fit_must_be_singular_when_the_column_of_an_effect_is_zero(frame: pd.DataFrame) -> None:
    assert mf.lmm("y ~ x + (z | g)", frame.assign(z=0.0)).fit().singular


def test_fit_must_be_singular_when_two_effects_are_proportional(frame: pd.DataFrame) -> None:
    assert mf.lmm("y ~ x + (x + z | g)", frame.assign(z=2 * frame["x"])).fit().singular


def test_fit_must_converge_when_intercepts_and_slopes_are_nearly_the_same() -> None:
    rng = np.random.default_rng(4)
    n = int(rng.integers(10, 20))
    y, x = rng.normal(size=n), 1 + 1e-6 * rng.normal(size=n)
    data = {"y": y, "x": x, "g": np.arange(n) % 3, "k": rng.integers(0, 3, n)}
    model = mf.lmm("y ~ x + (1 | k) + (0 + x | k) + (1 | g) + (0 + x | g)", data)
    assert model.fit(reml=False).converged


def test_factor_must_be_refused_when_every_counted_row_has_its_own_level(frame: pd.DataFrame) -> None:
    weights = (np.arange(24) < 6).astype(float)
    with pytest.raises(mf.ModelError, match="as many levels"):
        mf.lmm("y ~ 1 + (1 | g)", frame, weights=weights).fit()


# -- rows of weight 0 ------------------------------------------------------------------------------


def test_levels_must_keep_their_place_when_all_their_rows_have_weight_zero(frame: pd.DataFrame) -> None:
    """Their effect is 0 with the marginal variance."""
    fit = mf.lmm("y ~ x + (1 | g)", frame, weights=(frame["g"] != 2).astype(float)).fit(sigma=0.5)
    variance = fit.varcorr["vcov"][0]
    assert fit.random_effects["g"].loc[2, "(Intercept)"] == 0.0
    assert fit.random_effects_cov["g"].loc[(2, "(Intercept)"), "(Intercept)"] == pytest.approx(variance)


def test_fit_must_be_that_of_the_counted_rows_when_weights_are_zero_or_one(frame: pd.DataFrame) -> None:
    counted = frame["x"] > -0.5
    fit = mf.lmm("y ~ x + (1 | g)", frame, weights=counted.astype(float)).fit()
    expected = mf.lmm("y ~ x + (1 | g)", frame[counted]).fit()
    np.testing.assert_allclose(fit.params, expected.params, rtol=1e-8)
    assert (fit.bic, fit.nobs) == (pytest.approx(expected.bic, abs=1e-8), counted.sum())


# -- fixed factors by codes ------------------------------------------------------------------------


def test_fixed_level_without_counted_rows_must_be_dropped_by_codes_as_by_columns(frame: pd.DataFrame) -> None:
    with pytest.warns(mf.RankWarning):
        columns, codes = by_columns_and_codes(
            "y ~ x + m + (1 | g)", frame, weights=(frame["m"] != "c").astype(float)
        )
    pd.testing.assert_series_equal(codes.params, columns.params)
    assert codes.reml_criterion == pytest.approx(columns.reml_criterion, abs=1e-9)


def test_fixed_factor_must_be_dropped_by_codes_when_another_determines_it(frame: pd.DataFrame) -> None:
    with pytest.warns(mf.RankWarning):
        columns, codes = by_columns_and_codes("y ~ m + k + x + (1 | g)", frame)
    assert codes.deviance == pytest.approx(columns.deviance, abs=1e-9)


def test_deviance_must_keep_its_digits_by_codes_when_y_is_far_from_zero(frame: pd.DataFrame) -> None:
    """Without an intercept among the columns of X; at a mean of 10⁶ the second decimal is lost."""
    columns, codes = by_columns_and_codes("y ~ 0 + m + x + (1 | g)", frame.assign(y=frame["y"] + 1e6))
    assert codes.deviance == pytest.approx(columns.deviance, abs=1e-6)


@pytest.fixture
def aliased() -> pd.DataFrame:
    """Three fixed factors: m and k occur together in two parts, and m and k determine a level of l."""
    rng = np.random.default_rng(7)
    n = 90
    m = rng.integers(0, 8, n)
    k = np.where(m < 5, rng.integers(0, 4, n), 4 + rng.integers(0, 3, n))
    m[0], k[0] = 0, 1
    k[(m == 1) & (k == 2)] = 3
    lowest = rng.integers(0, 4, n)
    table = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "g": rng.integers(0, 9, n)})
    table["m"], table["k"] = np.array(list("abcdefgh"))[m], np.array(list("pqrstuv"))[k]
    table["l"] = np.where((m == 1) | (k == 2), "4", lowest.astype(str))
    return table


@pytest.mark.everyday(5)
@pytest.mark.parametrize("way", ["dense", "sparse"])
@pytest.mark.parametrize("uncounted", ["", "a", "d", "h"])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("fixed", ["m + k + x", "0 + m + k + x", "m + x", "0 + m + k + l + x", "m + k + l"])
def test_fit_must_be_the_same_by_codes_as_by_columns_when_levels_are_aliased(
    aliased: pd.DataFrame, fixed: str, reml: bool, uncounted: str, way: str
) -> None:
    weights = np.where(aliased["m"] == uncounted, 0.0, 1.0 + (aliased["l"] == "2"))
    formula = f"y ~ {fixed} + (1 | g)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.RankWarning)
        columns = mf.lmm(formula, aliased, weights=weights).fit(reml=reml)
        with computing(way):
            codes = mf.lmm(formula, aliased, weights=weights).fit(reml=reml)
    criterion = "reml_criterion" if reml else "deviance"
    assert getattr(codes, criterion) == pytest.approx(getattr(columns, criterion), abs=1e-8)
    order = columns.params.index
    np.testing.assert_allclose(codes.params[order], columns.params, atol=1e-6)
    np.testing.assert_allclose(codes.bse[order], columns.bse, rtol=1e-6)
    np.testing.assert_allclose(codes.fittedvalues, columns.fittedvalues, atol=1e-6)
    assert codes.df_resid == columns.df_resid


@pytest.mark.parametrize("fixed", ["m + x", "0 + m + x", "0 + m + k + x"])
def test_digits_must_be_kept_by_codes_when_response_and_covariate_are_far_from_zero(
    aliased: pd.DataFrame, fixed: str
) -> None:
    """Shifts within the span of the factors: criterion, slope and its error are those without them."""
    near = mf.lmm(f"y ~ {fixed} + (1 | g)", aliased.assign(k=aliased["l"])).fit()
    far = aliased.assign(y=aliased["y"] + 1e6, x=aliased["x"] + 1e5 * (aliased["m"] > "c"), k=aliased["l"])
    with computing("dense"):
        codes = mf.lmm(f"y ~ {fixed} + (1 | g)", far).fit()
        again = codes.refit(aliased["y"] - 1e6)
    for fit in (codes, again):
        assert fit.reml_criterion == pytest.approx(near.reml_criterion, abs=1e-7)
        assert fit.params["x"] == pytest.approx(near.params["x"], abs=1e-7)
        assert fit.bse["x"] == pytest.approx(near.bse["x"], rel=1e-7)


def test_names_must_be_the_same_by_codes_as_by_columns_when_there_is_no_intercept(
    frame: pd.DataFrame,
) -> None:
    frame = frame.assign(c=np.array(["u", "v"])[np.arange(24) % 2])
    columns, codes = by_columns_and_codes("y ~ 0 + m + c + (1 | g)", frame)
    assert sorted(codes.params.index) == sorted(columns.params.index)


def test_names_must_be_the_same_by_codes_as_by_columns_when_a_call_makes_the_factor(
    frame: pd.DataFrame,
) -> None:
    columns, codes = by_columns_and_codes("y ~ C(m) + (1 | g)", frame)
    assert sorted(codes.params.index) == sorted(columns.params.index)


def test_two_fixed_factors_by_codes_must_equal_columns(frame: pd.DataFrame) -> None:
    frame = frame.assign(k=np.array(list("pqrs"))[(np.arange(24) * 7 + np.arange(24) // 5) % 4])
    columns, codes = by_columns_and_codes("y ~ m + k + x + (1 | g)", frame)
    np.testing.assert_allclose(codes.params[columns.params.index], columns.params, atol=1e-9)
    np.testing.assert_allclose(codes.bse[columns.params.index], columns.bse, rtol=1e-9)


# -- tables ----------------------------------------------------------------------------------------


def test_coefficients_of_groups_must_be_the_effects_alone_when_the_fixed_column_is_dropped() -> None:
    """lme4 gives 4.809703 for the first subject."""
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("Reaction ~ Days + I(2 * Days) + (0 + I(2 * Days) | Subject)", sleepstudy()).fit()
    assert fit.group_coefs["Subject"].loc["308", "I(2 * Days)"] == pytest.approx(4.809703, abs=1e-4)


def test_second_variable_must_be_none_in_rows_of_variances() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", sleepstudy()).fit()
    assert fit.varcorr["var2"].tolist() == [None, None, "Days", None]


def test_names_must_keep_a_power_as_it_was_written() -> None:
    fit = mf.lmm("Reaction ~ I(Days^2) + (1 | Subject)", sleepstudy()).fit()
    assert list(fit.params.index) == ["(Intercept)", "I(Days^2)"]


def test_search_must_end_where_two_terms_are_one() -> None:
    """A constant covariate makes a slope an intercept: damped Newton steps stall in the valley, a trust region ends."""
    rng = np.random.default_rng(0)
    group = np.array(["g02", "g01"] + ["g02"] * 9 + ["g00"] + ["g02"] * 2)
    y = rng.normal(size=14) + np.where(group == "g00", -5.0, 1.0)
    data = {"y": y, "x": np.full(14, 0.01), "g": group}
    fit = mf.lmm("y ~ 0 + x + (1 | g) + (0 + x | g)", data).fit()
    one = mf.lmm("y ~ 0 + x + (1 | g)", data).fit()
    assert fit.converged
    assert fit.reml_criterion <= one.reml_criterion + 1e-6
