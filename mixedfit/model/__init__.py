"""The objects that a user holds.

* `lmm`: `lmm` and `LinearMixedModel`, from a formula and data to a fit;
* `results`: `MixedResults`, a fitted model;
* `likelihood_ratio`: tests of several fits;
* `fit_and_posterior`: `compare`, a fit and a posterior of the same model side by side, with notes on their
  `differences` and tables of the `shrinkage` of each group.
"""
