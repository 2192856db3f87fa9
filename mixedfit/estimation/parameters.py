"""Standard deviations, correlations, σ and fixed effects: number, order, names and values.

The order is lme4's: for every term its standard deviations
and correlations in the order of θ (the lower triangle, column by column), then σ, then the fixed effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.options import check_one_of
from mixedfit.design.design import Design

from .fit import Fit

__all__ = [
    "Names",
    "Parameter",
    "choose",
    "covariance_slopes",
    "interval_table",
    "jacobian",
    "labels_of",
    "on_boundary",
    "parameters_of",
    "values_of",
    "variance_parameters",
]

Kind = Literal["sd", "correlation", "sigma", "fixed"]

Names = Literal["lme4", "long", "words"]
"""Row labels: ``.sig01``; ``sd_(Intercept)|Subject``; "SD of (Intercept) | Subject"."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Attributes
    ----------
    name : str
        lme4's name: ``.sig01``, ``.sigma``, or the coefficient's.
    long_name : str
        lme4's longer name: ``sd_Days|Subject``, ``cor_Days.(Intercept)|Subject``, ``sigma``.
    words : str
        Name in words, such as "SD of Days | Subject".
    kind : {"sd", "correlation", "sigma", "fixed"}
    block : int
        Index in `design.blocks`, −1 for σ and fixed effects.
    first, second : int
        Effects in the block (the same for a standard deviation); for a fixed effect its position.
    """

    name: str
    long_name: str
    words: str
    kind: Kind
    block: int
    first: int
    second: int


def variance_parameters(design: Design, *, with_sigma: bool = True) -> tuple[Parameter, ...]:
    """Return the standard deviations and correlations of a design and, by default, σ."""
    out: list[Parameter] = []
    for f, block in enumerate(design.blocks):
        for part, _, here in block.structure.slices():
            for i, j in _pairs(part.k, part.invariance == "linear"):
                out.append(
                    _random_parameter(len(out) + 1, block.name, block.effects[here], f, here.start, i, j)
                )
    if with_sigma:
        out.append(Parameter(".sigma", "sigma", "residual SD", "sigma", -1, 0, 0))
    return tuple(out)


def _pairs(k: int, correlated: bool) -> Iterable[tuple[int, int]]:
    """Yield row and column of a term's standard deviations and correlations, column by column."""
    for j in range(k):
        yield from ((i, j) for i in range(j, k if correlated else j + 1))


def _random_parameter(
    number: int, group: str, effects: Sequence[str], block: int, start: int, i: int, j: int
) -> Parameter:
    name = f".sig{number:02d}"
    if i == j:
        return Parameter(
            name,
            f"sd_{effects[i]}|{group}",
            f"SD of {effects[i]} | {group}",
            "sd",
            block,
            start + i,
            start + i,
        )
    return Parameter(
        name,
        f"cor_{effects[i]}.{effects[j]}|{group}",
        f"correlation of {effects[i]} and {effects[j]} | {group}",
        "correlation",
        block,
        start + i,
        start + j,
    )


def parameters_of(fit: Fit) -> tuple[Parameter, ...]:
    """Return all parameters of a fit: standard deviations, correlations, σ unless held fixed, fixed effects."""
    fixed = tuple(
        Parameter(name, name, f"fixed effect {name}", "fixed", -1, i, i)
        for i, name in enumerate(fit.coefficient_names)
    )
    return variance_parameters(fit.design, with_sigma=fit.held_sigma is None) + fixed


def values_of(fit: Fit, parameters: Sequence[Parameter]) -> Array:
    """Return the estimates of some parameters, shape (count,); a correlation with a zero SD is NaN."""
    return np.array([_value(fit, parameter) for parameter in parameters])


def _value(fit: Fit, parameter: Parameter) -> float:
    if parameter.kind == "sigma":
        return fit.sigma
    if parameter.kind == "fixed":
        return float(fit.beta[parameter.first])
    omega = fit.omega[parameter.block]
    i, j = parameter.first, parameter.second
    if parameter.kind == "sd":
        return float(np.sqrt(omega[i, i]))
    below = float(np.sqrt(omega[i, i] * omega[j, j]))
    return float(np.clip(omega[i, j] / below, -1.0, 1.0)) if below > 0 else float("nan")


