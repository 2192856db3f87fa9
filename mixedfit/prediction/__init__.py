"""Predictions, their errors, and simulated responses.

* `predict`: `Predictor`, the methods `predict` and `simulate` of a fit;
* `rows`: the rows to predict, with offsets, weights and new levels;
* `re_form`: the random effects that a prediction includes;
* `error_variance`: variances of prediction errors from the joint covariance of β̂ and b̂, and their degrees of freedom;
* `variables`: values of the formula's variables on the rows of a fit, recovered from its columns;
* `simulate`: responses for new rows, or with some random effects held.
"""
