"""Deviance and REML criterion as functions of θ, with gradient and curvature, from cross-products.

d(θ) = log|ΛᵀZᵀZΛ + I| (+ log|XᵀV⁻¹X| under REML) + ν (1 + log(2π PRSS/ν)), ν = n or n − p.
Bates, Mächler, Bolker & Walker (2015), equations 34 and 41. Gradient: ∂d/∂λ = 2 (Q − H λ) with
Q = Σ_j [Zᵀ V⁻¹ Z]_jj λ and H = (ν/PRSS) Σ_j (Z_jᵀV⁻¹r)(Z_jᵀV⁻¹r)ᵀ. Of levels with known relationships A the sums are
Σ_jl A_jl [ZᵀV⁻¹Z]_lj and so on. Curvature: the average information
of Gilmour, Thompson & Cullis (1995), Biometrics 51:1440, for the profiled criterion, plus the second
derivative of λλᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import EXACT_FIT, ModelError
from mixedfit.core.lazy import lazy
from mixedfit.covariance import BlockDiagonal
from mixedfit.crossproducts.crossprod import CrossProducts, TailBlock

from .compiled import Derived, SmallModel, SmallTail, small_model
from .dense_tail import LARGE_TAIL, DenseTail
from .first_sums import FirstSums
from .iterative_tail import IterativeTail
from .sparse_tail import SparseTail

__all__ = ["Criterion", "Evaluation", "add_tail_variates"]

Tail: TypeAlias = DenseTail | SparseTail | IterativeTail

EXACT_EFFECTS = 400
"""Largest number of random effects of several factors for which the exact curvature is computed."""

EXACT_COLUMNS = 40
"""Largest number of fixed-effect columns for which a one-factor REML fit has the exact curvature."""


@dataclass(frozen=True)
class Criterion:
    """The deviance or REML criterion as a function of θ.

    Parameters
    ----------
    cross : CrossProducts
    structures : tuple of BlockDiagonal
        One for each of the design's blocks.
    reml : bool
    sigma : float or None
        Residual standard deviation in units of y, if held fixed.
    canonical : bool
        True: θ gives λ̃ = Rλ in the basis of the cross-products. False: θ gives λ.
    """

    cross: CrossProducts
    structures: tuple[BlockDiagonal, ...]
    reml: bool
    sigma: float | None = None
    canonical: bool = False

    @lazy
    def slices(self) -> tuple[slice, ...]:
        """Place of each block's parameters in θ."""
        ends = accumulate((s.n_theta for s in self.structures), initial=0)
        return tuple(slice(a, b) for a, b in pairwise(ends))

    @lazy
    def n_theta(self) -> int:
        """Number of parameters."""
        return sum(s.n_theta for s in self.structures)

    @lazy
    def diagonal(self) -> IntArray:
        """Positions in θ of the diagonals of all λ."""
        return np.array(
            [h.start + d for s, h in zip(self.structures, self.slices, strict=True) for d in s.diagonal],
            np.int64,
        )

    @lazy
    def nu(self) -> int:
        """Degrees of freedom of the residual sum of squares: n, or n − p under REML."""
        return self.cross.n - (self.cross.p_total if self.reml else 0)

    @property
    def sums_are_exact(self) -> bool:
        """Whether the exact curvature is a sum over the first factor's levels."""
        return self.cross.q_tail == 0 and (self.cross.p <= EXACT_COLUMNS or not self.reml)

    @lazy
    def small(self) -> SmallModel | None:
        """The model's arrays for compiled code, if it is small and θ ↦ λ is linear."""
        if not all(structure.linear for structure in self.structures):
            return None
        return small_model(self.cross, self.structures, self.reml)

    @lazy
    def constant(self) -> float:
        """Constant of the criterion that the weights and the basis of X and y cause."""
        cross = self.cross
        value = -cross.log_weights
        if self.sigma is None:
            value += 2.0 * self.nu * float(np.log(cross.fixed.scale))
        if self.reml:
            value -= 2.0 * float(np.log(np.abs(np.diag(cross.fixed.transform))).sum())
        return value

    def factors(self, theta: Array) -> list[Array]:
        """Return λ̃ of every block, shape (k, k) each."""
        out = []
        for structure, here, basis in zip(self.structures, self.slices, self.cross.basis, strict=True):
            lam = structure.factor(theta[here])
            out.append(np.ascontiguousarray(lam if self.canonical else basis @ lam))
        return out

    def derivatives(self, theta: Array) -> list[Array]:
        """Return ∂λ̃/∂θ of every block, shape (n_theta_f, k, k); zeros for a structure that is not linear."""
        out = []
        for structure, here, basis in zip(self.structures, self.slices, self.cross.basis, strict=True):
            if not structure.linear:
                out.append(np.zeros((structure.n_theta, structure.k, structure.k)))
                continue
            derivative = structure.derivative(theta[here])
            out.append(derivative if self.canonical else basis @ derivative)
        return out

    def directions(self, f: int, theta: Array) -> Array:
        """Return ∂(λ̃λ̃ᵀ)/∂θ of block f, shape (n_theta_f, k, k)."""
        out, basis = self.structures[f].directions(theta[self.slices[f]]), self.cross.basis[f]
        return out if self.canonical else basis @ out @ basis.T

    def curvature_along(self, f: int, theta: Array, slope: Array) -> Array:
        """Return Σ_ij slope_ij ∂²(λ̃λ̃ᵀ)_ij/∂θ∂θ of block f, shape (n_theta_f, n_theta_f)."""
        basis = self.cross.basis[f]
        own = slope if self.canonical else basis.T @ slope @ basis
        return self.structures[f].curvature(theta[self.slices[f]], own)

    def at_sigma(self, sigma: float) -> Criterion:
        """Return the same function with σ held at another value, in units of y."""
        _ = self.small, self.slices, self.nu  # shared
        other = copy(self)
        object.__setattr__(other, "sigma", sigma)
        other.__dict__.pop("constant", None)
        return other

    def __call__(self, theta: Array) -> Evaluation:
        """Return the evaluation at θ, shape (n_theta,), whose derivatives are computed on first use."""
        theta = np.asarray(theta, dtype=float)
        return Evaluation(self, theta, self.tail_at(self.factors(theta)))

    def tail_at(self, lams: Sequence[Array]) -> Tail:
        """Return the factorised tail at λ̃ of every block, shape (k, k) each."""
        if self.small is not None:
            return SmallTail(self.cross, lams, self.small)
        if self.cross.pairs is not None:
            return IterativeTail(self.cross, lams)
        tail = DenseTail if self.cross.sparse is None else SparseTail
        return tail(self.cross, lams)


