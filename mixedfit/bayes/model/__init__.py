"""Extensions of the normal model with one σ: t and Laplace distributions, residual variances by group."""
