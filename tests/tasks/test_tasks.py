"""Tasks on executors: results do not depend on workers; dead ones are replaced; sums have one order."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from threading import Lock

import pytest
import workers

import mixedfit as mf
from mixedfit.tasks import pool_of
from mixedfit.tasks.tree import Tree


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_tree_must_have_one_shape_whatever_the_order(count: int) -> None:
    """Rival: results added up as they come."""
    shapes = set()
    for order in permutations(range(count)):
        tree = Tree(lambda one, other: f"({one}{other})")
        for i in order:
            tree.add(i, str(i))
        shapes.add(tree.result())
    assert len(shapes) == 1
    assert [c for c in shapes.pop() if c.isdigit()] == [str(i) for i in range(count)]


def test_tree_without_results_must_be_none() -> None:
    assert Tree(lambda one, other: one).result() is None


def test_tasks_must_get_shared_object_number_and_item() -> None:
    with ThreadPoolExecutor(3) as threads:
        found = dict(pool_of(threads).mapped(workers.double, 10, [5, 6, 7]))
        tree = pool_of(threads).reduced(workers.text, workers.joined, None, range(5), lambda done: None)
    assert found == {0: 50, 1: 61, 2: 72}
    assert tree == "(((01)(23))4)"


def test_items_must_be_taken_when_there_are_workers() -> None:
    """All frames of a source would otherwise be in memory at once."""
    taken: list[int] = []
    with ThreadPoolExecutor(1) as threads:
        results = pool_of(threads).mapped(workers.double, 1, workers.counted(100, taken))
        next(results)
        assert len(taken) <= 5
        results.close()


def test_error_of_a_task_must_be_raised_here() -> None:
    with ThreadPoolExecutor(2) as threads, pytest.raises(ValueError, match="item 2"):
        list(pool_of(threads).mapped(workers.fails, None, range(4)))


def test_executor_of_another_kind_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match=r"executor is an int; expected a dask.distributed.Client"):
        pool_of(4)


def test_what_cannot_be_sent_must_be_refused() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(mf.ModelError, match="cannot be sent"):
        list(pool_of(threads).mapped(workers.double, Lock(), [1]))


def test_killed_worker_must_cost_a_retry_only(tmp_path: Path) -> None:
    dies = workers.DiesOnce(str(tmp_path / "dead"), os.getpid())
    with workers.process_pool(2) as processes:
        found = dict(pool_of(processes).mapped(workers.die_at_three, dies, range(12)))
    assert (tmp_path / "dead").exists()
    assert found == {i: i for i in range(12)}


@pytest.mark.slow
def test_workers_that_die_again_and_again_must_end_the_run() -> None:
    with workers.process_pool(1) as processes, pytest.raises(mf.ModelError, match="died 4 times"):
        list(pool_of(processes).mapped(workers.die, None, range(3)))
