"""Derivatives of the variance of prediction errors in all variance parameters, for fits with a residual structure.

The predictor aᵀy of a target t = xβ + zb minimises f(a) = aᵀVa − 2aᵀc + Var(zb) under Xᵀa = x, with c = Cov(y, zb):
a = V⁻¹c + Ug with U = V⁻¹X, g = Φd and d = x − Uᵀc. The minimum v has the derivative of f with a held,

    v_a = aᵀV_a a − 2aᵀc_a + Var(zb)_a,

and a itself changes by P r_a, r_a = c_a − V_a a. Kenward and Roger's variance is v + 2Σ W_ab r_aᵀP r_b − ½Σ W_ab f_ab,
f_ab the second derivative of f with a held, for random effects as for contrasts (Harville & Jeske 1992, J. Am. Stat.
Assoc. 87:724). Only the independent blocks of rows that depend on z enter beside the sums over all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.estimation.fit import Fit
from mixedfit.inference.kenward_roger import KenwardRoger
from mixedfit.inference.satterthwaite import AS_GOOD_AS_NORMAL
from mixedfit.inference.structured.blocks import VarianceParameters
from mixedfit.inference.structured.degrees import StructuredDegrees
from mixedfit.inference.structured.information import StructuredInformation

from .error_variance import PredictionTarget
from .forecast import places_of_rows
from .rows import multiplier_slopes

__all__ = ["StructuredErrors"]


@dataclass(frozen=True, eq=False)
class _Near:
    """The rows that depend on the effects of a target, with V⁻¹, V's derivatives and U."""

    rows: IntArray
    inverse: Array
    first: Array
    bent: Array
    U: Array


