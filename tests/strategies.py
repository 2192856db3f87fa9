"""Random mixed models for property tests: small data of every shape that a formula can describe.

hypothesis draws the shape (factors, effects, weights, scales); the numbers come from a generator whose seed
it draws, so that a failure shrinks to a simple shape. Every problem carries its frame and formula beside the
matrices that they stand for, built here by hand.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from oracles import DenseModel, exactly

from mixedfit import modelframe
from mixedfit.crossprod import cross_products
from mixedfit.criterion import Criterion
from mixedfit.design import Design, build_design
from mixedfit.formula import parse_formula

FEW = 3
"""Number of levels above which a fixed factor goes by codes in these problems."""

NUMBERS = ("x1", "x2", "x3")


@dataclass(frozen=True)
class Term:
    """One random-effects term: what stands left and right of its bar."""

    group: str
    intercept: bool
    slopes: tuple[str, ...]
    correlated: bool = True

    @property
    def k(self) -> int:
        """Effects per level."""
        return int(self.intercept) + len(self.slopes)

    @property
    def n_theta(self) -> int:
        """Covariance parameters."""
        return self.k * (self.k + 1) // 2 if self.correlated else self.k

    def text(self) -> str:
        """Return the term as a formula writes it."""
        left = " + ".join([str(int(self.intercept)), *self.slopes])
        return f"({left} {'|' if self.correlated else '||'} {self.group})"

    def lam(self, theta: Any) -> Any:
        """Return λ of the term's own θ: the lower triangle column by column, or the diagonal."""
        lam = np.zeros((self.k, self.k), dtype=np.asarray(theta).dtype)
        if lam.dtype == object:
            lam[:] = exactly(0.0)
        if not self.correlated:
            lam[np.diag_indices(self.k)] = theta
            return lam
        columns, rows = np.triu_indices(self.k)
        lam[rows, columns] = theta
        return lam


@dataclass(frozen=True, eq=False)
class Problem:
    """A random model: frame and formula, and the matrices that they stand for.

    Attributes
    ----------
    frame : pandas.DataFrame
    fixed : str
        Fixed part of the formula.
    terms : tuple of Term
    X : ndarray, shape (n, p)
        Columns of the fixed part, codes of a many-level factor written out as indicators at the end.
    weights : ndarray, shape (n,), or None
    """

    frame: pd.DataFrame
    fixed: str
    terms: tuple[Term, ...]
    X: Any
    weights: Any = None
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        weights = None if self.weights is None else self.weights.tolist()
        return f"Problem({self.formula!r}, weights={weights}, data={self.frame.to_dict('list')})"

    @property
    def formula(self) -> str:
        """The model's formula."""
        return " + ".join([f"y ~ {self.fixed}", *(term.text() for term in self.terms)])

    @property
    def y(self) -> Any:
        """The response, shape (n,)."""
        return self.frame["y"].to_numpy()

    def groups(self) -> list[str]:
        """Return the grouping factors by decreasing number of levels, ties in the formula's order."""
        names = list(dict.fromkeys(term.group for term in self.terms))
        return sorted(names, key=lambda name: -(self.codes(name).max() + 1))

    def codes(self, group: str) -> Any:
        """Return the level of each row, levels in sorted order (the first of two factors varying slowest)."""
        codes = np.zeros(len(self.frame), dtype=int)
        for name in group.split(":"):
            own = np.unique(self.frame[name].astype(str), return_inverse=True)[1]
            codes = codes * len(self.frame) + own
        return np.unique(codes, return_inverse=True)[1]

    def z(self, group: str) -> Any:
        """Return the columns of all effects of a grouping factor, shape (n, k)."""
        one = np.ones(len(self.frame))
        return np.column_stack(
            [
                column
                for term in self.terms
                if term.group == group
                for column in [one] * term.intercept + [self.frame[x].to_numpy() for x in term.slopes]
            ]
        )

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters."""
        return sum(term.n_theta for term in self.terms)

    def lams(self, theta: Any) -> list[Any]:
        """Return λ of every grouping factor at θ, in the order of `groups`."""
        theta, at, out = np.asarray(theta), 0, []
        for group in self.groups():
            blocks = []
            for term in (t for t in self.terms if t.group == group):
                blocks.append(term.lam(theta[at : at + term.n_theta]))
                at += term.n_theta
            out.append(block_diagonal(blocks))
        return out

    def dense(self, *, exact: bool = True) -> DenseModel:
        """Return the model as the oracle takes it."""
        groups = [(self.codes(g), self.z(g)) for g in self.groups()]
        return DenseModel(self.y, self.X, groups, self.weights, exact)

    def design(self) -> Design:
        """Return the package's design of formula and frame."""
        with many_levels(FEW):
            return build_design(parse_formula(self.formula), self.frame, weights=self.weights)

    def criterion(self, *, reml: bool, sigma: float | None = None) -> Criterion:
        """Return the package's criterion."""
        design = self.design()
        structures = tuple(block.structure for block in design.blocks)
        return Criterion(cross_products(design), structures, reml, sigma)

    def with_frame(self, **columns: Any) -> Problem:
        """Return the problem with some columns of its frame replaced; X is left as it is."""
        return replace(self, frame=self.frame.assign(**columns))


