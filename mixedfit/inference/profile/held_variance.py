"""The likelihood with a standard deviation or a correlation held: a linear constraint on the covariance root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy, memo
from mixedfit.core.linalg import inverse
from mixedfit.covariance.constrained_root import (
    LinearRoot,
    correlation_root,
    deviation_root,
    reordered_root,
    working_basis,
)
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.optimize import Optimum
from mixedfit.estimation.parameters import Parameter
from mixedfit.likelihood.criterion import Criterion, Evaluation

from .held_point import HeldPoint
from .held_state import State, minimum_of, off_zero, state_of, structures_of

__all__ = ["HeldCorrelation", "HeldDeviation"]


class _HeldRoot:
    """Base of held standard deviations and correlations: the structure of one block becomes a linear root.

    Parameters
    ----------
    fit : Fit
    parameter : Parameter
    """

    def __init__(self, fit: Fit, parameter: Parameter) -> None:
        self.fit, self.parameter = fit, parameter
        self.block = parameter.block
        self.structure = fit.design.blocks[self.block].structure
        leading = sorted({parameter.first, parameter.second})
        self.turn = working_basis(self.structure, leading, fit.cross.basis[self.block])
        sizes = np.linalg.norm(self.turn, axis=1)
        self.scales = np.maximum(np.linalg.norm(self.turn @ fit.chart.lams[self.block], axis=1), 0.05 * sizes)

    @lazy
    def _before(self) -> int:
        """Number of parameters of the blocks before this one."""
        return sum(s.n_theta for s in structures_of(self.fit)[: self.block])

    def criterion(self, value: float) -> Callable[[Array], Any]:
        raise NotImplementedError

    def minimum(self, value: float, start: Array, tolerance: float) -> Optimum:
        return minimum_of(self.criterion(value), start, tolerance)

    def _criterion(self, root: LinearRoot, sigma: float | None) -> Criterion:
        structures: list[Any] = list(structures_of(self.fit))
        structures[self.block] = root
        return Criterion(self.fit.cross, tuple(structures), False, sigma, canonical=True)

    def _start(self, state: State, root: LinearRoot, leading: Sequence[int]) -> Array:
        """Return θ̃ of a state, with the parameters of the root for its block."""
        parts = [
            structure.theta_from_root(lam)
            for structure, lam in zip(structures_of(self.fit), state.lams, strict=True)
        ]
        own = reordered_root(self.structure, leading, self.turn @ state.lams[self.block])
        parts[self.block] = root.theta_of(inverse(self.turn) @ own)
        return np.concatenate(parts)

    def _lift(self, theta: Array, root: LinearRoot) -> Array:
        """Return θ̃ with diagonals moved off 0."""
        where: list[int] = []
        at = 0
        for f, structure in enumerate(structures_of(self.fit)):
            own = root if f == self.block else structure
            where += [at + d for d in own.diagonal]
            at += own.n_theta
        return off_zero(theta, np.array(where, dtype=np.int64))


class HeldCorrelation(_HeldRoot):
    """The correlation of two effects of one term held at a value."""

    low, high = -1.0, 1.0

    @lazy
    def _pair(self) -> tuple[int, int]:
        return self.parameter.second, self.parameter.first

    @memo
    def _plane(self, value: float) -> tuple[LinearRoot, Array]:
        """Return the root with orthonormal directions ψ for the two standard deviations φ, and U with ψ = Uφ.

        Far from a covariate's origin both standard deviations hardly differ in direction.
        """
        root = correlation_root(self.structure, *self._pair, value, self.scales)
        basis = inverse(self.turn) @ root.basis
        directions, upper = np.linalg.qr(basis[:2].reshape(2, -1).T)
        basis[:2] = directions.T.reshape(basis[:2].shape)
        return LinearRoot(basis, tuple(d for d in root.diagonal if d > 1)), upper

    def _root(self, value: float) -> LinearRoot:
        return self._plane(value)[0]

    def _deviations(self, value: float, x: Array) -> Array:
        """Return φ: the two standard deviations in units of their scales, shape (2,)."""
        return np.asarray(np.linalg.solve(self._plane(value)[1], x[self._before : self._before + 2]))

    @memo
    def criterion(self, value: float) -> Criterion:
        return self._criterion(self._root(value), self.fit.held_sigma)

    def start(self, state: State, value: float) -> Array:
        return self.lifted(value, self._start(state, self._root(value), self._pair))

    def lifted(self, value: float, x: Array) -> Array:
        out = self._lift(x, self._root(value))
        at = self._before
        phi = off_zero(self._deviations(value, out), np.arange(2))
        out[at : at + 2] = self._plane(value)[1] @ phi
        return out

    def slope(self, value: float, x: Array) -> float:
        """The derivative in the direction ∂λ/∂ρ, projected off the root's own directions, along which it is 0."""
        if abs(value) >= 1.0:
            return float("nan")
        root = self._root(value)
        turn = np.zeros((1, root.k, root.k))
        a, b = self._pair
        turn[0, b, a] = 1.0
        turn[0, b, b] = -value / np.sqrt(1.0 - value * value)
        turn *= self._deviations(value, x)[1] * self.scales[b]
        turn = inverse(self.turn) @ turn
        turn -= np.einsum("aij,ij->a", root.basis[:2], turn[0]) @ root.basis[:2].transpose(1, 0, 2)
        wider = LinearRoot(np.concatenate([turn, root.basis]), root.diagonal)
        point = self._criterion(wider, self.fit.held_sigma)(np.insert(x, self._before, 0.0))
        return float(point.gradient[self._before])

    def state(self, value: float, x: Array) -> State:
        return state_of(self.fit, self.criterion(value)(x))

    def is_reversed(self, value: float, x: Array) -> bool:
        """Return whether the standard deviations have opposite signs: the correlation then is minus the value."""
        return bool(np.prod(self._deviations(value, x)) < 0)


