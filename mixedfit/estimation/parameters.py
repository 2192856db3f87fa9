"""Standard deviations, correlations, σ and fixed effects: number, order, names and values.

The order is lme4's: for every term its standard deviations and correlations in the order of θ (the lower triangle,
column by column), then σ, then the fixed effects. A structure such as ``ar1`` has natural parameters of its own: its
standard deviations, then its correlations, range, decay or smoothness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.linalg import inverse
from mixedfit.core.options import check_one_of
from mixedfit.covariance import Natural, ScaledCorrelation
from mixedfit.covariance.residual.model import Tie
from mixedfit.design.design import Design

from .fit import Fit
from .residual_verdict import at_limit
from .structures import has_spare_shapes

__all__ = [
    "Names",
    "Parameter",
    "choose",
    "complement",
    "covariance_slopes",
    "interval_table",
    "is_identified",
    "jacobian",
    "labels_of",
    "on_boundary",
    "parameters_of",
    "values_of",
    "variance_parameters",
    "variance_words",
]

Kind = Literal["sd", "correlation", "range", "decay", "smoothness", "sigma", "residual", "fixed"]

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
    kind : {"sd", "correlation", "range", "decay", "smoothness", "sigma", "residual", "fixed"}
    block : int
        Index in `design.blocks`, −1 for σ, residual parameters and fixed effects.
    first, second : int
        Effects in the block (the same for a standard deviation); for others their position.
    place : int
        Of a natural parameter of a structure: its position among the block's θ; −1 for others.
    lower, upper : float
        Bounds of a natural parameter of a structure.
    """

    name: str
    long_name: str
    words: str
    kind: Kind
    block: int
    first: int
    second: int
    place: int = -1
    lower: float = -np.inf
    upper: float = np.inf


def variance_parameters(design: Design, *, with_sigma: bool = True) -> tuple[Parameter, ...]:
    """Return the standard deviations and correlations of a design and, by default, σ."""
    names = [(block.name, list(block.effects)) for block in design.blocks]
    return _named_parameters(design, names, with_sigma)