def on_boundary(fit: Fit, parameter: Parameter) -> bool:
    """Whether a standard deviation is 0, or a correlation ±1 or undefined."""
    if parameter.kind == "sd":
        return bool(fit.omega[parameter.block][parameter.first, parameter.first] == 0)
    if parameter.kind == "correlation":
        value = _value(fit, parameter)
        return bool(np.isnan(value) or abs(value) >= 1.0 - 1e-12)
    return False


def jacobian(fit: Fit, parameters: Sequence[Parameter]) -> Array:
    """Return ∂(standard deviations, correlations, σ)/∂(θ, log σ²), shape (count, n_theta + 1); NaN on the boundary."""
    out = np.zeros((len(parameters), fit.theta.size + 1))
    slopes = covariance_slopes(fit)
    for row, parameter in zip(out, parameters, strict=True):
        if on_boundary(fit, parameter):
            row[:] = np.nan
        elif parameter.kind == "sigma":
            row[-1] = 0.5 * fit.sigma
        else:
            here = fit.design.theta_slices[parameter.block]
            omega, slope = fit.omega[parameter.block], slopes[parameter.block]
            i, j = parameter.first, parameter.second
            deviations = np.sqrt(np.diag(omega))
            if i == j:
                row[here] = 0.5 * slope[:, i, i] / deviations[i]
                row[-1] = 0.5 * deviations[i]
            else:
                rho = omega[i, j] / (deviations[i] * deviations[j])
                relative = slope[:, i, i] / omega[i, i] + slope[:, j, j] / omega[j, j]
                row[here] = slope[:, i, j] / (deviations[i] * deviations[j]) - 0.5 * rho * relative
    return out


def covariance_slopes(fit: Fit) -> list[Array]:
    """Return ∂Ω/∂θ of every block, shape (n_theta_f, k, k) each."""
    out = []
    for block, here, lam in zip(fit.design.blocks, fit.design.theta_slices, fit.lam, strict=True):
        d = block.structure.derivative(fit.theta[here])
        out.append(fit.sigma**2 * (d @ lam.T + lam @ d.transpose(0, 2, 1)))
    return out


def choose(parameters: Sequence[Parameter], wanted: str | Iterable[str] | None) -> IntArray:
    """Return the positions of the named parameters, by default of all.

    Parameters
    ----------
    parameters : sequence of Parameter
    wanted : str or sequence of str, optional
        Names, long names or words; "variances" (or lme4's "theta_") and "fixed" (or "beta_") select all of a kind.

    Raises
    ------
    ModelError
        If a name is not known.
    """
    if wanted is None:
        return np.arange(len(parameters))
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    out: list[int] = []
    for name in names:
        found = [i for i, p in enumerate(parameters) if _matches(p, name)]
        if not found:
            known = [p.name for p in parameters]
            every = [t for p in parameters for t in (p.name, p.long_name, p.words)]
            raise ModelError(
                f"{name!r} is not a parameter of this fit ({', '.join(known[:30])}{', …' * (len(known) > 30)}). "
                f"{nearest(str(name), every)}"
            )
        out += [i for i in found if i not in out]
    return np.array(out, dtype=np.int64)


def _matches(parameter: Parameter, name: object) -> bool:
    if name in ("variances", "theta_"):
        return parameter.kind != "fixed"
    if name in ("fixed", "beta_"):
        return parameter.kind == "fixed"
    return name in (parameter.name, parameter.long_name, parameter.words)


def interval_table(
    parameters: Sequence[Parameter], limits: Sequence[tuple[float, float]], names: Names = "lme4"
) -> pd.DataFrame:
    """Return a table of intervals, columns lower and upper, a row for each parameter."""
    table = np.array(limits, dtype=float).reshape(len(parameters), 2)
    return pd.DataFrame(table, index=labels_of(parameters, names), columns=["lower", "upper"])


def labels_of(parameters: Sequence[Parameter], names: Names) -> pd.Index[str]:
    """Return row labels of parameters."""
    check_one_of("names", names, ("lme4", "long", "words"))
    labels = {
        "lme4": [p.name for p in parameters],
        "long": [p.long_name for p in parameters],
        "words": [p.words for p in parameters],
    }
    return pd.Index(labels[names])
