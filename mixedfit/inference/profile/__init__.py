"""Likelihood profiles and profile intervals.

* `profile`: the function and its result; `curve`: monotone interpolation between the points.
* `tracing`: the points of one profile, by constrained refits.
* `held`, `held_variance`, `held_natural`, `held_point`, `held_state`: the criterion with one parameter held at a value.
* `held_whitened`, `held_surface`: the same in models with a residual structure.
"""
