"""Fixed factors of many levels from batches of rows, against the fit of the frame."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.crossproducts.in_parts import runs_of_parts
from mixedfit.crossproducts.present_levels import PresentSums
from mixedfit.design import model_matrix


@pytest.fixture(autouse=True)
def few_levels_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_matrix, "MANY_LEVELS", 6)


def rows() -> pd.DataFrame:
    """Return rows far from the origin, whose x differs between levels of f; b depends on f, and f9 has no weight."""
    rng = np.random.default_rng(3)
    n = 400
    frame = pd.DataFrame({"g": rng.integers(0, 30, n), "h": rng.integers(0, 9, n), "z": rng.normal(size=n)})
    for name, levels in (("f", 40), ("k", 12), ("m", 8)):
        frame[name] = [f"{name}{i}" for i in rng.integers(0, levels, n)]
    code = pd.Categorical(frame["f"]).codes
    frame["x"], frame["b"], frame["a"] = (
        50 + code + rng.normal(size=n),
        1.0 * (code % 3),
        rng.choice(list("uv"), n),
    )
    frame["y"] = 1e3 + frame["x"] + rng.normal(size=30)[frame["g"]] + rng.normal(size=n)
    frame["w"] = np.where(frame["f"] == "f9", 0.0, rng.uniform(0.5, 2, n))
    return frame


def fitted(formula: str, data: Any, **options: Any) -> mf.MixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, data, **options).fit()


def check_same(fit: mf.MixedResults, whole: mf.MixedResults) -> None:
    np.testing.assert_allclose(fit.reml_criterion, whole.reml_criterion, rtol=1e-10)
    for name in ("params", "bse", "theta"):
        np.testing.assert_allclose(getattr(fit, name), getattr(whole, name), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fit.fittedvalues, whole.fittedvalues, rtol=1e-10)


@pytest.mark.everyday(4)
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + f + (1 + x | g)",
        "y ~ 0 + x + f + (1 | g) + (1 | h)",
        "y ~ x + k + z + f + m + (1 | g)",
        "y ~ b + f",
    ],
)
def test_factor_of_many_levels_must_be_fitted_from_batches(formula: str, weights: str | None) -> None:
    """Rivals: X and y not projected off the levels; levels of no weight, or spanned by others, that are kept."""
    frame = rows()
    parts = [frame[:150], frame[150:170], frame[170:]]
    check_same(fitted(formula, parts, weights=weights), fitted(formula, frame, weights=weights))


def test_digits_must_survive_when_levels_differ_much_more_than_their_rows() -> None:
    """The spread of x within levels is 1e-6 of that between them. Rival: one pass, which has five digits."""
    frame = rows()
    frame["x"] = 1e6 * pd.Categorical(frame["f"]).codes + frame["z"]
    parts = [frame[:150], frame[150:]]
    check_same(fitted("y ~ x + f + (1 | g)", parts), fitted("y ~ x + f + (1 | g)", frame))


@pytest.mark.parametrize("way", ["executor", "checkpoint", "sparse tail"])
def test_parts_must_give_the_fit_of_the_frame(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, formula = rows(), "y ~ x + f + (1 | g)"
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=90)
    whole = fitted(formula, frame)
    if way == "sparse tail":
        monkeypatch.setattr("mixedfit.crossproducts.product_sums.SMALLEST", 10)
        check_same(fitted(formula, [frame[:100], frame[100:]]), whole)
    elif way == "checkpoint":
        check_same(
            fitted(formula, tmp_path / "rows.parquet", batch_rows=90, checkpoint=tmp_path / "kept"), whole
        )
    else:
        with ThreadPoolExecutor(2) as executor:
            check_same(fitted(formula, tmp_path / "rows.parquet", batch_rows=90, executor=executor), whole)


def test_answers_must_be_those_of_the_frame() -> None:
    """Rivals: R² without the levels; means that count as estimable though b depends on f."""
    frame, formula = rows(), "y ~ x + a + b + f + (1 | g)"
    fit, whole = fitted(formula, [frame[:150], frame[150:]], weights="w"), fitted(formula, frame, weights="w")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for answer in (
            lambda one: one.diagnostics.r_squared()["estimate"],
            lambda one: one.emmeans("a").table["estimate"],
            lambda one: one.anova().table["statistic"],
            lambda one: one.predict(frame[:9]),
            lambda one: one.scaled_resid,
        ):
            np.testing.assert_allclose(answer(fit), answer(whole), rtol=1e-7, atol=1e-9)


def test_parts_must_hold_their_own_levels_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are sorted by g, so that a part of a quarter of the rows has about 8 of 30 levels."""
    monkeypatch.setattr("mixedfit.crossproducts.product_sums.SMALLEST", 10)
    monkeypatch.setattr("mixedfit.crossproducts.in_parts.ROWS_PER_LEVEL", 1)  # each part by itself
    frame, levels = rows().sort_values(["g", "f"], ignore_index=True), []
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    kept = PresentSums.of.__func__

    def recorded(cls: type[PresentSums], sums: Any) -> PresentSums:
        own = kept(cls, sums)
        levels.append((len(own.products.gram), *(b.levels for b in own.products.tail)))
        return own

    monkeypatch.setattr(PresentSums, "of", classmethod(recorded))
    for formula in ("y ~ x + (1 + x | g)", "y ~ x + (x | f) + (1 | g) + (1 | h)"):
        with ThreadPoolExecutor(2) as executor:
            fit = fitted(formula, tmp_path / "rows.parquet", batch_rows=100, executor=executor, weights="w")
        check_same(fit, fitted(formula, frame, weights="w"))
    expected = [part["g"].nunique() for _, part in frame.groupby(frame.index // 100)]
    assert sorted(own[0] for own in levels if len(own) == 1) == sorted(expected)
    assert all(own[1] < 30 for own in levels if len(own) == 3)


@pytest.mark.parametrize(("order", "sizes"), [("sorted", [1, 1, 1, 1]), ("random", [2, 2])])
def test_parts_that_hold_many_levels_must_be_summed_by_one_task(
    order: str, sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 rows a part, sorted ones hold 5 of 20 levels, others all of them, which ask for 160 rows a task."""
    rng = np.random.default_rng(3)
    g = np.arange(400) // 20
    frame = pd.DataFrame({"y": rng.normal(size=400), "g": g if order == "sorted" else rng.permutation(g)})
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    runs: list[int] = []

    def recorded(known: Any, items: Any) -> Iterator[Any]:
        for run in runs_of_parts(known, items):
            runs.append(len(run))
            yield run

    monkeypatch.setattr("mixedfit.crossproducts.in_parts.runs_of_parts", recorded)
    with ThreadPoolExecutor(2) as executor:
        model = mf.lmm("y ~ 1 + (1 | g)", tmp_path / "rows.parquet", batch_rows=100, executor=executor)
    check_same(model.fit(), fitted("y ~ 1 + (1 | g)", frame))
    assert runs == sizes