class Evaluation:
    """The criterion at one θ, with gradient and curvatures from the same factorisation.

    Attributes
    ----------
    theta : ndarray, shape (n_theta,)
    value : float
        Deviance or REML criterion; infinite where a matrix was not positive definite.
    """

    def __init__(self, criterion: Criterion, theta: Array, tail: Tail) -> None:
        self.criterion = criterion
        self.theta = theta
        self.tail = tail
        self.value = self._value() if tail.ok else float("inf")

    def _value(self) -> float:
        c, tail = self.criterion, self.tail
        logdet = tail.logdet_random + (tail.logdet_fixed if c.reml else 0.0)
        if c.sigma is not None:
            return float(
                logdet + c.nu * np.log(2.0 * np.pi * c.sigma**2) + tail.prss / self.sigma_squared + c.constant
            )
        return float(logdet + c.nu * (1.0 + np.log(2.0 * np.pi * tail.prss / c.nu)) + c.constant)

    def set_precise(self, value: float, factor: Array) -> None:
        """Replace the criterion and the tail's factor by more precise ones, before solution and derivatives.

        Parameters
        ----------
        value : float
        factor : ndarray, shape (m, m)
            L, lower triangular.
        """
        if self.tail.ok and isinstance(self.tail, DenseTail):
            self.tail.set_factor(factor)
            self.value = value

    @lazy
    def sigma_squared(self) -> float:
        """Residual variance in the units of the cross-products."""
        c = self.criterion
        if not self.tail.ok:
            raise ModelError(EXACT_FIT)
        if c.sigma is not None:
            return float((c.sigma / c.cross.fixed.scale) ** 2)
        return float(self.tail.prss / c.nu)

    @property
    def sigma(self) -> float:
        """Residual standard deviation in units of y."""
        return float(np.sqrt(self.sigma_squared) * self.criterion.cross.fixed.scale)

    @property
    def solution(self) -> Array:
        """Coefficients of the tail, in the basis of the cross-products, shape (m − 1,)."""
        return self.tail.solution

    @lazy
    def _prepared(self) -> Tail:
        """The tail with its inverse; a frugal tail overwrites its factor, so `_quadratic` comes first."""
        if self._frugal:
            _ = self._quadratic
        self.tail.prepare(self.criterion.reml)
        return self.tail

    @lazy
    def _first(self) -> FirstSums:
        """Sums over the levels of the first factor, with traces if it is the only factor."""
        directions = self._first_directions[: 0 if self._frugal else None]
        return self._prepared.first_sums(directions, self.criterion.sums_are_exact)

    @lazy
    def _variates(self) -> FirstSums:
        """Scores and working variates of the first factor."""
        if isinstance(self.tail, DenseTail) and self._frugal:
            return self.tail.first_variates(self._first_directions)
        return self._first

    @property
    def _frugal(self) -> bool:
        return isinstance(self.tail, DenseTail) and self.tail.frugal

    @property
    def _first_directions(self) -> Array:
        return np.ascontiguousarray(self.directions[self.criterion.cross.first_block])

    @lazy
    def _derived(self) -> Derived | None:
        """Scores, gradient and curvatures by compiled code, for small models."""
        if not isinstance(self.tail, SmallTail):
            return None
        c = self.criterion
        return self.tail.derive(self._derivatives, (c.reml, self.sigma_squared, c.sigma is None))

    def release(self) -> None:
        """Compute gradient and curvature, then free the inverses they came from."""
        _ = self.gradient, self.curvature
        if self.tail.size <= LARGE_TAIL:
            _ = self.exact_curvature
        self.tail.release()
        self.__dict__.pop("_prepared", None)

    def discard(self) -> None:
        """Compute gradient and curvature, then free all large matrices."""
        self.release()
        if self.tail.size > LARGE_TAIL:
            self.tail.discard()

    def _place(self, f: int) -> TailBlock | None:
        """Return the place of block f in the tail, None for the first factor."""
        cross = self.criterion.cross
        return None if f == cross.first_block else cross.place(f)

    @lazy
    def scores(self) -> tuple[Array, ...]:
        """Z_jᵀV⁻¹r of every block, shape (levels, k) each."""
        if self._derived is not None:
            return self._derived.scores
        out = []
        for f in range(len(self.criterion.structures)):
            place = self._place(f)
            out.append(self._variates.scores if place is None else self.tail.tail_scores(place))
        return tuple(out)

    def _trace_part(self, f: int) -> Array:
        """Return Q_f, shape (k, k)."""
        place = self._place(f)
        if place is not None:
            return self._prepared.tail_sums(place)
        sums = self._first.sums
        return np.asarray(sums[0] - sums[1] @ self.tail.lams[f])

    def _score_part(self, f: int) -> Array:
        """Return H_f, shape (k, k)."""
        scores = self.scores[f]
        related = self.criterion.cross.related(f, scores)
        return np.asarray(scores.T @ related / self.sigma_squared)

    def slope(self, f: int) -> Array:
        """Return ∂d/∂(λλᵀ) of block f, symmetric, shape (k, k); defined at singular λ."""
        place = self._place(f)
        if place is None:
            trace = self._first.sums[2] - self._first.sums[1]
        else:
            trace = self._prepared.tail_information(place)
        return np.asarray(0.5 * (trace + trace.T) - self._score_part(f))

    @lazy
    def _slopes(self) -> dict[int, Array]:
        """`slope` of the blocks whose structure is not linear."""
        structures = self.criterion.structures
        return {f: self.slope(f) for f in range(len(structures)) if not structures[f].linear}

    def _quick_slope(self, f: int) -> Array:
        """Return `slope` from Q λ⁻¹ where λ is well conditioned, which saves a matrix product."""
        lam = self.tail.lams[f]
        largest = 20.0 if isinstance(self.tail, IterativeTail) else 1e3
        if self._place(f) is None or np.linalg.cond(lam) > largest:
            return self.slope(f)
        trace = np.linalg.solve(lam.T, self._trace_part(f).T).T
        return np.asarray(0.5 * (trace + trace.T) - self._score_part(f))

    @lazy
    def _derivatives(self) -> list[Array]:
        """Return ∂λ̃/∂θ of every block, shape (n_theta_f, k, k)."""
        return self.criterion.derivatives(self.theta)

    @lazy
    def gradient(self) -> Array:
        """∂d/∂θ, shape (n_theta,)."""
        if self._derived is not None:
            return self._derived.gradient
        parts = []
        for f, derivative in enumerate(self._derivatives):
            if not self.criterion.structures[f].linear:
                parts.append(np.einsum("aij,ij->a", self.directions[f], self._slopes[f]))
                continue
            slope = 2.0 * (self._trace_part(f) - self._score_part(f) @ self.tail.lams[f])
            parts.append(np.einsum("aij,ij->a", derivative, slope))
        return np.concatenate(parts) if parts else np.zeros(0)

    @lazy
    def directions(self) -> list[Array]:
        """∂(λλᵀ)/∂θ of every block, shape (n_theta_f, k, k)."""
        return [
            d @ lam.T + lam @ d.transpose(0, 2, 1)
            if structure.linear
            else self.criterion.directions(f, self.theta)
            for f, (d, lam, structure) in enumerate(
                zip(self._derivatives, self.tail.lams, self.criterion.structures, strict=True)
            )
        ]

    @lazy
    def along(self) -> Array:
        """−∂PRSS/∂θ over σ², equal to ∂²d/∂θ∂log σ² if σ is not profiled out, shape (n_theta,)."""
        parts = [np.einsum("aik,ik->a", d, self._score_part(f)) for f, d in enumerate(self.directions)]
        return np.concatenate(parts) if parts else np.zeros(0)

    @lazy
    def _quadratic(self) -> Array:
        """yᵀP V_a P V_b P y / σ², shape (n_theta, n_theta)."""
        products, crossed = self._variate_products(self.directions)
        projected = self.tail.project(crossed)
        return np.asarray((products - projected.T @ projected) / self.sigma_squared)

    @lazy
    def _rest_of_curvature(self) -> Array:
        """Contribution of profiling σ and of the second derivative of λλᵀ, shape (n_theta, n_theta)."""
        c = self.criterion
        rest = np.zeros((c.n_theta, c.n_theta))
        if c.sigma is None:
            rest -= np.outer(self.along, self.along) * (self.sigma_squared / self.tail.prss)
        for f, here in enumerate(c.slices):
            if not c.structures[f].linear:
                rest[here, here] += c.curvature_along(f, self.theta, self._slopes[f])
                continue
            d = self._derivatives[f]
            slopes = self._quick_slope(f) @ d
            rest[here, here] += 2.0 * np.einsum("aij,bij->ab", d, slopes)
        return rest

    @lazy
    def curvature(self) -> Array:
        """Average-information approximation to ∂²d/∂θ², shape (n_theta, n_theta)."""
        if self._derived is not None:
            return self._derived.curvature
        out = self._quadratic + self._rest_of_curvature
        return np.asarray(0.5 * (out + out.T))

    @lazy
    def exact_curvature(self) -> Array | None:
        """∂²d/∂θ², shape (n_theta, n_theta); None where its traces are expensive."""
        if self._derived is not None:
            return self._derived.exact_curvature
        traces = self._traces(self.directions)
        if traces is None:
            return None
        out = 2.0 * self._quadratic - traces + self._rest_of_curvature
        return np.asarray(0.5 * (out + out.T))

    def _traces(self, directions: Sequence[Array]) -> Array | None:
        """Return tr(P V_a P V_b), with V⁻¹ for P under ML; None where that is expensive.

        For one factor the traces are sums over levels; for several they need all of Ψ = ZᵀPZ.
        """
        c, cross = self.criterion, self.criterion.cross
        if not c.structures:
            return np.zeros((0, 0))
        if cross.q_tail == 0:
            return self._traces_of_one_factor() if c.sums_are_exact else None
        effects = cross.q_tail + cross.first.gram.shape[0] * cross.first.gram.shape[1]
        tail = self._prepared
        if effects > EXACT_EFFECTS or not isinstance(tail, DenseTail):
            return None
        return tail.pair_traces(directions, c.slices)

    def _traces_of_one_factor(self) -> Array:
        first, scaled = self._first, self._first.spreads @ self._prepared.scaled
        return np.asarray(0.5 * (first.traces + first.traces.T) + np.einsum("aij,bji->ab", scaled, scaled))

    def _variate_products(self, directions: Sequence[Array]) -> tuple[Array, Array]:
        """Return products of the working variates t_a = Z c_a with each other and with the tail."""
        c, tail = self.criterion, self.tail
        products = np.zeros((c.n_theta, c.n_theta))
        crossed = np.zeros((c.n_theta, tail.size))
        coefficients = np.zeros((c.n_theta, c.cross.q_tail))
        for f, here in enumerate(c.slices):
            place = self._place(f)
            if place is None:
                products[here, here] = self._variates.products
                crossed[here] = self._variates.crossed
            else:
                related = c.cross.related(f, self.scores[f])
                variates = np.einsum("aik,jk->aji", directions[f], related)
                coefficients[here, place.offset : place.stop] = variates.reshape(
                    len(variates), place.levels * place.k
                )
        if c.cross.q_random:
            add_tail_variates(tail, coefficients, products, crossed)
        return products, crossed


def add_tail_variates(tail: Tail, coefficients: Array, products: Array, crossed: Array) -> None:
    """Add the tail's part of the variates t_a = Z c_a to the products of their first factor's part.

    Parameters
    ----------
    tail : DenseTail, SparseTail or IterativeTail
    coefficients : ndarray, shape (count, q)
        c_a on the tail's columns.
    products : ndarray, shape (count, count)
        Products of the variates with each other.
    crossed : ndarray, shape (count, m − 1)
        Products of the variates with [tail X].
    """
    q = coefficients.shape[1]
    mixed = crossed[:, :q] @ coefficients.T
    own = tail.times(coefficients)
    products += mixed + mixed.T + own[:, :q] @ coefficients.T
    crossed += own
