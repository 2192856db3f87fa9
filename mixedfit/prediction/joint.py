"""Covariances of prediction errors: between rows, and between levels' random effects; heritability from them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, get_args

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.distributions import t_quantile
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.linalg import inverse
from mixedfit.core.options import check_level, check_one_of
from mixedfit.design.design import RandomBlock
from mixedfit.design.recipe import NewRows
from mixedfit.estimation.fit import Fit
from mixedfit.likelihood.dense_tail import DenseTail

from .error_variance import JointCovariance, PredictionTarget
from .predict import Predictor
from .re_form import ReForm, included_effects
from .rows import NewLevels, check_levels, check_related, rows_of, some_rows, without_label

__all__ = ["Effects", "blup_covariance", "blup_differences", "heritability", "prediction_covariance"]

LARGEST = 5000
"""Largest number of rows or effects whose covariance matrix is computed."""


@dataclass(frozen=True, eq=False, slots=True)
class Effects:
    """Random effects of some levels of one grouping factor.

    Attributes
    ----------
    block : int
        The factor's place among the design's blocks.
    levels : pandas.Index
    codes : ndarray, shape (levels,)
    effects : tuple of int
        Places of the effects among the block's.
    """

    block: int
    levels: pd.Index[Any]
    codes: IntArray
    effects: tuple[int, ...]

    @classmethod
    def of(
        cls, fit: Fit, group: str, effects: str | Sequence[str] | None, levels: Sequence[Hashable] | None
    ) -> Effects:
        """Return the effects that names state; all by default.

        Raises
        ------
        ModelError
            If a name is unknown, or there are too many.
        """
        known = [block.name for block in fit.design.blocks]
        if group not in known:
            have = f"grouping factors: {', '.join(known)}" if known else "it has no random effects"
            raise ModelError(
                f"{group!r} is not a grouping factor of the model ({have}). {nearest(str(group), known)}".rstrip()
            )
        f = known.index(group)
        block = fit.design.blocks[f]
        codes = _codes(block, levels)
        names = block.effects if effects is None else [effects] if isinstance(effects, str) else list(effects)
        for name in names:
            if name not in block.effects:
                raise ModelError(
                    f"{name!r} is not an effect of {group!r} ({', '.join(block.effects)}). "
                    f"{nearest(str(name), block.effects)}".rstrip()
                )
        _check_size(codes.size * len(names), f"effects of {group!r}")
        places = tuple(block.effects.index(name) for name in names)
        return cls(f, block.grouping.levels[codes], codes, places)


def _codes(block: RandomBlock, levels: Sequence[Hashable] | None) -> IntArray:
    if levels is None:
        return np.arange(block.levels)
    wanted = [levels] if isinstance(levels, str) else list(levels)
    codes = block.grouping.levels.get_indexer(pd.Index(wanted))
    for level, code in zip(wanted, codes, strict=True):
        if code < 0:
            texts = [str(label) for label in block.grouping.levels]
            raise ModelError(
                f"{level!r} is not a level of {block.name!r}; it has {len(texts)}, such as "
                f"{block.grouping.levels[0]!r}. {nearest(str(level), texts)}".rstrip()
            )
    return np.asarray(codes, dtype=np.int64)


def _check_size(count: int, what: str) -> None:
    if count > LARGEST:
        raise ModelError(
            f"the covariance matrix of {count:,} {what} is too large; at most {LARGEST:,} rows are computed. Choose "
            "some of them."
        )


def covariance_of_rows(
    joint: JointCovariance,
    X: Array,
    many: Sequence[IntArray],
    z: Sequence[Array],
    codes: Sequence[IntArray],
) -> Array:
    """Return Cov(x(β̂ − β) + z(b̂ − b)) between rows over σ², shape (n, n); arguments as `JointCovariance.variances`.

    With w = t − GᵀKz of a row, as in `kernels/prediction`, the covariance is z_iᵀK_j z_k (rows of one level j of the
    first factor) + w_iᵀ(ΛS⁻¹Λᵀ)w_k.
    """
    cross, tail = joint.fit.cross, joint.tail
    n, at, first = X.shape[0], cross.first_block, cross.first
    places = joint.many_columns(many)
    w = np.zeros((n, cross.q_tail + cross.p))
    columns, values = joint.tail_columns(n, z, codes, places)
    row, used = np.nonzero(columns >= 0)
    np.add.at(w, (row, columns[row, used]), values[row, used])
    w[:, cross.q_tail :] = joint.fixed_columns(X, places)
    own = np.zeros((n, n))
    if at >= 0:
        inner = np.where(codes[at][:, None] >= 0, z[at] @ inverse(cross.basis[at]), 0.0)
        level = np.maximum(codes[at], 0)
        gain = np.einsum("iab,ib->ia", joint.conditional[level], inner)
        own = np.where(codes[at][:, None] == codes[at], gain @ inner.T, 0.0)
        w[:, cross.q_tail :] -= np.einsum("iap,ia->ip", first.border[level][:, :, : cross.p], gain)
        for i in np.flatnonzero(codes[at] >= 0):
            here = slice(first.indptr[level[i]], first.indptr[level[i] + 1])
            np.subtract.at(w[i], first.indices[here], first.values[here] @ gain[i])
    half = tail.project(w)
    if isinstance(tail, DenseTail) and "inverse" not in tail.__dict__:
        tail.prepare(reml=True)  # a large inverse shares its memory with the factor, which `project` needed
    return np.asarray(own + half.T @ half)


def prediction_covariance(
    predictor: Predictor, newdata: Any, *, re_form: ReForm, new_levels: NewLevels, offset: Any
) -> pd.DataFrame:
    """See `BlupMethods.prediction_cov`."""
    fit, joint = predictor.fit, predictor.joint
    check_one_of("new_levels", new_levels, get_args(NewLevels))
    included = included_effects(fit, re_form)
    rows = rows_of(fit, newdata, included, offset=offset)
    _check_size(len(rows.X), "predictions")
    check_levels(fit, rows, included, new_levels)
    check_related(fit, rows, new_levels)
    complete = ~np.asarray(np.isnan(rows.X).any(axis=1)) & ~without_label(rows, included)
    complete &= predictor.means.estimable(rows)
    for own, z in zip(included, rows.z, strict=True):
        complete &= ~np.isnan(np.where(own, z, 0.0)).any(axis=1)
    out = np.full((len(complete), len(complete)), np.nan)
    target = PredictionTarget(some_rows(rows, complete), included, new_levels)
    out[np.ix_(complete, complete)] = fit.sigma**2 * _target_covariance(joint, target)
    return pd.DataFrame(out, index=rows.index, columns=rows.index)


def _target_covariance(joint: JointCovariance, target: PredictionTarget) -> Array:
    """Return the covariance of the errors of means over σ²; rows of one new level share its effects."""
    rows = target.rows
    z = [np.where(own, values, 0.0) for values, own in zip(rows.z, target.included, strict=True)]
    codes = [np.where(own.any(), c, -1) for c, own in zip(rows.codes, target.included, strict=True)]
    out = covariance_of_rows(joint, rows.X, rows.many, z, codes)
    if target.new_levels == "marginal":
        for f, (basis, lam) in enumerate(zip(joint.fit.cross.basis, joint.lams, strict=True)):
            scaled = z[f] @ inverse(basis) @ lam
            out += np.where(_same_new_level(rows, f, codes[f]), scaled @ scaled.T, 0.0)
    return out


def _same_new_level(rows: NewRows, f: int, codes: IntArray) -> BoolArray:
    """Return which pairs of rows have the same level of a block, which the fit did not see, shape (n, n)."""
    if not rows.labels:
        return np.zeros((codes.size, codes.size), dtype=bool)
    number = pd.factorize(rows.labels[f])[0]
    new = codes < 0
    return np.asarray(new[:, None] & new & (number[:, None] == number))


def blup_covariance(fit: Fit, joint: JointCovariance, effects: Effects) -> Array:
    """Return Cov(b̂ − b) of effects, in the order of levels and then effects, shape (levels × effects, …)."""
    blocks = fit.design.blocks
    count, n = len(effects.effects), effects.codes.size * len(effects.effects)
    z = [np.zeros((n, block.k)) for block in blocks]
    codes = [np.full(n, -1, dtype=np.int64) for _ in blocks]
    z[effects.block][np.arange(n), np.tile(effects.effects, effects.codes.size)] = 1.0
    codes[effects.block] = np.repeat(effects.codes, count)
    X = np.zeros((n, len(fit.design.x_names)))
    many = [np.full(n, -1, dtype=np.int64) for _ in fit.design.many]
    return fit.sigma**2 * covariance_of_rows(joint, X, many, z, codes)


def blup_differences(fit: Fit, joint: JointCovariance, effects: Effects, *, level: float) -> pd.DataFrame:
    """See `BlupMethods.blup_differences`."""
    check_level(level)
    block = fit.design.blocks[effects.block]
    modes = fit.modes[effects.block][effects.codes]
    pairs = np.array(list(combinations(range(effects.codes.size), 2)), dtype=np.int64).reshape(-1, 2)
    parts = []
    for place in effects.effects:
        own = blup_covariance(fit, joint, replace(effects, effects=(place,)))
        variance = np.diag(own)
        i, j = pairs.T
        error = np.sqrt(np.maximum(variance[i] + variance[j] - 2.0 * own[i, j], 0.0))
        difference = modes[i, place] - modes[j, place]
        half = t_quantile(0.5 + level / 2.0, np.inf) * error
        parts.append(
            pd.DataFrame(
                {
                    "effect": block.effects[place],
                    "level": effects.levels[i],
                    "other": effects.levels[j],
                    "estimate": difference,
                    "std_error": error,
                    "lower": difference - half,
                    "upper": difference + half,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def heritability(fit: Fit, joint: JointCovariance, group: str, effect: str) -> pd.Series[float]:
    """See `BlupMethods.heritability`."""
    effects = Effects.of(fit, group, effect, None)
    place, m = effects.effects[0], effects.codes.size
    variance = float(fit.omega[effects.block][place, place])
    prior, known = variance * np.eye(m), fit.design.blocks[effects.block].known
    if known is not None:
        prior = variance * known.values
    own = blup_covariance(fit, joint, effects)
    difference, positive = _mean_difference(own), variance > 0
    unreliable = float(np.mean(np.diag(own) / np.diag(prior))) if positive else 1.0
    return pd.Series(
        {
            "variance": variance,
            "mean_variance_of_difference": difference,
            "cullis": 1.0 - difference / _mean_difference(prior) if positive else 0.0,
            "mean_reliability": 1.0 - unreliable,
        },
        name=group,
    )


def _mean_difference(covariance: Array) -> float:
    """Return the mean variance of a difference of two effects."""
    m = len(covariance)
    own = float(np.trace(covariance)) / m
    between = (float(covariance.sum()) - m * own) / (m * (m - 1))
    return 2.0 * (own - between)
