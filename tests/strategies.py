"""hypothesis strategies for random mixed models: small data of every shape that a formula can describe.

hypothesis draws the shape (factors, effects, weights, scales); the numbers come from a generator whose seed
it draws, so that a failure shrinks to a simple shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import assume
from hypothesis import strategies as st
from problems import Problem, Term

NUMBERS = ("x1", "x2", "x3")


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


FIXED = (
    "1",
    "1 + x1",
    "1 + x1 + x2",
    "0 + x1",
    "0",
    "1 + f",
    "1 + x1 + x2 + x4 + f",
    "1 + x1 + m",
    "0 + m + x2",
)
"""Fixed parts; x4 = x1 + x2, f has two or three levels, m more than FEW."""


@st.composite
def problems(
    draw: st.DrawFn, *, wild: bool = True, rows: tuple[int, int] = (10, 22), fixed: tuple[str, ...] = FIXED
) -> Problem:
    """Draw a model with its data.

    Parameters
    ----------
    wild : bool
        Whether to shift and scale columns badly, to make columns of X collinear and to give tiny factors.
    rows : (int, int)
        Least and greatest number of rows.
    fixed : tuple of str
        Fixed parts to choose from.
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
    fixed_part = draw(st.sampled_from(fixed if wild else tuple(f for f in fixed if "x4" not in f)))
    scale, shift = scales["y"]
    frame["y"] = scale * (rng.normal(size=n) + group_effects(frame, factors, rng) + shift)
    weights = draw(st.sampled_from([None, None, "positive", "zeros"]))
    values = None if weights is None else rng.choice([0.5, 1.0, 2.0, 3.7], n)
    if weights == "zeros":
        values = np.where(rng.random(n) < 0.2, 0.0, values)
    if "m" in fixed_part:
        assume(codes_are_harmless(fixed_part, frame, values, scales))
    return Problem(frame, fixed_part, chosen, values, scales)


def codes_are_harmless(
    fixed: str, frame: pd.DataFrame, weights: Any, scales: dict[str, tuple[float, float]]
) -> bool:
    """Return whether a fixed factor by codes keeps a counted row a level and, alone, no shifted column.

    What it does otherwise is the matter of `test_edges`.
    """
    counted = frame["m"] if weights is None else frame["m"][weights > 0]
    shifted = any(shift for _, shift in scales.values())
    return set(counted) == set(frame["m"]) and (fixed.startswith("1") or not shifted)


def is_determined(problem: Problem) -> bool:
    """Return whether every factor has two levels and several rows an effect, and the residual has rows left."""
    rows = problem.dense().rows
    for group in problem.groups():
        levels = len(np.unique(problem.codes(group)[rows]))
        if levels < 2 or levels * problem.z(group).shape[1] >= len(rows):
            return False
    return not problem.saturated()


@st.composite
def fittable(draw: st.DrawFn, *, wild: bool = True, fixed: tuple[str, ...] = FIXED) -> Problem:
    """Draw a model whose data determine it: several rows a level, and rows left to the residual."""
    problem = draw(problems(wild=wild, rows=(14, 30), fixed=fixed))
    assume(is_determined(problem))
    assume(problem.fixed.startswith("1") or problem.scales["y"][1] == 0)
    return problem


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
        total += (
            rng.choice([0.0, 1.0]) * rng.normal(size=codes.max() + 1)[codes] * rng.normal(size=len(frame))
        )
    return total


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
    scale, shift = problem.scales_of(term).T
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
