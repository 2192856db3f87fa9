"""Inference: intervals, tests, marginal means, profiles, bootstrap and power, each a function of a `Fit`.

* `coefficients`, `wald`: the table of fixed effects and Wald intervals.
* `ddf`, `satterthwaite`, `kenward_roger`: denominator degrees of freedom of tests of fixed effects.
* `vcov_varpar`: covariance matrix of the variance parameters.
* `hypotheses/`: t, F and Wald tests of linear hypotheses; `anova/`: F tests of terms.
* `emmeans/`: marginal means, contrasts and adjustments for multiple tests.
* `likelihood_ratio/`: tests of nested models; `profile/`: likelihood profiles.
* `bootstrap/`: parametric, residual and case bootstrap; `power/`: power by simulation.
"""
