"""Files as data: one, several, folders and patterns, with the columns of Hive's folders; damage is noticed."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import mixedfit as mf

FORMULA = "y ~ x + f + (x | g)"


def rows(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "g": rng.integers(0, 12, n), "f": rng.choice(["a", "b"], n)}
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=12)[frame["g"]]
    return frame


def refusal(data: Any, formula: str = FORMULA, **options: Any) -> str:
    with pytest.raises(mf.DataError) as error:
        mf.lmm(formula, data, **options)
    message = str(error.value)
    assert ".." not in message.replace("*..", "")
    return message


def same(model: Any, frame: pd.DataFrame, formula: str = FORMULA) -> None:
    found, expected = model.fit(), mf.lmm(formula, frame).fit()
    assert found.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-8, atol=1e-10)
    assert found.random_effects["g"].index.tolist() == expected.random_effects["g"].index.tolist()


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    out = tmp_path / "rows"
    out.mkdir()
    for i in range(3):
        table = pa.Table.from_pandas(rows()[100 * i : 100 * i + 100], preserve_index=False)
        pq.write_table(table, out / f"{i}.parquet", write_page_checksum=True)
    return out


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    out = tmp_path / "texts"
    out.mkdir()
    for i in range(3):
        rows()[100 * i : 100 * i + 100].to_csv(out / f"{i}.csv", index=False)
    return out


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_lists_and_patterns_must_be_read_in_order(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    files = [folder / f"{i}.{kind}" for i in range(3)]
    for data in (
        files,
        list(map(str, files)),
        tuple(files),
        str(folder / f"*.{kind}"),
        folder / f"[0-2].{kind}",
    ):
        same(mf.lmm(FORMULA, data, batch_rows=70), rows())
    fit = mf.lmm(FORMULA, str(folder / f"*.{kind}")).fit()
    np.testing.assert_allclose(fit.resid, mf.lmm(FORMULA, rows()).fit().resid, atol=1e-8)
    assert list(fit.resid.index) == list(range(300))


def test_files_that_are_not_parquet_must_be_passed_over_in_a_folder(parquet: Path) -> None:
    (parquet / "README.md").write_text("about these rows")
    (parquet / "_SUCCESS").write_text("")
    (parquet / ".part.parquet.crc").write_bytes(b"junk")
    (parquet / "_temporary").mkdir()
    (parquet / "_temporary" / "9.parquet").write_bytes(b"junk")
    same(mf.lmm(FORMULA, parquet), rows())


def test_files_without_an_ending_must_be_read_as_parquet(parquet: Path) -> None:
    for file in parquet.iterdir():
        file.rename(file.with_suffix(""))
    same(mf.lmm(FORMULA, parquet), rows())


HIVE: dict[str, tuple[list[str], str]] = {
    "text": (["f"], FORMULA),
    "number": (["h"], "y ~ x + h + (1 | g)"),
    "both": (["f", "h"], "y ~ x + f + h + (1 | g)"),
    "group": (["g"], "y ~ x + (x | g)"),
    "alone": (["g"], "y ~ 1 + (1 | g)"),
}


@pytest.mark.everyday(4)
@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize("case", HIVE)
def test_names_of_hives_folders_must_be_columns(case: str, workers: bool, tmp_path: Path) -> None:
    names, formula = HIVE[case]
    frame = rows().assign(h=np.arange(300) % 3)
    pq.write_to_dataset(
        pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "hive", partition_cols=names
    )
    executor: Executor | None = ThreadPoolExecutor(2) if workers else None
    same(mf.lmm(formula, tmp_path / "hive", batch_rows=40, executor=executor), frame, formula)


def test_missing_name_of_a_folder_must_be_a_missing_value(tmp_path: Path) -> None:
    frame = rows()
    frame.loc[:30, "f"] = None
    pq.write_to_dataset(
        pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "hive", partition_cols=["f"]
    )
    with pytest.warns(mf.MissingRowsWarning, match="31 of 300"):
        same(mf.lmm(FORMULA, tmp_path / "hive"), frame.dropna())


def test_column_that_is_in_files_and_folders_must_be_that_of_the_files(tmp_path: Path) -> None:
    frame = rows().assign(h=np.arange(300) % 3 + 0.5)
    for name, part in frame.groupby("h"):
        folder = tmp_path / "hive" / f"h={int(name)}"
        folder.mkdir(parents=True)
        part.to_parquet(folder / "0.parquet", index=False)
    formula = "y ~ x + h + (1 | g)"
    same(mf.lmm(formula, tmp_path / "hive"), frame, formula)


def damage(path: Path) -> None:
    """Change one byte of a page of numbers."""
    place = pq.read_metadata(path).row_group(0).column(0).data_page_offset - 300  # the distinct values
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("form", ["folder", "workers", "dataset", "dataset with workers", "scores"])
def test_damaged_page_must_be_refused_with_its_file(form: str, parquet: Path) -> None:
    """The rival reads another number, where the sums of checks are not compared."""
    fit = mf.lmm(FORMULA, rows()).fit()
    damage(parquet / "1.parquet")
    data: Any = ds.dataset(str(parquet)) if "dataset" in form else parquet
    executor = ThreadPoolExecutor(2) if "workers" in form else None

    def read() -> Any:
        if form == "scores":
            return list(fit.scorer().batches(data))
        return mf.lmm(FORMULA, data, executor=executor, batch_rows=50)

    with pytest.raises(mf.DataError, match="cannot be read") as error:
        read()
    assert "checksum" in str(error.value)
    assert form == "dataset" or "1.parquet" in str(error.value)


def test_scores_must_be_written_with_sums_of_checks(tmp_path: Path) -> None:
    fit = mf.lmm(FORMULA, rows()).fit()
    fit.scorer().to_parquet(rows(), tmp_path / "means.parquet", keep=["x"])
    assert fit.scorer().columns == ("x", "f", "g")
    damage(tmp_path / "means.parquet")
    assert "means.parquet cannot be read" in refusal(tmp_path / "means.parquet", "mean ~ x")


@pytest.mark.parametrize("dtype", ["text", "dates"])
def test_file_whose_columns_have_other_types_must_be_named(dtype: str, parquet: Path) -> None:
    own = pd.read_parquet(parquet / "2.parquet")
    values: Any = "text" if dtype == "text" else pd.date_range("2020-01-01", periods=len(own))
    own.assign(x=values).to_parquet(parquet / "2.parquet")
    assert "2.parquet" in refusal(parquet)


def test_file_that_lacks_a_column_must_be_named(parquet: Path) -> None:
    pd.read_parquet(parquet / "2.parquet").drop(columns="x").to_parquet(parquet / "2.parquet")
    message = refusal(parquet)
    assert "2.parquet has no column 'x' (columns: g, f, y)" in message


@pytest.mark.parametrize("text", ["semicolons", "tabs", "latin"])
def test_text_of_another_dialect_must_be_read_and_said(text: str, tmp_path: Path) -> None:
    frame = rows().assign(f=lambda d: d["f"].replace("a", "ä"))
    options: dict[str, Any] = {
        "semicolons": {"sep": ";", "decimal": ","},
        "tabs": {"sep": "\t"},
        "latin": {"encoding": "latin-1"},
    }[text]
    for i in range(2):
        frame[150 * i : 150 * i + 150].to_csv(tmp_path / f"{i}.csv", index=False, **options)
    data = str(tmp_path / "*.csv")
    if text == "tabs":
        model = mf.lmm(FORMULA, data, batch_rows=40)
    else:
        with pytest.warns(
            mf.ReadingWarning, match=r"0\.csv: (values separated by semicolons; decimal|encoding)"
        ):
            model = mf.lmm(FORMULA, data, batch_rows=40)
    same(model, frame)


WRONG = [
    ("misspelt", "a.cvs", "Did you mean 'a.csv'"),
    ("no match", "b*.csv", "no file matches"),
    ("empty folder", "empty", "has no files"),
    ("folder of texts", "texts", "texts/*.csv.gz"),
    ("folder of others", "others", "has no Parquet files (among 1 file, such as 'notes.docx')"),
    ("both kinds", ["a.csv", "a.parquet"], "some files are CSV and others Parquet"),
    ("twice", ["a.csv", "a.csv"], "is given twice"),
    ("folder in a list", ["a.csv", "texts"], "is a folder"),
    ("one name for two", "twice.csv", "several columns have the same name"),
    ("of another program", "rows.sav", "mf.read reads workbooks and files of other programs"),
    ("absent in a list", ["a.csv", "c.csv"], "there is no file"),
]


@pytest.mark.parametrize(("names", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_path_must_be_refused_with_the_way_out(names: Any, words: str, tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "1.csv.gz").write_bytes(b"")
    (folder / "others").mkdir()
    (folder / "others" / "notes.docx").write_bytes(b"")
    rows().to_csv(folder / "a.csv", index=False)
    rows().to_csv(folder / "twice.csv", index=False, header=["x", "x", "f", "y"])
    rows().to_parquet(folder / "a.parquet")
    (folder / "rows.sav").write_bytes(b"")
    data = str(folder / names) if isinstance(names, str) else [folder / name for name in names]
    assert words in refusal(data).replace("\\\\", "/").replace("\\", "/")
