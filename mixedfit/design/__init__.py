"""Designs: a formula and data → model frame → X, Z → `Design`, with the recipe for further rows."""
