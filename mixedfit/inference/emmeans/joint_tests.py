"""Joint tests of marginal means: all main effects and interactions of the factors of a reference grid, by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_fixed, format_p_values, text_columns
from mixedfit.core.notebook import NotebookTable
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import FitNames, names_of
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom, failed_notes
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.tests import joint_f_test

from .contrasts import cell_names
from .families import interaction_weights
from .nesting import Nesting, nesting_note
from .reference_grid import Grid, GridOptions, reference_grid
from .specs import read_specs

__all__ = ["JointTests", "joint_tests"]

REDUCED = "df_num counts the estimable contrasts only, since the data lack cells, in: {}."

RANK = 1e-8
"""Singular values below this share of the largest are rounding errors."""


@dataclass(frozen=True, eq=False)
class JointTests(NotebookTable):
    """Joint F tests of main effects and interactions of marginal means, a row for each term and group.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns term, the variables of `by`, df_num, df_denom, statistic, p_value.
    by : tuple of str
    method : str
        Method for the denominator degrees of freedom.
    notes : tuple of str
    """

    table: pd.DataFrame
    by: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()
    _names: FitNames | None = field(default=None, repr=False)

    @property
    def _label_columns(self) -> tuple[str, ...]:
        return ("term", *self.by)

    def __str__(self) -> str:
        t = self.table
        cells = [
            t["term"].tolist(),
            [str(int(v)) for v in t["df_num"]],
            format_fixed(t["df_denom"].tolist(), 2, whole=True),
            format_fixed(t["statistic"].tolist(), 3),
            format_p_values(t["p_value"].tolist(), missing="NaN"),
        ]
        head, *lines = text_columns(["term", "df_num", "df_denom", "statistic", "p_value"], cells, left=1)
        out: list[str] = []
        previous = None
        for i, line in enumerate(lines):
            block = ", ".join(f"{name} = {t[name].iloc[i]}" for name in self.by)
            if block != previous:
                out += ([""] if out else []) + ([f"{block}:"] if self.by else []) + [head]
                previous = block
            out.append(line)
        return "\n".join([*out, "", *self.notes])

    __repr__ = __str__


def joint_tests(
    fit: Fit,
    by: str | Sequence[str] = (),
    *,
    at: Mapping[str, Any] | None = None,
    ddf: Ddf | None = None,
    weights: Any = "equal",
    nesting: Any = None,
) -> JointTests:
    """Return the joint tests of the marginal means within `by`; see `MixedResults.joint_tests`.

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, or nothing is left to test.
    """
    recipe = usable(fit.design.recipe)
    within = [by] if isinstance(by, str) else list(by)
    if isinstance(by, str) and ("|" in by or "~" in by):
        within = read_specs(by if "|" in by else by.replace("~", "~ 1 |"), (), recipe.fixed_names)[1]
    options = GridOptions(at=dict(at or {}), weights=weights, nesting=nesting, spread=True)
    whole = reference_grid(recipe, (), within, options)
    options = replace(options, nesting=whole.nesting)
    degrees, space = degrees_of_freedom(fit, ddf), ColumnSpace(fit)
    parts, reduced = [], []
    for names in _terms(recipe, whole, options):
        grid = reference_grid(recipe, names, within, options)
        part, fewer = _term_tests(degrees, space, grid, names, whole.by)
        parts.append(part)
        reduced += [":".join(names)] if fewer else []
    if not parts:
        raise ModelError("there are no variables left to test; name fewer in by.")
    table = pd.concat(parts, ignore_index=True)
    if whole.by:
        table = table.iloc[np.concatenate(_groups(table, whole.by))].reset_index(drop=True)
    lost = [REDUCED.format(", ".join(reduced))] if reduced else []
    lost += failed_notes(degrees, table["statistic"], table["term"], table["df_num"] > 0)
    notes = [n for n in (nesting_note(whole.nesting),) if n]
    said = (*notes, *lost, f"Degrees of freedom: {degrees.name}.")
    return JointTests(table, whole.by, degrees.name, said, names_of(fit))


def _terms(recipe: Recipe, whole: Grid, options: GridOptions) -> list[tuple[str, ...]]:
    """Return the sets of variables that occur together in a term, small ones first; nested ones with their parents."""
    free = [n for n in (*whole.averaged, *options.at) if n not in whole.by]
    names = [n for n in recipe.fixed_names if n in free]
    together = [
        *(set(term.variables) for term in recipe.terms),
        *({name, *parents} for name, parents in whole.nesting.items()),
    ]
    largest = max((len(one) for one in together), default=0)
    out = []
    for size in range(1, largest + 1):
        for chosen in combinations(names, size):
            inside = {p for n in chosen for p in whole.nesting.get(n, ()) if p not in whole.by}
            if inside <= set(chosen) and any(set(chosen) <= one for one in together):
                out.append(chosen)
    return out


def _term_tests(
    degrees: Degrees, space: ColumnSpace, grid: Grid, names: Sequence[str], by: Sequence[str]
) -> tuple[pd.DataFrame, bool]:
    """Return the tests of one term, and whether some of its contrasts are not estimable."""
    rows, reduced = [], False
    for family in _groups(grid.cells, by):
        L, empty = _contrasts(grid, family, names, grid.nesting)
        known = _estimable_part(space, L[~empty])
        rank = _rank(L)
        reduced = reduced or len(known) < rank or bool(empty.any())
        head = {"term": ":".join(names), **{n: grid.cells[n].iloc[family[0]] for n in by}}
        if not len(known):
            rows.append({**head, "df_num": 0, "df_denom": np.nan, "statistic": np.nan, "p_value": np.nan})
            continue
        test = joint_f_test(degrees, known, np.zeros(len(known)))
        rows.append(
            {
                **head,
                "df_num": test.df_num,
                "df_denom": test.df_denom,
                "statistic": test.statistic,
                "p_value": test.p_value,
            }
        )
    return pd.DataFrame(rows), reduced


def _groups(table: pd.DataFrame, names: Sequence[str]) -> list[IntArray]:
    """Return the rows of each combination of some columns, in the order of their first rows; of all without columns."""
    if not names:
        return [np.arange(len(table))]
    number = table.groupby(list(names), sort=False, observed=True).ngroup().to_numpy()
    return [np.flatnonzero(number == i) for i in range(int(number.max()) + 1)]


def _contrasts(
    grid: Grid, family: IntArray, names: Sequence[str], nesting: Nesting
) -> tuple[Array, BoolArray]:
    """Return the contrasts of a term: products of differences, of nested ones within their parents."""
    parents = list(dict.fromkeys(p for n in names for p in nesting.get(n, ()) if p in grid.cells))
    own = [n for n in names if n not in parents]
    cells = grid.cells.iloc[family]
    parts, lost = [], []
    for group in _groups(cells, parents):
        block = cells.iloc[group]
        labels = [cell_names(block[[n]].drop_duplicates()) for n in own]
        if any(len(values) < 2 for values in labels):
            continue
        weights = _differences(block[own], own, labels)
        parts.append(weights @ grid.L[family[group]])
        lost.append(np.any(weights[:, grid.empty[family[group]]], axis=1))
    if not parts:
        return np.zeros((0, grid.L.shape[1])), np.zeros(0, dtype=bool)
    return np.vstack(parts), np.concatenate(lost)


def _differences(block: pd.DataFrame, names: Sequence[str], labels: Sequence[Sequence[str]]) -> Array:
    """Return weights of products of consecutive differences of the rows of a block, shape (contrasts, rows).

    Combinations that do not occur have no row; contrasts with them are left out.
    """
    _, weights = interaction_weights("consec", names, labels)
    sizes = [len(values) for values in labels]
    codes = [
        [values.index(text) for text in cell_names(block[[name]])]
        for name, values in zip(names, labels, strict=True)
    ]
    place = np.ravel_multi_index(codes[::-1], sizes[::-1])  # the first varies fastest
    missing = np.setdiff1d(np.arange(weights.shape[1]), place)
    whole = ~np.any(weights[:, missing] != 0, axis=1)
    return np.asarray(weights[np.ix_(whole, place)])


def _estimable_part(space: ColumnSpace, L: Array) -> Array:
    """Return linearly independent combinations of the rows of L that are estimable."""
    if not len(L):
        return L
    size = np.linalg.norm(L, axis=1)
    L = L[size > 0] / size[size > 0, None]
    if space.dropped.size and len(L):
        null = space.null / np.linalg.norm(space.null, axis=0)
        left, values, _ = np.linalg.svd(L @ null)
        rank = int(np.sum(values > 1e-7))
        L = left[:, rank:].T @ L
    return L if _rank(L) else L[:0]


def _rank(L: Array) -> int:
    if not len(L):
        return 0
    values = np.linalg.svd(L, compute_uv=False)
    return int(np.sum(values > RANK * max(values[0], 1e-300))) if values[0] > 0 else 0
