"""Jackknife: refits without one group of the data, for the acceleration of BCa intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import parameters_of, values_of

from .cases import outermost, rows_of_design
from .intervals import acceleration_of
from .replicates import REFIT_ERRORS, refitted, refitted_structure
from .statistic import Statistic

__all__ = ["MOST_GROUPS", "Jackknife", "jackknife_groups"]

MOST_GROUPS = 100
"""Largest number of refits; more levels than these are pooled."""


def jackknife_groups(fit: Fit) -> IntArray:
    """Return the group of each row, shape (rows,), −1 for rows of weight 0.

    Groups are the levels of the outermost factor, which are independent unless they are related. If factors are
    crossed, they are the levels of the factor with most levels; without random effects the groups of correlated rows,
    or the rows. Level j belongs to group j modulo 100.
    """
    blocks = fit.design.blocks
    residual = fit.design.residual
    if not blocks:
        correlated = residual is not None and residual.layout is not None
        codes = residual.groups if residual and correlated else np.arange(fit.design.n)
    else:
        block = outermost(blocks)
        codes = (max(blocks, key=lambda b: b.levels) if block is None else block).codes
    counted = fit.design.counted
    _, renumbered = np.unique(codes[counted], return_inverse=True)
    out = np.full(fit.design.n, -1, np.int64)
    out[counted] = renumbered.reshape(-1) % MOST_GROUPS
    return out


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Estimates of refits without one group.

    Parameters
    ----------
    fit : Fit
    statistic : Statistic or None
    """

    fit: Fit
    statistic: Statistic | None

    @lazy
    def values(self) -> Array:
        """Parameters, then the statistic, without each group, shape (groups, count); NaN where a refit failed."""
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
                        out[g, own.size :] = self.statistic.of_refit(refit, f"group {g} left out")[0]
        return out

    def _without(self, rows: BoolArray) -> Fit | None:
        """Return the refit with weight 0 for some rows, or None if it fails."""
        design = self.fit.design
        if self.fit.residual is not None:
            try:
                return refitted_structure(self.fit, rows_of_design(design, np.flatnonzero(~rows)))
            except REFIT_ERRORS:
                return None
        weights = np.ones(design.n) if design.weights is None else design.weights
        smaller = replace(design, weights=np.where(rows, 0.0, weights))
        try:
            return refitted(self.fit, cross_products(smaller), smaller)
        except REFIT_ERRORS:
            return None

    @lazy
    def acceleration(self) -> Array:
        """Acceleration of each parameter and statistic, shape (count,)."""
        return acceleration_of(self.values)
