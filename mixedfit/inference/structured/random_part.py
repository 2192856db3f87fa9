"""Directions in which the covariances Ω of the random effects change, with their second derivatives.

The parameters are Ω's free elements; where Ω has no full rank, those of a root that keeps the rank; of a structure such
as ``ar1`` its own θ, in units of y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.covariance import CovarianceStructure, ScaledCorrelation
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.residual_support import free_elements

__all__ = ["Direction", "directions_of", "structure_in_units"]


@dataclass(frozen=True, eq=False)
class Direction:
    """One parameter of the covariance of the random effects.

    Attributes
    ----------
    block : int
    first : ndarray, shape (k, k)
        ∂Ω.
    root : ndarray, shape (k, k), or None
        ∂L with Ω = LLᵀ, if the parameter is one of a root.
    structure : ScaledCorrelation or None
        If the parameter is one of its θ.
    theta : ndarray
        That θ, in units of y.
    effects : slice or None
        The structure's effects.
    position : int
        Place in θ.
    """

    block: int
    first: Array
    root: Array | None = None
    structure: ScaledCorrelation | None = None
    theta: Array | None = None
    effects: slice | None = None
    position: int = -1

    @property
    def bends(self) -> bool:
        """Whether Ω has second derivatives in this parameter."""
        return self.root is not None or self.structure is not None

    def second(self, other: Direction) -> Array | None:
        """Return ∂²Ω in this parameter and another, shape (k, k); None where it is 0."""
        if self.block != other.block:
            return None
        if self.root is not None and other.root is not None:
            product = self.root @ other.root.T
            return np.asarray(product + product.T)
        if (
            self.structure is None
            or self.theta is None
            or self.effects is None
            or self.effects != other.effects
        ):
            return None
        out = np.zeros_like(self.first)
        out[self.effects, self.effects] = self.structure.bend(self.theta, self.position, other.position)
        return out


def directions_of(fit: Fit) -> list[Direction]:
    """Return the parameters of all blocks, term by term."""
    return [d for f in range(len(fit.design.blocks)) for d in _of_block(fit, f)]


def structure_in_units(fit: Fit, f: int, here: slice, part: ScaledCorrelation) -> Array:
    """Return θ of a structure in units of y; `here` is its place in the θ of block f."""
    own = fit.theta[fit.design.theta_slices[f]][here]
    return part.change_units(own, fit.sigma * np.eye(part.k))


def _of_block(fit: Fit, f: int) -> list[Direction]:
    block, omega = fit.design.blocks[f], fit.omega[f]
    if not block.structure.linear:
        parts = [_of_part(fit, f, part, t, e) for part, t, e in block.structure.slices()]
        return [direction for own in parts for direction in own]
    if np.all(np.diag(fit.lam[f]) != 0):
        return [Direction(f, _unit(omega.shape[0], a, b)) for a, b in free_elements(block.structure)]
    return _of_root(f, fit.sigma * fit.chart.formula_roots[f], fit.sigma * fit.chart.root_slopes[f])


def _of_part(fit: Fit, f: int, part: CovarianceStructure, t: slice, e: slice) -> list[Direction]:
    """Return the parameters of one term of a block that has a structure such as ``ar1``."""
    k = fit.omega[f].shape[0]
    if isinstance(part, ScaledCorrelation):
        theta, out = structure_in_units(fit, f, t, part), []
        for position, change in enumerate(part.directions(theta)):
            first = np.zeros((k, k))
            first[e, e] = change
            out.append(Direction(f, first, structure=part, theta=theta, effects=e, position=position))
        return out
    lam = fit.lam[f][e, e]
    if np.all(np.diag(lam) != 0):
        correlated = part.invariance == "linear"
        pairs = [(a, b) for a in range(part.k) for b in range(a + 1) if a == b or correlated]
        return [Direction(f, _unit(k, e.start + a, e.start + b)) for a, b in pairs]
    root, slopes = np.zeros((k, k)), np.zeros((part.n_theta, k, k))
    root[e, e] = fit.sigma * lam
    slopes[:, e, e] = fit.sigma * part.derivative(fit.theta[fit.design.theta_slices[f]][t])
    return _of_root(f, root, slopes)


def _unit(k: int, a: int, b: int) -> Array:
    out = np.zeros((k, k))
    out[a, b] = out[b, a] = 1.0
    return out


def _of_root(f: int, root: Array, slopes: Array) -> list[Direction]:
    """Return the parameters of a root that move Ω."""
    return [Direction(f, s @ root.T + root @ s.T, root=s) for s in slopes if np.any(s @ root.T != 0)]
