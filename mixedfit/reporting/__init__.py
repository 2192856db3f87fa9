"""Summaries, tables, LaTeX, Markdown, HTML, the report page, and the adapter for marginaleffects."""
