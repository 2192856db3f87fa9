"""Fits and refits on a Dask cluster of separate processes, one of which is killed now and then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import workers

import mixedfit as mf

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
dd = pytest.importorskip("dask.dataframe", reason="the extra dask is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:::distributed", "ignore:::dask", "ignore::ResourceWarning")

SLEEP = "Reaction ~ Days + (Days | Subject)"
FORMULA = "y ~ scale(x) + f + (x | g) + (1 | h)"


def rows(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "x": rng.normal(3, 1, size=n),
            "f": rng.choice(["b", "a", "c"], n),
            "g": rng.integers(0, 15, n),
            "h": rng.choice(list("uvwxyz"), n),
        }
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=15)[frame["g"]] * frame["x"]
    return frame


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as own,
    ):
        yield own


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(rows()), path, row_group_size=50)
    return path


def assert_same(one: Any, other: Any) -> None:
    np.testing.assert_allclose(other.params, one.params, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(other.bse, one.bse, rtol=1e-9)
    assert abs(other.llf - one.llf) < 1e-9
    assert other.ngroups == one.ngroups


@pytest.mark.slow
def test_fit_must_be_that_of_the_stream(parquet: Path, client: Any) -> None:
    one = mf.lmm(FORMULA, parquet, batch_rows=50).fit()
    other = mf.lmm(FORMULA, parquet, batch_rows=50, executor=client).fit()
    assert_same(one, other)
    np.testing.assert_allclose(other.fittedvalues, one.fittedvalues, rtol=1e-9)


def test_dask_frame_must_give_the_fit_of_the_rows(parquet: Path, client: Any) -> None:
    """From files, whose partitions workers read; in the cluster's memory; and without workers."""
    frame = dd.from_pandas(rows(), npartitions=5)
    one = mf.lmm(FORMULA, rows()).fit()
    assert_same(one, mf.lmm(FORMULA, dd.read_parquet(parquet), executor=client).fit())
    assert_same(one, mf.lmm(FORMULA, frame.persist(), executor=client).fit())
    assert_same(one, mf.lmm(FORMULA, frame).fit())
    assert_same(one, mf.lmm(FORMULA, frame, checkpoint=parquet.parent / "kept").fit())
    with ThreadPoolExecutor(2) as threads:
        assert_same(one, mf.lmm(FORMULA, frame, executor=threads).fit())


def test_killed_worker_must_cost_a_retry_of_a_fit(parquet: Path, client: Any, tmp_path: Path) -> None:
    context = {"whole": workers.DiesOnce(str(tmp_path / "dead"), os.getpid())}
    formula = "y ~ whole(x) + (1 | g)"
    fit = mf.lmm(formula, parquet, batch_rows=50, context=context, executor=client).fit()
    assert (tmp_path / "dead").exists()
    assert_same(mf.lmm(formula, parquet, batch_rows=50, context=context).fit(), fit)


@pytest.mark.slow
def test_killed_worker_must_cost_a_retry_of_a_bootstrap(client: Any, tmp_path: Path) -> None:
    fit = mf.lmm(SLEEP, mf.load_dataset("sleepstudy")).fit()
    dies = workers.DiesOnce(str(tmp_path / "dead"), os.getpid())
    drawn = fit.bootstrap(130, statistic=workers.SlopeOrDeath(dies), seed=1, executor=client)
    assert (tmp_path / "dead").exists()
    expected = fit.bootstrap(130, statistic=workers.SlopeOrDeath(dies), seed=1)
    pd.testing.assert_frame_equal(drawn.replicates, expected.replicates, check_exact=True)


def test_functions_of_a_notebook_must_reach_the_workers(client: Any) -> None:
    """Dask sends functions that cannot be imported by their code."""
    fit = mf.lmm(SLEEP, mf.load_dataset("sleepstudy")).fit()
    drawn = fit.bootstrap(5, statistic=lambda refit: refit.sigma, seed=1, executor=client)
    np.testing.assert_array_equal(drawn.replicates["statistic"], drawn.replicates[".sigma"])


def test_error_in_a_worker_must_be_raised_here(parquet: Path, client: Any) -> None:
    with pytest.raises(mf.DataError, match="expected finite numbers"):
        mf.lmm("y ~ log(x - x) + (1 | g)", parquet, batch_rows=50, executor=client)


@pytest.mark.slow
def test_task_that_kills_all_workers_must_end_the_fit(parquet: Path, client: Any) -> None:
    with pytest.raises(mf.ModelError, match="died again and again"):
        mf.lmm("y ~ f(x) + (1 | g)", parquet, context={"f": workers.always_dies}, executor=client)
