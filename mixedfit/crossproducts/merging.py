"""Sums of the cross-products of several parts of the rows, such as those of sites that do not share rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import triangle, upper_inverse
from mixedfit.covariance import structure_record
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.grouping import Grouping
from mixedfit.design.recipe import Cells, Recipe, Variable
from mixedfit.design.recipe.recipe import usable

from .running_basis import ColumnPlaces
from .summed import SummedRows

__all__ = ["merged", "united_cells"]

FEW_ROWS = 10
"""Parts of fewer rows may be equal by chance."""


def merged(parts: Sequence[SummedRows]) -> SummedRows:
    """Return the cross-products of all rows of several parts.

    Parameters
    ----------
    parts : sequence of SummedRows
        Of the same formula, with the same columns of X and the same effects; levels of grouping factors may differ.

    Raises
    ------
    ModelError
        If the parts are not of the same model, with what differs and what to do, or two are of the same rows.
    """
    first = parts[0]
    for i, part in enumerate(parts[1:], 2):
        _check_same_model(first, part, i)
    _check_distinct(parts)
    design, maps = _united_design([part.design for part in parts], [part.rows for part in parts])
    out = replace(
        first,
        design=design,
        plain=_stacked([part.plain for part in parts], [part.design for part in parts], design),
        own=_stacked([part.own for part in parts], [part.design for part in parts], design),
        count=sum(part.count for part in parts),
        rows=sum(part.rows for part in parts),
        digest=sum(part.digest for part in parts) % 2**64,
        log_weights=sum(part.log_weights for part in parts),
        weights=_weights(parts),
        used=tuple(
            _used(block, [(part.used[own[f][0]], own[f][1]) for part, own in zip(parts, maps, strict=True)])
            for f, block in enumerate(design.blocks)
        ),
        parts=sum(part.parts for part in parts),
    )
    return _with_products(out, parts, maps)


Places = Sequence[tuple[int, IntArray]]
"""For each block of the united design: the part's block, and the united place of each of its levels."""


def _with_products(out: SummedRows, parts: Sequence[SummedRows], maps: Sequence[Places]) -> SummedRows:
    """Return the sum of the products of all parts, in the basis of all rows."""
    running = out.running()
    U, P = running.fresh_border(), running.fresh_effects()
    T, inverses = upper_inverse(U), [upper_inverse(own) for own in P]
    blocks = out.design.blocks
    starts = np.cumsum([0, *(block.levels * block.k for block in blocks)])
    q = int(starts[-1])
    pairs, sides = sparse.csr_array((q, q)), np.zeros((q, len(U)))
    border = np.zeros_like(U)
    for part, places in zip(parts, maps, strict=True):
        changes: list[Any] = [None] * len(blocks)
        for f, (own, _) in enumerate(places):
            changes[own] = part.P[own] @ inverses[f]
        products = part.in_basis(part.U @ T, tuple(changes))
        chosen = _selection(part.design, blocks, places, starts)
        pairs = pairs + chosen.T @ products[0] @ chosen
        sides += chosen.T @ products[1]
        border += products[2]
    return replace(out, U=U, P=P, pairs=sparse.csr_array(pairs), sides=sides, border=border)


def _selection(
    design: Design, blocks: Sequence[RandomBlock], places: Places, starts: IntArray
) -> sparse.csr_array:
    """Return the matrix that puts a part's columns at their united places, shape (own q, q)."""
    own_starts = np.cumsum([0, *(block.levels * block.k for block in design.blocks)])
    columns = np.zeros(int(own_starts[-1]), np.int64)
    for f, (own, levels) in enumerate(places):
        k = blocks[f].k
        at = starts[f] + levels[:, None] * k + np.arange(k)
        columns[own_starts[own] : own_starts[own + 1]] = at.ravel()
    n = columns.size
    return sparse.csr_array((np.ones(n), columns, np.arange(n + 1)), shape=(n, int(starts[-1])))


def _stacked(triangles: Sequence[Any], designs: Sequence[Design], united: Design) -> Any:
    """Return R of the rows of all parts, with the columns in the united design's order."""
    wanted, out = ColumnPlaces.of(united), []
    for upper, design in zip(triangles, designs, strict=True):
        own = ColumnPlaces.of(design)
        order = np.zeros(wanted.size, np.int64)
        order[-1] = own.size - 1
        order[list(wanted.fixed)] = own.fixed
        names = [block.name for block in design.blocks]
        for block, places in zip(united.blocks, wanted.effects, strict=True):
            order[list(places)] = own.effects[names.index(block.name)]
        out.append(upper[:, order])
    return triangle(np.concatenate(out))


