"""Bad input gets an error that says what is wrong, where, what was expected and what to do."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def frame(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n) + np.repeat(rng.normal(size=8), n // 8),
            "x": rng.normal(size=n),
            "g": np.repeat(list("abcdefgh"), n // 8),
            "one": "only",
            "id": np.arange(n),
        }
    )


def refusal(formula: str, data: object, kind: type[Exception], **options: object) -> str:
    with pytest.raises(kind) as caught:
        mf.lmm(formula, data, **options).fit()
    assert isinstance(caught.value, mf.MixedfitError)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_wrong_name_must_point_to_the_place_and_suggest_the_nearest() -> None:
    data = frame().rename(columns={"g": "Subject"})
    message = refusal("y ~ x + (1 + x | Subjct)", data, mf.FormulaError)
    lines = message.split("\n")
    assert lines[0] == "no column 'Subjct' in the data (columns: y, x, Subject, one, id)."
    assert lines[1] == "  y ~ x + (1 + x | Subjct)"
    assert lines[2].index("^") == lines[1].index("Subjct")
    assert lines[2].count("^") == len("Subjct")
    assert lines[3] == "  Did you mean 'Subject'?"


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("y ~ x + (1 | g", "never closed"),
        ("y ~ x) + (1 | g)", "without its '('"),
        ("y ~ log(x", "bracket or quotation"),
        ("y ~ x + (1 | )", "grouping factor on the right"),
        ("y ~ x + ( | g)", "effects on the left"),
        ("y ~ (1 | g | x)", "one bar"),
        ("y ~ x * (1 | g)", "only be added"),
        ("y ~ (1 | g + 1)", "a grouping factor is"),
        ("y ~ (1 | log(x))", "must be a column"),
        ("y ~ (1 | g) + (1 | g)", "stands in two terms"),
        ("y ~ (x | g) + (1 | g)", "stands in two terms"),
        ("y x", "exactly one '~'"),
        ("~ x", "left of '~'"),
        ("y ~", "right of '~'"),
        ("y ~ ar1(x | g)", "covariance structure 'ar1"),
        ("y ~ x +* g", "cannot be read"),
        ("y ~ nofunction(x) + (1 | g)", "nofunction"),
    ],
)
def test_formula_that_cannot_be_read_must_show_its_text(formula: str, says: str) -> None:
    message = refusal(formula, frame(), mf.FormulaError)
    assert says in message
    assert formula in message


def test_formula_must_be_text() -> None:
    assert "not int" in refusal(3, frame(), mf.FormulaError)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinite_response_must_be_refused_with_its_row(bad: float) -> None:
    data = frame()
    data.loc[5, "y"] = bad
    message = refusal("y ~ x + (1 | g)", data, mf.DataError)
    assert "row 5" in message
    assert "finite" in message


def test_missing_response_must_be_refused_when_asked() -> None:
    data = frame()
    data.loc[[3, 9], "y"] = np.nan
    message = refusal("y ~ x + (1 | g)", data, mf.DataError, missing="raise")
    assert "2 rows have missing values" in message
    assert "by column: y: 2;" in message
    assert "first row: 3" in message


def test_missing_rows_must_be_dropped_with_a_warning_that_counts_them() -> None:
    data = frame()
    data.loc[[3, 9], "x"] = np.nan
    with pytest.warns(mf.MissingRowsWarning, match="2 of 40 rows"):
        fit = mf.lmm("y ~ x + (1 | g)", data).fit()
    expected = mf.lmm("y ~ x + (1 | g)", data.dropna()).fit()
    assert fit.nobs == 38
    assert fit.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-9)
    assert list(fit.fittedvalues.index) == list(data.dropna().index)


def test_transformation_that_gives_no_number_must_be_refused() -> None:
    data = frame()
    data["x"] = np.abs(data["x"]) + 1
    data.loc[4, "x"] = -1.0
    assert "'log(x)'" in refusal("y ~ log(x) + (1 | g)", data, mf.DataError)
    assert "the response" in refusal("log(x) ~ y + (1 | g)", data, mf.DataError)


def test_data_without_complete_rows_must_be_refused() -> None:
    data = frame()
    data["x"] = np.nan
    assert "none of the 40 rows" in refusal("y ~ x + (1 | g)", data, mf.DataError)
    assert "no rows" in refusal("y ~ x + (1 | g)", frame().iloc[:0], mf.DataError)


def test_grouping_with_one_level_must_be_refused() -> None:
    message = refusal("y ~ x + (1 | one)", frame(), mf.ModelError)
    assert "'one' has one level" in message


def test_grouping_with_a_level_for_every_row_must_be_refused_unless_variances_are_known() -> None:
    data = frame()
    message = refusal("y ~ x + (1 | id)", data, mf.ModelError)
    assert "as many levels as there are rows (40)" in message
    weights = np.random.default_rng(1).uniform(1, 5, 40)
    assert mf.lmm("y ~ x + (1 | id)", data, weights=weights).fit(sigma=1.0).converged


def test_term_with_an_effect_for_every_row_must_warn_that_sigma_is_arbitrary() -> None:
    data = frame().assign(x=np.tile(np.arange(5), 8))
    with pytest.warns(mf.IdentifiabilityWarning, match="8 levels of 5 effects for 40 rows"):
        mf.lmm("y ~ 1 + (C(x) | g)", data).fit()


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (np.ones(40) * 1j, "complex"),
        (np.array([1, "a"] * 20, dtype=object), "mixed"),
        (pd.date_range("2020-01-01", periods=40), "dates"),
    ],
)
def test_column_of_unusable_type_must_be_refused(column: object, says: str) -> None:
    data = frame().assign(x=column)
    message = refusal("y ~ x + (1 | g)", data, mf.DataError)
    assert "'x'" in message
    assert says in message


def test_labels_as_response_must_be_refused() -> None:
    assert "the response 'g'" in refusal("g ~ x + (1 | y)", frame().assign(y=np.arange(40) % 4), mf.DataError)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_impossible_weights_must_be_refused(bad: float) -> None:
    weights = np.ones(40)
    weights[7] = bad
    message = refusal("y ~ x + (1 | g)", frame(), mf.DataError, weights=weights)
    assert "row 7" in message
    assert "not negative" in message


def test_weights_of_wrong_length_or_all_zero_must_be_refused() -> None:
    assert "39 values for 40 rows" in refusal("y ~ x", frame(), mf.DataError, weights=np.ones(39))
    assert "all weights are 0" in refusal("y ~ x", frame(), mf.DataError, weights=np.zeros(40))
    assert "must be numbers" in refusal("y ~ x", frame(), mf.DataError, weights="g")


def test_fractional_grouping_column_must_warn() -> None:
    data = frame().assign(g=np.repeat(np.arange(8) / 4, 5))
    with pytest.warns(mf.GroupingWarning, match="fractional"):
        mf.lmm("y ~ x + (1 | g)", data).fit()


def test_whole_numbers_stored_as_floats_must_group_without_warning() -> None:
    data = frame().assign(g=np.repeat(np.arange(8.0), 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mf.lmm("y ~ x + (1 | g)", data).fit().ngroups == {"g": 8}


def test_data_of_unknown_kind_must_be_refused() -> None:
    assert "cannot be read" in refusal("y ~ x", 3, mf.DataError)
    assert "differ in length" in refusal("y ~ x", {"y": [1, 2, 3], "x": [1, 2]}, mf.DataError)


def test_too_few_rows_must_be_refused() -> None:
    assert "2 rows cannot determine" in refusal("y ~ x", {"y": [1.0, 2.0], "x": [0.0, 1.0]}, mf.ModelError)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_held_sigma_must_be_positive(sigma: float) -> None:
    with pytest.raises(mf.ModelError, match="positive"):
        mf.lmm("y ~ x + (1 | g)", frame()).fit(sigma=sigma)


def test_start_of_wrong_length_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="3 covariance parameters"):
        mf.lmm("y ~ x + (x | g)", frame()).fit(start=[1.0])


def test_new_response_must_be_finite_numbers_of_the_same_rows() -> None:
    fit = mf.lmm("y ~ x + (1 | g)", frame()).fit()
    with pytest.raises(mf.DataError, match="40 rows"):
        fit.refit(np.ones(3))
    with pytest.raises(mf.DataError, match="finite"):
        fit.refit(np.full(40, np.nan))
    with pytest.raises(mf.DataError, match="numbers"):
        fit.refit(["a"] * 40)


@pytest.mark.parametrize("content", [b"", b"not a fit", b"PK\x03\x04 broken"])
def test_file_that_is_no_fit_must_be_refused(content: bytes, tmp_path: object) -> None:
    path = tmp_path / "fit.npz"  # type: ignore[operator]
    path.write_bytes(content)
    with pytest.raises(mf.DataError, match="not a fit"):
        mf.load(path)


def test_saved_file_must_hold_no_pickles(tmp_path: object) -> None:
    path = tmp_path / "fit.npz"  # type: ignore[operator]
    mf.lmm("y ~ x + (1 | g)", frame()).fit().save(path)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(mf.DataError, match="not a fit"):
        mf.load(path)


def test_fit_must_not_change_the_data_that_came_in() -> None:
    data = frame()
    data["g"] = pd.Categorical(data["g"], categories=list("zabcdefgh"))
    data.loc[2, "x"] = np.nan
    before = data.copy(deep=True)
    with pytest.warns(mf.MissingRowsWarning):
        mf.lmm("y ~ scale(x) + (x | g)", data).fit()
    pd.testing.assert_frame_equal(data, before)
    assert list(data["g"].cat.categories) == list("zabcdefgh")


def test_unknown_data_set_must_suggest_the_nearest() -> None:
    with pytest.raises(mf.DataError, match="Did you mean 'sleepstudy'"):
        mf.load_dataset("sleepstudi")
