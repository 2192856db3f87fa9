"""Coefficients of each group: least squares on its own rows, and the shrunken coefficients of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.estimation.fit import Fit, Fitted, fit_of

__all__ = ["GroupFits", "group_fits", "pick_effects", "zero_variance"]


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
        Fixed effects of the same columns, towards which coefficients are shrunken; 0 for a column without one.
    covariance : ndarray, shape (k, k)
        Ω, the covariance matrix of one level's effects.
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
        """Whether the rows of each level determine its coefficients, shape (levels,), bool."""
        return self.alone.notna().all(axis=1).to_numpy()


def group_fits(results: Fitted, block: int) -> GroupFits:
    """Return least-squares coefficients of each level alone, and the model's coefficients.

    The regressors are the columns of the factor's random effects. The fitted contribution of all other columns (fixed
    effects without a random counterpart, other grouping factors) is subtracted from the response first.
    """
    fit = fit_of(results)
    own = fit.design.blocks[block]
    names = fit.design.x_names
    fixed = dict(zip(names, np.nan_to_num(fit.beta), strict=False))  # a dropped column counts as 0
    mean = np.array([fixed.get(effect, 0.0) for effect in own.effects])
    mode = fit.modes[block]
    y = fit.response - fit.fitted + np.einsum("ik,ik->i", own.z, (mean + mode)[own.codes])
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
    """Return least-squares coefficients of y on z within each level, shape (levels, k); NaN without full rank."""
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
    """Return a note if the estimated variance of an effect, or of all effects of a factor, is 0; else ""."""
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
