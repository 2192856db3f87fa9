"""A fit that needs more memory than is free is warned of before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core import memory
from mixedfit.crossproducts import memory as of_fits
from mixedfit.crossproducts.crossprod import cross_products


def crossed(levels: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 4000
    return pd.DataFrame(
        {"y": rng.normal(size=n), "a": rng.integers(0, levels, n), "b": rng.integers(0, levels, n)}
    )


def test_free_memory_must_be_a_number_of_bytes() -> None:
    free = memory.free_memory()
    assert free is None or 1 << 20 < free < 1 << 50


def test_limit_of_a_container_must_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._free_of_container() is None
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_of_container() is None
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.free_memory() == 2000


def test_estimate_must_be_the_size_of_the_matrices() -> None:
    cross = cross_products(mf.lmm("y ~ 1 + (1 | a) + (1 | b)", crossed()).design)
    pattern = None if cross.sparse is None else cross.sparse.pattern
    found = of_fits.fit_bytes(cross.first, cross.q_tail, 2, pattern)
    tail = cross.gram.nbytes if pattern is None else 8 * (int(pattern.start[-1]) + 2 * cross.q_tail)
    own = 2 * cross.first.values.nbytes + 3 * (cross.first.gram.nbytes + cross.first.border.nbytes)
    assert found == own + of_fits.COPIES * tail


@pytest.mark.parametrize("streamed", [False, True])
def test_fit_beyond_the_free_memory_must_be_warned_of(
    streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    data = crossed()
    with pytest.warns(mf.MemoryWarning, match=r"needs about 0\.0 GB of memory, and 0\.0 GB are free"):
        cross_products(mf.lmm("y ~ 1 + (1 | a) + (1 | b)", data).design) if not streamed else mf.lmm(
            "y ~ 1 + (1 | a) + (1 | b)", [data]
        )


def test_fit_within_the_free_memory_must_not_be_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 40)
    cross_products(mf.lmm("y ~ 1 + (1 | a) + (1 | b)", crossed()).design)
