"""SAS's natural variance parameters as functions of (Ω, log σ², x).

| structure | parameters |
|---|---|
| one variance | σ² and the correlation's parameters |
| VarIdent | a variance for each level, and the correlation's parameters |
| CompoundSymmetry, one variance | covariance σ²ρ and the rest σ²(1 − ρ) |
| Toeplitz, one variance | σ² and the covariances σ²ρ_k |
| Unstructured | the covariances |

Other variance functions have σ² and the parameters that the printout shows.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array

from .blocks import VarianceParameters

__all__ = ["is_linear", "natural_bend", "natural_jacobian"]

STEP = 1e-3


def _natural(parameters: VarianceParameters, at: Array) -> Array:
    """Return SAS's parameters at (log σ² if estimated, x), shape (1 + x.size,) or (x.size,)."""
    scale = float(np.exp(at[0])) if parameters.scaled else parameters.fit.sigma**2
    x = at[int(parameters.scaled) :]
    model = parameters.model
    values = [p.value for p in model.natural(x)]
    count = 0 if model.correlation is None else len(model.correlation.natural(x[model.slices[0]]))
    own, variances = np.array(values[:count], float), np.array(values[count:], float)
    name = type(model.structure.correlation).__name__
    if not parameters.scaled:
        return np.concatenate([own, variances])
    if not model.variances and name == "CompoundSymmetry":
        return np.array([scale * own[0], scale * (1.0 - own[0])])
    if not model.variances and name == "Toeplitz":
        return np.concatenate([[scale], scale * own])
    if [type(v).__name__ for v in model.structure.variances] == ["VarIdent"]:
        return np.concatenate([[scale], own, scale * variances**2])
    return np.concatenate([[scale], own, variances])


def is_linear(parameters: VarianceParameters) -> bool:
    """Return whether V is linear in SAS's parameters, so that it has no second derivatives."""
    structure = parameters.model.structure
    own, variances = structure.correlation, structure.variances
    name, by = type(own).__name__, getattr(own, "by", None)
    if not parameters.scaled:
        return False
    if name == "Unstructured" and getattr(own, "has_variances", False):
        return len(variances) == 1
    if name in ("CompoundSymmetry", "Toeplitz"):
        return not variances or (by is not None and [str(v) for v in variances] == [f"VarIdent(by={by!r})"])
    return own is None and [type(v).__name__ for v in variances] in ([], ["VarIdent"])


def natural_jacobian(parameters: VarianceParameters) -> Array:
    """Return the derivative of SAS's residual parameters in (log σ², x), shape (natural, parameters)."""
    centre = _centre(parameters)
    out = []
    for a in range(centre.size):
        step = 1e-5 * np.eye(centre.size)[a]
        out.append((_natural(parameters, centre + step) - _natural(parameters, centre - step)) / 2e-5)
    return np.array(out).T


def _centre(parameters: VarianceParameters) -> Array:
    scale = [2.0 * np.log(parameters.fit.sigma)] if parameters.scaled else []
    return np.concatenate([scale, parameters.x])


def natural_bend(parameters: VarianceParameters, covariance: Array) -> Array:
    """Return κ with Σ_ab W_ab ∂²V/∂ψ_a∂ψ_b = Σ_ab W_ab V_ab + Σ_c κ_c V_c for SAS's ψ, shape (parameters,).

    κ = −J⁻¹ Σ_fg W_fg ∂²ψ/∂x_f∂x_g, J = ∂ψ/∂x; 0 for the elements of Ω, which are natural.
    """
    start, centre = len(parameters.random), _centre(parameters)
    out = np.zeros(parameters.count)
    if not centre.size:
        return out
    own = covariance[start:, start:]
    values, vectors = np.linalg.eigh(own)
    middle = _natural(parameters, centre)
    total = np.zeros(middle.size)
    for value, vector in zip(values, vectors.T, strict=True):
        step = STEP * vector
        ahead, behind = _natural(parameters, centre + step), _natural(parameters, centre - step)
        total += value * (ahead - 2.0 * middle + behind) / STEP**2
    out[start:] = -np.linalg.lstsq(natural_jacobian(parameters), total, rcond=None)[0]
    return out
