"""The report on a fit: one self-contained HTML page."""

from __future__ import annotations

from .page import report, report_html

__all__ = ["report", "report_html"]
