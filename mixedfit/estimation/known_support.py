"""Refusal in words of what is not available for fits with known relationships between levels."""

from __future__ import annotations

from mixedfit.core.errors import ModelError
from mixedfit.design.design import Design

__all__ = ["refuse_known"]


def refuse_known(design: Design, what: str, instead: str = "") -> None:
    """Raise `ModelError` if the levels of a grouping factor have known relationships.

    Parameters
    ----------
    design : Design
    what : str
        What is not available, the start of a sentence.
    instead : str
        The reason or what to do, a sentence.
    """
    related = [block.name for block in design.blocks if block.known is not None]
    if related:
        raise ModelError(
            f"{what} not available for models with known relationships between levels, here of {related[0]!r}. "
            f"{instead}".rstrip()
        )
