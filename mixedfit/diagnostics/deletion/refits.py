"""Estimates without each case, with the variance parameters held at their estimates or estimated again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import ConvergenceWarning, MixedfitError, ModelError, warn
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.diagnostics.leverages import RowLeverages
from mixedfit.estimation.batch import BatchSearch, batch_search
from mixedfit.estimation.fit import Fit, criterion_of
from mixedfit.inference.bootstrap.replicates import reason_of, refitted
from mixedfit.likelihood.criterion import Evaluation

from .level_cases import LevelCases
from .local_refits import refit_nearby
from .removal import NOT_ESTIMABLE, DeletionEstimates, cross_products_without, full_data_estimates, full_rank

__all__ = ["held_levels", "held_one_by_one", "held_rows", "refits"]

FULL_LEVERAGE = 1e-10
"""1 − leverage below which some effect is not estimable without the row."""

COMPILED_FROM = 500
"""Least number of searches for which the compiled search is used: its first compilation takes seconds."""

INTERRUPTED = "not reached before the interrupt"
"""Why cases after an interrupt have no estimates."""

Report = Callable[[int, int], None]
"""Function that shows progress: called with the number of cases done and their total."""


def held_rows(rows: RowLeverages, these: IntArray) -> DeletionEstimates:
    """Return estimates without each of some rows at the fit's θ and σ, in closed form.

    With h the leverages: β̂ − β̂₍ᵢ₎ = ΦX̂ᵢᵀ wᵢeᵢ/(1 − hᵢ); X̃ᵀV⁻¹X̃ decreases by
    wᵢX̂ᵢᵀX̂ᵢ/(1 − hᵢ + sᵢ), sᵢ = wᵢX̂ᵢΦX̂ᵢᵀ.
    """
    fit = rows.fit
    solution, information, variance = full_data_estimates(fit)
    out = DeletionEstimates.empty(these.size, fit)
    weights, left = rows.weights[these], 1.0 - rows.leverage[these]
    residual = (fit.response - fit.fitted)[these] / fit.cross.fixed.scale
    adjusted, share = rows.adjusted[these], rows.share[these]
    fine = left > FULL_LEVERAGE
    for i in np.flatnonzero(~fine):
        out.reasons[int(i)] = NOT_ESTIMABLE
    adjusted, share, left, weights = adjusted[fine], share[fine], left[fine], weights[fine]
    out.solution[fine] = solution - (adjusted @ rows.phi) * (weights * residual[fine] / left)[:, None]
    taken = (weights / (left + share))[:, None, None] * adjusted[:, :, None] * adjusted[:, None, :]
    out.information[fine] = information - taken
    out.variance[fine] = variance
    out.theta[fine] = fit.theta
    return out


def held_levels(cases: LevelCases) -> DeletionEstimates:
    """Return estimates without each level of the only factor at the fit's θ and σ."""
    fit = cases.fit
    lam = fit.evaluation.tail.lams[0]
    none = np.zeros((1, 0, *lam.shape))
    products = (cases.whole(lam, none[0]) + cases.change(lam[None], none)).products
    out, p = DeletionEstimates.empty(cases.levels.size, fit), fit.cross.p
    fine = full_rank(products[:, :p, :p])
    own = products[fine]
    out.solution[fine] = np.linalg.solve(own[:, :p, :p], own[:, :p, p:])[:, :, 0] if p else own[:, :0, 0]
    out.information[fine], out.variance[fine] = own[:, :p, :p], fit.evaluation.sigma_squared
    out.theta[fine] = fit.theta
    out.reasons.update({int(c): NOT_ESTIMABLE for c in np.flatnonzero(~fine)})
    return out


