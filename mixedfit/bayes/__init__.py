"""Bayesian estimation of the same models: priors, Gibbs sampler on the cross-products, posterior draws, criticism."""
