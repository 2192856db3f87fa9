"""Marginal likelihoods of models under their priors, Bayes factors and Savage–Dickey ratios.

* `constants`: normalising constants of the priors of variances;
* `collapsed`: the posterior of the variance parameters in unconstrained coordinates, with β and b integrated out;
* `quadrature`, `bridge`: its integral, by the trapezoidal rule and by bridge sampling;
* `evidence`: `log_evidence`, which chooses between them, and `Evidence`;
* `bayes_factor`: `BayesFactor`, the comparison of two evidences;
* `savage_dickey`: `DensityRatio`, the Bayes factor of a value of fixed effects.
"""
