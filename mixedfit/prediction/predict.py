"""Predictions and simulated responses, for the rows of a fit or for new rows.

The target of a row is xβ + zb over the included random effects; the prediction replaces β by β̂ and b by the BLUPs b̂.
The error variance is σ²ℓᵀC⁻¹ℓ with the joint covariance of (β̂ − β, b̂ − b) (Henderson 1975, Biometrics 31:423), plus
zΩzᵀ for the effects of a new group. A new response adds σ²/w and the variance of excluded effects. Variance parameters
are treated as known, except by the method of Kenward and Roger (`error_variance`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.distributions import t_quantiles
from mixedfit.core.errors import MixedfitError
from mixedfit.core.lazy import lazy
from mixedfit.core.options import check_count, check_level, check_one_of
from mixedfit.core.seeds import seed_sequence
from mixedfit.crossproducts.basis import row_chunks
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.information import Information
from mixedfit.estimation.simulate import simulate_response
from mixedfit.estimation.structures import refuse_structures
from mixedfit.inference.ddf import Ddf, method_named
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.kenward_roger import KenwardRoger, KenwardRogerResult, check_kenward_roger

from .error_variance import JointCovariance, PredictionTarget, estimation_variance, satterthwaite_df
from .means import Means
from .re_form import ReForm, included_effects
from .rows import (
    NewLevels,
    check_related,
    residual_variance,
    rows_of,
    some_rows,
)
from .scorer import Scorer
from .simulate import simulate_rows
from .structured_variance import StructuredErrors

__all__ = ["Interval", "PredictionDdf", "Predictor"]

Interval = Literal["confidence", "prediction"]

PredictionDdf: TypeAlias = Literal["normal", "satterthwaite", "kenward-roger", "residual"] | KenwardRoger

LARGEST_KEPT = 3000
"""Largest number of columns of a dense tail whose inverse is cached: 72 MB."""

LONG = 100_000
"""Rows of a frame from which means alone are computed in parts that stay in the processor's cache."""

