"""The summary of a fit as text, HTML and plain records."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.format import (
    abbreviate,
    coefficient_columns,
    format_numbers,
    format_p_value,
    text_columns,
    zap_small,
)
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.tables import (
    coefficient_covariance,
    coefficients,
    scaled_residuals,
    standard_errors,
    variance_table,
)
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf, method_named

__all__ = ["Summary", "correlation_cells", "fixed_cells", "random_cells", "summarise"]

LONG_TABLE = 60
"""Coefficients beyond this many are counted, not printed."""


@dataclass(frozen=True, eq=False)
class Summary:
    """The summary of a fit. Prints as lme4 does; shows as HTML in a notebook.

    Attributes
    ----------
    title, formula, method : str
        ``method`` is "REML" or "ML".
    criteria : dict of str to float
        REML criterion; or AIC, BIC, logLik, −2 logLik and residual degrees of freedom.
    residuals : pandas.Series
        Quantiles of the scaled residuals.
    varcorr : pandas.DataFrame
        Random effects, as `MixedResults.varcorr`.
    coefficients : pandas.DataFrame
        Columns estimate, std_error, df, statistic, p_value; without degrees of freedom neither df nor p_value.
    ddf : str
        Where the degrees of freedom come from; empty without them.
    correlation : pandas.DataFrame or None
        Correlation of the fixed effects, if asked for.
    nobs : int
    ngroups : dict of str to int
    verdict : str
        Convergence in words.
    facts : dict
        Converged, status, singular, sigma, theta: the verdict and the variances as values.
    notes : tuple of str
        Dropped rows and columns, and what was held fixed.
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

    def __str__(self) -> str:
        return "\n".join(_text_lines(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return to_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything shown, as numbers and text that JSON can hold (NaN becomes None).

        Infinite numbers become the text "Infinity", which Python's ``float`` and JavaScript's ``Number`` read: the
        degrees of freedom of a normal distribution.
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
            **self.facts,
            "notes": list(self.notes),
        }
        return dict(_without_nan(record))

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def _without_nan(value: Any) -> Any:
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
    has_random = bool(fit.ngroups)
    kind = "Linear mixed model" if has_random else "Linear model"
    how = "REML" if fit.reml else "maximum likelihood"
    fixed, method = _coefficients(fit, ddf)
    residuals = np.quantile(scaled_residuals(fit).to_numpy(), [0, 0.25, 0.5, 0.75, 1])
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
        notes=_notes(fit),
    )


def _coefficients(fit: Fit, ddf: Ddf | Literal["none"] | None) -> tuple[pd.DataFrame, str]:
    """Return the table of fixed effects, and the method of its degrees of freedom."""
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
    covariance = coefficient_covariance(fit)
    errors = np.sqrt(np.diag(covariance))
    values = covariance.to_numpy() / np.outer(errors, errors)
    return pd.DataFrame(values, index=covariance.index, columns=covariance.columns)


def _notes(fit: Fit) -> tuple[str, ...]:
    notes = []
    if fit.design.dropped:
        notes.append(f"{fit.design.dropped} rows dropped for missing values.")
    zero = fit.design.n - fit.cross.n
    if zero:
        notes.append(f"{zero} rows have weight 0 and do not count.")
    dropped = [str(name) for name, value in coefficients(fit).items() if not np.isfinite(value)]
    if dropped:
        notes.append(f"Fixed-effects matrix without full rank; dropped: {', '.join(dropped)}.")
    if fit.held_sigma is not None:
        notes.append(f"Residual standard deviation held at {fit.held_sigma:g}.")
    return tuple(notes)


