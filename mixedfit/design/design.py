"""`Design`: y, X and one block of random effects for each grouping factor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import (
    GroupingWarning,
    IdentifiabilityWarning,
    MissingRowsWarning,
    ModelError,
    shown,
    warn,
)
from mixedfit.core.format import count_noun
from mixedfit.core.lazy import lazy
from mixedfit.covariance import BlockDiagonal, CovarianceStructure, Diagonal, Unstructured
from mixedfit.covariance.known import Known
from mixedfit.covariance.residual import ResidualStructure
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.formula.parse import GroupingFactor, ParsedFormula, RandomTerm, random_key

from .absent import AbsentRows
from .excluded import Excluded, Table
from .grouping import Grouping, interact, warn_of_measurements
from .known_levels import check_known, check_tells_apart, on_known_levels
from .model_frame import Missing, ModelFrame, build_frame, names_by_part
from .model_matrix import Matrices, evaluate
from .one_level import one_level_grouping
from .places import place_effects, structure_of
from .recipe import Recipe, make_recipe
from .residual_rows import bind_residual, check_beside_random_terms, check_covariates
from .residual_ties import with_ties
from .wrong_values import listed_counts, numbers_as_text, stray_text

__all__ = [
    "Design",
    "ManyLevelFactor",
    "RandomBlock",
    "add_offsets",
    "build_design",
    "check_effect_names",
    "check_identifiable",
    "random_blocks",
    "warn_of_missing",
]


@dataclass(frozen=True, slots=True, eq=False)
class RandomBlock:
    """All random effects of one grouping factor.

    Attributes
    ----------
    grouping : Grouping
        Codes and levels of the rows kept.
    effects : tuple of str, length k
        Names of the effects of one level.
    z : ndarray, shape (n, k)
        Value of each effect's column in each row.
    structure : BlockDiagonal
        Covariance of one level's effects, with one part for each term.
    term_sizes : tuple of int
        Number of effects in each term.
    sources : tuple of str, length k or 0
        Term left of the bar that each effect is a column of; the columns of a factor or polynomial have the same.
        Empty: each effect is a term of its own.
    known : Known or None
        Relationships of the levels, which `grouping` then has in the same order, with and without rows.
    """

    grouping: Grouping
    effects: tuple[str, ...]
    z: Array
    structure: BlockDiagonal
    term_sizes: tuple[int, ...]
    sources: tuple[str, ...] = ()
    known: Known | None = None

    @property
    def name(self) -> str:
        """Name of the grouping factor."""
        return self.grouping.name

    @property
    def k(self) -> int:
        """Effects per level."""
        return len(self.effects)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.grouping.levels)

    @property
    def codes(self) -> IntArray:
        """Level of each row, shape (n,)."""
        return self.grouping.codes


@dataclass(frozen=True, slots=True, eq=False)
class ManyLevelFactor:
    """A fixed factor that is stored as codes, because its indicator columns would make X too large.

    Attributes
    ----------
    grouping : Grouping
        Codes and levels of the rows kept.
    first : int
        0 if every level has a column, 1 if the first level is the reference.
    names : tuple of str
        Names of the columns.
    """

    grouping: Grouping
    first: int
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Design:
    """The response, matrices, weights and offset of a model, and the recipe that made the matrices.

    Attributes
    ----------
    formula : ParsedFormula
    y : ndarray, shape (n,)
        Response minus offset.
    X : ndarray, shape (n, p)
        Fixed-effects matrix as the formula gives it; columns may be linearly dependent.
    x_names : tuple of str, length p
    blocks : tuple of RandomBlock
        Random effects of each grouping factor, by decreasing number of levels.
    many : tuple of ManyLevelFactor
        Fixed factors with more than `MANY_LEVELS` levels, not in X.
    weights : ndarray, shape (n,), or None
    offset : ndarray, shape (n,), or None
    index : pandas.Index
        Labels of the rows kept.
    dropped : int
        Number of rows dropped for missing values.
    recipe : Recipe or None
        Builds the matrices of new rows.
    excluded : Excluded or None
        All rows of the data, if those left out stay in row-wise answers.
    advice : tuple of str
        Warnings that are given once the model could be fitted.
    residual : ResidualModel or None
        Structure of the residual covariance; None for independent residuals of variance σ²/w.
    absent : AbsentRows or None
        What is known of the rows if they are not in memory; arrays with a row each are then placeholders.
    """

    formula: ParsedFormula
    y: Array
    X: Array
    x_names: tuple[str, ...]
    blocks: tuple[RandomBlock, ...]
    many: tuple[ManyLevelFactor, ...]
    weights: Array | None
    offset: Array | None
    index: pd.Index[Any]
    dropped: int
    recipe: Recipe | None = None
    excluded: Excluded | None = None
    advice: tuple[str, ...] = ()
    residual: ResidualModel | None = None
    absent: AbsentRows | None = None

    @property
    def n(self) -> int:
        """Number of rows kept."""
        return int(self.y.size)

    @property
    def all_index(self) -> pd.Index[Any]:
        """Labels of the rows of row-wise answers."""
        return self.index if self.excluded is None else self.excluded.index

    @property
    def observed(self) -> Array:
        """The response, offset included, shape (n,)."""
        return self.y if self.offset is None else self.y + self.offset

    def on_all_rows(self, table: Table) -> Table:
        """Return a column or table of the rows kept as it is shown: with ``missing="exclude"`` on all rows."""
        return table if self.excluded is None else self.excluded.padded(table)

    @lazy
    def counted(self) -> BoolArray:
        """Whether each row has a positive weight, shape (n,)."""
        if self.absent is not None:
            raise ModelError(self.absent.refusal)
        return np.ones(self.n, dtype=bool) if self.weights is None else np.asarray(self.weights > 0)

    @lazy
    def n_theta(self) -> int:
        """Number of covariance parameters θ."""
        return sum(block.structure.n_theta for block in self.blocks)

    @lazy
    def theta_slices(self) -> tuple[slice, ...]:
        """Slice of θ of each block."""
        ends = np.cumsum([0] + [block.structure.n_theta for block in self.blocks])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @lazy
    def theta_names(self) -> tuple[str, ...]:
        """lme4's names of θ, such as ``Subject.Days.(Intercept)``."""
        return tuple(f"{b.name}.{name}" for b in self.blocks for name in b.structure.names(b.effects))

    def with_response(self, y: Array) -> Design:
        """Return the same design with another response minus offset, shape (n,)."""
        return replace(self, y=y)


