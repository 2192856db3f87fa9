"""Block-diagonal covariance, for several terms with the same grouping factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy

from .contract import CovarianceStructure, Invariance

__all__ = ["BlockDiagonal"]


@dataclass(frozen=True)
class BlockDiagonal:
    """λ = blockdiag(λ₁(θ₁), λ₂(θ₂), …), with one block for each term.

    Parameters
    ----------
    parts : tuple of CovarianceStructure
        One for each term.
    """

    parts: tuple[CovarianceStructure, ...]

    @lazy
    def k(self) -> int:
        """Effects per level, all terms together."""
        return sum(part.k for part in self.parts)

    @lazy
    def n_theta(self) -> int:
        """Number of parameters, all terms together."""
        return sum(part.n_theta for part in self.parts)

    @property
    def start(self) -> Array:
        """θ at λ = I, shape (n_theta,)."""
        return np.concatenate([part.start for part in self.parts])

    @property
    def invariance(self) -> Invariance:
        """That of the single term; "diagonal" for several terms."""
        return self.parts[0].invariance if len(self.parts) == 1 else "diagonal"

    @property
    def name(self) -> str:
        """Names of the parts."""
        return " + ".join(part.name for part in self.parts)

    @lazy
    def linear(self) -> bool:
        """Whether θ ↦ λ is linear."""
        return all(part.linear for part in self.parts)

    @lazy
    def diagonal(self) -> tuple[int, ...]:
        """Positions in θ of λ's diagonal."""
        return tuple(t.start + d for part, t, _ in self.slices() for d in part.diagonal)

    def slices(self) -> list[tuple[CovarianceStructure, slice, slice]]:
        """Return each part with its slice of θ and its slice of the k effects."""
        out, at_theta, at_k = [], 0, 0
        for part in self.parts:
            out.append((part, slice(at_theta, at_theta + part.n_theta), slice(at_k, at_k + part.k)))
            at_theta, at_k = at_theta + part.n_theta, at_k + part.k
        return out

    def parts_at(self, offset: int) -> list[tuple[CovarianceStructure, slice]]:
        """Return each part with its slice of a θ in which this block's begins at `offset`."""
        return [(part, slice(offset + t.start, offset + t.stop)) for part, t, _ in self.slices()]

    def factor(self, theta: Array) -> Array:
        """Return λ, shape (k, k)."""
        lam = np.zeros((self.k, self.k))
        for part, t, e in self.slices():
            lam[e, e] = part.factor(np.asarray(theta)[t])
        return lam

    def derivative(self, theta: Array) -> Array:
        """Return ∂λ/∂θ, shape (n_theta, k, k)."""
        out = np.zeros((self.n_theta, self.k, self.k))
        for part, t, e in self.slices():
            out[t, e, e] = part.derivative(np.asarray(theta)[t])
        return out

    def directions(self, theta: Array) -> Array:
        """Return ∂(λλᵀ)/∂θ, shape (n_theta, k, k)."""
        out = np.zeros((self.n_theta, self.k, self.k))
        for part, t, e in self.slices():
            out[t, e, e] = part.directions(np.asarray(theta)[t])
        return out

    def curvature(self, theta: Array, slope: Array) -> Array:
        """Return Σ_ij slope_ij ∂²(λλᵀ)_ij/∂θ∂θ, shape (n_theta, n_theta)."""
        out = np.zeros((self.n_theta, self.n_theta))
        for part, t, e in self.slices():
            out[t, t] = part.curvature(np.asarray(theta)[t], slope[e, e])
        return out

    def change_units(self, theta: Array, basis: Array) -> Array:
        """Return θ of T λλᵀ Tᵀ for a block-diagonal T = `basis`, shape (k, k)."""
        return np.concatenate(
            [part.change_units(np.asarray(theta)[t], basis[e, e]) for part, t, e in self.slices()]
        )

    def theta_from(self, cov: Array) -> Array:
        """Return θ of a block-diagonal covariance matrix, shape (k, k)."""
        return np.concatenate([part.theta_from(np.asarray(cov)[e, e]) for part, _, e in self.slices()])

    def theta_from_root(self, root: Array) -> Array:
        """Return θ of the block-diagonal covariance `root` `root`ᵀ; `root` has shape (k, any)."""
        return np.concatenate([part.theta_from_root(np.asarray(root)[e, :]) for part, _, e in self.slices()])

    def names(self, effects: Sequence[str]) -> tuple[str, ...]:
        """Return the names of θ, term by term."""
        return tuple(name for part, _, e in self.slices() for name in part.names(effects[e]))
