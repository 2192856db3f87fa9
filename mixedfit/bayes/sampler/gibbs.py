"""The Gibbs sampler: several chains, with draws turned back to the units of the formula."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from mixedfit.bayes.distributions import Normal
from mixedfit.bayes.draws.scale_draws import ScaleDraws
from mixedfit.bayes.model.error_model import Shape, place_shape
from mixedfit.bayes.posterior import Posterior
from mixedfit.bayes.priors import Known
from mixedfit.bayes.priors.placement import Placement, given_priors, place_priors, without_correlations
from mixedfit.bayes.priors.propriety import check_levels, check_proper
from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import GroupingWarning, ModelError, PriorWarning, SamplingWarning, warn
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.core.options import check_count, threads_of
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.design.design import Design

from . import arrays as problem_module
from .arrays import sampling_order, sampling_problem
from .chain import Chain, Plan
from .crossed_chain import CrossedChain, factors_of
from .weighted_chain import ScaledChain, rows_of

__all__ = ["gibbs"]


def gibbs(
    design: Design,
    priors: Mapping[str, Any] | None = None,
    *,
    draws: int = 1000,
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
) -> Posterior:
    """Return draws from the posterior of a design's model; see `LinearMixedModel.gibbs`.

    Raises
    ------
    ModelError
        If a prior or an option is not valid, or the posterior is improper.
    """
    for name, value, least in [
        ("draws", draws, 4),
        ("tune", tune, 0),
        ("chains", chains, 1),
        ("thin", thin, 1),
    ]:
        check_count(name, value, least)
    workers = threads_of(n_jobs)
    options = {
        "priors": priors,
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "thin": thin,
        "n_jobs": n_jobs,
        "errors": errors,
        "random_effects": random_effects,
        "sigma": sigma,
        "data": data,
    }
    whole = design
    shape, others = place_shape(
        design, priors, errors=errors, random_effects=random_effects, sigma=sigma, data=data
    )
    design, cross, placement = _placed(design, others)
    order = sampling_order(design, cross)
    begun = perf_counter()
    places = np.full(tune + draws * thin, -1, np.int64)
    places[tune + thin - 1 :: thin] = np.arange(draws)
    plan = Plan(places, draws, tune, keep_effects)
    generators = [np.random.default_rng(child) for child in seed_sequence(seed).spawn(chains)]
    make = _chain_maker(design, cross, placement, shape, plan)
    runs = [make(rng) for rng in generators]
    with blas_threads(1), Progress(progress) as shown:
        finished = _run_all(runs, min(chains, workers), shown)
    kept = min(run.kept for run in runs)
    if not finished:
        if kept < 4:
            raise KeyboardInterrupt
        warnings.warn(
            f"stopped after {kept} of {draws} draws a chain; these are kept.", SamplingWarning, stacklevel=3
        )
    settings = {"tune": tune, "thin": thin, "seconds": perf_counter() - begun}
    posterior = _posterior(design, cross, placement, shape, order, runs, kept, settings)
    if posterior._stuck:
        warn(posterior._stuck, SamplingWarning)
    typical = {"sigma": placement.sigma} if shape.groups is None else {"sigma0": shape.sigma0}
    given = {str(key).strip(): prior for key, prior in (priors or {}).items()}
    options["priors"] = {**given, **typical}  # a default follows the weights, which change
    again = partial(_sample_without, whole, options)
    return replace(posterior, without=again, given=given_priors(priors, placement))


def _sample_without(design: Design, options: Mapping[str, Any], rows: IntArray, seed: object) -> Posterior:
    """Return the posterior of the same model under the same priors without some rows: these weigh nothing."""
    weights = np.ones(design.n) if design.weights is None else design.weights.copy()
    weights[rows] = 0.0
    with warnings.catch_warnings():
        for given_once in (PriorWarning, GroupingWarning):
            warnings.simplefilter("ignore", given_once)
        return gibbs(replace(design, weights=weights), seed=seed, progress=False, **options)


def _placed(design: Design, priors: Mapping[str, Any] | None) -> tuple[Design, CrossProducts, Placement]:
    """Return the design as it is sampled, its cross-products and every parameter's prior."""
    with blas_threads(1):
        cross = cross_products(design)
    placement = place_priors(design, cross, priors)
    check_levels(design, placement, given="sigma" in (priors or {}))
    check_proper(design, cross, placement)
    restricted = without_correlations(design, placement.units)
    if restricted is not design:  # bases of terms without correlations are diagonal
        design = restricted
        with blas_threads(1):
            cross = cross_products(design)
    return design, cross, placement


