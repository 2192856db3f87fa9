"""Families of hostile designs, each a function of a random generator that returns a `Case`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from problems import Problem, Term


@dataclass(frozen=True, eq=False)
class Case:
    """A problem with the options of its fit."""

    problem: Problem
    options: dict[str, Any] = field(default_factory=dict)


def codes(levels: int, n: int, rng: np.random.Generator, even: bool = False) -> Any:
    """Levels of n rows, each level at least once."""
    if even:
        return np.arange(n) % levels
    own = rng.choice(levels, size=n, p=rng.dirichlet(np.full(levels, 1.5)))
    own[rng.choice(n, size=min(levels, n), replace=False)] = np.arange(min(levels, n))
    return own


def columns(n: int, rng: np.random.Generator) -> dict[str, Any]:
    """Covariates x1, x2, x3: normal, whole or few-valued numbers."""
    out = {}
    for name in ("x1", "x2", "x3"):
        kind = rng.integers(4)
        values = rng.normal(size=n)
        out[name] = [values, np.round(2 * values), (values > 0) * 1.0, np.arange(n) % 5 * 1.0][kind]
        if np.ptp(out[name]) == 0:
            out[name][0] += 1.0
    return out


def formula_parts(
    rng: np.random.Generator, k: int = 2, groups: tuple[str, ...] = ("g",)
) -> tuple[str, tuple[Term, ...]]:
    """A fixed part, and a term with up to k effects for each group."""
    names = ["x1", "x2", "x3"]
    fixed = str(rng.choice(["1", "1 + x1", "1 + x1 + x2"]))
    terms = []
    for group in groups:
        effects = int(rng.integers(1, k + 1))
        intercept = bool(rng.random() < 0.85) or effects == 1
        slopes = tuple(names[: effects - int(intercept)])
        terms.append(Term(group, intercept, slopes, bool(rng.random() < 0.6) or len(slopes) + intercept == 1))
    return fixed, tuple(terms)


def simulated(
    frame: pd.DataFrame, terms: tuple[Term, ...], rng: np.random.Generator, noise: float = 1.0
) -> Any:
    """A response with effects of each term of various sizes."""
    n = len(frame)
    y = noise * rng.normal(size=n) + rng.normal() + frame["x1"].to_numpy() * rng.normal()
    for term in terms:
        own = np.unique(frame[term.group], return_inverse=True)[1]
        z = np.column_stack([np.ones(n)] * term.intercept + [frame[x].to_numpy() for x in term.slopes])
        sizes = rng.choice([0.0, 0.3, 1.0, 4.0], size=term.k)
        y = y + np.sum(z * (sizes * rng.normal(size=(own.max() + 1, term.k)))[own], axis=1)
    return y


def base(
    rng: np.random.Generator,
    rows: tuple[int, int] = (8, 40),
    levels: tuple[int, int] = (2, 8),
    k: int = 2,
    noise: float = 1.0,
    groups: tuple[str, ...] = ("g",),
) -> Problem:
    """A plain small problem."""
    n = int(rng.integers(*rows, endpoint=True))
    frame = {
        g: [f"{g}{c:02d}" for c in codes(int(min(rng.integers(*levels), n // 2)), n, rng)] for g in groups
    }
    table = pd.DataFrame({**frame, **columns(n, rng)})
    fixed, terms = formula_parts(rng, k, groups)
    table["y"] = simulated(table, terms, rng, noise)
    return Problem(table, fixed, terms)


def method(rng: np.random.Generator) -> dict[str, Any]:
    return {"reml": bool(rng.random() < 0.5)}


def plain(rng: np.random.Generator) -> Case:
    return Case(base(rng), method(rng))


def tiny(rng: np.random.Generator) -> Case:
    return Case(base(rng, rows=(5, 12), levels=(2, 5)), method(rng))


def weights(rng: np.random.Generator) -> Case:
    p = base(rng)
    w = 10.0 ** rng.uniform(-3, 3, len(p.frame))
    return Case(Problem(p.frame, p.fixed, p.terms, w), method(rng))


def saturated(rng: np.random.Generator) -> Case:
    """Nearly as many effects as rows, by ML."""
    p = base(rng, rows=(6, 14), levels=(3, 6), k=3)
    return Case(p, {"reml": bool(rng.random() < 0.3)})


def nearly_perfect(rng: np.random.Generator) -> Case:
    return Case(base(rng, noise=10.0 ** rng.uniform(-7, -2)), method(rng))


def three_slopes(rng: np.random.Generator) -> Case:
    """Three uncorrelated slopes in tiny groups."""
    n = int(rng.integers(12, 40))
    table = pd.DataFrame({"g": [f"g{c:02d}" for c in codes(max(n // 4, 2), n, rng)], **columns(n, rng)})
    terms = (Term("g", bool(rng.random() < 0.5), ("x1", "x2", "x3"), False),)
    table["y"] = simulated(table, terms, rng)
    return Case(Problem(table, "1 + x1", terms), method(rng))


def missing(rng: np.random.Generator) -> Case:
    """Few rows are left."""
    p = base(rng, rows=(8, 20), levels=(2, 5), k=3)
    keep = rng.random(len(p.frame)) < 0.6
    keep[:5] = True
    frame = p.frame[keep].reset_index(drop=True)
    return Case(Problem(frame, p.fixed, p.terms), method(rng))


def scaled(rng: np.random.Generator) -> Case:
    """Covariates of other units."""
    p = base(rng)
    scales = {x: 10.0 ** rng.uniform(-8, 8) for x in ("x1", "x2", "x3", "y")}
    frame = p.frame.assign(**{x: p.frame[x] * s for x, s in scales.items()})
    return Case(Problem(frame, p.fixed, p.terms), method(rng))


def shifted(rng: np.random.Generator) -> Case:
    """Covariates of other origins, with and without their fixed effects."""
    p = base(rng, rows=(12, 40))
    frame = p.frame.assign(**{x: p.frame[x] + 10.0 ** rng.uniform(1, 8) for x in ("x1", "x2")})
    fixed = str(rng.choice(["1", p.fixed]))
    terms = (Term("g", True, ("x1",), True),) if rng.random() < 0.7 else p.terms
    return Case(Problem(frame, fixed, terms), method(rng))


def outliers(rng: np.random.Generator) -> Case:
    p = base(rng)
    y = p.frame["y"].to_numpy().copy()
    if rng.random() < 0.5:
        y[rng.integers(len(y))] += 10.0 ** rng.uniform(3, 8)
    else:
        own = np.flatnonzero(p.frame["g"] == p.frame["g"].iloc[0])[:4]
        y[own] += 10.0 ** rng.uniform(3, 8)
    return Case(Problem(p.frame.assign(y=y), p.fixed, p.terms), method(rng))


def crossed(rng: np.random.Generator) -> Case:
    return Case(base(rng, rows=(12, 40), groups=("g", "h")), method(rng))


def one_row_groups(rng: np.random.Generator) -> Case:
    n = int(rng.integers(8, 24))
    own = np.minimum(np.arange(n), n - int(rng.integers(2, 6)))
    table = pd.DataFrame({"g": [f"g{c:02d}" for c in own], **columns(n, rng)})
    fixed, terms = formula_parts(rng, 2)
    table["y"] = simulated(table, terms, rng)
    return Case(Problem(table, fixed, terms), method(rng))


def whole_numbers(rng: np.random.Generator) -> Case:
    """Ties in the response."""
    p = base(rng)
    return Case(Problem(p.frame.assign(y=np.round(p.frame["y"])), p.fixed, p.terms), method(rng))


def held_sigma(rng: np.random.Generator) -> Case:
    p = base(rng, rows=(6, 30), levels=(2, 10))
    return Case(p, {**method(rng), "sigma": float(10.0 ** rng.uniform(-1.5, 1))})


def no_signal(rng: np.random.Generator) -> Case:
    """Groups that do not differ, or less than chance would have them."""
    p = base(rng)
    y = rng.normal(size=len(p.frame))
    means = pd.Series(y).groupby(p.frame["g"].to_numpy()).transform("mean").to_numpy()
    return Case(
        Problem(p.frame.assign(y=y - rng.choice([0.0, 0.9, 1.0]) * means), p.fixed, p.terms), method(rng)
    )


def far_weights(rng: np.random.Generator) -> Case:
    """A few rows of very large or small weight, zeros among them."""
    p = base(rng, rows=(10, 30))
    w = np.ones(len(p.frame))
    chosen = rng.choice(len(w), 3, replace=False)
    w[chosen] = 10.0 ** rng.uniform(-6, 6, 3)
    if rng.random() < 0.3:
        w[rng.integers(len(w))] = 0.0
    return Case(Problem(p.frame, p.fixed, p.terms, w), method(rng))


FAMILIES: dict[str, Callable[[np.random.Generator], Case]] = {
    f.__name__: f
    for f in (
        plain,
        tiny,
        weights,
        far_weights,
        saturated,
        nearly_perfect,
        three_slopes,
        missing,
        scaled,
        shifted,
        outliers,
        crossed,
        one_row_groups,
        whole_numbers,
        held_sigma,
        no_signal,
    )
}
"""Families by name."""
