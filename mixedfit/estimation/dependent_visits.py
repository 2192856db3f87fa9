"""Residuals of visits that become linearly dependent: the singular limit of unstructured and Toeplitz correlations.

Let w be the eigenvector of the correlations' smallest eigenvalue λ, and S the visits with elements of w that are not
small. As λ → 0, the criterion changes by r log λ + Σ (wᵀε_j)²/λ over the groups j with all visits of S, r being their
number, less the rank of their fixed effects under REML. If wᵀε_j = 0 in all of them, which few groups and copies of
another visit allow, it falls without a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.covariance.residual.by_level import ByLevelLaw
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.covariance.residual.parts import Layout
from mixedfit.covariance.residual.toeplitz import ToeplitzLaw
from mixedfit.covariance.residual.unstructured import UnstructuredLaw
from mixedfit.design.design import Design

__all__ = ["SINGULAR", "Dependence", "dependences", "falls", "is_nearly_singular", "room", "why_dependent"]

SINGULAR = 1e-10
"""Eigenvalue of the correlations below which the data cannot tell it from 0."""

TAKES_PART = 0.05
"""Share of the largest element of w from which on a visit takes part."""

ROOM = 1e4
"""Largest size of an unstructured parameter, a ratio without unit, up to which steps grow with it."""

CARRIED = (
    "The responses at {second} are those at {first} in all groups of {name} that have both ({count}), as where a value "
    "was carried forward. Remove the rows at {second} that repeat the other, or take a structure with fewer "
    "parameters, such as AR1 or CompoundSymmetry"
)

FALLS = 0.1
"""Rate r, a number of residual degrees of freedom, above which the criterion falls."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """Visits whose residuals are nearly dependent.

    Attributes
    ----------
    visits : tuple
        Labels of the visits that take part.
    codes : tuple of int
        Their positions among all visits.
    smallest : float
        Eigenvalue of the correlations.
    level : str
        Level of `by`, empty without it.
    """

    visits: tuple[Any, ...]
    codes: tuple[int, ...]
    smallest: float
    level: str = ""

    @property
    def words(self) -> str:
        """Where the criterion goes."""
        where = f" of {self.level}" if self.level else ""
        if len(self.visits) == 2:
            return f"the correlation of {self.visits[0]} and {self.visits[1]}{where} goes to 1 or -1"
        return f"the residuals{where} at {_listed(self.visits)} become linearly dependent"


def _listed(items: tuple[Any, ...]) -> str:
    names = [str(item) for item in items]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _laws(model: ResidualModel, x: Array) -> Iterator[tuple[str, Any, slice, Layout]]:
    """Yield the laws whose correlations may become singular inside of the bounds of each, with their place in x."""
    law = model.correlation
    if isinstance(law, UnstructuredLaw | ToeplitzLaw):
        yield "", law, model.slices[0], law.layout
    elif isinstance(law, ByLevelLaw):
        for level, own, here in zip(law.levels, law.laws, law.slices, strict=True):
            if isinstance(own, UnstructuredLaw | ToeplitzLaw):
                yield str(level), own, here, own.layout


def dependences(model: ResidualModel, x: Array) -> list[Dependence]:
    """Return the visits whose residuals are dependent at x, to the digits that the data determine."""
    out = []
    for level, law, here, layout in _laws(model, x):
        codes = np.unique(layout.place[:, 0]).astype(np.int64)
        whole = law.matrix(x[here], codes[:, None].astype(float))
        if not np.all(np.isfinite(whole)):
            continue
        values, vectors = np.linalg.eigh(whole)
        if values[0] < SINGULAR:
            part = np.abs(vectors[:, 0]) > TAKES_PART * np.abs(vectors[:, 0]).max()
            own = tuple(int(c) for c in codes[part])
            out.append(Dependence(tuple(layout.labels[c] for c in own), own, float(values[0]), level))
    return out


def is_nearly_singular(model: ResidualModel, x: Array) -> bool:
    """Return whether some visits' residuals are dependent at x."""
    return bool(dependences(model, x))


