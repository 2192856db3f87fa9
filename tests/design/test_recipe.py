"""Rows built by the recipe are the rows of the fit, also for subsets, other frames and loaded fits."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mixedfit as mf
from mixedfit.design import model_matrix as matrices
from mixedfit.design.design import Design, build_design
from mixedfit.formula.parse import parse_formula

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x * z + (x || g)",
    "y ~ poly(x, 2) * f + (1 | g)",
    "y ~ bs(x, df=5) + h + (f | g)",
    "y ~ scale(x) + center(z) + log(x) + I(x^2) + (scale(x) | g)",
    "y ~ C(f, contr.sum) * h + (1 | g)",
    "y ~ C(k) + b + (1 | f:g)",
    "y ~ 0 + f + x:h + (1 | g)",
    "y ~ `odd name` + Q('odd name'):f + (1 | g)",
    "y ~ b * f + offset(z) + (b | g)",
    "y ~ f * h * x + (h || g)",
    "y ~ C(x > 3) + C(f, contr.treatment(base='b')) + (1 | g)",
    "y ~ cr(x, df=4) + (1 | whole)",
    "log(y + 10) ~ 1 + (1 | g/f)",
    "y ~ f:h + (1 | g)",
    "y ~ many + x:f + (x | g)",
    "y ~ 0 + many + f + (f | g)",
]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 120
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.uniform(1, 5, n),
            "z": rng.normal(size=n),
            "k": rng.integers(0, 4, n),
            "b": rng.random(n) < 0.5,
            "f": rng.choice(list("abc"), n),
            "h": pd.Categorical(rng.choice(["lo", "mid", "hi"], n), categories=["lo", "mid", "hi"]),
            "g": rng.integers(0, 12, n),
            "whole": rng.integers(0, 9, n).astype(float),
            "odd name": rng.normal(size=n),
            "many": [f"m{i // 3:03d}" for i in range(n)],
        }
    )


def design_of(formula: str, data: Any = None, **options: Any) -> Design:
    return build_design(parse_formula(formula), frame() if data is None else data, **options)


def match(design: Design, data: Any, rows: Any) -> None:
    """Compare the rows that the recipe builds with those of the design, bit for bit."""
    assert design.recipe is not None
    built = design.recipe.rows(data)
    np.testing.assert_array_equal(built.X, design.X[rows])
    for block, z, codes, labels in zip(design.blocks, built.z, built.codes, built.labels, strict=True):
        np.testing.assert_array_equal(z, block.z[rows])
        np.testing.assert_array_equal(codes, block.codes[rows])
        assert list(labels) == list(block.grouping.levels[codes])
    for factor, codes in zip(design.many, built.many, strict=True):
        np.testing.assert_array_equal(codes, factor.grouping.codes[rows])
    if design.offset is not None:
        np.testing.assert_array_equal(built.offset, design.offset[rows])


@pytest.fixture(autouse=True)
def few_levels_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "MANY_LEVELS", 20)


@pytest.mark.everyday(8)
@pytest.mark.parametrize("formula", FORMULAS)
def test_rows_of_the_fit_must_be_built_again_exactly(formula: str) -> None:
    data = frame()
    design = design_of(formula, data)
    match(design, data.drop(columns="y"), slice(None))
    order = np.random.default_rng(0).permutation(len(data))[:37]
    match(design, data.iloc[order], order)
    match(pickle.loads(pickle.dumps(design)), data.iloc[order], order)
    match(design, data.iloc[:0], slice(0))


@pytest.mark.everyday(6)
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_loaded_fit_must_build_the_same_rows(formula: str, tmp_path: Path) -> None:
    data = frame()
    mf.lmm(formula, data).fit().save(tmp_path / "fit.npz")
    match(mf.load(tmp_path / "fit.npz")._fit.design, data, slice(None))


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dict", "text", "nullable"])
def test_rows_of_any_kind_of_frame_must_be_built(kind: str) -> None:
    data = frame()[["x", "f", "h", "k", "b", "g"]]
    design = design_of("y ~ poly(x, 2) + f * h + C(k) + b + (x | g)")
    given: Any = {
        "polars": lambda: pl.from_pandas(data),
        "pyarrow": lambda: pa.Table.from_pandas(data),
        "dict": lambda: {name: data[name].to_numpy() for name in data},
        "text": lambda: data.astype({"h": str, "f": "category"}),
        "nullable": lambda: data.convert_dtypes(),
    }[kind]()
    match(design, given, slice(None))


def test_rows_with_a_missing_value_must_be_nan_and_stay() -> None:
    data = frame()
    design = design_of("y ~ bs(x, df=4) + f + C(k) + b + (z | g) + (1 | f:g)", data)
    assert design.recipe is not None
    holes = data.astype({"k": float, "b": object, "g": float})
    for row, name in enumerate(["x", "f", "k", "b", "z", "g"]):
        holes.loc[row, name] = None
    rows = design.recipe.rows(holes)
    assert np.isnan(rows.X).all(axis=1).tolist() == [True] * 4 + [False] * (len(data) - 4)
    np.testing.assert_array_equal(rows.X[4:], design.X[4:])
    by_name = {b.name: (rows.z[i], rows.codes[i], b) for i, b in enumerate(design.blocks)}
    z, codes, block = by_name["g"]
    assert np.isnan(z).any(axis=1).nonzero()[0].tolist() == [4]
    assert codes[5] == -1
    assert np.array_equal(np.delete(codes, 5), np.delete(block.codes, 5))
    assert (by_name["f:g"][1] < 0).nonzero()[0].tolist() == [1, 5]
    assert (by_name["f:g"][0] == 1).all()


def test_levels_that_the_fit_did_not_have_must_be_told_apart() -> None:
    data = frame()
    design = design_of("y ~ f + C(k) + (1 | g) + (1 | f:g)", data)
    assert design.recipe is not None
    rows = design.recipe.rows(data.assign(g=data["g"].replace({3: 77})))
    at = [b.name for b in design.blocks].index("g")
    np.testing.assert_array_equal(rows.codes[at] < 0, data["g"] == 3)
    np.testing.assert_array_equal(rows.codes[1 - at] < 0, data["g"] == 3)
    assert set(rows.labels[at][rows.codes[at] < 0]) == {77}
    with pytest.raises(mf.DataError, match=r"'f' has values .*: 'q', 'r' \(known: 'a', 'b', 'c'\)"):
        design.recipe.rows(data.assign(f=["q", "r"] * 60))
    with pytest.raises(mf.DataError, match=r"'k' has values .*: 9 \(known: 0, 1, 2, 3\)"):
        design.recipe.rows(data.assign(k=data["k"].replace({2: 9})))


def test_columns_that_are_missing_or_of_another_kind_must_be_named() -> None:
    design = design_of("y ~ x + b + bs(z, df=4) + (1 | g)")
    assert design.recipe is not None
    for data, says in (
        (frame().rename(columns={"x": "X"}), "no column 'x'.*Did you mean 'X'"),
        (frame().assign(x="a"), "'x' was numbers in the fit"),
        (frame().assign(b=3), "'b' was True or False"),
        (frame().assign(z=1e9), r"beyond the range that the spline bs\(z, df=4\) was learnt on, from"),
    ):
        with pytest.raises(mf.DataError, match=says):
            design.recipe.rows(data)


def test_offset_must_be_built_from_its_column_and_refused_from_an_array() -> None:
    data = frame()
    match(design_of("y ~ x + offset(x) + (1 | g)", data, offset="z"), data, slice(None))
    given = design_of("y ~ x + (1 | g)", data, offset=data["z"])
    assert given.recipe is not None
    with pytest.raises(mf.ModelError, match="given as an array"):
        given.recipe.rows(data)


def test_functions_of_the_user_must_be_used_again(tmp_path: Path) -> None:
    design = design_of("y ~ half(x) + (1 | g)", context={"half": lambda x: x / 2})
    match(design, frame(), slice(None))
    copied = pickle.loads(pickle.dumps(design)).recipe
    with pytest.raises(mf.ModelError, match=r"of your own \(half\)"):
        copied.rows(frame())
    named = design_of("y ~ log(x) + (1 | g)", context={"log": np.log1p, "unused": lambda: 0})
    np.testing.assert_array_equal(named.X[:, 1], np.log1p(frame()["x"]))
    fit = mf.lmm("y ~ log(x) + (1 | g)", frame(), context={"log": np.log1p}).fit()
    with pytest.raises(mf.ModelError, match=r"cannot be saved: its formula uses log of context="):
        fit.save(tmp_path / "fit.npz")


def test_formula_of_a_file_must_not_run_code(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    with pytest.raises(mf.ModelError, match=r"cannot be saved.*np\.cumsum"):
        mf.lmm("y ~ np.cumsum(x) + (1 | g)", frame()).fit().save(path)
    mf.lmm("y ~ np.sqrt(x) + (1 | g)", frame()).fit().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    text = arrays["header"].tobytes().decode().replace("np.sqrt(x)", "np.cumsum(x)")
    np.savez(path, **{**arrays, "header": np.frombuffer(text.encode(), dtype=np.uint8)})
    loaded = mf.load(path)
    assert loaded.params.size == 2
    recipe = loaded._fit.design.recipe
    assert recipe is not None
    with pytest.raises(mf.ModelError, match=r"np\.cumsum.*mixedfit\.lmm"):
        recipe.rows(frame())


def test_file_that_was_changed_to_hold_code_must_not_run_it(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    mark = tmp_path / "ran"
    mf.lmm("y ~ log(x) + (1 | g)", frame()).fit().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes().decode())
    attacks = (
        f"open('{mark}', 'w')",
        f"x.to_csv('{mark}')",
        f"np.savetxt('{mark}', x)",
        f"C(x, open('{mark}', 'w'))",
    )
    for call in (*attacks, f"np.log(open('{mark}', 'w'))", f"np.log.at(open('{mark}', 'w'), 0)"):
        header["formula"] = f"y ~ {call} + (1 | g)"
        header["recipe"]["variables"] += [dict(header["recipe"]["variables"][0], name="open")]
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        with open(path, "wb") as out:
            np.savez(out, **arrays)
        recipe = mf.load(path)._fit.design.recipe
        assert recipe is not None
        with pytest.raises(mf.ModelError, match="only Python code may call"):
            recipe.rows(frame().assign(open=1.0))
        assert not mark.exists()


def test_terms_of_a_file_that_the_formula_does_not_have_must_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "fit.npz", tmp_path / "ran"
    mf.lmm("y ~ many + log(x) + (1 | g)", frame()).fit().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes().decode())
    header["recipe"]["terms"].append(f"open('{mark}', 'w')")
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with open(path, "wb") as out:
        np.savez(out, **arrays)
    recipe = mf.load(path)._fit.design.recipe
    assert recipe is not None
    with pytest.raises(mf.ModelError, match="damaged"):
        recipe.rows(frame())
    assert not mark.exists()


def test_loaded_fit_must_build_rows_of_dates_as_labels(tmp_path: Path) -> None:
    data = frame().assign(when=pd.Categorical(_stamps()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mf.lmm("y ~ C(when) + (1 | g)", data).fit().save(tmp_path / "fit.npz")
    match(mf.load(tmp_path / "fit.npz")._fit.design, data, slice(None))


def _stamps() -> list[pd.Timestamp]:
    return [pd.Timestamp("2020-01-01") + pd.Timedelta(days=i % 3) for i in range(120)]


def test_variables_must_be_summarised_on_the_rows_kept() -> None:
    data = frame()
    data.loc[:19, "x"] = np.nan
    data["two"] = np.where(data["b"], 7.0, 3.0)
    kept = data.iloc[20:]
    with pytest.warns(mf.MissingRowsWarning):
        recipe = design_of("y ~ poly(x, 2) + f:h + b + two + (1 | g)", data).recipe
    assert recipe is not None
    x, two, h, b = (recipe.variables[name] for name in ("x", "two", "h", "b"))
    assert (x.kind, x.two_valued, x.low, x.high) == ("number", False, kept["x"].min(), kept["x"].max())
    assert x.mean == pytest.approx(kept["x"].mean())
    assert (two.two_valued, two.low, two.high) == (True, 3.0, 7.0)
    assert h.levels is not None
    assert h.levels.tolist() == ["lo", "mid", "hi"]
    assert b.kind == "boolean"
    assert b.mean == pytest.approx(kept["b"].mean())
    assert "g" not in recipe.variables
    assert "y" not in recipe.variables


def test_columns_must_know_their_terms() -> None:
    recipe = design_of("y ~ poly(x, 2) * f + I(z^2) + b:h + many + (1 | g)").recipe
    assert recipe is not None
    found = {term.name: (len(term.columns), term.variables) for term in recipe.terms}
    assert found == {
        "(Intercept)": (1, ()),
        "poly(x, 2)": (2, ("x",)),
        "f": (2, ("f",)),
        "I(z^2)": (1, ("z",)),
        "poly(x, 2):f": (4, ("x", "f")),
        "b:h": (3, ("b", "h")),
        "many": (39, ("many",)),
    }
    columns = [column for term in recipe.terms for column in term.columns]
    assert columns == list(range(1 + 2 + 2 + 1 + 4 + 3 + 39))


def test_effects_of_separate_parts_must_have_positions_among_all_effects() -> None:
    """(1 + x || g) has a part for each effect; a term and its products are at the effect's own place."""
    data = mf.load_dataset("sleepstudy")
    recipe = mf.lmm("Reaction ~ Days + (Days || Subject)", data).design.recipe
    terms = recipe.effect_terms(0)
    assert [term.columns for term in terms] == [(0,), (1,)]
    assert [[own.columns for own in term.products] for term in terms] == [[(0,)], [(1,)]]
