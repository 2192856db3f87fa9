"""`streamed_design`: the design of rows that are read in batches, from a first pass over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfit.core.errors import GroupingWarning, ModelError, warn
from mixedfit.core.progress import Progress
from mixedfit.design.absent import AbsentRows
from mixedfit.design.design import (
    Design,
    ManyLevelFactor,
    RandomBlock,
    check_effect_names,
    random_blocks,
    warn_of_missing,
)
from mixedfit.design.grouping import Grouping
from mixedfit.design.model_frame import Missing, names_by_part
from mixedfit.design.model_matrix import Matrices, evaluate
from mixedfit.design.recipe import make_recipe
from mixedfit.design.recipe.cells import CALLED
from mixedfit.design.wrong_values import numbers_as_text, stray_counts
from mixedfit.formula.parse import ParsedFormula, random_key
from mixedfit.tasks import Pool

from .agreement import SiteRecipe, applied, recipe_of
from .batches import BatchDesigns
from .checkpoint import Checkpoint, scan_with_checkpoint
from .in_parts import scan_parts
from .levels import ColumnCoder, GroupCoder
from .reader import BatchReader, RowCounts
from .scan import Scan, scan_rows
from .source import RowSource

__all__ = ["blocks_without_rows", "part_report", "row_report", "site_recipe_of", "streamed_design"]


def streamed_design(
    parsed: ParsedFormula,
    source: RowSource,
    *,
    weights: Any,
    offset: Any,
    missing: Missing,
    context: Mapping[str, Any],
    progress: Progress,
    recipe: SiteRecipe | None = None,
    pool: Pool | None = None,
    checkpoint: str | Path | None = None,
) -> BatchDesigns:
    """Return the design of a source without its rows, and what makes the designs of its batches.

    With a recipe the levels and the state of transforms are those that several places agreed on. With a pool its
    workers read the rows. With a checkpoint the first pass goes on where an earlier one stopped.

    Raises
    ------
    FormulaError, DataError, ModelError
        As `build_design`; and if a part of the model cannot be made in batches.
    """
    _refuse_places(parsed)
    reader = BatchReader.of(parsed, source, weights, offset, missing)
    report, kept = row_report(progress, source.total, "learnt"), None
    if pool is not None:
        scan = scan_parts(pool, parsed, reader, context, part_report(progress, "learnt"))
    elif checkpoint is not None:
        kept = Checkpoint(checkpoint, parsed, reader)
        scan = scan_with_checkpoint(kept, parsed, reader, context, report)
    else:
        scan = scan_rows(parsed, reader, context, report)
    if recipe is not None:
        scan = applied(recipe, parsed, scan)
    warn_of_missing(scan.counts.dropped, scan.counts.read, scan.counts.missing)
    frame = scan.skeleton()
    values = evaluate(parsed, frame, context, scan.states)
    check_effect_names("the fixed part", values.x_names)
    _refuse(values, agreed=recipe is not None)
    blocks, groups = random_blocks(parsed, frame, values, {})
    made = make_recipe(parsed, frame, values, groups, offset=offset, context=context)
    variables = {name: scan.columns[name].variable() for name in made.variables}
    n, absent = scan.rows, AbsentRows(_where(source))
    has_offset = offset is not None or bool(parsed.offsets)
    design = Design(
        formula=parsed,
        y=absent.array(n),
        X=absent.array(n, len(values.x_names)),
        x_names=values.x_names,
        blocks=blocks_without_rows(blocks, absent, n),
        many=tuple(
            ManyLevelFactor(
                replace(own, codes=absent.array(n)), first, tuple(f"{prefix}{x}" for x in own.levels[first:])
            )
            for own, first, prefix in values.many
        ),
        weights=None if weights is None else absent.array(n),
        offset=absent.array(n) if has_offset else None,
        index=pd.RangeIndex(n),
        dropped=scan.counts.dropped,
        recipe=replace(made, variables=variables, cells=None),
        advice=_advice(parsed, scan),
        absent=absent,
    )
    coders = tuple(
        (
            GroupCoder([frame.grouping(column) for column in group.columns], grouping),
            group.columns,
            tuple(random_key(part) for part in parts),
        )
        for group, grouping, parts in groups
    )
    labels = {name: ColumnCoder(name, own.categories) for name, own in scan.columns.items() if own.labels}
    many = tuple((GroupCoder([own], own), own.name) for own, _, _ in values.many)
    return BatchDesigns(design, values, coders, many, labels, scan, reader, context, kept)


def site_recipe_of(
    parsed: ParsedFormula,
    source: RowSource,
    *,
    weights: Any,
    offset: Any,
    missing: Missing,
    progress: Progress,
) -> SiteRecipe:
    """Return the levels and moments of a source's columns, from one pass over its rows."""
    _refuse_places(parsed)
    reader = BatchReader.of(parsed, source, weights, offset, missing)
    scan = scan_rows(parsed, reader, {}, row_report(progress, source.total, "learnt"))
    warn_of_missing(scan.counts.dropped, scan.counts.read, scan.counts.missing)
    return recipe_of(parsed, scan)


