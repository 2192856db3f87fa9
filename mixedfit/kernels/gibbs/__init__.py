"""Compiled loops of the Gibbs sampler."""
