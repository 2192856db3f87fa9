"""Compiled loops on bare arrays; arguments are not checked, results are written into arrays that the caller passes.

- `accumulate`: rows → cross-products by level; `_compile`: when loops are compiled; `triangle`: small Cholesky factors.
- `first_factor`, `first_factor_sparse`, `first_factor_products`: elimination of the first grouping factor.
- `dense_tail`, `block_sparse`: the remaining columns as one dense or one block-sparse symmetric matrix.
- `small_levels`, `small_derivatives`, `small_criterion`, `small_search`: the whole fit of a small model.
- `leverages`, `prediction`: quadratic forms of single rows.
- `gibbs`: the Gibbs sampler.
"""

from ._compile import compiled

__all__ = ["compiled"]
