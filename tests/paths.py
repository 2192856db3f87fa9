"""Folders that tests read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "REFERENCE_FOLDER", "ROOT", "SHARED_FOLDER"]

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

DOCS = ROOT / "docs"

REFERENCE_FOLDER = ROOT / "tests" / "reference"
"""Output of other programs, with the scripts that made it."""

SHARED_FOLDER = ROOT.parent / "shared"
"""Data and references that do not ship; tests that need them are skipped where they are not there."""
