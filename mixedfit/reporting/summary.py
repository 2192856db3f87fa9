"""The summary of a fit, as text, HTML and JSON."""

from __future__ import annotations

import html
import json
import textwrap
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.format import (
    count_noun,
    format_numbers,
    text_columns,
    zap_small,
)
from mixedfit.core.notebook import NotebookTable, html_table
from mixedfit.core.tables import Table
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.monte_carlo import LARGE_ERROR, more_probes
from mixedfit.estimation.residual_quantiles import residual_quartiles
from mixedfit.estimation.residual_words import residual_lines, residual_table
from mixedfit.estimation.tables import (
    coefficient_covariance,
    coefficients,
    standard_errors,
    variance_table,
)
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf, failed_note, method_named

from .structure_words import residual_sentence
from .summary_cells import (
    LONG_TABLE,
    correlation_lines,
    correlation_table,
    fixed_cells,
    fixed_table,
    random_rows,
    random_table,
)

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True, eq=False)
class Summary(NotebookTable):
    """Summary of a fit. Prints like lme4's; notebooks show it as HTML.

    Attributes
    ----------
    title, formula, method : str
        ``method`` is "REML" or "ML".
    criteria : dict of str to float
        REML criterion; or AIC, BIC, logLik, −2 logLik and residual degrees of freedom.
    residuals : pandas.Series
        Quantiles of the scaled residuals.
    varcorr : pandas.DataFrame
        Variances of the random effects; see `MixedResults.varcorr`.
    coefficients : pandas.DataFrame
        Columns estimate, std_error, df, statistic, p_value; no df and p_value with ``ddf="none"``.
    ddf : str
        Method of the degrees of freedom; empty with ``ddf="none"``.
    correlation : pandas.DataFrame or None
        Correlation of the fixed effects, if requested.
    nobs : int
    ngroups : dict of str to int
        Number of levels of each grouping factor.
    verdict : str
        Message on convergence.
    facts : dict
        Values of converged, status, singular, sigma and theta.
    notes : tuple of str
        Notes on dropped rows and columns, a residual SD that was held, and tests that failed.
    residual : pandas.DataFrame
        Parameters of the residual structure with their limits; empty without one.
    structure : tuple of str
        The residual structure in words; empty without one.
    """

    title: str
    formula: str
    method: str
    criteria: dict[str, float]
    residuals: pd.Series[float]
    varcorr: pd.DataFrame
    coefficients: pd.DataFrame
    ddf: str
    correlation: pd.DataFrame | None
    nobs: int
    ngroups: dict[str, int]
    verdict: str
    facts: dict[str, Any]
    notes: tuple[str, ...]
    residual: pd.DataFrame = field(default_factory=pd.DataFrame)
    structure: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(_text_lines(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _html(self)

    def _tables(self) -> list[Table]:
        """Return the tables for `mixedfit.to_latex` and others."""
        notes = (f"Degrees of freedom: {self.ddf}.",) if self.ddf else ()
        groups = "; ".join(f"{name}, {count}" for name, count in self.ngroups.items())
        size = f"Rows: {self.nobs}" + (f"; levels: {groups}." if groups else ".")
        fixed = fixed_table(self.coefficients, self.ddf, notes)
        random = random_table(self.varcorr, (size, self.verdict, *self.notes))
        return [fixed, random, *_residual_table(self), *correlation_table(self.correlation)]

    def to_dict(self) -> dict[str, Any]:
        """Return the contents as JSON values.

        NaN becomes None. Infinity, such as the degrees of freedom of a normal distribution, becomes the text
        "Infinity", which ``float`` in Python and ``Number`` in JavaScript read.
        """
        record = {
            "title": self.title,
            "formula": self.formula,
            "method": self.method,
            "criteria": self.criteria,
            "scaled_residuals": self.residuals.to_dict(),
            "random_effects": self.varcorr.to_dict(orient="records"),
            "fixed_effects": [
                {"name": str(name), **row}
                for name, row in zip(
                    self.coefficients.index, self.coefficients.to_dict(orient="records"), strict=True
                )
            ],
            "ddf": self.ddf,
            "correlation": None if self.correlation is None else self.correlation.to_dict(),
            "nobs": self.nobs,
            "ngroups": self.ngroups,
            "verdict": self.verdict,
            **self._residual_record(),
            **self.facts,
            "notes": list(self.notes),
        }
        return dict(_without_nan(record))

    def _residual_record(self) -> dict[str, Any]:
        if not self.structure:
            return {}
        return {
            "residual_structure": list(self.structure),
            "residual_parameters": {str(k): float(v) for k, v in self.residual["estimate"].items()},
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def _without_nan(value: Any) -> Any:
    """Return a value, or a container of values, with NaN as None and infinite numbers as text."""
    if isinstance(value, dict):
        return {str(k): _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    if isinstance(value, float | np.floating):
        if np.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return None if np.isnan(value) else float(value)
    return value.item() if isinstance(value, np.generic) else value


def summarise(fit: Fit, *, correlation: bool = False, ddf: Ddf | Literal["none"] | None = None) -> Summary:
    """Return the summary of a fit."""
    kind = "Linear mixed model" if fit.ngroups else "Linear model"
    if fit.residual is not None:
        kind += " with a residual structure" if fit.ngroups else " by generalised least squares"
    how = "REML" if fit.reml else "maximum likelihood"
    fixed, method = _coefficients(fit, ddf)
    residuals = residual_quartiles(fit)
    return Summary(
        title=f"{kind} fit by {how}",
        formula=fit.formula,
        method="REML" if fit.reml else "ML",
        criteria=_criteria(fit),
        residuals=pd.Series(residuals, index=["Min", "1Q", "Median", "3Q", "Max"]),
        varcorr=variance_table(fit),
        coefficients=fixed,
        ddf=method,
        correlation=_correlation(fit) if correlation else None,
        nobs=fit.nobs,
        ngroups=fit.ngroups,
        verdict=fit.convergence.message,
        facts={
            "converged": fit.convergence.converged,
            "status": fit.convergence.status,
            "singular": bool(fit.convergence.singular),
            "sigma": fit.sigma,
            "theta": {
                str(name): float(value) for name, value in zip(fit.design.theta_names, fit.theta, strict=True)
            },
        },
        notes=(*_notes(fit), *_failed(fixed, method)),
        residual=residual_table(fit),
        structure=tuple(filter(None, [residual_sentence(fit.design), *residual_lines(fit)])),
    )


def _coefficients(fit: Fit, ddf: Ddf | Literal["none"] | None) -> tuple[pd.DataFrame, str]:
    """Return the table of fixed effects, and the method of the degrees of freedom."""
    ddf = method_named(ddf)
    if ddf == "none":
        estimate, error = coefficients(fit), standard_errors(fit)
        columns = {"estimate": estimate, "std_error": error, "statistic": estimate / error}
        return pd.DataFrame(columns), ""
    return coefficient_table(fit, ddf)


def _criteria(fit: Fit) -> dict[str, float]:
    if fit.reml:
        return {"REML criterion": fit.reml_criterion}
    return {
        "AIC": fit.aic,
        "BIC": fit.bic,
        "logLik": fit.llf,
        "-2*log(L)": fit.deviance,
        "df.resid": fit.df_resid,
    }


def _correlation(fit: Fit) -> pd.DataFrame:
    kept = fit.kept.astype(bool)
    covariance = coefficient_covariance(fit).loc[kept, kept]
    errors = np.sqrt(np.diag(covariance))
    values = covariance.to_numpy() / np.outer(errors, errors)
    return pd.DataFrame(values, index=covariance.index, columns=covariance.columns)


def _notes(fit: Fit) -> tuple[str, ...]:
    notes: list[str] = []
    if fit.design.dropped:
        notes.append(f"{count_noun(fit.design.dropped, 'row')} dropped for missing values.")
    zero = fit.design.n - fit.cross.n
    if zero:
        notes.append(f"{count_noun(zero, 'row')} of weight 0 not used.")
    dropped = [str(name) for name, value in coefficients(fit).items() if not np.isfinite(value)]
    if dropped:
        notes.append(f"Linearly dependent columns of the fixed effects, dropped: {', '.join(dropped)}.")
    if fit.held_sigma is not None:
        notes.append(f"Residual standard deviation held at {fit.held_sigma:g}.")
    if fit.cross.pairs is not None:
        notes += _monte_carlo(fit)
    for block in fit.design.blocks:
        if block.known is not None:
            used = np.unique(block.codes[fit.design.counted]).size
            notes.append(
                f"{block.name}: {block.levels} levels with a known relationship matrix A, {used} of them with rows; "
                "the variances are those of a level with A_jj = 1."
            )
    return tuple(notes)


def _monte_carlo(fit: Fit) -> tuple[str, ...]:
    """Return the notes on the errors of an iterative solution."""
    own = fit.timing
    share = (
        f", of covariance parameters {own['estimate_error']:.2g} standard errors"
        if "estimate_error" in own
        else ""
    )
    of_criterion = f"{own['criterion_error']:.2g}" if "criterion_error" in own else "unknown"
    probes = fit.cross.pairs.probes if fit.cross.pairs else 0
    large = own.get("estimate_error", 0.0) > LARGE_ERROR
    return (
        f"Solved by conjugate gradients with {probes} random probes, see Control(probes=…).",
        f"Monte-Carlo error of the criterion {of_criterion}{share}.",
        *([f"{more_probes(probes)}."] if large else []),
    )


def _failed(fixed: pd.DataFrame, method: str) -> list[str]:
    """Return the note on coefficients for which the method of the degrees of freedom has failed."""
    lost = fixed.index[fixed["estimate"].notna() & fixed["std_error"].isna()]
    return [failed_note(method, [str(name) for name in lost])] if len(lost) and method else []


def _text_lines(s: Summary) -> list[str]:
    lines = [s.title, f"Formula: {s.formula}", ""]
    if s.method == "REML":
        lines += [f"REML criterion at convergence: {_one_decimal(s.criteria['REML criterion'])}", ""]
    else:
        shared = format_numbers([round(v, 1) for k, v in s.criteria.items() if k != "df.resid"], 7)
        texts = [*(t.strip() for t in shared), str(int(s.criteria["df.resid"]))]
        lines += [*text_columns(list(s.criteria), [[t] for t in texts]), ""]
    if quantiles := _quantiles(s):
        columns = text_columns(list(s.residuals.index), [[t.strip()] for t in quantiles])
        lines += ["Scaled residuals:", *columns, ""]
    lines += ["Random effects:", *_random_lines(s), *_residual_lines(s)]
    groups = "; ".join(f"{name}, {count}" for name, count in s.ngroups.items())
    lines += [f"Number of obs: {s.nobs}" + (f", groups:  {groups}" if groups else ""), ""]
    lines += ["Fixed effects:", *_fixed_lines(s.coefficients, s.ddf)]
    if s.correlation is not None and len(s.correlation) > 1:
        lines += ["", "Correlation of Fixed Effects:", *correlation_lines(s.correlation)]
    if s.ddf:
        lines += ["Degrees of freedom: " + s.ddf + "."]
    lines += ["", *textwrap.wrap(s.verdict, 100), *s.notes]
    return lines


def _one_decimal(value: float) -> str:
    """Return a number with one decimal but without a trailing ".0", as R's ``format(round(x, 1))``."""
    return f"{value:.1f}".removesuffix(".0")


def _random_lines(s: Summary) -> list[str]:
    rows = random_rows(s.varcorr)
    columns = [list(column) for column in zip_longest(*rows, fillvalue="")]
    groups = columns[0]
    columns[0] = ["" if i and groups[i - 1] == group else group for i, group in enumerate(groups)]
    heads = ["Groups", "Name", "Variance", "Std.Dev.", "Corr", *[""] * len(columns)][: len(columns)]
    return [f" {line}" for line in text_columns(heads, columns, left=len(heads))]


def _residual_lines(s: Summary) -> list[str]:
    if not s.structure:
        return []
    lines = [
        "Residual covariance:",
        *(f" {part}" for text in s.structure for part in textwrap.wrap(text, 98)),
    ]
    if not s.residual.empty:
        shown = s.residual[:LONG_TABLE]
        values = format_numbers(shown["estimate"].tolist(), 4)
        columns = [[str(name) for name in shown.index], values]
        lines += [f"  {line}" for line in text_columns(["Parameter", "Estimate"], columns, left=1)]
    return lines


def _residual_table(s: Summary) -> list[Table]:
    """Return the parameters of the residual structure, or nothing without one."""
    if not s.structure:
        return []
    values = format_numbers(s.residual["estimate"].tolist(), 4)
    rows = tuple((str(name), value.strip()) for name, value in zip(s.residual.index, values, strict=True))
    return [Table("Residual covariance", ("Parameter", "Estimate"), rows, 1, s.structure)]


def _fixed_lines(coefficients: pd.DataFrame, method: str) -> list[str]:
    if coefficients.empty:
        return ["(none)"]
    shown = coefficients[:LONG_TABLE]
    heads, cells = fixed_cells(shown, method)
    lines = text_columns(["", *heads], [[str(name) for name in shown.index], *cells], left=1)
    rest = len(coefficients) - len(shown)
    return lines + ([f"… and {rest} more in .params"] if rest else [])


def _quantiles(s: Summary) -> list[str]:
    """Return the quantiles of the scaled residuals as text; none if the rows are not known."""
    values = s.residuals.tolist()
    return [] if np.isnan(values).all() else format_numbers(zap_small(values, 5), 4)


def _html(s: Summary) -> str:
    """Return the summary as an HTML fragment with a table for each part."""
    criteria = ", ".join(f"{name} {_one_decimal(value)}" for name, value in s.criteria.items())
    groups = "; ".join(f"{name}: {count}" for name, count in s.ngroups.items())
    size = f"{s.nobs} rows, {groups}" if groups else f"{s.nobs} rows"
    quantiles = tuple(_quantiles(s))
    tables = [
        *([Table("Scaled residuals", tuple(s.residuals.index), (quantiles,), 0)] if quantiles else []),
        fixed_table(s.coefficients[:LONG_TABLE], s.ddf),
        random_table(s.varcorr),
        *_residual_table(s),
        *correlation_table(s.correlation),
    ]
    notes = [f"Degrees of freedom: {s.ddf}."] if s.ddf else []
    parts = [
        '<div class="mixedfit-summary">',
        f"<p><strong>{html.escape(s.title)}</strong><br><code>{html.escape(s.formula)}</code></p>",
        f"<p>{html.escape(criteria)}. {html.escape(size)}.</p>",
        *(html_table(table, table.caption) for table in tables),
        *(f"<p>{html.escape(note)}</p>" for note in (*s.structure, *notes, s.verdict, *s.notes)),
        "</div>",
    ]
    return "\n".join(parts)
