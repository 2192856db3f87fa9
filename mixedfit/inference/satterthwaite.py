"""Satterthwaite's degrees of freedom of contrasts of the fixed effects.

df = 2 v² / gᵀA g for v = ℓᵀ C ℓ, with g the gradient of v in (θ, log σ²) and A the inverse of half the
criterion's second derivative there: the method of SAS and lmerTest (Kuznetsova, Brockhoff & Christensen 2017,
J. Stat. Softw. 82(13), section 2), with exact instead of numerical derivatives.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.estimation.information import Information

__all__ = ["AS_GOOD_AS_NORMAL", "combined_df", "satterthwaite_df", "satterthwaite_f_df"]

AS_GOOD_AS_NORMAL = 1e10
"""Degrees of freedom above which infinity is returned: quantiles of t and normal agree to ten digits there.

A gradient that is 0 up to rounding errors, such as that of a within-group slope where σ is held, gives more than these.
"""


def satterthwaite_df(information: Information, contrast: Array) -> float:
    """Return the degrees of freedom of one contrast, infinite if its variance depends on no estimated parameter.

    Parameters
    ----------
    information : Information
    contrast : ndarray, shape (p,)
        Coefficients of the estimated columns of X.
    """
    fit = information.fit
    ell = fit.inner_root @ (fit.cross.fixed.transform.T @ contrast)
    v = float(ell @ ell)
    if v <= 0:
        return float("nan")
    gradient = np.einsum("s,dst,t->d", ell, information.root_spreads, ell)
    if fit.held_sigma is None:
        gradient = np.append(gradient, v)
    spread = float(gradient @ information.parameter_covariance @ gradient)
    return 2.0 * v * v / spread if spread > 2.0 * v * v / AS_GOOD_AS_NORMAL else float("inf")


def satterthwaite_f_df(information: Information, contrasts: Array) -> float:
    """Return the denominator degrees of freedom of the F test of several contrasts, shape (q, p).

    Fai & Cornelius (1996), J. Stat. Comput. Simul. 54:363: the contrasts are rotated to independent t statistics; the
    mean of F equals the mean of their squares.
    """
    fit = information.fit
    ell = fit.inner_root @ (contrasts @ fit.cross.fixed.transform).T
    values, vectors = np.linalg.eigh(ell.T @ ell)
    keep = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
    rows = vectors[:, keep].T @ contrasts
    return combined_df(np.array([satterthwaite_df(information, row) for row in rows]))


def combined_df(dfs: Array) -> float:
    """Return the denominator degrees of freedom of F from those of independent t statistics, shape (q,)."""
    q = len(dfs)
    if q == 1:
        return float(dfs[0])
    share = 1.0 / dfs
    if np.all(np.abs(share - share[0]) <= 1e-8 * share[0]):
        return float(dfs[0])
    if np.any(dfs <= 2):
        return 2.0
    expected = float(np.sum(1.0 / (1.0 - 2.0 * share)))
    return 2.0 * expected / (expected - q)
