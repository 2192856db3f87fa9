"""Grouping factors with the same groups of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfit.core.arrays import IntArray
from mixedfit.design.design import Design, RandomBlock

__all__ = ["partitions"]


def partitions(design: Design) -> list[list[int]]:
    """Return the positions of blocks in lists, one for each distinct partition of the counted rows into groups."""
    if design.absent is None:
        rows = slice(None) if design.weights is None else np.flatnonzero(design.counted)
        return _same_partitions(design.blocks, rows)
    same = design.absent.known_totals().same
    classes: list[list[int]] = []
    for f in range(len(design.blocks)):
        known = next((own for own in classes if same[own[0], f]), None)
        if known is None:
            classes.append([f])
        else:
            known.append(f)
    return classes


def _same_partitions(blocks: Sequence[RandomBlock], rows: slice | IntArray) -> list[list[int]]:
    """Return the positions of blocks in lists, one for each distinct partition of the rows into groups."""
    if len(blocks) == 1:
        return [[0]]
    classes: list[list[int]] = []
    used = [np.count_nonzero(np.bincount(block.codes[rows], minlength=1)) for block in blocks]
    for f, block in enumerate(blocks):
        for known in classes:
            first = blocks[known[0]]
            if used[f] != used[known[0]]:
                continue
            pairs = np.unique(first.codes[rows] * np.int64(block.levels) + block.codes[rows])
            if pairs.size == used[f] and _same_relationships(first, block, *np.divmod(pairs, block.levels)):
                known.append(f)
                break
        else:
            classes.append([f])
    return classes


def _same_relationships(one: RandomBlock, other: RandomBlock, places: IntArray, others: IntArray) -> bool:
    """Return whether levels `places` of one block are related as levels `others` of another, whatever their labels.

    That is seen from the product of both relationship matrices with one vector of random numbers.
    """
    if one.known is None and other.known is None:
        return True
    values = np.random.default_rng(0).normal(size=places.size)
    products = []
    for block, own in ((one, places), (other, others)):
        vector = np.zeros(block.levels)
        vector[own] = values
        products.append((vector if block.known is None else block.known.times(vector))[own])
    size = max(float(np.abs(products[0]).max()), float(np.abs(products[1]).max()))
    return bool(np.abs(products[0] - products[1]).max() <= 1e-8 * size)
