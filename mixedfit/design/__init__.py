"""Designs: model frame, matrices X and Z, and the recipe for further rows."""
