"""Draws of the parameters of a residual structure."""

from __future__ import annotations

from dataclasses import dataclass

from mixedfit.core.arrays import Array

__all__ = ["StructureDraws"]


@dataclass(frozen=True, slots=True, eq=False)
class StructureDraws:
    """Draws of the parameters of a residual structure.

    Attributes
    ----------
    names : tuple of str
        Such as ``phi`` and ``ratio(B)``.
    x : ndarray, shape (chains, draws, parameters)
        Unconstrained parameters, as `ResidualModel.root` takes them.
    values : ndarray, shape (chains, draws, parameters)
        Natural parameters.
    """

    names: tuple[str, ...]
    x: Array
    values: Array