def variance_words(design: Design, names: Sequence[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """Return the parameters of `variance_parameters` in words, by their names.

    `names` holds the text of the grouping factor and the texts of the random effects of each block.
    """
    return {p.name: p.words for p in _named_parameters(design, names, True)}


def _named_parameters(
    design: Design, names: Sequence[tuple[str, Sequence[str]]], with_sigma: bool
) -> tuple[Parameter, ...]:
    """Return the variance parameters of a design whose factors and effects have the given names."""
    out: list[Parameter] = []
    for f, (block, (group, effects)) in enumerate(zip(design.blocks, names, strict=True)):
        for part, t, here in block.structure.slices():
            if isinstance(part, ScaledCorrelation):
                for i, own in enumerate(part.natural_parameters(effects[here])):
                    out.append(_natural_parameter(len(out) + 1, group, own, f, t.start + i, here.start))
                continue
            for i, j in _pairs(part.k, part.invariance == "linear"):
                out.append(_random_parameter(len(out) + 1, group, effects[here], f, here.start, i, j))
    if with_sigma:
        out.append(Parameter(".sigma", "sigma", "residual SD", "sigma", -1, 0, 0))
    return tuple(out)


_PREFIX = {"sd": "sd", "correlation": "cor", "range": "range", "decay": "decay", "smoothness": "smoothness"}
"""Beginnings of long names, by kind."""


def _natural_parameter(
    number: int, group: str, own: Natural, block: int, place: int, start: int
) -> Parameter:
    effect = start + max(own.effect, 0)
    return Parameter(
        f".sig{number:02d}",
        f"{_PREFIX[own.kind]}_{own.name}|{group}",
        f"{own.words} | {group}",
        own.kind,
        block,
        effect,
        effect if own.kind == "sd" else effect + 1,
        place,
        own.lower,
        own.upper,
    )


def _part_of(fit: Fit, parameter: Parameter) -> tuple[ScaledCorrelation, slice, slice, int]:
    """Return the structure of a natural parameter, its slices of the block's θ and effects, and the position in it."""
    for part, t, e in fit.design.blocks[parameter.block].structure.slices():
        if t.start <= parameter.place < t.stop and isinstance(part, ScaledCorrelation):
            return part, t, e, parameter.place - t.start
    raise AssertionError("a natural parameter belongs to a structure")


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
    """Return all parameters of a fit: SDs, correlations, σ unless held, residual parameters, fixed effects."""
    fixed = tuple(
        Parameter(name, name, f"fixed effect {name}", "fixed", -1, i, i)
        for i, name in enumerate(fit.coefficient_names)
    )
    return (
        variance_parameters(fit.design, with_sigma=fit.held_sigma is None) + _residual_parameters(fit) + fixed
    )


def _residual_parameters(fit: Fit) -> tuple[Parameter, ...]:
    """Return the parameters of the residual structure."""
    if fit.residual is None:
        return ()
    names = [p.name for p in fit.residual.model.natural(fit.residual.x)]
    return tuple(
        Parameter(name, name, f"residual {name}", "residual", -1, i, i) for i, name in enumerate(names)
    )


def values_of(fit: Fit, parameters: Sequence[Parameter]) -> Array:
    """Return the estimates of some parameters, shape (count,); a correlation with a zero SD is NaN."""
    return np.array([_value(fit, parameter) for parameter in parameters])


def _value(fit: Fit, parameter: Parameter) -> float:
    if parameter.kind == "sigma":
        return fit.sigma
    if parameter.kind == "fixed":
        return float(fit.beta[parameter.first])
    if parameter.place >= 0:
        part, t, _, at = _part_of(fit, parameter)
        value = float(part.natural(fit.theta[fit.design.theta_slices[parameter.block]][t])[0][at])
        return fit.sigma * value if parameter.kind == "sd" else value
    if parameter.kind == "residual" and fit.residual is not None:
        return float(fit.residual.model.natural(fit.residual.x)[parameter.first].value)
    omega = fit.omega[parameter.block]
    i, j = parameter.first, parameter.second
    if parameter.kind == "sd":
        return float(np.sqrt(omega[i, i]))
    below = float(np.sqrt(omega[i, i] * omega[j, j]))
    return float(np.clip(omega[i, j] / below, -1.0, 1.0)) if below > 0 else float("nan")


def on_boundary(fit: Fit, parameter: Parameter) -> bool:
    """Whether a standard deviation is 0, or a correlation ±1 or undefined.

    A correlation is evaluate in the basis of the fit: far from a covariate's origin, one of −1 + 1e-13 may be inside.
    """
    if parameter.place >= 0:
        part, t, _, at = _part_of(fit, parameter)
        return bool(part.on_boundary(fit.theta[fit.design.theta_slices[parameter.block]][t])[at])
    if parameter.kind == "sd":
        return bool(fit.omega[parameter.block][parameter.first, parameter.first] == 0)
    if parameter.kind == "correlation":
        rho = _value(fit, parameter)
        if np.isnan(rho):
            return True
        if not fit.design.blocks[parameter.block].structure.linear:
            return bool(1.0 - abs(rho) <= AT_LIMIT**2)
        wedge, _, size = _wedge(fit, parameter)
        return bool(np.linalg.norm(wedge) <= AT_LIMIT * size)
    if parameter.kind == "residual" and fit.residual is not None:
        return bool(at_limit(fit.residual.model.natural(fit.residual.x)[parameter.first]))
    return False


def is_identified(fit: Fit, parameter: Parameter) -> bool:
    """Return whether the design tells a standard deviation or correlation apart from the others."""
    if parameter.place >= 0:
        part, _, _, at = _part_of(fit, parameter)
        if at >= part.n_sd and has_spare_shapes(part):
            return False
    if fit.design.residual is not None:
        ties = fit.design.residual.ties(fit.reml, fit.held_sigma is not None)
        return not any(_is_tied(tie, parameter) for tie in ties)
    if parameter.kind == "sigma" and fit.convergence.status == "unidentified":
        return not any(own.any() for own in fit.cross.with_residual)
    if parameter.kind in ("sigma", "fixed") or fit.convergence.status != "unidentified":
        return True
    moved, own = fit.cross.unidentified[parameter.block], [parameter.first, parameter.second]
    if parameter.place >= 0:
        here = _part_of(fit, parameter)[2]
        return not moved[here, here].any()
    return not moved[np.ix_(own, own)].any()


def _is_tied(tie: Tie, parameter: Parameter) -> bool:
    """Return whether a parameter is one that the data do not tell from others."""
    if parameter.kind in ("sigma", "residual"):
        return tie.kind == parameter.kind and (parameter.kind == "sigma" or tie.first == parameter.first)
    if parameter.kind == "fixed" or tie.block != parameter.block:
        return False
    if parameter.place >= 0:
        return tie.kind == "structure" and tie.first == parameter.place
    members = {parameter.first, parameter.second}
    return tie.kind == "effects" and {tie.first, tie.second} <= members


AT_LIMIT = 1e-6
"""Sine of the angle between two rows of a root below which their correlation counts as ±1."""


def complement(fit: Fit, parameter: Parameter) -> float:
    """Return 1 − ρ² of a correlation, without the cancellation that the correlation itself has near ±1."""
    root = fit.chart.formula_roots[parameter.block]
    wedge = _wedge(fit, parameter)[0]
    lengths = np.sum(root[[parameter.first, parameter.second]] ** 2, axis=1)
    return float(np.sum(wedge**2) / np.prod(lengths))


def _wedge(fit: Fit, parameter: Parameter) -> tuple[Array, Array, float]:
    """Return L_i ∧ L_j of two rows of the root L = R⁻¹λ̃, its derivative in η, and the size of what it is the sum of.

    Its length is |L_i||L_j| √(1 − ρ²). By the minors of R⁻¹ and λ̃ (Cauchy and Binet), which a shift of a covariate's
    origin leaves alone.

    Returns
    -------
    wedge : ndarray, shape (k, k)
        Antisymmetric: L_ic L_jd − L_id L_jc over √2.
    slope : ndarray, shape (n_theta_f, k, k)
    size : float
        Σ |minor of R⁻¹| |λ̃_a||λ̃_b| over pairs of rows.
    """
    chart, f = fit.chart, parameter.block
    lam, slopes, back = chart.lams[f], chart.linear_basis(f), inverse(chart.bases[f])
    i, j = parameter.first, parameter.second
    lengths = np.linalg.norm(lam, axis=1)
    wedge, slope, size = np.zeros((lam.shape[1],) * 2), np.zeros((len(slopes), *(lam.shape[1],) * 2)), 0.0
    for a in range(len(lam)):
        for b in range(a):
            minor = back[i, a] * back[j, b] - back[i, b] * back[j, a]
            if minor != 0.0:
                wedge += minor * _outer(lam[a], lam[b])
                slope += minor * (_outer(slopes[:, a], lam[b]) + _outer(lam[a], slopes[:, b]))
                size += abs(minor) * lengths[a] * lengths[b]
    return wedge, slope, float(size)


def _outer(u: Array, v: Array) -> Array:
    """Return u ∧ v = (uvᵀ − vuᵀ)/√2, shape (…, k, k)."""
    product = u[..., :, None] * v[..., None, :]
    return np.asarray((product - product.swapaxes(-1, -2)) / np.sqrt(2.0))


def jacobian(fit: Fit, parameters: Sequence[Parameter]) -> Array:
    """Return ∂(standard deviations, correlations, σ)/∂(η, log σ²), shape (count, n_theta + 1).

    NaN on the boundary and where a parameter is not identified.
    """
    out = np.zeros((len(parameters), fit.theta.size + 1))
    for row, parameter in zip(out, parameters, strict=True):
        if on_boundary(fit, parameter) or not is_identified(fit, parameter):
            row[:] = np.nan
        elif parameter.kind == "sigma":
            row[-1] = 0.5 * fit.sigma
        elif not fit.design.blocks[parameter.block].structure.linear:
            row[:] = _slope_in_block(fit, parameter)
        else:
            here = fit.chart.slices[parameter.block]
            root, slope = fit.chart.formula_roots[parameter.block], fit.chart.root_slopes[parameter.block]
            i, j = parameter.first, parameter.second
            squares = np.sum(root * root, axis=1)
            squares[squares == 0.0] = np.nan  # other effects of the block, on the boundary
            relative = np.einsum("mij,ij->mi", slope, root) / squares[:, None].T  # ∂ log SD
            if i == j:
                deviation = fit.sigma * float(np.sqrt(squares[i]))
                row[here], row[-1] = deviation * relative[:, i], 0.5 * deviation
            else:
                row[here] = _correlation_slope(fit, parameter, relative[:, i] + relative[:, j])
    return out


def _slope_in_block(fit: Fit, parameter: Parameter) -> Array:
    """Return a row of `jacobian` for a parameter of a block with a structure that is not linear."""
    row, here = np.zeros(fit.theta.size + 1), fit.chart.slices[parameter.block]
    if parameter.place >= 0:
        part, t, e, at = _part_of(fit, parameter)
        theta = fit.theta[fit.design.theta_slices[parameter.block]][t]
        values, slopes = part.natural(theta)
        units = part.unit_slopes(inverse(fit.chart.bases[parameter.block])[e, e])
        unit = fit.sigma if parameter.kind == "sd" else 1.0
        row[here.start + t.start : here.start + t.stop] = unit * slopes[at] * units
        row[-1] = 0.5 * fit.sigma * values[at] if parameter.kind == "sd" else 0.0
        return row
    change = fit.chart.formula_directions[parameter.block]
    lam = fit.lam[parameter.block]
    omega, i, j = lam @ lam.T, parameter.first, parameter.second
    if i == j:
        row[here] = 0.5 * fit.sigma * change[:, i, i] / np.sqrt(omega[i, i])
        row[-1] = 0.5 * fit.sigma * np.sqrt(omega[i, i])
        return row
    below = np.sqrt(omega[i, i] * omega[j, j])
    relative = 0.5 * (change[:, i, i] / omega[i, i] + change[:, j, j] / omega[j, j])
    row[here] = change[:, i, j] / below - omega[i, j] / below * relative
    return row


def _correlation_slope(fit: Fit, parameter: Parameter, relative: Array) -> Array:
    """Return ∂ρ/∂η, shape (n_theta_f,); `relative` is the derivative of log SD_i + log SD_j."""
    root, slope = fit.chart.formula_roots[parameter.block], fit.chart.root_slopes[parameter.block]
    i, j = parameter.first, parameter.second
    below = float(np.linalg.norm(root[i]) * np.linalg.norm(root[j]))
    rho = float(root[i] @ root[j]) / below
    if rho * rho < 0.5:
        return np.asarray((slope[:, i] @ root[j] + slope[:, j] @ root[i]) / below - rho * relative)
    wedge, change, _ = _wedge(fit, parameter)
    along = np.einsum("mcd,cd->m", change, wedge) / np.sum(wedge**2)
    return np.asarray(-complement(fit, parameter) / rho * (along - relative))


def covariance_slopes(fit: Fit) -> list[Array]:
    """Return ∂Ω/∂η of every block, shape (n_theta_f, k, k) each."""
    return [fit.sigma**2 * change for change in fit.chart.formula_directions]


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
        if not found and name not in _KINDS:
            known = [p.name for p in parameters]
            every = [t for p in parameters for t in (p.name, p.long_name, p.words)]
            raise ModelError(
                f"{name!r} is not a parameter of this fit ({', '.join(known[:30])}{', …' * (len(known) > 30)}). "
                f"{nearest(str(name), every)}"
            )
        out += [i for i in found if i not in out]
    return np.array(out, dtype=np.int64)


_KINDS = {"variances": False, "theta_": False, "fixed": True, "beta_": True}
"""Names of all parameters of a kind, and whether they are the fixed effects; a model may have none."""


def _matches(parameter: Parameter, name: object) -> bool:
    if isinstance(name, str) and name in _KINDS:
        return (parameter.kind == "fixed") is _KINDS[name]
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
