"""Refusal in words of what is not available for fits with a residual structure."""

from __future__ import annotations

from mixedfit.core.errors import ModelError
from mixedfit.design.design import Design

__all__ = ["refuse_residual"]


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
