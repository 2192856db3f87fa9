"""Labelled tables of a `Fit`: coefficients, variances, random effects, residuals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.by_factor import ByFactor
from mixedfit.core.names import same_effect
from mixedfit.covariance import ScaledCorrelation
from mixedfit.design.design import Design

from .fit import Fit

__all__ = [
    "coefficient_covariance",
    "coefficients",
    "effect_covariances",
    "effect_places",
    "group_coefficients",
    "group_columns",
    "levels_table",
    "mode_covariances",
    "normalised_residuals",
    "random_effects",
    "response_name",
    "scaled_residuals",
    "scaled_residuals_of",
    "standard_errors",
    "structure_rows",
    "variance_table",
]

_Row = tuple[str, str | None, str | None, float, float]


def response_name(fit: Fit) -> str:
    """Return the response as written in the formula."""
    return fit.formula.split("~", 1)[0].strip()


def coefficients(fit: Fit) -> pd.Series[float]:
    """Return the fixed effects, NaN where dropped."""
    return pd.Series(fit.beta.copy(), index=fit.coefficient_index.view(), name="estimate")


def standard_errors(fit: Fit) -> pd.Series[float]:
    """Return the standard errors of the fixed effects, NaN where dropped."""
    variances = np.diag(fit.beta_covariance)
    return pd.Series(np.sqrt(variances), index=fit.coefficient_index.view(), name="std_error")


def coefficient_covariance(fit: Fit) -> pd.DataFrame:
    """Return the covariance matrix of the fixed effects, NaN where dropped."""
    names = list(fit.coefficient_names)
    return pd.DataFrame(fit.beta_covariance.copy(), index=names, columns=names)


def variance_table(fit: Fit) -> pd.DataFrame:
    """Return variances, covariances, SDs and correlations; see `MixedResults.varcorr`."""
    rows: list[_Row] = []
    for block, omega, own in zip(fit.design.blocks, fit.omega, fit.design.theta_slices, strict=True):
        for number, (part, t, here) in enumerate(block.structure.slices()):
            name = block.name if number == 0 else f"{block.name}.{number}"
            if isinstance(part, ScaledCorrelation):
                rows += structure_rows(name, part, block.effects[here], fit.theta[own][t], fit.sigma)
                continue
            rows += _term_rows(name, block.effects[here], omega[here, here], part.invariance == "linear")
    rows.append(("Residual", None, None, fit.sigma**2, fit.sigma))
    table = pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])
    for position, column in ((1, "var1"), (2, "var2")):
        table[column] = pd.Series([row[position] for row in rows], dtype=object)
    return table


def structure_rows(
    name: str, part: ScaledCorrelation, effects: tuple[str, ...], theta: Array, sigma: float
) -> list[_Row]:
    """Return the rows of a structure such as ``ar1``: standard deviations, then its other natural parameters.

    One standard deviation of all effects has the first and the last effect as its name.
    """
    shown = (f"{effects[0]} … {effects[-1]}",) if part.homogeneous else effects
    values = part.natural(theta)[0]
    rows: list[_Row] = []
    at = 0
    for own, value in zip(part.natural_parameters(effects), values, strict=True):
        if own.kind == "sd":
            rows.append((name, shown[at], None, float(sigma * value) ** 2, float(sigma * value)))
            at += 1
        else:
            rows.append((name, shown[0], f"{own.kind} ({own.name})", float("nan"), float(value)))
    return rows


def _term_rows(name: str, effects: tuple[str, ...], omega: Array, correlated: bool) -> list[_Row]:
    """Return one term's rows of `variance_table`: variances, then covariances column by column."""
    sd = np.sqrt(np.diag(omega))
    rows: list[_Row] = [
        (name, effect, None, float(omega[i, i]), float(sd[i])) for i, effect in enumerate(effects)
    ]
    if correlated:
        for j in range(len(effects)):
            for i in range(j + 1, len(effects)):
                product = sd[i] * sd[j]
                correlation = float(omega[i, j] / product) if product > 0 else float("nan")
                rows.append((name, effects[j], effects[i], float(omega[i, j]), correlation))
    return rows


