"""Simulation-based calibration: parameters from the priors, responses from the model, ranks among posterior draws."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.queries import mixing_of
from mixedfit.bayes.posterior import Posterior
from mixedfit.bayes.prior_predictive import PriorPredictive, prior_predictive
from mixedfit.bayes.sampler.gibbs import gibbs
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, SamplingWarning, warn
from mixedfit.core.options import check_count
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.design.design import Design
from mixedfit.inference.bootstrap.replicates import REFIT_ERRORS, count_reasons, reason_of
from mixedfit.tasks import check_executor, mapped

from .record import Calibration

__all__ = ["calibrate"]

APART = 2.0
"""Effective draws wanted for each draw that is kept, so that those kept are nearly independent."""


def calibrate(
    design: Design,
    priors: Mapping[str, Any] | None,
    *,
    simulations: int,
    draws: int,
    tune: int,
    max_draws: int,
    seed: object,
    progress: bool | None,
    executor: Any = None,
    **model: Any,
) -> Calibration:
    """Return the ranks of parameters from their priors; see `LinearMixedModel.calibration`.

    `model` has the options errors, random_effects, sigma and data of `gibbs`.
    """
    check_executor(executor)
    check_count("simulations", simulations, 10)
    check_count("draws", draws, 9)
    check_count("tune", tune, 0)
    check_count("max_draws", max_draws, draws)
    sequence = seed_sequence(seed)
    of_prior, of_responses, of_chains = sequence.spawn(3)
    prior = prior_predictive(design, priors, draws=simulations, seed=of_prior, **model)
    responses = _responses(design, prior, simulations, of_responses)
    names = list(prior.names)
    true = np.column_stack([prior[name][0] for name in names])
    setting = _Setting(design, priors, names, draws, tune, max_draws, model)
    items = zip(responses, true, of_chains.spawn(simulations), strict=True)
    found = _ranked(setting, items, simulations, progress, executor)
    ranked = {i: own for i, own in sorted(found.items()) if isinstance(own, _Ranks)}
    reasons = count_reasons({i: own for i, own in found.items() if isinstance(own, str)})
    if not ranked:
        raise ModelError(
            f"all of {len(found)} simulations failed: {next(iter(reasons), '')}. Narrower priors may help."
        )
    held = next(iter(ranked.values())).held
    free = np.flatnonzero([name not in held for name in names])
    kept, complete = [names[i] for i in free], list(ranked)
    ranks = np.array([own.ranks for own in ranked.values()], dtype=np.int64)
    return Calibration(
        pd.DataFrame(ranks[:, free], index=complete, columns=kept).rename_axis("simulation"),
        pd.DataFrame(true[complete][:, free], index=complete, columns=kept).rename_axis("simulation"),
        draws=draws,
        formula=design.formula.source,
        priors=prior.priors,
        requested=simulations,
        seed=sequence.entropy,
        reasons=reasons,
        correlated=sum(own.correlated for own in ranked.values()),
    )


def _ranked(
    setting: _Setting, items: Iterable[Any], simulations: int, progress: bool | None, executor: Any
) -> dict[int, _Ranks | str]:
    """Return the ranks of each simulation, or why it failed, by number; those that are done after an interrupt."""
    found: dict[int, _Ranks | str] = {}
    with Progress(progress) as shown, warnings.catch_warnings():
        try:
            for number, own in mapped(executor, _rank, setting, items):
                found[number] = own
                shown.count(len(found), simulations, "simulations")
        except KeyboardInterrupt:
            if not found:
                raise
    if len(found) < simulations:
        warn(f"stopped after {len(found)} of {simulations} simulations, which are kept.", SamplingWarning)
    return found


def _responses(design: Design, prior: PriorPredictive, simulations: int, seed: object) -> Array:
    """Return a response less the offset for each draw of the prior, shape (simulations, n); rows of weight 0 are 0."""
    out = np.zeros((simulations, design.n))
    out[:, design.counted] = prior.replicate(simulations, seed=seed)
    if design.offset is not None:
        out[:, design.counted] -= design.offset[design.counted]
    return out


@dataclass(frozen=True, eq=False)
class _Setting:
    """What all simulations share.

    Attributes
    ----------
    design : Design
    priors : mapping or None
    names : list of str
        Names of the parameters.
    draws, tune, max_draws : int
    model : mapping
        Options of `gibbs` that belong to the model.
    """

    design: Design
    priors: Mapping[str, Any] | None
    names: list[str]
    draws: int
    tune: int
    max_draws: int
    model: Mapping[str, Any]


@dataclass(frozen=True)
class _Ranks:
    """Ranks of one simulation.

    Attributes
    ----------
    ranks : list of int
        Number of draws below the true value of each parameter.
    correlated : bool
        Whether there are fewer effective draws than are kept.
    held : frozenset of str
        Parameters that are known.
    """

    ranks: list[int]
    correlated: bool
    held: frozenset[str]


def _rank(setting: _Setting, number: int, item: tuple[Array, Array, np.random.SeedSequence]) -> _Ranks | str:
    """Return the ranks of the parameters of one simulation, or why it failed; the item is y, parameters and seed."""
    y, true, seed = item
    wanted = APART * setting.draws
    length = min(int(1.25 * wanted), setting.max_draws)
    while True:
        # a fresh copy of the seed: the same chain again, longer
        own = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
        try:
            posterior = _chain(setting, y, length, own)
            ess = mixing_of(posterior).ess
        except REFIT_ERRORS as error:
            return reason_of(error)
        if ess >= wanted or length >= setting.max_draws:
            break
        length = min(setting.max_draws, int(1.3 * length * wanted / max(ess, 1.0)) + 1)
    places = np.linspace(0, length - 1, setting.draws).round().astype(int)
    ranks = [
        int(np.sum(posterior[name][0, places] < value))
        for name, value in zip(setting.names, true, strict=True)
    ]
    return _Ranks(ranks, bool(ess < setting.draws), posterior.held)


def _chain(setting: _Setting, y: Array, length: int, seed: np.random.SeedSequence) -> Posterior:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gibbs(
            setting.design.with_response(y),
            setting.priors,
            draws=length,
            tune=setting.tune,
            chains=1,
            seed=seed,
            n_jobs=1,
            keep_effects=False,
            keep_partial=False,
            progress=False,
            defaults=setting.design,
            **setting.model,
        )
