"""The deviance and the REML criterion as functions of θ, with gradient and curvature, from cross-products.

- `criterion`: `Criterion` is the function, `Evaluation` its value and derivatives at one θ.
- `first_factor`: elimination of the first grouping factor.
- `dense_tail`, `sparse_tail`: factorisation of the remaining columns, as a dense or a block-sparse matrix.
- `compiled`: models small enough to be evaluated by compiled code alone.
"""
