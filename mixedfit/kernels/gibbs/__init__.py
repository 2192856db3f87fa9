"""Compiled loops of the Gibbs sampler.

- `sweep`: whole sweeps of the normal model; `weighted_sweep`: those with Student or Laplace distributions or several σ.
- `first_factor`, `coefficients`: draws of β and b; `mixtures`: draws of mixing variables.
- `scales`, `roots` (by `root_likelihood`), `collapsed`: draws of the Ω given b, given u = Λ⁻¹b, or with β and b
  integrated out.
- `relative`: priors in units of σ.
- `variances`: priors and full conditionals of one variance or covariance matrix; `scaled`: densities along log τ.
"""