def _text_lines(s: Summary) -> list[str]:
    lines = [s.title, f"Formula: {s.formula}", ""]
    if s.method == "REML":
        lines += [f"REML criterion at convergence: {_one_decimal(s.criteria['REML criterion'])}", ""]
    else:
        shared = format_numbers([round(v, 1) for k, v in s.criteria.items() if k != "df.resid"], 7)
        texts = [*(t.strip() for t in shared), str(int(s.criteria["df.resid"]))]
        lines += [*text_columns(list(s.criteria), [[t] for t in texts]), ""]
    quantiles = format_numbers(zap_small(s.residuals.tolist(), 5), 4)
    lines += [
        "Scaled residuals:",
        *text_columns(list(s.residuals.index), [[t.strip()] for t in quantiles]),
        "",
    ]
    lines += ["Random effects:", *_random_lines(s)]
    groups = "; ".join(f"{name}, {count}" for name, count in s.ngroups.items())
    lines += [f"Number of obs: {s.nobs}" + (f", groups:  {groups}" if groups else ""), ""]
    lines += ["Fixed effects:", *_fixed_lines(s.coefficients)]
    if s.correlation is not None and len(s.correlation) > 1:
        lines += ["", "Correlation of Fixed Effects:", *_correlation_lines(s.correlation)]
    if s.ddf:
        lines += ["Degrees of freedom: " + s.ddf + "."]
    lines += ["", *textwrap.wrap(s.verdict, 100), *s.notes]
    return lines


def _one_decimal(value: float) -> str:
    """Return R's ``format(round(x, 1))``: a trailing .0 is not shown."""
    return f"{value:.1f}".removesuffix(".0")


def _random_lines(s: Summary) -> list[str]:
    table = s.varcorr
    own = table[table["var2"].isna()]
    variances = format_numbers(own["vcov"].tolist(), 4)
    deviations = format_numbers(own["sdcor"].tolist(), 4)
    groups, names, correlations = [], [], []
    previous = None
    for _, row in own.iterrows():
        groups.append("" if row["grp"] == previous else str(row["grp"]))
        names.append("" if row["var1"] is None or row["var1"] != row["var1"] else str(row["var1"]))
        correlations.append(_correlations_with_earlier(table, row["grp"], row["var1"]))
        previous = row["grp"]
    width = max((len(c) for c in correlations), default=0)
    heads = ["Groups", "Name", "Variance", "Std.Dev."]
    columns = [groups, names, [t.strip() for t in variances], [t.strip() for t in deviations]]
    columns[2:] = [[t.strip().rjust(max(len(u.strip()) for u in c)) for t in c] for c in columns[2:]]
    for i in range(width):
        heads.append("Corr" if i == 0 else "")
        columns.append([c[i] if i < len(c) else "" for c in correlations])
    return [f" {line}" for line in text_columns(heads, columns, left=len(heads))]


def _correlations_with_earlier(table: pd.DataFrame, group: str, name: Any) -> list[str]:
    rows = table[(table["grp"] == group) & (table["var2"] == name)] if isinstance(name, str) else table[:0]
    return ["NaN" if np.isnan(v) else f"{v:.2f}" for v in rows["sdcor"]]


def _fixed_lines(coefficients: pd.DataFrame) -> list[str]:
    if coefficients.empty:
        return ["(none)"]
    shown = coefficients[:LONG_TABLE]
    heads, cells = fixed_cells(shown)
    lines = text_columns(["", *heads], [[str(name) for name in shown.index], *cells], left=1)
    rest = len(coefficients) - len(shown)
    return lines + ([f"… and {rest} more in .params"] if rest else [])


