"""Predictions: rows, random effects included, means, errors, simulated responses."""
