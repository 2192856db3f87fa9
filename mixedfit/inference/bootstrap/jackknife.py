"""Refits with one group of the data left out, which measure how skewed an estimate's influence is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import MixedfitError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import parameters_of, values_of

from .cases import outermost
from .intervals import acceleration_of
from .replicates import refitted
from .sources import counted_rows
from .statistic import Statistic

__all__ = ["MOST_GROUPS", "Jackknife", "jackknife_groups"]

MOST_GROUPS = 100
"""Refits at most; more levels than this are left out several at a time."""


def jackknife_groups(fit: Fit) -> IntArray:
    """Return the group of each row, shape (rows,): what is left out together.

    Groups are the levels of the outermost factor, which are independent. Of crossed factors, none of which is, the
    one with most levels stands in; without random effects the rows are groups. Where there are more than 100, levels
    are pooled: level j joins group j modulo 100.
    """
    blocks = fit.design.blocks
    if not blocks:
        codes = np.arange(fit.design.n)
    else:
        block = outermost(blocks)
        codes = (max(blocks, key=lambda b: b.levels) if block is None else block).codes
    counted = counted_rows(fit.design)
    _, renumbered = np.unique(codes[counted], return_inverse=True)
    out = np.full(fit.design.n, -1, np.int64)
    out[counted] = renumbered.reshape(-1) % MOST_GROUPS
    return out


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Estimates without each group.

    Parameters
    ----------
    fit : Fit
    statistic : Statistic or None
    """

    fit: Fit
    statistic: Statistic | None

    @lazy
    def values(self) -> Array:
        """Parameters, then the statistic, without each group, shape (groups, count); NaN where no fit is left."""
        groups = jackknife_groups(self.fit)
        parameters = parameters_of(self.fit)
        count = len(parameters) + (0 if self.statistic is None else self.statistic.estimate.size)
        out = np.full((int(groups.max()) + 1, count), np.nan)
        with blas_threads(1):
            for g in range(len(out)):
                refit = self._without(groups == g)
                if refit is not None:
                    own = values_of(refit, parameters)
                    out[g, : own.size] = own
                    if self.statistic is not None:
                        out[g, own.size :] = self.statistic(refit, f"group {g} left out")
        return out

    def _without(self, rows: Array) -> Fit | None:
        """Return the fit with some rows given no weight, or None if what is left determines none."""
        design = self.fit.design
        weights = np.ones(design.n) if design.weights is None else design.weights
        smaller = replace(design, weights=np.where(rows, 0.0, weights))
        try:
            return refitted(self.fit, cross_products(smaller), smaller)
        except (MixedfitError, FloatingPointError, np.linalg.LinAlgError):
            return None

    @lazy
    def acceleration(self) -> Array:
        """Acceleration of each parameter and statistic, shape (count,)."""
        return acceleration_of(self.values)
