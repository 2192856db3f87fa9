"""Bayesian estimation of linear mixed models, on the same designs and cross-products as a fit.

* `distributions`: distributions of residuals and random effects;
* `priors/`: prior distributions, their placement on the parameters, and checks of propriety;
* `model/`: models with t or Laplace distributions or a residual variance by group;
* `sampler/`: the Gibbs sampler;
* `draws/`: draws of parameters, random effects and predictions, with summaries and export;
* `criticism/`: leave-one-out cross-validation, WAIC and predictive checks;
* `evidence/`: marginal likelihoods, Bayes factors and Savage–Dickey ratios;
* `sensitivity/`: variants of priors side by side, power-scaling sensitivity;
* `posterior`: `Posterior`, the result of the sampler, whose methods call the above;
* `prior_predictive`: draws from the prior.
"""