@dataclass(frozen=True, eq=False)
class StructuredErrors:
    """Gradients of prediction variances, degrees of freedom and the variance due to estimated parameters.

    Parameters
    ----------
    fit : Fit
    method : "satterthwaite" or KenwardRoger
    """

    fit: Fit
    method: Any

    @lazy
    def degrees(self) -> StructuredDegrees:
        """What tests of contrasts use."""
        return StructuredDegrees(self.fit, self.method)

    @property
    def information(self) -> StructuredInformation:
        """Sums over all rows."""
        return self.degrees.information

    @property
    def parameters(self) -> VarianceParameters:
        """The variance parameters."""
        return self.information.parameters

    @lazy
    def _component(self) -> IntArray:
        """Independent block of each row."""
        out = np.empty(self.fit.design.n, np.int64)
        for number, rows in enumerate(self.parameters.components):
            out[rows] = number
        return out

    @lazy
    def _weights_of_bends(self) -> tuple[Array, Array]:
        """Return W_ab of second derivatives of V, and the weights of first ones, in natural residual parameters."""
        return self.information.bend_weights(self.degrees.second_order)

    @lazy
    def _bent_spread(self) -> Array:
        """Σ W_ab UᵀV_abU with the same weights, shape (p, p)."""
        return self.information.bent_spread(self.degrees.second_order)

    @lazy
    def _blocks(self) -> dict[tuple[int, ...], _Near]:
        """The independent blocks that targets have touched."""
        return {}

    def _near(self, touched: tuple[int, ...]) -> _Near:
        """Return the rows of some independent blocks."""
        if touched not in self._blocks:
            own = [self.parameters.components[c] for c in touched]
            rows = np.concatenate([*own, np.zeros(0, np.int64)]).astype(np.int64)
            block = self.parameters.rows_as_block(rows)
            inverse = np.asarray(np.linalg.inv(block.V)) if rows.size else np.zeros((0, 0))
            pairs, single = self._weights_of_bends
            bent = np.einsum("a,aij->ij", single, block.first)
            for a, b in zip(*np.nonzero(pairs), strict=True):
                second = block.second(int(a), int(b))
                bent = bent if second is None else bent + pairs[a, b] * second
            U = inverse @ self.information.columns[rows, :-1]
            self._blocks[touched] = _Near(rows, inverse, block.first, bent, U)
        return self._blocks[touched]

    def of_rows(self, target: PredictionTarget) -> tuple[Array, Array]:
        """Return the gradient of each row's variance and its part due to estimated parameters, in squared units of y.

        Parameters
        ----------
        target : PredictionTarget
            Of means, or with `excluded_vary` of responses; its noise is not used.

        Returns
        -------
        gradient : ndarray, shape (n, parameters)
        added : ndarray, shape (n,)
            0 unless the method is Kenward and Roger's.
        """
        n = len(target.rows.X)
        gradient, added = np.zeros((n, self.parameters.count)), np.zeros(n)
        fixed = self.fit.cross.fixed
        X = target.rows.X[:, fixed.kept] @ fixed.transform
        for i in range(n):
            gradient[i], added[i] = self._one(target, i, X[i])
        return gradient, added

    def _one(self, target: PredictionTarget, i: int, x: Array) -> tuple[Array, float]:
        """Return the gradient and the added variance of one row."""
        design, own = self.fit.design, self.information
        effects = [np.where(inc, z[i], 0.0) for inc, z in zip(target.included, target.rows.z, strict=True)]
        touched = set()
        for block, codes, z in zip(design.blocks, target.rows.codes, effects, strict=True):
            if codes[i] >= 0 and np.any(z != 0.0):
                families = np.arange(block.levels) if block.known is None else block.known.families
                touched |= set(self._component[families[block.codes] == families[codes[i]]].tolist())
        near = self._near(tuple(sorted(touched)))
        c, c_first = self._covariances(target, i, near.rows, effects)
        solved = near.inverse @ c
        g = own.phi @ (x - near.U.T @ c)
        a = solved + near.U @ g
        outside = np.einsum("s,ast,t->a", g, own.spreads, g) - np.einsum(
            "s,is,aij,jt,t->a", g, near.U, near.first, near.U, g, optimize=True
        )
        inside = np.einsum("i,aij,j->a", a, near.first, a, optimize=True) - 2.0 * c_first @ a
        gradient = outside + inside + self._variance_slopes(target, i, effects)
        if not isinstance(self.method, KenwardRoger):
            return gradient, 0.0
        return gradient, self._added(near, solved, c_first, g)

    def _added(self, near: _Near, solved: Array, c_first: Array, g: Array) -> float:
        """Return 2Σ W_ab r_aᵀP r_b − ½Σ W_ab f_ab."""
        own = self.information
        q = c_first - near.first @ solved
        turned = near.first @ (near.U @ g)
        side = q @ near.inverse @ turned.T
        crossed = q @ near.U - np.einsum("ast,t->as", own.spreads, g)
        products = q @ near.inverse @ q.T - side - side.T + np.einsum("s,abst,t->ab", g, own.pairs, g)
        products -= crossed @ own.phi @ crossed.T
        bends = g @ self._bent_spread @ g + solved @ near.bent @ (solved + 2.0 * near.U @ g)
        return float(2.0 * np.sum(own.parameter_covariance * products) - 0.5 * bends)

    def _covariances(
        self, target: PredictionTarget, i: int, rows: IntArray, effects: list[Array]
    ) -> tuple[Array, Array]:
        """Return c = Cov(y, zb) of some rows, shape (m,), and its derivatives, shape (parameters, m)."""
        design, count = self.fit.design, self.parameters.count
        c, first = np.zeros(rows.size), np.zeros((count, rows.size))
        for f, (block, z) in enumerate(zip(design.blocks, effects, strict=True)):
            level = int(target.rows.codes[f][i])
            if level < 0 or not np.any(z != 0.0):
                continue
            own, codes = block.z[rows], block.codes[rows]
            related = (
                codes == level if block.known is None else block.known.among(codes, np.array([level]))[:, 0]
            )
            c += related * (own @ self.fit.omega[f] @ z)
            for a, direction in enumerate(self.parameters.random):
                if direction.block == f:
                    first[a] += related * (own @ direction.first @ z)
        return c, first

    def _variance_slopes(self, target: PredictionTarget, i: int, effects: list[Array]) -> Array:
        """Return the derivatives of the variance of the target's effects, shape (parameters,)."""
        out = np.zeros(self.parameters.count)
        for a, direction in enumerate(self.parameters.random):
            f = direction.block
            own, level, known = effects[f], int(target.rows.codes[f][i]), self.fit.design.blocks[f].known
            size = 1.0 if known is None or level < 0 else float(known.diagonal[level])
            rest = target.rows.z[f][i] - own
            new = level < 0
            if not new or target.new_levels == "marginal":
                out[a] += size * float(own @ direction.first @ own)
            if target.excluded_vary:
                out[a] += size * float(rest @ direction.first @ rest)
                out[a] += 2.0 * float(rest @ direction.first @ own) if new else 0.0
        return out

    def noise_slopes(self, newdata: Any, noise: Array) -> Array:
        """Return the derivatives of residual variances of new rows, shape (n, parameters).

        Parameters
        ----------
        newdata : table or None
        noise : ndarray, shape (n,)
            The variances, in squared units of y; NaN is allowed.
        """
        own, n = self.parameters, noise.size
        out, start = np.zeros((n, own.count)), len(own.random)
        if own.linear:
            place = own.place if newdata is None else places_of_rows(own.model, newdata, n)[1]
            visit, weights = (
                place[:, 0].astype(np.int64),
                self._visit_variances()[place[:, 0].astype(np.int64)],
            )
            for a, (row, column) in enumerate(own.pairs):
                if row == column:
                    out[:, start + a] = np.where(visit == row, noise / weights, 0.0)
            return out
        if own.scaled:
            out[:, start] = noise
            start += 1
        logs = multiplier_slopes(self.fit, newdata, n)
        out[:, start + own.model.slices[0].stop :] = 2.0 * noise[:, None] * logs
        return out

    def _visit_variances(self) -> Array:
        """Return the residual variance of each visit."""
        own = self.parameters
        return np.asarray(
            self.fit.sigma**2 * np.exp(2.0 * np.concatenate([[0.0], own.x[own.model.slices[1]]]))
        )

    def df(self, variance: Array, gradient: Array) -> Array:
        """Return 2v²/gᵀWg of variances in squared units of y and their gradients, shape (n,)."""
        spread = np.einsum("ia,ab,ib->i", gradient, self.information.parameter_covariance, gradient)
        least = 2.0 * variance**2 / AS_GOOD_AS_NORMAL
        return np.where(spread > least, 2.0 * variance**2 / np.where(spread > 0, spread, 1.0), np.inf)
