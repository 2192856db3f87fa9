"""Files as people have them: separators, decimal commas, encodings, titles, marks of missing values, workbooks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.reading.files import Reading, read_table

MEANT = pd.DataFrame({"g": ["a", "b", "c"], "x": [1.0, np.nan, 3.0], "y": [2.5, 3.5, -0.5]})
"""What the files below hold."""


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def of(folder: Path, content: str | bytes, name: str = "data.csv", **options: Any) -> Reading:
    return read_table(write(folder, content, name), **options)


COMMAS = "g,x,y\na,1,2.5\nb,NA,3.5\nc,3,-0.5\n"
SEMICOLONS = "g;x;y\na;1;2,5\nb;.;3,5\nc;3;-0,5\n"

FILES: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "commas": (COMMAS, {}, []),
    "semicolons": (SEMICOLONS, {}, ["semicolons", "decimal comma ('2,5' is 2.5)"]),
    "semicolons and points": (COMMAS.replace(",", ";"), {}, ["semicolons"]),
    "tabs": (COMMAS.replace(",", "\t"), {}, []),
    "bars": (COMMAS.replace(",", "|"), {}, ["bars"]),
    "aligned by blanks": ("g   x   y\na   1   2.5\nb  NA   3.5\nc   3  -0.5\n", {}, ["blanks"]),
    "colons, given": (COMMAS.replace(",", ":"), {"sep": ":"}, []),
    "names of rows by R": ('"g" "x" "y"\n"1" "a" 1 2.5\n"2" "b" NA 3.5\n"3" "c" 3 -0.5\n', {}, ["blanks"]),
    "byte order mark": ("\ufeff" + COMMAS, {}, []),
    "UTF-16": (COMMAS.encode("utf-16"), {}, ["UTF-16"]),
    "UTF-16 without a mark": (COMMAS.encode("utf-16-be"), {}, ["UTF-16-BE"]),
    "a title and a blank line": ("Survey, of pigs\n\n" + COMMAS, {}, ["1 line above the names"]),
    "two titles, semicolons": ("Survey\nof pigs\n" + SEMICOLONS, {}, ["2 lines above the names"]),
    "lines to skip, given": ("1,2,3\n4,5,6\n" + COMMAS, {"skip": 2}, []),
    "quotes": ('g,x,y\n"a",1,"2.5"\n"b",NA,3.5\n"c",3,-0.5\n', {}, []),
    "blanks after commas": (COMMAS.replace(",", ", "), {}, []),
    "old line ends": (COMMAS.replace("\n", "\r\n"), {}, []),
    "a separator at the ends": ("g;x;y;\na;1;2,5;\nb;;3,5;\nc;3;-0,5;\n", {}, ["semicolons"]),
    "a dash among numbers": (COMMAS.replace("NA", "-"), {}, ["x: 1 ('-')"]),
    "n/a": (COMMAS.replace("NA", "n/a"), {}, ["x: 1 ('n/a')"]),
    "an empty cell": (COMMAS.replace("NA", ""), {}, []),
    "a code, given": (COMMAS.replace("NA", "-99"), {"na": "-99"}, ["x: 1 ('-99')"]),
}


@pytest.mark.parametrize("name", FILES)
def test_data_must_be_those_meant_and_what_was_found_said(name: str, tmp_path: Path) -> None:
    content, options, said = FILES[name]
    found = of(tmp_path, content, **options)
    pd.testing.assert_frame_equal(
        found.frame.reset_index(drop=True), MEANT, check_dtype=False, check_column_type=False
    )
    notes = "; ".join(found.notes)
    assert all(text in notes for text in said), notes
    assert sum(found.missing["x"].values()) == 1
    if name in ("commas", "tabs", "an empty cell", "quotes"):
        assert "separated" not in notes


def test_empty_cells_must_be_missing_beside_a_code_that_is_given(tmp_path: Path) -> None:
    """Rival: with a code of one's own, empty cells are text, and their column is none of numbers."""
    found = of(tmp_path, "g,x\na,1\n,\nc,-99\n", na="-99")
    assert found.frame["x"].isna().tolist() == [False, True, True]
    assert found.frame["g"].isna().tolist() == [False, True, False]
    assert found.missing == {"g": {"": 1}, "x": {"": 1, "-99": 1}}


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", "gz without an ending"])
def test_packed_files_must_be_read(kind: str, tmp_path: Path) -> None:
    content, name = SEMICOLONS.encode(), f"data.csv.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("data.csv", content)
    else:
        packed = {"bz2": bz2.compress, "xz": lzma.compress}.get(kind, gzip.compress)(content)
        name = "data.csv" if "ending" in kind else name
        write(tmp_path, packed, name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name).frame, MEANT, check_dtype=False)