def build_design(
    parsed: ParsedFormula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    missing: Missing = "drop",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | None = None,
    known: Mapping[str, Known] | None = None,
) -> Design:
    """Return the design of a parsed formula and data.

    Parameters
    ----------
    parsed : ParsedFormula
    data : pandas or polars frame, pyarrow table or mapping of arrays
        Not changed.
    weights, offset : str or array, optional
        Column name, or one value for each row.
    missing : {"drop", "raise", "exclude"}
        What to do with rows in which a variable of the model is missing.
    context : mapping, optional
        Additional functions and constants for the formula.
    residual : ResidualStructure, optional
        Structure of the residual covariance.
    known : mapping of str to Known, optional
        Relationships of the levels of grouping factors.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        If the formula cannot be evaluated on the data.
    DataError
        If a column, the weights or the offset are not valid.
    ModelError
        If a grouping factor or fixed factor has fewer than two levels.

    Warns
    -----
    MissingRowsWarning
        If rows are dropped.
    GroupingWarning
        If a grouping column holds fractional numbers.
    """
    related = check_known(known, parsed)
    further = () if residual is None else residual.columns
    labelled = () if residual is None else residual.label_columns
    frame = build_frame(
        parsed, data, weights=weights, offset=offset, missing=missing, further=further, labelled=labelled
    )
    if missing == "drop":
        warn_of_missing(frame.dropped, frame.dropped + len(frame.index), frame.missing, frame.lost)
    advice = _warn_of_stray_text(parsed, frame)
    values = evaluate(parsed, frame, context or {})
    check_effect_names("the fixed part", values.x_names)
    total_offset = add_offsets(frame.offset, values.offsets)
    blocks, groups = random_blocks(parsed, frame, values, related)
    recipe = make_recipe(parsed, frame, values, groups, offset=offset, context=context or {})
    return Design(
        formula=parsed,
        y=values.y if total_offset is None else values.y - total_offset,
        X=values.X,
        x_names=values.x_names,
        blocks=blocks,
        many=tuple(
            ManyLevelFactor(g, first, tuple(f"{prefix}{level}" for level in g.levels[first:]))
            for g, first, prefix in values.many
        ),
        weights=frame.weights,
        offset=total_offset,
        index=frame.index,
        dropped=frame.dropped,
        recipe=recipe,
        excluded=frame.excluded,
        advice=advice,
        residual=None if residual is None else _residual(residual, frame, blocks, values, parsed.response),
    )


def warn_of_missing(
    dropped: int, rows: int, missing: Mapping[str, int], lost: Mapping[str, Sequence[Any]] | None = None
) -> None:
    """Issue a `MissingRowsWarning` if rows were dropped; `lost` are levels of grouping factors without a row left."""
    if not dropped:
        return
    message = (
        f"{dropped} of {rows} rows {'was' if dropped == 1 else 'were'} dropped for missing values (by column: "
        f"{listed_counts(missing)})."
    )
    for name, levels in (lost or {}).items():
        few = ", ".join(map(shown, levels[:LISTED])) + ", …" * (len(levels) > LISTED)
        message += f" No row is left of {count_noun(len(levels), 'level')} of {name}: {few}."
    warn(message, MissingRowsWarning)


