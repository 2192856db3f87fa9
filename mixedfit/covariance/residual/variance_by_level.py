"""A variance function with parameters of its own for each level of a factor: nlme's ``form = ~ v | g``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError

from .parts import Natural, VarianceLaw

__all__ = ["VarianceByLevel"]


class VarianceByLevel:
    """The laws of the levels, with the parameters of one after the other.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
        Level of each row.
    names : sequence
        Labels of the levels.
    laws : sequence of VarianceLaw
        Each on the rows of its level.
    """

    def __init__(self, codes: IntArray, names: Sequence[Any], laws: Sequence[VarianceLaw]) -> None:
        self.codes, self.names, self.laws = codes, names, laws
        self.rows = [np.flatnonzero(codes == k) for k in range(len(laws))]
        places = np.cumsum([0, *(law.start.size for law in laws)])
        self.slices = [slice(int(a), int(b)) for a, b in pairwise(places)]
        self.start = np.concatenate([law.start for law in laws])
        self.further_starts = (self.start + 1.0, self.start - 1.0)

    def log_sd(self, x: Array) -> Array:
        """Return the logarithm of each row's multiplier."""
        out = np.zeros(self.codes.size)
        for rows, law, here in zip(self.rows, self.laws, self.slices, strict=True):
            out[rows] = law.log_sd(x[here])
        return out

    def slopes(self, x: Array) -> Array:
        """Return the derivatives of `log_sd`."""
        out = np.zeros((self.codes.size, x.size))
        for rows, law, here in zip(self.rows, self.laws, self.slices, strict=True):
            out[rows, here] = law.slopes(x[here])
        return out

    def natural(self, x: Array) -> list[Natural]:
        """Return the parameters of every level, named ``power[level]``."""
        return [
            Natural(f"{p.name}[{name}]", p.value, p.lower, p.upper, p.runaway)
            for name, law, here in zip(self.names, self.laws, self.slices, strict=True)
            for p in law.natural(x[here])
        ]

    def further(self, values: Any, x: Array) -> Array:
        """Refuse: the levels of new rows are not read.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError(
            "prediction intervals of new rows are not available yet for a variance function by level; ask for the "
            "mean and its standard error."
        )
