"""Covariance of standard deviations, correlations, σ and residual parameters, by the delta method.

From the observed information in the parameters of `VarianceParameters`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.covariance import ScaledCorrelation
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import Parameter, on_boundary, parameters_of, values_of

from .information import StructuredInformation
from .random_part import structure_in_units

__all__ = ["structured_vcov"]


def structured_vcov(
    fit: Fit, *, scale: Literal["sd", "variance"] = "sd", joint: bool = False
) -> pd.DataFrame:
    """Return the covariance matrix of the variance parameters of a fit with a residual structure, labelled.

    Parameters
    ----------
    fit : Fit
    scale : {"sd", "variance"}
        Standard deviations, correlations and σ, or variances, covariances and σ²; residual parameters are the same.
    joint : bool
        Whether to add the fixed effects: with g = ∂β̂/∂ψ, the joint covariance is [[W, Wgᵀ], [gW, Φ + gWgᵀ]].
    """
    parameters = [p for p in parameters_of(fit) if p.kind != "fixed"]
    information = StructuredInformation(fit)
    row = _row if scale == "sd" else _variance_row
    rows = np.array([row(information, p) for p in parameters]).reshape(len(parameters), -1)
    names = [p.name for p in parameters]
    if joint:
        slopes = np.zeros((len(fit.coefficient_names), rows.shape[1]))
        slopes[fit.cross.fixed.kept] = fit.cross.fixed.transform @ information.coefficient_slopes
        rows = np.vstack([rows, slopes])
        names += fit.coefficient_names
    values = rows @ information.parameter_covariance @ rows.T
    if joint:
        values[len(parameters) :, len(parameters) :] += fit.beta_covariance
    return pd.DataFrame(values, index=names, columns=names)


def _variance_row(information: StructuredInformation, parameter: Parameter) -> Array:
    """Return the derivative of a variance, a covariance, σ² or another parameter, NaN on the boundary."""
    fit, own = information.fit, information.parameters
    if parameter.kind == "sigma":
        return np.asarray(2.0 * fit.sigma * _row(information, parameter))
    if parameter.place >= 0:
        value = 2.0 * values_of(fit, [parameter])[0] if parameter.kind == "sd" else 1.0
        return np.asarray(value * _row(information, parameter))
    if parameter.kind not in ("sd", "correlation") or (
        parameter.kind == "sd" and on_boundary(fit, parameter)
    ):
        return _row(information, parameter)
    out = np.zeros(own.count)
    for a, direction in enumerate(own.random):
        if direction.block == parameter.block:
            out[a] = direction.first[parameter.first, parameter.second]
    return out


def _row(information: StructuredInformation, parameter: Parameter) -> Array:
    """Return the derivative of one parameter, NaN on the boundary, shape (parameters of the information,)."""
    fit, own = information.fit, information.parameters
    out = np.zeros(own.count)
    if on_boundary(fit, parameter):
        out[:] = np.nan
        return out
    start = len(own.random)
    if parameter.place >= 0:
        out[:start] = _of_structure(information, parameter)
        return out
    if parameter.kind in ("sd", "correlation"):
        omega = fit.omega[parameter.block]
        for a, direction in enumerate(own.random):
            if direction.block == parameter.block:
                out[a] = _covariance_slope(omega, direction.first, parameter.first, parameter.second)
        return out
    if own.linear:
        out[start:] = _by_visit(information, parameter)
    elif parameter.kind == "sigma":
        out[start] = 0.5 * fit.sigma
    else:
        out[start + int(own.scaled) :] = own.model.natural_slopes(own.x)[parameter.first]
    return out


def _of_structure(information: StructuredInformation, parameter: Parameter) -> Array:
    """Return the derivative of a natural parameter of a structure such as ``ar1``, shape (random parameters,)."""
    fit, random = information.fit, information.parameters.random
    out = np.zeros(len(random))
    for part, t, e in fit.design.blocks[parameter.block].structure.slices():
        if isinstance(part, ScaledCorrelation) and t.start <= parameter.place < t.stop:
            theta = structure_in_units(fit, parameter.block, t, part)
            slope = part.natural(theta)[1][parameter.place - t.start]
            for a, d in enumerate(random):
                if d.block == parameter.block and d.effects == e:
                    out[a] = slope[d.position]
    return out


def _covariance_slope(omega: Array, change: Array, i: int, j: int) -> float:
    """Return the derivative of an SD (i = j) or a correlation along a change of the covariance matrix."""
    if i == j:
        return float(change[i, i] / (2.0 * np.sqrt(omega[i, i])))
    size = np.sqrt(omega[i, i] * omega[j, j])
    share = change[i, i] / omega[i, i] + change[j, j] / omega[j, j]
    return float(change[i, j] / size - 0.5 * omega[i, j] / size * share)


def _by_visit(information: StructuredInformation, parameter: Parameter) -> Array:
    """Return the derivative of σ, a correlation or a ratio in the elements of the covariance matrix of visits."""
    fit, own = information.fit, information.parameters
    model, visits = own.model, own.visits
    assert model.correlation is not None
    sd = fit.sigma * np.exp(np.concatenate([[0.0], own.x[model.slices[1]]]))
    codes = np.arange(visits, dtype=float)[:, None]
    omega = np.outer(sd, sd) * model.correlation.matrix(own.x[model.slices[0]], codes)
    pairs = [(j, i) for j in range(visits) for i in range(j + 1, visits)]
    out = []
    for a, b in own.pairs:
        change = np.zeros_like(omega)
        change[a, b] = change[b, a] = 1.0
        first = _covariance_slope(omega, change, 0, 0)
        if parameter.kind == "sigma":
            out.append(first)
        elif parameter.first < len(pairs):
            out.append(_covariance_slope(omega, change, *pairs[parameter.first]))
        else:
            k = parameter.first - len(pairs) + 1
            out.append(_covariance_slope(omega, change, k, k) / sd[0] - sd[k] / sd[0] ** 2 * first)
    return np.array(out)
