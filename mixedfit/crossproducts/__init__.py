"""Cross-products: the sums over rows in the likelihood, and the basis in which they are computed."""
