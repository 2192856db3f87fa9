"""Sums over the levels of the first factor that gradient and curvature need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array

__all__ = ["FirstSums"]


@dataclass(frozen=True, slots=True, eq=False)
class FirstSums:
    """Sums over the levels of the first factor; see `kernels.first_factor.derive_first`.

    Attributes
    ----------
    scores : ndarray, shape (levels, k)
    sums : ndarray, shape (4, k, k)
    products : ndarray, shape (d, d)
    crossed : ndarray, shape (d, m − 1)
    traces : ndarray, shape (d, d)
    spreads : ndarray, shape (d, p, p)
    """

    scores: Array
    sums: Array
    products: Array
    crossed: Array
    traces: Array
    spreads: Array

    @classmethod
    def zeros(cls, levels: int, k: int, count: int, columns: int, p: int) -> FirstSums:
        """Return sums of zero, to be added to."""
        return cls(
            np.empty((levels, k)),
            np.zeros((4, k, k)),
            np.zeros((count, count)),
            np.zeros((count, columns)),
            np.zeros((count, count)),
            np.zeros((count, p, p)),
        )
