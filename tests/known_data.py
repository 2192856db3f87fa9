"""Simulated animals with a pedigree, shared by the tests of known relationships."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["animals", "pedigree_of"]


def pedigree_of(n: int, founders: int, seed: int = 0) -> pd.DataFrame:
    """Return a pedigree with inbreeding and, for some animals, one unknown parent; labels a0, a1, …, in order."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        young = i >= founders
        sire = f"a{rng.integers(max(0, i - 15), i)}" if young else ""
        dam = f"a{rng.integers(max(0, i - 15), i)}" if young and rng.random() < 0.85 else None
        rows.append((f"a{i}", sire, dam))
    return pd.DataFrame(rows, columns=["animal", "sire", "dam"])


@cache
def animals(n: int = 40, rows: int = 120, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Return a pedigree, records of its younger animals, and A by the tabular method, in the pedigree's order.

    Columns: y, x, animal, herd, w (weights). Effects of animals have intercepts and slopes.
    """
    from known_oracle import tabular_relationships

    pedigree = pedigree_of(n, founders=8, seed=seed)
    place = {label: i for i, label in enumerate(pedigree.animal)}
    parents = [[place.get(p, -1) for p in pedigree[side]] for side in ("sire", "dam")]
    A = tabular_relationships(*parents)
    rng = np.random.default_rng(seed)
    animal, herd = rng.integers(n // 4, n, rows), rng.integers(0, 6, rows)
    x = rng.normal(size=rows)
    b = np.linalg.cholesky(A) @ rng.normal(size=(n, 2)) @ np.array([[1.2, 0.4], [0.0, 0.7]])
    y = 3.0 + 0.5 * x + b[animal, 0] + b[animal, 1] * x + 0.6 * rng.normal(size=6)[herd]
    frame = pd.DataFrame(
        {
            "y": y + rng.normal(size=rows),
            "x": x,
            "animal": [f"a{i}" for i in animal],
            "herd": herd,
            "w": rng.uniform(0.5, 2.0, rows),
        }
    )
    return pedigree, frame, A
