"""The Gibbs sampler: parallel chains, and their draws in the units of the formula."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from mixedfit.bayes.distributions import Normal
from mixedfit.bayes.draws.queries import mixing_of, sampling_warning
from mixedfit.bayes.draws.scale_draws import ScaleDraws
from mixedfit.bayes.draws.structure_draws import StructureDraws
from mixedfit.bayes.model.error_model import ErrorModel, place_error_model
from mixedfit.bayes.model.residual_structure import ResidualPriors, place_residual_priors
from mixedfit.bayes.posterior import Posterior
from mixedfit.bayes.priors import Known
from mixedfit.bayes.priors.placement import Placement, place_priors, without_correlations
from mixedfit.bayes.priors.propriety import check_levels, check_proper
from mixedfit.bayes.priors.statements import Statements
from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import GroupingWarning, ModelError, PriorWarning, SamplingWarning, warn
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.core.options import check_count, threads_of
from mixedfit.core.seeds import seed_sequence
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.design.design import Design
from mixedfit.tasks import pool_of

from . import arrays
from .arrays import sampling_order, sampling_problem
from .chain import Chain, Plan
from .correlated_chain import CorrelatedChain, correlated_rows
from .crossed_chain import CrossedChain, factors_of
from .exact_fit import check_residual_variance
from .fixed_mixtures import MixtureUpdate, mixture_update
from .run_length import run_chains, run_length
from .weighted_chain import WeightedChain, weighted_rows

__all__ = ["gibbs"]


def gibbs(
    design: Design,
    priors: Mapping[str, Any] | None = None,
    *,
    draws: int | None = None,
    ess: float | None = None,
    max_draws: int = 10_000,
    max_seconds: float | None = None,
    tune: int = 1000,
    chains: int = 4,
    thin: int = 1,
    seed: object = None,
    n_jobs: int | None = None,
    keep_effects: bool = True,
    errors: Any = Normal(),  # noqa: B008 (a frozen value)
    random_effects: Any = Normal(),  # noqa: B008
    sigma: str = "common",
    data: Any = None,
    progress: bool | None = None,
    keep_partial: bool = True,
    executor: Any = None,
    defaults: Design | None = None,
) -> Posterior:
    """Return draws from the posterior of a design's model; see `LinearMixedModel.gibbs`.

    Without `keep_partial` an interrupt is raised, and does not keep the draws so far. `defaults` is the design whose
    response sets the scales of default priors, by default `design`.

    Raises
    ------
    ModelError
        If a prior or an option is not valid, or the posterior is improper.
    """
    check_count("tune", tune, 0)
    check_count("chains", chains, 1)
    check_count("thin", thin, 1)
    length = run_length(draws, ess, max_draws, max_seconds, chains)
    pool = None if executor is None else pool_of(executor)
    workers = min(chains, threads_of(n_jobs))
    model = {"errors": errors, "random_effects": random_effects, "sigma": sigma, "data": data}
    reference = design if defaults is None else defaults
    error_model, others = place_error_model(reference, priors, **model)
    structure, others = place_residual_priors(design, error_model, others)
    restricted, cross, placement = _placed(design, others, reference)
    order = sampling_order(restricted, cross)
    sigma_prior = ("σ", placement.sigma) if error_model.groups is None else ("σ₀", error_model.sigma0)
    check_residual_variance(restricted, cross, order, *sigma_prior)
    begun = perf_counter()
    plan = Plan.of(length.draws, tune, thin, keep_effects)
    make = _chain_maker(restricted, cross, placement, error_model, plan, structure)
    runs = [make(np.random.default_rng(child)) for child in seed_sequence(seed).spawn(chains)]

    def drawn(kept: int, *, with_effects: bool) -> Posterior:
        return _posterior(
            restricted, cross, placement, error_model, order, runs, kept, with_effects, structure
        )

    outcome = run_chains(
        runs,
        length,
        lambda kept: mixing_of(drawn(kept, with_effects=False)),
        workers=workers,
        progress=progress,
        keep_partial=keep_partial,
        pool=pool,
    )
    sampling = {"draws": outcome.kept, "tune": tune, "chains": chains, "thin": thin, "n_jobs": n_jobs}
    options = {"priors": _fixed_defaults(priors, placement, error_model), **sampling, **model}
    posterior = replace(
        drawn(outcome.kept, with_effects=True),
        tune=tune,
        thin=thin,
        seconds=perf_counter() - begun,
        without=partial(_sample_without, design, options) if structure is None else None,
        given=Statements((*placement.user_statements(priors), *(structure.given if structure else ()))),
        ess_wanted=length.ess,
        limit=outcome.limit,
    )
    text = sampling_warning(posterior, posterior.warnings) if keep_partial else ""
    if text or posterior._stuck:
        warn(text or posterior._stuck, SamplingWarning)
    return posterior


def _fixed_defaults(
    priors: Mapping[str, Any] | None, placement: Placement, error_model: ErrorModel
) -> dict[str, Any]:
    """Return the user's priors and that of σ (or σ₀), whose default would change with the weights of the rows."""
    out = {str(key).strip(): prior for key, prior in (priors or {}).items()}
    sigma = {"sigma": placement.sigma} if error_model.groups is None else {"sigma0": error_model.sigma0}
    return out | sigma


