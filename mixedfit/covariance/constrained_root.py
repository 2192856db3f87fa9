"""Covariance roots that are linear in their parameters, with a standard deviation or correlation held.

A profile holds one standard deviation or correlation of a term. With the effects of that term reordered so that
those concerned come first, the lower factor L of their covariance has the standard deviation of the first effect as
L₁₁, and the correlation of the first two as L₂₁/‖L₂‖: both become linear constraints. λ is then L with its rows put
back, a root of the same covariance that is not lower triangular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse

from .block_diagonal import BlockDiagonal
from .unstructured import lower_factor

__all__ = ["LinearRoot", "correlated_root", "led_root", "reordered_root", "working_basis"]


@dataclass(frozen=True, eq=False)
class LinearRoot:
    """λ = Σ φ_a M_a, any root of the relative covariance of one level's effects.

    Attributes
    ----------
    basis : ndarray, shape (n_theta, k, k)
        M_a.
    diagonal : tuple of int
        Positions of the parameters whose sign the covariance does not feel, one a column.
    """

    basis: Array
    diagonal: tuple[int, ...]

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
        """Return ∂λ/∂φ, shape (n_theta, k, k), whatever φ."""
        return self.basis

    def theta_of(self, root: Array) -> Array:
        """Return the φ whose λ is nearest to `root`, shape (k, k)."""
        return np.asarray(np.linalg.lstsq(self._flat.T, root.reshape(-1), rcond=None)[0])


def led_root(structure: BlockDiagonal, effect: int, scales: Array, *, without: bool = False) -> LinearRoot:
    """Return a root in which one effect leads its term: φ₀ is its standard deviation over its scale.

    Parameters
    ----------
    structure : BlockDiagonal
    effect : int
    scales : ndarray, shape (k,)
        Size of each effect: rows of λ are in these units, so that parameters are of order 1.
    without : bool
        Leave the effect out (its standard deviation is 0): φ then has only the others.
    """
    return _assembled(structure, [effect], scales, 0.0, without)


def correlated_root(
    structure: BlockDiagonal, first: int, second: int, rho: float, scales: Array
) -> LinearRoot:
    """Return a root in which two effects of one term have correlation `rho`: φ₀, φ₁ are their standard deviations."""
    return _assembled(structure, [first, second], scales, rho, False)


def _assembled(
    structure: BlockDiagonal, leading: Sequence[int], scales: Array, rho: float, without: bool
) -> LinearRoot:
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
    """Return the directions of the standard deviations of two effects with correlation ρ."""
    one, other = np.zeros((k, k)), np.zeros((k, k))
    one[order[0], order[0]] = 1.0
    other[order[1], order[0]] = rho
    other[order[1], order[1]] = np.sqrt(1.0 - rho * rho)
    return [one, other]


def working_basis(structure: BlockDiagonal, leading: Sequence[int], basis: Array) -> Array:
    """Return a turn of the effects b̃ = Rb in which the leading ones are the formula's own again, shape (k, k).

    Row i of the turn is that of R⁻¹ for a leading effect; the other effects of an unstructured term are orthogonal to
    these, so that origin and unit of a covariate do not spoil the conditioning.

    Parameters
    ----------
    structure : BlockDiagonal
    leading : sequence of int
    basis : ndarray, shape (k, k)
        R.
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
    """Return the root of the covariance `root` `root`ᵀ, shape (k, k), in the form that the leading effects ask for."""
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
