"""Estimation: search, convergence, the record `Fit`, and what follows from a `Fit` alone."""
