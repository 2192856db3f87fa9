"""Covariance structures of random effects: maps from θ to λ, the relative covariance factor of one level's effects."""

from __future__ import annotations

from .block_diagonal import BlockDiagonal
from .contract import CovarianceStructure
from .diagonal import Diagonal
from .unstructured import Unstructured

__all__ = ["BlockDiagonal", "CovarianceStructure", "Diagonal", "Unstructured"]
