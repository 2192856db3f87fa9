"""Draws of a posterior, and quantities computed from them.

* `record`: `PosteriorDraws`, the draws of all parameters by name;
* `scale_draws`: draws of degrees of freedom and residual standard deviations by group;
* `draws`: `Draws` of one or several quantities, with summaries and arithmetic;
* `summaries`: the columns of a summary, for many quantities at once;
* `group_draws`: `GroupDraws`, the random effects of one grouping factor;
* `convergence`: R̂, effective sample sizes, Monte-Carlo errors;
* `expressions`, `queries`: functions and probabilities of parameters, as expressions or callables;
* `row_density`: means, log densities and replicated residuals of the rows of the fit;
* `counted_rows`: the posterior on the rows of positive weight;
* `marginal`: marginal means and their contrasts;
* `tables`: intervals, tidy rows and hypotheses, with the names of a fit;
* `predict`: predictions for new rows;
* `export`: files and ArviZ.
"""
