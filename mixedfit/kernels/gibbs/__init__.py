"""Compiled loops of the Gibbs sampler.

- `sweep`: whole sweeps of the normal model; `weighted_sweep`: those with Student or Laplace distributions or several σ.
- `coefficients`: draws of β and b; `scales`, `collapsed`: draws of the Ω; `mixtures`: draws of mixing variables.
- `variances`: priors and full conditionals of one variance or covariance matrix.
"""