def _used(block: RandomBlock, parts: Sequence[tuple[Any, IntArray]]) -> Any:
    out = np.zeros(block.levels, dtype=bool)
    for used, places in parts:
        out[places] |= used
    return out


def _weights(parts: Sequence[SummedRows]) -> tuple[float, float, float, float] | None:
    known = [part.weights for part in parts if part.weights is not None]
    if not known:
        return None
    low, high, total, inverses = zip(*known, strict=True)
    return min(low), max(high), sum(total), sum(inverses)


def _check_same_model(one: SummedRows, other: SummedRows, number: int) -> None:
    """Raise `ModelError` unless two parts are of the same model."""
    a, b = one.design, other.design
    where = f"part {number} and part 1"
    if (a.formula.source, a.formula.expand) != (b.formula.source, b.formula.expand):
        raise ModelError(
            f"{where} have different formulas: {b.formula.source!r} and {a.formula.source!r}. Sum up the same model."
        )
    if (a.weights is None) != (b.weights is None):
        raise ModelError(
            f"{where} differ in weights: one has weights, the other has none. Give them to both."
        )
    if (a.offset is None) != (b.offset is None):
        raise ModelError(
            f"{where} differ in the offset: one has an offset, the other has none. Give it to both."
        )
    advice = "Agree on levels and transforms first: mf.agree([...]), and recipe= of mf.lmm."
    if a.x_names != b.x_names:
        names = sorted(set(a.x_names) ^ set(b.x_names))
        raise ModelError(
            f"{where} have different columns of X (in one only: {', '.join(names[:5])}). {advice}"
        )
    own = {block.name: block for block in b.blocks}
    for block in a.blocks:
        twin = own.get(block.name)
        if twin is None or twin.effects != block.effects or _structures(twin) != _structures(block):
            raise ModelError(f"{where} have different random effects of {block.name!r}. {advice}")
    _check_states(usable(a.recipe), usable(b.recipe), where, advice)


def _check_distinct(parts: Sequence[SummedRows]) -> None:
    """Raise `ModelError` if two parts have the same responses, levels and products, as one that was given twice.

    A few rows may be equal by chance: they pass.
    """
    seen: dict[tuple[int, int], list[int]] = {}
    for i, part in enumerate(parts):
        earlier = seen.setdefault((part.digest, part.rows), [])
        twin = next((j for j in earlier if _same_rows(parts[j], part)), None)
        if twin is not None and part.rows >= FEW_ROWS:
            raise ModelError(
                f"parts {twin + 1} and {i + 1} are of the same {part.rows} rows: their responses, levels and "
                "cross-products are equal. Give each part once."
            )
        earlier.append(i)


def _same_rows(one: SummedRows, other: SummedRows) -> bool:
    """Return whether two parts of one model have equal levels and products."""
    blocks = zip(one.design.blocks, other.design.blocks, strict=True)
    if not all(a.name == b.name and a.grouping.levels.equals(b.grouping.levels) for a, b in blocks):
        return False
    expected, found = one.own.T @ one.own, other.own.T @ other.own
    scale = np.sqrt(np.diag(expected))
    return bool((np.abs(found - expected) <= 1e-9 * np.outer(scale, scale)).all())


def _structures(block: RandomBlock) -> list[Any]:
    return [
        (part.name, part.k, part.n_theta, str(structure_record(part)) if not part.linear else "")
        for part in block.structure.parts
    ]


def _check_states(one: Recipe, other: Recipe, where: str, advice: str) -> None:
    """Raise `ModelError` for transforms with different states, such as means of `center`."""
    if one.specs is None or other.specs is None:
        return
    for key in one.specs.keys() & other.specs.keys():  # a file has none of the response, which learns nothing
        spec = one.specs[key]
        theirs = other.specs[key].transform_state
        for call, state in spec.transform_state.items():
            if not _equal(state, theirs.get(call)):
                raise ModelError(
                    f"{where} have different states of {call}, learnt from their own rows. {advice}"
                )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if one is None or other is None or isinstance(one, str):
        return bool(one is other or one == other)
    try:
        return bool(np.array_equal(np.asarray(one, dtype=float), np.asarray(other, dtype=float)))
    except (TypeError, ValueError):
        return bool(one == other)