PART = 1 << 15
"""Rows of such a part."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predictions of a fit; caches the factorisation behind their standard errors.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @property
    def joint(self) -> JointCovariance:
        """Joint covariance of the errors of β̂ and b̂; cached unless its inverse is large."""
        kept = self.__dict__.get("_joint")
        if isinstance(kept, JointCovariance):
            return kept
        made = JointCovariance(self.fit, self.fit.chart.lams)
        if self.fit.cross.sparse is not None or self.fit.cross.gram.shape[0] <= LARGEST_KEPT:
            self.__dict__["_joint"] = made
        return made

    @lazy
    def information(self) -> Information:
        """Information of the data about the variance parameters."""
        return Information(self.fit)

    @lazy
    def space(self) -> ColumnSpace:
        """The estimable combinations of the fixed effects."""
        return ColumnSpace(self.fit)

    @lazy
    def means(self) -> Means:
        """What predictions without errors need."""
        return Means(self.fit.design, self.fit.beta, tuple(self.fit.modes), self.space.null)

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
        """See `MixedResults.predict`."""
        method = self._method(ddf)
        check_one_of("new_levels", new_levels, get_args(NewLevels))
        if interval is not None:
            check_one_of("interval", interval, get_args(Interval))
        check_level(level)
        included = included_effects(self.fit, re_form)
        if not se and interval is None and offset is None:
            quick = self._in_parts(newdata, re_form, new_levels)
            if quick is not None:
                return quick
        spread = interval == "prediction" and new_levels != "population"
        rows = rows_of(self.fit, newdata, included, offset=offset, every_effect=spread)
        mean, complete = self.means.at(rows, included, new_levels)
        check_related(self.fit, rows, new_levels)
        if not se and interval is None:
            return pd.Series(mean, index=rows.index, name="mean")
        target = PredictionTarget(some_rows(rows, complete), included, new_levels)
        variance, sigma = target.variance(self.joint), self.fit.sigma
        added = self._estimation_variance(target, variance, method)
        error = _filled(sigma * np.sqrt(variance + added), complete)
        table = pd.DataFrame({"mean": mean, "se": error}, index=rows.index)
        if interval is None:
            return table
        noise = None
        if interval == "prediction":
            noise = residual_variance(self.fit, newdata, weights, mean.size)
            target = replace(target, noise=noise[complete] / sigma**2, excluded_vary=spread)
            variance = target.variance(self.joint)
        if self.fit.residual is not None and method not in ("normal", "residual"):
            df = self._structured_df(target, variance, method, noise, newdata, complete)
        else:
            df = self._df(target, variance, method)
        half = _filled(sigma * np.sqrt(variance + added) * t_quantiles(0.5 + level / 2, df), complete)
        table["lower"], table["upper"] = mean - half, mean + half
        if method != "normal":
            table.insert(2, "df", _filled(df, complete))
        return table

    def _in_parts(self, newdata: Any, re_form: ReForm, new_levels: NewLevels) -> pd.Series[float] | None:
        """Return the means of a long frame, part by part; None if it is short or a `Scorer` does not know its terms."""
        if not isinstance(newdata, pd.DataFrame) or len(newdata) < LONG:
            return None
        score, mean = Scorer(self.means, re_form, new_levels), np.empty(len(newdata))
        for rows in row_chunks(mean.size, PART):
            try:
                part = score.of_known_levels(newdata.iloc[rows])
            except MixedfitError:  # it is raised again with what it says of all rows
                return None
            if part is None:
                return None
            mean[rows] = part
        return pd.Series(mean, index=newdata.index, name="mean")

    def _method(self, ddf: Any) -> Ddf:
        """Return the method of degrees of freedom that `ddf` names; raise if it does not apply to the fit."""
        method = method_named(ddf)
        if method == "kenward-roger":
            method = KenwardRoger()
        if method not in ("normal", "residual"):
            check_one_of(
                "ddf", "satterthwaite" if isinstance(method, KenwardRoger) else method, ("satterthwaite",)
            )
        if isinstance(method, KenwardRoger) and self.fit.residual is not None:
            check_kenward_roger(self.fit)
            return method
        if isinstance(method, KenwardRoger):
            check_kenward_roger(self.fit, pairs=method.information == "expected")
            refuse_structures(
                self.fit.design, "Kenward-Roger intervals of predictions", "Use ddf='satterthwaite'."
            )
            return method
        check_one_of("ddf", method, get_args(get_args(PredictionDdf)[0]))
        return cast(Ddf, method)

    def _estimation_variance(self, target: PredictionTarget, variance: Array, method: Ddf) -> Array | float:
        """Return the part of the error variance due to estimated variances, over σ²; 0 unless Kenward-Roger."""
        if isinstance(method, KenwardRoger) and self.fit.residual is not None:
            return self._errors(method).of_rows(target)[1] / self.fit.sigma**2
        if not isinstance(method, KenwardRoger) or not self.fit.theta.size:
            return 0.0
        size = self.fit.theta.size
        covariance = self._parameter_covariance(method)[:size, :size]
        return estimation_variance(self.fit, target, variance, covariance)

    def _df(self, target: PredictionTarget, variance: Array, method: Ddf) -> Array:
        """Return the degrees of freedom of the estimated variance of each row, over σ², shape (n,)."""
        fit = self.fit
        if method == "normal":
            return np.full(variance.size, np.inf)
        if method == "residual" or not fit.design.blocks:
            return np.full(variance.size, float(fit.cross.n - fit.cross.p_total))
        return satterthwaite_df(fit, target, variance, self._parameter_covariance(method))

    def _errors(self, method: Ddf) -> StructuredErrors:
        """Return the derivatives of variances of a fit with a residual structure; kept for the last method."""
        kept = self.__dict__.get("_structured")
        if not isinstance(kept, StructuredErrors) or kept.method != method:
            kept = self.__dict__["_structured"] = StructuredErrors(self.fit, method)
        return kept

    def _structured_df(
        self,
        target: PredictionTarget,
        variance: Array,
        method: Ddf,
        noise: Array | None,
        newdata: Any,
        complete: BoolArray,
    ) -> Array:
        """Return the degrees of freedom of each row with a residual structure; `noise` is Var(ε) of all rows."""
        errors = self._errors(method)
        gradient = errors.of_rows(target)[0]
        if noise is not None:
            gradient = gradient + errors.noise_slopes(newdata, noise)[complete]
        return errors.df(self.fit.sigma**2 * variance, gradient)

    def _parameter_covariance(self, method: Ddf) -> Array:
        """Return the covariance of (η̂, log σ̂²) that a method uses."""
        if method == KenwardRoger("expected"):
            return KenwardRogerResult(self.information, "expected").root_covariance
        return self.information.parameter_covariance

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
        """See `MixedResults.simulate`."""
        check_count("n", n, 1)
        check_one_of("new_levels", new_levels, get_args(NewLevels))
        included = included_effects(self.fit, re_form)
        rng = np.random.default_rng(seed_sequence(seed))
        if newdata is None and weights is None and not any(own.any() for own in included):
            drawn = simulate_response(self.fit, n, rng)
            names = [f"sim_{r + 1}" for r in range(n)]
            return pd.DataFrame(drawn, index=self.fit.design.index, columns=names)
        return simulate_rows(
            self.fit,
            n,
            rng,
            newdata=newdata,
            included=included,
            new_levels=new_levels,
            weights=weights,
            offset=offset,
        )


def _filled(values: Array, complete: BoolArray) -> Array:
    """Return values of the complete rows as a column of all rows, NaN in the others."""
    out = np.full(complete.size, np.nan)
    out[complete] = values
    return out
