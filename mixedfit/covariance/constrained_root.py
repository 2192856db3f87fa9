"""Roots of a covariance in which a standard deviation or a correlation can be held fixed by a linear constraint.

A likelihood profile holds one standard deviation or correlation of a term fixed. Let L be the lower Cholesky factor of
the covariance with the effects in another order, those concerned first. Then the first standard deviation is L₁₁, and
the correlation of the first two effects is L₂₁/√(L₂₁² + L₂₂²); holding either fixed is a linear constraint on L. λ is L
with its rows in the original order: a root of the same covariance, not lower triangular in general.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse

from .block_diagonal import BlockDiagonal
from .linear import linear_curvature, linear_directions
from .unstructured import lower_factor

__all__ = ["LinearRoot", "correlation_root", "deviation_root", "reordered_root", "working_basis"]


@dataclass(frozen=True, eq=False)
class LinearRoot:
    """λ = Σ φ_a M_a, a root of the relative covariance λλᵀ of one level's effects.

    Attributes
    ----------
    basis : ndarray, shape (n_theta, k, k)
        The matrices M_a.
    diagonal : tuple of int
        Positions in φ of standard deviations and of the other diagonal elements of L.
    """

    basis: Array
    diagonal: tuple[int, ...]

    linear = True

    @property
    def k(self) -> int:
        """Effects per level."""
        return int(self.basis.shape[1])

    @property
    def n_theta(self) -> int:
        """Number of parameters φ."""
        return int(self.basis.shape[0])

    @lazy
    def _flat(self) -> Array:
        return self.basis.reshape(self.n_theta, self.k * self.k)

    def factor(self, theta: Array) -> Array:
        """Return λ, shape (k, k)."""
        return np.asarray((np.asarray(theta) @ self._flat).reshape(self.k, self.k))

    def derivative(self, theta: Array) -> Array:
        """Return ∂λ/∂φ, shape (n_theta, k, k), which does not depend on φ."""
        return self.basis

    def directions(self, theta: Array) -> Array:
        """Return ∂(λλᵀ)/∂φ, shape (n_theta, k, k)."""
        return linear_directions(self, theta)

    def curvature(self, theta: Array, slope: Array) -> Array:
        """Return Σ_ij slope_ij ∂²(λλᵀ)_ij/∂φ∂φ, shape (n_theta, n_theta)."""
        return linear_curvature(self, theta, slope)

    def theta_of(self, root: Array) -> Array:
        """Return the φ whose λ is nearest to `root`, shape (k, k), in least squares."""
        return np.asarray(np.linalg.lstsq(self._flat.T, root.reshape(-1), rcond=None)[0])


def deviation_root(
    structure: BlockDiagonal, effect: int, scales: Array, *, without: bool = False
) -> LinearRoot:
    """Return the root for holding one standard deviation: φ₀ is the relative SD of `effect` over its scale.

    Parameters
    ----------
    structure : BlockDiagonal
    effect : int
    scales : ndarray, shape (k,)
        Unit of each row of λ, chosen so that φ is of order 1.
    without : bool
        Whether the standard deviation is 0; φ then has parameters of the other effects only.
    """
    return _linear_root(structure, [effect], scales, 0.0, without)


def correlation_root(
    structure: BlockDiagonal, first: int, second: int, rho: float, scales: Array
) -> LinearRoot:
    """Return the root with correlation `rho` between two effects of a term; φ₀ and φ₁ are their SDs over `scales`.

    Parameters
    ----------
    structure : BlockDiagonal
    first, second : int
        Positions of the effects.
    rho : float
    scales : ndarray, shape (k,)
        Unit of each row of λ.
    """
    return _linear_root(structure, [first, second], scales, rho, False)


def _linear_root(
    structure: BlockDiagonal, leading: Sequence[int], scales: Array, rho: float, without: bool
) -> LinearRoot:
    """Return the root for one or two `leading` effects of a term: with correlation `rho`, or one SD 0 (`without`)."""
    leaders: list[Array] = []
    others: list[Array] = []
    signs: list[Array] = []
    for part, _, here in structure.slices():
        inside = [effect for effect in leading if here.start <= effect < here.stop]
        rest = [effect for effect in range(here.start, here.stop) if effect not in inside]
        order = [*inside, *rest]
        correlated = part.invariance == "linear"
        if len(inside) == 2:
            leaders += _pair(order, rho, structure.k)
            first = 2 if abs(rho) < 1.0 else 1
            entries = [(i, j) for i in range(2, part.k) for j in range(i + 1) if j != 1 or first == 2]
        else:
            entries = [(i, j) for j in range(part.k) for i in range(j, part.k if correlated else j + 1)]
            if inside:
                entries.remove((0, 0))
                leaders += [] if without else [_unit(order[0], order[0], structure.k)]
            if inside and without:
                entries = [(i, j) for i, j in entries if j > 0]
        for i, j in entries:
            others.append(_unit(order[i], order[j], structure.k))
            if i == j:
                signs.append(others[-1])
    basis = [*leaders, *others]
    diagonal = tuple(i for i, m in enumerate(basis) if any(m is s for s in [*leaders, *signs]))
    stacked = np.array(basis) if basis else np.zeros((0, structure.k, structure.k))
    return LinearRoot(np.ascontiguousarray(stacked * scales[:, None]), diagonal)


def _unit(i: int, j: int, k: int) -> Array:
    out = np.zeros((k, k))
    out[i, j] = 1.0
    return out


def _pair(order: Sequence[int], rho: float, k: int) -> list[Array]:
    """Return the matrices M₀, M₁ of the standard deviations of two effects with correlation ρ."""
    one, other = np.zeros((k, k)), np.zeros((k, k))
    one[order[0], order[0]] = 1.0
    other[order[1], order[0]] = rho
    other[order[1], order[1]] = np.sqrt(1.0 - rho * rho)
    return [one, other]


def working_basis(structure: BlockDiagonal, leading: Sequence[int], basis: Array) -> Array:
    """Return the matrix C of a change of basis from b̃ = Rb in which the leading effects are again those of b.

    Row i of C is row i of R⁻¹ for a leading effect. The other rows of an unstructured term are an orthonormal
    complement of these, so that the conditioning does not depend on the origin and unit of a covariate.

    Parameters
    ----------
    structure : BlockDiagonal
    leading : sequence of int
        Positions of the leading effects.
    basis : ndarray, shape (k, k)
        R.

    Returns
    -------
    ndarray, shape (k, k)
        C.
    """
    out, back = np.eye(structure.k), inverse(basis)
    for part, _, here in structure.slices():
        inside = [effect for effect in leading if here.start <= effect < here.stop]
        if not inside:
            continue
        out[inside, here] = back[inside, here]
        if part.invariance == "linear":
            rest = [effect for effect in range(here.start, here.stop) if effect not in inside]
            complete = np.linalg.qr(back[inside, here].T, mode="complete")[0]
            out[rest, here] = complete[:, len(inside) :].T
    return out


def reordered_root(structure: BlockDiagonal, leading: Sequence[int], root: Array) -> Array:
    """Return the root of `root` `root`ᵀ, shape (k, k), that is lower triangular with the leading effects first."""
    out = np.zeros((structure.k, structure.k))
    for part, _, here in structure.slices():
        inside = [effect for effect in leading if here.start <= effect < here.stop]
        order = np.array([*inside, *(e for e in range(here.start, here.stop) if e not in inside)])
        if part.invariance == "linear":
            lower = lower_factor(root[order])
        else:
            lower = np.diag(np.linalg.norm(root[order], axis=1))
        out[np.ix_(order, order)] = lower
    return out
