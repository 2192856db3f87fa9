"""Means of new rows: what predictions without errors need of a fit, which is little and has no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import PredictionWarning, warn
from mixedfit.core.format import count_noun
from mixedfit.crossproducts.basis import row_chunks
from mixedfit.crossproducts.summed import without_rows
from mixedfit.design.design import Design
from mixedfit.design.recipe import NewRows

from .re_form import ReForm, included_effects
from .rows import NewLevels, check_levels, check_related, fixed_mean, rows_of, without_label

__all__ = ["Means"]


@dataclass(frozen=True, eq=False)
class Means:
    """Estimates of β and b, and which combinations of β the data determine.

    Attributes
    ----------
    design : Design
    beta : ndarray, shape (p,)
        Fixed effects, NaN where dropped; levels of factors with many levels last.
    modes : tuple of ndarray, shape (levels, k) each
        BLUPs of each block.
    null : ndarray, shape (p, number dropped)
        Combinations that the data do not determine; see `ColumnSpace.null`.
    """

    design: Design
    beta: Array
    modes: tuple[Array, ...]
    null: Array

    def without_rows(self) -> Means:
        """Return the same without the rows of the data."""
        design = without_rows(self.design, "a scorer has the estimates only.")
        many = tuple(
            replace(factor, grouping=replace(factor.grouping, codes=np.zeros(0, np.int64)))
            for factor in design.many
        )
        return replace(self, design=replace(design, many=many))

    def predict(self, newdata: Any, re_form: ReForm, new_levels: NewLevels) -> pd.Series[float]:
        """Return the predictions of new rows, as `Predictor.predict` does."""
        included = included_effects(self, re_form)
        rows = rows_of(self, newdata, included)
        mean, _ = self.at(rows, included, new_levels)
        check_related(self, rows, new_levels)
        return pd.Series(mean, index=rows.index, name="mean")

    def at(
        self, rows: NewRows, included: Sequence[BoolArray], new_levels: NewLevels
    ) -> tuple[Array, BoolArray]:
        """Return means, NaN where a value is missing or the mean is not estimable, and a mask of the others."""
        mean = fixed_mean(self, rows)
        for block, modes, z, codes, own in zip(
            self.design.blocks, self.modes, rows.z, rows.codes, included, strict=True
        ):
            if own.any():
                effects = np.vstack([np.where(own, modes, 0.0), np.zeros((1, block.k))])
                for some in row_chunks(mean.size):
                    used = z[some] if own.all() else np.where(own, z[some], 0.0)
                    mean[some] += np.einsum("ik,ik->i", used, effects[codes[some]])
        mean[without_label(rows, included)] = np.nan
        check_levels(self, rows, included, new_levels)
        known = ~np.isnan(mean)
        lost = known & ~self.estimable(rows)
        if lost.any():
            warn(
                f"no prediction (NaN) for {int(lost.sum())} of {count_noun(mean.size, 'row')}: columns of X were "
                "dropped because others span them, and the data do not determine the mean of these rows.",
                PredictionWarning,
            )
            mean[lost] = np.nan
        return mean, known & ~lost

    def estimable(self, rows: NewRows) -> BoolArray:
        """Return which rows have an estimable mean, shape (n,)."""
        null = self.null
        if not null.shape[1]:
            return np.ones(len(rows.X), dtype=bool)
        X = np.nan_to_num(rows.X)
        at = X.shape[1]
        inside, size = X @ null[:at], np.abs(X) @ np.abs(null[:at])
        for factor, codes in zip(self.design.many, rows.many, strict=True):
            own = np.vstack([np.zeros((factor.first, null.shape[1])), null[at : at + len(factor.names)]])
            inside += own[codes]
            size += np.abs(own[codes])
            at += len(factor.names)
        return np.asarray(np.all(np.abs(inside) <= 1e-7 * size, axis=1))
