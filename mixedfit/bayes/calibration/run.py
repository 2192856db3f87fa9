"""Simulation-based calibration: parameters from the priors, responses from the model, ranks among posterior draws."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.queries import mixing_of
from mixedfit.bayes.prior_predictive import PriorPredictive, prior_predictive
from mixedfit.bayes.sampler.gibbs import gibbs
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, SamplingWarning, warn
from mixedfit.core.options import check_count
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.design.design import Design
from mixedfit.inference.bootstrap.replicates import REFIT_ERRORS, count_reasons, reason_of

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
    **model: Any,
) -> Calibration:
    """Return the ranks of parameters from their priors; see `LinearMixedModel.calibration`.

    `model` has the options errors, random_effects, sigma and data of `gibbs`.
    """
    check_count("simulations", simulations, 10)
    check_count("draws", draws, 9)
    check_count("tune", tune, 0)
    check_count("max_draws", max_draws, draws)
    sequence = seed_sequence(seed)
    of_prior, of_responses, of_chains = sequence.spawn(3)
    prior = prior_predictive(design, priors, draws=simulations, seed=of_prior, **model)
    responses = _responses(design, prior, simulations, of_responses)
    runner = _Runner(design, priors, draws, tune, max_draws, model)
    names = list(prior.names)
    ranks = np.full((simulations, len(names)), -1, dtype=np.int64)
    true = np.column_stack([prior[name][0] for name in names])
    reasons: dict[int, str] = {}
    done = 0
    with Progress(progress) as shown:
        try:
            for i, child in enumerate(of_chains.spawn(simulations)):
                try:
                    ranks[i] = runner.ranks(responses[i], dict(zip(names, true[i], strict=True)), child)
                except REFIT_ERRORS as error:
                    reasons[i] = reason_of(error)
                done = i + 1
                shown.count(done, simulations, "simulations")
        except KeyboardInterrupt:
            if not done:
                raise
            warn(f"stopped after {done} of {simulations} simulations, which are kept.", SamplingWarning)
    complete = np.flatnonzero(ranks[:done, 0] >= 0)
    if not complete.size:
        raise ModelError(
            f"all of {done} simulations failed: {next(iter(count_reasons(reasons)), '')}. Narrower priors may help."
        )
    free = np.flatnonzero([name not in runner.held for name in names])
    kept = [names[i] for i in free]
    return Calibration(
        pd.DataFrame(ranks[np.ix_(complete, free)], index=complete, columns=kept).rename_axis("simulation"),
        pd.DataFrame(true[np.ix_(complete, free)], index=complete, columns=kept).rename_axis("simulation"),
        draws=draws,
        formula=design.formula.source,
        priors=prior.priors,
        requested=simulations,
        seed=sequence.entropy,
        reasons=count_reasons(reasons),
        correlated=runner.correlated,
    )


def _responses(design: Design, prior: PriorPredictive, simulations: int, seed: object) -> Array:
    """Return a response less the offset for each draw of the prior, shape (simulations, n); rows of weight 0 are 0."""
    out = np.zeros((simulations, design.n))
    out[:, design.counted] = prior.replicate(simulations, seed=seed)
    if design.offset is not None:
        out[:, design.counted] -= design.offset[design.counted]
    return out


class _Runner:
    """Ranks of one simulation after another.

    Attributes
    ----------
    correlated : int
        Simulations with fewer effective draws than are kept.
    held : frozenset of str
        Parameters that are known.
    """

    def __init__(
        self,
        design: Design,
        priors: Mapping[str, Any] | None,
        draws: int,
        tune: int,
        max_draws: int,
        model: Mapping[str, Any],
    ) -> None:
        self.design, self.priors, self.model = design, priors, model
        self.draws, self.tune, self.max_draws = draws, tune, max_draws
        self.correlated = 0
        self.held: frozenset[str] = frozenset()

    def ranks(self, y: Array, true: Mapping[str, float], seed: np.random.SeedSequence) -> list[int]:
        """Return how many draws of each parameter are below its true value."""
        wanted = APART * self.draws
        length = min(int(1.25 * wanted), self.max_draws)
        while True:
            # a fresh copy of the seed: the same chain again, longer
            own = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                posterior = gibbs(
                    self.design.with_response(y),
                    self.priors,
                    draws=length,
                    tune=self.tune,
                    chains=1,
                    seed=own,
                    n_jobs=1,
                    keep_effects=False,
                    keep_partial=False,
                    progress=False,
                    defaults=self.design,
                    **self.model,
                )
            ess = mixing_of(posterior).ess
            if ess >= wanted or length >= self.max_draws:
                break
            length = min(self.max_draws, int(1.3 * length * wanted / max(ess, 1.0)) + 1)
        self.correlated += ess < self.draws
        self.held = posterior.held
        places = np.linspace(0, length - 1, self.draws).round().astype(int)
        return [int(np.sum(posterior[name][0, places] < value)) for name, value in true.items()]