def _united_design(designs: Sequence[Design], rows: Sequence[int]) -> tuple[Design, list[Places]]:
    """Return a design with the levels of all parts, and where each part's levels are in it."""
    first, united = designs[0], {}
    for block in first.blocks:
        own = [next(b for b in design.blocks if b.name == block.name) for design in designs]
        united[block.name] = _united_block(block, own)
    order = {term.group.name: i for i, term in reversed(list(enumerate(first.formula.random)))}
    blocks = sorted(united.values(), key=lambda b: (-b.levels, order.get(b.name, 0)))
    maps: list[Places] = []
    for design in designs:
        names = [block.name for block in design.blocks]
        maps.append(
            [(names.index(b.name), _level_places(design.blocks[names.index(b.name)], b)) for b in blocks]
        )
    recipe = _united_recipe([usable(design.recipe) for design in designs], rows, blocks)
    n = sum(design.n for design in designs)
    return replace(
        first,
        blocks=tuple(blocks),
        index=pd.RangeIndex(n),
        y=first.absent.array(n) if first.absent else first.y,
        dropped=sum(design.dropped for design in designs),
        recipe=recipe,
        advice=(),
    ), maps


def _united_block(block: RandomBlock, parts: Sequence[RandomBlock]) -> RandomBlock:
    """Return a block with the levels of all parts, sorted unless all have the same."""
    levels = block.grouping.levels
    if all(part.grouping.levels.equals(levels) for part in parts[1:]):
        return block
    kinds = {part.grouping.levels.dtype.kind in "iuf" for part in parts}
    if len(kinds) > 1:
        raise ModelError(
            f"grouping factor {block.name!r} has numbers as levels in one part and labels in another. Give it one type."
        )
    if parts[0].grouping.parts:
        rows = pd.concat([pd.DataFrame(dict(enumerate(p.grouping.parts))) for p in parts]).drop_duplicates()
        rows = rows.sort_values(list(rows.columns), ignore_index=True)
        texts = pd.Index([":".join(map(str, row)) for row in rows.itertuples(index=False)], dtype=object)
        own = tuple(pd.Index(rows[i]) for i in rows.columns)
        return replace(block, grouping=Grouping(block.name, block.codes, texts, own))
    every = levels
    for part in parts[1:]:
        every = every.append(part.grouping.levels)
    distinct: pd.Index[Any] = pd.Series(every).astype("category").cat.categories
    return replace(block, grouping=Grouping(block.name, block.codes, distinct))


def _level_places(own: RandomBlock, united: RandomBlock) -> IntArray:
    """Return the place of each level of a part's block among the united ones."""
    if united.grouping.levels is own.grouping.levels:
        return np.arange(own.levels)
    if not united.grouping.parts:
        return np.asarray(united.grouping.levels.get_indexer(own.grouping.levels), dtype=np.int64)
    known = {row: i for i, row in enumerate(zip(*united.grouping.parts, strict=True))}
    return np.array([known[row] for row in zip(*own.grouping.parts, strict=True)], dtype=np.int64)


def _united_recipe(recipes: Sequence[Recipe], rows: Sequence[int], blocks: Sequence[RandomBlock]) -> Recipe:
    """Return the recipe of all parts: ranges, means and cells of all rows, and the levels of grouping factors."""
    first = recipes[0]
    groups = {group.name: group for group in first.groups}
    return replace(
        first,
        groups=tuple(
            replace(groups[b.name], levels=b.grouping.levels, parts=b.grouping.parts) for b in blocks
        ),
        variables={
            name: _united_variable([recipe.variables[name] for recipe in recipes], rows)
            for name in first.variables
        },
        cells=united_cells([recipe.cells for recipe in recipes]),
    )


def _united_variable(parts: Sequence[Variable], rows: Sequence[int]) -> Variable:
    first = parts[0]
    if first.levels is not None:
        return first
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    values = {value for part in parts for value in (part.low, part.high)}
    two = all(part.two_valued for part in parts) and len(values) <= 2
    mean = float(np.average([part.mean for part in parts], weights=rows))
    return replace(first, mean=mean, low=low, high=high, two_valued=two)


def united_cells(parts: Sequence[Cells | None]) -> Cells | None:
    """Return the cells of all parts; None if their factors have different values."""
    first = parts[0]
    if first is None:
        return None
    counts: dict[tuple[int, ...], float] = {}
    for part in parts:
        if part is None or part.names != first.names:
            return None
        if not all(a.equals(b) for a, b in zip(part.values, first.values, strict=True)):
            return None
        for row, count in zip(part.codes.tolist(), part.counts.tolist(), strict=True):
            counts[tuple(row)] = counts.get(tuple(row), 0.0) + count
    found = sorted(counts)
    codes = np.array(found, dtype=np.int64).reshape(len(found), len(first.names))
    return Cells(first.names, first.values, codes, np.array([counts[row] for row in found]))
