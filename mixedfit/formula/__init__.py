"""Formulas: text → tokens → `ParsedFormula`."""
