"""Labels that differ only in blanks, case or composition are named in one warning, whose advice makes them the same."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pandas as pd
import pytest
from experiments import priming
from hypothesis import given
from hypothesis import strategies as st

import mixedfit as mf
from mixedfit.design.spellings import alike


def changed(column: str, **labels: str) -> pd.DataFrame:
    """Return the data with one other spelling of a label in its first row."""
    data = priming().copy()
    for old, new in labels.items():
        data.loc[data.index[data[column] == old][0], column] = new
    return data


SPELLINGS: dict[str, tuple[str, str]] = {
    "blank after": ("related", "related "),
    "blank before": ("related", " related"),
    "case": ("related", "Related"),
    "case and blank": ("related", "RELATED "),
    "no-break space": ("related", "related\u00a0"),
}


@pytest.mark.parametrize("kind", SPELLINGS)
@pytest.mark.parametrize("column", ["Prime", "Subject"])
def test_warning_must_name_both_spellings_and_its_advice_must_help(kind: str, column: str) -> None:
    old, new = SPELLINGS[kind]
    data = changed("Prime", **{old: new})
    if column == "Subject":
        data = data.assign(Subject=data["Prime"], Prime=1.0)
    before = data.copy()
    formula = "RT ~ Prime + (1 | Item)" if column == "Prime" else "RT ~ 1 + (1 | Item) + (1 | Subject)"
    with pytest.warns(mf.GroupingWarning, match="differ only in blanks") as found:
        mf.lmm(formula, data)
    assert len(found) == 1
    pd.testing.assert_frame_equal(data, before)
    advice = re.search(r"before the fit: (data\[.*)\.$", str(found[0].message))
    assert advice is not None
    exec(advice[1], {"data": data})
    assert alike(data[column].unique()) == []


def test_composed_letters_must_be_shown_apart() -> None:
    data = priming().assign(Item=lambda d: "Mü" + d["Item"])
    data.loc[0, "Item"] = unicodedata.normalize("NFD", data.loc[0, "Item"])
    with pytest.warns(mf.GroupingWarning, match=r"'Mu\\u0308i01' and 'Müi01'.*normalize\('NFC'\)"):
        mf.lmm("RT ~ Prime + (1 | Item)", data)


def test_one_warning_must_name_all_columns() -> None:
    data = changed("Prime", related="related ").assign(Item=priming()["Item"].astype("category"))
    data.loc[data.index[0], "Subject"] = "S01"
    with pytest.warns(mf.GroupingWarning) as found:
        mf.lmm("RT ~ Prime + (1 | Subject/Item)", data)
    (text,) = [str(one.message) for one in found]
    assert "'Prime': 'related' and 'related '" in text
    assert "'Subject': 'S01' and 's01'" in text


def test_sources_must_warn_too() -> None:
    data = changed("Prime", related="Related")
    with pytest.warns(mf.GroupingWarning, match="'Related' and 'related'"):
        mf.lmm("RT ~ Prime + (1 | Subject)", [data[:100], data[100:]])


@pytest.mark.parametrize("formula", ["RT ~ Prime + (1 | Subject)", "RT ~ C(Session) + (1 | Subject/Item)"])
def test_other_labels_must_not_be_warned_of(formula: str, recwarn: pytest.WarningsRecorder) -> None:
    mf.lmm(formula, priming())
    assert not [str(w.message) for w in recwarn if "differ only" in str(w.message)]


@given(st.lists(st.text(alphabet="aAb \u0308uü", max_size=4), unique=True, max_size=8))
def test_alike_must_group_labels_by_their_normal_form(labels: list[str]) -> None:
    def key(label: str) -> str:
        return unicodedata.normalize("NFC", " ".join(label.split()).casefold())

    groups = alike(labels)
    for one in labels:
        for other in labels:
            together = any(one in group and other in group for group in groups)
            assert together == (key(one) == key(other) and (one != other or together))


def test_numbers_must_not_be_alike() -> None:
    values: list[Any] = [1, 1.5, None, "1"]
    assert alike(values) == []
