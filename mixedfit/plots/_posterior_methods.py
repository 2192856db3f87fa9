"""Functions of `mixedfit.plots` as methods of a posterior: ``posterior.plot()``, ``posterior.plot.density()``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from mixedfit.core.other_programs import Hinted

from . import _chains, _credible_bands, _drawn_groups, _group_effects, _posterior, _prior_and_posterior

__all__ = ["PosteriorPictures"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _method(draw: Callable[Concatenate[Any, _P], _T]) -> Callable[Concatenate[PosteriorPictures, _P], _T]:
    """Return a function of a posterior as a method, with its docstring and signature less the posterior."""

    @wraps(draw)
    def method(self: PosteriorPictures, /, *args: _P.args, **options: _P.kwargs) -> _T:
        return draw(self._posterior, *args, **options)

    lines = (inspect.getdoc(draw) or "").split("\n")
    at = next((i for i, line in enumerate(lines) if line.startswith("posterior : ")), None)
    if at is not None:
        end = next(i for i in range(at + 1, len(lines)) if not lines[i].startswith(" "))
        lines = lines[:at] + lines[end:]
    method.__doc__ = "\n".join(lines)
    return method


class PosteriorPictures(Hinted):
    """Pictures of one posterior: ``posterior.plot()`` draws traces; the methods are functions of `mixedfit.plots`.

    `intervals`, `group_effects`, `predictive_groups` and `credible_bands` draw on one axes, take ``ax=`` and return it.
    The others make a figure with a panel for each parameter or group and return it; `trace`, `rank`,
    `chain_autocorrelation`, `density` and `prior_and_posterior` take ``ax=`` for one parameter.
    """

    def __init__(self, posterior: Any) -> None:
        self._posterior = posterior

    __call__ = _method(_chains.trace)
    trace = _method(_chains.trace)
    rank = _method(_chains.rank)
    chain_autocorrelation = _method(_chains.chain_autocorrelation)
    density = _method(_posterior.density)
    intervals = _method(_posterior.intervals)
    pairs = _method(_posterior.pairs)
    group_effects = _method(_group_effects.group_effects)
    prior_and_posterior = _method(_prior_and_posterior.prior_and_posterior)
    credible_bands = _method(_credible_bands.credible_bands)
    drawn_lines = _method(_drawn_groups.drawn_lines)
    predictive_groups = _method(_drawn_groups.predictive_groups)