def _where(source: RowSource) -> str:
    return f"they are read in batches from {source.name} (fit.augment_batches() yields fitted values and residuals)."


def row_report(progress: Progress, total: int | None, what: str) -> Callable[[RowCounts], None]:
    """Return a function that shows how many rows have been read."""

    def report(counts: RowCounts) -> None:
        if total:
            progress.count(counts.read, total, f"rows {what}")
        else:
            progress.say(f"{counts.read:,} rows {what}")

    return report


def part_report(progress: Progress, what: str) -> Callable[[int], None]:
    """Return a function that shows how many parts have been read."""
    return lambda done: progress.say(f"{done:,} parts {what}")


def _refuse_places(parsed: ParsedFormula) -> None:
    term = next((term for term in parsed.random if term.places), None)
    if term is not None:
        raise ModelError(
            f"'{term}': structures of times and places are not available yet for rows that are read in batches. Give "
            "the rows as one frame, or write an unstructured or cs(...) term."
        )


def _refuse(values: Matrices, *, agreed: bool) -> None:
    """Refuse what has been made of the formula and cannot be made in batches, or with an agreed recipe."""
    if values.many and agreed:
        name, count = values.many[0][0].name, len(values.many[0][0].levels)
        raise ModelError(
            f"the fixed factor {name!r} has {count} levels; cross-products of several places have at most 200. Make it "
            f"random, (1 | {name}), or read all rows in one place, without recipe=."
        )
    for spec in (values.specs or {}).values():
        for expression, (kind, _) in spec.encoder_state.items():
            whole = CALLED.match(expression)
            if kind.value == "categorical" and expression.strip("`") not in values.columns and not whole:
                raise ModelError(
                    f"{expression!r} makes a factor of an expression; its levels are not known before all rows are "
                    "read. Write it to a column of the data and name that."
                )


def blocks_without_rows(
    blocks: tuple[RandomBlock, ...], absent: AbsentRows, n: int
) -> tuple[RandomBlock, ...]:
    """Return blocks whose codes and effects are placeholders for n rows."""
    out = []
    for block in blocks:
        own = block.grouping
        grouping = Grouping(own.name, absent.array(n), own.levels, own.parts)
        out.append(replace(block, grouping=grouping, z=absent.array(n, block.k)))
    return tuple(out)


def _advice(parsed: ParsedFormula, scan: Scan) -> tuple[str, ...]:
    """Warn of text columns among the effects that are numbers but for a few values; return advice on others."""
    used = {name for key, names in names_by_part(parsed).items() if key != "y" for name in names}
    texts = {name: own for name, own in scan.columns.items() if own.text and name in used}
    for name, own in texts.items():
        if own.counts is not None and (message := stray_counts(name, own.counts)):
            warn(message, GroupingWarning)
    columns = {name: own.cycled(range(len(own.categories))) for name, own in texts.items()}
    return tuple(filter(None, (numbers_as_text(name, column) for name, column in columns.items())))
