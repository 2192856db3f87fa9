"""Cross-products without a case, by subtraction, and measures of its influence on the fixed effects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.crossproducts.crossprod import CrossProducts, add_rows, cross_products
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.grouping import Grouping
from mixedfit.estimation.fit import Fit

__all__ = [
    "DeletionEstimates",
    "Measures",
    "cross_products_without",
    "full_data_estimates",
    "full_rank",
    "measures",
]

NOT_ESTIMABLE = "fixed effects not estimable"
"""Reason of cases without which the remaining rows do not determine β."""

PIVOT = 1e-9
"""Least share of a column's squared norm that remains after projection off earlier columns, for β to be estimable."""


def cross_products_without(fit: Fit, rows: IntArray) -> CrossProducts:
    """Return the cross-products of a fit's data without some rows, in the basis of the fit.

    With many-level fixed factors they are computed from the remaining rows, since a level may have lost its column.

    Raises
    ------
    ModelError
        If the remaining rows cannot determine the model; the message is the reason in a few words.
    """
    design = fit.design
    _check_levels(fit, rows)
    if design.many:
        return _recomputed(fit, rows)
    if fit.cross.pairs is not None:
        raise ModelError(
            "deletion of rows is not available for a fit by conjugate gradients; its crossed factors are too large."
        )
    cross, sub = fit.cross, _subset(design, rows)
    root = None if sub.weights is None else np.sqrt(sub.weights)
    first = replace(
        cross.first, gram=-cross.first.gram, values=-cross.first.values, border=-cross.first.border
    )
    sparse = cross.sparse
    if sparse is not None:
        layout = sparse.layout
        sparse = replace(sparse, blocks=-sparse.blocks, sides=-sparse.sides)
        sparse.__dict__["layout"] = layout  # depends on the pattern only
    weights = np.ones(rows.size) if sub.weights is None else sub.weights[sub.weights > 0]
    out = replace(
        cross,
        n=cross.n - weights.size,
        first=first,
        gram=-cross.gram,
        sparse=sparse,
        log_weights=cross.log_weights - float(np.log(weights).sum()),
    )
    add_rows(out, sub, root)
    own = () if sparse is None else (sparse.blocks, sparse.sides)
    for values in (first.gram, first.values, first.border, out.gram, *own):
        np.negative(values, out=values)
    if cross.p and not full_rank(symmetric(out.gram[-cross.p - 1 : -1, -cross.p - 1 : -1])):
        raise ModelError(NOT_ESTIMABLE)
    return out


def full_rank(grams: Array) -> BoolArray:
    """Return which Gram matrices (…, p, p) are those of linearly independent columns."""
    try:
        chol = np.linalg.cholesky(grams)
    except np.linalg.LinAlgError:
        if grams.ndim == 2:
            return np.array(False)
        return np.array([full_rank(own) for own in grams])
    pivots, norms = np.einsum("...aa->...a", chol) ** 2, np.einsum("...aa->...a", grams)
    return np.asarray(np.all(pivots > PIVOT * norms, axis=-1))


def _check_levels(fit: Fit, rows: IntArray) -> None:
    """Raise if the remaining rows cannot identify the variances."""
    design = fit.design
    left = np.ones(design.n, dtype=bool) if design.weights is None else design.weights > 0
    left[rows] = False
    n = int(left.sum())
    if n <= fit.cross.p_total:
        raise ModelError("too few rows left")
    for block in design.blocks:
        levels = int(np.count_nonzero(np.bincount(block.codes[left], minlength=block.levels)))
        if levels < 2:
            raise ModelError(f"one level of {block.name} left")
        if levels >= n and design.weights is None and fit.held_sigma is None and block.known is None:
            raise ModelError(f"one row a level of {block.name} left")


def _subset(design: Design, rows: IntArray) -> Design:
    """Return the design of some rows."""
    blocks = tuple(
        RandomBlock(
            Grouping(block.name, block.codes[rows], block.grouping.levels),
            block.effects,
            block.z[rows],
            block.structure,
            block.term_sizes,
            block.sources,
            block.known,
        )
        for block in design.blocks
    )
    weights = None if design.weights is None else design.weights[rows]
    return replace(design, y=design.y[rows], X=design.X[rows], blocks=blocks, weights=weights, excluded=None)


