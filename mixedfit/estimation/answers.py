"""Answers that take long and are saved with a fit, written in units that do not depend on the fit's coordinates.

The covariance of (η, log σ²) belongs to the coordinates η of a chart, and a fit that is read from a file may have
another chart of the same point, such as one with other signs. So the file has the derivatives of λλᵀ in η too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfit.core.arrays import Array

from .fit import Fit

__all__ = ["packed_answers", "parameter_covariance_of"]

COVARIANCE = "parameter_covariance"

STORED = "stored_covariance"

SLOPES = "stored_slopes"

SAME_SPACE = 1e-6
"""Largest relative distance between the directions of two charts of a point."""


def packed_answers(fit: Fit) -> dict[str, Array]:
    """Return the answers of a fit for a file."""
    if COVARIANCE not in fit.answers:
        return {name: fit.answers[name] for name in (STORED, SLOPES) if name in fit.answers}
    return {STORED: fit.answers[COVARIANCE], SLOPES: _slopes(fit)}


def parameter_covariance_of(fit: Fit, compute: Callable[[], Array]) -> Array:
    """Return the covariance of (η, log σ²): as computed before, from the fit's file, or computed now."""
    if COVARIANCE not in fit.answers:
        stored = _restored(fit) if STORED in fit.answers else None
        fit.answers[COVARIANCE] = compute() if stored is None else stored
    return fit.answers[COVARIANCE]


def _slopes(fit: Fit) -> Array:
    """Return the derivatives of the elements of λλᵀ of all blocks in η, shape (elements, n_theta)."""
    parts = [change.reshape(len(change), -1).T for change in fit.chart.formula_directions]
    out = np.zeros((sum(map(len, parts)), fit.theta.size))
    row = 0
    for part, here in zip(parts, fit.chart.slices, strict=True):
        out[row : row + len(part), here] = part
        row += len(part)
    return out


def _restored(fit: Fit) -> Array | None:
    """Return the file's covariance in the coordinates of the fit, or None if these do not span the same directions."""
    theirs, own = fit.answers[SLOPES], _slopes(fit)
    if theirs.shape != own.shape:
        return None
    scale = np.abs(theirs).max(axis=1, initial=0.0)
    scale[scale == 0] = 1.0
    theirs, own = theirs / scale[:, None], own / scale[:, None]
    size = np.linalg.norm(theirs, axis=0)
    size[size == 0] = 1.0  # a coordinate on which λλᵀ does not depend: its covariance is 0
    change = np.linalg.lstsq(own, theirs / size, rcond=None)[0] * size  # of the file's η to the fit's
    if np.any(np.linalg.norm(own @ change - theirs, axis=0) > SAME_SPACE * size):
        return None
    count = fit.theta.size
    full = np.eye(len(fit.answers[STORED]))
    full[:count, :count] = change
    return np.asarray(full @ fit.answers[STORED] @ full.T)
