"""The rows of a small source in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .design import Design, RandomBlock
from .grouping import Grouping

__all__ = ["collected"]


def collected(design: Design) -> Design:
    """Return a design with the rows of its source in memory.

    Parameters
    ----------
    design : Design
        Whose rows are not in memory and can be read.
    """
    assert design.absent is not None
    assert design.absent.read is not None
    batches = list(design.absent.read())
    weighted, shifted = design.weights is not None, design.offset is not None
    return replace(
        design,
        y=np.concatenate([batch.y for batch in batches]),
        X=np.concatenate([batch.X for batch in batches]),
        blocks=tuple(
            _block(block, [batch.blocks[f] for batch in batches]) for f, block in enumerate(design.blocks)
        ),
        weights=np.concatenate([batch.weights for batch in batches]) if weighted else None,
        offset=np.concatenate([batch.offset for batch in batches]) if shifted else None,
        absent=None,
    )


def _block(block: RandomBlock, parts: list[RandomBlock]) -> RandomBlock:
    codes = np.concatenate([part.codes for part in parts])
    grouping = Grouping(block.name, codes, block.grouping.levels, block.grouping.parts)
    return replace(block, grouping=grouping, z=np.concatenate([part.z for part in parts]))
