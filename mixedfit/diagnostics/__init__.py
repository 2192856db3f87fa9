"""Diagnostics of a fit: residuals, leverages, influence, principal components, shares of variance."""

from __future__ import annotations

from .deletion.influence import Influence
from .diagnostics import Diagnostics

__all__ = ["Diagnostics", "Influence"]
