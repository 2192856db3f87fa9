"""One self-contained HTML page about a fit."""

from __future__ import annotations

from .page import report, report_html

__all__ = ["report", "report_html"]