def _recomputed(fit: Fit, rows: IntArray) -> CrossProducts:
    weights = np.ones(fit.design.n) if fit.design.weights is None else fit.design.weights.copy()
    weights[rows] = 0.0
    cross = cross_products(replace(fit.design, weights=weights))
    if not np.array_equal(cross.fixed.kept, fit.cross.fixed.kept):
        raise ModelError(NOT_ESTIMABLE)
    return cross


@dataclass(frozen=True, slots=True, eq=False)
class DeletionEstimates:
    """Estimates without each case; NaN for cases without which the model cannot be estimated.

    Attributes
    ----------
    solution : ndarray, shape (cases, p)
        β̃.
    information : ndarray, shape (cases, p, p)
        X̃ᵀV⁻¹X̃.
    variance : ndarray, shape (cases,)
        σ² in units of the cross-products.
    theta : ndarray, shape (cases, n_theta)
        In the formula's basis.
    criterion : ndarray, shape (cases,)
    residual : ndarray, shape (cases, parameters)
        Parameters of the residual structure.
    reasons : dict of int to str
        Why a case has no estimates, by its position.
    """

    solution: Array
    information: Array
    variance: Array
    theta: Array
    criterion: Array
    residual: Array
    reasons: dict[int, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int, fit: Fit) -> DeletionEstimates:
        """Return estimates of NaN for a number of cases, to be filled."""
        p, nan = fit.cross.p, np.nan
        return cls(
            np.full((count, p), nan),
            np.full((count, p, p), nan),
            np.full(count, nan),
            np.full((count, fit.theta.size), nan),
            np.full(count, nan),
            np.full((count, 0 if fit.residual is None else fit.residual.model.n_parameters), nan),
        )

    def forget(self, case: int) -> None:
        """Set the estimates without a case to NaN."""
        arrays = (self.solution, self.information, self.variance, self.theta, self.criterion, self.residual)
        for array in arrays:
            array[case] = np.nan


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Measures of influence, shape (cases,), changes of β̂ and standard errors without the case, shape (cases, p)."""

    cooks_distance: Array
    mdffits: Array
    covratio: Array
    covtrace: Array
    change: Array
    errors: Array


def full_data_estimates(fit: Fit) -> tuple[Array, Array, float]:
    """Return β̃, X̃ᵀV⁻¹X̃ and σ² of the fit itself."""
    cross, tail = fit.cross, fit.evaluation.tail
    many = cross.q_tail - cross.q_random
    covariance = tail.fixed_covariance()[many:, many:]
    information = inverse(covariance) if cross.p else covariance
    return fit.evaluation.solution[cross.q_tail :], information, fit.evaluation.sigma_squared


def measures(fit: Fit, deleted: DeletionEstimates) -> Measures:
    """Return measures of influence on the fixed effects, defined in `Influence`.

    Belsley, Kuh & Welsch (1980); Christensen, Pearson & Johnson (1992), Technometrics 34:38; SAS/STAT PROC MIXED.
    """
    solution, information, variance = full_data_estimates(fit)
    p = solution.size
    fixed = fit.cross.fixed
    count = deleted.variance.size
    if p == 0:
        nan = np.full(count, np.nan)
        return Measures(nan, nan, nan, nan, np.zeros((count, 0)), np.zeros((count, 0)))
    difference = solution - deleted.solution
    fine = np.isfinite(deleted.variance)
    covariance = np.full_like(deleted.information, np.nan)
    covariance[fine] = np.linalg.inv(deleted.information[fine]) * deleted.variance[fine, None, None]
    determinant = np.full(count, np.nan)
    determinant[fine] = np.linalg.slogdet(covariance[fine])[1]
    whole = information / variance
    T = fixed.transform
    return Measures(
        cooks_distance=np.einsum("cs,st,ct->c", difference, whole, difference, optimize=True) / p,
        mdffits=np.einsum("cs,cst,ct->c", difference, deleted.information, difference) / deleted.variance / p,
        covratio=np.exp(determinant + np.linalg.slogdet(whole)[1]),
        covtrace=np.abs(np.einsum("st,cts->c", whole, covariance) - p),
        change=fixed.scale * difference @ T.T,
        errors=fixed.scale * np.sqrt(np.einsum("is,cst,it->ci", T, covariance, T, optimize=True)),
    )
