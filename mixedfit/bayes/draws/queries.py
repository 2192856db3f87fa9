"""Queries of a posterior: probabilities of events, functions of parameters, parameters that did not move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from mixedfit.core.errors import ModelError

from .convergence import ENOUGH, MIXED, RELIABLE, Mixing, ess_bulk, ess_tail, is_stuck, rhat
from .draws import Draws, Probability, probability_of
from .expressions import evaluate
from .record import PosteriorDraws

__all__ = ["derived_draws", "event_probability", "mixing_of", "sampling_warning", "stuck_warning"]

_P = TypeVar("_P", bound=PosteriorDraws)


def event_probability(
    posterior: _P, event: str | Callable[[_P], Any], name: str | None = None
) -> Probability:
    """Return the probability of an event; see `Posterior.probability`."""
    if callable(event):
        happened, label = np.asarray(event(posterior)), name or "the event"
    else:
        happened = np.asarray(evaluate(event, posterior.names, posterior.__getitem__))
        label = name or event
    if happened.dtype != bool:
        raise ModelError(f"{label!r} is not a comparison; expected such as 'x > 0'.")
    shape = posterior.sigma.shape
    if happened.shape not in ((), shape):
        raise ModelError(
            f"the event has shape {happened.shape}; expected {shape}, true or false for each draw."
        )
    return probability_of(label, np.broadcast_to(happened, shape))


def derived_draws(posterior: _P, function: str | Callable[[_P], Any], name: str | None = None) -> Draws:
    """Return the draws of a function of the parameters; see `Posterior.derive`."""
    shape = posterior.sigma.shape
    if callable(function):
        values, label = np.asarray(function(posterior), dtype=float), name or "derived"
    else:
        values = np.asarray(evaluate(function, posterior.names, posterior.__getitem__), dtype=float)
        values, label = np.broadcast_to(values, shape), name or function
    if values.shape != shape:
        raise ModelError(f"the function gives shape {values.shape}; expected {shape}, one number a draw.")
    if not np.isfinite(values).any():
        raise ModelError(f"{label!r} is not a finite number in any draw.")
    return Draws((label,), values[:, :, None])


def mixing_of(posterior: PosteriorDraws) -> Mixing:
    """Return the fewest effective draws, bulk or tail, and the largest R̂ of all parameters that are not known."""
    sizes: dict[str, float] = {}
    largest = 1.0
    for name in posterior.names:
        if name not in posterior.held:
            draws = posterior[name]
            sizes[name] = min(ess_bulk(draws), ess_tail(draws))
            largest = float(np.fmax(largest, rhat(draws)))
    return Mixing.worst(sizes, largest)


def stuck_warning(posterior: PosteriorDraws) -> str:
    """Return a warning about parameters that did not move in a chain, an empty string if all did."""
    names = [name for name in posterior.names if name not in posterior.held and is_stuck(posterior[name])]
    if not names:
        return ""
    return (
        f"{', '.join(names)} did not move in at least one chain, so that the draws are not the posterior's. The "
        "prior may be far from what the data say; give one with room for them."
    )


FEWEST = 100
"""Draws of each chain below which `gibbs` does not warn: such short runs are trials, and the printout warns of them."""


def sampling_warning(posterior: PosteriorDraws, warnings: tuple[str, ...]) -> str:
    """Return the text of the warning of `gibbs`, empty if the draws are worth about what their number suggests.

    It is not empty if R̂ exceeds 1.01 in chains of at least `RELIABLE` draws, or a parameter has fewer effective draws
    than wanted and than one in four draws. It is always empty for chains of fewer than `FEWEST` draws.

    Parameters
    ----------
    posterior : PosteriorDraws
    warnings : tuple of str
        Those of the printout.
    """
    if (
        not warnings
        or posterior.draws < FEWEST
        or posterior.limit.startswith(("max_seconds", "an interrupt"))
    ):
        return ""
    mixing = mixing_of(posterior)
    unmixed = posterior.draws >= RELIABLE and mixing.rhat > MIXED
    wanted = posterior.ess_wanted or min(float(ENOUGH * posterior.chains), posterior.sigma.size / 4)
    return " ".join(warnings) if unmixed or mixing.ess < wanted else ""
