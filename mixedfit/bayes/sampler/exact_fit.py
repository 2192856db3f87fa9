"""Responses that fixed and random effects reproduce exactly: the posterior then has all of its mass at σ = 0.

With y in the span of [X Z], of rank r, the marginal likelihood grows as σ^−(n − r) for σ → 0. The posterior is improper
unless the prior of σ vanishes there fast enough, as inverse gamma and log-normal distributions do.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import lsmr

from mixedfit.bayes.priors import Gamma, InverseGamma, Known, LogNormal, VariancePrior
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design

from .arrays import sampling_rows

__all__ = ["check_residual_variance"]

EXACT = 1e-8
"""Size of the least-squares residual, relative to the response's, up to which a response is reproduced exactly."""

DENSE = 2000
"""Rows up to which the rank is computed by a singular value decomposition."""


def check_residual_variance(
    design: Design, cross: CrossProducts, order: list[int], symbol: str, prior: VariancePrior | Gamma
) -> None:
    """Raise if y is in the span of [X Z], and the prior of σ (or σ₀) does not exclude σ = 0.

    Parameters
    ----------
    design : Design
    cross : CrossProducts
    order : list of int
        The design's blocks in the sampler's order.
    symbol : str
        What `prior` is the prior of: "σ" or "σ₀".
    prior : VariancePrior or Gamma
        A gamma distribution is the prior of σ₀².

    Raises
    ------
    ModelError
        If the posterior is improper.
    """
    if isinstance(prior, InverseGamma | LogNormal | Known):
        return
    _, border, codes, z = sampling_rows(design, cross, order)
    columns = _columns(border[:, :-1], codes, z)
    if not _reproduces(columns, border[:, -1]):
        return
    free = columns.shape[0] - _rank(columns)
    if free < (2.0 * prior.shape if isinstance(prior, Gamma) else 1.0):
        return
    constant = [design.blocks[f].name for f in order if _is_constant(design, f)]
    what = "the fixed and random effects reproduce it exactly"
    if constant:
        what = f"it is constant within the levels of {constant[0]!r}"
    stated = prior.about(symbol + "²" * isinstance(prior, Gamma))
    raise ModelError(
        f"the posterior of the response {design.formula.response!r} is improper: {what}, so that the likelihood is "
        f"unbounded at σ = 0, which the prior {stated} allows. If a group's value is repeated in its rows, "
        "take one row for each group; otherwise give σ a prior that excludes 0: InverseGamma(shape, scale), Known(sd)."
    )


def _columns(X: Array, codes: list[IntArray], z: list[Array]) -> sparse.csr_array:
    """Return [X Z] of the counted rows."""
    parts = [sparse.csr_array(X)]
    for level, own in zip(codes, z, strict=True):
        n, k = own.shape
        places = (level[:, None] * k + np.arange(k)).ravel()
        width = int(level.max(initial=-1) + 1) * k
        parts.append(sparse.csr_array((own.ravel(), places, np.arange(0, n * k + 1, k)), shape=(n, width)))
    return sparse.csr_array(sparse.hstack(parts, format="csr"))


def _reproduces(columns: sparse.csr_array, response: Array) -> bool:
    """Return whether the least-squares residual is 0 up to rounding, at first with little accuracy, which is cheap."""
    size = float(np.linalg.norm(response))
    for tolerance, share in ((1e-3, 0.02), (1e-13, EXACT)):
        solution = lsmr(columns, response, atol=tolerance, btol=tolerance, maxiter=500)[0]
        if float(np.linalg.norm(response - columns @ solution)) > share * size:
            return False
    return True


def _rank(columns: sparse.csr_array) -> int:
    """Return the rank, of many rows an upper bound: the number of columns that are not 0."""
    if columns.shape[0] <= DENSE:
        return int(np.linalg.matrix_rank(columns.toarray()))
    return int(np.count_nonzero(abs(columns).sum(axis=0)))


def _is_constant(design: Design, f: int) -> bool:
    """Return whether the response is constant within the levels of a block, on the counted rows."""
    rows = np.flatnonzero(design.counted)
    codes, y = design.blocks[f].codes[rows], design.observed[rows]
    first = np.zeros(design.blocks[f].levels)
    first[codes] = y
    return bool(np.all(np.abs(y - first[codes]) <= EXACT * np.std(y)))
