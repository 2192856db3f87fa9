"""A chain for large crossed factors: one factor at a time, each jointly with β.

Given the effects of all other factors, y less these follows a model with one grouping factor. A sweep of that model
draws its Ω with (β, b_f) integrated out, (β, b_f) jointly, σ, and Ω again. Because β is drawn jointly with each factor,
the chain does not mix more slowly as crossed factors grow; Papaspiliopoulos, Roberts & Zanella (2020), Biometrika
107:25. Nested factors also draw the part of their effects that they share, `NestedShift`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from mixedfit.bayes.priors.placement import Placement
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design, RandomBlock
from mixedfit.kernels.gibbs.sweep import run_sweeps

from .arrays import Problem, fixed_prior, prior_numbers, sampling_rows, unit_arrays
from .chain import Chain, Plan, initial_state, initial_walk

__all__ = ["CrossedChain", "Factor", "Factors", "NestedShift", "factors_of", "nested_shifts"]

_run = cast(Callable[..., int], run_sweeps)


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """The model of one grouping factor given all other effects.

    Attributes
    ----------
    problem : Problem
        With the products of y itself.
    codes : ndarray of int64, shape (n,)
    z : ndarray, shape (n, k)
        Columns of the effects, as `sampling_rows` returns them.
    """

    problem: Problem
    codes: IntArray
    z: Array

    def part(self, effects: Array) -> Array:
        """Return Z_f b_f, shape (n,)."""
        return np.asarray(np.einsum("ia,ia->i", self.z, effects[self.codes]))

    def sums(self, response: Array) -> Array:
        """Return Z_fᵀy, shape (levels, k)."""
        return _level_sums(self.codes, self.z * response[:, None], self.problem.blocks.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The models of all factors.

    Attributes
    ----------
    factors : tuple of Factor
        In the sampler's order.
    border : ndarray, shape (n, p + 1)
        [X̃ ỹ] of the rows.
    shifts : tuple of NestedShift
        One for each pair of nested factors with effects in common.
    """

    factors: tuple[Factor, ...]
    border: Array
    shifts: tuple[NestedShift, ...]


def factors_of(design: Design, cross: CrossProducts, placement: Placement, order: list[int]) -> Factors:
    """Return the model of each factor given the others, in units of the response's scale."""
    _, border, codes, z = sampling_rows(design, cross, order)
    factors = tuple(
        Factor(_problem(design, cross, placement, f, (c, own, border)), c, own)
        for f, c, own in zip(order, codes, z, strict=True)
    )
    shifts = nested_shifts([design.blocks[f] for f in order], [cross.basis[f] for f in order])
    return Factors(factors, border, shifts)


def _level_sums(codes: IntArray, columns: Array, levels: int) -> Array:
    """Return the sums of columns over the rows of each level, shape (levels, columns)."""
    return np.stack([np.bincount(codes, column, levels) for column in columns.T], axis=1)


def _problem(
    design: Design, cross: CrossProducts, placement: Placement, f: int, rows: tuple[IntArray, Array, Array]
) -> Problem:
    """Return the sampler's arrays of a model with one factor."""
    codes, z, border = rows
    k, levels, scale = design.blocks[f].k, design.blocks[f].levels, cross.fixed.scale
    gram, products = (
        np.stack([_level_sums(codes, z[:, [a]] * columns, levels) for a in range(k)], axis=1)
        for columns in (z, border)
    )
    own = tuple(unit for unit in placement.units if unit.block == f)
    units, hyper, matrices = unit_arrays(own, [f], k, scale)
    no_cells = np.zeros(0, np.int64)
    return Problem(
        first=(gram, np.zeros(levels + 1, np.int64), no_cells, np.zeros((0, k)), products),
        gram=border.T @ border,
        blocks=gram,
        fixed=fixed_prior(cross, placement),
        factors=np.array([[0, -1, levels, k]], np.int64),
        bases=cross.basis[f][None].copy(),
        inverses=inverse(cross.basis[f])[None],
        units=units,
        hyper=hyper,
        matrices=matrices,
        rows=cross.n,
        residual=prior_numbers(placement.sigma, scale),
    )


class _Step:
    """State of one factor: products with y less all other effects, Ω, effects and Metropolis step."""

    def __init__(self, factor: Factor, variance: Array, rng: np.random.Generator) -> None:
        problem = factor.problem
        gram, indptr, indices, values, border = problem.first
        self.factor, self.border, self.gram = factor, border.copy(), problem.gram.copy()
        self.first = (gram, indptr, indices, values, self.border)
        omega, _, effects, beta = initial_state(problem, rng, problem.gram.shape[0] - 1)
        self.state = (omega, variance, effects, beta)
        stored = (omega.shape, (), effects.shape, beta.shape)
        self.out = tuple(np.empty((0, *shape)) for shape in stored)
        self.walk = initial_walk(problem.units)

    def sweep(self, rng: np.random.Generator, border: Array, response: Array, tune: int) -> bool:
        """Draw β and the factor's effects and Ω given y less the other effects; return whether this succeeded."""
        problem, p = self.factor.problem, border.shape[1] - 1
        self.border[:, :, p] = self.factor.sums(response)
        self.gram[p, :p] = self.gram[:p, p] = border[:, :p].T @ response
        self.gram[p, p] = response @ response
        arguments = (self.first, self.gram, *problem.arguments[2:])
        return _run(rng, *arguments, self.state, self.out, np.full(1, -1, np.int64), self.walk, tune) == 1


