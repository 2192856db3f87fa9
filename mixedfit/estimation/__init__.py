"""Estimation of θ, the record `Fit`, and what follows from a `Fit` alone.

- `optimize`: Newton and trust-region minimisation of any function; `search`: the same or compiled code for a criterion.
- `estimate`: starting values, search and treatment of the boundary; `convergence`: status and message.
- `fit`: the record `Fit` of a fitted model; `storage`: fits on disk; `tables`: labelled tables of a fit.
- `parameters`: names and values of standard deviations, correlations and σ; `information`: their information matrix.
- `simulate`: new responses from a fit; `batch`: refits to many responses in compiled code.
"""