def _sample_without(design: Design, options: Mapping[str, Any], rows: IntArray, seed: object) -> Posterior:
    """Return the posterior of the same model under the same priors with weight 0 for some rows."""
    weights = np.ones(design.n) if design.weights is None else design.weights.copy()
    weights[rows] = 0.0
    with warnings.catch_warnings():
        for category in (PriorWarning, GroupingWarning):  # the first sampling has given them
            warnings.simplefilter("ignore", category)
        return gibbs(
            replace(design, weights=weights), seed=seed, progress=False, keep_partial=False, **options
        )


def _placed(
    design: Design, priors: Mapping[str, Any] | None, reference: Design
) -> tuple[Design, CrossProducts, Placement]:
    """Return the design without the correlations that the priors exclude, its cross-products, and all priors.

    The response of `reference` sets the scales of default priors.
    """
    with blas_threads(1):
        cross = cross_products(design)
    placement = place_priors(reference, cross, priors)
    check_levels(design, placement, sigma_from_user="sigma" in (priors or {}))
    check_proper(design, cross, placement)
    restricted = without_correlations(design, placement.units)
    if restricted is not design:  # bases of terms without correlations are diagonal
        with blas_threads(1):
            cross = cross_products(restricted)
    return restricted, cross, placement


def _chain_maker(
    design: Design,
    cross: CrossProducts,
    placement: Placement,
    error_model: ErrorModel,
    plan: Plan,
    structure: ResidualPriors | None = None,
) -> Callable[[np.random.Generator], Chain]:
    """Return a function of a generator that makes a chain of the kind that the model needs."""
    if placement.relative:
        _check_relative(cross, error_model, structure)
    if cross.q_random > arrays.LARGEST_TAIL:
        _check_crossed(design, cross, placement, error_model, structure)
        factors = factors_of(design, cross, placement, sampling_order(design, cross))
        return lambda rng: CrossedChain(factors, plan, rng)
    problem, order = sampling_problem(design, cross, placement)
    mixtures = mixture_update(cross, placement, problem)
    if structure is not None:
        correlated = correlated_rows(design, cross, structure, problem, order)
        return lambda rng: _with(mixtures, CorrelatedChain(problem, plan, rng, correlated))
    if error_model.is_normal:
        return lambda rng: _with(mixtures, Chain(problem, plan, rng))
    rows = weighted_rows(design, cross, error_model, problem, order)
    return lambda rng: _with(mixtures, WeightedChain(problem, plan, rng, rows))


def _check_relative(cross: CrossProducts, error_model: ErrorModel, structure: ResidualPriors | None) -> None:
    """Raise if a model with priors in units of σ is none that `Chain` samples."""
    if structure is not None or not error_model.is_normal or cross.q_random > arrays.LARGEST_TAIL:
        raise ModelError(
            "priors in units of σ (mf.priors.Decov) are for models with normal residuals and effects, one σ, "
            f"independent residuals, and up to {arrays.LARGEST_TAIL} effects of all grouping factors but the largest. "
            "Give the SDs priors in the units of the response, such as mf.priors.Exponential(mean)."
        )


