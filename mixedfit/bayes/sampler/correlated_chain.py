"""A chain for residuals with a structure, R(x): rows are whitened anew in each sweep.

A sweep draws x by slice steps, one parameter at a time (Neal 2003, Ann. Stat. 31:705), given β, b and
s = σ|R(x)|^(1/2n) in place of σ: with a correlation nearer to 1 the same rows have a larger σ, but the same s. With
e = y − Xβ − Zb and σ²(x) = s²|R(x)|^(−1/n), whose derivative in s² is |R(x)|^(−1/n),

    log p(x | β, b, s, y) = −n log s − |R(x)^(−1/2)e|²/(2σ²(x)) + log p(x) + log p(σ²(x)) + log σ²(x).

If σ is known, x is drawn given σ. If there are random effects, x also makes a Metropolis step with β and b integrated
out, since both x and b can explain why rows of a group are alike. Then all else is drawn as for independent rows, from
the cross-products of the rows times R(x)^(−1/2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from mixedfit.bayes.model.residual_structure import ResidualPriors
from mixedfit.core.arrays import Array, IntArray
from mixedfit.covariance.residual.model import ResidualModel, ResidualRoot
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.kernels.gibbs.collapsed import adapt, log_marginal
from mixedfit.kernels.gibbs.markov import markov_sums
from mixedfit.kernels.gibbs.sweep import factor_system, run_sweeps
from mixedfit.kernels.gibbs.variances import KNOWN, log_sd_density
from mixedfit.kernels.gibbs.weighted_sweep import refill, residuals

from .arrays import Problem, sampling_rows
from .chain import Chain, Plan

__all__ = ["CorrelatedChain", "CorrelatedRows", "correlated_rows"]

_run = cast(Callable[..., int], run_sweeps)

WIDEST = 20
"""Largest number of steps out of a slice."""

KernelRows = tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray]
"""Rows as `kernels.gibbs.weighted_sweep.refill` takes them."""

Products = tuple[tuple[Array, IntArray, IntArray, Array, Array], Array, Array]
"""`first`, `gram` and `blocks` of a `Problem`."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrelatedRows:
    """The rows of the fit and the residual structure on them, which all chains share.

    Attributes
    ----------
    codes, tail_codes : ndarray of int64, shapes (n,) and (n, factors − 1)
    columns : ndarray, shape (n, k + tail + p + 1)
        Z of the first factor, Z of the others, [X̃ ỹ], all times the root of the weights.
    sizes, offsets : ndarray of int64
        Effects and first column of each factor of the tail.
    widths : (int, int)
        Columns of the first factor, and of the others.
    model : ResidualModel
    priors : ResidualPriors
    """

    codes: IntArray
    tail_codes: IntArray
    columns: Array
    sizes: IntArray
    offsets: IntArray
    widths: tuple[int, int]
    model: ResidualModel
    priors: ResidualPriors

    def arranged(self, columns: Array) -> KernelRows:
        """Return columns such as `columns` as the kernels take them."""
        first, tail = self.widths
        z, tail_z, border = (
            np.ascontiguousarray(columns[:, a:b])
            for a, b in ((0, first), (first, first + tail), (first + tail, columns.shape[1]))
        )
        groups = np.zeros(len(columns), np.int64)
        return (self.codes, z, self.tail_codes, tail_z, self.sizes, self.offsets, border, groups)


def correlated_rows(
    design: Design, cross: CrossProducts, priors: ResidualPriors, problem: Problem, order: list[int]
) -> CorrelatedRows:
    """Return the rows in the basis of the cross-products."""
    assert design.residual is not None
    _, border, codes, z = sampling_rows(design, cross, order)
    n = len(border)
    first = z[0] if order else np.zeros((n, 1))
    tail = np.hstack(z[1:]) if z[1:] else np.zeros((n, 0))
    return CorrelatedRows(
        codes=codes[0] if order else np.zeros(n, np.int64),
        tail_codes=np.stack(codes[1:], axis=1) if codes[1:] else np.zeros((n, 0), np.int64),
        columns=np.hstack([first, tail, border]),
        sizes=np.array([own.shape[1] for own in z[1:]], np.int64),
        offsets=np.ascontiguousarray(problem.factors[1:, 1]),
        widths=(first.shape[1], tail.shape[1]),
        model=design.residual,
        priors=priors,
    )


