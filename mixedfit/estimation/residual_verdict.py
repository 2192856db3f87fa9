"""Convergence of the search over residual parameters, with the limits of the parameter space said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.covariance.residual.parts import Natural

from .bfgs import Minimum
from .convergence import Convergence

__all__ = ["NEAR", "STILL_FALLS", "Dependent", "at_limit", "limit_side", "residual_verdict"]

NEAR = 1e-5
"""Distance from a limit, as a share of the parameter's space, at which a parameter counts as being there."""


def limit_side(parameter: Natural) -> int:
    """Return −1 if a parameter stands at its lower limit, 1 at its upper limit or beyond what the data tell, else 0."""
    value, lower, upper = parameter.value, parameter.lower, parameter.upper
    least, most = value, value
    if np.isfinite(parameter.nearest):
        least = parameter.nearest if lower == 0.0 else parameter.farthest
        most = parameter.farthest if np.isfinite(upper) else value
    width = upper - lower if np.isfinite(upper) and np.isfinite(lower) else 1.0
    if np.isfinite(lower) and least - lower <= NEAR * width:
        return -1
    return int(value >= parameter.runaway or (np.isfinite(upper) and upper - most <= NEAR * width))


def at_limit(parameter: Natural) -> str:
    """Return in words the limit at which a parameter stands; empty inside of its space."""
    name, side = parameter.name, limit_side(parameter)
    if side == 0:
        return ""
    if side < 0 and np.isfinite(parameter.nearest) and np.isinf(parameter.upper):
        return f"{name} is at {parameter.value:.3g}, too short for a correlation of any two rows"
    if side < 0:
        return f"{name} is at its lower limit {parameter.lower:.3g}"
    if parameter.value >= parameter.runaway:
        return f"{name} has run away to {parameter.value:.3g}, beyond what the data reach"
    return f"{name} is at its upper limit {parameter.upper:.3g}"


def _plain(inner: Convergence, words: str) -> str:
    """Return the message of a fit inside of the space of residual parameters."""
    return f"Converged ({words})." if inner.status == "converged" else f"{inner.message[:-1]}; {words}."


STILL_FALLS = 1e-2
"""Decrement of a search that ends at a limit, from which on the criterion falls without bound."""


SETTLED_DECREMENT = 1e-8
"""Decrement below which a search that held fitted values has reached its minimum."""


def _goes(text: str) -> str:
    return text.replace(" is at ", " goes to ")


UNSETTLED = (
    "Not converged ({words}): the fitted values in the variance function do not settle. Take a covariate in their "
    "place, or simplify the model."
)

FAILED = (
    "Not converged ({words}): the criterion could still fall by about {decrement:.2g}. Raise "
    "Control(max_evaluations=...), or simplify the residual structure."
)

LOCAL = (
    "Converged to a local minimum ({words}): the criterion is lower by {deeper:.3g} as the range and the residual SD "
    "grow together without bound. The data do not tell such a correlation from a trend; consider a trend in the fixed "
    "effects, or a fixed range."
)

UNBOUNDED = (
    "The likelihood has no maximum ({words}): it still rises as {limits}. The fixed and random effects, or other "
    "rows, reproduce the rows that this parameter concerns. Remove these rows, or simplify the model or its residual "
    "structure."
)

DEPENDENT_VISITS = "The likelihood has no maximum ({words}): it still rises as {limits}. {why}."

SINGULAR_VISITS = (
    "Converged on the boundary ({words}): {limits}. {why}, or keep the estimates, which are the optimum."
)

REPRODUCED = (
    "The likelihood has no maximum ({words}): it still rises as the residual variance of some rows goes to 0, on the "
    "way on which {name} {moves} to {value:.2g} and beyond. The fixed and random effects reproduce these rows. "
    "{estimates} Simplify the random effects or the residual structure."
)

ZERO_RESIDUAL = (
    "Converged on the boundary ({words}): the residual variance of some rows goes to 0, on the way on which {name} "
    "{moves} to {value:.2g} and beyond, and the likelihood approaches its limit. The random effects reproduce these "
    "rows; a simpler random part or residual structure may be better."
)

RUNAWAY = (
    "The data do not tell this range from a trend; take the estimates of variances with caution, or add a trend to the "
    "fixed effects."
)


@dataclass(frozen=True, slots=True)
class Dependent:
    """Visits whose residuals become linearly dependent.

    Attributes
    ----------
    limits : list of str
        Where the criterion goes, in words.
    why : str
        What in the rows is the reason, and what to do.
    falls : bool
        Whether the criterion falls without a bound on the way.
    """

    limits: list[str]
    why: str
    falls: bool

    def verdict(self, inner: Convergence, found: Minimum[Any], words: str) -> Convergence:
        """Return the verdict on a search that ends there."""
        template, limits = (DEPENDENT_VISITS if self.falls else SINGULAR_VISITS), "; ".join(self.limits)
        return replace(
            inner,
            status="unbounded" if self.falls else "boundary",
            decrement=found.decrement,
            evaluations=found.evaluations,
            singular=inner.singular if self.falls else (*inner.singular, "residual structure"),
            message=template.format(words=words, limits=limits, why=self.why),
        )


