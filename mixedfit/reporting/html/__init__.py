"""The reports on a fit and on a posterior: self-contained HTML pages."""

from __future__ import annotations

from .page import report_html
from .posterior_page import posterior_html

__all__ = ["posterior_html", "report_html"]