LISTED = 6
"""Largest number of levels that a warning lists."""


def _warn_of_stray_text(parsed: ParsedFormula, frame: ModelFrame) -> tuple[str, ...]:
    """Warn of text columns among the effects that are numbers but for a few values; return advice on others."""
    parts, advice = names_by_part(parsed), []
    for name in dict.fromkeys(name for key in parts if key != "y" for name in parts[key]):
        if name not in frame.text:
            continue
        if message := stray_text(name, frame.columns[name]):
            warn(message, GroupingWarning)
        advice.append(numbers_as_text(name, frame.columns[name]))
    return tuple(filter(None, advice))


def check_effect_names(where: str, names: Sequence[str]) -> None:
    """Raise `ModelError` where two columns have one name, by which no result could tell them apart."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ModelError(
            f"two columns of {where} would be named {twice!r}: a factor's name and level, written together, equal the "
            "name of another column or level (1 and '1' are written alike). Rename the level or the column."
        )


def _residual(
    structure: ResidualStructure,
    frame: ModelFrame,
    blocks: Sequence[RandomBlock],
    values: Matrices,
    response: str,
) -> ResidualModel:
    """Return the residual structure on the rows."""
    check_covariates(structure, response)
    if values.many:
        name = values.many[0][0].name
        raise ModelError(
            f"{structure}: the fixed factor {name!r} has too many levels to be fitted with a residual structure. "
            f"Make it random, (1 | {name})."
        )
    model = bind_residual(structure, frame, [block.grouping for block in blocks], int(values.y.size))
    unrelated = [(block.grouping, block.effects) for block in blocks if block.known is None]
    check_beside_random_terms(model, unrelated)
    return with_ties(model, blocks, frame.weights, values.X)


def add_offsets(offset: Array | None, terms: Sequence[Array]) -> Array | None:
    """Return the sum of an offset and offset terms, None without any."""
    parts = ([offset] if offset is not None else []) + list(terms)
    return np.sum(parts, axis=0) if parts else None


def random_blocks(
    parsed: ParsedFormula, frame: ModelFrame, values: Matrices, known: Mapping[str, Known]
) -> tuple[tuple[RandomBlock, ...], list[tuple[GroupingFactor, Grouping, list[Any]]]]:
    """Return the blocks by decreasing number of levels, one for all terms of a grouping factor.

    Also return the grouping factor, levels and formula parts of each block, for the recipe.
    """
    terms: dict[frozenset[str], list[RandomTerm]] = {}
    for term in parsed.random:
        terms.setdefault(frozenset(term.group.columns), []).append(term)
    alone = len(terms) == 1
    blocks = [
        (
            _one_block(group, frame, values, parsed.source, known.get(group[0].group.name), alone=alone),
            group,
        )
        for group in terms.values()
    ]
    blocks.sort(key=lambda pair: -pair[0].levels)
    groups = [(g[0].group, b.grouping, [part for term in g for part in term.parts]) for b, g in blocks]
    return tuple(block for block, _ in blocks), groups


def _one_block(
    terms: Sequence[RandomTerm],
    frame: ModelFrame,
    values: Matrices,
    source: str,
    known: Known | None,
    *,
    alone: bool,
) -> RandomBlock:
    """Return the block of all terms of one grouping factor; `alone`: there is no other one."""
    group = terms[0].group
    for column in group.columns:
        warn_of_measurements(column, frame.columns[column])
    grouping = interact(group.name, [frame.grouping(column) for column in group.columns])
    if len(grouping.levels) < 2 and not any(term.places for term in terms):
        raise one_level_grouping(group.name, group.columns, grouping.levels[0], frame)
    effects: list[str] = []
    sources: list[str] = []
    arrays: list[Array] = []
    parts: list[CovarianceStructure] = []
    for term in terms:
        for part in term.parts:
            names, z = values.random[random_key(part)]
            own = values.sources(part)
            effects += place_effects(term, names) if term.places else names
            sources += own
            arrays.append(z)
            if term.structure:
                parts.append(
                    structure_of(term, z, frame.columns, grouping, source, alone=alone, text=frame.text)
                )
                continue
            widths = [len(names)] if term.correlated else [len(list(run)) for _, run in groupby(own)]
            parts += [Unstructured(k) if term.correlated else Diagonal(k) for k in widths]
    check_effect_names(f"the random effects of {group.name!r}", effects)
    z = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
    sizes = tuple(part.k for part in parts)
    if known is not None:
        grouping = on_known_levels(grouping, known)
    return RandomBlock(grouping, tuple(effects), z, BlockDiagonal(tuple(parts)), sizes, tuple(sources), known)


def check_identifiable(design: Design, sigma: float | None) -> None:
    """Raise an error if there are too many effects for the rows.

    Parameters
    ----------
    design : Design
    sigma : float or None
        Value at which σ is held fixed; random effects are then not checked.

    Raises
    ------
    ModelError
        If a grouping factor has a level for every row and weights are equal, so that its variance is confounded with
        σ²; or if there are more random effects than rows, or as many fixed effects as rows, because of a factor with
        many levels.

    Warns
    -----
    IdentifiabilityWarning
        If a term has at least as many random effects as there are rows.
    """
    n, used, unequal = _counts(design)
    fixed = design.X.shape[1] + sum(len(factor.names) for factor in design.many)
    if fixed >= n and (note := _labels_like_numbers(design, ["X"])):
        raise ModelError(f"{n} rows cannot determine {fixed} fixed effects and a residual variance. {note}")
    if sigma is not None:
        return
    for block, levels in zip(design.blocks, used, strict=True):
        if block.known is not None:
            check_tells_apart(block.grouping, block.known, design.counted, equal_weights=not unequal)
            continue
        most = max((p.k for p in block.structure.parts if p.linear), default=1)
        if levels >= n and unequal:
            warn(
                f"{block.name!r} has a level for every row and sigma is estimated. If the weights are the inverses "
                "of known variances (a meta-analysis), hold it: .fit(sigma=1).",
                IdentifiabilityWarning,
            )
        elif levels >= n:
            raise ModelError(
                f"grouping factor {block.name!r} has as many levels as there are rows ({n}); its variance "
                "cannot be told from the residual variance. Hold sigma fixed, give weights, or choose a factor "
                "with several rows a level."
            )
        elif levels * most > n and (note := _labels_like_numbers(design, _parts_of(design, block.name))):
            raise ModelError(
                f"{block.name!r} has {levels * most:,} random effects ({most} for each of {levels} levels) for {n} "
                f"rows, which cannot determine them beside a residual variance. {note}"
            )
        elif levels * most >= n:
            warn(
                f"{block.name!r} has {levels} levels of {most} effects for {n} rows: "
                "the residual variance can hardly be told from theirs, and the split between them may be "
                "arbitrary. Hold sigma fixed or simplify the random effects.",
                IdentifiabilityWarning,
            )


def _counts(design: Design) -> tuple[int, tuple[int, ...], bool]:
    """Return the number of counted rows, that of levels of each block with one, and whether weights differ."""
    if design.absent is not None:
        totals = design.absent.known_totals()
        return totals.counted, totals.levels, not totals.equal_weights
    counted = design.counted
    n = int(counted.sum())
    unequal = design.weights is not None and bool(np.ptp(design.weights[counted]) > 0)
    if n == design.n:
        return n, tuple(block.levels for block in design.blocks), unequal
    return n, tuple(int(np.unique(block.codes[counted]).size) for block in design.blocks), unequal


def _parts_of(design: Design, group: str) -> list[str]:
    """Return the keys in `ParsedFormula.matrices` of the effects of a grouping factor."""
    return [random_key(p) for term in design.formula.random if term.group.name == group for p in term.parts]


def _labels_like_numbers(design: Design, parts: Sequence[str]) -> str:
    """Return a note on the factor with most levels in some parts of the formula; empty if none has more than five."""
    if design.recipe is None:
        return ""
    names = {name for part in parts for name in names_by_part(design.formula).get(part, ())}
    known = [design.recipe.variables[name] for name in names if name in design.recipe.variables]
    labels = [v for v in known if v.levels is not None and len(v.levels) > 5]
    if not labels:
        return ""
    widest = max(labels, key=lambda v: len(v.levels))  # type: ignore[arg-type]
    assert widest.levels is not None
    texts = [str(level) for level in widest.levels]
    note = f"{widest.name!r} is a factor with {len(texts)} levels, such as {texts[len(texts) // 2]!r}"
    commas = sum(re.fullmatch(r"\s*[-+]?\d*,\d+\s*", text) is not None for text in texts)
    numbers = sum(
        re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) is not None for text in texts
    )
    if commas > 0.5 * len(texts):
        column = f"data[{widest.name!r}]"
        return f"{note}: decimal commas? Make numbers of them: {column}.str.replace(',', '.').astype(float)."
    if numbers > 0.5 * len(texts):
        return f"{note}: numbers written as text? Make numbers of them with pd.to_numeric."
    return f"{note}: use fewer levels, or make it a grouping factor."
