"""Diagnostics of a fit: residuals, leverages, influence, principal components, shares of variance."""

from __future__ import annotations

from .influence import Influence
from .tables import Diagnostics

__all__ = ["Diagnostics", "Influence"]
