"""Dependence between residuals of one group: autocorrelations and the semivariogram, empirical and fitted.

Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, sections 5.3 and 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count, check_level
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.tables import normalised_residuals, scaled_residuals

__all__ = ["Kind", "Series", "autocorrelations", "fitted_semivariance", "semivariogram", "series_of"]

Kind: TypeAlias = Literal["normalised", "scaled"]
"""Residuals: made independent by the fitted structure, or over their standard deviation."""

MOST_PAIRS = 400_000
"""Pairs of rows up to which a semivariogram has all; of more it has a random sample of this size, with a fixed seed."""

GRID = 200
"""Distances at which a fitted correlation is computed; between them it is interpolated."""


@dataclass(frozen=True, eq=False)
class Series:
    """Residuals sorted by group and, within a group, by place.

    Attributes
    ----------
    values : ndarray, shape (m,)
    groups : ndarray of int64, shape (m,)
    place : ndarray, shape (m, d)
        Times, codes of visits or coordinates; positions in the group where there are none.
    kind : str
        What the place is: "order" (whole times), "time", "visit", "coordinates", "position".
    unit : str
        Of differences of places, in words.
    """

    values: Array
    groups: IntArray
    place: Array
    kind: str
    unit: str


def series_of(fit: Fit, kind: Kind) -> Series:
    """Return the residuals of a fit in the order of its residual structure.

    Without a correlation the groups are the levels of the grouping factor with most levels, and rows have their order
    in the data.

    Raises
    ------
    ModelError
        If `kind` is not known.
    """
    if kind not in ("normalised", "scaled"):
        raise ModelError(f"kind={kind!r} is not known; expected 'normalised' or 'scaled'.")
    values = np.asarray(normalised_residuals(fit) if kind == "normalised" else scaled_residuals(fit), float)
    model = None if fit.residual is None else fit.residual.model
    if model is not None and model.layout is not None:
        layout, own = model.layout, model.structure.correlation
        groups = np.repeat(np.arange(layout.sizes.size), layout.sizes)
        place = layout.place[:, :-1] if own.by_name is not None else layout.place
        what = "position" if own.kind == "none" or not own.place else own.kind
        return Series(values[layout.order], groups, place, what, _unit(what, own.place))
    rows = np.flatnonzero(fit.design.counted)
    blocks = fit.design.blocks
    codes = max(blocks, key=lambda b: b.levels).codes[rows] if blocks else np.zeros(rows.size, np.int64)
    order = np.argsort(codes, kind="stable")
    groups = codes[order]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    position = np.arange(groups.size) - np.repeat(starts, np.diff([*starts, groups.size]))
    return Series(values[rows[order]], groups, position[:, None].astype(float), "position", "rows")


def _unit(kind: str, columns: tuple[str, ...]) -> str:
    if len(columns) > 1:
        return "distance"
    return {"position": "rows", "visit": "visits"}.get(kind, "".join(columns))


def autocorrelations(
    fit: Fit, kind: Kind = "normalised", lags: int | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Return autocorrelations of residuals; see `Diagnostics.autocorrelation`."""
    check_level(level)
    series = series_of(fit, kind)
    if series.place.shape[1] > 1:
        raise ModelError(
            "autocorrelations need an order of the rows of a group; these have coordinates in several dimensions. Take "
            "the variogram."
        )
    times: Any = series.place[:, 0]
    if series.kind in ("time", "coordinates"):
        starts = np.flatnonzero(np.diff(series.groups, prepend=-1))
        times = np.arange(times.size) - np.repeat(starts, np.diff([*starts, times.size]))
    times = times - times.min()
    longest = int(np.bincount(series.groups).max())
    if lags is None:
        lags = max(int(10.0 * np.log10(longest)), 1)
    check_count("lags", lags, 1)
    span = int(times.max()) + 1
    lags = min(lags, max(span - 1, 1))
    keys = series.groups * np.int64(span + lags) + times.astype(np.int64)
    variance = float(np.mean(series.values**2))
    rows = []
    for lag in range(1, lags + 1):
        at = np.minimum(np.searchsorted(keys, keys + lag), keys.size - 1)
        here = np.flatnonzero(keys[at] == keys + lag)
        if here.size:
            product = float(np.mean(series.values[here] * series.values[at[here]]))
            rows.append((lag, product / variance, here.size))
    table = pd.DataFrame(rows, columns=["lag", "autocorrelation", "pairs"]).set_index("lag")
    table["limit"] = ndtri(0.5 + 0.5 * level) / np.sqrt(table["pairs"])
    return table