class CrossedChain(Chain):
    """A chain that draws the effects of one factor at a time."""

    def __init__(self, factors: Factors, plan: Plan, rng: np.random.Generator) -> None:
        self.rng, self.places, self.done = rng, plan.places, 0
        self.tune, self.thin = plan.tune, plan.thin
        self.border = factors.border
        self.variance = initial_state(factors.factors[0].problem, rng, 0)[1]
        self.steps = [_Step(factor, self.variance, rng) for factor in factors.factors]
        self.parts = [np.zeros(len(factors.border)) for _ in self.steps]
        self.total = np.zeros(len(factors.border))
        self.shifts = factors.shifts
        levels = sum(len(step.state[2]) for step in self.steps)
        k = max(step.state[2].shape[1] for step in self.steps)
        self.out = (
            np.zeros((plan.draws, len(self.steps), k, k)),
            np.empty(plan.draws),
            np.zeros((plan.draws, levels if plan.keep_effects else 0, k)),
            np.empty((plan.draws, factors.border.shape[1] - 1)),
        )

    @property
    def acceptance(self) -> float:
        """Share of collapsed steps accepted after tuning, of all factors; NaN if there were none."""
        steps, accepted = np.sum([step.walk[0][3:] for step in self.steps], axis=0)
        return float(accepted / steps) if steps > 0 else float("nan")

    def sweep(self, places: IntArray) -> int:
        for count, place in enumerate(places):
            for i, step in enumerate(self.steps):
                rest = self.border[:, -1] - (self.total - self.parts[i])
                if not step.sweep(self.rng, self.border, rest, self.tune):
                    return count
                part = step.factor.part(step.state[2])
                self.total += part - self.parts[i]
                self.parts[i] = part
            for shift in self.shifts:
                self._move(shift)
            self.total = np.sum(self.parts, axis=0)  # afresh, so that rounding errors do not add up
            if place >= 0:
                self._store(int(place))
        return len(places)

    def _move(self, shift: NestedShift) -> None:
        """Draw the part of their effects that two nested factors share."""
        pair = self.steps[shift.inner], self.steps[shift.outer]
        bases = [step.factor.problem.bases[0] for step in pair]
        own, other = (R @ step.state[0][0] @ R.T for R, step in zip(bases, pair, strict=True))
        shift.draw(self.rng, (own, other), (pair[0].state[2], pair[1].state[2]))
        for i in (shift.inner, shift.outer):
            self.parts[i] = self.steps[i].factor.part(self.steps[i].state[2])

    def _store(self, place: int) -> None:
        """Store the state as one draw."""
        omega, variance, effects, beta = self.out
        variance[place], beta[place] = self.variance[0], self.steps[-1].state[3]
        at = 0
        for i, step in enumerate(self.steps):
            own = step.state[2]
            k = own.shape[1]
            omega[place, i, :k, :k] = step.state[0][0]
            if effects.shape[1]:
                effects[place, at : at + len(own), :k] = own
            at += len(own)


@dataclass(frozen=True, slots=True, eq=False)
class NestedShift:
    """The shared part of the effects of a factor and of the factor that it is nested in.

    Attributes
    ----------
    inner, outer : int
        Positions among the sampler's factors.
    parent : ndarray of int64, shape (inner levels,)
        Outer level of each inner one.
    children : ndarray, shape (outer levels,)
        Number of inner levels of each outer one.
    inner_basis, outer_basis : ndarray, shape (k, shared)
        The shared effects in the basis of the cross-products.
    """

    inner: int
    outer: int
    parent: IntArray
    children: Array
    inner_basis: Array
    outer_basis: Array

    def draw(
        self,
        rng: np.random.Generator,
        covariances: tuple[Array, Array],
        effects: tuple[Array, Array],
    ) -> None:
        """Add δ_j to the outer effects and subtract it from the inner effects of outer level j, in place.

        Effects have shape (levels, k); `covariances` are in the same basis.

        δ_j ~ N(Λ⁻¹l, Λ⁻¹) with Λ = M_bᵀΩ_b⁻¹M_b + m_j M_aᵀΩ_a⁻¹M_a and l = M_aᵀΩ_a⁻¹ Σ b_a − M_bᵀΩ_b⁻¹ b_b.
        """
        own = np.linalg.solve(covariances[0], self.inner_basis)
        other = np.linalg.solve(covariances[1], self.outer_basis)
        precision = self.children[:, None, None] * (self.inner_basis.T @ own) + self.outer_basis.T @ other
        linear = _level_sums(self.parent, effects[0], len(self.children)) @ own - effects[1] @ other
        root = np.linalg.cholesky(precision)
        noise = rng.standard_normal(linear.shape)
        half = np.linalg.solve(root, linear[:, :, None])[:, :, 0] + noise
        delta = np.linalg.solve(np.swapaxes(root, 1, 2), half[:, :, None])[:, :, 0]
        effects[1][:] += delta @ self.outer_basis.T
        effects[0][:] -= delta[self.parent] @ self.inner_basis.T


def nested_shifts(blocks: list[RandomBlock], bases: list[Array]) -> tuple[NestedShift, ...]:
    """Return the shifts of all pairs of nested factors; `bases` has R of each, with Z = Z̃ R."""
    out = []
    for a, inner in enumerate(blocks):
        for b, outer in enumerate(blocks):
            shared = [name for name in inner.effects if name in outer.effects]
            if a == b or inner.levels <= outer.levels or not shared:
                continue
            parent = np.zeros(inner.levels, np.int64)
            parent[inner.codes] = outer.codes
            if np.any(parent[inner.codes] != outer.codes):
                continue
            children = np.bincount(parent, minlength=outer.levels).astype(float)
            columns = [[block.effects.index(name) for name in shared] for block in (inner, outer)]
            out.append(NestedShift(a, b, parent, children, bases[a][:, columns[0]], bases[b][:, columns[1]]))
    return tuple(out)
