"""`ResidualModel`: a residual structure on the rows of a design, R(x) = D C D in units of σ²."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy

from .neighbours import NeighbourRoot
from .parts import CorrelationLaw, Layout, Natural, Root, VarianceLaw
from .structure import ResidualStructure

__all__ = ["ResidualModel", "ResidualRoot", "Tie"]


@dataclass(frozen=True, slots=True)
class Tie:
    """A variance parameter that the design does not tell from others.

    Attributes
    ----------
    kind : {"effects", "structure", "sigma", "residual"}
        An element of a covariance of random effects, a parameter of a structure such as ``ar1``, σ², or a parameter of
        the residual structure.
    words : str
    block : int
        Position of the grouping factor, −1 for residual parameters.
    first, second : int
        Effects of an element; position of another parameter.
    unseen : bool
        Whether the likelihood does not depend on it at all, rather than on a sum of it and others.
    """

    kind: Literal["effects", "structure", "sigma", "residual"]
    words: str
    block: int = -1
    first: int = -1
    second: int = -1
    unseen: bool = False


@dataclass(frozen=True, eq=False)
class ResidualModel:
    """A residual structure on rows.

    Attributes
    ----------
    structure : ResidualStructure
    layout : Layout or None
        Groups of correlated rows; None without a correlation.
    correlation : CorrelationLaw or None
    variances : tuple of VarianceLaw
        In the order of the structure's variance functions.
    default_group : bool
        Whether the group was not given, but taken from the random terms.
    tied : (tuple of Tie, tuple of Tie)
        Parameters that the design does not tell apart, with σ estimated and with σ held.
    tied_reml : (tuple of Tie, tuple of Tie)
        The same for REML, to which rows that the fixed effects reproduce say nothing.
    columns : mapping of str to pandas.Series
        The columns that the structure needs, on the rows.
    """

    structure: ResidualStructure
    layout: Layout | None
    correlation: CorrelationLaw | None
    variances: tuple[VarianceLaw, ...]
    default_group: bool = False
    tied: tuple[tuple[Tie, ...], tuple[Tie, ...]] = ((), ())
    tied_reml: tuple[tuple[Tie, ...], tuple[Tie, ...]] = ((), ())
    columns: Mapping[str, Any] = field(default_factory=dict)

    @lazy
    def slices(self) -> tuple[slice, ...]:
        """Place in x of the parameters of the correlation and of each variance function."""
        parts = [
            () if self.correlation is None else self.correlation.start,
            *(v.start for v in self.variances),
        ]
        ends = np.cumsum([0, *(len(part) for part in parts)])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @lazy
    def start(self) -> Array:
        """Starting value of x."""
        parts = [] if self.correlation is None else [self.correlation.start]
        return np.concatenate([*parts, *(v.start for v in self.variances), np.zeros(0)])

    @lazy
    def further_starts(self) -> list[Array]:
        """Other starting values, of structures whose criterion may have several minima."""
        laws: list[Any] = [*([] if self.correlation is None else [self.correlation]), *self.variances]
        out = []
        for law, here in zip(laws, self.slices[int(self.correlation is None) :], strict=True):
            for start in law.further_starts:
                moved = self.start.copy()
                moved[here] = start
                out.append(moved)
        return out

    def other_side(self, x: Array) -> Array | None:
        """Return a further start for a search that ended at x, where an autoregression may have stopped at 0."""
        law: Any = self.correlation
        own = law.other_side(x[self.slices[0]]) if hasattr(law, "other_side") else None
        if own is None:
            return None
        out = x.copy()
        out[self.slices[0]] = own
        return out

    def ties(self, reml: bool, held: bool) -> tuple[Tie, ...]:
        """Return the parameters that the design does not tell apart; `held` is whether σ is."""
        return (self.tied_reml if reml else self.tied)[int(held)]

    @property
    def n_parameters(self) -> int:
        """Number of parameters besides σ."""
        return int(self.start.size)

    @property
    def of_fitted(self) -> bool:
        """Whether a variance function depends on the fitted values."""
        return any(getattr(factor, "of_fitted", False) for factor in self.structure.variances)

    def natural(self, x: Array) -> list[Natural]:
        """Return the parameters for people."""
        first, *rest = self.slices
        out = [] if self.correlation is None else self.correlation.natural(x[first])
        for law, here in zip(self.variances, rest, strict=True):
            out += law.natural(x[here])
        return out

    def natural_slopes(self, x: Array) -> Array:
        """Return ∂(natural parameters)/∂x, by central differences of closed formulas, shape (natural, parameters)."""
        out = np.zeros((len(self.natural(x)), x.size))
        for a in range(x.size):
            step = 1e-5 * max(abs(float(x[a])), 1.0)
            up, down = x.copy(), x.copy()
            up[a] += step
            down[a] -= step
            ahead = np.array([p.value for p in self.natural(up)])
            behind = np.array([p.value for p in self.natural(down)])
            out[:, a] = (ahead - behind) / (2.0 * step)
        return out

    def log_sd(self, x: Array) -> Array:
        """Return the logarithm of each row's SD multiplier, shape (n,) or () without variance functions."""
        total = np.zeros(())
        for law, here in zip(self.variances, self.slices[1:], strict=True):
            total = total + law.log_sd(x[here])
        return np.asarray(total)

    def root(self, x: Array) -> ResidualRoot:
        """Return R = (DL)(DL)ᵀ at x.

        Raises
        ------
        FloatingPointError
            If R is not positive definite in floating-point numbers.
        """
        return ResidualRoot(self, x)

    def matrix(self, x: Array, rows: IntArray) -> Array:
        """Return R of some rows in the order given, shape (m, m); rows of different groups have covariance 0."""
        logs = self.log_sd(x)
        sd = np.exp(logs[rows]) if logs.ndim else np.ones(rows.size)
        if self.correlation is None or self.layout is None:
            return np.diag(sd**2)
        place = self.layout.place[self._position[rows]]
        groups = self.groups[rows]
        same = groups[:, None] == groups
        out = np.eye(rows.size)
        for group in np.unique(groups):
            at = np.flatnonzero(groups == group)
            out[np.ix_(at, at)] = self.correlation.matrix(x[self.slices[0]], place[at])
        return np.asarray(np.where(same, out, 0.0) * np.outer(sd, sd))

    @lazy
    def _position(self) -> IntArray:
        """Sorted position of each row of the data."""
        assert self.layout is not None
        out = np.empty(self.layout.n, np.int64)
        out[self.layout.order] = np.arange(self.layout.n)
        return out

    @lazy
    def groups(self) -> IntArray:
        """Group of each row of the data."""
        assert self.layout is not None
        out = np.empty(self.layout.n, np.int64)
        out[self.layout.order] = np.repeat(np.arange(self.layout.sizes.size), self.layout.sizes)
        return out


