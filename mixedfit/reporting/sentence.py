"""Results as sentences for a paper: estimates and tests with their numbers, in APA style or plainly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.format import equals_p, join_words, number, share_text
from mixedfit.core.names import plain_name, same_effect
from mixedfit.core.options import check_level, check_one_of
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import (
    label_of,
    labels_for,
    level_label,
    readable_names,
    term_label,
    text_with_labels,
)
from mixedfit.inference.anova.anova import AnovaTable, term_anova
from mixedfit.inference.anova.effect_sizes import partial_effect_sizes
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.emmeans.contrasts import MarginalContrasts
from mixedfit.inference.emmeans.emmeans import MarginalMeans
from mixedfit.inference.emmeans.joint_tests import JointTests
from mixedfit.inference.emmeans.responses import total_variance
from mixedfit.inference.hypotheses.parse import find_term, term_coefficients
from mixedfit.inference.hypotheses.tests import TTest, t_test
from mixedfit.inference.likelihood_ratio.tests import LikelihoodRatioTable

from .apa import by_error, degrees_words, df_text, fixed, p_text
from .model_sentence import model_sentence

__all__ = ["SentenceStyle", "sentence"]

SentenceStyle: TypeAlias = Literal["apa", "plain"]
"""Style of sentences: "apa" (American Psychological Association, 7th edition) or "plain"."""

Table: TypeAlias = AnovaTable | JointTests | TTest | MarginalMeans | MarginalContrasts | LikelihoodRatioTable


@dataclass(frozen=True)
class _Estimate:
    """What a sentence says of an estimate.

    Attributes
    ----------
    subject : str
        Words before the verb.
    symbol : str
        Symbol of the estimate in APA style, such as "b"; empty if it has none.
    row : pandas.Series
        estimate, std_error, df, lower, upper, and statistic and p_value if it is tested.
    level : float
    remarks : tuple of str
        Methods, in the order of the sentence.
    d : float
        The estimate over the standard deviation of a response; NaN if this is not defined.
    """

    subject: str
    symbol: str
    row: pd.Series[Any]
    level: float
    remarks: tuple[str, ...]
    d: float = float("nan")


def sentence(
    results: Fitted,
    what: Any = None,
    row: Any = None,
    *,
    style: SentenceStyle = "apa",
    ddf: Ddf | None = None,
    level: float | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return a result as a sentence; see `MixedResults.sentence`.

    Raises
    ------
    ModelError
        If a name is not known, a row is not in the table, or an option is invalid.
    """
    fit = fit_of(results)
    check_one_of("style", style, get_args(SentenceStyle))
    own = labels_for(fit, labels)
    if what is None:
        return model_sentence(fit, style, own)
    if isinstance(what, Table):
        if ddf is not None or level is not None:
            raise ModelError("ddf and level are those of the table; make the table with others.")
        return _of_table(fit, what, row, style, own)
    if row is not None:
        raise ModelError(f"row={row!r} chooses a row of a table, and {what!r} is none; leave it out.")
    if isinstance(what, str) and term_coefficients(fit, what) and (term := find_term(fit, what)) is not None:
        return _of_table(fit, term_anova(fit, ddf=ddf), term.name, style, own)
    level = check_level(0.95 if level is None else level)
    return _of_table(fit, t_test(fit, what, ddf=ddf, level=level), None, style, own)


def _of_table(fit: Fit, table: Table, row: Any, style: SentenceStyle, labels: Mapping[str, str]) -> str:
    """Return the sentences of the rows of a table, one in each line."""
    rows = _rows(table, row)
    if isinstance(table, LikelihoodRatioTable):
        tested = [at for at in rows if np.isfinite(table.table["chisq"].iloc[at])]
        if not tested:
            raise ModelError(
                "the table has no likelihood-ratio test in these rows, so there is nothing to say."
            )
        return "\n".join(_likelihood_ratio(table, at, style, labels) for at in tested)
    if isinstance(table, AnovaTable | JointTests):
        return "\n".join(_f_sentence(table, at, style, labels) for at in rows)
    say = _apa_estimate if style == "apa" else _plain_estimate
    return "\n".join(say(_estimate(fit, table, at, labels)) for at in rows)


