"""How far predictions are from what they predict, and how well that is known.

The variance σ²u(θ) of an error at known variances is concave in V's parameters ψ = (σ², Ω's elements): the least, over
predictors, of what is linear in them. Its second derivative H is −2 times the covariance of the predictions'
derivatives, so estimating ψ adds −½ tr(AH) to the error's variance, A the covariance of ψ̂, and takes as much away from
its estimate: σ²u(θ̂) − tr(AH) is right to that order. Kackar & Harville (1984), J. Am. Stat. Assoc. 79:853; Prasad &
Rao (1990), J. Am. Stat. Assoc. 85:163; for estimated means it is Kenward & Roger's (1997) adjusted covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ._types import Array, BoolArray
from .fit import Fit
from .joint import JointCovariance
from .recipe import NewRows
from .rows import NewLevels

__all__ = ["Target", "satterthwaite_rows", "t_quantiles", "unknown_variances"]

STEP = 5e-3
"""Step of differences, in standard errors of θ."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is predicted of complete rows, and what of it varies.

    Attributes
    ----------
    rows : NewRows
    taken : sequence of ndarray of bool, shape (k,)
    new_levels : {"error", "population", "marginal"}
    noise : ndarray, shape (n,), or float
        Residual variance over σ², of a response.
    left_out : bool
        Whether effects that are not taken in vary, as of a level drawn at random: independent of the data, and of
        effects of a level that was seen.
    """

    rows: NewRows
    taken: Sequence[BoolArray]
    new_levels: NewLevels
    noise: Array | float = 0.0
    left_out: bool = False

    def variance(self, joint: JointCovariance) -> Array:
        """Return the variance of target less prediction over σ² at the covariance's θ, shape (n,)."""
        design, rows = joint.fit.design, self.rows
        z = [np.where(own, values, 0.0) for values, own in zip(rows.z, self.taken, strict=True)]
        codes = [np.where(own.any(), c, -1) for c, own in zip(rows.codes, self.taken, strict=True)]
        out = joint.variances(rows.X, rows.many, z, codes) + self.noise
        for f, (block, here) in enumerate(zip(design.blocks, design.theta_slices, strict=True)):
            root = block.structure.factor(joint.theta[here])
            new = codes[f] < 0
            own, rest = z[f] @ root, (rows.z[f] - z[f]) @ root
            if self.new_levels == "marginal":
                out += np.where(new, np.sum(own * own, axis=1), 0.0)
            if self.left_out:
                out += np.sum(rest * rest, axis=1) + np.where(new, 2.0 * np.sum(rest * own, axis=1), 0.0)
        return np.asarray(out)


def satterthwaite_rows(fit: Fit, target: Target, variance: Array, covariance: Array) -> Array:
    """Return the degrees of freedom of each row's estimated variance, shape (n,).

    2v²/gᵀAg with v = σ² × `variance` and g its gradient in (θ, log σ²), by central differences in θ.

    Parameters
    ----------
    fit : Fit
    target : Target
    variance : ndarray, shape (n,)
        Over σ².
    covariance : ndarray, shape (n_theta + 1, n_theta + 1)
        A; without σ's row and column where σ is held.
    """
    gradient = []
    for step in np.diag(_steps(fit)):
        ahead, behind = (target.variance(JointCovariance(fit, fit.theta + s)) for s in (step, -step))
        gradient.append((ahead - behind) / (2.0 * step.sum()))
    if fit.held_sigma is None:
        gradient.append(variance)
    g = np.array(gradient)
    spread = np.einsum("ai,ab,bi->i", g, covariance, g)
    return np.asarray(2.0 * variance**2 / np.where(spread > 0, spread, 1e-300))


def unknown_variances(fit: Fit, target: Target, variance: Array, covariance: Array) -> Array:
    """Return −tr(AH)/σ² of each row, shape (n,): what its estimate leaves out as the variances are estimated.

    σ² drops out, since the variance is proportional to it at a given Ω/σ². Second derivatives along θ's principal
    axes bend with Ω = λλᵀ; what the bend itself contributes, the slope along R = Σ ∂²Ω, is taken off again.

    Parameters
    ----------
    fit : Fit
    target : Target
    variance : ndarray, shape (n,)
        Over σ².
    covariance : ndarray, shape (n_theta, n_theta)
        Of θ̂.
    """
    values, vectors = np.linalg.eigh(covariance)
    axes = (vectors * np.sqrt(np.maximum(values, 0.0))).T[
        values > 1e-14 * max(values.max(initial=0.0), 1e-300)
    ]
    out = np.zeros_like(variance)
    for axis in axes:
        ahead, behind = (
            target.variance(JointCovariance(fit, fit.theta + s)) for s in (STEP * axis, -STEP * axis)
        )
        out -= (ahead - 2.0 * variance + behind) / STEP**2
    near, far = (target.variance(JointCovariance(fit, _bent(fit, axes, t))) for t in (STEP, 2.0 * STEP))
    return np.asarray(out + (4.0 * near - far - 3.0 * variance) / (2.0 * STEP))


def _bent(fit: Fit, axes: Array, t: float) -> Array:
    """Return θ of Ω + tR with R = Σ 2DDᵀ, the sum of Ω's second derivatives along the axes; λ is linear in θ."""
    out = np.empty_like(fit.theta)
    for block, here in zip(fit.design.blocks, fit.design.theta_slices, strict=True):
        structure = block.structure
        along = np.einsum("ma,akl->mkl", axes[:, here], structure.derivative(fit.theta[here]))
        root = np.hstack([structure.factor(fit.theta[here]), *(np.sqrt(2.0 * t) * along)])
        out[here] = structure.theta_from_root(root)
    return out


def t_quantiles(probability: float, df: Array) -> Array:
    """Return quantiles of t distributions, of the normal for infinite df, shape (n,)."""
    finite = np.where(np.isfinite(df), df, 1.0)
    return np.asarray(np.where(np.isinf(df), ndtri(probability), stdtrit(finite, probability)))


def _steps(fit: Fit) -> Array:
    """Return steps of central differences in θ, shape (n_theta,): where effects matter as the residual does, 1e-4."""
    units = [
        1.0 / np.abs(basis @ block.structure.derivative(fit.theta[here])).max(axis=(1, 2))
        for block, here, basis in zip(
            fit.design.blocks, fit.design.theta_slices, fit.cross.basis, strict=True
        )
    ]
    return 1e-4 * np.maximum(np.abs(fit.theta), 0.1 * np.concatenate(units))
