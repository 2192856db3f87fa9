"""Criticism of a posterior: cross-validation and predictive checks.

* `loo`: leave-one-out cross-validation and WAIC;
* `psis`: Pareto-smoothed importance sampling;
* `group_density`: log density of a group with its random effects integrated out;
* `elpd`: `ExpectedDensity` and `ElpdDifference`, the estimates and their differences;
* `predictive_check`: statistics of replicated responses.
"""
