"""The criterion: cross-products and covariance structures → −2 log-likelihood, its gradient and curvature."""
