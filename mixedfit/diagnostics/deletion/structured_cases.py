"""Estimates without each case for fits with a residual structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import ModelError
from mixedfit.diagnostics.structured_rows import StructuredRows
from mixedfit.estimation.fit import Fit
from mixedfit.inference.bootstrap.cases import rows_of_design
from mixedfit.inference.bootstrap.replicates import refitted_structure, residual_values

from .refits import Report, one_by_one, write_evaluation
from .removal import NOT_ESTIMABLE, DeletionEstimates, full_data_estimates, full_rank

__all__ = ["structured_cases"]


def structured_cases(
    rows: StructuredRows, cases: Sequence[IntArray], refit: bool, report: Report
) -> DeletionEstimates:
    """Return the estimates without each case.

    Parameters
    ----------
    rows : StructuredRows
    cases : sequence of ndarray of int64
        Rows of each.
    refit : bool
        Whether the variance parameters are estimated again, or held.
    report : Report
    """
    fit, out = rows.fit, DeletionEstimates.empty(len(cases), rows.fit)
    solution, _, variance = full_data_estimates(fit)
    held = residual_values(fit)

    def hold(c: int) -> None:
        change, information = rows.without(cases[c])
        if fit.cross.p and not full_rank(information):
            raise ModelError(NOT_ESTIMABLE)
        out.solution[c] = solution - change / fit.cross.fixed.scale
        out.information[c], out.variance[c] = information, variance
        out.theta[c], out.residual[c] = fit.theta, held

    def search(c: int) -> None:
        refitted = _without(fit, cases[c])
        write_evaluation(fit, refitted.cross, refitted.evaluation, out, c)
        out.theta[c], out.residual[c] = refitted.theta, residual_values(refitted)

    one_by_one(list(range(len(cases))), search if refit else hold, out, report)
    return out


def _without(fit: Fit, rows: IntArray) -> Fit:
    """Return the refit without some rows."""
    kept = np.setdiff1d(np.arange(fit.design.n), rows)
    if kept.size <= fit.cross.p_total:
        raise ModelError("too few rows left")
    return refitted_structure(fit, rows_of_design(fit.design, kept))
