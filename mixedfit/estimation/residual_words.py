"""The residual structure of a fit in words, and its parameters as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import ModelError
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.design.frames import DATES, dates_of

from .fit import Fit

__all__ = ["labelled_covariance", "residual_covariance", "residual_lines", "residual_table"]


def residual_table(fit: Fit) -> pd.DataFrame:
    """Return the parameters of the residual structure: columns estimate, min and max (limits of their space)."""
    own = fit.residual
    rows = [] if own is None else own.model.natural(own.x)
    return pd.DataFrame(
        {
            "estimate": [float(p.value) for p in rows],
            "min": [p.lower for p in rows],
            "max": [p.upper for p in rows],
        },
        index=pd.Index([p.name for p in rows], name="parameter"),
    )


def residual_lines(fit: Fit) -> list[str]:
    """Return the structure, its formula, its groups and the meaning of σ, a sentence each; empty without one."""
    if fit.residual is None:
        return []
    model = fit.residual.model
    lines = [f"{model.structure}."] if len(model.structure.describe().split("; ")) > 1 else []
    lines += [f"{part.strip()}." for part in model.structure.describe().split(";")]
    if model.layout is not None:
        name = model.layout.group_name
        where = (
            f"within {name} ({model.layout.sizes.size} groups)" if name else "between all rows, as one group"
        )
        why = ""
        if model.default_group:
            why = ", the innermost grouping factor" if name else ", since no group was given"
        lines.append(f"Correlated {where}{why}.")
    laws = getattr(model.correlation, "laws", [model.correlation])
    if any(getattr(law, "even", False) for law in laws):
        lines.append(
            "All gaps between times are even: phi and -phi have the same likelihood, and phi >= 0 is shown."
        )
    for p in model.natural(fit.residual.x):
        if np.isfinite(p.farthest) and not FAR_FROM_0 < abs(p.value) < 1.0 - FAR_FROM_0:
            lines.append(
                f"{p.name} is for one unit of time; the correlation at the shortest gap of rows is {p.nearest:.4g}."
            )
    lines += _baselines(fit)
    return lines


FAR_FROM_0 = 1e-3
"""Correlation per unit of time below which, or that far from 1, the correlation at the shortest gap is said too."""


def residual_covariance(fit: Fit, group: Any = None) -> pd.DataFrame:
    """Return σ²W^(−1/2)RW^(−1/2) of the rows of one group; see `MixedResults.residual_cov`."""
    if fit.residual is None:
        raise ModelError(
            "the fit has no residual structure: residuals are independent with variance sigma squared over the weight."
        )
    model = fit.residual.model
    rows = np.arange(fit.design.n) if model.layout is None else _rows_of_group(fit.residual.model, group)
    if rows.size > LARGEST:
        raise ModelError(
            f"the matrix would have {rows.size} rows; it is shown up to {LARGEST}. Give another group."
        )
    matrix = fit.sigma**2 * model.matrix(fit.residual.x, rows)
    if fit.design.weights is not None:
        root = np.sqrt(fit.design.weights[rows])
        matrix = matrix / np.outer(root, root)
    labels = fit.design.index[rows]
    return pd.DataFrame(matrix, index=labels, columns=labels)


def labelled_covariance(fit: Fit, group: Any = None) -> pd.DataFrame:
    """Return `residual_covariance` with the times or visits of the rows as labels, where the structure has such."""
    out = residual_covariance(fit, group)
    model = fit.residual.model if fit.residual is not None else None
    rows = np.arange(fit.design.n) if model is None or model.layout is None else _rows_of_group(model, group)
    labels = _labels(fit, rows)
    return out.set_axis(labels, axis=0).set_axis(labels, axis=1)


def _labels(fit: Fit, rows: IntArray) -> pd.Index[Any]:
    """Return the times or visits of rows of a group; their labels in the data where the structure has no place."""
    assert fit.residual is not None
    own, columns = fit.residual.model.structure.correlation, fit.residual.model.columns
    place: tuple[str, ...] = () if own is None else own.place
    if len(place) != 1 or place[0] not in columns:
        return fit.design.index[rows]
    column = columns[place[0]]
    labels = pd.Index(column.iloc[rows], name=place[0])
    kind = column.attrs.get(DATES)
    if kind:
        labels = (dates_of(labels) + ("+00:00" if kind == "instants" else "")).rename(place[0])
    return labels if labels.is_unique else fit.design.index[rows]


LARGEST = 5000
"""Largest number of rows of a covariance matrix that is shown."""


def _rows_of_group(model: ResidualModel, group: Any) -> IntArray:
    """Return the rows of a group in its order, by default of the first of the largest."""
    layout = model.layout
    assert layout is not None
    if group is None:
        at = int(layout.sizes.argmax())
    else:
        known = [g for g in layout.groups if g == group] or [g for g in layout.groups if str(g) == str(group)]
        if not known:
            names = ", ".join(map(str, layout.groups[:10]))
            raise ModelError(f"{group!r} is not a group of {layout.group_name!r} ({names}, …).")
        at = layout.groups.index(known[0])
    return layout.order[layout.start[at] : layout.start[at + 1]]


def _baselines(fit: Fit) -> list[str]:
    """Return of which rows sigma is the standard deviation."""
    assert fit.residual is not None
    model = fit.residual.model
    out: list[str] = []
    if any(getattr(factor, "of_labels", False) for factor in model.structure.variances):
        return ["sigma^2 multiplies V."]
    for factor, law in zip(model.structure.variances, model.variances, strict=True):
        levels = getattr(law, "levels", None)
        if levels is not None:
            out.append(f"{':'.join(factor.own_columns)} = {levels[0]}")
        else:
            out.append(f"multiplier 1 of {factor}")
    return [f"sigma is the residual SD at {' and '.join(out)}."] if out else []
