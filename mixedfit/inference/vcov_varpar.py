"""Covariance matrix of the variance parameters, from the observed information and the delta method.

W = 2 H⁻¹, with H the exact second derivative of −2 log-likelihood (restricted under REML) in (η, log σ²), η the
coordinates of `Chart`, σ not profiled out, as in SAS's ASYCOV.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.options import check_one_of
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.information import Information
from mixedfit.estimation.parameters import (
    covariance_slopes,
    is_identified,
    jacobian,
    on_boundary,
    values_of,
    variance_parameters,
)
from mixedfit.estimation.residual_support import refuse_residual
from mixedfit.estimation.structures import refuse_structures

from .structured.standard_errors import structured_vcov

__all__ = ["Scale", "standard_errors", "vcov_varpar"]

Scale = Literal["sd", "variance", "cholesky"]
"""Standard deviations, correlations and σ; variances, covariances and σ²; or the elements of σλ and σ².

Correlations and ranges of structures such as ``ar1`` are the same on the first two."""

_SCALES = ("sd", "variance", "cholesky")


def vcov_varpar(fit: Fit, *, scale: Scale = "sd", joint: bool = False) -> pd.DataFrame:
    """Return the covariance matrix of the variance parameters, labelled as in lme4; NaN for those on the boundary.

    Parameters
    ----------
    fit : Fit
    scale : {"sd", "variance", "cholesky"}
        Scale of the parameters, see `Scale`.
    joint : bool
        Whether to add the fixed effects. Their covariance matrix then includes the uncertainty of the variance
        parameters.

    Notes
    -----
    With g = ∂β̂/∂ψ, the joint covariance is [[Φ + gWgᵀ, gW], [Wgᵀ, W]].
    """
    check_one_of("scale", scale, _SCALES)
    if fit.residual is not None:
        if scale == "cholesky":
            refuse_residual(fit.design, "the Cholesky scale is", 'Use scale="sd" or scale="variance".')
            raise AssertionError("refused")
        return structured_vcov(fit, scale=scale, joint=joint)
    parameters = variance_parameters(fit.design, with_sigma=fit.held_sigma is None)
    information = Information(fit)
    inner = information.parameter_covariance
    rows = _jacobian(fit, scale)
    if fit.held_sigma is not None:
        rows = rows[:, :-1]
    names = [p.name for p in parameters]
    if joint:
        kept = fit.cross.fixed.kept
        slopes = np.zeros((len(fit.coefficient_names), rows.shape[1]))
        slopes[kept, : fit.theta.size] = _coefficient_slopes(information)
        slopes[len(fit.design.x_names) :] = np.nan
        rows = np.vstack([rows, slopes])
        names += fit.coefficient_names
    out = rows @ inner @ rows.T
    if joint:
        out[len(parameters) :, len(parameters) :] += fit.beta_covariance
    return pd.DataFrame(out, index=names, columns=names)


def _jacobian(fit: Fit, scale: Scale) -> Array:
    """Return ∂(parameters)/∂(η, log σ²), shape (parameters, n_theta + 1)."""
    parameters = variance_parameters(fit.design, with_sigma=fit.held_sigma is None)
    if scale == "sd":
        return jacobian(fit, parameters)
    if scale == "cholesky":
        refuse_structures(fit.design, "elements of Cholesky factors", "Use scale='sd' or 'variance'.")
    out = np.zeros((len(parameters), fit.theta.size + 1))
    slopes, theta_slopes = covariance_slopes(fit), _theta_slopes(fit) if scale == "cholesky" else np.zeros(0)
    natural = jacobian(fit, parameters)
    at = 0
    for i, (row, p) in enumerate(zip(out, parameters, strict=True)):
        if p.kind == "sigma":
            row[-1] = fit.sigma**2
        elif scale == "cholesky":
            row[:-1], row[-1] = fit.sigma * theta_slopes[at], 0.5 * fit.sigma * fit.theta[at]
            if fit.theta[at] == 0.0 and at in _diagonals(fit):
                row[:] = np.nan
            at += 1
        elif p.place >= 0:
            row[:] = natural[i] * (2.0 * values_of(fit, [p])[0] if p.kind == "sd" else 1.0)
        elif p.kind == "sd" and on_boundary(fit, p):
            row[:] = np.nan
        else:
            row[fit.chart.slices[p.block]] = slopes[p.block][:, p.first, p.second]
            row[-1] = fit.omega[p.block][p.first, p.second]
        if not is_identified(fit, p):
            row[:] = np.nan
    return out


def _theta_slopes(fit: Fit) -> Array:
    """Return ∂θ/∂η, shape (n_theta, n_theta): the elements of ∂λ/∂η that are θ's."""
    out = np.zeros((fit.theta.size, fit.theta.size))
    for block, here, slope in zip(
        fit.design.blocks, fit.design.theta_slices, fit.chart.root_slopes, strict=True
    ):
        unit = block.structure.derivative(fit.theta[here])
        out[here, here] = np.einsum("aij,mij->am", unit, slope)
    return out


def _diagonals(fit: Fit) -> set[int]:
    return {
        here.start + d
        for block, here in zip(fit.design.blocks, fit.design.theta_slices, strict=True)
        for d in block.structure.diagonal
    }


def _coefficient_slopes(information: Information) -> Array:
    """Return ∂β̂/∂η = −Φ Σ_j H_jᵀ E_a w_j of the estimated columns of X, in units of y and x, shape (p, n_theta)."""
    fit = information.fit
    three = zip(information.fixed_scores, information.directions, fit.evaluation.scores, strict=True)
    parts = [
        np.einsum("jas,dab,jb->sd", h, e, fit.cross.related(f, s), optimize=True)
        for f, (h, e, s) in enumerate(three)
    ]
    if not parts:
        return np.zeros((fit.cross.p, 0))
    fixed = fit.cross.fixed
    return np.asarray(-fixed.scale * (fixed.transform @ (information.phi @ np.concatenate(parts, axis=1))))


def standard_errors(fit: Fit) -> pd.Series[float]:
    """Return the standard errors of all parameters, labelled as in lme4; variance parameters by the delta method."""
    table = vcov_varpar(fit)
    variances = np.diag(table.to_numpy())
    errors = np.sqrt(np.concatenate([variances, np.diag(fit.beta_covariance)]))
    names = [str(name) for name in table.index]
    return pd.Series(errors, index=[*names, *fit.coefficient_names], name="std_error")
