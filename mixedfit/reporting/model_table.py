"""Table of fits for a paper: estimates, errors, intervals and p-values of models side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.format import decimals_of_size, format_by_error, format_p_value, share_text
from mixedfit.core.names import factors_of
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level, check_one_of
from mixedfit.core.other_programs import hinted
from mixedfit.core.tables import Table
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit, Fitted
from mixedfit.estimation.labels import (
    by_name,
    check_labels,
    effect_names,
    label_of,
    names_of,
    readable_names,
)
from mixedfit.estimation.parameters import Parameter, parameters_of, values_of
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.wald import wald_intervals

from .apa import by_error, degrees_words, df_text, fixed, p_text
from .compare_models import comparison_notes, named_fits
from .markup import to_docx, to_html, to_latex, to_markdown, to_text
from .relabelled import relabelled, texts_of

__all__ = ["ModelTable", "TableStyle", "table"]

TableStyle: TypeAlias = Literal["apa", "plain"]
"""Style of numbers: "apa" (American Psychological Association, 7th edition) or "plain", as summaries print them."""

Shown: TypeAlias = Literal["estimate", "std_error", "ci", "df", "statistic", "p"]

_SHOWN: dict[str, tuple[Shown, ...]] = {
    "apa": ("estimate", "std_error", "ci", "p"),
    "plain": ("estimate", "std_error", "df", "p"),
}


@dataclass(frozen=True, eq=False)
class ModelTable(NotebookTable):
    """Fits side by side for a paper. Prints as text; notebooks show it as HTML.

    Attributes
    ----------
    coefficients : dict of str to pandas.DataFrame
        For each model: label, estimate, std_error, df, statistic, p_value, lower and upper of the fixed effects.
    cells : Table
        The texts of the table.
    """

    coefficients: dict[str, pd.DataFrame]
    cells: Table

    def _tables(self) -> list[Table]:
        return [self.cells]

    def __str__(self) -> str:
        return to_text(self)

    __repr__ = __str__

    def save(self, path: str | Path) -> None:
        """Write the table to a file: .docx (Word), .tex, .html, .md or .txt.

        Raises
        ------
        ModelError
            If the name of the file ends otherwise, or python-docx is missing for .docx.
        """
        place = Path(path)
        writers: dict[str, Callable[[Any], str]] = {
            ".tex": to_latex, ".html": to_html, ".md": to_markdown, ".txt": to_text
        }  # fmt: skip
        if place.suffix.lower() == ".docx":
            to_docx(self, place)
            return
        check_one_of("the end of the file's name", place.suffix.lower(), [".docx", *writers])
        place.write_text(writers[place.suffix.lower()](self) + "\n", encoding="utf-8")


@hinted
def table(
    models: Fitted | Iterable[Fitted] | Mapping[str, Fitted],
    *,
    style: TableStyle = "apa",
    labels: Mapping[str, str] | None = None,
    names: Iterable[str] | None = None,
    show: Sequence[Shown] | None = None,
    ddf: Ddf | None = None,
    level: float = 0.95,
    caption: str = "",
) -> ModelTable:
    """Return fits side by side for a paper: fixed effects with p-values, random effects, sizes and R².

    Parameters
    ----------
    models : MixedResults, sequence of these, or mapping of str to MixedResults
    style : {"apa", "plain"}
        "apa": b, SE, 95% CI and p without the zero before the point, and marginal and conditional R² (Nakagawa &
        Schielzeth 2013). "plain": numbers as summaries print them, with degrees of freedom.
    labels : mapping of str to str, optional
        Texts in place of names: of coefficients ("VarietyVictory"), variables ("Variety"; levels follow the label),
        levels ("Victory"), terms, random effects and grouping factors, and of other texts of the table
        ("Observations", "SE"). Interactions take the labels of their parts.
    names : sequence of str, optional
        Heads of the models; by default the keys of the mapping, or "model 1", "model 2", ….
    show : sequence of {"estimate", "std_error", "ci", "df", "statistic", "p"}, optional
        Columns of each model.
    ddf : optional
        Method for the degrees of freedom of tests and intervals.
    level : float
        Coverage of the intervals.
    caption : str
        Title of the table.

    Returns
    -------
    ModelTable
        `save` writes it to Word, LaTeX, HTML, Markdown or text.

    Raises
    ------
    ModelError
        If there is no fit, a label is for none of the names in the table, or an option is not known.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> print(mf.table(fit, labels={"Days": "Days awake"}, show=["estimate", "ci", "p"]))  # doctest: +ELLIPSIS
                                                       b            95% CI       p
    Fixed effects
    Intercept                                     251.41  [237.01, 265.80]  < .001
    Days awake                                     10.47     [7.21, 13.73]  < .001
    Random effects
    SD: Intercept | Subject                        24.74
    ...
    """
    check_one_of("style", style, get_args(TableStyle))
    shown = _SHOWN[style] if show is None else tuple(show)
    for name in shown:
        check_one_of("show", name, get_args(Shown))
    if not shown:
        raise ModelError("show is empty; expected at least one of 'estimate', 'std_error', 'ci', 'df', 'p'.")
    fits, heads = named_fits(models, names, "table")
    level, known = check_level(level), frozenset().union(*(names_of(fit).all for fit in fits))
    layout = _Layout(tuple(fits), tuple(heads), shown, style, ddf, level, caption)
    if labels and any(str(key) not in known for key in labels):
        check_labels(labels, known | texts_of(layout.table({})[1]), _variables(fits))
    own = {"(Intercept)": "Intercept", **by_name(labels)}
    coefficients, cells = layout.table(own)
    others = {key: text for key, text in own.items() if key not in known}
    return ModelTable(coefficients, relabelled(cells, others) if others else cells)


def _variables(fits: Sequence[Fit]) -> list[str]:
    return list(dict.fromkeys(name for fit in fits for name in names_of(fit).variables))


@dataclass(frozen=True)
class _Layout:
    """Fits and options of a table."""

    fits: tuple[Fit, ...]
    heads: tuple[str, ...]
    shown: tuple[Shown, ...]
    style: TableStyle
    ddf: Ddf | None
    level: float
    caption: str

    def table(self, labels: Mapping[str, str]) -> tuple[dict[str, pd.DataFrame], Table]:
        """Return the coefficients of each model, and the texts of the table."""
        fits, heads, shown, style = self.fits, self.heads, self.shown, self.style
        found = [_coefficients(fit, labels, self.ddf, self.level) for fit in fits]
        coefficients = {head: frame for head, (frame, _) in zip(heads, found, strict=True)}
        rows: list[tuple[str, ...]] = [
            ("Fixed effects",),
            *_fixed_rows(list(coefficients.values()), shown, style),
        ]
        width = len(shown)
        if any(_random(fit) for fit in fits):
            rows += [("Random effects",), *_wide(_random_rows(fits, labels), width)]
        rows += [("Model",), *_wide(_size_rows(fits, labels, style), width)]
        words = {"ci": f"{100 * self.level:g}% CI", **_HEADS[style]}
        notes = (_method_note([method for _, method in found], shown, style), *_notes(fits, heads))
        spans = (("", 1), *((head, width) for head in heads)) if len(fits) > 1 else ()
        own = ("", *[words[name] for name in shown] * len(fits))
        return coefficients, Table(self.caption, own, tuple(rows), 1, tuple(filter(None, notes)), spans)


_HEADS: dict[str, dict[str, str]] = {
    "apa": {"estimate": "b", "std_error": "SE", "df": "df", "statistic": "t", "p": "p"},
    "plain": {
        "estimate": "Estimate",
        "std_error": "Std. Error",
        "df": "df",
        "statistic": "t value",
        "p": "p value",
    },
}


def _coefficients(
    fit: Fit, labels: Mapping[str, str], ddf: Ddf | None, level: float
) -> tuple[pd.DataFrame, str]:
    """Return the fixed effects with labels and limits, and the method of the degrees of freedom."""
    frame, method = coefficient_table(fit, ddf)
    frame = frame.join(wald_intervals(fit, level, [str(name) for name in frame.index], ddf=ddf))
    frame.insert(0, "label", readable_names(fit, labels))
    return frame[frame["estimate"].notna()], method


# -- rows ------------------------------------------------------------------------------------------


def _fixed_rows(frames: Sequence[pd.DataFrame], shown: Sequence[Shown], style: str) -> list[tuple[str, ...]]:
    """Return a row for each coefficient of any model, in the order of first appearance."""
    order = {str(name): str(frame.loc[name, "label"]) for frame in reversed(frames) for name in frame.index}
    names = list(dict.fromkeys(str(name) for frame in frames for name in frame.index))
    texts = [_cells(frame, style) for frame in frames]
    blank = dict.fromkeys(get_args(Shown), "")
    return [
        (order[name], *(text.get(name, blank)[column] for text in texts for column in shown))
        for name in names
    ]


def _cells(frame: pd.DataFrame, style: str) -> dict[str, dict[str, str]]:
    """Return the texts of the coefficients of a model by column."""
    out = {}
    for name, row in frame.iterrows():
        values = [float(row[key]) for key in ("estimate", "std_error", "lower", "upper")]
        if style == "apa":
            estimate, error, lower, upper = by_error(values, values[1])
            p = p_text(float(row["p_value"]))
        else:
            texts = format_by_error(values, frame["std_error"])
            estimate, error, lower, upper = (text.strip().replace("-", "−") for text in texts)
            p = format_p_value(float(row["p_value"])).strip()
        out[str(name)] = {
            "estimate": estimate,
            "std_error": error,
            "ci": f"[{lower}, {upper}]",
            "df": df_text(float(row["df"])),
            "statistic": fixed(float(row["statistic"])),
            "p": p,
        }
    return out


def _wide(rows: Iterable[tuple[str, list[str]]], width: int) -> list[tuple[str, ...]]:
    """Return rows of one cell for each model, in the first of its columns."""
    return [
        (label, *(text for cell in cells for text in (cell, *[""] * (width - 1)))) for label, cells in rows
    ]


def _random(fit: Fit) -> list[Parameter]:
    """Return the standard deviations, correlations and other parameters of random effects and residuals."""
    chosen = [p for p in parameters_of(fit) if p.kind != "fixed"]
    return chosen if fit.design.blocks or fit.residual is not None else []


def _random_rows(fits: Sequence[Fit], labels: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    columns = []
    for fit in fits:
        chosen = _random(fit)
        columns.append(
            dict(
                zip(
                    (_random_label(fit, p, labels) for p in chosen),
                    zip(chosen, values_of(fit, chosen), strict=True),
                    strict=True,
                )
            )
        )
    order = list(dict.fromkeys(label for column in columns for label in column))
    last = f"SD: {_RESIDUAL}"
    rows = []
    for label in [name for name in order if name != last] + [last] * (last in order):
        found = [column.get(label) for column in columns]
        values = [float(pair[1]) for pair in found if pair is not None]
        correlation = any(pair is not None and pair[0].kind == "correlation" for pair in found)
        decimals = 2 if correlation else max(decimals_of_size(values, 3), 2)
        rows.append((label, ["" if pair is None else _number(float(pair[1]), decimals) for pair in found]))
    return rows


_RESIDUAL = "residual"


def _number(value: float, decimals: int) -> str:
    return "" if np.isnan(value) else fixed(value, min(decimals, 6))


def _random_label(fit: Fit, parameter: Parameter, labels: Mapping[str, str]) -> str:
    """Return the label of a parameter of the random part."""
    if parameter.kind == "sigma":
        return f"SD: {_RESIDUAL}"
    if parameter.kind == "residual":
        return f"Residual: {parameter.name}"
    block = fit.design.blocks[parameter.block]
    group = _group(block.name, labels)
    words = effect_names(fit, parameter.block, labels)
    places = sorted(place for place in (parameter.first, parameter.second) if 0 <= place < len(words))
    effects = [words[place] for place in dict.fromkeys(places)]
    if parameter.kind == "sd":
        return f"SD: {effects[0]} | {group}"
    if parameter.kind == "correlation" and parameter.place < 0:
        return f"Correlation: {', '.join(effects)} | {group}"
    return parameter.words


def _group(name: str, labels: Mapping[str, str]) -> str:
    """Return the label of a grouping factor; that of a:b has the labels of a and b."""
    if name in labels:
        return labels[name]
    return ":".join(label_of(part, labels) for part in factors_of(name))


def _size_rows(fits: Sequence[Fit], labels: Mapping[str, str], style: str) -> list[tuple[str, list[str]]]:
    """Return numbers of rows and levels, R² and the criteria."""
    rows = [("Observations", [f"{fit.nobs}" for fit in fits])]
    factors = list(dict.fromkeys(name for fit in fits for name in fit.ngroups))
    for name in factors:
        counts = [fit.ngroups.get(name) for fit in fits]
        rows.append((f"Levels of {_group(name, labels)}", ["" if n is None else f"{n}" for n in counts]))
    shares = [_shares(fit) for fit in fits]
    if any(shares):
        for name in ("Marginal R²", "Conditional R²", "ICC"):
            texts = [_share(own[name], style) if own else "" for own in shares]
            rows.append((name, texts))
    for name, of in (("Log-likelihood", "llf"), ("AIC", "aic"), ("BIC", "bic")):
        rows.append((name, [fixed(float(getattr(fit, of)), 1) for fit in fits]))
    rows.append(("Fitted by", ["REML" if fit.reml else "ML" for fit in fits]))
    return rows


def _shares(fit: Fit) -> dict[str, float]:
    """Return R² and the adjusted ICC; empty where rows or random effects are missing."""
    if fit.design.absent is not None or not fit.design.blocks:
        return {}
    try:
        own = Diagnostics(fit)
        r, icc = own.r_squared()["estimate"], own.icc()["estimate"]
    except ModelError:
        return {}
    return {"Marginal R²": r["marginal"], "Conditional R²": r["conditional"], "ICC": icc["adjusted"]}


def _share(value: float, style: str) -> str:
    if np.isnan(value):
        return ""
    return share_text(value) if style == "apa" else f"{value:.2f}"


# -- notes -----------------------------------------------------------------------------------------


def _method_note(methods: Sequence[str], shown: Sequence[Shown], style: str) -> str:
    """Return how p-values and intervals were computed."""
    what = [word for name, word in (("ci", "intervals"), ("p", "p-values"), ("df", "df")) if name in shown]
    if not what:
        return ""
    each = list(dict.fromkeys(map(degrees_words, methods)))
    begin = "Note. " if style == "apa" else ""
    both = " and ".join(what[:2]) if len(what) < 3 else "intervals, p-values and df"
    text = f"{both} by {'; '.join(each)}."
    return begin + text[0].upper() + text[1:]


def _notes(fits: Sequence[Fit], heads: Sequence[str]) -> list[str]:
    """Return notes on singular fits, fits without an optimum, and comparisons that are not valid."""
    failed = [head for head, fit in zip(heads, fits, strict=True) if not fit.convergence.converged]
    out = list(comparison_notes(list(fits), list(heads)))
    if failed:
        out.append(f"The search did not end at an optimum: {', '.join(failed)}.")
    return out
