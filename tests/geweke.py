"""Geweke's joint-distribution test: moments of the prior against those of a chain that draws data and parameters.

Geweke (2004), J. Am. Stat. Assoc. 99:799. The marginal-conditional simulator is numpy's (`calibration.Simulator`); the
successive-conditional one draws y given the chain's state and then makes one sweep. If every full conditional is right,
both have the same distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from calibration import Simulator, drawn

from mixedfit.bayes.draws import convergence
from mixedfit.bayes.model.error_model import place_error_model
from mixedfit.bayes.model.residual_structure import place_residual_priors
from mixedfit.bayes.sampler.arrays import sampling_problem
from mixedfit.bayes.sampler.chain import Chain, Plan
from mixedfit.bayes.sampler.correlated_chain import CorrelatedChain, correlated_rows
from mixedfit.bayes.sampler.gibbs import _placed, _posterior
from mixedfit.bayes.sampler.weighted_chain import WeightedChain, weighted_rows
from mixedfit.kernels.gibbs.weighted_sweep import refill


def frame() -> pd.DataFrame:
    """Return 12 rows in 4 groups, crossed with 3 others: few, so that the chain of data and parameters moves."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(12),
            "x": rng.standard_normal(12),
            "g": np.repeat(list("abcd"), 3),
            "h": np.tile(list("xyz"), 4),
            "w": rng.uniform(0.5, 2.0, 12),
            "t": np.tile([0, 1, 3], 4),
        }
    )


def bounded(name: str, value: Any) -> Any:
    """Return a bounded function of a quantity, whose moments short chains can tell."""
    if name.startswith(("omega", "sigma")):
        return value / (1.0 + value)
    return value / (10.0 + value) if name.startswith("nu") else np.arctan(value)


def successive(
    simulator: Simulator, priors: dict[str, Any], options: dict[str, Any], sweeps: int, seed: int
) -> Any:
    """Return the posterior record of a chain of `sweeps` steps, each with data drawn anew from its state."""
    rng, kwargs = (
        np.random.default_rng(seed),
        {k: v for k, v in options.items() if k not in ("weights", "residual")},
    )
    defaults = {"errors": simulator.errors, "random_effects": simulator.effects, "sigma": "common"}
    shape, others = place_error_model(simulator.design, priors, **(defaults | kwargs), data=frame())
    structure, others = place_residual_priors(simulator.design, shape, others)
    design, cross, placement = _placed(simulator.design, others, simulator.design)
    problem, order = sampling_problem(design, cross, placement)
    rows = weighted_rows(design, cross, shape, problem, order)
    plan = Plan(np.arange(sweeps), sweeps, 0, True)
    chain = Chain(problem, plan, rng) if shape.is_normal else WeightedChain(problem, plan, rng, rows)
    if structure is not None:
        chain = CorrelatedChain(problem, plan, rng, correlated_rows(design, cross, structure, problem, order))
    codes, z, tail_codes, tail_z, sizes, _, border, _ = rows.rows
    room, ones = tuple(np.zeros_like(a) for a in (z, tail_z, border)), np.ones(len(border))
    _, variance, effects, coefficients = chain.state
    for i in range(sweeps):
        p = border.shape[1] - 1
        y = border[:, :p] @ coefficients[coefficients.size - p :]
        if len(effects):
            y += np.einsum("ia,ia->i", z, effects[codes, : z.shape[1]])
        at = 0
        for f, k in enumerate(sizes):
            own = effects[problem.factors[f + 1, 0] + tail_codes[:, f], :k]
            y += np.einsum("ia,ia->i", tail_z[:, at : at + k], own)
            at += k
        precisions = chain.scales[4] if isinstance(chain, WeightedChain) else ones
        noise = np.sqrt(variance[0] / precisions) * rng.standard_normal(y.size)
        if isinstance(chain, CorrelatedChain):
            noise = simulator.correlated(structure.natural(chain.x), noise)
            chain.rows.columns[:, -1] = chain.raw[6][:, p] = y + noise
        border[:, p] = y + noise
        if not isinstance(chain, WeightedChain | CorrelatedChain):
            levels = np.ones(len(effects))
            refill(
                rows.rows, ones, levels, problem.factors, room, problem.first, problem.gram, problem.blocks
            )
        assert chain.sweep(plan.places[i : i + 1]) == 1
    chain.done = sweeps
    settings = {"tune": 0, "thin": 1, "seconds": 0.0}
    return _posterior(design, cross, placement, shape, order, [chain], sweeps, bool(settings), structure)


def scores(
    formula: str, priors: dict[str, Any], options: dict[str, Any], sweeps: int, seed: int, free: int = 20_000
) -> pd.Series:
    """Return z of the first and second moment of every parameter, by `free` draws of the prior."""
    simulator = Simulator(formula, priors, options, frame())
    rng = np.random.default_rng(seed)
    drawn_freely = pd.DataFrame([simulator.draw(rng)[0] for _ in range(free)])
    posterior = successive(simulator, priors, options, sweeps, seed)
    out = {}
    for name in drawn_freely:
        first = bounded(name, drawn_freely[name].to_numpy())
        second = bounded(name, drawn(posterior, name)[sweeps // 20 :])
        if np.ptp(first) == 0.0:
            continue
        centre = first.mean()
        for power in (1, 2):
            a, b = (first - centre) ** power, (second - centre) ** power
            error = np.hypot(a.std(ddof=1) / np.sqrt(a.size), convergence.mcse_mean(b[None, :]))
            out[f"{name}, moment {power}"] = (b.mean() - a.mean()) / error
    return pd.Series(out)
