"""Gibbs sampler: chains on the cross-products of a fit."""
