"""Nesting, weights, slopes, responses, contrasts, effect sizes and joint tests against R's emmeans (stored output)."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER
from published_cases import numbers

import mixedfit as mf

STORED = json.loads((REFERENCE_FOLDER / "emmeans_more.json").read_text(encoding="utf-8"))
MEANS = STORED["means"]
IDS = [f"{r['formula']}-{r['data']}-{r['specs']}-{r['weights']}-{r['type']}-{r['ddf']}" for r in MEANS]

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")


@lru_cache
def data_of(name: str) -> pd.DataFrame:
    """Return a data set as the script made it."""
    cake = mf.load_dataset("cake")
    place = np.arange(1, len(cake) + 1)
    data = cake if name == "cake" else cake[(place % 7 != 3) & (place % 11 != 5)]
    data = data.assign(
        oven=pd.Categorical(np.where(data["temp"] > 195, "hot", "mild"), categories=["mild", "hot"]),
        zone=data["temp"].map(dict(zip(range(175, 235, 10), "abbcdd", strict=True))),
        half=np.where(data["replicate"].astype(str).astype(int) % 3 == 0, "one", "two"),
        w=1.0 + np.arange(1, len(data) + 1) % 4,
    )
    return data[~((data["temperature"] == "225") & (data["recipe"] == "A"))] if name == "lost" else data


@lru_cache
def fitted(formula: str, data: str, weighted: bool = False) -> mf.MixedResults:
    return mf.lmm(formula, data_of(data), weights="w" if weighted else None).fit()


def means_of(record: dict[str, Any]) -> Any:
    fit = fitted(record["formula"], record["data"], record["weighted"])
    options = {"at": record["at"], "ddf": record["ddf"], "weights": record["weights"] or "equal"}
    if record["trend"]:
        return fit.emtrends(record["specs"], record["trend"], **options)
    bias = {"bias_adjust": True, "sigma": record["bias"]} if record["bias"] else {}
    return fit.emmeans(record["specs"], type=record["type"], **options, **bias)


def compare(ours: pd.DataFrame, rows: dict[str, Any], ddf: str) -> None:
    for column, values in rows.items():
        expected = np.atleast_1d(numbers(values))
        if column == "df" and ddf == "normal":
            expected[:] = np.inf
        # emmeans and lmerTest differentiate numerically; qtukey is good to five digits
        relative = 3e-6 if column in ("estimate", "std_error") else 5e-5
        got = ours[column].to_numpy()
        assert got == pytest.approx(expected, rel=relative, abs=2e-5, nan_ok=True), column


def plain(names: Any) -> list[str]:
    """Return R's names of contrasts without the variable that it puts before levels that look like numbers."""
    return [re.sub(r"temperature|[()]", "", name) for name in np.atleast_1d(names)]


@pytest.mark.everyday(9)
@pytest.mark.parametrize("record", MEANS, ids=IDS)
def test_means_must_be_those_of_emmeans_whatever_the_grid(record: dict[str, Any]) -> None:
    means = means_of(record)
    expected = {name: [str(v) for v in np.atleast_1d(values)] for name, values in record["levels"].items()}
    compare(means.table, record["rows"], record["ddf"])
    for name, values in expected.items():
        assert [f"{v:g}" if isinstance(v, float) else str(v) for v in means.table[name]] == values


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    "record", [r for r in MEANS if r["contrasts"]], ids=lambda r: f"{r['formula']}-{r['specs']}"
)
def test_contrasts_must_be_those_of_emmeans_whatever_the_family(record: dict[str, Any]) -> None:
    means = means_of(record)
    labels = [str(v) for v in pd.unique(means.table[means.specs[0]])]
    for how in record["contrasts"]:
        if "interaction" in how:
            made = means.contrasts(adjust=how["adjust"], interaction=how["interaction"])
        else:
            ref = [labels[i - 1] for i in np.atleast_1d(how["ref"])] if "ref" in how else None
            made = means.contrasts(how["method"], how["adjust"], ref=ref)
            assert plain(made.table["contrast"]) == plain(how["contrast"]) or "ref" in how
        compare(made.table.dropna(subset=["p_value"]), how["rows"], record["ddf"])


@pytest.mark.parametrize("record", [r for r in MEANS if r["effect"]], ids=lambda r: r["specs"])
def test_effect_sizes_must_be_those_of_emmeans(record: dict[str, Any]) -> None:
    effect = record["effect"]
    edf = np.inf if effect["edf"] in (None, "Inf") else effect["edf"]
    made = means_of(record).effect_sizes(sigma=effect["sigma"], edf=edf)
    compare(made.table, effect["rows"], record["ddf"])


@pytest.mark.everyday(4)
@pytest.mark.parametrize("record", STORED["joint"], ids=lambda r: f"{r['formula']}-{r['data']}-{r['by']}")
def test_joint_tests_must_be_those_of_emmeans(record: dict[str, Any]) -> None:
    by = [record["by"]] if isinstance(record["by"], str) else record["by"] or []
    table = fitted(record["formula"], record["data"]).joint_tests(by=by, ddf=record["ddf"]).table
    table = table[table["df_num"] > 0]
    keys = [(term, *(str(record["group"][name][i]) for name in by)) for i, term in enumerate(record["term"])]
    ours = {(row["term"], *(str(row[name]) for name in by)): row for _, row in table.iterrows()}
    assert set(ours) == set(keys)
    for i, key in enumerate(keys):
        assert ours[key]["df_num"] == record["df_num"][i]
        assert ours[key]["statistic"] == pytest.approx(float(record["statistic"][i]), abs=6e-4, rel=6e-4)
        assert ours[key]["p_value"] == pytest.approx(float(record["p_value"][i]), abs=2e-5, rel=1e-3)
        if record["ddf"] != "normal":
            assert ours[key]["df_denom"] == pytest.approx(float(record["df_denom"][i]), abs=6e-3)
