"""Errors and warnings name the column, the row and the value at fault."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.cli import main
from mixedfit.core.errors import nearest, shown

FORMULA = "y ~ x + (1 | subj)"


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"subj": np.repeat(range(12), 8), "x": rng.normal(size=96), "y": rng.normal(size=96)})
    data["dose"], data["z"] = np.tile([0, 10, 20, 40], 24), np.nan
    return data.set_axis(range(100, 196), axis=0)


def with_stray(values: pd.Series[Any], stray: str) -> pd.Series[Any]:
    """Return values as text read from a file: one cell, in row 150, is no number."""
    return values.astype(str).where(values.index != 150, stray)


def refusal(act: Callable[[], Any], kind: type[Exception] = mf.DataError) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(kind) as caught:
            act()
    return str(caught.value)


@pytest.mark.parametrize("stray", ["n/a", "", "-", "1,5", "12 kg", "#VALUE!"])
@pytest.mark.parametrize("formula", [FORMULA, "log(y) ~ x + (1 | subj)", "y ~ 1"])
def test_response_of_text_must_show_the_value_that_is_no_number(stray: str, formula: str) -> None:
    data = frame()
    message = refusal(lambda: mf.lmm(formula, data.assign(y=with_stray(data["y"] + 9, stray))))
    assert f"the response 'y' is text: {stray!r} in row 150 is not a number (the only one of 96)" in message


def test_response_of_text_must_be_told_from_labels_and_decimal_commas() -> None:
    data = frame()
    assert "pd.to_numeric(data['y'])" in refusal(
        lambda: mf.lmm(FORMULA, data.assign(y=data["y"].astype(str)))
    )
    commas = data["y"].map("{:.2f}".format).str.replace(".", ",")
    assert "Decimal commas?" in refusal(lambda: mf.lmm(FORMULA, data.assign(y=commas)))
    labels = refusal(lambda: mf.lmm(FORMULA, data.assign(y=np.tile(["yes", "no"], 48))))
    assert "such as 'yes' in row 100" in labels
    assert "no response of labels" in labels


@pytest.mark.parametrize(
    "formula", ["y ~ dose + (1 | subj)", "y ~ x * dose + (1 | subj)", "y ~ x + (dose | subj)"]
)
@pytest.mark.parametrize("stray", ["n/a", "?", "40 mg"])
def test_numbers_with_one_cell_of_text_must_be_warned_about(formula: str, stray: str) -> None:
    data = frame()
    data["dose"] = with_stray(data["dose"], stray)
    says = f"column 'dose' is text and therefore a factor with 5 levels.*{re.escape(repr(stray))} in row 150 is not"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.IdentifiabilityWarning)
        with pytest.warns(mf.GroupingWarning, match=says):
            mf.lmm(formula, data)


@pytest.mark.parametrize("kind", ["category", "control", "ids"])
def test_labels_that_are_meant_must_not_be_warned_about(kind: str) -> None:
    data = frame()
    labels = {
        "category": with_stray(data["dose"], "n/a").astype("category"),
        "control": pd.Series(np.tile(["control", "10", "20", "40"], 24), index=data.index),
        "ids": pd.Series([f"{i}" if i else "0b" for i in data["subj"]], index=data.index),
    }[kind]
    formula = "y ~ x + (1 | dose)" if kind == "ids" else "y ~ dose + (1 | subj)"
    mf.lmm(formula, data.assign(dose=labels))


def test_column_that_is_missing_everywhere_must_be_named() -> None:
    message = refusal(lambda: mf.lmm("y ~ x + z + (1 | subj)", frame()))
    assert "none of the 96 rows is complete: 'z' is missing in every row" in message
    half = frame().assign(
        x=np.where(np.arange(96) < 50, np.nan, 1.0), y=np.where(np.arange(96) < 50, 1.0, np.nan)
    )
    assert "missing values by column: x: 50, y: 46" in refusal(lambda: mf.lmm(FORMULA, half))


def test_columns_that_cost_rows_must_be_listed_with_their_counts() -> None:
    data = frame()
    data.loc[100:103, "y"], data.loc[[103, 110], "x"] = np.nan, np.nan
    with pytest.warns(mf.MissingRowsWarning, match=r"5 of 96 rows were dropped .*\(by column: y: 4, x: 2\)"):
        mf.lmm(FORMULA, data)
    data["z"] = np.where(np.arange(96) < 90, np.nan, 1.0)
    message = refusal(lambda: mf.lmm("y ~ x + z + (1 | subj)", data), mf.ModelError)
    assert "one level, 11, in the 6 rows used" in message
    assert "The 88 rows with its other levels" in message
    assert "left out for missing values (by column: z: 88" in message


def _predictor() -> mf.MixedResults:
    return mf.lmm(FORMULA, frame()).fit()


ROW = "'n/a' in row 150 is not a number (the only one of 96)"
ASKED: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "predict": (lambda bad: _predictor().predict(bad), ROW),
    "simulate": (lambda bad: _predictor().simulate(1, newdata=bad), ROW),
    "gibbs": (
        lambda bad: mf.lmm(FORMULA, frame()).gibbs(draws=4, tune=4, chains=1, seed=1).predict(bad),
        ROW,
    ),
    "refit": (lambda bad: _predictor().refit(bad["x"]), ROW),
    "weights": (lambda bad: mf.lmm("y ~ 1", bad, weights="x"), ROW),
    "offset": (lambda bad: mf.lmm("y ~ 1", bad, offset="x"), ROW),
    "infinite response": (
        lambda bad: mf.lmm("y ~ 1", {"y": np.where(bad.index == 150, np.inf, 1.0)}),
        "row 50",
    ),
    "infinite refit": (
        lambda bad: _predictor().refit(frame()["y"].where(bad.index != 150)),
        "nan in row 150",
    ),
    "negative weight": (
        lambda bad: mf.lmm("y ~ 1", frame(), weights=np.where(bad.index == 150, -1.0, 1.0)),
        "row 150",
    ),
    "missing": (
        lambda bad: mf.lmm(FORMULA, frame().drop(index=150).reindex(bad.index), missing="raise"),
        "first row: 150",
    ),
}


@pytest.mark.parametrize("asked", ASKED)
def test_value_and_row_at_fault_must_be_named_wherever_data_enter(asked: str) -> None:
    act, says = ASKED[asked]
    bad = frame()
    bad["x"] = with_stray(bad["x"], "n/a")
    message = refusal(lambda: act(bad))
    assert says in message
    assert "np." not in message


def test_command_line_must_name_the_value_at_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = frame()
    data.assign(y=with_stray(data["y"], "unknown")).to_csv(tmp_path / "data.csv", index=False)
    assert main(["fit", str(tmp_path / "data.csv"), FORMULA]) == 2
    assert "'unknown' in row 50 is not a number (the only one of 96)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(0), "0"),
        (np.float64(0.5), "0.5"),
        (np.str_("a"), "'a'"),
        (np.bool_(True), "True"),
        (pd.Timestamp("2024-01-01"), "'2024-01-01 00:00:00'"),
        ((np.int64(1), "b"), "(1, 'b')"),
        ("n/a", "'n/a'"),
        (None, "None"),
    ],
)
def test_label_must_be_shown_without_the_type_of_its_scalar(value: Any, text: str) -> None:
    assert shown(value) == text


def test_name_of_the_index_and_names_that_are_numbers_must_be_explained() -> None:
    data = frame()
    assert "data.reset_index()" in refusal(lambda: mf.lmm(FORMULA, data.set_index("subj")), mf.FormulaError)
    numbered = pd.DataFrame(data[["y", "x", "subj"]].to_numpy())
    message = refusal(lambda: mf.lmm("`0` ~ `1` + (1 | `2`)", numbered))
    assert "data.columns.astype(str)" in message
    assert "Did you mean '0'" not in message


@pytest.mark.parametrize(
    ("name", "choices", "says"),
    [
        ("Bb2:Aa2", ["x", "x:Aa2", "Aa2:Bb2"], "Did you mean 'Aa2:Bb2'?"),
        ("Aa2:x", ["x", "Aa2", "x:Aa2", "Aa2:Bb2"], "Did you mean 'x:Aa2'?"),
        ("x:Aa3", ["x", "x:Aa2", "Aa2:Bb2"], "Did you mean 'x:Aa2'?"),
        ("~ prime | frequency", ["prime", "frequency"], ""),
        ("0", ["0", "1"], ""),
        ("Subjct", ["Reaction", "Subject"], "Did you mean 'Subject'?"),
        ("DAYS", ["Days"], "Did you mean 'Days'?"),
    ],
)
def test_nearest_name_must_be_of_the_same_kind(name: str, choices: list[str], says: str) -> None:
    assert nearest(name, choices) == says


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("y ~ (x > 0) + (1 | subj)", "I(x > 0)"),
        ("y ~ x + (x != 0) + (1 | subj)", "I(x > 0)"),
        ("y ~ x + (0 + dummy(dose, '10') | subj)", "I(f == 'level')"),
    ],
)
def test_spelling_of_other_programs_must_get_advice(formula: str, says: str) -> None:
    assert says in refusal(lambda: mf.lmm(formula, frame()), mf.FormulaError)


@pytest.mark.parametrize("form", ["{:.3f}", "{:.2e}", "-{:.4f}"])
@pytest.mark.parametrize("comma", [False, True])
def test_predictor_of_numbers_written_as_text_must_warn(form: str, comma: bool) -> None:
    data = frame()
    text = pd.Series([form.format(abs(v) + 0.1) for v in data["x"]], index=data.index)
    data["x"] = text.where(data.index % 4 == 0, text.iloc[:16].tolist() * 6)
    if comma:
        data["x"] = data["x"].str.replace(".", ",")
    model = mf.lmm(FORMULA, data)
    with pytest.warns(mf.GroupingWarning, match="all of its values are numbers"):
        model.fit()


def test_doses_and_codes_written_as_text_must_not_warn() -> None:
    data = frame()
    for labels in (["0.5", "1.0", "2.0"], [str(i) for i in range(12)], ["1.a", "2.b", "3.c"]):
        data["x"] = [labels[i % len(labels)] for i in range(len(data))]
        mf.lmm(FORMULA, data).fit()


def test_one_row_must_be_spoken_of_in_the_singular() -> None:
    data = frame()
    data.loc[data.index[3], "x"] = np.nan
    with pytest.warns(mf.MissingRowsWarning, match=r"1 of 96 rows was dropped"):
        mf.lmm(FORMULA, data)
    message = refusal(lambda: mf.lmm(FORMULA, data, missing="raise"), mf.DataError)
    assert f"1 row has missing values (by column: x: 1; first row: {data.index[3]})" in message


@pytest.mark.parametrize("stray", ["fehlt", "12.5.1", "n.v."])
def test_response_with_decimal_commas_must_show_the_value_that_is_no_number(stray: str) -> None:
    data = pd.DataFrame({"g": np.arange(20) % 5, "y": [f"{i},5" for i in range(20)]})
    data.loc[7, "y"] = stray
    with pytest.raises(mf.DataError, match=rf"'{re.escape(stray)}' in row 7 is not a number") as error:
        mf.lmm("y ~ 1 + (1 | g)", data)
    assert f"na={stray!r}" in str(error.value)
