"""Terms of a design whose covariance structure is not linear in θ, and the error of methods without them."""

from __future__ import annotations

from mixedfit.core.errors import ModelError
from mixedfit.covariance import ScaledCorrelation
from mixedfit.design.design import Design

__all__ = ["has_structures", "refuse_structures", "structured_terms"]


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
