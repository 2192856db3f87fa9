"""Shares of variance of the fixed effects, each grouping factor and the residual; R² and intraclass correlations.

Nakagawa & Schielzeth (2013), Methods in Ecology and Evolution 4:133. With random slopes the variance of a factor is
the mean of z_iᵀΩz_i over the rows (Johnson 2014, same journal, 5:944). All shares are defined if a variance is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.lazy import lazy
from mixedfit.core.options import check_level, check_one_of
from mixedfit.covariance import ScaledCorrelation
from mixedfit.design.columns import (
    absent_batches,
    centred_fixed,
    counted_rows,
    effect_columns,
    fixed_columns,
    mean_inverse_weight,
)
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import Parameter, parameters_of
from mixedfit.inference.bootstrap.bootstrap import bootstrap
from mixedfit.inference.structured.random_part import structure_in_units
from mixedfit.inference.vcov_varpar import vcov_varpar

__all__ = ["Interval", "Shares", "share_table", "with_residual_correlation"]

Interval = Literal["delta", "bootstrap"]

Members: TypeAlias = Mapping[str, tuple[Sequence[int], Sequence[int]]]
"""Ratios by name: positions of the components in the numerator and in the denominator."""

ROUNDING = 1e-14
"""Share of the mean below which a standard deviation over the rows is a rounding error."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Components of the variance of a response.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @lazy
    def _counted(self) -> BoolArray:
        weights = self.fit.design.weights
        return np.ones(self.fit.design.n, dtype=bool) if weights is None else weights > 0

    @lazy
    def fixed(self) -> float:
        """Variance of Xβ̂ (without offset) over the rows, with divisor n − 1, as R's var."""
        fit = self.fit
        if fit.design.absent is not None and fit.design.many:
            return _variance_in_batches(fit)
        if fit.design.absent is not None:
            kept = fit.cross.fixed.kept
            spread = centred_fixed(fit.design)[:, kept] @ fit.beta[kept]
            variance = float(spread @ spread) / (counted_rows(fit.design) - 1)
            size = np.linalg.norm(fixed_columns(fit.design)[:, kept] @ fit.beta[kept])
            return variance if variance > ROUNDING**2 * size**2 / counted_rows(fit.design) else 0.0
        mean = fit.fixed_part if fit.design.offset is None else fit.fixed_part - fit.design.offset
        mean = mean[self._counted]
        variance = float(np.var(mean, ddof=1))
        return variance if variance > (ROUNDING * np.abs(mean).max()) ** 2 else 0.0

    @lazy
    def products(self) -> tuple[Array, ...]:
        """Mean of z_i z_iᵀ over the rows, for every factor, shape (k, k) each."""
        design = self.fit.design
        rows = [effect_columns(design, f) for f in range(len(design.blocks))]
        return tuple(z.T @ z / counted_rows(design) for z in rows)

    @lazy
    def residual_factor(self) -> float:
        """Mean of Var(ε_i)/σ² over the rows: 1 without weights and variance functions."""
        if self.fit.residual is not None:
            weights = self.fit.design.weights
            squares = self.fit.residual.multipliers**2
            return float(np.mean(squares if weights is None else squares / weights))
        return mean_inverse_weight(self.fit.design)

    @lazy
    def _factor_slopes(self) -> Array:
        """Derivatives of `residual_factor` in the residual parameters, shape (parameters,)."""
        residual, weights = self.fit.residual, self.fit.design.weights
        if residual is None:
            return np.zeros(0)
        squares = residual.multipliers**2 if weights is None else residual.multipliers**2 / weights
        slopes = np.zeros(residual.model.n_parameters)
        for law, here in zip(residual.model.variances, residual.model.slices[1:], strict=True):
            slopes[here] = 2.0 * squares @ law.slopes(residual.x[here]) / squares.size
        natural = residual.model.natural_slopes(residual.x)
        return np.asarray(np.linalg.lstsq(natural.T, slopes, rcond=None)[0])

    def _structure_slope(self, parameter: Parameter) -> float:
        """Return the derivative of a factor's variance in a natural parameter of a structure, a variance if an SD."""
        for part, t, e in self.fit.design.blocks[parameter.block].structure.slices():
            if isinstance(part, ScaledCorrelation) and t.start <= parameter.place < t.stop:
                theta, at = structure_in_units(self.fit, parameter.block, t, part), parameter.place - t.start
                values, natural = part.natural(theta)
                slopes = np.einsum("aij,ij->a", part.directions(theta), self.products[parameter.block][e, e])
                slope = float(np.linalg.lstsq(natural.T, slopes, rcond=None)[0][at])
                return slope / (2.0 * values[at]) if parameter.kind == "sd" and values[at] else slope
        raise AssertionError("a natural parameter belongs to a structure")

    @lazy
    def components(self) -> Array:
        """Variances of fixed effects, factors and residual, means over the rows, shape (factors + 2,)."""
        random = [np.sum(own * omega) for own, omega in zip(self.products, self.fit.omega, strict=True)]
        return np.array([self.fixed, *random, self.fit.sigma**2 * self.residual_factor])

    @lazy
    def slopes(self) -> tuple[Array, Array]:
        """∂components/∂(variances and covariances, σ², β), and the covariance of the latter; NaN on the boundary."""
        fit = self.fit
        parameters = [p for p in parameters_of(fit) if p.kind != "fixed"]
        covariance = vcov_varpar(fit, scale="variance", joint=True).to_numpy()
        out = np.zeros((len(self.components), covariance.shape[0]))
        for i, p in enumerate(parameters):
            if p.kind == "sigma":
                out[-1, i] = self.residual_factor
            elif p.kind == "residual":
                out[-1, i] = fit.sigma**2 * self._factor_slopes[p.first]
            elif p.place >= 0:
                out[1 + p.block, i] = self._structure_slope(p)
            else:
                own = self.products[p.block]
                out[1 + p.block, i] = own[p.first, p.second] * (1.0 if p.first == p.second else 2.0)
        kept = fit.cross.fixed.kept
        X = centred_fixed(fit.design)[:, kept]
        gradient = 2.0 * X.T @ (X @ fit.beta[kept]) / max(counted_rows(fit.design) - 1, 1)
        out[0, len(parameters) + kept] = gradient
        if fit.design.many:
            out[0] = np.nan
        needed = np.any(out != 0.0, axis=0)
        return out[:, needed], covariance[np.ix_(needed, needed)]


