"""What estimates become when cases are left out, and how far that is from what they were.

Everything in the basis of the fit's cross-products: β̃ are the coefficients beyond the least-squares fit, Φ⁻¹ =
X̃ᵀV⁻¹X̃, both in units of the response's scale; measures do not depend on the basis.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .._linalg import inverse
from .._types import Array
from ..fit import Fit

__all__ = ["Deleted", "Measures", "measures", "reference"]


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
