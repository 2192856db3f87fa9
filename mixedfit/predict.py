"""Predictions of a fit and their errors, on its own rows and on others.

The target of a row is xβ + zb over the random effects taken in; its prediction has β̂ and the BLUPs b̂. The error's
variance is σ²ℓᵀC⁻¹ℓ with the joint covariance of (β̂ − β, b̂ − b) (Henderson 1975, Biometrics 31:423), plus zΩzᵀ for
the effects of a group that the fit did not see. A new response adds σ²/w and the variance of effects left out. The
variances count as known: what is not known of them is not part of the error.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ._lazy import lazy
from ._types import Array, BoolArray
from .errors import DataError, ModelError, PredictionWarning, nearest
from .fit import Fit
from .frames import as_frame, column_names
from .inference.estimable import ColumnSpace
from .joint import JointCovariance
from .labels import check_level
from .re_form import ReForm, included_effects
from .recipe import NewRows, usable

__all__ = ["Interval", "NewLevels", "Predictor", "rows_of"]

NewLevels = Literal["error", "population", "marginal"]
Interval = Literal["confidence", "prediction"]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Answers what a fit predicts; keeps the factorisation that standard errors come from.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @lazy
    def joint(self) -> JointCovariance:
        """Covariance of β and b together."""
        return JointCovariance(self.fit)

    @lazy
    def space(self) -> ColumnSpace:
        """What of the fixed effects the data determine."""
        return ColumnSpace(self.fit)

    def predict(
        self,
        newdata: Any = None,
        *,
        re_form: ReForm = "all",
        new_levels: NewLevels = "error",
        se: bool = False,
        interval: Interval | None = None,
        level: float = 0.95,
        weights: Any = None,
        offset: Any = None,
    ) -> pd.Series[float] | pd.DataFrame:
        """Return predictions; see `Predictions.predict`."""
        _check_option("new_levels", new_levels, get_args(NewLevels))
        if interval is not None:
            _check_option("interval", interval, get_args(Interval))
        check_level(level)
        taken = included_effects(self.fit, re_form)
        spread = interval == "prediction" and new_levels != "population"
        rows = rows_of(self.fit, newdata, taken, offset=offset, every_effect=spread)
        mean, complete = self._mean(rows, taken, new_levels)
        if not se and interval is None:
            return pd.Series(mean, index=rows.index, name="mean")
        variance = np.full(mean.size, np.nan)
        variance[complete] = self._variance(_some(rows, complete), taken, new_levels)
        table = pd.DataFrame({"mean": mean, "se": np.sqrt(variance)}, index=rows.index)
        if interval is None:
            return table
        if interval == "prediction":
            variance += self._noise(newdata, weights, len(mean))
            if spread:
                variance += self._left_out(rows, taken)
        half = float(ndtri(0.5 + level / 2)) * np.sqrt(variance)
        table["lower"], table["upper"] = mean - half, mean + half
        return table

    def _mean(
        self, rows: NewRows, taken: Sequence[BoolArray], new_levels: NewLevels
    ) -> tuple[Array, BoolArray]:
        """Return predictions, NaN where something is missing or not determined, and which are known."""
        fit, design = self.fit, self.fit.design
        mean = fixed_mean(fit, rows)
        for block, modes, z, codes, own in zip(
            design.blocks, fit.modes, rows.z, rows.codes, taken, strict=True
        ):
            if own.any():
                effects = np.vstack([np.where(own, modes, 0.0), np.zeros((1, block.k))])
                mean += np.einsum("ik,ik->i", np.where(own, z, 0.0), effects[codes])
        mean[_without_label(rows, taken)] = np.nan
        _check_levels(self.fit, rows, taken, new_levels)
        known = ~np.isnan(mean)
        lost = known & ~self._estimable(rows)
        if lost.any():
            warnings.warn(
                f"{int(lost.sum())} of {mean.size} rows are not predicted (NaN): columns of X were dropped because "
                "others span them, and the data do not determine the mean of these rows.",
                PredictionWarning,
                stacklevel=4,
            )
            mean[lost] = np.nan
        return mean, known & ~lost

    def _estimable(self, rows: NewRows) -> BoolArray:
        """Return which rows have a mean that the data determine, shape (n,)."""
        if not self.space.dropped.size:
            return np.ones(len(rows.X), dtype=bool)
        X = np.nan_to_num(rows.X)
        null, at = self.space.null, X.shape[1]
        inside, size = X @ null[:at], np.abs(X) @ np.abs(null[:at])
        for factor, codes in zip(self.fit.design.many, rows.many, strict=True):
            own = np.vstack([np.zeros((factor.first, null.shape[1])), null[at : at + len(factor.names)]])
            inside += own[codes]
            size += np.abs(own[codes])
            at += len(factor.names)
        return np.asarray(np.all(np.abs(inside) <= 1e-7 * size, axis=1))

    def _variance(self, rows: NewRows, taken: Sequence[BoolArray], new_levels: NewLevels) -> Array:
        """Return the variance of the error of xβ + zb, shape (n,)."""
        z = [np.where(own, values, 0.0) for values, own in zip(rows.z, taken, strict=True)]
        codes = [np.where(own.any(), codes, -1) for codes, own in zip(rows.codes, taken, strict=True)]
        variance = self.joint.variances(rows.X, rows.many, z, codes)
        if new_levels == "marginal":
            for own_z, own_codes, omega in zip(z, codes, self.fit.omega, strict=True):
                variance += np.where(own_codes < 0, np.einsum("ik,kl,il->i", own_z, omega, own_z), 0.0)
        return variance

    def _left_out(self, rows: NewRows, taken: Sequence[BoolArray]) -> Array:
        """Return what effects that are not taken in add to the variance of a response, shape (n,).

        They are those of a level drawn at random: independent of the data, and of effects of a level that was seen.
        """
        out = np.zeros(len(rows.X))
        for z, codes, own, omega in zip(rows.z, rows.codes, taken, self.fit.omega, strict=True):
            rest, inside = np.where(own, 0.0, z), np.where(own, z, 0.0)
            out += np.einsum("ik,kl,il->i", rest, omega, rest)
            out += np.where(codes < 0, 2.0 * np.einsum("ik,kl,il->i", rest, omega, inside), 0.0)
        return out

    def _noise(self, newdata: Any, weights: Any, n: int) -> Array:
        """Return Var(ε) = σ²/w of every row; NaN where the weight is 0."""
        own = self.fit.design.weights
        if weights is None and own is not None and newdata is not None:
            raise ModelError(
                "the fit has weights, Var(ε) = σ²/w, so the variance of new responses depends on theirs. Give "
                "weights= with a column, one number a row, or one number for all, such as 1."
            )
        w = own if newdata is None and weights is None else _per_row("weights", weights, newdata, n)
        if w is None:
            return np.full(n, self.fit.sigma**2)
        if np.any(w < 0) or np.any(np.isinf(w)):
            raise DataError("weights must be finite and not negative.")
        return np.asarray(self.fit.sigma**2 / np.where(w > 0, w, np.nan))


def fixed_mean(fit: Fit, rows: NewRows) -> Array:
    """Return Xβ̂ plus offset, shape (n,); dropped columns count as 0."""
    design, beta = fit.design, np.nan_to_num(fit.beta)
    at = len(design.x_names)
    mean = rows.X @ beta[:at]
    for factor, codes in zip(design.many, rows.many, strict=True):
        own = np.concatenate([np.zeros(factor.first), beta[at : at + len(factor.names)], [np.nan]])
        mean += own[codes]
        at += len(factor.names)
    return mean if rows.offset is None else mean + rows.offset


def rows_of(
    fit: Fit, newdata: Any, taken: Sequence[BoolArray], *, offset: Any = None, every_effect: bool = False
) -> NewRows:
    """Return the rows to predict: those of the fit, or further ones by its recipe.

    Parameters
    ----------
    fit : Fit
    newdata : frame or None
    taken : sequence of ndarray of bool
        Effects whose levels are looked up.
    offset : str, number or array, optional
        Of further rows, where the fit's offset was an array.
    every_effect : bool
        Whether the columns of effects that are not taken in are needed too.
    """
    design = fit.design
    if newdata is None:
        if offset is not None:
            raise ModelError("offset= is for newdata; the rows of the fit have theirs.")
        return NewRows(
            X=design.X,
            many=tuple(factor.grouping.codes for factor in design.many),
            offset=design.offset,
            z=tuple(block.z for block in design.blocks),
            codes=tuple(block.codes for block in design.blocks),
            labels=(),
            index=design.index,
        )
    recipe = usable(design.recipe)
    if offset is not None and recipe.offset is not True:
        raise ModelError(
            "offset= is for fits whose offset was an array; this one finds the offset in the data, or has none."
        )
    own = [f for f, effects in enumerate(taken) if effects.any()]
    given = None
    if offset is not None:
        count = len(next(iter(as_frame(newdata, column_names(newdata)[:1]).items()))[1])
        given = _per_row("offset", offset, newdata, count)
    return recipe.rows(newdata, levels_of=own, effects_of=None if every_effect else own, offset=given)


def _per_row(what: str, value: Any, newdata: Any, n: int) -> Array | None:
    """Return a column, one number a row, or one number for all, as floats."""
    if value is None:
        return None
    if isinstance(value, str):
        value = as_frame(newdata, [value])[value]
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers, one a row, or the name of a column.") from None
    if array.ndim > 1 or array.size not in (1, n):
        raise DataError(
            f"{what} has shape {array.shape} for {n} rows; give one number a row, or one for all."
        )
    return np.array(np.broadcast_to(array, (n,)))


def _some(rows: NewRows, these: BoolArray) -> NewRows:
    if these.all():
        return rows
    return replace(
        rows,
        X=rows.X[these],
        many=tuple(codes[these] for codes in rows.many),
        offset=None if rows.offset is None else rows.offset[these],
        z=tuple(z[these] for z in rows.z),
        codes=tuple(codes[these] for codes in rows.codes),
        labels=tuple(labels[these] for labels in rows.labels),
        index=rows.index[these],
    )


def _without_label(rows: NewRows, taken: Sequence[BoolArray]) -> BoolArray:
    """Return which rows lack the label of a grouping factor that is taken in."""
    out = np.zeros(len(rows.X), dtype=bool)
    for own, labels, codes in zip(taken, rows.labels, rows.codes, strict=False):
        if own.any():
            out[codes < 0] |= np.array([label is None for label in labels[codes < 0]], dtype=bool)
    return out


def _check_levels(fit: Fit, rows: NewRows, taken: Sequence[BoolArray], new_levels: NewLevels) -> None:
    """Refuse levels that the fit did not have, where they are to be an error."""
    if new_levels != "error":
        return
    for own, block, labels, codes in zip(taken, fit.design.blocks, rows.labels, rows.codes, strict=False):
        if not own.any():
            continue
        unseen = [label for label in pd.unique(labels[codes < 0]).tolist() if label is not None]
        if unseen:
            shown = ", ".join(map(repr, unseen[:10])) + (f", … ({len(unseen)})" if len(unseen) > 10 else "")
            raise DataError(
                f"{block.name!r} has levels that the fit did not see: {shown}. Take new_levels='marginal' to predict "
                "for a group drawn at random, with its variance in the errors, 'population' to set its random effects "
                "to 0, or leave these rows out."
            )


def _check_option(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise ModelError(
            f"{name}={value!r} is not known; expected {', '.join(map(repr, known))}. "
            f"{nearest(str(value), known)}".rstrip()
        )