def _rows(table: Table, row: Any) -> list[int]:
    """Return the positions of the rows that are named, or of all."""
    names = _names(table)
    if row is None:
        return list(range(len(names)))
    if isinstance(row, int | np.integer) and not isinstance(row, bool) and -len(names) <= row < len(names):
        return [int(row) % len(names)]
    plain = [plain_name(name) for name in names]
    by = tuple(getattr(table, "by", ())) if isinstance(table, MarginalMeans | MarginalContrasts) else ()
    whole = [f"{name}{_within(by, table.table.iloc[i], {})}" for i, name in enumerate(names)]
    wanted = plain_name(str(row)).replace(" × ", ":").replace(" − ", " - ")
    found = [i for i, (name, long) in enumerate(zip(names, whole, strict=True)) if str(row) in (name, long)]
    found = found or [
        i
        for i, (name, long) in enumerate(zip(plain, whole, strict=True))
        if wanted in (name, plain_name(long))
    ]
    if not found:
        known = list(dict.fromkeys(whole if by else plain))
        raise ModelError(
            f"{row!r} is not a row of the table ({', '.join(known[:12])}{', …' * (len(known) > 12)}). "
            f"{nearest(str(row), known)}".rstrip()
        )
    return found


def _names(table: Table) -> list[str]:
    """Return the names by which rows are chosen."""
    if isinstance(table, AnovaTable | TTest | LikelihoodRatioTable):
        return [str(name) for name in table.table.index]
    if isinstance(table, MarginalMeans):
        cells = table.table[list(table.specs)].itertuples(index=False, name=None)
        return [" ".join(_value(value) for value in cell) for cell in cells]
    return [str(name) for name in table.table["term" if isinstance(table, JointTests) else "contrast"]]


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# -- estimates -------------------------------------------------------------------------------------


def _estimate(
    fit: Fit, table: TTest | MarginalMeans | MarginalContrasts, at: int, labels: Mapping[str, str]
) -> _Estimate:
    """Return what is to be said of a row."""
    row, remarks = table.table.iloc[at], [degrees_words(table.method)]
    if isinstance(table, TTest):
        name = _names(table)[at]
        subject, symbol = _hypothesis_words(fit, name, labels)
        return _Estimate(subject, symbol, row, table.level, tuple(remarks))
    if isinstance(table, MarginalMeans):
        subject, symbol = _mean_words(table, row, labels)
        return _Estimate(subject, symbol, row, table.level, (*remarks, *_scale_words(table.notes)))
    name = _signs(text_with_labels(str(row["contrast"]), labels))
    ratios = any(note.startswith("Ratios") for note in table.notes)
    subject = (
        f"The {'ratio' if ratios and ' / ' in name else 'contrast'} {name}{_within(table.by, row, labels)}"
    )
    if "p_value" not in row:
        return _Estimate(f"{subject} in standard deviations", "d", row, table.level, tuple(remarks))
    remarks += [*_adjustment_words(table.notes), *_scale_words(table.notes)]
    slopes = any(note.startswith("Slopes") for note in table.notes)
    d = float("nan")
    if name.count(" − ") == 1 and not slopes:
        d, remark = _cohens_d(fit, float(row["estimate"]))
        remarks.append(remark)
    return _Estimate(subject, "", row, table.level, tuple(remarks), d)


def _cohens_d(fit: Fit, estimate: float) -> tuple[float, str]:
    """Return a difference over the standard deviation of a row, and which one that is.

    With a residual structure the variances of rows may differ; their mean over the rows is taken. NaN if it is no
    positive number.
    """
    sd = float(np.sqrt(total_variance(fit)))
    if not (np.isfinite(sd) and sd > 0):
        return float("nan"), "d is left out, since the standard deviation of a row is not a positive number"
    if fit.design.residual is None:
        return estimate / sd, "d is the difference over the total standard deviation"
    mean = ", whose variance is averaged over rows" if fit.design.residual.structure.variances else ""
    return estimate / sd, f"d is the difference over the standard deviation of a row, {number(sd)}{mean}"


