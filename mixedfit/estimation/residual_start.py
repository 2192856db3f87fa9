"""Starting values of residual parameters from moments of least-squares residuals."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.covariance.residual.car1 import RateLaw
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.covariance.residual.parts import Layout
from mixedfit.covariance.residual.unstructured import UnstructuredLaw
from mixedfit.design.design import Design

__all__ = ["moment_start"]

MANY_ROWS = 5_000
"""Rows from which a rate starts from moments: in small data these are far off, and searches have several starts."""

REPRODUCED = 1e-6
"""SD of a visit, as a share of the largest, below which the fixed effects reproduce its rows."""


def moment_start(raw: Design, model: ResidualModel) -> Array:
    """Return the starting parameters: moments where the structure has some and there are no random terms.

    Parameters
    ----------
    raw : Design
        Rows multiplied by roots of their weights.
    model : ResidualModel
    """
    law, layout = model.correlation, model.layout
    kinds = [type(v).__name__ for v in model.structure.variances]
    if layout is None or raw.blocks or kinds not in ([], ["VarIdent"]):
        return model.start
    if isinstance(law, UnstructuredLaw):
        return _of_visits(law, layout, _least_squares(raw)[layout.order], bool(kinds), model.start)
    if isinstance(law, RateLaw) and not kinds and raw.n > MANY_ROWS:
        return _of_neighbours(law, layout, _least_squares(raw)[layout.order])
    return model.start


def _least_squares(raw: Design) -> Array:
    """Return the residuals of least squares."""
    if not raw.X.size:
        return raw.y
    return np.asarray(raw.y - raw.X @ np.linalg.lstsq(raw.X, raw.y, rcond=None)[0])


def _of_visits(law: UnstructuredLaw, layout: Layout, rest: Array, free_sds: bool, otherwise: Array) -> Array:
    """Return x of the covariances of pairs of visits, each over the groups that have both."""
    visits, table = len(layout.labels), np.zeros((layout.sizes.size, len(layout.labels)))
    here = np.zeros_like(table)
    at = np.repeat(np.arange(layout.sizes.size), layout.sizes), layout.place[:, 0].astype(np.int64)
    table[at], here[at] = rest, 1.0
    covariance = table.T @ table / np.maximum(here.T @ here, 1.0)
    sd = np.sqrt(np.diag(covariance))
    if not np.all(sd > REPRODUCED * sd.max()):
        return otherwise
    correlation = covariance / np.outer(sd, sd)
    least = float(np.linalg.eigvalsh(correlation)[0])
    if least < 0.02:  # pairs of visits have different groups: shrink to a positive definite matrix
        share = min((0.02 - least) / (1.0 - least), 1.0)
        correlation = (1.0 - share) * correlation + share * np.eye(visits)
    ratios = np.log(sd[1:] / sd[0]) if free_sds else np.zeros(0)
    return np.concatenate([law.start_from(correlation), ratios])


def _of_neighbours(law: RateLaw, layout: Layout, rest: Array) -> Array:
    """Return x of the correlation of neighbours at up to the median gap; the law's start where that is near 0 or 1."""
    near = np.flatnonzero((layout.gaps > 0.0) & (layout.gaps <= law.unit))
    one, other = rest[near], rest[near - 1]
    correlation = float(one @ other) / max(float(np.sqrt((one @ one) * (other @ other))), 1e-300)
    if not 0.01 < correlation < 0.99:
        return law.start
    return np.array([np.log(-np.log(correlation) * law.unit / float(layout.gaps[near].mean()))])