def fixed_cells(shown: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return heads and columns of text of the table of fixed effects."""
    estimates, errors, statistics = (
        list(column)
        for column in coefficient_columns(
            shown["estimate"].tolist(), shown["std_error"].tolist(), shown["statistic"].tolist()
        )
    )
    if "df" not in shown:
        return ["Estimate", "Std. Error", "t value"], [estimates, errors, statistics]
    p_values = [format_p_value(p) for p in shown["p_value"]]
    known = shown["df"].dropna()
    if len(known) and np.isinf(known).all():
        return ["Estimate", "Std. Error", "z value", "Pr(>|z|)"], [estimates, errors, statistics, p_values]
    dfs = [_degrees(df) for df in shown["df"]]
    heads = ["Estimate", "Std. Error", "df", "t value", "Pr(>|t|)"]
    return heads, [estimates, errors, dfs, statistics, p_values]


def _degrees(df: float) -> str:
    """Return degrees of freedom with two decimals, or without where they do not matter."""
    if not np.isfinite(df):
        return "NA" if np.isnan(df) else "Inf"
    return f"{df:.2f}" if df < 1e4 else f"{df:.0f}"


def _correlation_lines(correlation: pd.DataFrame) -> list[str]:
    names = [str(name) for name in correlation.index[:LONG_TABLE]]
    rows = [abbreviate(name, 11) for name in names[1:]]
    heads = ["", *(abbreviate(name, 6) for name in names[:-1])]
    values = correlation.to_numpy()
    columns: list[list[str]] = [rows]
    for j in range(len(names) - 1):
        columns.append([f"{values[i, j]:.3f}" if i > j else "" for i in range(1, len(names))])
    return text_columns(heads, columns, left=1)


def to_html(s: Summary) -> str:
    """Return the summary as an HTML fragment with a table for each part."""
    criteria = ", ".join(f"{name} {_one_decimal(value)}" for name, value in s.criteria.items())
    random_rows = random_cells(s.varcorr)
    shown = s.coefficients[:LONG_TABLE]
    heads, cells = fixed_cells(shown)
    fixed_rows = [[str(name), *row] for name, *row in zip(shown.index, *cells, strict=True)]
    groups = "; ".join(f"{name}: {count}" for name, count in s.ngroups.items())
    parts = [
        '<div class="mixedfit-summary">',
        f"<p><strong>{html.escape(s.title)}</strong><br><code>{html.escape(s.formula)}</code></p>",
        f"<p>{html.escape(criteria)}. {s.nobs} rows"
        + (f", {html.escape(groups)}." if groups else ".")
        + "</p>",
        _html_table(
            "Scaled residuals",
            list(s.residuals.index),
            [format_numbers(zap_small(s.residuals.tolist(), 5), 4)],
            left=0,
        ),
        _html_table("Fixed effects", ["", *heads], fixed_rows),
        _html_table(
            "Random effects", ["Group", "Effect", "Variance", "Std. Dev.", "Corr."], random_rows, left=2
        ),
        *_html_correlation(s.correlation),
        *([f"<p>Degrees of freedom: {html.escape(s.ddf)}.</p>"] if s.ddf else []),
        f"<p>{html.escape(s.verdict)}</p>",
        *(f"<p>{html.escape(note)}</p>" for note in s.notes),
        "</div>",
    ]
    return "\n".join(parts)


def random_cells(varcorr: pd.DataFrame) -> list[list[str]]:
    """Return rows of text of the random effects: group, effect, variance, SD, correlations with earlier effects."""
    own = varcorr[varcorr["var2"].isna()]
    return [
        [
            str(row["grp"]),
            str(row["var1"]) if isinstance(row["var1"], str) else "",
            variance.strip(),
            deviation.strip(),
            " ".join(_correlations_with_earlier(varcorr, row["grp"], row["var1"])),
        ]
        for (_, row), variance, deviation in zip(
            own.iterrows(),
            format_numbers(own["vcov"].tolist(), 4),
            format_numbers(own["sdcor"].tolist(), 4),
            strict=True,
        )
    ]


def correlation_cells(correlation: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of text of the lower triangle of a correlation matrix."""
    names = [str(name) for name in correlation.index[:LONG_TABLE]]
    values = correlation.to_numpy()
    blank = len(names) - 1
    rows = [
        [names[i], *(f"{values[i, j]:.3f}" if j < i else "" for j in range(blank))]
        for i in range(1, len(names))
    ]
    return names[:-1], rows


def _html_correlation(correlation: pd.DataFrame | None) -> list[str]:
    if correlation is None or len(correlation) < 2:
        return []
    names, rows = correlation_cells(correlation)
    return [_html_table("Correlation of fixed effects", ["", *names], rows)]


def _html_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a table: the first `left` columns are names, on the left; numbers on the right under their heads."""

    def cells(tags: Sequence[str], texts: Sequence[str]) -> str:
        style = "text-align:{};white-space:nowrap"
        return "".join(
            f'<{tag} style="{style.format("left" if i < left else "right")}">{html.escape(text.strip())}'
            f"</{tag.split()[0]}>"
            for i, (tag, text) in enumerate(zip(tags, texts, strict=True))
        )

    width = len(heads)
    head = cells(['th scope="col"'] * width, heads)
    tags = ['th scope="row"' if left else "td", *["td"] * (width - 1)]
    body = "".join(f"<tr>{cells(tags, row)}</tr>" for row in rows)
    caption = html.escape(caption)
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