class ResidualRoot:
    """R = (DL)(DL)ᵀ at one x. Rows are in the order of the data.

    Parameters
    ----------
    model : ResidualModel
    x : ndarray, shape (parameters,)
    """

    def __init__(self, model: ResidualModel, x: Array) -> None:
        self.model, self.x = model, x
        self.log_sd = model.log_sd(x)
        if not np.all(np.isfinite(self.log_sd)) or np.any(np.abs(self.log_sd) > 200.0):
            raise FloatingPointError("a residual SD is not finite")
        self.inner: Root | None = None
        counts = None if model.layout is None else model.layout.counts
        self.counts = np.ones(self.log_sd.shape) if counts is None else counts
        self.logdet = 2.0 * float((self.log_sd * self.counts).sum()) if self.log_sd.ndim else 0.0
        if model.correlation is not None:
            with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
                self.inner = model.correlation.root(x[model.slices[0]])
            self.logdet += self.inner.logdet
        if not np.isfinite(self.logdet):
            raise FloatingPointError("the determinant of the residual covariance is not finite")

    def _sorted(self, rows: Array) -> Array:
        layout = self.model.layout
        return rows if layout is None or layout.is_sorted else rows[layout.order]

    def _unsorted(self, rows: Array) -> Array:
        layout = self.model.layout
        if layout is None or layout.is_sorted:
            return rows
        out = np.empty_like(rows)
        out[layout.order] = rows
        return out

    def _scaled(self, rows: Array, sign: float) -> Array:
        return rows * np.exp(sign * self.log_sd)[:, None] if self.log_sd.ndim else rows

    def whiten(self, rows: Array) -> Array:
        """Return (DL)⁻¹ rows, shape (n, m)."""
        scaled = self._scaled(rows, -1.0)
        return scaled if self.inner is None else self._unsorted(self.inner.whiten(self._sorted(scaled)))

    def back(self, rows: Array) -> Array:
        """Return (DL)⁻ᵀ rows, shape (n, m)."""
        own = rows if self.inner is None else self._unsorted(self.inner.back(self._sorted(rows)))
        return self._scaled(own, -1.0)

    def colour(self, rows: Array) -> Array:
        """Return DL rows, shape (n, m)."""
        own = rows if self.inner is None else self._unsorted(self.inner.colour(self._sorted(rows)))
        return self._scaled(own, 1.0)

    def precision_diagonal(self) -> Array:
        """Return the diagonal of R⁻¹, shape (n,), for correlations with the Markov property."""
        assert isinstance(self.inner, NeighbourRoot)
        own = self._unsorted(self.inner.precision_diagonal())
        return np.asarray(own * np.exp(-2.0 * self.log_sd) if self.log_sd.ndim else own)

    def slope(self, rows: Array) -> Array:
        """Return ∂(log|R| + Σ|(DL)⁻¹ rows|²)/∂x with `rows` held, shape (parameters,)."""
        model = self.model
        scaled = self._scaled(rows, -1.0)
        back, first = scaled, np.zeros(0)
        if self.inner is not None:
            ordered = self._sorted(scaled)
            inner = self.inner.whiten(ordered)
            first = self.inner.slope(inner, ordered)
            if model.variances:
                back = self._unsorted(self.inner.back(inner))
        parts = [first]
        if model.variances:
            along = 2.0 * self.counts - 2.0 * np.einsum("ij,ij->i", back, scaled)
            for law, here in zip(model.variances, model.slices[1:], strict=True):
                parts.append(along @ law.slopes(self.x[here]))
        return np.concatenate(parts)

    def information(self, free_sigma: bool) -> Array:
        """Return the expected second derivative of log|R| + yᵀR⁻¹y/σ² in x for y with variance σ²R.

        tr(R⁻¹R_a R⁻¹R_b), less t_a t_b/n with t_a = tr(R⁻¹R_a) if σ² is estimated too. With R = SCS, R_a = S_aR + RS_a
        for the parameters of variance functions.

        Parameters
        ----------
        free_sigma : bool
            Whether σ is estimated.

        Returns
        -------
        ndarray, shape (parameters, parameters)
        """
        model = self.model
        n = self.log_sd.size if self.log_sd.ndim or model.layout is None else model.layout.n
        along = [
            law.slopes(self.x[here]) for law, here in zip(model.variances, model.slices[1:], strict=True)
        ]
        logs = self._sorted(np.concatenate([np.zeros((n, 0)), *along], axis=1))
        if self.inner is None:
            own, total, turned = np.zeros((n, 0)), np.zeros((0, 0)), logs
        else:
            own, total, turned = (
                self.inner.own_slopes(),
                self.inner.information(),
                self.inner.by_elements(logs),
            )
        crossed = 2.0 * own.T @ logs
        total = np.block([[total, crossed], [crossed.T, 2.0 * logs.T @ (logs + turned)]])
        traces = np.concatenate([own.sum(axis=0), 2.0 * logs.sum(axis=0)])
        return np.asarray(total - np.outer(traces, traces) / n if free_sigma else total)
