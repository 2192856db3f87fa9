"""Fits, refits and chains on the workers of an executor equal those of this process, also when workers are killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import workers

import mixedfit as mf

DATA = mf.load_dataset("sleepstudy")
SLEEP = "Reaction ~ Days + (Days | Subject)"
FORMULAS = [
    "y ~ x + f + (x | g)",
    "y ~ scale(x) * f + (x | g) + (1 | h) + (1 | g:h)",
    "y ~ poly(x, 2) + (1 | h)",
    "y ~ x + f",
]


def rows(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "x": rng.normal(3, 1, size=n),
            "f": rng.choice(["b", "a", "c"], n),
            "g": rng.integers(0, 12, n) * 3 + 10**12,
            "h": rng.choice(list("uvwxyz"), n),
            "w": rng.choice([0.0, 1.0, 2.0], n),
        }
    )
    frame.loc[200:, "h"] += "2"  # levels that only later parts have
    frame["y"] = rng.normal(size=n) + rng.normal(size=12)[(frame["g"].to_numpy() - 10**12) // 3]
    return frame


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(rows()), path, row_group_size=50)
    return path


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with workers.process_pool(2) as pool:
        yield pool


def folder_of(path: Path) -> Path:
    folder = path.parent / "folder"
    if not folder.exists():
        folder.mkdir()
        for i, start in enumerate(range(0, 300, 77)):
            rows().iloc[start : start + 77].to_parquet(folder / f"{i}.parquet")
    return folder


def csv_of(path: Path) -> Path:
    rows().to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def frames(path: Path) -> list[pd.DataFrame]:
    return [rows().iloc[start : start + 77] for start in range(0, 300, 77)]


SOURCES: dict[str, Callable[[Path], Any]] = {
    "Parquet": lambda path: path,
    "folder": folder_of,
    "CSV": csv_of,
    "dataset": ds.dataset,
    "filtered dataset": lambda path: ds.dataset(path).filter(ds.field("x") > -99.0),
    "lazy frame": pl.scan_parquet,
    "frames": frames,
    "function": lambda path: lambda: iter(frames(path)),
}


def assert_same(one: Any, other: Any) -> None:
    """Estimates of two fits are equal to ten digits."""
    np.testing.assert_allclose(other.params, one.params, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(other.bse, one.bse, rtol=1e-9)
    np.testing.assert_allclose(other.theta, one.theta, atol=1e-7)
    assert abs(other.llf - one.llf) < 1e-9
    assert other.nobs == one.nobs
    assert other.ngroups == one.ngroups


@pytest.mark.everyday(2)
@pytest.mark.parametrize("kind", SOURCES)
def test_fit_must_be_that_of_the_stream(kind: str, parquet: Path, threads: Executor) -> None:
    source = SOURCES[kind](parquet)
    fits = [mf.lmm(FORMULAS[0], source, batch_rows=64, executor=e).fit() for e in (None, threads)]
    assert_same(*fits)
    np.testing.assert_allclose(fits[1].fittedvalues, fits[0].fittedvalues, rtol=1e-9)
    pd.testing.assert_frame_equal(fits[1].emmeans("f").table, fits[0].emmeans("f").table, rtol=1e-8)


@pytest.mark.everyday(3)
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_formula_must_give_the_fit_of_the_frame(
    formula: str, weights: str | None, parquet: Path, threads: Executor
) -> None:
    one = mf.lmm(formula, rows(), weights=weights).fit()
    other = mf.lmm(formula, parquet, weights=weights, batch_rows=64, executor=threads).fit()
    assert_same(one, other)
    assert {name: list(own.index) for name, own in other.random_effects.items()} == {
        name: list(own.index) for name, own in one.random_effects.items()
    }


def test_factors_with_the_same_groups_must_be_seen_in_all_parts_only(threads: Executor) -> None:
    """The names differ in the last part alone, or nowhere."""
    same = rows().assign(k=lambda frame: frame["g"].astype(str))
    other = same.assign(k=[*same["k"][:280], *["a"] * 20])
    for frame, expected in ((same, True), (other, False)):
        parts = [frame[a : a + 50] for a in range(0, 300, 50)]
        model = mf.lmm("y ~ x + (1 | g) + (0 + x | k)", parts, executor=threads)
        assert model.design.absent is not None
        assert bool(model.design.absent.known_totals().same[0, 1]) is expected
        assert_same(mf.lmm("y ~ x + (1 | g) + (0 + x | k)", parts).fit(), model.fit())


def test_parts_without_complete_rows_must_count_for_nothing(threads: Executor) -> None:
    frame = rows()
    frame.loc[64:140, "x"] = np.nan
    parts = [frame[a : a + 32] for a in range(0, 300, 32)]
    with pytest.warns(mf.MissingRowsWarning, match="77 of 300"):
        model = mf.lmm(FORMULAS[0], parts, executor=threads)
    with pytest.warns(mf.MissingRowsWarning):
        assert_same(mf.lmm(FORMULAS[0], frame).fit(), model.fit())


def test_numbers_must_be_the_same_whatever_the_workers(parquet: Path) -> None:
    """Rival: sums in the order in which parts are done."""
    found = []
    for count in (1, 3):
        with ThreadPoolExecutor(count) as pool:
            found.append(mf.lmm(FORMULAS[0], parquet, batch_rows=16, executor=pool).fit())
    assert found[0].params.tolist() == found[1].params.tolist()
    assert found[0].reml_criterion == found[1].reml_criterion


def test_products_must_be_mergeable_after_workers_read_them(parquet: Path, threads: Executor) -> None:
    frame = rows()
    part = mf.lmm(FORMULAS[0], parquet, batch_rows=64, executor=threads).cross_products()
    merged = mf.lmm_from([part, mf.lmm(FORMULAS[0], frame.assign(y=-frame["y"])).cross_products()])
    whole = mf.lmm(FORMULAS[0], pd.concat([frame, frame.assign(y=-frame["y"])], ignore_index=True))
    assert_same(whole.fit(), merged.fit())


def test_site_must_use_workers_too(parquet: Path, threads: Executor) -> None:
    formula, frame = "y ~ scale(x) + (1 | g)", rows()
    recipe = mf.agree([mf.site_recipe(formula, frame)])
    part = mf.lmm(formula, parquet, batch_rows=64, recipe=recipe, executor=threads).cross_products()
    assert_same(mf.lmm(formula, frame).fit(), mf.lmm_from([part]).fit())


class Changing:
    """Frames of which one differs in the second pass."""

    def __init__(self, change: Callable[[list[pd.DataFrame]], Any]) -> None:
        self.change, self.walks = change, 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.walks += 1
        own = [rows().iloc[start : start + 77] for start in range(0, 300, 77)]
        yield from own if self.walks < 3 else self.change(own)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: [own[0], own[1].assign(y=1.0), *own[2:]], "other values than in the first pass"),
        (lambda own: own[:-1], "300 rows in the first pass and 231"),
        (lambda own: [*own, own[0]], "4 parts in the first pass and now are more"),
    ],
)
def test_source_must_be_refused_when_it_changes(change: Any, words: str, threads: Executor) -> None:
    with pytest.raises(mf.DataError, match=words):
        mf.lmm(FORMULAS[0], Changing(change), executor=threads)


def test_labels_and_numbers_in_one_column_must_be_refused(threads: Executor) -> None:
    parts = [rows()[:100], rows()[100:].assign(x="text")]
    with pytest.raises(mf.DataError, match="'x' holds labels in one batch and numbers in earlier ones"):
        mf.lmm(FORMULAS[0], parts, executor=threads)


def test_frame_in_memory_must_be_refused(threads: Executor) -> None:
    with pytest.raises(mf.ModelError, match=r"data is a DataFrame in memory"):
        mf.lmm(FORMULAS[0], rows(), executor=threads)


QUESTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "parametric": lambda fit, pool: fit.bootstrap(150, seed=1, executor=pool).replicates,
    "cases": lambda fit, pool: fit.bootstrap(20, type="cases", seed=1, executor=pool).replicates,
    "residual": lambda fit, pool: fit.bootstrap(20, type="residual", seed=1, executor=pool).std_errors,
    "profile": lambda fit, pool: fit.profile(executor=pool).table,
    "test": lambda fit, pool: (
        mf.parametric_bootstrap_test(
            mf.lmm("Reaction ~ 1 + (Days | Subject)", DATA).fit(), fit, n=30, seed=1, executor=pool
        ).replicates
    ),
    "power": lambda fit, pool: (
        mf.power(SLEEP, DATA, {**fit.parameters(), "Days": 3}, "Days", n=80, seed=1, executor=pool).p_values
    ),
    "responses": lambda fit, pool: (
        mf.lmm(SLEEP, DATA)
        .fit_many(
            np.column_stack([fit.simulate(70, seed=1), np.full(180, np.nan)]),
            ddf="satterthwaite",
            executor=pool,
        )
        .table
    ),
    "draws": lambda fit, pool: mf.lmm(SLEEP, DATA).gibbs(draws=60, tune=60, chains=3, seed=1, executor=pool)[
        "Days"
    ],
    "coverage": lambda fit, pool: (
        mf.coverage(
            SLEEP,
            DATA,
            fit,
            methods=["wald", "bootstrap", "credible"],
            n=3,
            replicates=10,
            seed=1,
            executor=pool,
        ).intervals
    ),
    "calibration": lambda fit, pool: (
        mf.lmm(SLEEP, DATA).calibration(simulations=10, draws=20, tune=50, seed=1, executor=pool).ranks
    ),
}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning", "ignore::mixedfit.ConvergenceWarning")
def test_answer_of_workers_must_be_bit_for_bit_that_of_this_process(question: str, threads: Executor) -> None:
    fit = mf.lmm(SLEEP, DATA).fit()
    one, other = (pd.DataFrame(QUESTIONS[question](fit, pool)) for pool in (None, threads))
    pd.testing.assert_frame_equal(other, one, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("question", ["coverage", "calibration"])
def test_simulations_in_other_processes_must_be_those_of_this_process(
    question: str, processes: Executor
) -> None:
    fit = mf.lmm(SLEEP, DATA).fit()
    one, other = (pd.DataFrame(QUESTIONS[question](fit, pool)) for pool in (None, processes))
    pd.testing.assert_frame_equal(other, one, check_exact=True)


def test_effective_draws_must_be_reached_by_workers(threads: Executor) -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    one, other = (model.gibbs(ess=600, tune=100, seed=3, executor=pool) for pool in (None, threads))
    assert one["sigma"].tolist() == other["sigma"].tolist()


@pytest.mark.slow
def test_killed_process_must_cost_a_retry_of_a_fit(
    parquet: Path, processes: Executor, tmp_path: Path
) -> None:
    """The first worker that evaluates the formula is killed, in the first pass or the second."""
    context = {"whole": workers.DiesOnce(str(tmp_path / "dead"), os.getpid())}
    formula = "y ~ whole(x) + (1 | g)"
    fit = mf.lmm(formula, parquet, batch_rows=64, context=context, executor=processes).fit()
    assert (tmp_path / "dead").exists()
    assert_same(mf.lmm(formula, parquet, batch_rows=64, context=context).fit(), fit)


@pytest.mark.slow
def test_killed_process_must_cost_a_retry_of_a_bootstrap(processes: Executor, tmp_path: Path) -> None:
    fit = mf.lmm(SLEEP, DATA).fit()
    dies = workers.DiesOnce(str(tmp_path / "dead"), os.getpid())
    drawn = fit.bootstrap(130, statistic=workers.SlopeOrDeath(dies), seed=1, executor=processes)
    assert (tmp_path / "dead").exists()
    expected = fit.bootstrap(130, statistic=workers.SlopeOrDeath(dies), seed=1)
    pd.testing.assert_frame_equal(drawn.replicates, expected.replicates, check_exact=True)
