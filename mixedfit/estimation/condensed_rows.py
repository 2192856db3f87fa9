"""Few rows that have the likelihood of many, for correlations of neighbours that depend on their gap only.

L⁻¹ takes each row and the one before it in its group, (x_{t−1}, x_t), to (x_t − φ x_{t−1})/√(1 − φ²), with φ a function
of their gap. Pairs with the same gap, and the same levels of variance functions, share that map. Let [A B] have the N
pairs of one gap, all columns of y and X side by side, and let R be its triangular factor. The rows of R are pairs too,
at most as many as A and B have columns, and the products of their images are those of all N pairs, at every φ. So the
rows are passed over once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import triangle
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.covariance.residual.parts import Layout
from mixedfit.covariance.residual.variances import VarIdentLaw
from mixedfit.design.design import Design

__all__ = ["condensed"]

SHARE = 0.3
"""Share of the rows that condensed ones may be; otherwise they save too little."""


MOST = 60_000
"""Largest number of kinds of rows."""


def condensed(raw: Design, model: ResidualModel) -> tuple[Design, ResidualModel] | None:
    """Return a design of fewer rows and the structure on them, with the criterion of all; None where there is none.

    Parameters
    ----------
    raw : Design
        Rows multiplied by roots of their weights.
    model : ResidualModel

    Notes
    -----
    The structure's layout says how many rows of the data each row stands for.
    """
    layout, law = model.layout, model.correlation
    by_gap = getattr(law, "on_gaps", None)
    if layout is None or by_gap is None or raw.blocks or raw.many:
        return None
    if not all(isinstance(own, VarIdentLaw) for own in model.variances):
        return None
    most = min(int(SHARE * raw.n / (4 * (raw.X.shape[1] + 1))), MOST)
    if pd.unique(layout.gaps[: 2 * most]).size > most:  # irregular times: a few rows tell
        return None
    levels = [np.asarray(own.codes)[layout.order] for own in model.variances]  # type: ignore[attr-defined]
    kinds, classes = _kinds(layout, levels)
    if len(kinds) > most:
        return None
    table = np.column_stack([raw.y, raw.X])[layout.order]
    rows, made = _made(table, layout, kinds, classes)
    codes = rows[:, 3:].astype(np.int64)
    variances = tuple(
        VarIdentLaw(codes[:, i], own.levels)  # type: ignore[attr-defined]
        for i, own in enumerate(model.variances)
    )
    fewer = Layout(
        order=np.arange(len(rows)),
        start=np.append(np.flatnonzero(rows[:, 0] == 0), len(rows)),
        place=rows[:, 1:2],
        counts=rows[:, 2],
    )
    design = replace(raw, y=made[:, 0].copy(), X=np.ascontiguousarray(made[:, 1:]), residual=None)
    return design, replace(model, layout=fewer, correlation=by_gap(fewer), variances=variances)


def _kinds(layout: Layout, levels: list[IntArray]) -> tuple[Array, IntArray]:
    """Return the distinct kinds of rows, shape (kinds, 1 + 2 levels), and the kind of each sorted row.

    A kind is the gap to the row before (0: first of its group), the levels of the row, and those of the row before.
    """
    before = [np.where(layout.opens, 0, np.roll(own, 1)) for own in levels]
    columns: list[Array | IntArray] = [layout.gaps, *levels, *before]  # gaps are 0 where a group opens
    classes = np.zeros(layout.n, np.int64)
    for column in columns:  # by hashing, which is faster than a sort
        own, distinct = pd.factorize(column)
        classes = pd.factorize(classes * len(distinct) + own)[0]
    first = np.empty(int(classes.max()) + 1, np.int64)
    first[classes[::-1]] = np.arange(layout.n)[::-1]
    return np.column_stack([column[first] for column in columns]), classes


def _made(table: Array, layout: Layout, kinds: Array, classes: IntArray) -> tuple[Array, Array]:
    """Return the condensed rows: position in their pair, place, rows that they stand for, levels; and their columns."""
    by = np.argsort(classes.astype(np.uint16), kind="stable")  # numpy sorts these by counting
    ends = np.cumsum(np.bincount(classes))
    columns, m = table.shape[1], (kinds.shape[1] - 1) // 2
    facts: list[Array] = []
    parts: list[Array] = []
    for kind, own in zip(kinds, np.split(by, ends[:-1]), strict=True):
        gap, here, before = kind[0], kind[1 : 1 + m], kind[1 + m :]
        if gap == 0.0:
            root = triangle(table[own])
            parts.append(root)
            facts += [np.array([0.0, 0.0, own.size / len(root), *here])] * len(root)
            continue
        root = triangle(np.hstack([table[own - 1], table[own]]))
        parts.append(root.reshape(2 * len(root), columns))
        pair = [np.array([0.0, 0.0, 0.0, *before]), np.array([1.0, gap, own.size / len(root), *here])]
        facts += pair * len(root)
    return np.array(facts), np.concatenate(parts)
