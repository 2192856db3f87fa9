"""Likelihood-ratio tests (`tests`), and models with one random term less (`smaller_models`)."""
