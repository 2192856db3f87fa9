"""Cross-products: the sums over rows that the likelihood needs, and the basis in which they are taken."""