def _chain_maker(
    design: Design, cross: CrossProducts, placement: Placement, shape: Shape, plan: Plan
) -> Callable[[np.random.Generator], Chain]:
    """Return the constructor of chains: normal errors, weighted rows, or one factor at a time."""
    if cross.q_random > problem_module.LARGEST_TAIL:
        if not shape.is_ordinary:
            raise ModelError(
                f"the grouping factors behind the largest have {cross.q_random} effects; with "
                f"{'; '.join(shape.differences)} up to {problem_module.LARGEST_TAIL} can be sampled. Leave a factor "
                "out, or sample the model with normal residuals and effects and one σ."
            )
        factors = factors_of(design, cross, placement, sampling_order(design, cross))
        return lambda rng: CrossedChain(factors, plan, rng)
    problem, order = sampling_problem(design, cross, placement)
    if shape.is_ordinary:
        return lambda rng: Chain(problem, plan, rng)
    rows = rows_of(design, cross, shape, problem, order)
    return lambda rng: ScaledChain(problem, plan, rng, rows)


def _run_all(runs: list[Chain], workers: int, shown: Progress) -> bool:
    """Run chains on threads, a slice of each in turn; return False if the user stopped them."""
    total = sum(run.places.size for run in runs)
    pending: dict[Future[bool], Chain] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="mixedfit-gibbs") as pool:
        try:
            pending |= {pool.submit(run.advance): run for run in runs}
            while pending:
                for future in wait(pending, timeout=0.1, return_when=FIRST_COMPLETED).done:
                    run = pending.pop(future)
                    if future.result():
                        pending[pool.submit(run.advance)] = run
                shown.count(sum(run.done for run in runs), total, "sweeps")
        except KeyboardInterrupt:
            return False
        finally:
            for future in pending:
                future.cancel()
    return True


def _posterior(
    design: Design,
    cross: CrossProducts,
    placement: Placement,
    shape: Shape,
    order: list[int],
    runs: list[Chain],
    kept: int,
    settings: Mapping[str, float],
) -> Posterior:
    """Return the draws of all chains in the units of the formula."""
    fixed = cross.fixed
    omega, variance, effects, beta = (np.stack([run.out[i][:kept] for run in runs]) for i in range(4))
    omegas, modes, at = [], [], 0
    for i, f in enumerate(order):
        block = design.blocks[f]
        k, levels = block.k, block.levels
        omegas.append((f, fixed.scale**2 * omega[:, :, i, :k, :k]))
        if effects.shape[2]:
            own = effects[:, :, at : at + levels, :k]
            modes.append((f, fixed.scale * own @ inverse(cross.basis[f]).T))
        at += levels
    scales = None if shape.is_ordinary else _scale_draws(shape, order, runs, kept, fixed.scale)
    sigma = fixed.scale * np.sqrt(variance)
    return Posterior(
        design=design,
        kept=fixed.kept,
        priors=(*placement.statements, *shape.statements(placement.sigma)),
        beta=fixed.centre + fixed.scale * beta @ fixed.transform.T,
        sigma=scales.sigma0 if scales is not None and shape.groups is not None else sigma,
        omega=tuple(value for _, value in sorted(omegas, key=lambda pair: pair[0])),
        effects=tuple(value for _, value in sorted(modes, key=lambda pair: pair[0])),
        tune=int(settings["tune"]),
        thin=int(settings["thin"]),
        seconds=float(settings["seconds"]),
        acceptance=np.array([run.acceptance for run in runs]),
        scales=scales,
        held=placement.held(design) | ({"sigma0"} if isinstance(shape.sigma0, Known) else set()),
    )


def _scale_draws(shape: Shape, order: list[int], runs: list[Chain], kept: int, scale: float) -> ScaleDraws:
    """Return the draws of ν, ν0, σ0 and σ_g of all chains, in the units of the formula."""
    drawn = np.stack([run.out[4][:kept] for run in runs])
    size = len(order) + 1
    places = [0, *(1 + order.index(f) for f in range(len(order)))]
    return ScaleDraws(
        shape=shape,
        nu=tuple(drawn[:, :, i] for i in places),
        nu0=drawn[:, :, size],
        sigma0=scale * drawn[:, :, size + 1],
        sigmas=scale * np.sqrt(drawn[:, :, size + 2 :]),
    )
