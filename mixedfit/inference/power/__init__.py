"""Simulation of responses from assumed parameters, and power of a test by simulation.

* `api`: the public functions; `study`: a design without response, its assumed parameters, and other sample sizes.
* `power`: draws, refits and tests for one sample size; `record`: the result.
"""
