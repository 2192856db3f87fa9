"""Gibbs sampler, by kernels that take the cross-products of a fit.

* `gibbs`: `gibbs` checks the options, runs the chains in parallel and returns the `Posterior`;
* `arrays`: cross-products and priors as the arrays of the kernels;
* `chain`: a chain with normal errors and effects;
* `fixed_mixtures`: the update of t, Cauchy and Laplace priors of fixed effects;
* `weighted_chain`: a chain with t or Laplace distributions or a residual variance by group;
* `crossed_chain`: a chain for large crossed factors, which draws one factor at a time.
"""