def room(model: ResidualModel, x: Array) -> Array:
    """Return how many times as long a step may be in each parameter, shape (parameters,).

    An unstructured parameter is a ratio, and grows as λ^(−1/2); the others are logarithms and inverse tangents.
    """
    out = np.ones(x.size)
    for _, law, here, _ in _laws(model, x):
        if isinstance(law, UnstructuredLaw):
            out[here] = np.clip(np.abs(x[here]), 1.0, ROOM)
    return out


def falls(model: ResidualModel, x: Array, value: Callable[[Array], float]) -> bool:
    """Return whether the criterion falls as the smallest eigenvalue goes from 10 to 1 times `SINGULAR`."""
    ends = []
    for least in (10.0 * SINGULAR, SINGULAR):
        moved = x.copy()
        for _, law, here, _ in _laws(model, x):
            if isinstance(law, UnstructuredLaw):
                moved[here] = _raised(law, x[here], least)
        ends.append(value(moved))
    return bool(ends[0] - ends[1] > FALLS * np.log(10.0))


def _raised(law: UnstructuredLaw, x: Array, least: float) -> Array:
    """Return x of the correlations with all eigenvalues below `least` set to it."""
    values, vectors = np.linalg.eigh(law.matrix(x, np.arange(law.visits, dtype=float)[:, None]))
    if values[0] >= 100.0 * least:
        return x
    values = np.where(values < 100.0 * least, least, values)
    whole = (vectors * values) @ vectors.T
    size = np.sqrt(np.diag(whole))
    return law.start_from(whole / np.outer(size, size))


def why_dependent(model: ResidualModel, own: Dependence, design: Design) -> str:
    """Return in words, from the rows, why residuals of visits are dependent, and what to do."""
    layout = model.layout
    assert layout is not None
    values, here = _by_group(layout, own, design)
    name = layout.group_name or "rows"
    whole = here.all(axis=1)
    count, visits = int(whole.sum()), _listed(own.visits)
    for first, second in combinations(range(len(own.visits)), 2):
        both = here[:, first] & here[:, second]
        if both.any() and np.array_equal(values[both, first], values[both, second]):
            return CARRIED.format(
                first=own.visits[first], second=own.visits[second], count=both.sum(), name=name
            )
    rarest = int(here.sum(axis=0).argmin())
    there, rare = int(here[:, rarest].sum()), own.visits[rarest]
    if there <= design.X.shape[1] + len(own.visits):
        return (
            f"Only {there} groups of {name} have rows at {rare}, too few for a variance of its own and its "
            f"correlations with the other visits. Remove the rows at {rare}, merge it with another visit, or take a "
            "structure with fewer parameters, such as Toeplitz, AR1 or CompoundSymmetry"
        )
    return (
        f"In all {count} groups of {name} with rows at {visits}, one of these responses is a linear combination of "
        "the others and of the fixed effects. Remove the rows of the visit that was computed from the others, or take "
        "a structure with fewer parameters"
    )


def _by_group(layout: Layout, own: Dependence, design: Design) -> tuple[Array, BoolArray]:
    """Return responses of groups at the visits of a dependence, and which there are, shape (groups, visits) each."""
    shape = (layout.sizes.size, len(own.codes))
    values, here = np.zeros(shape), np.zeros(shape, dtype=bool)
    groups = np.repeat(np.arange(shape[0]), layout.sizes)
    for column, code in enumerate(own.codes):
        rows = np.flatnonzero(layout.place[:, 0] == code)
        if own.level and layout.place.shape[1] > 1:
            rows = rows[_is_level(layout, rows, own.level, design)]
        values[groups[rows], column] = design.y[layout.order[rows]]
        here[groups[rows], column] = True
    return values, here


def _is_level(layout: Layout, rows: IntArray, level: str, design: Design) -> BoolArray:
    """Return whether sorted rows are of a level of `by`."""
    assert design.residual is not None
    law = design.residual.correlation
    assert isinstance(law, ByLevelLaw)
    code = [str(own) for own in law.levels].index(level)
    return np.asarray(layout.place[rows, -1] == code)
