"""Predictions of a fit and their errors, on its own rows and on others.

The target of a row is xβ + zb over the random effects taken in; its prediction has β̂ and the BLUPs b̂. The error's
variance is σ²ℓᵀC⁻¹ℓ with the joint covariance of (β̂ − β, b̂ − b) (Henderson 1975, Biometrics 31:423), plus zΩzᵀ for
the effects of a group that the fit did not see. A new response adds σ²/w and the variance of effects left out. The
variances count as known: what is not known of them is not part of the error.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ._lazy import lazy
from ._types import Array, BoolArray
from .errors import ModelError, PredictionWarning, nearest
from .fit import Fit
from .inference.bootstrap import check_count
from .inference.estimable import ColumnSpace
from .inference.replicates import seed_sequence
from .joint import JointCovariance
from .labels import check_level
from .re_form import ReForm, included_effects
from .recipe import NewRows
from .rows import NewLevels, check_levels, fixed_mean, residual_variance, rows_of, some_rows, without_label
from .simulate import simulate_response, simulate_rows

__all__ = ["Interval", "Predictor"]

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
        variance[complete] = self._variance(some_rows(rows, complete), taken, new_levels)
        table = pd.DataFrame({"mean": mean, "se": np.sqrt(variance)}, index=rows.index)
        if interval is None:
            return table
        if interval == "prediction":
            variance += residual_variance(self.fit, newdata, weights, mean.size)
            if spread:
                variance += self._left_out(rows, taken)
        half = float(ndtri(0.5 + level / 2)) * np.sqrt(variance)
        table["lower"], table["upper"] = mean - half, mean + half
        return table

    def simulate(
        self,
        n: int = 1,
        *,
        seed: object = None,
        re_form: ReForm = "none",
        newdata: Any = None,
        new_levels: NewLevels = "error",
        weights: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return drawn responses; see `Predictions.simulate`."""
        check_count("n", n, 1)
        _check_option("new_levels", new_levels, get_args(NewLevels))
        taken = included_effects(self.fit, re_form)
        rng = np.random.default_rng(seed_sequence(seed))
        if newdata is None and weights is None and not any(own.any() for own in taken):
            drawn = simulate_response(self.fit, n, rng)
            names = [f"sim_{r + 1}" for r in range(n)]
            return pd.DataFrame(drawn, index=self.fit.design.index, columns=names)
        return simulate_rows(
            self.fit,
            n,
            rng,
            newdata=newdata,
            taken=taken,
            new_levels=new_levels,
            weights=weights,
            offset=offset,
        )

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
        mean[without_label(rows, taken)] = np.nan
        check_levels(self.fit, rows, taken, new_levels)
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


def _check_option(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise ModelError(
            f"{name}={value!r} is not known; expected {', '.join(map(repr, known))}. "
            f"{nearest(str(value), known)}".rstrip()
        )
