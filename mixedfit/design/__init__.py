"""Designs: model frame, matrices X and Z, and the recipe for the matrices of new rows."""