def held_one_by_one(fit: Fit, cases: Sequence[IntArray], report: Report) -> DeletionEstimates:
    """Return estimates without each case at the fit's θ and σ, by one evaluation of the criterion per case."""
    out = DeletionEstimates.empty(len(cases), fit)

    def estimate(c: int) -> None:
        cross = cross_products_without(fit, cases[c])
        evaluation = criterion_of(fit.design, cross, fit.reml, fit.held_sigma)(fit.theta)
        if not evaluation.tail.ok:
            raise ModelError(NOT_ESTIMABLE)
        write_evaluation(fit, cross, evaluation, out, c)
        out.variance[c] = fit.evaluation.sigma_squared
        out.theta[c], out.criterion[c] = fit.theta, np.nan

    one_by_one(list(range(len(cases))), estimate, out, report)
    return out


def one_by_one(
    left: Sequence[int], estimate: Callable[[int], None], out: DeletionEstimates, report: Report
) -> None:
    """Estimate without one case after the other; an interrupt keeps what is done, unless nothing is."""
    total = out.variance.size
    with blas_threads(1):
        for at, c in enumerate(left):
            try:
                report(total - len(left) + at, total)
                estimate(c)
            except (MixedfitError, FloatingPointError, np.linalg.LinAlgError) as error:
                out.reasons[c] = reason_of(error)
            except KeyboardInterrupt:
                done = total - len(left) + at
                if not done:
                    raise
                out.forget(c)
                out.reasons.update(dict.fromkeys(left[at:], INTERRUPTED))
                warn(f"stopped after {done} of {total} cases, which are kept.", ConvergenceWarning)
                return


def write_evaluation(
    fit: Fit, cross: CrossProducts, evaluation: Evaluation, out: DeletionEstimates, c: int
) -> None:
    """Store β̃, information, σ² and criterion of one case, in the basis of the fit."""
    many = cross.q_tail - cross.q_random
    solution = evaluation.solution[cross.q_tail :]
    covariance = evaluation.tail.fixed_covariance()[many:, many:]
    variance = evaluation.sigma_squared
    own, fixed = fit.cross.fixed, cross.fixed
    if fixed is not own and solution.size:
        root = np.linalg.solve(own.transform, fixed.transform)
        beta = fixed.centre + fixed.scale * (fixed.transform @ solution)
        solution = np.asarray(np.linalg.solve(own.transform, beta - own.centre)) / own.scale
        covariance = root @ covariance @ root.T
    out.solution[c] = solution
    out.information[c] = inverse(covariance) if solution.size else covariance
    out.variance[c] = variance * (fixed.scale / own.scale) ** 2
    out.criterion[c] = evaluation.value


def refits(
    fit: Fit, cases: Sequence[IntArray], by_level: LevelCases | None, report: Report
) -> DeletionEstimates:
    """Return estimates without each case, all parameters estimated again.

    Parameters
    ----------
    fit : Fit
    cases : sequence of ndarray of int64
        Rows of each.
    by_level : LevelCases or None
        The same cases as products of single levels, for models with one factor.
    report : Report
    """
    out = DeletionEstimates.empty(len(cases), fit)
    search = batch_search(fit)
    done = np.zeros(len(cases), dtype=bool)
    if search is not None and by_level is not None:
        done = refit_nearby(search, by_level, out)
    left = np.flatnonzero(~done).tolist()
    if len(left) < COMPILED_FROM:
        search = None
    one_by_one(left, lambda c: _refit(fit, search, cases[c], out, c), out, report)
    return out


def _refit(fit: Fit, search: BatchSearch | None, rows: IntArray, out: DeletionEstimates, c: int) -> None:
    cross = cross_products_without(fit, rows)
    if search is not None:
        batch = search.empty(1)
        search.refit(cross, batch, 0)
        if batch.settled[0]:
            out.solution[c] = batch.solution[0]
            out.information[c] = batch.factor[0] @ batch.factor[0].T
            out.variance[c], out.criterion[c] = batch.variance[0], batch.criterion[0]
            out.theta[c] = search.thetas(batch.x)[0]
            return
    refit = refitted(fit, cross, fit.design)
    write_evaluation(fit, cross, refit.evaluation, out, c)
    out.theta[c] = refit.theta
