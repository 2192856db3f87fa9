"""Parametric, residual and case bootstrap, and the parametric bootstrap test.

* `bootstrap`: the function; `record`: its result and printed table; `intervals`: bootstrap intervals.
* `sources`, `cases`: how replicates are drawn; `replicates`: refits in blocks and threads.
* `statistic`: the user's function of a refit; `jackknife`: acceleration for BCa intervals.
* `model_test`: the bootstrap test of nested models.
"""
