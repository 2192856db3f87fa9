"""Sources of rows: every kind gives the same rows; what cannot be read, or read twice, is refused in words."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import mixedfit as mf

FORMULA = "y ~ x + f + (x | g)"


def rows(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "f": rng.choice(["b", "a", "c"], n),
            "g": rng.integers(0, 12, n) * 3 + 10**12,
            "spare": "not needed",
        }
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=12)[(frame["g"].to_numpy() - 10**12) // 3]
    return frame


def parts(frame: pd.DataFrame, size: int = 77) -> list[pd.DataFrame]:
    return [frame.iloc[a : a + size] for a in range(0, len(frame), size)]


def csv(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def gzipped(frame: pd.DataFrame, folder: Path) -> Any:
    with gzip.open(folder / "rows.csv.gz", "wt", encoding="utf-8") as file:
        frame.to_csv(file, index=False)
    return str(folder / "rows.csv.gz")


def parquet(frame: pd.DataFrame, folder: Path) -> Any:
    pq.write_table(pa.Table.from_pandas(frame), folder / "rows.parquet", row_group_size=50)
    return folder / "rows.parquet"


def parquet_folder(frame: pd.DataFrame, folder: Path) -> Any:
    (folder / "rows").mkdir()
    for i, part in enumerate(parts(frame)):
        part.to_parquet(folder / "rows" / f"{i}.parquet")
    return folder / "rows"


SOURCES: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "CSV": csv,
    "gzipped CSV": gzipped,
    "Parquet": parquet,
    "folder of Parquet files": parquet_folder,
    "dataset": lambda frame, folder: ds.dataset(parquet(frame, folder)),
    "lazy frame": lambda frame, folder: pl.from_pandas(frame).lazy(),
    "list of frames": lambda frame, folder: parts(frame),
    "polars frames": lambda frame, folder: [pl.from_pandas(part) for part in parts(frame)],
    "arrow tables": lambda frame, folder: [pa.Table.from_pandas(part) for part in parts(frame)],
    "dicts": lambda frame, folder: [dict(part.items()) for part in parts(frame)],
    "function": lambda frame, folder: lambda: iter(parts(frame)),
}


@pytest.mark.everyday(4)
@pytest.mark.parametrize("kind", SOURCES)
def test_source_must_give_the_fit_of_the_frame(kind: str, tmp_path: Path) -> None:
    frame = rows()
    frame.loc[[5, 100], "x"] = np.nan
    with pytest.warns(mf.MissingRowsWarning, match=r"2 of 300 rows were dropped .*x: 2"):
        fit = mf.lmm(FORMULA, SOURCES[kind](frame, tmp_path), batch_rows=64).fit()
    with pytest.warns(mf.MissingRowsWarning):
        whole = mf.lmm(FORMULA, frame).fit()
    np.testing.assert_allclose(fit.params, whole.params, rtol=1e-9)
    np.testing.assert_allclose(fit.bse, whole.bse, rtol=1e-9)
    effects, expected = fit.random_effects["g"], whole.random_effects["g"]
    np.testing.assert_allclose(effects.to_numpy(), expected.to_numpy(), atol=1e-8)
    assert effects.index.tolist() == expected.index.tolist()
    assert fit.nobs == 298


@pytest.mark.parametrize(
    ("values", "same_order"),
    [
        (pd.Categorical(["b", "c"] * 150, categories=["c", "b"]), True),
        (pd.Categorical(["b"] * 299 + ["a"], categories=["b", "spare", "a"]), True),
        (["10"] * 299 + ["9"], True),
    ],
)
def test_levels_must_have_the_order_of_the_frame(values: Any, same_order: bool, tmp_path: Path) -> None:
    """Rival: the order in which levels first appear."""
    frame = rows().assign(f=values)
    whole = mf.lmm("y ~ f + (1 | g)", frame).design
    for data in (parts(frame), parquet(frame, tmp_path)):
        assert mf.lmm("y ~ f + (1 | g)", data, batch_rows=40).design.x_names == whole.x_names


def test_integers_with_missing_values_must_stay_integers_in_parquet(tmp_path: Path) -> None:
    """As floats, 2**53 and 2**53 + 1 would be one group."""
    frame = rows().assign(g=pd.array([None, *([2**53, 2**53 + 1, 5] * 100)[:299]], dtype="Int64"))
    with pytest.warns(mf.MissingRowsWarning):
        model = mf.lmm("y ~ x + (1 | g)", parquet(frame, tmp_path), batch_rows=50)
    assert model.fit().ngroups == {"g": 3}


def refusal(data: Any, formula: str = FORMULA, **options: Any) -> str:
    with pytest.raises(mf.MixedfitError) as caught:
        mf.lmm(formula, data, **options)
    return str(caught.value)


class Changing:
    """Frames that differ from one walk to the next."""

    def __init__(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        self.change, self.walks = change, 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.walks += 1
        frame = rows()
        yield from parts(frame if self.walks < 3 else self.change(frame))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.iloc[:-1], "300 rows in the first pass and 299"),
        (lambda frame: frame.assign(y=frame["y"] + 1e-9), "other values"),
        (lambda frame: frame.assign(y=frame["y"].to_numpy()[::-1]), "other values"),
        (lambda frame: frame.assign(g=1), "did not have"),
        (lambda frame: frame.assign(f="new"), "did not have"),
        (lambda frame: frame.assign(f=1.0), "another kind"),
    ],
)
def test_source_must_be_refused_when_the_second_pass_has_other_rows(change: Any, words: str) -> None:
    """The third change keeps the count and every sum: only pairs of y with the other columns differ."""
    message = refusal(Changing(change))
    assert words in message
    assert "same rows each time" in message


def test_rows_in_another_order_must_be_the_same_rows() -> None:
    frames = Changing(lambda frame: frame.iloc[::-1])
    assert mf.lmm(FORMULA, frames).fit().nobs == 300


def test_generator_must_be_refused_with_the_way_out() -> None:
    message = refusal(part for part in parts(rows()))
    assert "only once" in message
    assert "lambda" in message


def test_truncated_parquet_must_be_refused(tmp_path: Path) -> None:
    path = parquet(rows(), tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    message = refusal(path)
    assert "rows.parquet" in message
    assert "cannot be read" in message


def test_damaged_parquet_must_be_refused_with_the_batch(tmp_path: Path) -> None:
    path = parquet(rows(4000), tmp_path)
    content = bytearray(path.read_bytes())
    content[2000:6000] = b"\0" * 4000
    path.write_bytes(content)
    assert "cannot be read" in refusal(path, batch_rows=50)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (rows(20).rename(columns={"x": "z"}), "frame 3 has no column 'x'"),
        (rows(20).assign(x="text"), "holds labels in one batch and numbers in earlier"),
        (rows(20).assign(f=1.5), "holds numbers in one batch and labels in earlier"),
        (rows(20).assign(x=True), "holds True and False in one batch"),
        (rows(20).assign(x=1j), "complex"),
        (rows(20).assign(x=np.inf), "expected finite numbers"),
        (rows(20).assign(w=-1.0), "weights must be finite and not negative"),
    ],
)
def test_batch_of_another_kind_must_be_refused(last: pd.DataFrame, words: str) -> None:
    frames = [rows().assign(w=1.0), rows(10).assign(w=0.0), last.assign(w=last.get("w", 1.0))]
    assert words in refusal(frames, weights="w")


def test_integers_and_floats_must_be_one_kind() -> None:
    """A column of a CSV file may be integers in one part and have a missing value in another."""
    whole = rows().assign(x=np.arange(300) % 7)
    frames = parts(whole)
    frames[1] = frames[1].assign(x=frames[1]["x"].astype(float))
    one, other = mf.lmm(FORMULA, whole).fit(), mf.lmm(FORMULA, frames).fit()
    np.testing.assert_allclose(other.params, one.params, rtol=1e-9)


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("y ~ I(x - np.mean(x)) + (1 | g)", {}, "depends on the other rows"),
        ("y ~ lag(x) + (1 | g)", {}, "rows of other batches"),
        ("y ~ C(x > 0) + (1 | g)", {}, "makes a factor of an expression"),
        ("y ~ ns(f, 2) + (1 | g)", {}, "holds labels"),
        ("y ~ wrong + (1 | g)", {}, "no column 'wrong'"),
        ("y ~ x + ar1(0 + x | g)", {}, "structures of times and places"),
        (FORMULA, {"weights": np.ones(300)}, "need the name of a column"),
        (FORMULA, {"offset": "missing"}, "is no column of"),
        (FORMULA, {"missing": "exclude"}, "missing='drop'"),
        (FORMULA, {"batch_rows": 0}, "batch_rows is 0"),
        (FORMULA, {"residual": mf.residuals.VarIdent("f")}, "residual structures need all rows"),
    ],
)
def test_what_batches_cannot_do_must_be_refused(formula: str, options: Any, words: str) -> None:
    assert words in refusal(parts(rows()), formula, **options)


def test_fixed_factor_of_many_levels_must_be_refused_with_an_agreed_recipe() -> None:
    frame = rows().assign(m=np.array([f"m{i:03d}" for i in np.arange(300) % 250]))
    recipe = mf.site_recipe("y ~ m + (1 | g)", parts(frame))
    assert "at most 200" in refusal(parts(frame), "y ~ m + (1 | g)", recipe=recipe)


def test_missing_rows_must_be_refused_where_none_are_allowed() -> None:
    frame = rows()
    frame.loc[120, "x"] = np.nan
    assert "batch 2: 1 rows have missing values (first: row 120)" in refusal(parts(frame), missing="raise")


def test_rows_that_are_all_incomplete_must_be_refused() -> None:
    assert "x" in refusal(parts(rows().assign(x=np.nan)))


@pytest.mark.parametrize("path", ["absent.csv", "rows.xlsx"])
def test_path_must_be_refused_when_it_cannot_be_read(path: str, tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"")
    assert path in refusal(tmp_path / path)


def test_interrupt_must_end_a_pass() -> None:
    """The frames raise what Ctrl-C raises; it is not turned into an error of the data."""

    def frames() -> Iterator[pd.DataFrame]:
        yield from parts(rows())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mf.lmm(FORMULA, frames)


def test_text_among_numbers_must_be_warned_of() -> None:
    """Most values of f are numbers; two in different batches are not. Rival: counts of one batch."""
    frame = rows().assign(f=(np.arange(300) % 40 / 4).astype(str))
    frame.loc[[3, 290], "f"] = "n/a"
    with pytest.warns(
        mf.GroupingWarning, match=r"most of its values are numbers: 'n/a' is not .*2 of 300 are not"
    ):
        mf.lmm("y ~ f + (1 | g)", parts(frame))


def test_rows_must_be_read_twice_in_batches_of_the_size_asked_for() -> None:
    """Besides the two passes the first frame is looked at; further fits and tests read nothing."""
    sizes: list[int] = []

    def frames() -> Iterator[pd.DataFrame]:
        for part in parts(rows()):
            sizes.append(len(part))
            yield part

    model = mf.lmm(FORMULA, frames, batch_rows=20)
    model.fit()
    model.fit(reml=False).conf_int()
    assert sum(sizes) == 2 * 300 + 77
    assert max(len(batch.y) for batch in model.design.absent.read()) == 20
