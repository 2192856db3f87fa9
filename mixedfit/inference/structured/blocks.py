"""Independent blocks of rows, their covariance V and its derivatives in the variance parameters.

V = Σ_f Z_f Ω_f Z_fᵀ + σ² S C S with S = diag(s_i/√w_i). Parameters: those of Ω_f (`random_part`), log σ², and x of the
correlation and of the variance functions. For unstructured visits the elements of their covariance matrix replace
log σ² and x, so that V is linear in all parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.design.design import RandomBlock
from mixedfit.estimation.fit import Fit

from .random_part import directions_of

__all__ = ["Block", "VarianceParameters"]

STEP = 1e-4
"""Step of the differences of a correlation matrix in its parameters; errors are of its square."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that are correlated with each other: several sets with the same V.

    Attributes
    ----------
    rows : ndarray of int64, shape (sets, m)
    V : ndarray, shape (m, m)
    first : ndarray, shape (parameters, m, m)
        ∂V of each parameter.
    second : callable
        (a, b) → ∂²V, shape (m, m), or None where it is 0.
    """

    rows: IntArray
    V: Array
    first: Array
    second: Any


class VarianceParameters:
    """The variance parameters of a fit with a residual structure, and V of its independent blocks.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        assert fit.residual is not None
        self.fit, self.model, self.x = fit, fit.residual.model, fit.residual.x
        self.random = directions_of(fit)
        own = self.model.structure.correlation
        names = [type(v).__name__ for v in self.model.structure.variances]
        self.linear = (
            type(own).__name__ == "Unstructured"
            and getattr(own, "has_variances", False)
            and names == ["VarIdent"]
            and getattr(own, "by", None) is None
            and fit.held_sigma is None
        )
        self.scaled = fit.held_sigma is None

    @property
    def is_linear(self) -> bool:
        """Whether all second derivatives of V are 0."""
        return self.linear and not any(direction.bends for direction in self.random)

    @lazy
    def visits(self) -> int:
        """Number of visits of an unstructured covariance."""
        return len(self.model.layout.labels) if self.model.layout is not None else 0

    @lazy
    def pairs(self) -> list[tuple[int, int]]:
        """Elements (row, column) of the covariance matrix of visits."""
        return [(i, j) for i in range(self.visits) for j in range(i + 1)]

    @lazy
    def count(self) -> int:
        """Number of parameters."""
        own = len(self.pairs) if self.linear else int(self.scaled) + self.x.size
        return len(self.random) + own

    @lazy
    def root_weights(self) -> Array:
        """√w of every row."""
        weights = self.fit.design.weights
        return np.ones(self.fit.design.n) if weights is None else np.sqrt(weights)

    @lazy
    def sd(self) -> Array:
        """s_i/√w_i of every row."""
        assert self.fit.residual is not None
        return self.fit.residual.multipliers / self.root_weights

    @lazy
    def components(self) -> list[IntArray]:
        """Rows of each independent block."""
        n = self.fit.design.n
        codes = [
            block.codes if block.known is None else block.known.families[block.codes]
            for block in self.fit.design.blocks
        ]
        if self.model.layout is not None:
            codes.append(self.model.groups)
        if not codes:
            return list(np.arange(n)[:, None])
        ends = np.cumsum([0, *(int(c.max()) + 1 for c in codes)])
        rows = np.tile(np.arange(n), len(codes))
        columns = np.concatenate([n + start + c for start, c in zip(ends, codes, strict=False)])
        graph = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=(n + ends[-1],) * 2)
        labels = connected_components(graph, directed=False)[1][:n]
        order = np.argsort(labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks; sets of rows with equal places, multipliers, weights and effects share one."""
        shared: dict[bytes, list[IntArray]] = {}
        for rows in self.components:
            ordered = self._ordered(rows)
            shared.setdefault(self._key(ordered), []).append(ordered)
        for sets in shared.values():
            yield self._block(np.array(sets))

    def _ordered(self, rows: IntArray) -> IntArray:
        if self.model.layout is None:
            return rows
        return rows[np.lexsort((self.place[rows, 0], self.model.groups[rows]))]

    @lazy
    def place(self) -> Array:
        """Time, visit code or coordinates of every row, in the order of the data."""
        layout = self.model.layout
        assert layout is not None
        out = np.empty_like(layout.place)
        out[layout.order] = layout.place
        return out

    def _key(self, rows: IntArray) -> bytes:
        parts = [self.sd[rows]]
        if self.model.layout is not None:
            parts += [self.place[rows], _numbers(self.model.groups[rows])]
        for block in self.fit.design.blocks:
            same = _numbers(block.codes[rows]) if block.known is None else _related(block, rows)
            parts += [block.z[rows], same]
        return b"|".join(np.ascontiguousarray(part).tobytes() for part in parts)

    def correlation(self, rows: IntArray, x: Array) -> Array:
        """Return C of some rows; 0 between groups."""
        if self.model.correlation is None:
            return np.eye(rows.size)
        groups, place = self.model.groups[rows], self.place[rows]
        out = np.zeros((rows.size, rows.size))
        for group in np.unique(groups):
            at = np.flatnonzero(groups == group)
            out[np.ix_(at, at)] = self.model.correlation.matrix(x, place[at])
        return out

    def covariance(self, rows: IntArray) -> Array:
        """Return V of some rows, in units of y², shape (m, m)."""
        s = self.fit.sigma * self.sd[rows]
        out = np.outer(s, s) * self.correlation(rows, self.x[self.model.slices[0]])
        for block, omega in zip(self.fit.design.blocks, self.fit.omega, strict=True):
            z = block.z[rows]
            out += _related(block, rows) * (z @ omega @ z.T)
        return out

    def rows_as_block(self, rows: IntArray) -> Block:
        """Return some rows as one block, with their V and its derivatives."""
        if not rows.size:
            return Block(rows[None], np.zeros((0, 0)), np.zeros((self.count, 0, 0)), lambda a, b: None)
        return self._block(rows[None])

    def _block(self, sets: IntArray) -> Block:
        rows = sets[0]
        fit, s = self.fit, self.sd[rows]
        V = np.zeros((rows.size, rows.size))
        first = []
        for f, block in enumerate(fit.design.blocks):
            related, z = _related(block, rows), block.z[rows]
            V += related * (z @ fit.omega[f] @ z.T)
            first += [related * (z @ d.first @ z.T) for d in self.random if d.block == f]
        if self.linear:
            own, second = self._by_visit(rows)
            V += fit.sigma**2 * np.outer(s, s) * self.correlation(rows, self.x[self.model.slices[0]])
        else:
            residual = _ResidualPart(self, rows)
            V += residual.V
            own, second = residual.first(), residual.second
        at = len(first)

        def second_of(a: int, b: int) -> Array | None:
            if a >= at and b >= at:
                return None if second is None else second(a - at, b - at)
            return self._random_bend(rows, a, b) if a < at and b < at else None

        return Block(sets, V, np.array([*first, *own]).reshape(-1, rows.size, rows.size), second_of)

    def _random_bend(self, rows: IntArray, a: int, b: int) -> Array | None:
        """Return the second derivative of V in two parameters of Ω; None where it is 0."""
        bend = self.random[a].second(self.random[b])
        if bend is None:
            return None
        block = self.fit.design.blocks[self.random[a].block]
        z = block.z[rows]
        return np.asarray(_related(block, rows) * (z @ bend @ z.T))

    def _by_visit(self, rows: IntArray) -> tuple[list[Array], None]:
        """Return the derivatives in the elements of the covariance matrix of visits."""
        codes, groups = self.place[rows, 0].astype(np.int64), self.model.groups[rows]
        same = (groups[:, None] == groups) / np.outer(self.root_weights[rows], self.root_weights[rows])
        out = []
        for i, j in self.pairs:
            unit = np.outer(codes == i, codes == j).astype(float)
            out.append(same * (unit if i == j else unit + unit.T))
        return out, None


def _related(block: RandomBlock, rows: IntArray) -> Array:
    """Return what multiplies the covariance of two rows' effects: 1 within a level, 0 between, or elements of A."""
    codes = block.codes[rows]
    if block.known is not None:
        return block.known.among(codes, codes)
    return np.asarray(codes[:, None] == codes, dtype=float)


def _numbers(codes: IntArray) -> Array:
    """Return codes numbered from 0 as floats."""
    return np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.float64)


