"""Slips in formulas: arithmetic outside of calls, a slash in place of a bar, text in place of numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def rats() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"rat": np.repeat(np.arange(1, 9), 4), "day": np.tile([8, 15, 22, 29], 8)})
    frame["weight"] = 100 + 6 * frame["day"] + rng.normal(size=8)[frame["rat"] - 1] + rng.normal(size=32)
    return frame


@pytest.mark.parametrize(
    ("formula", "advice"),
    [
        ("weight ~ (day - 22) + (1 | rat)", r"I\(day - 22\)"),
        ("weight ~ day + 22 + (1 | rat)", r"I\(day \+ 22\)"),
        ("weight ~ day + (day - 22 | rat)", r"I\(day - 22\)"),
        ("weight ~ day * 2 + (1 | rat)", r"I\(day \* 2\)"),
        ("weight ~ day / 10 + (1 | rat)", r"I\(day / 10\)"),
        ("weight ~ day:3 + (1 | rat)", r"I\(day \* 3\)"),
        ("weight ~ 2 * day + (1 | rat)", r"I\(2 \* day\)"),
        ("weight ~ log(day) - 2 + (1 | rat)", r"I\(log\(day\) - 2\)"),
        ("weight ~ day + 0.5 + (1 | rat)", r"I\(day \+ 0.5\)"),
        ("weight ~ day + (1 / rat)", r"\(1 \| rat\)"),
    ],
)
def test_number_that_is_no_term_must_be_refused_with_what_to_write(formula: str, advice: str) -> None:
    with pytest.raises(mf.FormulaError, match=advice):
        mf.lmm(formula, rats())


@pytest.mark.parametrize(
    "formula",
    [
        "weight ~ day - 1 + (0 + day | rat)",
        "weight ~ 0 + day + (1 | rat)",
        "weight ~ 1 + day + (day - 1 | rat)",
        "weight ~ (day + rat)^2 + (1 | rat)",
        "weight ~ I(day - 22) + poly(day, 2) + (1 | rat)",
        "weight ~ rat / day + (1 | rat)",
    ],
)
def test_numbers_of_formulas_must_be_read_without_a_word(formula: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", mf.FormulaWarning)
        mf.lmm(formula, rats())


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("weight ~ day^2 + (1 | rat)", r"I\(day\*\*2\)"),
        ("weight ~ day ** 2 + (1 | rat)", r"poly\(day, 2\)"),
        ("weight ~ day + (day / rat)", r"A random term has a bar: \(day \| rat\)"),
    ],
)
def test_part_that_means_something_else_must_be_warned_of(formula: str, words: str) -> None:
    with pytest.warns(mf.FormulaWarning, match=words):
        mf.lmm(formula, rats())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda day: day.astype(str), r"such as '8'; expected numbers.*pd\.to_numeric\(data\['day'\]\)"),
        (lambda day: day.astype(str) + ",5", r"Decimal commas\?.*str\.replace"),
        (lambda day: day.astype(str).where(day > 8, "n.a"), "'n.a' in row 0 is not a number"),
        (lambda day: "week " + day.astype(str), "the column alone is a factor"),
    ],
)
@pytest.mark.parametrize("expression", ["I(day - 22)", "log(day)", "scale(day)"])
def test_text_in_a_function_of_numbers_must_be_named(expression: str, change: Any, words: str) -> None:
    data = rats().assign(day=lambda own: change(own["day"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.GroupingWarning)
        with pytest.raises(mf.FormulaError, match=words) as found:
            mf.lmm(f"weight ~ {expression} + (1 | rat)", data)
    assert f"in {expression}, the column 'day' is text" in str(found.value)


def test_levels_without_a_row_left_must_be_named() -> None:
    data = rats()
    data.loc[data["rat"].isin([3, 7]), "weight"] = np.nan
    with pytest.warns(mf.MissingRowsWarning, match=r"No row is left of 2 levels of rat: 3, 7\."):
        mf.lmm("weight ~ day + (1 | rat)", data)
