"""Sensitivity of a posterior to its priors.

* `variants`: the same quantities under several mappings of priors;
* `power_scaling`: the change of quantities as the prior or the likelihood is raised to a power.
"""
