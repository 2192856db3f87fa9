"""Hierarchical linear models the Bayesian way, on the same design and cross-products as a fit."""