def effect_covariances(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return Ω of every grouping factor, effects × effects."""
    return {
        block.name: levels_table(pd.Index(block.effects), block.effects, omega)
        for block, omega in zip(fit.design.blocks, fit.omega, strict=True)
    }


def random_effects(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return the conditional modes (BLUPs) of every grouping factor, levels × effects."""
    return ByFactor(
        (block.name, levels_table(block.grouping.levels, block.effects, modes))
        for block, modes in zip(fit.design.blocks, fit.modes, strict=True)
    )


def mode_covariances(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return Var(b | y) of every grouping factor, (level, effect) × effects."""
    out: ByFactor[pd.DataFrame] = ByFactor()
    for block, cov in zip(fit.design.blocks, fit.mode_covariance, strict=True):
        index = pd.MultiIndex.from_product(
            [block.grouping.levels, list(block.effects)], names=["level", "effect"]
        )
        out[block.name] = pd.DataFrame(cov.reshape(-1, block.k), index=index, columns=list(block.effects))
    return out


def group_coefficients(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return β + b of every grouping factor, levels × coefficients; see `MixedResults.group_coefs`."""
    names = fit.design.x_names
    columns = group_columns(names, [block.effects for block in fit.design.blocks])
    start = np.zeros(len(columns))
    start[: len(names)] = np.nan_to_num(fit.beta[: len(names)])
    out: ByFactor[pd.DataFrame] = ByFactor()
    for block, modes in zip(fit.design.blocks, fit.modes, strict=True):
        values = np.tile(start, (block.levels, 1))
        for own, column in zip(modes.T, effect_places(block.effects, columns), strict=True):
            values[:, column] += own
        out[block.name] = levels_table(block.grouping.levels, columns, values)
    return out


def group_columns(fixed: Sequence[str], effects: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the columns of tables of β + b: fixed effects, then effects of any factor without a fixed counterpart.

    ``a:b`` and ``b:a`` are one effect, named as the fixed part names it.
    """
    known = {same_effect(name) for name in fixed}
    extra: dict[tuple[str, ...], str] = {}
    for name in (name for own in effects for name in own):
        if same_effect(name) not in known:
            extra.setdefault(same_effect(name), name)
    return (*fixed, *extra.values())


def effect_places(effects: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Return the place of each effect among the columns of `group_columns`."""
    place = {same_effect(name): at for at, name in enumerate(columns)}
    return [place[same_effect(name)] for name in effects]


def scaled_residuals(fit: Fit) -> pd.Series[float]:
    """Return residuals over their standard deviation σ s_i/√w_i, on the rows of the fit; s_i of a variance function."""
    values = fit.by_rows(lambda rows: scaled_residuals_of(fit, rows))
    return pd.Series(values, index=fit.design.index, name="scaled_resid")


def scaled_residuals_of(fit: Fit, rows: Design) -> Array:
    """Return residuals over their standard deviation on the rows of a design of the same model, shape (n,)."""
    fitted = fit.fitted if rows is fit.design else fit.fitted_of(rows)
    values = (rows.observed - fitted) / fit.sigma
    if fit.residual is not None:
        values = values / fit.residual.multipliers
    return values if rows.weights is None else values * np.sqrt(rows.weights)


def normalised_residuals(fit: Fit) -> pd.Series[float]:
    """Return R^(−1/2)(y − Xβ̂ − Zb̂)/σ on the rows of the fit: independent with variance 1 if the structure holds."""
    values = (fit.response - fit.fitted) / fit.sigma
    if fit.design.weights is not None:
        values = values * np.sqrt(fit.design.weights)
    if fit.residual is not None:
        values = fit.residual.root.whiten(values[:, None])[:, 0]
    return pd.Series(values, index=fit.design.index, name="normalised_resid")


def levels_table(levels: pd.Index[Any], effects: tuple[str, ...], values: Array) -> pd.DataFrame:
    """Return a table of levels × effects."""
    return pd.DataFrame(values.copy(), index=levels, columns=list(effects))
