"""Tidy tables, as in R's broom.mixed: one row for each term, model or observation.

Columns have the names of broom.mixed, with dots, so that tables of both programs can be combined.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.core.distributions import t_quantile
from mixedfit.core.errors import DataError, ModelError, nearest
from mixedfit.core.options import check_level, check_one_of
from mixedfit.core.printed_frame import PrintedFrame
from mixedfit.covariance import ScaledCorrelation
from mixedfit.design.frames import as_frame, column_names
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import variance_parameters
from mixedfit.estimation.residual_words import residual_table
from mixedfit.estimation.tables import (
    group_coefficients,
    response_name,
    scaled_residuals_of,
    structure_rows,
    variance_table,
)
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.profile.profile import profile
from mixedfit.inference.wald import wald_intervals
from mixedfit.prediction.variables import recovered_variables

__all__ = ["EFFECTS", "Effects", "Scale", "augment", "augment_batches", "glance", "rows_of", "tidy"]

Effects = Literal["fixed", "ran_pars", "ran_vals", "ran_coefs"]

EFFECTS: tuple[Effects, ...] = ("fixed", "ran_pars", "ran_vals", "ran_coefs")

Scale = Literal["sdcor", "vcov"]


def tidy(
    fit: Fit,
    effects: Effects | tuple[Effects, ...] = ("ran_pars", "fixed"),
    *,
    conf_int: bool = False,
    level: float = 0.95,
    conf_method: Literal["wald", "profile"] = "wald",
    ddf: Ddf | Literal["none"] | None = None,
    scale: Scale = "sdcor",
) -> pd.DataFrame:
    """Return a table with one row for each term; see `MixedResults.tidy`."""
    wanted = (effects,) if isinstance(effects, str) else tuple(effects)
    unknown = [name for name in wanted if name not in EFFECTS]
    if unknown or not wanted:
        name = str(unknown[0]) if unknown else "()"
        raise ModelError(
            f"effects={name!r} is not known; expected some of {', '.join(EFFECTS)}. {nearest(name, EFFECTS)}".rstrip()
        )
    check_one_of("conf_method", conf_method, ("wald", "profile"))
    check_one_of("scale", scale, ("sdcor", "vcov"))
    coverage = check_level(level) if conf_int else None
    return _stacked([_table(fit, kind, coverage, conf_method, ddf, scale) for kind in wanted])


def _table(
    fit: Fit, kind: Effects, level: float | None, method: str, ddf: Ddf | Literal["none"] | None, scale: Scale
) -> pd.DataFrame:
    if kind == "fixed":
        return _fixed(fit, level, method, ddf)
    if kind == "ran_pars":
        return _variances(fit, level, method, scale)
    return _modes(fit, level) if kind == "ran_vals" else _coefficients(fit)


_COLUMNS = (
    "effect",
    "group",
    "level",
    "term",
    "estimate",
    "std.error",
    "statistic",
    "df",
    "p.value",
    "conf.low",
    "conf.high",
)


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return tables concatenated by rows, with all their columns in the order of broom.mixed."""
    columns = [name for name in _COLUMNS if any(name in table for table in tables)]
    out: dict[str, pd.Series[float]] = {}
    for name in columns:
        text = name in ("effect", "group", "level", "term")
        missing = None if text else np.nan
        values = [table[name].tolist() if name in table else [missing] * len(table) for table in tables]
        flat = [value for part in values for value in part]
        out[name] = pd.Series(flat, dtype=object if text else float)
    return PrintedFrame(out)


def _fixed(fit: Fit, level: float | None, method: str, ddf: Ddf | Literal["none"] | None) -> pd.DataFrame:
    source, _ = coefficient_table(fit, "normal" if ddf == "none" else ddf)
    table = pd.DataFrame(
        {
            "effect": "fixed",
            "term": list(source.index),
            "estimate": source["estimate"].to_numpy(),
            "std.error": source["std_error"].to_numpy(),
            "statistic": source["statistic"].to_numpy(),
        }
    )
    finite = np.isfinite(source["df"].to_numpy()).any()
    if ddf != "none":
        if finite:
            table["df"] = source["df"].to_numpy()
        table["p.value"] = source["p_value"].to_numpy()
    if level is not None and method == "profile":
        limits = profile(fit, "fixed", levels=(level,)).conf_int(level, "fixed").to_numpy()
        table["conf.low"], table["conf.high"] = limits[:, 0], limits[:, 1]
    elif level is not None:
        quantiles = np.array([t_quantile(0.5 + 0.5 * level, df) for df in source["df"]])
        half = quantiles * source["std_error"].to_numpy()
        table["conf.low"] = source["estimate"].to_numpy() - half
        table["conf.high"] = source["estimate"].to_numpy() + half
    return table


