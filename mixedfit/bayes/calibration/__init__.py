"""Simulation-based calibration of the sampler on a user's model and priors.

- ``uniformity``: test and bands of the distribution of ranks
- ``record``: `Calibration`, its table, verdict and picture
- ``run``: parameters from the priors, responses from the model, ranks among posterior draws
"""
