"""Draws from a posterior, by name and by group, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

from .._types import Array, IntArray
from ..design import Design

__all__ = ["Posterior"]


@dataclass(frozen=True, eq=False)
class Posterior:
    design: Design
    kept: IntArray
    priors: tuple[str, ...]
    beta: Array
    sigma: Array
    omega: tuple[Array, ...]
    effects: tuple[Array, ...]
    tune: int
    thin: int
    seconds: float
