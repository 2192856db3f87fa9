"""Tidy tables against R's broom.mixed (`reference/tidy.R`)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER

import mixedfit as mf

RECORD = json.loads((REFERENCE_FOLDER / "tidy.json").read_text(encoding="utf-8"))["models"]
TABLES = {
    "fixed": {"effects": "fixed", "conf_int": True, "level": 0.9, "ddf": "none"},
    "fixed_satterthwaite": {"effects": "fixed", "conf_int": True, "ddf": "satterthwaite"},
    "ran_pars": {"effects": "ran_pars"},
    "ran_pars_vcov": {"effects": "ran_pars", "scale": "vcov"},
    "ran_pars_profile": {"effects": "ran_pars", "conf_int": True, "conf_method": "profile"},
    "ran_vals": {"effects": "ran_vals", "conf_int": True},
    "ran_coefs": {"effects": "ran_coefs"},
}
LOOSE = 2e-4
"""lme4's own optimum and profile are this far from the exact ones (relative); smaller gaps are tested elsewhere."""


@lru_cache
def fitted(model: str) -> mf.MixedResults:
    record = RECORD[model]
    return mf.lmm(record["formula"], mf.load_dataset(record["data"])).fit(reml=record["reml"])


def expected(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows)


def same(ours: pd.DataFrame, theirs: pd.DataFrame, tolerance: float) -> None:
    assert list(ours.columns) == list(theirs.columns)
    for name in theirs:
        if theirs[name].dtype.kind in "fi":
            np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance, atol=1e-8, err_msg=name)
        else:
            assert ours[name].tolist() == theirs[name].tolist(), name


@pytest.mark.everyday(14)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("model", RECORD)
def test_tidy_must_be_the_table_of_broom_mixed(model: str, table: str) -> None:
    theirs = expected(RECORD[model][table])
    ours = fitted(model).tidy(**TABLES[table])
    if model == "uncorrelated" and table in ("ran_vals", "ran_coefs"):
        theirs = theirs.sort_values(["term", "level"]).reset_index(drop=True)
        ours = ours.sort_values(["term", "level"]).reset_index(drop=True)
    same(ours.head(len(theirs)), theirs, LOOSE)


@pytest.mark.parametrize("model", RECORD)
def test_glance_must_be_the_row_of_broom_mixed(model: str) -> None:
    same(fitted(model).glance(), expected(RECORD[model]["glance"]), 1e-6)


@pytest.mark.parametrize("model", RECORD)
def test_augment_must_be_the_rows_of_broom_mixed(model: str) -> None:
    theirs = expected(RECORD[model]["augment"])
    ours = fitted(model).augment(mf.load_dataset(RECORD[model]["data"])).head(30)
    for name in theirs:
        if name.startswith("."):
            size = np.abs(theirs[name]).max()
            np.testing.assert_allclose(ours[name], theirs[name], rtol=LOOSE, atol=1e-5 * size, err_msg=name)
        else:
            assert ours[name].astype(str).tolist() == theirs[name].astype(str).tolist() or np.allclose(
                ours[name].astype(float), theirs[name].astype(float)
            )
    assert list(theirs.columns) == [name for name in ours.columns if name in theirs.columns]


def test_augment_must_count_weights_and_offset_when_the_fit_has_them() -> None:
    data = mf.load_dataset("sleepstudy")
    weights, offset = np.linspace(0.5, 2.0, len(data)), np.arange(len(data), dtype=float)
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, weights=weights, offset=offset).fit()
    table = fit.augment()
    np.testing.assert_allclose(table["Reaction"], data["Reaction"])
    np.testing.assert_allclose(table[".fitted"] + table[".resid"], data["Reaction"])
    np.testing.assert_allclose(table[".wtres"], np.sqrt(weights) * table[".resid"])
    np.testing.assert_allclose(
        table[".fixed"], fit.params.iloc[0] + fit.params["Days"] * data["Days"] + offset
    )


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("Reaction ~ Days + (Days | Subject)", ["Days"]),
        ("Reaction ~ A * z + (1 | Subject)", ["A", "z"]),
        ("Reaction ~ poly(Days, 2) + A + (1 | Subject)", ["Days", "A"]),
        ("log(Reaction) ~ C(A) + log(z + 5) + (1 | Subject)", ["A", "z"]),
        ("Reaction ~ 1 + (z | Subject)", ["z"]),
    ],
)
def test_augment_must_show_the_variables_of_the_formula_without_the_data(
    formula: str, columns: list[str]
) -> None:
    data = mf.load_dataset("sleepstudy")
    data["A"], data["z"] = np.where(data.index % 3 == 0, "u", "v"), data["Days"] ** 2 - 3.5
    table = mf.lmm(formula, data).fit().augment()
    for name in columns:
        if name == "A":
            assert table["A"].tolist() == data["A"].tolist()
        else:
            np.testing.assert_allclose(table[name].astype(float), data[name])
    assert list(table.columns).index(columns[-1]) < list(table.columns).index(".fitted")


def test_augment_must_leave_out_rows_that_the_fit_left_out() -> None:
    data = mf.load_dataset("sleepstudy")
    data.loc[[3, 5], "Reaction"] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    before = data.copy()
    table = fit.augment(data)
    assert len(table) == 178
    assert not {3, 5} & set(table.index)
    pd.testing.assert_frame_equal(data, before)


def test_augment_must_refuse_other_data() -> None:
    with pytest.raises(mf.DataError, match="lack rows of the fit"):
        fitted("slopes").augment(mf.load_dataset("sleepstudy").head(10))


def test_tidy_must_stack_tables_in_the_order_asked_for() -> None:
    table = fitted("slopes").tidy(("fixed", "ran_pars"))
    assert table["effect"].tolist() == ["fixed"] * 2 + ["ran_pars"] * 4
    assert table["group"].isna().tolist() == [True] * 2 + [False] * 4
    assert table.loc[2:, "std.error"].isna().all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effects": "ran_val"}, "Did you mean 'ran_vals'"),
        ({"conf_method": "boot"}, "expected 'wald' or 'profile'"),
        ({"scale": "sd"}, "expected 'sdcor' or 'vcov'"),
        ({"conf_int": True, "level": 5}, "coverage of an interval"),
        ({"effects": "ran_pars", "scale": "vcov", "conf_int": True}, "scale='sdcor'"),
    ],
)
def test_tidy_must_say_what_is_wrong_with_an_option(options: dict[str, Any], words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        fitted("slopes").tidy(**options)


def test_tidy_must_do_without_random_effects_and_with_a_held_sigma() -> None:
    plain = mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy")).fit()
    assert plain.tidy()["term"].tolist() == ["sd__Observation", "(Intercept)", "Days"]
    assert plain.tidy("ran_vals").empty
    held = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit(sigma=30.0)
    table = held.tidy("ran_pars", conf_int=True)
    assert table["conf.low"].notna().tolist() == [True, False]


def test_augment_must_take_the_data_of_the_fit_with_any_index() -> None:
    data = mf.load_dataset("sleepstudy")
    data.index = pd.Index([0] * len(data))
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    assert fit.augment(data)["Reaction"].tolist() == data["Reaction"].tolist()
    with pytest.raises(mf.DataError, match="several rows with the same index label"):
        fit.augment(pd.concat([data, data]))


def test_comparison_must_take_one_fit_and_say_what_is_none() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    assert list(mf.compare_models(fit).estimates.columns) == ["model 1"]
    with pytest.raises(mf.ModelError, match="compare_models was given an int; expected fits"):
        mf.compare_models([fit, 3])  # type: ignore[list-item]
