"""Satterthwaite's degrees of freedom of contrasts of the fixed effects.

df = 2 v² / gᵀA g for v = ℓᵀ C ℓ, with g the gradient of v in (θ, log σ²) and A the inverse of half the
criterion's second derivative there: the method of SAS and lmerTest (Kuznetsova, Brockhoff & Christensen 2017,
J. Stat. Softw. 82(13), section 2), with exact instead of numerical derivatives.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.estimation.information import Information

__all__ = ["AS_GOOD_AS_NORMAL", "combined_df", "joint_df", "satterthwaite_df", "satterthwaite_f_df"]

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
    ell = fit.cross.fixed.transform.T @ contrast
    phi_ell = information.phi @ ell
    v = float(ell @ phi_ell)
    if v <= 0:
        return float("nan")
    gradient = np.einsum("s,dst,t->d", phi_ell, information.own_spreads, phi_ell)
    if fit.held_sigma is None:
        gradient = np.append(gradient, v)
    spread = float(gradient @ information.parameter_covariance @ gradient)
    return 2.0 * v * v / spread if spread > 2.0 * v * v / AS_GOOD_AS_NORMAL else float("inf")


def satterthwaite_f_df(information: Information, contrasts: Array) -> float:
    """Return the denominator degrees of freedom of the F test of several contrasts, shape (q, p); see `joint_df`."""
    fit = information.fit
    return joint_df(
        contrasts @ fit.cross.fixed.transform,
        information.phi,
        information.own_spreads,
        information.parameter_covariance,
        log_scale=fit.held_sigma is None,
    )


def joint_df(
    rows: Array, phi: Array, spreads: Array, parameter_covariance: Array, *, log_scale: bool = False
) -> float:
    """Return the denominator degrees of freedom of the F test of Lβ = 0, whatever rows stand for the hypothesis.

    L is turned into q independent t statistics, and the mean of F equals the mean of their squares: Fai & Cornelius
    (1996), J. Stat. Comput. Simul. 54:363. Their degrees of freedom depend on the choice of the statistics: every
    rotation of them is independent too. With derivatives G_d of their covariance, where this is I, the choice here are
    the eigenvectors of Σ_de W_de tr(G_e) G_d. This matrix turns with the statistics, and so the result depends on the
    row space of L only. lmerTest takes the eigenvectors of L Φ Lᵀ, which depend on the rows of L.

    Parameters
    ----------
    rows : ndarray, shape (q, p)
        L.
    phi : ndarray, shape (p, p)
        Φ, the covariance of the coefficients.
    spreads : ndarray, shape (d, p, p)
        M of the derivatives ΦMΦ of Φ in the variance parameters.
    parameter_covariance : ndarray
        W, the covariance of the estimated variance parameters.
    log_scale : bool
        Whether the last parameter is log σ², of which the derivative of Φ is Φ.
    """
    own = rows @ phi @ rows.T
    size = np.sqrt(np.maximum(np.diag(own), 1e-300))
    values, vectors = np.linalg.eigh(own / np.outer(size, size))
    keep = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
    whitened = (vectors[:, keep] / np.sqrt(values[keep])).T @ (rows / size[:, None])
    half = whitened @ phi
    turned = half @ spreads @ half.T
    if log_scale:
        turned = np.concatenate([turned, np.eye(len(half))[None]])
    weights = parameter_covariance @ np.trace(turned, axis1=1, axis2=2)
    directions = np.linalg.eigh(np.einsum("d,dij->ij", weights, turned))[1]
    gradients = np.einsum("ki,dkl,li->di", directions, turned, directions)
    spreads = np.einsum("di,de,ei->i", gradients, parameter_covariance, gradients)
    known = spreads > 2.0 / AS_GOOD_AS_NORMAL
    return combined_df(np.where(known, 2.0 / np.where(known, spreads, 1.0), np.inf))


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