def _variances(fit: Fit, level: float | None, method: str, scale: Scale) -> pd.DataFrame:
    """Return standard deviations and correlations in the order of θ, as in broom.mixed 0.2.9."""
    source = {(r.grp, r.var1, r.var2): r for r in variance_table(fit).itertuples(index=False)}
    head = ("sd", "cor") if scale == "sdcor" else ("var", "cov")
    rows = []
    for group, first, second in _theta_order(fit):
        row = source[group, first, second]
        own = (
            second is not None
            and str(second).endswith(")")
            and bool(np.isnan(np.asarray(row.vcov, dtype=float)))
        )
        name = first if second is None else f"{first}.{second}"
        term = f"{head[0 if second is None else 1]}__{name or 'Observation'}"
        if own:
            kind, name = str(second).rstrip(")").split(" (")
            term = f"{'cor' if kind == 'correlation' else kind}__{name}"
        rows.append(("ran_pars", group, term, row.sdcor if own or scale == "sdcor" else row.vcov))
    for label, value in residual_table(fit)["estimate"].items():
        rows.append(("ran_pars", "Residual", f"residual__{label}", float(value)))
    table = pd.DataFrame(rows, columns=["effect", "group", "term", "estimate"])
    if level is None:
        return table
    if scale == "vcov":
        raise ModelError(
            "intervals of variance parameters are computed for standard deviations and correlations only; use "
            "scale='sdcor' with conf_int=True."
        )
    if method == "profile":
        limits = profile(fit, "variances", levels=(level,)).conf_int(level, "variances")
    else:
        limits = wald_intervals(fit, level, "variances", delta=True)
    lines = limits.to_numpy()
    if len(lines) < len(table):  # σ was held
        lines = np.vstack([lines, np.full((len(table) - len(lines), 2), np.nan)])
    table["conf.low"], table["conf.high"] = lines[:, 0], lines[:, 1]
    return table


def _theta_order(fit: Fit) -> list[tuple[str, str | None, str | None]]:
    """Return the keys of the rows of `varcorr` in the order of `variance_parameters`."""
    starts: dict[tuple[int, int], str] = {}
    structures: dict[tuple[int, int], tuple[str, str | None, str | None]] = {}
    for f, (block, own) in enumerate(zip(fit.design.blocks, fit.design.theta_slices, strict=True)):
        for number, (part, t, here) in enumerate(block.structure.slices()):
            name = block.name if number == 0 else f"{block.name}.{number}"
            starts.update({(f, i): name for i in range(here.start, here.stop)})
            if isinstance(part, ScaledCorrelation):
                made = structure_rows(name, part, block.effects[here], fit.theta[own][t], fit.sigma)
                structures.update({(f, t.start + i): row[:3] for i, row in enumerate(made)})
    out: list[tuple[str, str | None, str | None]] = []
    for p in variance_parameters(fit.design, with_sigma=False):
        if p.place >= 0:
            out.append(structures[p.block, p.place])
            continue
        names = fit.design.blocks[p.block].effects
        low, high = min(p.first, p.second), max(p.first, p.second)
        out.append((starts[p.block, p.first], names[low], None if low == high else names[high]))
    return [*out, ("Residual", None, None)]


def _modes(fit: Fit, level: float | None) -> pd.DataFrame:
    parts = []
    for block, modes, covariance in zip(fit.design.blocks, fit.modes, fit.mode_covariance, strict=True):
        errors = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))
        table = _levels(block.name, block.grouping.levels, block.effects, modes, "ran_vals")
        table["std.error"] = errors.T.ravel()
        parts.append(table)
    table = _stacked(parts) if parts else _empty_table("std.error")
    if level is not None:
        half = float(ndtri(0.5 + 0.5 * level)) * table["std.error"]
        table["conf.low"], table["conf.high"] = table["estimate"] - half, table["estimate"] + half
    return table


def _coefficients(fit: Fit) -> pd.DataFrame:
    parts = [
        _levels(name, table.index, tuple(table.columns), table.to_numpy(), "ran_coefs")
        for name, table in group_coefficients(fit).items()
    ]
    return _stacked(parts) if parts else _empty_table()


def _empty_table(*further: str) -> pd.DataFrame:
    """Return the empty table of a model without random effects."""
    names = ["effect", "group", "level", "term", "estimate", *further]
    return pd.DataFrame(
        {name: pd.Series([], dtype=object if i < 4 else float) for i, name in enumerate(names)}
    )


