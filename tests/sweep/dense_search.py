"""Search for the best fit of a small model by the textbook's n × n density, from many starts.

−2 log N(y; Xβ̂, σ̂²V), V = I + Σ_t Z_t (I ⊗ λ_t λ_tᵀ) Z_tᵀ, on rows multiplied by √w. Columns are first put in units
in which they have unit root mean square, and terms with an intercept and correlated slopes are centred, since Ω is then
free to take up the shift. It shares no code with the package.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from problems import Problem, Term
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import least_squares, minimize

WIDE = 1e12
"""Value of the criterion where it cannot be computed."""


@dataclass(frozen=True, eq=False)
class Block:
    """One random-effects term: rows by level and columns in the search's own basis, Z_own = Z turn."""

    term: Term
    codes: Any
    z: Any
    turn: Any

    def lam(self, theta: Any) -> Any:
        """λ in the search's basis, lower triangle column by column, or the diagonal."""
        return self.term.lam(theta)


@dataclass(frozen=True, eq=False)
class Found:
    """The best point of a search: criterion, and λ of every term in the formula's basis."""

    value: float
    lams: list[Any]
    agreed: int
    starts: int
    relative_sigma: float
    """σ̂ as a share of the least-squares residual standard deviation."""


@dataclass(frozen=True, eq=False)
class DenseSearch:
    """The profiled criterion of a problem with its gradient, in floats."""

    problem: Problem
    reml: bool
    sigma: float | None = None

    @cached_property
    def rows(self) -> Any:
        weights = self.problem.weights
        return np.arange(len(self.problem.y)) if weights is None else np.flatnonzero(np.asarray(weights) > 0)

    @cached_property
    def root_weights(self) -> Any:
        weights = self.problem.weights
        return np.ones(len(self.rows)) if weights is None else np.sqrt(np.asarray(weights, float)[self.rows])

    @cached_property
    def fixed(self) -> tuple[Any, float]:
        """An orthonormal basis of X, and log|XᵀX| of its independent columns."""
        X = np.asarray(self.problem.X, np.longdouble)[self.rows]
        roots = self.root_weights.astype(np.longdouble)
        Q = np.zeros((len(X), 0), np.longdouble)
        total = 0.0
        ordinary = self.problem.fixed.startswith("1")
        for j in range(X.shape[1]):
            column = X[:, j]
            if ordinary and j:
                column = column - column.mean()  # a determinant does not change
            column = column * roots
            size = np.linalg.norm(column.astype(float))
            for _ in range(2):
                column = column - Q @ (Q.T @ column)
            rest = float(np.sqrt(column @ column))
            if rest > 1e-10 * max(size, np.linalg.norm((X[:, j] * roots).astype(float)) * 1e-6):
                Q = np.column_stack([Q, column / rest])
                total += 2 * np.log(rest)
        return Q.astype(float), total

    @cached_property
    def response(self) -> tuple[Any, float]:
        """y less its projection on X, in units of its root mean square, and that unit."""
        Q, _ = self.fixed
        y = np.asarray(self.problem.y, np.longdouble)[self.rows] * self.root_weights
        for _ in range(3):
            y = y - Q @ (Q.T @ y)
        unit = float(np.sqrt(np.mean(y * y))) or 1.0
        return (y / unit).astype(float), unit

    @cached_property
    def blocks(self) -> list[Block]:
        out = []
        for term in self.problem.terms:
            codes = np.unique(self.problem.codes(term.group)[self.rows], return_inverse=True)[1]
            one = np.ones(len(self.problem.y), np.longdouble)
            columns = [one] * term.intercept + [
                self.problem.frame[x].to_numpy().astype(np.longdouble) for x in term.slopes
            ]
            z = np.column_stack(columns)[self.rows]
            turn = np.eye(term.k, dtype=np.longdouble)
            if term.correlated and term.intercept:
                for j in range(1, term.k):
                    turn[0, j] = -z[:, j].mean()
                z = np.column_stack([z[:, 0], *(z[:, j] - z[:, j].mean() for j in range(1, term.k))])
            z = z * self.root_weights[:, None]
            sizes = np.sqrt(np.mean(z * z, axis=0))
            sizes = np.where(sizes > 0, sizes, 1.0)
            out.append(Block(term, codes, (z / sizes).astype(float), (turn / sizes).astype(float)))
        return out

    @property
    def n_theta(self) -> int:
        return sum(block.term.n_theta for block in self.blocks)

    @property
    def nu(self) -> int:
        return len(self.rows) - (self.fixed[0].shape[1] if self.reml else 0)

    def parts(self, theta: Any) -> list[Any]:
        """θ of every term."""
        ends = np.cumsum([0] + [block.term.n_theta for block in self.blocks])
        return [theta[a:b] for a, b in itertools.pairwise(ends)]

    @cached_property
    def constant(self) -> float:
        _, log_xx = self.fixed
        _, unit = self.response
        nu = self.nu
        value = -2 * np.log(self.root_weights).sum() + (log_xx if self.reml else 0.0)
        if self.sigma is None:
            return float(value + nu * (1 + np.log(2 * np.pi * unit**2 / nu)))
        return float(value + nu * np.log(2 * np.pi * self.sigma**2))

    def at(self, theta: Any) -> tuple[float, Any]:
        """Criterion and gradient at θ in the search's basis."""
        n = len(self.rows)
        lams = [block.lam(part) for block, part in zip(self.blocks, self.parts(theta), strict=True)]
        V = np.eye(n)
        for block, lam in zip(self.blocks, lams, strict=True):
            U = block.z @ lam
            V += np.where(block.codes[:, None] == block.codes[None, :], U @ U.T, 0.0)
        if not np.all(np.isfinite(V)):
            return WIDE, np.zeros(theta.size)
        try:
            factor = cho_factor(V, lower=True)
            Q, _ = self.fixed
            y, unit = self.response
            Vq = cho_solve(factor, Q)
            inner = cho_factor(Q.T @ Vq, lower=True)
        except np.linalg.LinAlgError:
            return WIDE, np.zeros(theta.size)
        Vi = cho_solve(factor, np.eye(n))
        P = Vi - Vq @ cho_solve(inner, Vq.T)
        r = P @ y
        prss = float(y @ r)
        if not prss > 0:
            return WIDE, np.zeros(theta.size)
        value = self.constant + 2 * np.log(np.diag(factor[0])).sum()
        if self.reml:
            value += 2 * np.log(np.diag(inner[0])).sum()
        if self.sigma is None:
            value += self.nu * np.log(prss)
            G = (P if self.reml else Vi) - (self.nu / prss) * np.outer(r, r)
        else:
            share = (unit / self.sigma) ** 2
            value += prss * share
            G = (P if self.reml else Vi) - share * np.outer(r, r)
        slopes = []
        for block, lam in zip(self.blocks, lams, strict=True):
            same = block.codes[:, None] == block.codes[None, :]
            full = 2.0 * (block.z.T @ (np.where(same, G, 0.0) @ block.z)) @ lam
            if block.term.correlated:
                columns, rows = np.triu_indices(block.term.k)
                slopes.append(full[rows, columns])
            else:
                slopes.append(np.diag(full))
        return float(value), np.concatenate(slopes)

    def starts(self, number: int, rng: np.random.Generator) -> Sequence[Any]:
        """Points over six decades of relative SDs, some with terms at 0."""
        out = []
        for i in range(number):
            parts = []
            for block in self.blocks:
                size = 10.0 ** rng.uniform(-1.5, 2.0 if i % 3 else 1.0)
                lam = np.tril(rng.normal(size=(block.term.k,) * 2)) * size
                if not block.term.correlated:
                    parts.append(
                        np.abs(rng.normal(size=block.term.k))
                        * size
                        * 10.0 ** rng.uniform(-1, 1, block.term.k)
                    )
                    continue
                lam *= (10.0 ** rng.uniform(-0.7, 0.7, block.term.k))[:, None]
                columns, rows = np.triu_indices(block.term.k)
                parts.append(lam[rows, columns])
            out.append(np.concatenate(parts))
        return out

    def best(self, number: int, rng: np.random.Generator, extra: Sequence[Any] = ()) -> Found:
        """Minimise from `number` starts and return the best point."""
        found = []
        for start in [np.ones(self.n_theta), *extra, *self.starts(number - 1, rng)]:
            result = minimize(self.at, start, jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 300})
            found.append((float(result.fun), np.asarray(result.x)))
        value, theta = min(found, key=lambda pair: pair[0])
        agreed = sum(v < value + 1e-4 for v, _ in found)
        lams = [
            block.turn @ block.lam(part) for block, part in zip(self.blocks, self.parts(theta), strict=True)
        ]
        return Found(value, lams, agreed, len(found), self._relative_sigma(theta))

    def falls_without_bound(self) -> bool:
        """Return whether the criterion falls without a bound as SDs grow, by rank, for some choice of effects.

        With U = [X ZΛ], y in the span of U, and rank(U) (rank(ZΛ) under ML) below n. Λ is generic, of every rank.
        """
        n = len(self.rows)
        Q, _ = self.fixed
        y, _ = self.response
        rng = np.random.default_rng(1)
        for choice in (own for special in (False, True) for own in self._choices(rng, special)):
            Z = np.hstack(
                [self._spread(block, root) for block, root in zip(self.blocks, choice, strict=True)]
            )
            rank_z, _ = orthonormal(Z)
            rank, basis = orthonormal(np.hstack([Q, Z]))
            rest = np.linalg.norm(y - basis @ (basis.T @ y)) / np.linalg.norm(y)
            if rest < 1e-7 and (rank if self.reml else rank_z) < n:
                return True
        return False

    def _spread(self, block: Block, root: Any) -> Any:
        levels = int(block.codes.max()) + 1
        out = np.zeros((len(block.codes), levels, block.term.k))
        out[np.arange(len(block.codes)), block.codes] = block.z @ root
        return out.reshape(len(block.codes), -1)

    def _choices(self, rng: np.random.Generator, special: bool) -> Any:
        kinds = []
        for block in self.blocks:
            k = block.term.k
            if block.term.correlated:
                generic = rng.normal(size=(k, k))
                kinds.append([np.where(np.arange(k) < r, generic, 0.0) for r in range(k + 1)])
                kinds[-1] += self._directions(block) if special else []
            else:
                kinds.append([np.diag(np.array(c, float)) for c in itertools.product((1, 0), repeat=k)])
        return itertools.product(*kinds)

    def _directions(self, block: Block) -> list[Any]:
        """Directions in which the rank is lower by chance or y is reproduced.

        They are those in which levels with few rows have no effect, those of the best fit at large SDs, and solutions
        of y = Xβ + Z(S ⊗ b) for b and S, among them S within and around those that levels do not see, without and
        with all effects of the other blocks.
        """
        k, unseen = block.term.k, []
        for level in range(int(block.codes.max()) + 1):
            _, values, right = np.linalg.svd(block.z[block.codes == level])
            rank = int(np.sum(values > 1e-12 * values.max(initial=1e-300)))
            if rank < k:
                unseen.append(right[rank:].T)
        out = list(unseen)
        for start in (30.0, 1000.0):
            for seed in range(4):
                theta = start * np.random.default_rng(seed).normal(size=self.n_theta)
                result = minimize(self.at, theta, jac=True, method="BFGS", options={"maxiter": 200})
                lam = block.lam(self.parts(result.x)[self.blocks.index(block)])
                left, values, _ = np.linalg.svd(lam)
                out += [left[:, :r] for r in range(1, k) if values[0] > 0]
        none, whole = np.zeros((k, 0)), np.eye(k)
        pairs = [(none, whole), *((none, own) for own in unseen), *((own, whole) for own in unseen)]
        for one, other in itertools.combinations(unseen, 2):
            both = orthonormal(np.hstack([one, other]))[1]
            common = complement(np.hstack([complement(one), complement(other)]))
            out += [d for d in (both, common) if 0 < d.shape[1] < k]
            pairs += [(both, whole), (none, common)]
        for held, frame in pairs:
            for r in range(1, frame.shape[1] - held.shape[1] + 1):
                if held.shape[1] + r < k:
                    for span in self._spans_beside(block):
                        out += self._solutions(block, held, frame, r, span)
        return [np.hstack([d, np.zeros((d.shape[0], d.shape[0] - d.shape[1]))]) for d in out]

    def _spans_beside(self, block: Block) -> list[Any]:
        """Orthonormal bases of X and all, some or none of the effects of the other blocks, if these leave rows over.

        Of uncorrelated effects any may be 0, of others all or none.
        """
        Q, _ = self.fixed
        out = [Q]
        kept = [
            [np.diag(np.array(c, float)) for c in itertools.product((0, 1), repeat=other.term.k)]
            if not other.term.correlated
            else [np.zeros((other.term.k, other.term.k)), np.eye(other.term.k)]
            for other in self.blocks
            if other is not block
        ]
        others = [other for other in self.blocks if other is not block]
        for chosen in itertools.product(*kept):
            wider = [self._spread(other, root) for other, root in zip(others, chosen, strict=True)]
            rank, basis = orthonormal(np.hstack([Q, *wider]))
            if Q.shape[1] < rank < len(self.rows):
                out.append(basis)
        return out

    def _solutions(self, block: Block, held: Any, frame: Any, r: int, Q: Any, starts: int = 40) -> list[Any]:
        """Bases of subspaces S of the frame, beside `held`, with y = Qβ + Z(S ⊗ b) for some b, by Gauss and Newton."""
        y, _ = self.response
        levels, m = int(block.codes.max()) + 1, frame.shape[1]
        out = []

        def basis(unknown: Any) -> Any:
            return np.hstack([held, frame @ unknown[: m * r].reshape(m, r)])

        def residual(unknown: Any) -> Any:
            effects = unknown[m * r :].reshape(levels, -1)[block.codes]
            rest = y - np.sum((block.z @ basis(unknown)) * effects, axis=1)
            return rest - Q @ (Q.T @ rest)

        for seed in range(starts):
            first = np.random.default_rng(seed).normal(size=m * r + levels * (held.shape[1] + r))
            result = least_squares(residual, first, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=400)
            if np.linalg.norm(result.fun) < 1e-9 * np.linalg.norm(y):
                out.append(orthonormal(basis(result.x))[1])
                break
        return out

    def _relative_sigma(self, theta: Any) -> float:
        n = len(self.rows)
        V = np.eye(n)
        for block, part in zip(self.blocks, self.parts(theta), strict=True):
            U = block.z @ block.lam(part)
            V += np.where(block.codes[:, None] == block.codes[None, :], U @ U.T, 0.0)
        Q, _ = self.fixed
        y, _ = self.response
        try:
            Vq, Vy = np.linalg.solve(V, Q), np.linalg.solve(V, y)
        except np.linalg.LinAlgError:  # SDs beyond all digits
            return 0.0
        prss = float(y @ (Vy - Vq @ np.linalg.lstsq(Q.T @ Vq, Q.T @ Vy, rcond=None)[0]))
        return float(np.sqrt(max(prss, 0.0) / max(self.nu, 1)))


def orthonormal(columns: Any) -> tuple[int, Any]:
    """Rank and an orthonormal basis of columns."""
    norms = np.linalg.norm(columns, axis=0)
    left, values, _ = np.linalg.svd(columns[:, norms > 0] / norms[norms > 0], full_matrices=False)
    rank = int(np.sum(values > 1e-9 * values.max(initial=1e-300)))
    return rank, left[:, :rank]


def complement(columns: Any) -> Any:
    """An orthonormal basis of what is orthogonal to the columns."""
    left, values, _ = np.linalg.svd(columns)
    rank = int(np.sum(values > 1e-9 * values.max(initial=1e-300)))
    return left[:, rank:]