def _with(mixtures: MixtureUpdate | None, chain: Chain) -> Chain:
    """Return the chain with an update of the fixed effects' mixtures."""
    chain.mixtures = mixtures
    return chain


def _check_crossed(
    design: Design,
    cross: CrossProducts,
    placement: Placement,
    error_model: ErrorModel,
    structure: ResidualPriors | None,
) -> None:
    """Raise if a model with large crossed factors has what `CrossedChain` does not sample."""
    what, instead = "", "Leave a factor out"
    if structure is not None and design.residual is not None:
        what = str(design.residual.structure)
    elif not error_model.is_normal:
        what = "; ".join(error_model.differences)
        instead += ", or sample the model with normal residuals and effects and one σ"
    elif placement.mixtures:
        what = "t, Cauchy or Laplace priors of fixed effects"
        instead += ", or use mf.priors.Normal(mean, sd)"
    if what:
        raise ModelError(
            f"the grouping factors behind the largest have {cross.q_random} effects; with {what} up to "
            f"{arrays.LARGEST_TAIL} can be sampled. {instead}."
        )


def _posterior(
    design: Design,
    cross: CrossProducts,
    placement: Placement,
    error_model: ErrorModel,
    order: list[int],
    runs: list[Chain],
    kept: int,
    with_effects: bool,
    structure: ResidualPriors | None = None,
) -> Posterior:
    """Return the draws of all chains in the units of the formula, without the numbers of sweeps and seconds."""
    fixed = cross.fixed
    omega, variance, beta = (np.stack([run.out[i][:kept] for run in runs]) for i in (0, 1, 3))
    effects = np.stack([run.out[2][: kept if with_effects else 0] for run in runs])
    stops = np.cumsum([design.blocks[f].levels for f in order])
    omegas, modes = [], []
    for f, block in enumerate(design.blocks):
        i, k = order.index(f), block.k
        omegas.append(fixed.scale**2 * omega[:, :, i, :k, :k])
        if with_effects and effects.shape[2]:
            own = effects[:, :, stops[i] - block.levels : stops[i], :k]
            modes.append(fixed.scale * own @ inverse(cross.basis[f]).T)
    scales = None if error_model.is_normal else _scale_draws(error_model, order, runs, kept, fixed.scale)
    sigma = fixed.scale * np.sqrt(variance)
    return Posterior(
        design=design,
        kept=fixed.kept,
        priors=Statements(
            (
                *placement.statements,
                *error_model.statements(placement.sigma),
                *(structure.statements if structure else ()),
            )
        ),
        beta=fixed.centre + fixed.scale * beta @ fixed.transform.T,
        sigma=scales.sigma0 if scales is not None and error_model.groups is not None else sigma,
        omega=tuple(omegas),
        effects=tuple(modes),
        tune=0,
        thin=1,
        seconds=0.0,
        acceptance=np.array([run.acceptance for run in runs]),
        scales=scales,
        structure=None if structure is None else _structure_draws(structure, runs, kept),
        placement=placement,
        held=placement.known_names(design) | ({"sigma0"} if isinstance(error_model.sigma0, Known) else set()),
    )


def _structure_draws(structure: ResidualPriors, runs: list[Chain], kept: int) -> StructureDraws:
    """Return the draws of the residual parameters of all chains."""
    x = np.stack([run.out[4][:kept] for run in runs])
    return StructureDraws(structure.names, x, structure.natural(x))


def _scale_draws(
    error_model: ErrorModel, order: list[int], runs: list[Chain], kept: int, scale: float
) -> ScaleDraws:
    """Return the draws of ν, ν₀, σ₀ and σ_g of all chains, in the units of the formula."""
    drawn = np.stack([run.out[4][:kept] for run in runs])
    size = len(order) + 1
    places = [0, *(1 + order.index(f) for f in range(len(order)))]
    return ScaleDraws(
        error_model=error_model,
        nu=tuple(drawn[:, :, i] for i in places),
        nu0=drawn[:, :, size],
        sigma0=scale * drawn[:, :, size + 1],
        sigmas=scale * np.sqrt(drawn[:, :, size + 2 :]),
    )