class _ResidualPart:
    """σ²SCS of some rows, with first and second derivatives in (log σ², x)."""

    def __init__(self, parameters: VarianceParameters, rows: IntArray) -> None:
        self.parameters, self.rows = parameters, rows
        model, x = parameters.model, parameters.x
        self.here = model.slices[0]
        self.c = x[self.here]
        s = parameters.sd[rows]
        self.outer = parameters.fit.sigma**2 * np.outer(s, s)
        self.C = self._matrix(self.c)
        self.V = self.outer * self.C
        slopes = [law.slopes(x[at])[rows] for law, at in zip(model.variances, model.slices[1:], strict=True)]
        self.logs = np.concatenate(slopes, axis=1) if slopes else np.zeros((rows.size, 0))

    def _matrix(self, c: Array) -> Array:
        return self.parameters.correlation(self.rows, c)

    def _moved(self, **steps: float) -> Array:
        c = self.c.copy()
        for name, step in steps.items():
            c[int(name[1:])] += step
        return self._matrix(c)

    @lazy
    def slopes(self) -> list[Array]:
        """∂C/∂x of the correlation's parameters."""
        out = []
        for a in range(self.c.size):
            key = f"p{a}"
            near = (self._moved(**{key: STEP}) - self._moved(**{key: -STEP})) / (2 * STEP)
            far = (self._moved(**{key: 2 * STEP}) - self._moved(**{key: -2 * STEP})) / (4 * STEP)
            out.append((4.0 * near - far) / 3.0)
        return out

    def first(self) -> list[Array]:
        """Return the derivatives of V in log σ² (if estimated), the correlation's and the variances' parameters."""
        scale = [self.V] if self.parameters.scaled else []
        own = [self.outer * slope for slope in self.slopes]
        return [*scale, *own, *(self._sum(a) * self.V for a in range(self.logs.shape[1]))]

    def _sum(self, a: int) -> Array:
        return np.add.outer(self.logs[:, a], self.logs[:, a])

    def second(self, a: int, b: int) -> Array | None:
        """Return the second derivative of V in two of the parameters of `first`."""
        if self.parameters.scaled:
            if a == 0 or b == 0:
                return self.first()[max(a, b)]
            a, b = a - 1, b - 1
        a, b = min(a, b), max(a, b)
        size = self.c.size
        if b < size:
            return self.outer * self._second_slope(a, b)
        if a < size:
            return self.outer * self.slopes[a] * self._sum(b - size)
        return (self._sum(a - size) * self._sum(b - size) + self._bend(a - size, b - size)) * self.V

    def _second_slope(self, a: int, b: int) -> Array:
        h = 10 * STEP
        if a == b:
            return (self._moved(**{f"p{a}": h}) - 2 * self.C + self._moved(**{f"p{a}": -h})) / h**2
        corners = [self._moved(**{f"p{a}": i * h, f"p{b}": j * h}) * i * j for i in (1, -1) for j in (1, -1)]
        return np.asarray(sum(corners) / (4 * h**2))

    def _bend(self, a: int, b: int) -> Array | float:
        """Return the second derivative of log s_i + log s_j: 0 but for functions that are not linear in x."""
        model, x = self.parameters.model, self.parameters.x
        offset = 0
        for law, at in zip(model.variances, model.slices[1:], strict=True):
            size = at.stop - at.start
            if offset <= a < offset + size and offset <= b < offset + size and size > 1:
                step = STEP * np.eye(size)[b - offset]
                own = law.slopes(x[at] + step)[self.rows] - law.slopes(x[at] - step)[self.rows]
                bend = own[:, a - offset] / (2 * STEP)
                return np.add.outer(bend, bend)
            offset += size
        return 0.0
