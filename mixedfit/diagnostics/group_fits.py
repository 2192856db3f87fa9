"""Least squares of each group alone, beside the coefficients of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.estimation.fit import Fit, Fitted, fit_of

__all__ = ["GroupFits", "group_fits", "zero_variance"]


@dataclass(frozen=True, eq=False)
class GroupFits:
    """Coefficients of each level of one grouping factor.

    Attributes
    ----------
    group : str
    effects : tuple of str, length k
    sizes : ndarray of int, shape (levels,)
        Rows of each level.
    alone : pandas.DataFrame
        Least squares on the rows of the level alone, levels × effects; NaN where these do not determine them.
    shrunken : pandas.DataFrame
        β + b, levels × effects.
    mean : ndarray, shape (k,)
        Fixed effects of the same columns, 0 for those without one: towards what coefficients are shrunken.
    covariance : ndarray, shape (k, k)
        Ω of one level's effects.
    """

    group: str
    effects: tuple[str, ...]
    sizes: IntArray
    alone: pd.DataFrame
    shrunken: pd.DataFrame
    mean: Array
    covariance: Array

    @property
    def determined(self) -> Any:
        """Whether each level has coefficients of its own, shape (levels,), bool."""
        return self.alone.notna().all(axis=1).to_numpy()


def group_fits(results: Fitted, block: int) -> GroupFits:
    """Return least squares of each level alone, and the model's coefficients.

    The regressors are the columns of the factor's random effects. What the model says of all other columns (fixed
    effects without a random counterpart, other grouping factors) is taken from the response first.
    """
    fit = fit_of(results)
    own = fit.design.blocks[block]
    names = list(fit.design.x_names)
    kept = set(np.flatnonzero(fit.kept[: len(names)]).tolist())
    mean = np.zeros(own.k)
    shared = np.zeros(fit.design.n)
    for j, effect in enumerate(own.effects):
        if effect in names and names.index(effect) in kept:
            mean[j] = fit.beta[names.index(effect)]
            shared += own.z[:, j] * mean[j]
    mode = fit.modes[block]
    ours = shared + np.einsum("ik,ik->i", own.z, mode[own.codes])
    y = fit.response - (fit.fitted - ours)
    weights = fit.design.weights
    root = np.ones(fit.design.n) if weights is None else np.sqrt(weights)
    sizes = np.bincount(own.codes[root > 0], minlength=own.levels)
    alone = _least_squares(own.z * root[:, None], y * root, own.codes, own.levels)
    columns, index = list(own.effects), own.grouping.levels
    return GroupFits(
        own.name,
        own.effects,
        sizes,
        pd.DataFrame(alone, index=index, columns=columns),
        pd.DataFrame(mean + mode, index=index, columns=columns),
        mean,
        fit.omega[block],
    )


def _least_squares(z: Array, y: Array, codes: IntArray, levels: int) -> Array:
    """Return least squares of y on z within each level, shape (levels, k); NaN without full rank."""
    k = z.shape[1]
    out = np.full((levels, k), np.nan)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=levels))
    starts = np.concatenate([[0], ends[:-1]])
    for level, (start, stop) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        rows = order[start:stop]
        if rows.size < k:
            continue
        solution, _, rank, _ = np.linalg.lstsq(z[rows], y[rows], rcond=1e-9)
        if rank == k:
            out[level] = solution
    return out


def zero_variance(fit: Fit, block: int, effect: int | None = None) -> str:
    """Return words where the estimated variance of an effect, or of all of a factor's, is 0; else nothing."""
    own = fit.design.blocks[block]
    variances = np.diag(fit.omega[block])
    if effect is None:
        return "" if variances.any() else f"the estimated variance of {own.name} is 0"
    return "" if variances[effect] else f"the estimated variance of {own.effects[effect]} | {own.name} is 0"


def pick_effects(fits: GroupFits, effects: tuple[str, str] | None) -> tuple[str, str]:
    """Return two of a factor's effects, the first two by default.

    Raises
    ------
    ModelError
        If it has only one, or a name is not among them.
    """
    chosen = fits.effects[:2] if effects is None else tuple(effects)
    if len(chosen) != 2:
        raise ModelError(
            f"{fits.group!r} has the random effects {', '.join(fits.effects)}; two are needed to show one against "
            "the other."
        )
    for name in chosen:
        if name not in fits.effects:
            raise ModelError(
                f"{name!r} is not a random effect of {fits.group!r} ({', '.join(fits.effects)})."
            )
    return chosen[0], chosen[1]
