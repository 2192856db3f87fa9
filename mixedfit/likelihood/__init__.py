"""The criterion: −2 log-likelihood or REML criterion from cross-products, with gradient and curvature."""
