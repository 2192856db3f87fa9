"""Removal of cases by subtraction from the cross-products, and measures of the change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.crossproducts.crossprod import CrossProducts, accumulate_products, cross_products
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.grouping import Grouping
from mixedfit.estimation.fit import Fit

__all__ = ["Deleted", "Measures", "full_rank", "measures", "reference", "without"]

PIVOT = 1e-9
"""Share of a column's squared norm that earlier columns must leave of it: below it β cannot be estimated."""


def without(fit: Fit, rows: IntArray) -> CrossProducts:
    """Return the cross-products of a fit's data less some rows, in the fit's own basis.

    Where fixed factors have many levels the cross-products are made anew, since levels may have lost their column.

    Raises
    ------
    ModelError
        If what is left cannot determine the model: with a reason in a few words.
    """
    design = fit.design
    _check_levels(fit, rows)
    if design.many:
        return _made_anew(fit, rows)
    cross, sub = fit.cross, _subset(design, rows)
    root = None if sub.weights is None else np.sqrt(sub.weights)
    counted = np.ones(rows.size) if sub.weights is None else sub.weights
    first = replace(
        cross.first, gram=-cross.first.gram, values=-cross.first.values, border=-cross.first.border
    )
    sparse = cross.sparse
    if sparse is not None:
        layout = sparse.layout
        sparse = replace(sparse, blocks=-sparse.blocks, sides=-sparse.sides)
        sparse.__dict__["layout"] = layout  # of the pattern, which stays
    gram = -cross.gram
    accumulate_products(
        sub, root, cross.fixed, cross.basis, cross.first_block, first, cross.tail, gram, sparse
    )
    for values in (first.gram, first.values, first.border, gram):
        np.negative(values, out=values)
    if sparse is not None:
        np.negative(sparse.blocks, out=sparse.blocks)
        np.negative(sparse.sides, out=sparse.sides)
    for a in range(first.gram.shape[1]):
        first.gram[:, :a, a] = first.gram[:, a, :a]
    own = gram[-cross.p - 1 : -1, -cross.p - 1 : -1]
    if cross.p and not full_rank(symmetric(own)):
        raise ModelError("fixed effects not estimable")
    taken = counted[counted > 0]
    return replace(
        cross,
        n=cross.n - taken.size,
        first=first,
        gram=gram,
        sparse=sparse,
        log_weights=cross.log_weights - float(np.log(taken).sum()),
    )


def full_rank(grams: Array) -> BoolArray:
    """Return which products (…, p, p) are those of independent columns."""
    try:
        chol = np.linalg.cholesky(grams)
    except np.linalg.LinAlgError:
        if grams.ndim == 2:
            return np.array(False)
        return np.array([full_rank(own) for own in grams])
    pivots, norms = np.einsum("...aa->...a", chol) ** 2, np.einsum("...aa->...a", grams)
    return np.asarray(np.all(pivots > PIVOT * norms, axis=-1))


def _check_levels(fit: Fit, rows: IntArray) -> None:
    """Raise where the rows left cannot tell the variances apart."""
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
        if levels >= n and design.weights is None and fit.held_sigma is None:
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
        )
        for block in design.blocks
    )
    weights = None if design.weights is None else design.weights[rows]
    return replace(design, y=design.y[rows], X=design.X[rows], blocks=blocks, weights=weights)


def _made_anew(fit: Fit, rows: IntArray) -> CrossProducts:
    weights = np.ones(fit.design.n) if fit.design.weights is None else fit.design.weights.copy()
    weights[rows] = 0.0
    cross = cross_products(replace(fit.design, weights=weights))
    if not np.array_equal(cross.fixed.kept, fit.cross.fixed.kept):
        raise ModelError("fixed effects not estimable")
    return cross


@dataclass(frozen=True, slots=True, eq=False)
class Deleted:
    """Estimates without each case; NaN where there are none.

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
    reasons : dict of int to str
        Why cases have no estimates.
    """

    solution: Array
    information: Array
    variance: Array
    theta: Array
    criterion: Array
    reasons: dict[int, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int, fit: Fit) -> Deleted:
        """Return room for a number of cases."""
        p, nan = fit.cross.p, np.nan
        return cls(
            np.full((count, p), nan),
            np.full((count, p, p), nan),
            np.full(count, nan),
            np.full((count, fit.theta.size), nan),
            np.full(count, nan),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """How much each case matters, shape (cases,) and (cases, p): see `influence.Influence`."""

    cooks: Array
    mdffits: Array
    covratio: Array
    covtrace: Array
    change: Array
    errors: Array


def reference(fit: Fit) -> tuple[Array, Array, float]:
    """Return β̃, X̃ᵀV⁻¹X̃ and σ² of the fit itself."""
    cross, tail = fit.cross, fit.evaluation.tail
    many = cross.q_tail - cross.q_random
    covariance = tail.fixed_covariance()[many:, many:]
    information = inverse(covariance) if cross.p else covariance
    return fit.evaluation.solution[cross.q_tail :], information, fit.evaluation.sigma_squared


def measures(fit: Fit, deleted: Deleted) -> Measures:
    """Return measures of influence on the fixed effects.

    Notes
    -----
    With δ = β̂ − β̂₍ᵢ₎ and C, C₍ᵢ₎ the estimated covariances of β̂ with all cases and without the case: Cook's distance
    δᵀC⁻¹δ/p, MDFFITS δᵀC₍ᵢ₎⁻¹δ/p, COVRATIO |C₍ᵢ₎|/|C|, COVTRACE |tr(C⁻¹C₍ᵢ₎) − p| (Belsley, Kuh & Welsch 1980;
    Christensen, Pearson & Johnson 1992, Technometrics 34:38; SAS/STAT PROC MIXED).
    """
    solution, information, variance = reference(fit)
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
        cooks=_form(difference, whole) / p,
        mdffits=np.einsum("cs,cst,ct->c", difference, deleted.information, difference) / deleted.variance / p,
        covratio=np.exp(determinant + np.linalg.slogdet(whole)[1]),
        covtrace=np.abs(np.einsum("st,cts->c", whole, covariance) - p),
        change=fixed.scale * difference @ T.T,
        errors=fixed.scale * np.sqrt(np.einsum("is,cst,it->ci", T, covariance, T, optimize=True)),
    )


def _form(vectors: Array, matrix: Array) -> Array:
    return np.asarray(np.einsum("cs,st,ct->c", vectors, matrix, vectors, optimize=True))
