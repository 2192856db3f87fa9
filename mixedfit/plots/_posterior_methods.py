"""Functions of `mixedfit.plots` as methods of a posterior: ``posterior.plot()``, ``posterior.plot.density()``."""

from __future__ import annotations

from typing import Any

from mixedfit.core.other_programs import Hinted

from . import _chains, _credible_bands, _drawn_groups, _group_effects, _posterior, _prior_and_posterior
from ._bound import bound

__all__ = ["PosteriorPictures"]


class PosteriorPictures(Hinted):
    """Pictures of one posterior: ``posterior.plot()`` draws traces; the methods are functions of `mixedfit.plots`.

    `intervals`, `group_effects`, `predictive_groups` and `credible_bands` draw on one axes, take ``ax=`` and return it.
    The others make a figure with a panel for each parameter or group and return it; `trace`, `rank`,
    `chain_autocorrelation`, `density` and `prior_and_posterior` take ``ax=`` for one parameter.
    """

    def __init__(self, posterior: Any) -> None:
        self._subject = posterior

    __call__ = bound(_chains.trace)
    trace = bound(_chains.trace)
    rank = bound(_chains.rank)
    chain_autocorrelation = bound(_chains.chain_autocorrelation)
    density = bound(_posterior.density)
    intervals = bound(_posterior.intervals)
    pairs = bound(_posterior.pairs)
    group_effects = bound(_group_effects.group_effects)
    prior_and_posterior = bound(_prior_and_posterior.prior_and_posterior)
    credible_bands = bound(_credible_bands.credible_bands)
    drawn_lines = bound(_drawn_groups.drawn_lines)
    predictive_groups = bound(_drawn_groups.predictive_groups)
