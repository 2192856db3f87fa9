"""Well-conditioned coordinates of the covariances near a fit.

θ depends on origin and unit of the covariates: shifted by 1e7, the columns of λ are parallel but for 1e-7, and whatever
is derived in θ loses twice as many digits. The cross-products are in a basis without origin and unit, in which
λ̃ = Rλ; directions of λ̃ that θ spans, made orthonormal, are the coordinates η here: λ̃(η) = Σ η_a D_a. Information
and all that follows from it is computed in η and turned to the formula's parameters at the end. In a block with a
structure that is not linear, η is θ in the basis of the cross-products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse
from mixedfit.covariance import BlockDiagonal
from mixedfit.covariance.constrained_root import LinearRoot

__all__ = ["Chart", "chart_at"]


@dataclass(frozen=True, eq=False)
class Chart:
    """Coordinates η of all blocks' λ̃ at a fit.

    Attributes
    ----------
    roots : tuple of LinearRoot or BlockDiagonal
        λ̃ of every block as a function of its part of η: linear with orthonormal directions D_a, or a structure that
        is not linear.
    lams : tuple of ndarray, shape (k, k)
        λ̃ at the fit.
    bases : tuple of ndarray, shape (k, k)
        R of every block.
    thetas : tuple of ndarray
        η of the blocks with a structure that is not linear; empty for others.
    """

    roots: tuple[LinearRoot | BlockDiagonal, ...]
    lams: tuple[Array, ...]
    bases: tuple[Array, ...]
    thetas: tuple[Array, ...] = ()

    @lazy
    def slices(self) -> tuple[slice, ...]:
        """Place of each block in η."""
        ends = np.cumsum([0] + [root.n_theta for root in self.roots])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @lazy
    def eta(self) -> Array:
        """η at the fit, shape (n_theta,)."""
        parts = [
            np.einsum("aij,ij->a", root.basis, lam) if isinstance(root, LinearRoot) else theta
            for root, lam, theta in zip(self.roots, self.lams, self.thetas, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def linear_basis(self, f: int) -> Array:
        """Return the directions D_a of a linear block, shape (n_theta_f, k, k); zeros for another."""
        root = self.roots[f]
        return root.basis if isinstance(root, LinearRoot) else np.zeros((root.n_theta, root.k, root.k))

    def lams_at(self, eta: Array) -> tuple[Array, ...]:
        """Return λ̃ of every block at η."""
        return tuple(root.factor(eta[here]) for root, here in zip(self.roots, self.slices, strict=True))

    @lazy
    def directions(self) -> tuple[Array, ...]:
        """∂(λ̃λ̃ᵀ)/∂η at the fit of every block, shape (n_theta_f, k, k)."""
        return tuple(
            root.basis @ lam.T + lam @ root.basis.transpose(0, 2, 1)
            if isinstance(root, LinearRoot)
            else root.directions(self.eta[here])
            for root, lam, here in zip(self.roots, self.lams, self.slices, strict=True)
        )

    @lazy
    def formula_directions(self) -> tuple[Array, ...]:
        """∂(λλᵀ)/∂η of every block in the formula's basis, shape (n_theta_f, k, k)."""
        back = [inverse(basis) for basis in self.bases]
        return tuple(b @ d @ b.T for b, d in zip(back, self.directions, strict=True))

    @lazy
    def formula_roots(self) -> tuple[Array, ...]:
        """R⁻¹λ̃ of every block: a root of the relative covariance in the formula's basis, shape (k, k)."""
        return tuple(inverse(basis) @ lam for lam, basis in zip(self.lams, self.bases, strict=True))

    @lazy
    def root_slopes(self) -> tuple[Array, ...]:
        """∂(R⁻¹λ̃)/∂η of every linear block, shape (n_theta_f, k, k); zeros for others, see `formula_directions`."""
        return tuple(inverse(basis) @ self.linear_basis(f) for f, basis in enumerate(self.bases))


def chart_at(
    lams: Sequence[Array],
    derivatives: Sequence[Array],
    bases: Sequence[Array],
    structures: Sequence[BlockDiagonal],
    thetas: Sequence[Array],
) -> Chart:
    """Return the coordinates at λ̃.

    Parameters
    ----------
    lams : sequence of ndarray, shape (k, k)
        λ̃ of every block.
    derivatives : sequence of ndarray, shape (n_theta_f, k, k)
        ∂λ̃/∂θ, which span the directions; θ ↦ λ̃ is linear.
    bases : sequence of ndarray, shape (k, k)
    structures : sequence of BlockDiagonal
    thetas : sequence of ndarray
        θ of every block, in the formula's basis.
    """
    roots: list[LinearRoot | BlockDiagonal] = []
    etas: list[Array] = []
    own: list[Array] = []
    for lam, derivative, basis, structure, theta in zip(
        lams, derivatives, bases, structures, thetas, strict=True
    ):
        if not structure.linear:
            etas.append(structure.change_units(theta, basis))
            own.append(structure.factor(etas[-1]))
            roots.append(structure)
            continue
        etas.append(np.zeros(0))
        own.append(lam)
        flat = derivative.reshape(len(derivative), -1)
        sizes = np.linalg.norm(flat, axis=1)
        spanned = np.linalg.qr((flat / np.where(sizes > 0, sizes, 1.0)[:, None]).T)[0].T
        roots.append(LinearRoot(np.ascontiguousarray(spanned.reshape(-1, *lam.shape)), ()))
    return Chart(tuple(roots), tuple(own), tuple(bases), tuple(etas))