def test_latin_1_must_be_found_even_far_below(tmp_path: Path) -> None:
    early = of(tmp_path, "größe;x\nä;1\n".encode("latin-1"))
    assert list(early.frame.columns) == ["größe", "x"]
    assert "Latin-1" in early.notes[1]
    late = of(tmp_path, ("g,x\n" + "a,1\n" * 17_000).encode() + "é,2\n".encode("latin-1"))
    assert late.frame["g"].iloc[-1] == "é"
    assert "Latin-1" in late.notes[0]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.234,5", "12,5"], [1234.5, 12.5]),
        (['"1,234.5"', "12.5"], [1234.5, 12.5]),
        (["1,5e3", "-,5"], [1500.0, -0.5]),
    ],
)
def test_marks_of_thousands_must_not_make_text(cells: list[str], values: list[float], tmp_path: Path) -> None:
    found = of(tmp_path, "g;x\n" + "".join(f"a;{cell}\n" for cell in cells))
    assert found.frame["x"].tolist() == values


@pytest.mark.parametrize(
    ("cells", "levels"),
    [
        (["+", "-", "+"], ["+", "-", "+"]),  # signs are levels
        (["a", "-", "b"], ["a", None, "b"]),
        (["None", "Drug", "None"], ["None", "Drug", "None"]),  # a treatment
        (["a", ".", "NA"], ["a", None, None]),
    ],
)
def test_marks_among_labels_must_be_missing_where_they_are_no_levels(
    cells: list[str], levels: list[str | None], tmp_path: Path
) -> None:
    found = of(tmp_path, "f,x\n" + "".join(f"{cell},1\n" for cell in cells))
    assert [None if pd.isna(v) else v for v in found.frame["f"]] == levels
    assert sum(found.missing.get("f", {}).values()) == levels.count(None)


