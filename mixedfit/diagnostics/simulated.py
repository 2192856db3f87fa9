"""Residuals by simulation: the rank of each observation among responses drawn from the fit."""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..counts import check_count
from ..fit import Fit
from ..inference.replicates import seed_sequence
from ..simulate import residual_scale, simulate_response

__all__ = ["simulated_residuals"]

NUMBERS = 2**21
"""Numbers drawn at once."""


def simulated_residuals(fit: Fit, n: int, *, seed: object, conditional: bool) -> Array:
    """Return ranks of the observations among n simulated ones, spread evenly over (0, 1), shape (n,).

    Parameters
    ----------
    fit : Fit
    n : int
        Responses drawn.
    seed : int, SeedSequence, Generator or None
    conditional : bool
        Whether the random effects are held at their modes; by default they are drawn too.

    Notes
    -----
    u = (number of draws below + U)/(n + 1), U uniform on (0, 1 + ties): under the model each u is uniform, but for
    the estimation of its parameters (Dunn & Smyth 1996, JCGS 5:236; Hartig's DHARMa).
    """
    check_count("n", n, 1)
    rng = np.random.default_rng(seed_sequence(seed))
    y = fit.response
    below, ties = np.zeros(y.size, np.int64), np.zeros(y.size, np.int64)
    most = max(NUMBERS // max(y.size, 1), 1)
    for start in range(0, n, most):
        drawn = _draw(fit, min(most, n - start), rng, conditional)
        below += np.count_nonzero(drawn < y[:, None], axis=1)
        ties += np.count_nonzero(drawn == y[:, None], axis=1)
    out = (below + rng.random(y.size) * (1 + ties)) / (n + 1)
    return out if fit.design.weights is None else np.where(fit.design.weights > 0, out, np.nan)


def _draw(fit: Fit, count: int, rng: np.random.Generator, conditional: bool) -> Array:
    """Return responses, offset included, shape (rows, count)."""
    if not conditional:
        return simulate_response(fit, count, rng)
    noise = rng.standard_normal((count, fit.design.n)).T
    return np.asarray(fit.fitted[:, None] + noise * residual_scale(fit)[:, None])