def _way(model: ResidualModel, found: Minimum[Any]) -> dict[str, Any]:
    """Return the name of the parameter that changes most on the last step, whether it grows, and where it stands."""
    way = np.zeros_like(found.x) if found.way is None else found.way / np.abs(found.way).max()
    here, before = model.natural(found.x), model.natural(found.x - way)
    if len(here) == len(way):  # the parameters of the search have no limits
        changes = way
    else:
        changes = np.array([new.value - old.value for new, old in zip(here, before, strict=True)])
    most = int(np.argmax(np.abs(changes)))
    grows = here[most].value > before[most].value
    return {"name": here[most].name, "moves": "grows" if grows else "falls", "value": here[most].value}


def _without_residual(
    inner: Convergence, model: ResidualModel, end: Minimum[Any], found: Minimum[Any], words: str
) -> Convergence:
    """Return the verdict where a search ended at a residual variance of 0 that random effects leave."""
    out = replace(inner, decrement=found.decrement, evaluations=found.evaluations)
    if not end.falls:
        message = ZERO_RESIDUAL.format(words=words, **_way(model, end))
        return replace(out, status="boundary", singular=(*inner.singular, "Residual"), message=message)
    estimates = (
        "The estimates are where the search ended." if found.lost else "The estimates are a local maximum."
    )
    message = REPRODUCED.format(words=words, estimates=estimates, **_way(model, end))
    return replace(out, status="unbounded", message=message)


def residual_verdict(
    inner: Convergence,
    model: ResidualModel,
    found: Minimum[Any],
    deeper: float = 0.0,
    most: int = 500,
    vanishing: Sequence[str] = (),
    dependent: Dependent | None = None,
    falling: Minimum[Any] | None = None,
) -> Convergence:
    """Return the convergence of a fit with residual parameters.

    Parameters
    ----------
    inner : Convergence
        Of θ at the residual parameters found.
    model : ResidualModel
    found : Minimum
        Of the search over residual parameters.
    deeper : float
        How much lower the criterion is where a range runs away.
    most : int
        Evaluations after which a search gives up.
    vanishing : sequence of str
        Ratios that go to 0, in words.
    dependent : Dependent, optional
        Visits whose residuals become dependent.
    falling : Minimum, optional
        End of a search on which random effects reproduce rows, and the criterion falls without a bound.
    """
    count = f"{found.evaluations} evaluation{'s' * (found.evaluations != 1)} of the residual parameters"
    words = f"{count}, decrement {found.decrement:.1e}"
    limits = [text for text in map(at_limit, model.natural(found.x)) if text]
    limits += [text for text in vanishing if text.split()[0] not in {known.split()[0] for known in limits}]
    exhausted = found.evaluations >= most
    if falling is not None or found.lost:
        return _without_residual(inner, model, falling or found, found, words)
    if dependent is not None and (dependent.falls or (found.reached and inner.converged and not limits)):
        return dependent.verdict(inner, found, words)
    if not found.reached and (not limits or exhausted):
        unsettled = model.of_fitted and abs(found.decrement) < SETTLED_DECREMENT
        return replace(
            inner,
            status="failed",
            decrement=found.decrement,
            evaluations=found.evaluations,
            message=(UNSETTLED if unsettled else FAILED).format(words=words, decrement=found.decrement),
        )
    if limits and abs(found.decrement) > STILL_FALLS:  # negative where rounding hides the curvature
        return replace(
            inner,
            status="unbounded",
            decrement=found.decrement,
            evaluations=found.evaluations,
            message=UNBOUNDED.format(words=words, limits="; ".join(map(_goes, limits))),
        )
    if not inner.converged:
        return inner
    if deeper > 1e-3:
        return replace(
            inner,
            status="unidentified",
            evaluations=found.evaluations,
            message=LOCAL.format(words=words, deeper=deeper),
        )
    if not limits:
        return replace(inner, evaluations=found.evaluations, message=_plain(inner, words))
    runaway = any("run away" in text for text in limits)
    advice = (
        RUNAWAY if runaway else "The estimates are the optimum; a simpler residual structure fits as well."
    )
    own = f"Converged on the boundary ({words}): {'; '.join(limits)}. {advice}"
    message = f"{inner.message} {own}" if inner.status != "converged" else own
    return replace(
        inner,
        status="boundary",
        evaluations=found.evaluations,
        singular=inner.singular if runaway else (*inner.singular, "residual structure"),
        message=message,
    )
