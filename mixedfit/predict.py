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
from scipy.special import ndtri, stdtrit

from ._lazy import lazy
from ._types import Array, BoolArray
from .errors import ModelError, PredictionWarning, nearest
from .fit import Fit
from .inference.bootstrap import check_count
from .inference.estimable import ColumnSpace
from .inference.replicates import seed_sequence
from .information import Information
from .joint import JointCovariance
from .labels import check_level
from .re_form import ReForm, included_effects
from .recipe import NewRows
from .rows import NewLevels, check_levels, fixed_mean, residual_variance, rows_of, some_rows, without_label
from .simulate import simulate_response, simulate_rows

__all__ = ["Interval", "PredictionDdf", "Predictor"]

Interval = Literal["confidence", "prediction"]
PredictionDdf = Literal["normal", "satterthwaite", "residual"]

LARGEST_KEPT = 3000
"""Columns of a dense tail up to which its inverse is kept for the next question: 72 MB."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Answers what a fit predicts; keeps the factorisation that standard errors come from.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @property
    def joint(self) -> JointCovariance:
        """Covariance of β and b together; kept unless its inverse is large."""
        kept = self.__dict__.get("_joint")
        if isinstance(kept, JointCovariance):
            return kept
        made = JointCovariance(self.fit, self.fit.theta)
        if self.fit.cross.sparse is not None or self.fit.cross.gram.shape[0] <= LARGEST_KEPT:
            self.__dict__["_joint"] = made
        return made

    @lazy
    def information(self) -> Information:
        """What the data say about the variances."""
        return Information(self.fit)

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
        ddf: PredictionDdf = "normal",
        weights: Any = None,
        offset: Any = None,
    ) -> pd.Series[float] | pd.DataFrame:
        """Return predictions; see `Predictions.predict`."""
        _check_option("ddf", ddf, get_args(PredictionDdf))
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
        target, joint = Target(some_rows(rows, complete), taken, new_levels), self.joint
        error = np.full(mean.size, np.nan)
        error[complete] = self.fit.sigma * np.sqrt(target.variance(joint))
        table = pd.DataFrame({"mean": mean, "se": error}, index=rows.index)
        if interval is None:
            return table
        if interval == "prediction":
            noise = residual_variance(self.fit, newdata, weights, mean.size)[complete]
            target = replace(target, noise=noise / self.fit.sigma**2, left_out=spread)
        limits, df = np.full(mean.size, np.nan), np.full(mean.size, np.nan)
        variance = target.variance(joint)
        df[complete] = self._degrees(target, variance, ddf)
        limits[complete] = self.fit.sigma * np.sqrt(variance) * t_quantiles(0.5 + level / 2, df[complete])
        table["lower"], table["upper"] = mean - limits, mean + limits
        if ddf != "normal":
            table.insert(2, "df", df)
        return table

    def _degrees(self, target: Target, variance: Array, ddf: PredictionDdf) -> Array:
        """Return the degrees of freedom of the estimated variance of each row, over σ², shape (n,).

        Satterthwaite's: 2v²/gᵀAg, v = σ² × variance, with A the covariance of (θ, log σ²) and g by central
        differences in θ.
        """
        fit = self.fit
        if ddf == "normal":
            return np.full(variance.size, np.inf)
        if ddf == "residual" or not fit.design.blocks:
            return np.full(variance.size, float(fit.cross.n - fit.cross.p_total))
        gradient = []
        for step in np.diag(_steps(fit)):
            ahead, behind = (target.variance(JointCovariance(fit, fit.theta + s)) for s in (step, -step))
            gradient.append((ahead - behind) / (2.0 * step.sum()))
        if fit.held_sigma is None:
            gradient.append(variance)
        g = np.array(gradient)
        spread = np.einsum("ai,ab,bi->i", g, self.information.parameter_covariance, g)
        return np.asarray(2.0 * variance**2 / np.where(spread > 0, spread, 1e-300))

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


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted of complete rows, and what of it varies.

    Attributes
    ----------
    rows : NewRows
    taken : sequence of ndarray of bool, shape (k,)
    new_levels : {"error", "population", "marginal"}
    noise : ndarray, shape (n,), or float
        Residual variance over σ², of a response.
    left_out : bool
        Whether effects that are not taken in vary, as of a level drawn at random: independent of the data, and of
        effects of a level that was seen.
    """

    rows: NewRows
    taken: Sequence[BoolArray]
    new_levels: NewLevels
    noise: Array | float = 0.0
    left_out: bool = False

    def variance(self, joint: JointCovariance) -> Array:
        """Return the variance of target less prediction over σ² at the covariance's θ, shape (n,)."""
        design, rows = joint.fit.design, self.rows
        z = [np.where(own, values, 0.0) for values, own in zip(rows.z, self.taken, strict=True)]
        codes = [np.where(own.any(), c, -1) for c, own in zip(rows.codes, self.taken, strict=True)]
        out = joint.variances(rows.X, rows.many, z, codes) + self.noise
        for f, (block, here) in enumerate(zip(design.blocks, design.theta_slices, strict=True)):
            root = block.structure.factor(joint.theta[here])
            new = codes[f] < 0
            own, rest = z[f] @ root, (rows.z[f] - z[f]) @ root
            if self.new_levels == "marginal":
                out += np.where(new, np.sum(own * own, axis=1), 0.0)
            if self.left_out:
                out += np.sum(rest * rest, axis=1) + np.where(new, 2.0 * np.sum(rest * own, axis=1), 0.0)
        return np.asarray(out)


def t_quantiles(probability: float, df: Array) -> Array:
    """Return quantiles of t distributions, of the normal for infinite df, shape (n,)."""
    finite = np.where(np.isfinite(df), df, 1.0)
    return np.asarray(np.where(np.isinf(df), ndtri(probability), stdtrit(finite, probability)))


def _steps(fit: Fit) -> Array:
    """Return steps of central differences in θ, shape (n_theta,): where effects matter as the residual does, 1e-4."""
    units = [
        1.0 / np.abs(basis @ block.structure.derivative(fit.theta[here])).max(axis=(1, 2))
        for block, here, basis in zip(
            fit.design.blocks, fit.design.theta_slices, fit.cross.basis, strict=True
        )
    ]
    return 1e-4 * np.maximum(np.abs(fit.theta), 0.1 * np.concatenate(units))


def _check_option(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise ModelError(
            f"{name}={value!r} is not known; expected {', '.join(map(repr, known))}. "
            f"{nearest(str(value), known)}".rstrip()
        )
