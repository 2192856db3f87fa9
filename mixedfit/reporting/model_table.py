"""Table of fits and posteriors for a paper: estimates, errors, intervals and p-values side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from mixedfit.bayes.criticism.elpd import ExpectedDensity
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import ModelError
from mixedfit.core.format import decimals_of_size, format_by_error, format_p_value
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level, check_one_of
from mixedfit.core.other_programs import hinted
from mixedfit.core.tables import Table
from mixedfit.design.same_rows import first_difference
from mixedfit.estimation.fit import Fit, Fitted
from mixedfit.estimation.labels import by_name, check_labels, names_of
from mixedfit.inference.ddf import Ddf

from .apa import by_error, degrees_words, df_text, fixed, p_text
from .compare_models import comparison_notes, named_models
from .markup import to_docx, to_html, to_latex, to_markdown, to_text
from .model_columns import (
    RESIDUAL,
    ModelColumns,
    Quantity,
    Shown,
    cheap_density,
    fit_columns,
    named,
    posterior_columns,
    posterior_notes,
    size_rows,
)
from .relabelled import relabelled, texts_of

__all__ = ["ModelTable", "TableStyle", "table"]

TableStyle: TypeAlias = Literal["apa", "plain"]
"""Style of numbers: "apa" (American Psychological Association, 7th edition) or "plain", as summaries print them."""

Model: TypeAlias = Fitted | Posterior

_SHOWN: dict[str, tuple[Shown, ...]] = {
    "apa": ("estimate", "std_error", "ci", "p"),
    "plain": ("estimate", "std_error", "df", "p"),
}


@dataclass(frozen=True, eq=False)
class ModelTable(NotebookTable):
    """Fits and posteriors side by side for a paper. Prints as text; notebooks show it as HTML.

    Attributes
    ----------
    coefficients : dict of str to pandas.DataFrame
        For each model: label, estimate, std_error, df, statistic, p_value, lower and upper of the fixed effects.
        Of a posterior estimate is the mean, std_error the SD; df, statistic and p_value are NaN.
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
    models: Model | Iterable[Model] | Mapping[str, Model],
    *,
    style: TableStyle = "apa",
    labels: Mapping[str, str] | None = None,
    names: Iterable[str] | None = None,
    show: Sequence[Shown] | None = None,
    ddf: Ddf | None = None,
    level: float = 0.95,
    caption: str = "",
) -> ModelTable:
    """Return fits and posteriors side by side for a paper: fixed effects, random effects, sizes and R².

    A posterior has its mean, SD and credible interval between quantiles in place of estimate, standard error and
    confidence interval, for the parameters of the random part too. It has no p-values. elpd, by leave-one-out of rows,
    is in the table if it takes about a second at most.

    Parameters
    ----------
    models : MixedResults or Posterior, sequence of these, or mapping of str to these
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
        Columns of each model; a posterior has the first three.
    ddf : optional
        Method for the degrees of freedom of tests and intervals of fits.
    level : float
        Coverage of the intervals, or posterior probability inside.
    caption : str
        Title of the table.

    Returns
    -------
    ModelTable
        `save` writes it to Word, LaTeX, HTML, Markdown or text.

    Raises
    ------
    ModelError
        If there is no fit and no posterior, a label is for none of the names in the table, an option is not known, or
        `show` has no column that a posterior has.

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
    found, heads = named_models(models, names, "table")
    level, all_names = check_level(level), [names_of(named(model)) for model in found]
    known = frozenset().union(*(own.all for own in all_names))
    densities = tuple(cheap_density(model) if isinstance(model, Posterior) else None for model in found)
    layout = _Layout(tuple(found), tuple(heads), densities, shown, style, ddf, level, caption)
    if labels and any(str(key) not in known for key in labels):
        variables = list(dict.fromkeys(name for own in all_names for name in own.variables))
        check_labels(labels, known | texts_of(layout.table({})[1]), variables)
    own = {"(Intercept)": "Intercept", **by_name(labels)}
    coefficients, cells = layout.table(own)
    others = {key: text for key, text in own.items() if key not in known}
    return ModelTable(coefficients, relabelled(cells, others) if others else cells)


@dataclass(frozen=True)
class _Layout:
    """Models and options of a table."""

    models: tuple[Fit | Posterior, ...]
    heads: tuple[str, ...]
    densities: tuple[ExpectedDensity | None, ...]
    shown: tuple[Shown, ...]
    style: TableStyle
    ddf: Ddf | None
    level: float
    caption: str

    def table(self, labels: Mapping[str, str]) -> tuple[dict[str, pd.DataFrame], Table]:
        """Return the coefficients of each model, and the texts of the table."""
        columns = [self._columns(*own, labels) for own in zip(self.models, self.densities, strict=True)]
        heads, widths = self.heads, [len(own.shown) for own in columns]
        rows: list[tuple[str, ...]] = [("Fixed effects",), *_fixed_rows(columns, self.style)]
        if any(own.random for own in columns):
            rows += [("Random effects",), *_random_rows(columns)]
        rows += [("Model",), *_wide(size_rows(columns, labels), widths)]
        words = [self._words(model) for model in self.models]
        own = ("", *(word[name] for word, one in zip(words, columns, strict=True) for name in one.shown))
        spans = (("", 1), *zip(heads, widths, strict=True)) if len(heads) > 1 else ()
        coefficients = {head: one.coefficients for head, one in zip(heads, columns, strict=True)}
        return coefficients, Table(self.caption, own, tuple(rows), 1, tuple(self._notes(columns)), spans)

    def _columns(
        self, model: Fit | Posterior, density: ExpectedDensity | None, labels: Mapping[str, str]
    ) -> ModelColumns:
        if isinstance(model, Posterior):
            return posterior_columns(model, labels, shown=self.shown, level=self.level, density=density)
        apa = self.style == "apa"
        return fit_columns(model, labels, shown=self.shown, ddf=self.ddf, level=self.level, apa=apa)

    def _words(self, model: Fit | Posterior) -> dict[str, str]:
        """Return the heads of the columns of a model."""
        if isinstance(model, Posterior):
            return {"estimate": "Mean", "std_error": "SD", "ci": f"{100 * self.level:g}% CrI"}
        return {"ci": f"{100 * self.level:g}% CI", **_HEADS[self.style]}

    def _notes(self, columns: Sequence[ModelColumns]) -> list[str]:
        """Return notes on methods, on models without an optimum, and on comparisons that are not valid."""
        pairs = list(zip(self.heads, self.models, strict=True))
        fits = {head: model for head, model in pairs if isinstance(model, Fit)}
        posteriors = {head: model for head, model in pairs if isinstance(model, Posterior)}
        out = [_method_note([own.method for own in columns if own.method], self.shown)] if fits else []
        if posteriors:
            known = {h: d for h, d in zip(self.heads, self.densities, strict=True) if d is not None}
            out += posterior_notes(posteriors, known, self.shown, beside_fits=bool(fits))
            differ = first_difference([model.design for model in self.models])
            out += [_DIFFERENT[differ]] if differ and len(fits) < 2 else []
        if fits:
            out += comparison_notes(list(fits.values()), list(fits))
        failed = [head for head, fit in fits.items() if not fit.convergence.converged]
        out += [f"The search did not end at an optimum: {', '.join(failed)}."] if failed else []
        told = [note for note in out if note]
        begin = "Note. " if self.style == "apa" else ""
        return [begin + told[0], *told[1:]] if told else []


_DIFFERENT = {
    "rows": "The models were fitted to different rows: their criteria cannot be compared.",
    "response": "The models have different responses: their criteria cannot be compared.",
}

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


# -- rows ------------------------------------------------------------------------------------------


def _fixed_rows(columns: Sequence[ModelColumns], style: str) -> list[tuple[str, ...]]:
    """Return a row for each coefficient of any model, in the order of first appearance."""
    frames = [own.coefficients for own in columns]
    order = {str(name): str(frame.loc[name, "label"]) for frame in reversed(frames) for name in frame.index}
    names = list(dict.fromkeys(str(name) for frame in frames for name in frame.index))
    texts = [_cells(frame, style) for frame in frames]
    blank = dict.fromkeys(get_args(Shown), "")
    return [
        (
            order[name],
            *(
                text.get(name, blank)[column]
                for text, own in zip(texts, columns, strict=True)
                for column in own.shown
            ),
        )
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


def _wide(rows: Iterable[tuple[str, list[str]]], widths: Sequence[int]) -> list[tuple[str, ...]]:
    """Return rows of one cell for each model, in the first of its columns."""
    return [
        (label, *(text for cell, n in zip(cells, widths, strict=True) for text in (cell, *[""] * (n - 1))))
        for label, cells in rows
    ]


def _random_rows(columns: Sequence[ModelColumns]) -> list[tuple[str, ...]]:
    """Return a row for each parameter of the random part of any model, σ last."""
    order = list(dict.fromkeys(label for own in columns for label in own.random))
    rows = []
    for label in [name for name in order if name != RESIDUAL] + [RESIDUAL] * (RESIDUAL in order):
        found = [own.random.get(label) for own in columns]
        values = [own.value for own in found if own is not None]
        correlation = any(own is not None and own.correlation for own in found)
        decimals = 2 if correlation else max(decimals_of_size(values, 3), 2)
        pairs = zip(found, columns, strict=True)
        rows.append(
            (label, *(text for own, one in pairs for text in _quantity_cells(own, one.shown, decimals)))
        )
    return rows


def _quantity_cells(quantity: Quantity | None, shown: Sequence[Shown], decimals: int) -> list[str]:
    """Return the texts of a parameter of the random part; a value alone is in the first column."""
    if quantity is None:
        return [""] * len(shown)
    value, error, lower, upper = (
        _number(v, decimals) for v in (quantity.value, quantity.error, quantity.lower, quantity.upper)
    )
    if not error:
        return [value, *[""] * (len(shown) - 1)]
    texts = {"estimate": value, "std_error": error, "ci": f"[{lower}, {upper}]"}
    return [texts[name] for name in shown]


def _number(value: float, decimals: int) -> str:
    return "" if np.isnan(value) else fixed(value, min(decimals, 6))


# -- notes -----------------------------------------------------------------------------------------


def _method_note(methods: Sequence[str], shown: Sequence[Shown]) -> str:
    """Return how p-values and intervals of fits were computed."""
    what = [word for name, word in (("ci", "intervals"), ("p", "p-values"), ("df", "df")) if name in shown]
    if not what:
        return ""
    each = list(dict.fromkeys(map(degrees_words, methods)))
    both = " and ".join(what[:2]) if len(what) < 3 else "intervals, p-values and df"
    text = f"{both} by {'; '.join(each)}."
    return text[0].upper() + text[1:]