def semivariogram(fit: Fit, kind: Kind = "scaled", bins: int = 20) -> pd.DataFrame:
    """Return the semivariogram of residuals; see `Diagnostics.variogram`."""
    check_count("bins", bins, 1)
    series = series_of(fit, kind)
    one, other = _pairs(series.groups)
    if not one.size:
        raise ModelError("a semivariogram needs two rows in a group; every group of this fit has one row.")
    apart = _distances(fit, series, one, other)
    half = 0.5 * (series.values[one] - series.values[other]) ** 2
    distinct, codes = np.unique(apart, return_inverse=True)
    if distinct.size > bins:
        edges = np.unique(np.quantile(apart, np.linspace(0.0, 1.0, bins + 1)))
        codes = np.clip(np.searchsorted(edges, apart, side="left") - 1, 0, None)
    columns = {
        "distance": apart,
        "semivariance": half,
        "fitted": _fitted(fit, series, one, other, apart, kind),
    }
    frame = pd.DataFrame(columns).groupby(codes.reshape(-1))
    table = frame.mean()
    table.insert(2, "pairs", frame.size())
    return table.reset_index(drop=True)


def _pairs(groups: IntArray) -> tuple[IntArray, IntArray]:
    """Return pairs of rows of the same group: all, or a random sample of `MOST_PAIRS`."""
    sizes = np.bincount(groups)
    start = np.concatenate([[0], np.cumsum(sizes)])
    many = sizes * (sizes - 1) // 2
    if many.sum() > MOST_PAIRS:
        rng = np.random.default_rng(0)
        chosen = rng.choice(sizes.size, MOST_PAIRS, p=many / many.sum())
        first = rng.integers(sizes[chosen])
        second = (first + rng.integers(1, sizes[chosen])) % sizes[chosen]
        return start[chosen] + np.minimum(first, second), start[chosen] + np.maximum(first, second)
    parts = []
    for m in np.unique(sizes[sizes > 1]):
        i, j = np.triu_indices(m, 1)
        begin = start[:-1][sizes == m][:, None]
        parts.append(((begin + i).reshape(-1), (begin + j).reshape(-1)))
    none = np.zeros(0, np.int64)
    both = [np.concatenate(side) for side in zip(*parts, strict=True)] or [none, none]
    return both[0], both[1]


def _distances(fit: Fit, series: Series, one: IntArray, other: IntArray) -> Array:
    apart = np.abs(series.place[one] - series.place[other])
    own = None if fit.residual is None else fit.residual.model.structure.correlation
    if getattr(own, "metric", "euclidean") == "manhattan":
        return np.asarray(apart.sum(axis=1))
    return np.asarray(np.sqrt((apart**2).sum(axis=1)))


def fitted_semivariance(fit: Fit, distances: Array) -> Array | None:
    """Return 1 − the fitted correlation at distances; None where it is not a function of the distance alone.

    Parameters
    ----------
    fit : Fit
    distances : ndarray, shape (m,)
    """
    model = None if fit.residual is None else fit.residual.model
    if model is None or model.correlation is None or model.layout is None:
        return np.ones(distances.size)
    own, law = model.structure.correlation, model.correlation
    if own.by_name is not None or own.kind == "visit":
        return None
    assert fit.residual is not None
    x, first = fit.residual.x[model.slices[0]], model.layout.place[0]
    along = np.eye(first.size)[0]
    places = [np.stack([first, first + d * along]) for d in distances]
    return np.array([1.0 - law.matrix(x, place)[0, 1] for place in places])


def _fitted(fit: Fit, series: Series, one: IntArray, other: IntArray, apart: Array, kind: Kind) -> Array:
    """Return 1 − the fitted correlation of each pair; NaN where it depends on a level besides."""
    if kind == "normalised":
        return np.ones(apart.size)
    if series.kind == "visit":
        return _fitted_of_visits(fit, series, one, other)
    grid: Any = np.unique(apart)
    if grid.size > GRID:
        grid = np.linspace(grid[0], grid[-1], GRID)
        grid = np.unique(np.round(grid)) if series.kind == "order" else grid
    values = fitted_semivariance(fit, grid)
    return np.full(apart.size, np.nan) if values is None else np.interp(apart, grid, values)


def _fitted_of_visits(fit: Fit, series: Series, one: IntArray, other: IntArray) -> Array:
    assert fit.residual is not None
    model = fit.residual.model
    assert model.correlation is not None
    assert model.layout is not None
    if model.structure.correlation.by_name is not None:
        return np.full(one.size, np.nan)
    visits = np.arange(len(model.layout.labels), dtype=float)[:, None]
    whole = model.correlation.matrix(fit.residual.x[model.slices[0]], visits)
    codes = series.place[:, 0].astype(np.int64)
    return np.asarray(1.0 - whole[codes[one], codes[other]])
