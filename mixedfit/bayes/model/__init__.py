"""Models other than normal with one σ.

* `error_model`: distributions of residuals and effects, with their priors;
* `residual_groups`: groups with separate residual variances.
"""