def _hypothesis_words(fit: Fit, name: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the subject and the symbol of a row of a table of t tests."""
    if name == "(Intercept)":
        return "The intercept", "b"
    known = [same_effect(plain_name(str(known))) for known in fit.coefficient_names]
    if (wanted := same_effect(plain_name(name))) in known:
        return f"The coefficient of {readable_names(fit, labels)[known.index(wanted)]}", "b"
    text = _signs(text_with_labels(plain_name(name), labels))
    if "=" in name:
        return f"For the hypothesis {text}, the estimate", ""
    return f"The estimate of {text}", ""


def _mean_words(table: MarginalMeans, row: pd.Series[Any], labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the subject and the symbol of a row of marginal means or slopes."""
    slopes = next((note for note in table.notes if note.startswith("Slopes of ")), None)
    what = (
        "estimated marginal mean"
        if slopes is None
        else f"slope{text_with_labels(slopes.removeprefix('Slopes').rstrip('.'), labels)}"
    )
    named = [name for name in (*table.specs, *table.by) if name != "1"]
    cell = join_words([_cell(name, row[name], labels) for name in named])
    return f"The {what}{' for ' * bool(cell)}{cell}", "M" if slopes is None else "b"


def _within(by: Sequence[str], row: pd.Series[Any], labels: Mapping[str, str]) -> str:
    return f" at {join_words([_cell(name, row[name], labels) for name in by])}" if by else ""


def _cell(name: str, value: Any, labels: Mapping[str, str]) -> str:
    return f"{label_of(name, labels)} = {level_label(value, labels)}"


def _signs(text: str) -> str:
    """Return an expression with minus signs for hyphens between blanks."""
    return text.replace(" - ", " − ")


def _apa_estimate(own: _Estimate) -> str:
    if not np.isfinite(own.row["estimate"]):
        return f"{own.subject} is not estimable from these data."
    estimate, error, lower, upper = _in_units(own.row, 2)
    parts = [f"{own.symbol} = {estimate}" if own.symbol else estimate, f"SE = {error}"]
    parts.append(f"{100 * own.level:g}% CI [{lower}, {upper}]")
    if "p_value" in own.row:
        parts += [_t_text(own.row), _apa_p(float(own.row["p_value"]))]
    elif own.symbol in ("M", "b"):
        parts.append(f"df = {df_text(own.row['df'])}")
    parts += [f"d = {fixed(own.d)}"] if np.isfinite(own.d) else []
    return f"{own.subject} was {', '.join(parts)} ({'; '.join(own.remarks)})."


def _plain_estimate(own: _Estimate) -> str:
    if not np.isfinite(own.row["estimate"]):
        return f"{own.subject} is not estimable from these data."
    estimate, error, lower, upper = _in_units(own.row, 3)
    text = (
        f"{own.subject} is {estimate}, with a standard error of {error} and a {100 * own.level:g}% confidence interval "
        f"from {lower} to {upper}"
    )
    if "p_value" in own.row:
        kind = "t" if np.isfinite(own.row["df"]) else "z"
        on = f" on {df_text(own.row['df'])} degrees of freedom" if kind == "t" else ""
        p = equals_p(float(own.row["p_value"]))
        text += f"; its test gives {kind} = {fixed(own.row['statistic'])}{on} and {p}"
    if np.isfinite(own.d):
        text += f"; Cohen's d is {fixed(own.d)}"
    return f"{text} ({'; '.join(own.remarks)})."


def _in_units(row: pd.Series[Any], digits: int) -> list[str]:
    """Return estimate, standard error and limits with common decimals."""
    values = [float(row[name]) for name in ("estimate", "std_error", "lower", "upper")]
    return by_error(values, values[1], digits)


def _t_text(row: pd.Series[Any]) -> str:
    if np.isinf(row["df"]):
        return f"z = {fixed(row['statistic'])}"
    return f"t({df_text(row['df'])}) = {fixed(row['statistic'])}"


def _apa_p(p: float) -> str:
    return f"p {_equals(p_text(p))}"


def _equals(text: str) -> str:
    return text if text[0] in "<>n" else f"= {text}"


def _plain_share(value: float) -> str:
    return "below 0.01" if value < 0.005 else fixed(value)


# -- F tests ---------------------------------------------------------------------------------------


def _f_sentence(
    table: AnovaTable | JointTests, at: int, style: SentenceStyle, labels: Mapping[str, str]
) -> str:
    row, written = table.table.iloc[at], _names(table)[at]
    name = term_label(written, labels)
    where = _within(table.by, row, labels) if isinstance(table, JointTests) else ""
    if not np.isfinite(row["statistic"]):
        return f"The effect of {name}{where} is not estimable from these data."
    effect = float(partial_effect_sizes(table.table.iloc[[at]])["partial_eta_sq"].iloc[0])
    top, below = f"{int(row['df_num'])}", df_text(row["df_denom"])
    remarks = [degrees_words(table.method)]
    if isinstance(table, AnovaTable):
        remarks.insert(0, f"type {'I' * table.type} test")
        held = [f"{label_of(name, labels)} = 0" for name in table._at_zero.get(written, ())]
        remarks += [f"a simple effect, tested at {join_words(held)}"] if held else []
    if style == "apa":
        parts = [f"F({top}, {below}) = {fixed(row['statistic'])}", _apa_p(float(row["p_value"]))]
        parts += [f"partial η² {_equals(share_text(effect))}"] if np.isfinite(effect) else []
        return f"The test of the effect of {name}{where} gave {', '.join(parts)} ({'; '.join(remarks)})."
    text = f"The test of the effect of {name}{where} gives F = {fixed(row['statistic'])} on {top} and {below} degrees "
    text += f"of freedom and {equals_p(float(row['p_value']))}"
    text += f"; partial η² is {_plain_share(effect)}" if np.isfinite(effect) else ""
    return f"{text} ({'; '.join(remarks)})."


def _likelihood_ratio(
    table: LikelihoodRatioTable, at: int, style: SentenceStyle, labels: Mapping[str, str]
) -> str:
    """Return the sentence on a test of a model against the one above it, or of a random effect that is left out."""
    row, names = table.table.iloc[at], _names(table)
    p, df = float(row["p_value"]), f"{int(row['df'])}"
    if names[0] == "<none>":
        effect, _, group = names[at].partition(" | ")
        subject = (
            f"of {term_label(effect, labels)} | {term_label(group, labels)}" if group else f"of {names[at]}"
        )
    else:
        subject = f"of {names[at - 1]} against {names[at]}"
    start = f"The likelihood-ratio test {subject}"
    if style == "apa":
        return f"{start} gave χ²({df}) = {fixed(row['chisq'])}, {_apa_p(p)}."
    return f"{start} gives χ² = {fixed(row['chisq'])} on {df} degree{'s' * (df != '1')} of freedom and {equals_p(p)}."


# -- methods ---------------------------------------------------------------------------------------


def _adjustment_words(notes: Sequence[str]) -> list[str]:
    """Return how p-values and intervals are adjusted for several tests."""
    begins = "P-values adjusted by "
    found = [note.removeprefix(begins).split(". Joint")[0] for note in notes if note.startswith(begins)]
    return [
        f"p and interval adjusted by {text}" if ";" not in text else f"p adjusted by {text}" for text in found
    ]


def _scale_words(notes: Sequence[str]) -> list[str]:
    """Return the scale of estimates of a transformed response."""
    begins = ("On the scale of", "Back-transformed: intervals", "Ratios: tests", "Contrasts are on")
    return [note.rstrip(".")[0].lower() + note.rstrip(".")[1:] for note in notes if note.startswith(begins)]
