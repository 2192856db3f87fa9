"""Integrals over one or two unconstrained parameters by the trapezoidal rule.

x = c + w sinh(t), so that exponential tails become doubly exponential, and the trapezoidal rule in t converges
geometrically; Takahasi & Mori (1974), Publ. RIMS 9:721. The step is halved until the logarithm is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mixedfit.core.arrays import Array

__all__ = ["log_integral"]

NEGLIGIBLE = 42.0
"""Logarithm of the share of the maximum below which the integrand is left out: 42 is 6e-19."""

SETTLED = 1e-9
"""Change of the log integral between two steps at which it is accepted."""

FURTHEST = 14.0
"""Largest |t| of a limit: 600,000 widths from the centre."""

COARSE, FINEST = 24, {1: 2**14, 2: 2**9}
"""Intervals of each axis at first, and at most, by the number of axes."""


def log_integral(log_density: Callable[[Array], Array], centre: Array, width: Array) -> tuple[float, float]:
    """Return the logarithm of ∫ exp(log_density(x)) dx, and its change at the last halving of the step.

    Parameters
    ----------
    log_density : callable
        Takes points of shape (S, d), d = 1 or 2.
    centre, width : ndarray, shape (d,)
        A point in the bulk of the integrand, and lengths of about its standard deviations.
    """

    def on_grid(axes: Sequence[Array]) -> Array:
        t = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        logs = log_density(centre + width * np.sinh(t)) + np.log(width * np.cosh(t)).sum(axis=1)
        return np.asarray(logs).reshape([axis.size for axis in axes])

    lower, upper = _limits(on_grid, centre.size)
    count, before = COARSE, np.inf
    while True:
        axes = [np.linspace(a, b, count + 1) for a, b in zip(lower, upper, strict=True)]
        logs = on_grid(axes)
        top = float(logs.max())
        step = float(np.prod((upper - lower) / count))
        value = top + float(np.log(np.exp(logs - top).sum() * step))
        if abs(value - before) < SETTLED or count >= FINEST[centre.size]:
            return value, abs(value - before)
        count, before = 2 * count, value


def _limits(on_grid: Callable[[Sequence[Array]], Array], d: int) -> tuple[Array, Array]:
    """Return limits of t, shape (d,) each, outside of which the integrand is negligible."""
    lower, upper = np.full(d, -3.0), np.full(d, 3.0)
    for _ in range(50):
        axes = [np.linspace(a, b, COARSE + 1) for a, b in zip(lower, upper, strict=True)]
        logs = on_grid(axes)
        edge = logs.max() - NEGLIGIBLE
        moved = False
        for j in range(d):
            profile = np.moveaxis(logs, j, 0).reshape(COARSE + 1, -1).max(axis=1)
            if profile[0] > edge and lower[j] > -FURTHEST:
                lower[j] -= 1.0
                moved = True
            if profile[-1] > edge and upper[j] < FURTHEST:
                upper[j] += 1.0
                moved = True
        if not moved:
            break
    for j, axis in enumerate(axes):
        profile = np.moveaxis(logs, j, 0).reshape(COARSE + 1, -1).max(axis=1)
        inside = np.flatnonzero(profile > edge)
        lower[j] = axis[max(inside[0] - 2, 0)]
        upper[j] = axis[min(inside[-1] + 2, COARSE)]
    return lower, upper