@contextmanager
def many_levels(levels: int) -> Any:
    """Let fixed factors with more than a few levels go by codes."""
    with patch.object(modelframe, "MANY_LEVELS", levels):
        yield


def block_diagonal(blocks: list[Any]) -> Any:
    """Return square matrices side by side on the diagonal, whatever their numbers are."""
    size = sum(len(block) for block in blocks)
    out = np.zeros((size, size), dtype=blocks[0].dtype)
    if out.dtype == object:
        out[:] = exactly(0.0)
    at = 0
    for block in blocks:
        out[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return out


# -- drawing ---------------------------------------------------------------------------------------


@st.composite
def terms(draw: st.DrawFn, groups: list[str]) -> tuple[Term, ...]:
    """Draw one or two random-effects terms for every grouping factor."""
    out: list[Term] = []
    for group in groups:
        slopes = draw(st.sampled_from([(), (), ("x1",), ("x1", "x2"), ("x1", "x2", "x3")]))
        correlated = draw(st.booleans())
        split = len(slopes) >= 1 and draw(st.booleans())
        if not split:
            intercept = draw(st.booleans()) or not slopes
            out.append(Term(group, intercept, slopes, correlated or not slopes))
            continue
        out += [Term(group, True, slopes[:-1], correlated), Term(group, False, slopes[-1:])]
    return tuple(out)


FIXED = ("1", "1 + x1", "1 + x1 + x2", "0 + x1", "0", "1 + f", "1 + x1 + x2 + x4 + f", "1 + x1 + m", "0 + m + x2")
"""Fixed parts; x4 = x1 + x2, f has two or three levels, m more than FEW."""


@st.composite
def problems(draw: st.DrawFn, *, wild: bool = True, rows: tuple[int, int] = (10, 22)) -> Problem:
    """Draw a model with its data.

    Parameters
    ----------
    wild : bool
        Whether to shift and scale columns badly, to make columns of X collinear and to give tiny factors.
    rows : (int, int)
        Least and greatest number of rows.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(*rows))
    frame, factors = draw(groupings(n, rng))
    chosen = draw(terms(factors))
    numbers = {name: rng.normal(size=n) for name in NUMBERS}
    if wild and draw(st.booleans()):
        numbers = {name: np.round(values) for name, values in numbers.items()}
    scales = {name: draw(scalings()) if wild else (1.0, 0.0) for name in ("y", *NUMBERS)}
    numbers = {name: scales[name][0] * (values + scales[name][1]) for name, values in numbers.items()}
    frame = frame.assign(**numbers, x4=numbers["x1"] + numbers["x2"])
    frame["f"] = np.array(["u", "v", "w"])[rng.integers(0, draw(st.integers(2, 3)), n)]
    frame["f"] = frame["f"].where(np.arange(n) > 1, np.array(["u", "v"] * n)[:n])
    frame["m"] = np.array(list("abcdef"))[np.concatenate([np.arange(4), rng.integers(0, 6, n - 4)])]
    fixed = draw(st.sampled_from(FIXED if wild else tuple(f for f in FIXED if "x4" not in f)))
    scale, shift = scales["y"]
    frame["y"] = scale * (rng.normal(size=n) + group_effects(frame, factors, rng) + shift)
    weights = draw(st.sampled_from([None, None, "positive", "zeros"]))
    values = None if weights is None else rng.choice([0.5, 1.0, 2.0, 3.7], n)
    if weights == "zeros":
        values = np.where(rng.random(n) < 0.2, 0.0, values)
    return Problem(frame, fixed, chosen, fixed_columns(fixed, frame), values, scales)


def scalings() -> st.SearchStrategy[tuple[float, float]]:
    """Draw scale and shift of a column: mostly none, sometimes extreme."""
    return st.sampled_from([(1.0, 0.0)] * 5 + [(1e8, 0.0), (1e-8, 0.0), (1.0, 1e6), (1e-8, 1e6)])


@st.composite
def groupings(draw: st.DrawFn, n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    """Draw one to three grouping factors: crossed, nested, partly crossed; some levels with one row."""
    g = spread_codes(draw(st.integers(2, 6)), n, rng)
    columns = {"g": label("g", g)}
    factors = ["g"]
    for name in ("h", "k")[: draw(st.integers(0, 2))]:
        relation = draw(st.sampled_from(["crossed", "nested", "partly", "interaction"]))
        own = spread_codes(draw(st.integers(2, 4)), n, rng)
        if relation == "nested":
            own = np.unique(10 * g + own % 2, return_inverse=True)[1]
        elif relation == "partly":
            own = np.where(rng.random(n) < 0.7, g % 3, own)
        columns[name] = label(name, own)
        factors.append(f"g:{name}" if relation == "interaction" else name)
    order = draw(st.permutations(factors))
    return pd.DataFrame(columns), list(order)


def spread_codes(levels: int, n: int, rng: np.random.Generator) -> Any:
    """Return unbalanced codes in which each of the first levels has at least one row."""
    shares = rng.dirichlet(np.full(levels, 1.5))
    codes = rng.choice(levels, size=n, p=shares)
    codes[rng.choice(n, size=levels, replace=False)] = np.arange(levels)
    return codes


def label(name: str, codes: Any) -> list[str]:
    """Return labels of codes whose sorted order is the codes' order."""
    return [f"{name}{code:02d}" for code in codes]


def group_effects(frame: pd.DataFrame, factors: list[str], rng: np.random.Generator) -> Any:
    """Return true random effects of every factor, intercept and slope, shape (n,)."""
    total = np.zeros(len(frame))
    for factor in factors:
        labels = frame[factor.split(":")].agg(":".join, axis=1)
        codes = np.unique(labels, return_inverse=True)[1]
        total += rng.choice([0.0, 1.0, 2.0]) * rng.normal(size=codes.max() + 1)[codes]
        total += rng.choice([0.0, 1.0]) * rng.normal(size=codes.max() + 1)[codes] * rng.normal(size=len(frame))
    return total


def fixed_columns(fixed: str, frame: pd.DataFrame) -> Any:
    """Return X of a fixed part, indicators of the factor m last."""
    parts = fixed.split(" + ")
    columns = [np.ones(len(frame))] if parts[0] == "1" else []
    for part in [p for p in parts[1:] if p != "m"] + [p for p in parts[1:] if p == "m"]:
        if part in frame and part not in ("f", "m"):
            columns.append(frame[part].to_numpy())
            continue
        reference = int(parts[0] == "1")
        columns += [(frame[part] == level).to_numpy() * 1.0 for level in sorted(set(frame[part]))[reference:]]
    return np.column_stack(columns) if columns else np.zeros((len(frame), 0))


@st.composite
def thetas(draw: st.DrawFn, problem: Problem) -> Any:
    """Draw θ of a problem: generic, with zeros on the diagonal of λ, or with whole factors at zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for group in problem.groups():
        for term in (t for t in problem.terms if t.group == group):
            kind = draw(st.sampled_from(["generic", "generic", "small", "large", "pivot", "zero"]))
            parts.append(term_theta(term, kind, problem, rng))
    return np.concatenate(parts)


def term_theta(term: Term, kind: str, problem: Problem, rng: np.random.Generator) -> Any:
    """Return one term's θ, in units in which its effects matter."""
    size = {"small": 0.02, "large": 20.0, "zero": 0.0}.get(kind, 1.0)
    lam = np.tril(size * rng.normal(size=(term.k, term.k)))
    if kind == "pivot":
        lam[rng.integers(term.k)] = 0.0 if rng.random() < 0.5 else lam[rng.integers(term.k)]
        lam = np.tril(lam)
        at = rng.integers(term.k)
        lam[at, at] = 0.0
    names = ["1"] * term.intercept + list(term.slopes)
    scale, shift = np.array([problem.scales.get(name, (1.0, 0.0)) for name in names]).T
    if not (term.correlated and term.intercept) or kind == "pivot":
        lam = lam / np.maximum(1.0, np.abs(shift))[:, None]
    else:
        lam = lower(unshifted(shift) @ lam)
    lam = lam / scale[:, None]
    columns, rows = np.triu_indices(term.k)
    return lam[rows, columns] if term.correlated else np.diag(lam)


def unshifted(shift: Any) -> Any:
    """Return T with (1, x + shift) b = (1, x) b̃ for b = T b̃."""
    out = np.eye(len(shift))
    out[0] -= shift
    return out


def lower(root: Any) -> Any:
    """Return the lower-triangular L with LLᵀ = root rootᵀ."""
    return np.linalg.qr(root.T, mode="r").T
