"""Criticism of a posterior: leave-one-out, WAIC, predictive checks."""
