"""Levels of grouping factors keep their identity, whatever is written in their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.design.recipe.variables import group_codes

LABELS: dict[str, list[Any]] = {
    "colons": ["a", "a:b", "b:a", ":"],
    "colons beside": ["b:c", "c", "a:c", ""],
    "bars": ["a|b", "|", "(1 | g)", "a"],
    "slashes": ["a/b", "/", "a", "b/"],
    "dots": [".", "a.b", ".sig01", "sigma"],
    "blanks": [" ", "  ", "\t", "a\nb"],
    "empty": ["", "''", '""', "`"],
    "unicode": ["é", "e\u0301", "\u200b", "日本"],
    "brackets": ["a[T.b]", "[0, 1)", "{x}", "a]"],
    "numbers and text": [1, "1", 2.5, "2.5"],
    "words of the package": ["(Intercept)", "Intercept", "Residual", "None"],
    "booleans and text": [True, "True", "False", False],
    "tuples": [("a", "b"), ("a",), ("b", "a"), ("a:b",)],
}


def factor(labels: list[Any], codes: Any) -> pd.Categorical:
    holder = np.empty(len(labels), dtype=object)
    holder[:] = labels
    return pd.Categorical.from_codes(codes, categories=pd.Index(holder, dtype=object))


def frame(first: str, second: str) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    one, other = np.arange(160) % 4, np.arange(160) // 4 % 4
    data = pd.DataFrame({"x": rng.normal(size=160), "a": factor(LABELS[first], one)})
    data["b"] = factor(LABELS[second], other)
    data["id"] = 4 * one + other
    data["y"] = data["x"] + rng.normal(size=16)[data["id"]] + rng.normal(size=160)
    return data


@pytest.mark.everyday(3)
@pytest.mark.filterwarnings("ignore:labels that differ only:mixedfit.GroupingWarning")
@pytest.mark.parametrize(("first", "second"), [*zip(LABELS, [*list(LABELS)[1:], "colons"], strict=True)])
def test_combinations_of_labels_must_be_told_apart_by_every_method(
    first: str, second: str, tmp_path: Path
) -> None:
    """The same model on numbered combinations has the answers; the rival takes ("a:b", "c") for ("a", "b:c")."""
    data = frame(first, second)
    numbered, model = mf.lmm("y ~ x + (1 | id)", data).fit(), mf.lmm("y ~ x + (1 | a:b)", data)
    fit = model.fit()
    fit.save(tmp_path / "fit.npz")
    for one in (fit, mf.load(tmp_path / "fit.npz")):
        np.testing.assert_allclose(one.predict(data.iloc[::-3]), numbered.predict(data.iloc[::-3]), rtol=1e-7)
        simulated = one.simulate(2, newdata=data.head(20), seed=1)
        np.testing.assert_allclose(simulated, numbered.simulate(2, newdata=data.head(20), seed=1), rtol=1e-6)
        np.testing.assert_allclose(one.augment(data)[".fitted"], numbered.fittedvalues, rtol=1e-7)
        assert one.random_effects["a:b"].index.is_unique
        new = data.head(40).astype({"b": object}).assign(b="new")  # four groups that the fit did not have
        assert one.simulate(1, newdata=new, new_levels="marginal", seed=3).shape == (40, 1)
    drawn = model.gibbs(draws=20, tune=20, chains=1, seed=1)
    again = mf.lmm("y ~ x + (1 | id)", data).gibbs(draws=20, tune=20, chains=1, seed=1)
    mean = drawn.predict(data.iloc[::7], kind="mean").summary()["mean"]
    np.testing.assert_allclose(mean, again.predict(data.iloc[::7], kind="mean").summary()["mean"], rtol=1e-6)


def test_combination_that_is_new_must_not_be_taken_for_one_that_is_written_alike() -> None:
    data = pd.DataFrame(
        {"a": ["a:b", "x", "y"] * 10, "b": np.repeat(["c", "z"], 15), "y": np.arange(30.0) % 7}
    )
    fit = mf.lmm("y ~ 1 + (1 | a:b)", data).fit()
    assert "a:b:c" in fit.random_effects["a:b"].index
    row = pd.DataFrame({"a": ["a"], "b": ["b:c"]})
    with pytest.raises(mf.DataError, match="levels that the fit did not see: \"'a':'b:c'\""):
        fit.predict(row)
    assert fit.predict(row, new_levels="population")[0] == pytest.approx(fit.params["(Intercept)"])


def test_combinations_of_numbers_written_as_text_must_be_found() -> None:
    data = frame("colons", "empty").assign(a=np.arange(160) % 4)
    fit = mf.lmm("y ~ x + (1 | a:b)", data).fit()
    for a in (data["a"].astype(float), data["a"].astype(str), data["a"].astype("Int64")):
        np.testing.assert_array_equal(fit.predict(data.assign(a=a)), fit.predict(data))


@pytest.mark.parametrize(
    ("formula", "name"),
    [("y ~ f1 + f + (1 | g)", "f1"), ("y ~ m + (1 | g)", "m1"), ("y ~ f + (0 + f1 + f || g)", "f1")],
)
def test_columns_that_would_bear_one_name_must_be_refused(formula: str, name: str) -> None:
    data = pd.DataFrame(
        {"g": np.repeat(range(12), 8), "f": np.tile(list("0123"), 24), "f1": np.arange(96) % 5}
    )
    data["m"] = factor([2, 1, "1", 3], np.arange(96) % 4)
    with pytest.raises(mf.ModelError, match=f"two columns .* named '{name}'.*Rename"):
        mf.lmm(formula, data.assign(y=np.arange(96.0) % 11))


@pytest.mark.parametrize("spread", [1, 3, 10**9])
def test_integer_levels_must_be_found_whatever_their_distance(spread: int) -> None:
    """Near ones by a table, others by hashes; rivals: a value between two levels, or beyond the table."""
    levels = pd.Index(np.array([5, 2, 9]) * spread)
    values = pd.Series(np.array([9, 9, 2, 5]) * spread)
    found = group_codes(["g"], ["i"], levels, (), pd.DataFrame({"g": values}))[0]
    np.testing.assert_array_equal(found, [2, 2, 1, 0])
    for new in (spread * 9 + 1, spread * 2 - 1, 3 * spread):
        strange = pd.DataFrame({"g": [2 * spread, new]})
        codes, labels = group_codes(["g"], ["i"], levels, (), strange)
        assert (codes.tolist(), labels.tolist()) == ([1, -1], [2 * spread, new])
