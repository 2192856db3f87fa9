"""Labels keep their digits, whatever the type of their column; dates are refused with advice that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mixedfit as mf

BIG = 2**53
"""Beyond it neighbouring whole numbers are one floating-point number."""


def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 8)
    return group, rng.standard_normal(12)[group] + rng.standard_normal(96)


def with_gap(base: int) -> list[int | None]:
    group, _ = numbers()
    return [None if i == 5 else base + int(g) for i, g in enumerate(group)]


TABLES: dict[str, Callable[[list[int | None], np.ndarray], Any]] = {
    "pandas Int64": lambda ids, y: pd.DataFrame({"y": y, "id": pd.array(ids, dtype="Int64")}),
    "pandas UInt64": lambda ids, y: pd.DataFrame({"y": y, "id": pd.array(ids, dtype="UInt64")}),
    "pandas Int32": lambda ids, y: pd.DataFrame(
        {"y": y, "id": pd.array([None if i is None else i % 1000 for i in ids], dtype="Int32")}
    ),
    "pandas Arrow": lambda ids, y: pd.DataFrame({"y": y, "id": pd.Series(ids, dtype="int64[pyarrow]")}),
    "pandas objects": lambda ids, y: pd.DataFrame({"y": y, "id": pd.Series(ids, dtype=object)}),
    "polars": lambda ids, y: pl.DataFrame({"y": y, "id": pl.Series(ids, dtype=pl.Int64)}),
    "polars UInt64": lambda ids, y: pl.DataFrame({"y": y, "id": pl.Series(ids, dtype=pl.UInt64)}),
    "arrow": lambda ids, y: pa.table({"y": y, "id": pa.array(ids, pa.int64())}),
    "arrow uint64": lambda ids, y: pa.table({"y": y, "id": pa.array(ids, pa.uint64())}),
    "arrow chunks": lambda ids, y: pa.concat_tables(
        [
            pa.table({"y": part[1], "id": pa.array(part[0], pa.int64())})
            for part in ((ids[:40], y[:40]), (ids[40:], y[40:]))
        ]
    ),
}


@pytest.mark.filterwarnings("ignore::mixedfit.MissingRowsWarning")
@pytest.mark.parametrize("base", [1, BIG])
@pytest.mark.parametrize("kind", list(TABLES))
def test_whole_numbers_must_stay_whole_beside_a_missing_one(kind: str, base: int) -> None:
    _, y = numbers()
    fit = mf.lmm("y ~ 1 + (1 | id)", TABLES[kind](with_gap(base), y)).fit()
    expected = (
        [base + g for g in range(12)] if kind != "pandas Int32" else [(base + g) % 1000 for g in range(12)]
    )
    labels = fit.random_effects["id"].index
    assert sorted(labels.tolist()) == sorted(expected)
    assert all(isinstance(label, int) for label in labels.tolist())
    assert fit.nobs == 95


@pytest.mark.filterwarnings("ignore::mixedfit.MissingRowsWarning")
def test_combined_labels_must_have_no_decimals() -> None:
    group, y = numbers()
    frame = TABLES["pandas Int64"](with_gap(BIG), y).assign(day=group % 3)
    labels = mf.lmm("y ~ 1 + (1 | day:id)", frame).fit().random_effects["day:id"].index
    assert f"0:{BIG}" in labels
    assert not any("." in label for label in labels)


DAYS = pd.date_range("2024-01-01", periods=96)
TIMES: dict[str, Any] = {
    "naive": pd.Series(DAYS),
    "zone": pd.Series(DAYS.tz_localize("Europe/Berlin")),
    "Arrow timestamp": pd.Series(DAYS).astype("timestamp[ns][pyarrow]"),
    "Arrow date": pd.Series(DAYS.date).astype("date32[pyarrow]"),
    "Arrow duration": pd.Series(DAYS - DAYS[0]).astype("duration[ns][pyarrow]"),
    "period": pd.Series(DAYS.to_period("D")),
    "date objects": pd.Series(DAYS.date, dtype=object),
    "datetime objects": pd.Series([day.to_pydatetime() for day in DAYS], dtype=object),
    "durations": pd.Series(DAYS - DAYS[0]),
}


@pytest.mark.everyday(13)
@pytest.mark.parametrize("formula", ["y ~ when + (1 | g)", "y ~ 1 + (when | g)", "y ~ 1 + (1 | when)"])
@pytest.mark.parametrize("kind", list(TIMES))
def test_dates_must_be_refused_with_advice_that_works(kind: str, formula: str) -> None:
    group, y = numbers()
    data = pd.DataFrame({"y": y, "g": group, "when": TIMES[kind]})
    with pytest.raises(mf.DataError, match="column 'when' holds") as caught:
        mf.lmm(formula, data)
    message = str(caught.value)
    code = message.split(": t = ")[1].split("; as a")[0]
    space: dict[str, Any] = {"pd": pd, "data": data}
    exec("t = " + code, space)
    assert mf.lmm("y ~ t + (1 | g)", data.assign(t=space["t"])).fit().params.size == 2
    labels = eval(message.split("into labels: ")[1].rstrip("."), space)
    assert labels.nunique() == 96


def test_intervals_must_be_refused_unless_they_are_categories() -> None:
    group, y = numbers()
    cut = pd.cut(np.arange(96.0), 8)
    data = pd.DataFrame({"y": y, "g": group, "part": cut})
    assert mf.lmm("y ~ 1 + (1 | part)", data).fit().ngroups == {"part": 8}
    plain = data.assign(part=pd.Series(pd.arrays.IntervalArray(cut)))
    with pytest.raises(mf.DataError, match="intervals") as caught:
        mf.lmm("y ~ part + (1 | g)", plain)
    middles = eval(str(caught.value).split("middles: ")[1].rstrip("."), {"pd": pd, "data": plain})
    assert len(middles) == 96
