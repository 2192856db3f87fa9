"""Sample sizes of studies with arms: every arm keeps its share, in whatever order the levels stand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.inference.power.sizes import with_levels, with_rows

ORDERS = {
    "blocks": lambda j: (j >= 12) * 1,
    "in turn": lambda j: j % 2,
    "pairs": lambda j: (j // 2) % 2,
    "ABBA": lambda j: np.array([0, 1, 1, 0])[j % 4],
}


def plan(order: str, arms: int = 2) -> pd.DataFrame:
    subjects = np.repeat(np.arange(24), 3)
    arm = subjects % arms if arms > 2 else ORDERS[order](subjects)
    return pd.DataFrame(
        {"subj": subjects, "arm": np.array(list("abcd"))[arm], "visit": np.tile(np.arange(3), 24)}
    )


@pytest.mark.parametrize("count", [2, 3, 8, 12, 16, 17, 18, 20, 24, 30, 48, 50])
@pytest.mark.parametrize("order", list(ORDERS))
def test_arms_must_keep_their_shares_along_levels(order: str, count: int) -> None:
    out = with_levels(plan(order), "subj", count, ["subj"], ["arm"])
    assert out["subj"].nunique() == count
    sizes = out.drop_duplicates("subj")["arm"].value_counts()
    assert sizes.max() - sizes.min() == count % 2
    assert (out.groupby("subj")["visit"].nunique() == 3).all()


@pytest.mark.parametrize(
    ("count", "expected"), [(3, [1, 1, 1]), (9, [3, 3, 3]), (10, [4, 3, 3]), (23, [8, 8, 7]), (36, [12] * 3)]
)
def test_three_arms_must_keep_their_shares(count: int, expected: list[int]) -> None:
    out = with_levels(plan("in turn", 3), "subj", count, ["subj"], ["arm"])
    assert sorted(out.drop_duplicates("subj")["arm"].value_counts(), reverse=True) == expected


def test_unequal_arms_must_keep_their_ratio() -> None:
    frame = plan("blocks").assign(arm=lambda d: np.where(d["subj"] < 6, "a", "b"))
    sizes = with_levels(frame, "subj", 12, ["subj"], ["arm"]).drop_duplicates("subj")["arm"].value_counts()
    assert sizes.to_dict() == {"a": 3, "b": 9}


@pytest.mark.parametrize("count", [2, 4, 6, 12, 18])
def test_conditions_must_keep_their_shares_within_levels(count: int) -> None:
    frame = pd.DataFrame(
        {"subj": np.repeat(np.arange(5), 12), "cond": list("AB") * 30, "t": np.tile(np.arange(12), 5)}
    )
    out = with_rows(frame, "subj", count, ["cond"])
    assert (out.groupby("subj")["cond"].value_counts() == count // 2).all()


@pytest.mark.parametrize("order", list(ORDERS))
def test_power_table_must_show_the_arms(order: str) -> None:
    params = {"(Intercept)": 0, "armb": 1.0, "sd_(Intercept)|subj": 1, "sigma": 1}
    found = mf.power(
        "y ~ arm + (1 | subj)", plan(order), params, "armb", n=20, seed=1, along={"subj": [12, 16]}
    )
    assert found.table["subj by arm"].tolist() == ["a 6, b 6", "a 8, b 8"]
    assert "a 6, b 6" in str(found)


def test_power_within_levels_must_show_the_conditions() -> None:
    frame = pd.DataFrame({"subj": np.repeat(np.arange(12), 12), "cond": list("AB") * 72})
    params = {"(Intercept)": 0, "condB": 0.5, "sd_(Intercept)|subj": 1, "sigma": 1}
    found = mf.power("y ~ cond + (1 | subj)", frame, params, "condB", n=20, seed=1, within={"subj": [6]})
    assert found.table["rows by cond"].tolist() == ["A 36, B 36"]


def test_fewer_levels_than_arms_must_be_refused() -> None:
    params = {"(Intercept)": 0, "armb": 1.0, "armc": 1.0, "sd_(Intercept)|subj": 1, "sigma": 1}
    with pytest.raises(mf.ModelError, match="2 levels of 'subj' are too few for the 3 combinations of arm"):
        mf.power("y ~ arm + (1 | subj)", plan("in turn", 3), params, "armb", n=5, along={"subj": [2]})
