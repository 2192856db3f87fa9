"""Estimated marginal means and their contrasts."""
