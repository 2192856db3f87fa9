"""Refusal in words of what is not available for fits with a residual structure."""

from __future__ import annotations

from mixedfit.core.errors import ModelError
from mixedfit.covariance import BlockDiagonal
from mixedfit.design.design import Design

__all__ = ["free_elements", "refuse_residual"]


def refuse_residual(design: Design, what: str, instead: str = "") -> None:
    """Raise `ModelError` if a design has a residual structure.

    Parameters
    ----------
    design : Design
    what : str
        What is not available, the start of a sentence.
    instead : str
        What to do, a sentence.
    """
    if design.residual is not None:
        raise ModelError(
            f"{what} not available yet for models with a residual structure, here {design.residual.structure}. "
            f"{instead}".rstrip()
        )


def free_elements(structure: BlockDiagonal) -> list[tuple[int, int]]:
    """Return the (row, column) positions of Ω's free elements, term by term."""
    return [
        (a, b)
        for part, _, here in structure.slices()
        for a in range(here.start, here.stop)
        for b in range(here.start, a + 1)
        if a == b or part.invariance == "linear"
    ]
