"""What people get wrong on the first day must be understood, or refused with advice."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 600
    data = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(list("abcdefghijkl"), n)})
    data["dose"] = np.resize(["low", "mid", "high"], n)
    data["cond"] = rng.random(n) < 0.5
    data["w"] = rng.uniform(1, 2, n)
    effects = dict(zip("abcdefghijkl", rng.normal(size=12), strict=True))
    data["y"] = data["x"] + rng.normal(size=n) + data["g"].map(effects).astype(float)
    return data


@pytest.mark.parametrize("kind", ["str", "object", "string", "category"])
def test_text_must_be_a_factor_whatever_its_type(kind: str) -> None:
    data = frame()
    data["digits"] = pd.Series(np.resize(["0", "1", "2"], 600)).astype(kind)
    fit = mf.lmm("y ~ x + digits + (1 | g)", data).fit()
    assert list(fit.params.index) == ["(Intercept)", "x", "digits1", "digits2"]
    assert fit.theta.size + mf.lmm("y ~ x + (0 + digits | g)", data).fit().theta.size == 7


def test_nullable_frames_must_give_the_same_fit() -> None:
    data = frame()
    expected = mf.lmm("y ~ x + dose + cond + (x | g)", data).fit()
    nullable = mf.lmm("y ~ x + dose + cond + (x | g)", data.convert_dtypes()).fit()
    assert nullable.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-8)
    pd.testing.assert_index_equal(nullable.params.index, expected.params.index)


def test_booleans_must_be_numbers_even_with_a_missing_one() -> None:
    data = frame()
    data["cond"] = data["cond"].astype(object)
    data.loc[3, "cond"] = None
    with pytest.warns(mf.MissingRowsWarning):
        fit = mf.lmm("y ~ cond + (0 + cond | g)", data).fit()
    assert list(fit.params.index) == ["(Intercept)", "cond"]
    assert list(fit.theta.index) == ["g.cond"]


@pytest.mark.parametrize("offset", ["dose", "poly(x, 2)"])
def test_offset_that_is_not_one_number_a_row_must_be_refused(offset: str) -> None:
    with pytest.raises(mf.DataError, match="one column of numbers"):
        mf.lmm(f"y ~ offset({offset}) + (1 | g)", frame())


def test_series_must_be_matched_by_their_index() -> None:
    data = frame()
    shuffled = data.sample(frac=1, random_state=3)
    expected = mf.lmm("y ~ x + (1 | g)", data, weights=data["w"]).fit()
    fit = mf.lmm("y ~ x + (1 | g)", data, weights=shuffled["w"]).fit()
    by_position = mf.lmm("y ~ x + (1 | g)", data, weights=shuffled["w"].to_numpy()).fit()
    assert fit.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-9)
    assert abs(by_position.reml_criterion - expected.reml_criterion) > 1
    assert fit.refit(shuffled["y"]).reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-7)
    with pytest.raises(mf.DataError, match="to_numpy"):
        mf.lmm("y ~ x + (1 | g)", data, weights=pd.Series(np.ones(600), index=np.arange(600) + 7))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"reml": "ML"}, "True .REML. or False"),
        ({"control": {}}, "Control"),
        ({"sigma": "1"}, "positive number"),
        ({"start": {}}, "finite numbers"),
        ({"start": [np.nan]}, "finite numbers"),
    ],
)
def test_option_of_the_wrong_kind_must_be_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(mf.ModelError, match=says):
        mf.lmm("y ~ x + (1 | g)", frame()).fit(**arguments)  # type: ignore[arg-type]


def test_probability_of_error_for_coverage_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="coverage"):
        mf.lmm("y ~ x + (1 | g)", frame()).fit().conf_int(0.05)


@pytest.mark.parametrize("response", [0.0, 1.0])
def test_constant_response_must_be_refused(response: float) -> None:
    with pytest.raises(mf.ModelError, match="exactly"):
        mf.lmm("y ~ x + (1 | g)", frame().assign(y=response)).fit()


def test_response_that_groups_determine_must_be_refused() -> None:
    data = frame()
    with pytest.raises(mf.ModelError, match="random effects reproduce"):
        mf.lmm("y ~ x + (1 | g)", data.assign(y=data["g"].map(ord) * 1.0)).fit()


def test_response_among_the_predictors_must_be_refused() -> None:
    with pytest.raises(mf.FormulaError, match="on the right"):
        mf.lmm("y ~ y + (1 | g)", frame())


@pytest.mark.parametrize("size", [1e200, 1e-170])
def test_numbers_whose_squares_overflow_must_be_refused(size: float) -> None:
    data = frame()
    with pytest.raises(mf.MixedfitError, match=r"rescale|exactly"):
        mf.lmm("y ~ x + (1 | g)", data.assign(y=data["y"] * size)).fit()


def test_variance_that_the_data_do_not_determine_must_be_named() -> None:
    data = frame()
    fit = mf.lmm("y ~ gg + (1 | g)", data.assign(gg=data["g"])).fit()
    assert "do not determine the variance of g" in fit.convergence.message
    determined = mf.lmm("y ~ x + (1 | g)", data).fit()
    assert "do not determine" not in determined.convergence.message


@pytest.mark.filterwarnings("ignore::mixedfit.ConvergenceWarning")
def test_meta_analysis_without_held_sigma_must_warn() -> None:
    data = frame().assign(study=np.arange(600))
    with pytest.warns(mf.IdentifiabilityWarning, match="sigma=1"):
        mf.lmm("y ~ 1 + (1 | study)", data, weights="w").fit()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mf.lmm("y ~ 1 + (1 | study)", data, weights="w").fit(sigma=1.0)


def test_many_level_factors_without_full_rank_must_lose_columns_with_a_warning() -> None:
    """Ten parts of levels that occur together: nine without the reference lose their last column each."""
    i = np.arange(600)
    data = frame().assign(f=(i % 250).astype(str), f2=(i % 230).astype(str))
    with pytest.warns(mf.RankWarning, match="f2"):
        fit = mf.lmm("y ~ f + f2 + (1 | g)", data).fit()
    assert np.isnan(fit.params).sum() == 9


def test_fixed_factor_with_one_level_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="'dose' has one level"):
        mf.lmm("y ~ x + dose + (1 | g)", frame().assign(dose="low")).fit()


def test_random_term_inside_other_brackets_must_say_so() -> None:
    with pytest.raises(mf.FormulaError, match="outer brackets"):
        mf.lmm("y ~ (x + (1 | g))", frame())


def test_swapped_arguments_must_be_recognised() -> None:
    with pytest.raises(mf.FormulaError, match="comes first, then the data"):
        mf.lmm(frame(), "y ~ x")  # type: ignore[arg-type]


def test_tables_handed_out_must_not_change_the_fit() -> None:
    fit = mf.lmm("y ~ x + (1 | g)", frame()).fit()
    before = str(fit.summary())
    for table in (
        fit.params,
        fit.bse,
        fit.theta,
        fit.fittedvalues,
        fit.cov_params(),
        fit.random_effects["g"],
    ):
        table.iloc[:] = 99.0
    assert str(fit.summary()) == before
    assert fit.params["x"] < 2


def test_index_of_dates_or_several_levels_must_survive_a_file(tmp_path: object) -> None:
    data = frame()
    path = tmp_path / "fit.npz"  # type: ignore[operator]
    for index in (
        pd.date_range("2020-01-01", periods=600, freq="h"),
        pd.MultiIndex.from_arrays([np.arange(600) // 10, np.arange(600) % 10], names=["a", "b"]),
    ):
        fit = mf.lmm("y ~ x + (1 | g)", data.set_axis(index)).fit()
        fit.save(path)
        assert mf.load(path).fittedvalues.index.equals(index)
