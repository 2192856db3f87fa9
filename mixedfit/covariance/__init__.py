"""Covariance structures of random effects: maps from θ to λ, the relative covariance factor of one level's effects."""

from __future__ import annotations

from .block_diagonal import BlockDiagonal
from .contract import CovarianceStructure
from .diagonal import Diagonal
from .registry import STRUCTURES, structure_from, structure_record
from .scaled_correlation import Natural, ScaledCorrelation
from .unstructured import Unstructured

__all__ = [
    "STRUCTURES",
    "BlockDiagonal",
    "CovarianceStructure",
    "Diagonal",
    "Natural",
    "ScaledCorrelation",
    "Unstructured",
    "structure_from",
    "structure_record",
]
