"""Terms of a design whose covariance structure is not linear in θ, and the error of methods without them."""

from __future__ import annotations

import numpy as np

from mixedfit.core.errors import ModelError
from mixedfit.covariance import ScaledCorrelation
from mixedfit.crossproducts.changes import allowed_changes
from mixedfit.design.design import Design

__all__ = ["has_spare_shapes", "has_structures", "loose_structures", "refuse_structures", "structured_terms"]

FEW_POINTS = 4
"""Largest number of effects of a structure whose distances may be fewer than its parameters."""


def structured_terms(design: Design) -> list[tuple[int, ScaledCorrelation]]:
    """Return the block and the structure of each term such as ``ar1(0 + time | g)``."""
    return [
        (f, part)
        for f, block in enumerate(design.blocks)
        for part in block.structure.parts
        if isinstance(part, ScaledCorrelation)
    ]


def has_structures(design: Design) -> bool:
    """Return whether a term has a structure that is not linear in θ."""
    return bool(structured_terms(design))


def has_spare_shapes(part: ScaledCorrelation) -> bool:
    """Return whether a structure has more parameters than its covariance matrix tells apart, as `mat` of two points."""
    if part.k > FEW_POINTS:
        return False
    changes = np.array(list(allowed_changes(part))).reshape(part.n_theta, -1)
    return int(np.linalg.matrix_rank(changes, tol=1e-9)) < part.n_theta


def loose_structures(design: Design) -> list[str]:
    """Return the terms whose structure has more parameters of correlations than there are distances."""
    return [
        f"{part.name}(… | {design.blocks[f].name})"
        for f, part in structured_terms(design)
        if has_spare_shapes(part)
    ]


def refuse_structures(design: Design, what: str, advice: str = "") -> None:
    """Raise `ModelError` if a term has a structure that is not linear in θ.

    Parameters
    ----------
    design : Design
    what : str
        What is not available, in the plural.
    advice : str
        What to do instead.

    Raises
    ------
    ModelError
    """
    own = structured_terms(design)
    if own:
        f, part = own[0]
        raise ModelError(
            f"{what} are not available with the covariance structure {part.name}(… | {design.blocks[f].name}). "
            f"{advice}".strip()
        )