def _copy(problem: Problem) -> Products:
    gram, indptr, indices, values, border = problem.first
    return (
        (gram.copy(), indptr, indices, values.copy(), border.copy()),
        problem.gram.copy(),
        problem.blocks.copy(),
    )


class CorrelatedChain(Chain):
    """A chain with the residual parameters x and its own cross-products of whitened rows."""

    def __init__(self, problem: Problem, plan: Plan, rng: np.random.Generator, rows: CorrelatedRows) -> None:
        super().__init__(problem, plan, rng)
        self.rows, n = rows, len(rows.columns)
        self.raw = rows.arranged(rows.columns)
        self.x = self._start()
        self.out = (*self.out, np.empty((plan.draws, self.x.size)))
        self.room = (np.zeros_like(self.raw[1]), np.zeros_like(self.raw[3]), np.zeros_like(self.raw[6]))
        self.ones, self.lam = np.ones(n), np.ones(problem.blocks.shape[0])
        self.products, self.spare = _copy(problem), _copy(problem)
        layout = rows.model.layout
        assert layout is not None
        self.order = layout.order
        self.gaps = np.where(layout.opens, -1.0, layout.gaps)
        self.rest, self.zeros, self.unsorted = np.empty(n), np.zeros(n), np.empty(n)
        self.widths, self.count = np.ones(self.x.size), 0
        d = self.x.size
        scale = np.log(2.38 / np.sqrt(d))  # Gelman, Roberts & Gilks (1996)
        self.residual_walk = (
            np.array([0.0, 0.0, scale, 0.0]),
            np.zeros(d),
            np.zeros((d, d)),
            0.1 * np.eye(d),
        )

    def _start(self) -> Array:
        """Return x drawn from its prior, or, if R cannot be factorised there, its usual start."""
        for x in self.rows.priors.draw(20, self.rng):
            if self._root(x) is not None:
                return np.asarray(x)
        return self.rows.model.start.copy()

    def _root(self, x: Array) -> ResidualRoot | None:
        """Return R(x), None where it cannot be factorised or the prior is 0."""
        if not (np.all(np.isfinite(x)) and self.rows.priors.log_prior(x) > -np.inf):
            return None
        try:
            return self.rows.model.root(x)
        except FloatingPointError:
            return None

    def _sums(self, x: Array) -> tuple[float, float] | None:
        """Return log|R(x)| and |R(x)^(−1/2)e|² for the residuals in `rest`, or None where R cannot be factorised."""
        model, out = self.rows.model, np.empty(2)
        logs = model.log_sd(x)[self.order] if model.variances else self.zeros
        if not np.all(np.abs(logs) <= 200.0):
            return None
        phi = float(self.rows.priors.natural(x)[0])
        return (float(out[0]), float(out[1])) if markov_sums(self.rest, logs, self.gaps, phi, out) else None

    def _log_density(self, x: Array, held: float) -> float:
        """Return log p(x | β, b, s), or given σ if that is known; `held` is the present log|R|."""
        prior = self.rows.priors.log_prior(x)
        sums = self._sums(x) if prior > -math.inf else None
        if sums is None:
            return -math.inf
        variance, kind = self._variance(held - sums[0]), self.problem.residual[0]
        value = prior - 0.5 * (self.rest.size * math.log(variance) + sums[0] + sums[1] / variance)
        if kind != KNOWN:  # p(σ²) = p(σ)/2σ
            value += log_sd_density(*self.problem.residual, math.sqrt(variance)) + 0.5 * math.log(variance)
        return value

    def _variance(self, change: float) -> float:
        """Return σ² with the same s where log|R| is smaller by `change`."""
        now = float(self.state[1][0])
        return now if self.problem.residual[0] == KNOWN else now * math.exp(change / self.rest.size)

    def _slice(self, i: int) -> None:
        """Draw parameter i of x by a slice step with stepping out."""
        x, w, sums = self.x, self.widths[i], self._sums(self.x)
        if sums is None:
            return
        held = sums[0]
        level = self._log_density(x, held) - self.rng.standard_exponential()

        def inside(value: float) -> bool:
            moved = x.copy()
            moved[i] = value
            return self._log_density(moved, held) > level

        low = float(x[i] - w * self.rng.random())
        high = low + w
        left = int(WIDEST * self.rng.random())
        right = WIDEST - 1 - left
        while left > 0 and inside(low):
            low, left = low - w, left - 1
        while right > 0 and inside(high):
            high, right = high + w, right - 1
        before = float(x[i])
        value = self._shrink(inside, low, high, before)
        self.x = x.copy()
        self.x[i] = value
        moved = self._sums(self.x)
        self.state[1][0] = self._variance(0.0 if moved is None else held - moved[0])
        if self.count < self.tune:  # the typical distance is learnt while tuning, then held
            self.widths[i] += (3.0 * abs(value - before) - w) / (self.count + 2.0) ** 0.6
            self.widths[i] = max(self.widths[i], 1e-6)

    def _shrink(self, inside: Callable[[float], bool], low: float, high: float, before: float) -> float:
        """Return a point of the slice between two ends, which move to the points drawn outside."""
        while high - low > 1e-12 * max(abs(before), 1.0):
            value = float(low + (high - low) * self.rng.random())
            if inside(value):
                return value
            low, high = (value, high) if value < before else (low, value)
        return before

    def _fill(self, root: ResidualRoot, products: Products) -> None:
        """Replace cross-products by those of the rows times R^(−1/2)."""
        rows = self.rows.arranged(root.whiten(self.rows.columns))
        refill(rows, self.ones, self.lam, self.problem.factors, self.room, *products)

    def _marginal(self, products: Products) -> float:
        """Return log p(y | x, Ω, σ) up to −½ log|R| and a constant; −∞ where the system cannot be factored."""
        first, gram, _ = products
        lams, chols = np.zeros_like(self.state[0]), np.zeros_like(first[0])
        system, variance = np.empty_like(gram), float(self.state[1][0])
        p = self.problem
        arguments = (first, gram, p.fixed, p.factors, p.bases, p.units, lams, chols, system)
        if not factor_system(self.state[0], math.sqrt(variance), *arguments):
            return -math.inf
        return float(log_marginal(chols, system, variance))

    def _collapsed(self, root: ResidualRoot) -> None:
        """Make a Metropolis step of x with β and b integrated out; `products` are those of the result."""
        numbers, mean, spread, scale_root = self.residual_walk
        moved = self.x + np.exp(numbers[2]) * (scale_root @ self.rng.standard_normal(self.x.size))
        other, accepted = self._root(moved), False
        if other is not None:
            self._fill(other, self.spare)
            gain = self._marginal(self.spare) - 0.5 * other.logdet + self.rows.priors.log_prior(moved)
            gain -= self._marginal(self.products) - 0.5 * root.logdet + self.rows.priors.log_prior(self.x)
            accepted = math.log(self.rng.random()) < gain
        if accepted:
            self.x = moved
            self.products, self.spare = self.spare, self.products
        if numbers[0] < self.tune:
            adapt(self.x, accepted, self.tune, numbers, mean, spread, scale_root)
        numbers[0] += 1.0

    def _draw_structure(self) -> None:
        """Draw x, and fill in the cross-products at it."""
        residuals(self.raw, self.problem.factors, self.state[2], self.state[3], self.unsorted)
        self.rest[:] = self.unsorted[self.order]
        for i in range(self.x.size):
            self._slice(i)
        root = self.rows.model.root(self.x)
        self._fill(root, self.products)
        if len(self.problem.factors):
            self._collapsed(root)
        self.count += 1

    def sweep(self, places: IntArray) -> int:
        p = self.problem
        for count, place in enumerate(places.tolist()):
            self._draw_structure()
            once = np.array([place], np.int64)
            ran = _run(
                self.rng,
                *self.products,
                *p.arguments[3:],
                self.state,
                self.out[:4],
                once,
                self.walk,
                self.tune,
            )
            if ran < 1:
                return count
            if place >= 0:
                self.out[4][place] = self.x
        return len(places)
