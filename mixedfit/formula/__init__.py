"""Formulas: tokens, parser, R syntax, and the check of untrusted formulas."""
