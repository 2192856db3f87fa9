"""Forecasts: best linear unbiased predictions that use the residual correlation of new rows with those of the fit.

With V = Var(y), c = Cov(y, y₀), v₀ = Var(y₀) and Φ = (XᵀV⁻¹X)⁻¹, the forecast of a new row is
x₀β̂ + cᵀV⁻¹(y − Xβ̂) and its error variance v₀ − cᵀV⁻¹c + dᵀΦd with d = x₀ − XᵀV⁻¹c (Goldberger 1962, J. Am. Stat.
Assoc. 57:369), at the estimated variances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, ModelError, PredictionWarning, warn
from mixedfit.core.options import check_level
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.design.frames import as_frame, days_as
from mixedfit.design.recipe import NewRows
from mixedfit.estimation.fit import Fit
from mixedfit.inference.structured.blocks import VarianceParameters

from .rows import fixed_mean, further_multipliers, further_weights, rows_of

__all__ = ["colour_of_rows", "forecast", "places_of_rows"]


def forecast(
    fit: Fit, newdata: Any, *, level: float, weights: Any = None, offset: Any = None
) -> pd.DataFrame:
    """Return forecasts of new rows; see `MixedResults.forecast`."""
    if fit.residual is None:
        raise ModelError("the fit has no residual structure: its forecasts are those of .predict().")
    z = float(ndtri(0.5 + 0.5 * check_level(level)))
    rows = rows_of(
        fit, newdata, [np.ones(b.k, dtype=bool) for b in fit.design.blocks], offset=offset, every_effect=True
    )
    n = len(rows.X)
    sd = fit.sigma * further_multipliers(fit.residual, newdata, n)
    w = further_weights(fit.design, newdata, weights, n)
    new = _New(fit, rows, *_places(fit.residual.model, newdata, n), sd if w is None else sd / np.sqrt(w))
    mean, variance = fixed_mean(fit, rows), np.full(n, np.nan)
    for i in range(n):
        if np.isfinite(mean[i]) and np.isfinite(new.sd[i]) and np.all(np.isfinite(new.place[i])):
            change, variance[i] = new.one(i)
            mean[i] += change
    mean = np.where(np.isfinite(variance), mean, np.nan)
    error = np.sqrt(np.maximum(variance, 0.0))
    _warn_of_known(error < KNOWN * new.sd)
    columns = {"mean": mean, "se": error, "lower": mean - z * error, "upper": mean + z * error}
    return pd.DataFrame(columns, index=rows.index)


KNOWN = 1e-5
"""Error of a forecast, as a share of the residual SD, below which the residual of the row is known from the data."""


def _warn_of_known(known: Array) -> None:
    """Warn of rows of the data: what is known of their residuals leaves no error."""
    count = int(np.count_nonzero(known))
    if count:
        warn(
            f"{count} of {known.size} rows have a group and time (or place) of the data, so that their residuals are "
            "known: their forecasts are the responses of the data, with se 0. predict() has their fitted values "
            "with standard errors.",
            PredictionWarning,
        )


def colour_of_rows(fit: Fit, newdata: Any, n: int) -> Callable[[Array], Array] | None:
    """Return the map of independent draws, shape (draws, n), to draws correlated as the residuals of new rows.

    None without a residual correlation. Rows with the same label are one group, of a new label too. Draws of rows
    without a time or place are NaN.

    Raises
    ------
    DataError
        If two rows of a group have the same time or place, or one that the structure does not know.
    """
    if fit.residual is None or fit.residual.model.correlation is None:
        return None
    model, x = fit.residual.model, fit.residual.x
    labels = _group_labels(model, newdata)
    groups = np.zeros(n, np.int64) if labels is None else pd.factorize(labels)[0]
    place = _places_in(model, newdata, groups)
    roots = []
    for group in np.unique(groups):
        rows = np.flatnonzero((groups == group) & np.all(np.isfinite(place), axis=1))
        try:
            root = np.linalg.cholesky(fit.residual.model.correlation.matrix(x[model.slices[0]], place[rows]))
        except np.linalg.LinAlgError:
            raise DataError(
                f"{model.structure}: two of the new rows of a group are at the same time or place; expected one row a "
                "time and group."
            ) from None
        roots.append((rows, root))

    def colour(drawn: Array) -> Array:
        out = np.full_like(drawn, np.nan)
        for rows, root in roots:
            out[:, rows] = drawn[:, rows] @ root.T
        return out

    return colour


def _group_labels(model: ResidualModel, newdata: Any) -> pd.Series[Any] | None:
    """Return the label of the group of correlated rows of each new row; None if all rows are one group."""
    assert model.layout is not None
    if not model.layout.group_name:
        return None
    names = [name.strip() for name in model.layout.group_name.split(":")]
    table = as_frame(newdata, names)
    labels = table[names[0]].astype(str)
    for name in names[1:]:
        labels = labels + ":" + table[name].astype(str)
    return labels


def _places(model: ResidualModel, newdata: Any, n: int) -> tuple[IntArray, Array]:
    """Return the group of each new row (−1 for a new one) and its place, shapes (n,) and (n, d)."""
    if model.layout is None:
        return np.full(n, -1, np.int64), np.zeros((n, 1))
    labels, groups = _group_labels(model, newdata), np.zeros(n, np.int64)
    if labels is not None:
        known = pd.Index([str(g) for g in model.layout.groups])
        groups = known.get_indexer(pd.Index(labels)).astype(np.int64)
    return groups, _places_in(model, newdata, groups)


def places_of_rows(model: ResidualModel, newdata: Any, n: int) -> tuple[IntArray, Array]:
    """Return the group of each new row and its place, shapes (n,) and (n, d).

    Groups of the fit have their numbers; new ones, numbered by label, follow.

    Raises
    ------
    DataError
        If a row has no time or place, or one that the structure does not know.
    """
    assert model.layout is not None
    labels, groups = _group_labels(model, newdata), np.zeros(n, np.int64)
    if labels is not None:
        known = [str(group) for group in model.layout.groups]
        unseen = pd.Index(labels[~labels.isin(known)].unique())
        groups = pd.Index([*known, *unseen]).get_indexer(pd.Index(labels)).astype(np.int64)
    place = _places_in(model, newdata, groups)
    missing = ~np.isfinite(place).all(axis=1)
    if missing.any():
        raise DataError(
            f"{model.structure}: row {int(np.argmax(missing))} of the new rows has no time; its residual is correlated "
            "with others by time. Leave it out, or ask for means."
        )
    return groups, place


def _places_in(model: ResidualModel, newdata: Any, groups: IntArray) -> Array:
    """Return the place of each new row, shape (n, d)."""
    own = model.structure.correlation
    if not own.place:
        columns = [_next_positions(model, groups)]
    else:
        table = as_frame(newdata, own.place)
        columns = [_numbers(model, name, table[name]) for name in own.place]
    if own.by_name is not None:
        known = [str(level) for level in model.correlation.levels]  # type: ignore[union-attr]
        levels = as_frame(newdata, [own.by_name])[own.by_name]
        columns.append(_codes(own.by_name, levels, known))
    return np.column_stack(columns)


def _next_positions(model: ResidualModel, groups: IntArray) -> Array:
    """Return positions after the last row of each group, in the order of the new rows."""
    layout = model.layout
    assert layout is not None
    out, seen = np.zeros(groups.size), {int(g): int(s) for g, s in enumerate(layout.sizes)}
    for i, group in enumerate(groups.tolist()):
        out[i] = seen.get(group, 0)
        seen[group] = seen.get(group, 0) + 1
    return out


def _numbers(model: ResidualModel, name: str, column: pd.Series[Any]) -> Array:
    """Return times or coordinates of new rows as in the fit."""
    own = model.columns[name]
    if model.structure.correlation.kind == "visit":
        assert model.layout is not None
        return _codes(name, column, [str(label) for label in model.layout.labels])
    if isinstance(own.dtype, pd.CategoricalDtype):
        return _codes(name, column, [str(label) for label in own.cat.categories])
    return np.asarray(days_as(column, own).to_numpy(), dtype=float)


def _codes(name: str, column: pd.Series[Any], known: Sequence[str]) -> Array:
    """Return the position of each label among those of the fit, NaN where it is missing."""
    missing = column.isna().to_numpy()
    labels = column.astype(str)
    codes = pd.Index(list(known)).get_indexer(pd.Index(labels))
    if ((codes < 0) & ~missing).any():
        raise DataError(
            f"{labels[(codes < 0) & ~missing].iloc[0]!r} in column {name!r} is not a value of the fit "
            f"({', '.join(known[:10])}), so that its residual correlation is not known. Leave these rows out."
        )
    return np.where(missing, np.nan, codes.astype(float))


class _New:
    """New rows beside those of the fit."""

    def __init__(self, fit: Fit, rows: NewRows, groups: IntArray, place: Array, sd: Array) -> None:
        self.fit, self.rows, self.groups, self.place, self.sd = fit, rows, groups, place, sd
        self.parameters = VarianceParameters(fit)
        self.component = np.empty(fit.design.n, np.int64)
        for number, own in enumerate(self.parameters.components):
            self.component[own] = number
        kept = fit.cross.fixed.kept
        self.X, self.new_X = fit.design.X[:, kept], rows.X[:, kept]
        self.rest = fit.response - fit.fixed_part
        self.covariance = fit.beta_covariance[np.ix_(kept, kept)]

    def one(self, i: int) -> tuple[float, float]:
        """Return cᵀV⁻¹(y − Xβ̂) and the error variance of one new row."""
        fit, x = self.fit, self.new_X[i]
        variance = float(self.sd[i] ** 2)
        touched = np.zeros(fit.design.n, dtype=bool)
        if fit.residual is not None and fit.residual.model.layout is not None and self.groups[i] >= 0:
            touched |= fit.residual.model.groups == self.groups[i]
        for f, block in enumerate(fit.design.blocks):
            z = self.rows.z[f][i]
            level, known = self.rows.codes[f][i], block.known
            size = 1.0 if known is None or level < 0 else float(known.diagonal[level])
            variance += size * float(z @ fit.omega[f] @ z)
            families = np.arange(block.levels) if known is None else known.families
            touched |= (level >= 0) & (families[block.codes] == families[level])
        near = np.flatnonzero(np.isin(self.component, np.unique(self.component[touched])))
        if not near.size:
            return 0.0, variance + float(x @ self.covariance @ x)
        c = self._covariance(i, near)
        solved = _solved(self.parameters.covariance(near), c)
        d = x - self.X[near].T @ solved
        return float(solved @ self.rest[near]), variance - float(c @ solved) + float(d @ self.covariance @ d)

    def _covariance(self, i: int, near: IntArray) -> Array:
        """Return the covariances of a new row with rows of the fit."""
        fit = self.fit
        out = np.zeros(near.size)
        for f, block in enumerate(fit.design.blocks):
            level, codes = self.rows.codes[f][i], block.codes[near]
            if level < 0:
                continue
            related = (
                codes == level if block.known is None else block.known.among(codes, np.array([level]))[:, 0]
            )
            out += related * (block.z[near] @ fit.omega[f] @ self.rows.z[f][i])
        assert fit.residual is not None
        model = fit.residual.model
        if model.correlation is None or self.groups[i] < 0:
            return out
        inside = np.flatnonzero(model.groups[near] == self.groups[i])
        places = np.vstack([self.parameters.place[near[inside]], self.place[i]])
        own = model.correlation.matrix(fit.residual.x[model.slices[0]], places)[-1, :-1]
        out[inside] += self.sd[i] * fit.sigma * self.parameters.sd[near[inside]] * own
        return out


def _solved(V: Array, c: Array) -> Array:
    """Return V⁻¹c; of a V that is singular to rounding the shortest solution, as c lies in its span."""
    try:
        return np.asarray(np.linalg.solve(V, c))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(V, c, rcond=None)[0])