class HeldDeviation(_HeldRoot):
    """The standard deviation of one effect held at a value, in units of y per unit of z.

    If σ is free, the leading parameter t = value / (σ scale) follows from it: the search is over the others and
    s = log σ².
    """

    low, high = 0.0, np.inf

    @memo
    def _root(self, value: float) -> LinearRoot:
        root = deviation_root(self.structure, self.parameter.first, self.scales, without=value == 0.0)
        return LinearRoot(inverse(self.turn) @ root.basis, root.diagonal)

    @memo
    def _base(self, value: float) -> Criterion:
        return self._criterion(self._root(value), 1.0)

    def _lead(self, value: float, s: float) -> float:
        return float(
            value / (self.fit.cross.fixed.scale * self.scales[self.parameter.first]) * np.exp(-0.5 * s)
        )

    def _own(self, x: Array) -> tuple[Array, float]:
        """Return the parameters without s, and s."""
        if self.fit.held_sigma is not None:
            return x, 2.0 * float(np.log(self.fit.held_sigma / self.fit.cross.fixed.scale))
        return x[:-1], float(x[-1])

    def evaluate(self, value: float, x: Array) -> Evaluation:
        """Return the evaluation at a value of the parameter and the others."""
        own, s = self._own(x)
        if value != 0.0:
            at = self._before
            own = np.concatenate([own[:at], [self._lead(value, s)], own[at:]])
        sigma = float(np.exp(0.5 * s)) * self.fit.cross.fixed.scale
        return self._base(value).at_sigma(sigma)(own)

    def criterion(self, value: float) -> Callable[[Array], Any]:
        return lambda x: self._point(value, np.asarray(x, dtype=float))

    def _point(self, value: float, x: Array) -> HeldPoint:
        """Return the likelihood at x. The leading parameter t = c e^{−s/2} has dt/ds = −t/2 and d²t/ds² = t/4."""
        lead = 0.0 if value == 0.0 else self._lead(value, self._own(x)[1])
        at = None if value == 0.0 else self._before
        return HeldPoint(self.evaluate(value, x), at, self.fit.held_sigma is None, (-0.5 * lead, 0.25 * lead))

    def start(self, state: State, value: float) -> Array:
        theta = self._start(state, self._root(value), [self.parameter.first])
        if value != 0.0:
            theta = np.delete(theta, self._before)
        if self.fit.held_sigma is None:
            theta = np.append(theta, 2.0 * np.log(state.sigma / self.fit.cross.fixed.scale))
        return self.lifted(value, theta)

    def lifted(self, value: float, x: Array) -> Array:
        whole = x if value == 0.0 else np.insert(x, self._before, 1.0)
        lifted = self._lift(whole, self._root(value))
        return lifted if value == 0.0 else np.delete(lifted, self._before)

    def slope(self, value: float, x: Array) -> float:
        if value == 0.0:
            return float("nan")
        lead = self._lead(value, self._own(x)[1])
        return float(self.evaluate(value, x).gradient[self._before] * lead / value)

    def state(self, value: float, x: Array) -> State:
        return state_of(self.fit, self.evaluate(value, x))
