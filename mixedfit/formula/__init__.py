"""Formulas: tokens, parser, R syntax, and the check of formulas from untrusted sources."""