@pytest.mark.parametrize(
    ("content", "name", "options", "says"),
    [
        ("g,x,x\na,1,2\n", "data.csv", {}, "'x': columns 2, 3"),
        ("", "data.csv", {}, "empty"),
        ("\n \n", "data.csv", {}, "blank"),
        ("g,x\n", "data.csv", {}, "no rows"),
        ("g,x\na,1\nb,2,3\n", "data.csv", {}, "line 3, saw 3. Check the separators"),
        ("<!DOCTYPE html><p>", "data.csv", {}, "web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "data.xls", {}, "old Excel"),
        (bytes(range(256)) * 3, "data.foo", {}, "'.foo' is not known"),
        (b"junk" * 300, "data.dta", {}, "cannot be read"),
        (COMMAS, "data.csv", {"sep": "ab"}, "one character"),
        (COMMAS, "data.csv", {"decimal": ";"}, "expected '.' or ','"),
        (COMMAS, "data.csv", {"encoding": "klingon"}, "klingon"),
    ],
)
def test_what_cannot_be_read_must_be_refused(
    content: str | bytes, name: str, options: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(mf.DataError, match=says):
        of(tmp_path, content, name, **options)


def test_missing_file_must_be_answered_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, COMMAS, "weights.csv")
    with pytest.raises(mf.DataError, match=r"Did you mean 'weights.csv'"):
        read_table(tmp_path / "weight.csv")
    with pytest.raises(mf.DataError, match="folder"):
        read_table(tmp_path)


def test_remark_below_the_table_must_be_pointed_out(tmp_path: Path) -> None:
    assert "'Source: farm': a remark?" in of(tmp_path, COMMAS + "\nSource: farm\n").notes[0]


def test_read_must_warn_of_what_it_found_and_be_silent_otherwise(tmp_path: Path) -> None:
    with pytest.warns(mf.ReadingWarning, match=r"data.csv: values separated by semicolons; .*x: 1 \('\.'\)"):
        mf.read(write(tmp_path, SEMICOLONS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mf.read(write(tmp_path, COMMAS.replace("NA", "")))


@pytest.mark.parametrize(
    ("ending", "module", "extra"),
    [
        ("xlsx", "openpyxl", "excel"),
        ("sav", "pyreadstat", "spss"),
        ("rds", "pyreadr", "rdata"),
        ("parquet", "pyarrow", "stream"),
    ],
)
def test_reader_that_is_not_installed_must_be_named_with_its_extra(
    ending: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(mf.DataError, match=rf'{module}: pip install "mixedfit\[{extra}\]"'):
        of(tmp_path, b"abc", f"data.{ending}")


def test_workbook_must_be_read_below_its_titles(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Data"
    for row in (["Survey"], [], ["g", "x", "y"], ["a", 1, 2.5], ["b", ".", 3.5], ["c", 3, -0.5]):
        book.active.append(row)
    for row in (["k"], ["v"]):
        book.create_sheet("Notes") if row == ["k"] else None
        book["Notes"].append(row)
    path = tmp_path / "data.xlsx"
    book.save(path)
    found = read_table(path)
    pd.testing.assert_frame_equal(found.frame, MEANT, check_dtype=False)
    assert "sheet 'Data', the first of 2 (Data, Notes)" in found.notes
    assert "2 rows above the names skipped" in found.notes
    assert found.missing == {"x": {".": 1}}
    assert list(read_table(path, sheet="Notes").frame.columns) == ["k"]
    assert list(read_table(path, sheet="1").frame.columns) == ["k"]
    with pytest.raises(mf.DataError, match="Did you mean 'Notes'"):
        read_table(path, sheet="Note")


def test_files_of_other_programs_must_be_read(tmp_path: Path) -> None:
    MEANT.to_stata(tmp_path / "data.dta", write_index=False)
    MEANT.to_parquet(tmp_path / "data.parquet")
    for name in ("data.dta", "data.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name).frame, MEANT, check_dtype=False)


@pytest.mark.parametrize(("module", "name"), [("pyreadstat", "data.sav"), ("pyreadr", "data.rds")])
def test_files_of_spss_and_r_must_be_read(module: str, name: str, tmp_path: Path) -> None:
    writer = pytest.importorskip(module)
    if module == "pyreadr":
        writer.write_rds(str(tmp_path / name), MEANT)
    else:
        writer.write_sav(MEANT, str(tmp_path / name))
    pd.testing.assert_frame_equal(read_table(tmp_path / name).frame, MEANT, check_dtype=False)


@pytest.mark.parametrize("mark", [".", "n/a", "NA"])
def test_mark_of_a_missing_value_must_not_be_a_level_silently(mark: str) -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.arange(60) % 6, "y": rng.normal(size=60), "f": np.resize(["a", "b"], 60)})
    data.loc[[3, 9], "f"] = mark
    with pytest.warns(mf.GroupingWarning, match=r"is one of its levels \(2 rows\), usually a mark"):
        mf.lmm("y ~ f + (1 | g)", data)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8"])
def test_encoding_that_is_given_must_be_kept_however_it_is_written(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("Häufigkeit;y\nhoch;2,5\nniedrig;3,5\n".encode("latin-1"))
    with pytest.raises(mf.DataError, match="Without encoding= the encoding is found"):
        mf.read(path, encoding=encoding)
    with pytest.warns(mf.ReadingWarning, match="Latin-1"):
        assert list(mf.read(path).columns) == ["Häufigkeit", "y"]


BY_SEMICOLON = "y;x;g\n1,5;2,25;a\n2,5;3,75;b\n3,5;4,25;c\n"


@pytest.mark.parametrize(
    ("sep", "says"),
    [
        (
            ",",
            r"sep=',' gives lines of 1 and 3 values; separated by semicolons all lines have 3.*give sep=';'",
        ),
        ("tab", r"sep='tab' leaves each line in one piece; separated by semicolons"),
        ("|", r"sep='\|' leaves each line in one piece"),
    ],
)
def test_separator_that_breaks_the_lines_must_be_refused_with_the_right_one(
    sep: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_text(BY_SEMICOLON, encoding="utf-8")
    with pytest.raises(mf.DataError, match=says):
        mf.read(tmp_path / "data.csv", sep=sep)


@pytest.mark.parametrize(
    ("text", "sep"),
    [
        ("y,x\n1,a;b\n2,c;d\n", ","),  # semicolons inside values
        ("a title\ny,x\n1,2\n3,4\n", ","),
        ("y\n1\n2\n", ";"),
        ("y;x\n1;2\n3;4\n", ";"),
        ("y|x\n1|2,5\n2|3,5\n", "|"),
    ],
)
@pytest.mark.filterwarnings("ignore::mixedfit.ReadingWarning")
def test_separator_of_the_file_must_be_taken(text: str, sep: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    frame = mf.read(tmp_path / "data.csv", sep=sep)
    assert list(frame.columns) == (["y"] if "x" not in text else ["y", "x"])
    assert len(frame) == 2


def test_decimal_mark_that_leaves_numbers_as_text_must_be_warned_of(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(BY_SEMICOLON, encoding="utf-8")
    with pytest.warns(
        mf.ReadingWarning, match=r"decimal='\.' was given, but numbers are written with ','.*'1,5'"
    ):
        mf.read(tmp_path / "data.csv", decimal=".")
    (tmp_path / "data.csv").write_text(BY_SEMICOLON.replace(",", "."), encoding="utf-8")
    with pytest.warns(mf.ReadingWarning, match=r"decimal=',' was given, but numbers are written with '\.'"):
        mf.read(tmp_path / "data.csv", decimal=",")