def _levels(
    group: str,
    levels: pd.Index[str],
    effects: tuple[str, ...],
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    kind: str,
) -> pd.DataFrame:
    """Return a table with one row for each effect and level, levels varying fastest as in broom.mixed."""
    count = len(levels)
    return pd.DataFrame(
        {
            "effect": kind,
            "group": group,
            "level": [str(level) for level in levels] * len(effects),
            "term": np.repeat(np.array(effects, dtype=object), count),
            "estimate": values.T.ravel(),
        }
    )


def glance(fit: Fit) -> pd.DataFrame:
    """Return a table with one row for the model; see `MixedResults.glance`."""
    criterion = {"REMLcrit": fit.reml_criterion} if fit.reml else {"deviance": fit.deviance}
    row = {
        "nobs": fit.nobs,
        "sigma": fit.sigma,
        "logLik": fit.llf,
        "AIC": fit.aic,
        "BIC": fit.bic,
        **criterion,
        "df.residual": fit.df_resid,
    }
    return PrintedFrame([row])


def augment(fit: Fit, data: object = None) -> pd.DataFrame:
    """Return a table with one row for each observation; see `MixedResults.augment`."""
    design = fit.design
    own = _row_columns(fit)
    if data is not None:
        table = rows_of(data, design.all_index)
    else:
        table = pd.DataFrame({response_name(fit): fit.response}, index=design.index)
        names = [] if design.recipe is None else [n for n in design.recipe.variables if n not in table]
        for variable, values in recovered_variables(fit, names).items():
            table[variable] = values.to_numpy()
        for block in design.blocks:
            if block.name not in table:
                table[block.name] = pd.Series(
                    pd.Categorical.from_codes(block.codes, categories=block.grouping.levels),
                    index=design.index,
                )
        table = design.on_all_rows(table)
    for name in own:
        table[name] = own[name].to_numpy()
    return table


def augment_batches(fit: Fit) -> Iterator[pd.DataFrame]:
    """Yield a table of the rows of each batch; see `MixedResults.augment_batches`."""
    absent = fit.design.absent
    if absent is not None and absent.read is None:
        raise ModelError(absent.refusal)
    batches = [fit.design] if absent is None or absent.read is None else absent.read()
    for rows in batches:
        fitted, observed = fit.fitted_of(rows), rows.observed
        table = pd.DataFrame({response_name(fit): observed}, index=rows.index)
        for block in rows.blocks:
            own = pd.Categorical.from_codes(block.codes, categories=block.grouping.levels)
            table[block.name] = pd.Series(own, index=rows.index)
        table[".fitted"] = fitted
        table[".resid"] = observed - fitted
        table[".fixed"] = fit.fixed_part_of(rows)
        table[".scaled"] = scaled_residuals_of(fit, rows)
        table[".weights"] = np.ones(rows.n) if rows.weights is None else rows.weights
        yield table


def _row_columns(fit: Fit) -> pd.DataFrame:
    """Return the columns that the fit adds to the data's."""
    design, diagnostics = fit.design, Diagnostics(fit)
    weights = np.ones(design.n) if design.weights is None else design.weights
    residuals = fit.response - fit.fitted
    columns = {
        ".fitted": fit.fitted,
        ".resid": residuals,
        ".fixed": fit.fixed_part,
        ".mu": fit.fitted,
        ".offset": np.zeros(design.n) if design.offset is None else design.offset,
        ".sqrtXwt": np.sqrt(weights),
        ".sqrtrwt": np.sqrt(weights),
        ".weights": weights,
        ".wtres": np.sqrt(weights) * residuals,
    }
    table = design.on_all_rows(pd.DataFrame(columns, index=design.index))
    table.insert(2, ".hat", diagnostics.leverages["overall"].to_numpy())
    table.insert(3, ".cooksd", diagnostics.cooks_distance.to_numpy())
    return table


def rows_of(data: object, index: pd.Index[str]) -> pd.DataFrame:
    """Return a copy of the rows of `data` that are in the fit, matched by index.

    Raises
    ------
    DataError
        If rows of the fit are missing, or index labels are not unique.
    """
    frame = as_frame(data, column_names(data))
    if len(frame) == len(index) and frame.index.equals(index):
        return frame.copy()
    if not frame.index.is_unique:
        raise DataError(
            "the data have several rows with the same index label, so that the rows of the fit cannot be identified; "
            "fit the model to data.reset_index(drop=True) and pass the same frame here."
        )
    if not index.isin(frame.index).all():
        raise DataError(
            "the data lack rows of the fit (by their index); pass the data that the model was fitted to."
        )
    return frame.loc[index].copy()
