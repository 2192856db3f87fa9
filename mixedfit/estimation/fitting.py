"""Fit a design, or another response on the design of a fit."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, ModelError, shown
from mixedfit.core.linalg import blas_threads
from mixedfit.covariance import ScaledCorrelation
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.responses import with_response
from mixedfit.crossproducts.summed import products_of
from mixedfit.design.design import Design, check_identifiable
from mixedfit.likelihood.by_rows import rows_of

from .convergence import RESIDUAL, unidentified_verdict
from .estimate import Control, estimate
from .fit import Fit
from .monte_carlo import monte_carlo_errors
from .structures import loose_structures
from .whitening import fit_whitened

__all__ = ["fit_design", "refit_design"]


def fit_design(
    design: Design,
    *,
    reml: bool = True,
    start: Array | None = None,
    start_residual: Array | None = None,
    sigma: float | None = None,
    control: Control | None = None,
    report: Callable[[int, float], None] | None = None,
    seconds: float = 0.0,
) -> Fit:
    """Return the REML or ML fit of a design; `seconds`, the time to build it, goes into `Fit.timing`.

    The search starts from `start` for θ and `start_residual` for the residual parameters, if they are given.

    Raises
    ------
    ModelError
        If there are not more rows than fixed effects, σ is not positive, or variances cannot be told apart.
    """
    if sigma is not None and not (np.isfinite(sigma) and sigma > 0):
        raise ModelError(
            f"sigma is {sigma}; a residual standard deviation held fixed must be a positive number."
        )
    begun = perf_counter()
    if design.absent is not None:
        products_of(design, (control or Control()).of_tail)  # sums the rows, if that has not been done yet
    check_identifiable(design, sigma)
    if design.residual is not None:
        return _fit_residual(design, reml, sigma, control, (start, start_residual), report, seconds)
    columns = design.X.shape[1] + 1 + sum(block.k for block in design.blocks)
    with blas_threads(1, design.n * columns):
        cross = products_of(design, (control or Control()).of_tail)
    timing = {"design": seconds, "cross_products": perf_counter() - begun}
    return _estimated(design, cross, reml, start, sigma, control, report, timing)


def _fit_residual(
    design: Design,
    reml: bool,
    sigma: float | None,
    control: Control | None,
    start: tuple[Array | None, Array | None],
    report: Callable[[int, float], None] | None,
    seconds: float,
) -> Fit:
    """Return the fit of a design with a residual structure."""
    begun = perf_counter()
    with blas_threads((control or Control()).blas_threads):
        found = fit_whitened(design, reml=reml, sigma=sigma, control=control, start=start, report=report)
    outcome, took = found.estimate, perf_counter() - begun
    timing = {"design": seconds, "optimisation": took, "total": seconds + took}
    timing |= {"starts": outcome.starts, "starts_agreed": outcome.agreed}
    return Fit(
        design,
        found.cross,
        outcome.theta,
        reml,
        sigma,
        unidentified_verdict(
            outcome.convergence, *_ridge_names(design, found.cross, reml, sigma), loose_structures(design)
        ),
        outcome.evaluation,
        timing,
        found.residual,
    )


def refit_design(fit: Fit, y: Array) -> Fit:
    """Return the same model fitted to another response, shape (n,), from which any offset is already subtracted."""
    if y.shape != (fit.design.n,):
        raise DataError(
            f"the new response has shape {y.shape}; the model was fitted to {fit.design.n} rows"
            + (
                f", {fit.design.dropped} others were dropped for missing values."
                if fit.design.dropped
                else "."
            )
        )
    if not np.all(np.isfinite(y)):
        bad = np.flatnonzero(~np.isfinite(y))
        raise DataError(
            f"the new response has missing or infinite values ({bad.size}; first: {y[bad[0]]} in row "
            f"{shown(fit.design.index[bad[0]])}); refit needs one finite number a row."
        )
    begun = perf_counter()
    design = fit.design.with_response(y)
    if fit.residual is not None:
        start = fit.theta, fit.residual.x
        return _fit_residual(design, fit.reml, fit.held_sigma, None, start, None, 0.0)
    cross = with_response(fit.cross, design)
    timing = {"cross_products": perf_counter() - begun}
    return _estimated(design, cross, fit.reml, fit.theta, fit.held_sigma, None, None, timing)


def _ridge_names(
    design: Design, cross: CrossProducts, reml: bool, sigma: float | None
) -> tuple[list[str], list[str], list[str]]:
    """Return the effects whose variances a ridge of the likelihood moves, such as ``(Intercept) | id``, and pairs.

    The pairs are effects of which only the correlation is moved. Last are parameters of which the data say nothing.
    """
    names, pairs = [], []
    if design.residual is not None:
        ties = design.residual.ties(reml, sigma is not None)
        split = [[tie.words for tie in ties if tie.unseen is unseen] for unseen in (False, True)]
        return list(dict.fromkeys(split[0])), [], list(dict.fromkeys(split[1]))
    shared = cross.with_residual
    for block, elements, with_residual in zip(design.blocks, cross.unidentified, shared, strict=True):
        moved = elements & ~with_residual if sigma is not None else elements
        own, covered = np.diag(moved).copy(), np.zeros(block.k, dtype=bool)
        for part, _, here in block.structure.slices():
            if isinstance(part, ScaledCorrelation) and (with_residual & moved)[here, here].any():
                own[here], covered[here] = False, True
                names.append(f"{part.name}(… | {block.name})")
        names += [f"{e} | {block.name}" for e, is_moved in zip(block.effects, own, strict=True) if is_moved]
        pairs += [
            f"{block.effects[b]} and {block.effects[a]} | {block.name}"
            for a, b in zip(*np.nonzero(np.tril(moved, -1)), strict=True)
            if not (own[a] or own[b] or covered[a])
        ]
    if sigma is None and any(own.any() for own in shared):
        names.append(RESIDUAL)
    return list(dict.fromkeys(names)), pairs, []


def _estimated(
    design: Design,
    cross: CrossProducts,
    reml: bool,
    start: Array | None,
    sigma: float | None,
    control: Control | None,
    report: Callable[[int, float], None] | None,
    timing: dict[str, float],
) -> Fit:
    begun = perf_counter()
    compiled = (
        cross.sparse is None and cross.pairs is None and not cross.has_known
    )  # LAPACK's inverses use threads for smaller matrices too
    largest = max(cross.gram.size, cross.first.border.size) if compiled else np.inf
    with blas_threads((control or Control()).blas_threads, largest):
        outcome = estimate(
            cross,
            [block.structure for block in design.blocks],
            reml=reml,
            sigma=sigma,
            start=start,
            control=control,
            names=[block.name for block in design.blocks],
            report=report,
            rows=lambda: rows_of(design, cross),
        )
    convergence = unidentified_verdict(
        outcome.convergence, *_ridge_names(design, cross, reml, sigma), loose_structures(design)
    )
    timing["optimisation"] = perf_counter() - begun
    timing["total"] = sum(timing.values())
    timing["starts"], timing["starts_agreed"] = outcome.starts, outcome.agreed
    if cross.pairs is not None:
        timing |= monte_carlo_errors(outcome.evaluation)
    return Fit(design, cross, outcome.theta, reml, sigma, convergence, outcome.evaluation, timing)
