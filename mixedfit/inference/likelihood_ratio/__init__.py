"""Likelihood-ratio tests, and the smaller models that they compare with."""
