"""Distinct numbers of batches are those of all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfit.design.stream import distinct
from mixedfit.design.stream.distinct import SeenNumbers

Make = Callable[[np.random.Generator, int], Any]

COLUMNS: dict[str, Make] = {
    "few": lambda rng, batch: rng.integers(-3, 4, 50),
    "sorted": lambda rng, batch: np.arange(30 * batch, 30 * batch + 50),
    "falling": lambda rng, batch: np.arange(40)[::-1] - 30 * batch,
    "scattered": lambda rng, batch: rng.integers(-(2**62), 2**62, 50) // 3 * (batch % 3),
    "wider and wider": lambda rng, batch: rng.integers(0, 10 ** (batch + 1), 50),
    "small": lambda rng, batch: rng.integers(-128, 128, 50).astype(np.int8),
    "unsigned": lambda rng, batch: rng.integers(0, 2**64, 20, dtype=np.uint64) // (batch + 1),
    "floats": lambda rng, batch: rng.integers(0, 60, 50) / 4,
    "truths": lambda rng, batch: rng.random(20) < 0.1 * batch,
    "of two types": lambda rng, batch: rng.integers(0, 90, 40).astype(float if batch % 2 else int),
}


@pytest.mark.parametrize("room", [1, 1 << 22])
@pytest.mark.parametrize("name", COLUMNS)
def test_batches_must_have_the_distinct_numbers_of_all_rows(
    monkeypatch: pytest.MonkeyPatch, name: str, room: int
) -> None:
    """Where a table covers the range, and where it does not; none is new twice."""
    monkeypatch.setattr(distinct, "TABLE", room)
    monkeypatch.setattr(distinct, "PENDING", 60)
    rng = np.random.default_rng(1)
    batches = [COLUMNS[name](rng, batch) for batch in range(9)]
    seen, found = SeenNumbers(), []
    for i, batch in enumerate(batches):
        found.append(seen.new(batch))
        if i == 5:  # as after a checkpoint
            seen = SeenNumbers(np.concatenate(found))
    expected = pd.unique(np.concatenate(batches))
    np.testing.assert_array_equal(np.concatenate(found), expected)
