"""Names of coefficients, and the columns of the groups' coefficients, against R and lme4 (stored output)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER

import mixedfit as mf
from mixedfit.design.design import build_design
from mixedfit.formula.parse import _parse, parse_formula

STORED: dict[str, Any] = json.loads((REFERENCE_FOLDER / "names.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.filterwarnings("ignore")


def data() -> pd.DataFrame:
    frame = pd.DataFrame(STORED["data"])
    return frame.assign(g=frame["g"].astype(str))


@pytest.mark.everyday(12)
@pytest.mark.parametrize("record", STORED["names"], ids=lambda record: record["formula"])
def test_names_must_be_those_of_r(record: dict[str, Any]) -> None:
    """Rivals: the factors of an interaction as its term writes them, contrasts by the names of levels."""
    design = build_design(parse_formula(f"y {record['formula']} + (1 | g)"), data())
    assert sorted(design.x_names) == sorted(record["names"])


@pytest.mark.everyday(3)
@pytest.mark.parametrize("record", STORED["coefs"], ids=lambda record: record["formula"])
def test_groups_must_have_lme4s_coefficients(record: dict[str, Any]) -> None:
    fit = mf.lmm(record["formula"], data()).fit()
    for group, expected in record["tables"].items():
        table = fit.group_coefs[group]
        theirs = pd.DataFrame(expected["values"], index=expected["levels"], columns=expected["columns"])
        assert set(table.columns) == set(theirs.columns)
        np.testing.assert_allclose(table[theirs.columns].loc[theirs.index], theirs, atol=2e-4)


def test_interaction_in_another_order_must_be_one_effect() -> None:
    """lme4 takes tos:trtY and trtY:tos for two. Rival: a second column, and a group's coefficient without β."""
    one = mf.lmm("y ~ trt * tos + (trt * tos || g)", data()).fit().group_coefs["g"]
    fit = mf.lmm("y ~ trt * tos + (tos * trt || g)", data()).fit()
    other = fit.group_coefs["g"]
    assert "trtY:tos" in other.columns
    assert "tos:trtY" not in other.columns
    own = fit.random_effects["g"]["tos:trtY"]
    np.testing.assert_allclose(other["trtY:tos"], fit.params["trtY:tos"] + own, rtol=1e-12)
    assert len(one.columns) == len(other.columns)


def test_posterior_must_have_the_same_columns() -> None:
    model = mf.lmm("y ~ trt * tos + (0 + tos:trt | g) + (0 + A | h)", data())
    coefs = model.gibbs(draws=20, tune=20, seed=1).group_coefs
    for group, table in model.fit().group_coefs.items():
        assert coefs[group].effects == tuple(table.columns)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["(0, 1]", "(1, 2]", "(2, 3]"], ["f(1, 2]", "f(2, 3]"]),
        (["a:1", "b:2", "c[3]"], ["fb:2", "fc[3]"]),
        (["[0]", "[T.1]", "x]"], ["f[T.1]", "fx]"]),
    ],
)
def test_labels_with_brackets_and_colons_must_stay_whole(labels: list[str], names: list[str]) -> None:
    frame = data()
    frame["f"] = pd.Categorical.from_codes(np.arange(len(frame)) % 3, labels)
    fixed = mf.lmm("y ~ tos * f + (1 | g)", frame).fit().params.index
    assert list(fixed) == ["(Intercept)", "tos", *names, *(f"tos:{name}" for name in names)]


def test_file_with_another_order_of_factors_must_refuse_further_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As files of versions that kept the order of the term. The rival multiplies columns by others' coefficients."""
    formula = "y ~ A + trt + trt:A + (1 | g)"
    fit = mf.lmm(formula, data()).fit()
    fit.save(tmp_path / "now.npz")
    np.testing.assert_allclose(mf.load(tmp_path / "now.npz").predict(data()), fit.predict(data()))
    _parse.cache_clear()
    monkeypatch.setattr("mixedfit.formula.parse.in_order_of_appearance", lambda formula, text: formula)
    mf.lmm(formula, data()).fit().save(tmp_path / "then.npz")
    monkeypatch.undo()
    _parse.cache_clear()
    with pytest.raises(mf.ModelError, match="another order"):
        mf.load(tmp_path / "then.npz").predict(data())


@pytest.mark.parametrize("fixed", ["C(A, contr.sum)", "A * B", "C(A, contr.sum) * C(B, contr.sum)", "B", "1"])
@pytest.mark.parametrize("random", ["C(A, contr.sum)", "C(A, contr.sum) * C(B, contr.sum)"])
def test_effects_must_have_the_same_names_whatever_the_fixed_part(fixed: str, random: str) -> None:
    """A factor that two parts share is recorded once: the other part named its effects after levels."""
    data = mf.load_dataset("sleepstudy")
    data["A"], data["B"] = np.where(data["Days"] % 2, "u", "v"), np.where(data["Days"] % 3, "p", "q")
    effects = mf.lmm(f"Reaction ~ {fixed} + ({random} | Subject)", data).design.blocks[0].effects
    names = ("C(A, contr.sum)1", "C(B, contr.sum)1", "C(A, contr.sum)1:C(B, contr.sum)1")
    assert effects == ("(Intercept)", *names[: len(effects) - 1])
