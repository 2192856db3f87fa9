"""Residual structures and known relationships in plain words, for sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mixedfit.core.format import join_words
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.design.design import Design
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import term_label

__all__ = ["residual_clauses", "residual_kind", "residual_sentence", "structure_clauses"]

CORRELATIONS = {
    "AR1": "a first-order autoregressive correlation{over}",
    "CAR1": "a continuous-time autoregressive correlation{over}",
    "CompoundSymmetry": "the same correlation for each pair of rows (compound symmetry)",
    "Unstructured": "an unstructured covariance{over}",
    "Toeplitz": "a Toeplitz correlation{over}",
    "AnteDependence": "a first-order ante-dependence correlation{over}",
    "Exponential": "a correlation that falls exponentially with the distance in {place}",
    "Gaussian": "a Gaussian correlation of the distance in {place}",
    "Spherical": "a spherical correlation of the distance in {place}",
    "RationalQuadratic": "a rational quadratic correlation of the distance in {place}",
    "Linear": "a correlation that falls linearly with the distance in {place}",
    "Matern": "a Matérn correlation of the distance in {place}",
}

VARIANCES = {
    "VarIdent": "the residual SD {differed} between levels of {of}",
    "VarPower": "the residual SD {was} a power of {of}",
    "VarConstPower": "the residual SD {was} a constant plus a power of {of}",
    "VarExp": "the residual SD {was} an exponential function of {of}",
    "VarFixed": "the residual variance {was} proportional to {of}",
    "Known": "the residual covariance {was} known up to a factor",
}


def residual_kind(fit: Fit) -> str:
    """Return what distinguishes the residuals: "correlated residuals", "unequal residual variances", or nothing."""
    if fit.design.residual is None:
        return ""
    own = fit.design.residual.structure
    known = any(type(part).__name__ == "Known" for part in own._given)
    if own.correlation is None and not known:
        return "unequal residual variances"
    return "residuals of a known covariance" if known else "correlated residuals"


def structure_clauses(fit: Fit, labels: Mapping[str, str] | None = None) -> list[str]:
    """Return a clause on each part of the residual structure, and on each factor with known relationships."""
    out = residual_clauses(fit.design, labels, tense="past")
    for block in fit.design.blocks:
        if block.known is not None:
            group = term_label(block.name, labels, sign=":")
            out.append(f"the effects of different levels of {group} were correlated by known relationships")
    return out


def residual_clauses(
    design: Design, labels: Mapping[str, str] | None = None, *, tense: Literal["past", "present"] = "present"
) -> list[str]:
    """Return a clause on each part of the residual structure; none without one."""
    if design.residual is None:
        return []
    model, verbs = design.residual, _VERBS[tense]
    return [
        _correlation(model, part, labels, verbs)
        if part.role == "correlation"
        else _variance(part, labels, verbs)
        for part in model.structure._given
    ]


def residual_sentence(design: Design) -> str:
    """Return the clauses on the residual structure as one sentence, empty without one."""
    text = "; ".join(residual_clauses(design))
    return f"{text[0].upper()}{text[1:]}." if text else ""


_VERBS = {
    "past": {"had": "had", "differed": "differed", "was": "was"},
    "present": {"had": "have", "differed": "differs", "was": "is"},
}


def _correlation(
    model: ResidualModel, part: Any, labels: Mapping[str, str] | None, verbs: Mapping[str, str]
) -> str:
    layout, name = model.layout, type(part).__name__
    if name == "Known":
        return VARIANCES["Known"].format(**verbs)
    place = [term_label(column, labels) for column in part.place]
    over = f" over {join_words(place)}" if place else " in the order of the rows"
    if name == "ARMA":
        words = f"the correlation of an ARMA({part.p}, {part.q}) process{over}"
    else:
        words = CORRELATIONS[name].format(over=over, place=join_words(place))
    if name == "Unstructured" and part.homogeneous:
        words = words.replace("covariance", "correlation")
    words += " and a nugget" if getattr(part, "nugget", False) else ""
    words += f", of its own for each level of {term_label(part.by_name, labels)}" if part.by_name else ""
    group = "" if layout is None or not layout.group_name else term_label(layout.group_name, labels, sign=":")
    return f"residuals{f' within a level of {group}' if group else ''} {verbs['had']} {words}"


def _variance(part: Any, labels: Mapping[str, str] | None, verbs: Mapping[str, str]) -> str:
    names = [
        "the fitted values" if getattr(part, "of_fitted", False) else term_label(column, labels)
        for column in (part.own_columns or ("fitted",))
    ]
    text = VARIANCES[type(part).__name__].format(
        of=" and ".join(
            names[:1] if getattr(part, "by", None) and type(part).__name__ != "VarIdent" else names
        ),
        **verbs,
    )
    if getattr(part, "by", None) and type(part).__name__ != "VarIdent":
        text += f", with parameters of their own for levels of {term_label(part.by, labels)}"
    return text