def _variance_in_batches(fit: Fit) -> float:
    """Return the variance of Xβ̂ over the rows, which are read again, by updates of Chan, Golub & LeVeque (1983)."""
    count, mean, squares, largest = 0, 0.0, 0.0, 0.0
    for batch in absent_batches(fit.design):
        values = fit.fixed_part_of(batch) - (0.0 if batch.offset is None else batch.offset)
        values = values if batch.weights is None else values[batch.weights > 0]
        if values.size:
            total, step = count + values.size, float(values.mean()) - mean
            squares += float(np.sum((values - values.mean()) ** 2)) + step**2 * count * values.size / total
            mean, count = mean + step * values.size / total, total
            largest = max(largest, float(np.abs(values).max()))
    variance = squares / max(count - 1, 1)
    return variance if variance > (ROUNDING * largest) ** 2 else 0.0


def share_table(
    fit: Fit, members: Members, *, interval: Interval | None, level: float, n: int, seed: Any
) -> pd.DataFrame:
    """Return ratios of sums of components, with intervals if `interval` names a method; see `Diagnostics.r_squared`."""
    check_level(level)
    if interval is not None:
        check_one_of("interval", interval, get_args(Interval))
    shares = Shares(fit)
    estimates = _ratios(shares.components, members)
    table = pd.DataFrame({"estimate": estimates}, index=pd.Index(members))
    if interval == "delta":
        table["lower"], table["upper"] = _delta(shares, members, estimates, level)
    elif interval == "bootstrap":
        table["lower"], table["upper"] = _bootstrap(fit, members, level, n, seed)
    return table


def with_residual_correlation(fit: Fit, table: pd.DataFrame) -> pd.DataFrame:
    """Return intraclass correlations that count the covariance ρσ² of residuals with compound symmetry.

    NaN if residuals have another correlation, which differs between pairs of rows, and there are no random effects.
    """
    model = None if fit.residual is None else fit.residual.model
    own = None if model is None else model.structure.correlation
    if fit.residual is None or model is None or own is None:
        return table
    if type(own).__name__ != "CompoundSymmetry" or model.variances:
        return table if fit.design.blocks else table * np.nan
    components = Shares(fit).components
    shared = model.natural(fit.residual.x)[0].value * components[-1]
    random, below = components[1:-1].sum() + shared, components[1:].sum()
    name = model.layout.group_name if model.layout is not None else ""
    out = table.copy()
    out.loc[["adjusted", "conditional"]] = np.nan
    out.loc["adjusted", "estimate"] = random / below
    out.loc["conditional", "estimate"] = random / components.sum()
    key = name if name and name not in out.index else f"residual {name}".strip()
    out.loc[key, "estimate"] = shared / below
    return out


def _ratios(components: Array, members: Members) -> Array:
    return np.array([components[above].sum() / components[below].sum() for above, below in members.values()])


def _delta(shares: Shares, members: Members, estimates: Array, level: float) -> tuple[Array, Array]:
    """Return limits by the delta method on the logit scale; NaN where the ratio has a variance at its boundary."""
    from scipy.special import expit, logit, ndtri

    slopes, covariance = shares.slopes
    components = shares.components
    lower, upper = np.full((2, estimates.size), np.nan)
    for i, (above, below) in enumerate(members.values()):
        if not 0.0 < estimates[i] < 1.0:
            continue
        total = components[below].sum()
        own = (slopes[above].sum(axis=0) - estimates[i] * slopes[below].sum(axis=0)) / total
        used = own != 0.0
        variance = own[used] @ covariance[np.ix_(used, used)] @ own[used]
        error = np.sqrt(variance) / (estimates[i] * (1.0 - estimates[i]))
        reach = ndtri(0.5 + level / 2.0) * error
        lower[i], upper[i] = expit(logit(estimates[i]) - reach), expit(logit(estimates[i]) + reach)
    return lower, upper


def _bootstrap(fit: Fit, members: Members, level: float, n: int, seed: Any) -> tuple[Array, Array]:
    """Return limits that are percentiles of a parametric bootstrap."""

    def statistic(refit: Fit) -> pd.Series[float]:
        return pd.Series(_ratios(Shares(refit).components, members), index=pd.Index(names))

    names = [f"share {i}" for i in range(len(members))]
    drawn = bootstrap(fit, n, statistic=statistic, seed=seed)
    values = drawn.replicates[names].to_numpy()
    tail = (1.0 - level) / 2.0
    lower, upper = np.nanquantile(values, [tail, 1.0 - tail], axis=0)
    return lower, upper
