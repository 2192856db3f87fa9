"""Choice of the search: compiled for small models, else `optimize`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.covariance import BlockDiagonal, Diagonal, Unstructured
from mixedfit.covariance.constrained_root import LinearRoot
from mixedfit.kernels.small_search import NOT_FINITE, REACHED, search_once
from mixedfit.likelihood.compiled import SmallModel
from mixedfit.likelihood.criterion import Criterion

from .optimize import Optimum, minimise

__all__ = ["Found", "can_search", "minimise_criterion", "search"]

PATIENCE = 40
"""Evaluations that damped Newton steps are given: five to ten are usual, and where forty do not do the model is flat or
bent in a way that a trust region handles better."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Where a compiled search ended.

    Attributes
    ----------
    x : ndarray, shape (n_theta,)
        θ, the best met.
    value, decrement, prss : float
        Criterion, decrease that a Newton step still promises, penalised residual sum of squares.
    evaluations : int
    reached : bool
        Whether the decrement fell below the tolerance.
    finite : bool
        Whether the criterion could be computed at the start; nothing else is defined otherwise.
    curvature, exact_curvature : ndarray, shape (n_theta, n_theta)
        As an `Evaluation` has them.
    """

    x: Array
    value: float
    decrement: float
    prss: float
    evaluations: int
    reached: bool
    finite: bool
    curvature: Array
    exact_curvature: Array | None


def can_search(criterion: Criterion) -> bool:
    """Return whether compiled code can search: a small model, θ ↦ λ linear, at least one θ."""
    return (
        criterion.n_theta > 0
        and criterion.small is not None
        and all(_is_linear(s) for s in criterion.structures)
    )


def _is_linear(structure: Any) -> bool:
    if isinstance(structure, LinearRoot):
        return True
    return isinstance(structure, BlockDiagonal) and all(
        isinstance(part, Unstructured | Diagonal) for part in structure.parts
    )


def slopes_of(criterion: Criterion, model: SmallModel) -> Array:
    """Return ∂λ̃/∂θ of linear structures, θ in the layout's order, as compiled code takes it, shape (n_theta, k, k)."""
    return model.padded_slopes(criterion.derivatives(np.zeros(criterion.n_theta)))


def settings_of(criterion: Criterion, model: SmallModel) -> tuple[bool, bool, float, float, float]:
    """Return the `settings` of `kernels.search.search_small`."""
    reml, nu = criterion.reml, float(criterion.nu)
    if criterion.sigma is None:
        return reml, model.exact, nu, 0.0, float(criterion.constant)
    variance = (criterion.sigma / criterion.cross.fixed.scale) ** 2
    constant = criterion.constant + nu * np.log(2.0 * np.pi * criterion.sigma**2)
    return reml, model.exact, nu, float(variance), float(constant)


def search(criterion: Criterion, model: SmallModel, start: Array, limits: tuple[float, float, int]) -> Found:
    """Return the end of a Newton search from `start` in compiled code.

    Parameters
    ----------
    criterion : Criterion
        For which `can_search` holds; `model` is its `small`.
    start : ndarray, shape (n_theta,)
    limits : (float, float, int)
        Decrement at which to stop, decrement from which last steps are not worth their cost, most evaluations.
    """
    x = np.asarray(start, dtype=float)[model.places]
    numbers, curvatures = np.full(4, np.inf), np.zeros((2, x.size, x.size))
    status = search_once(
        model.static,
        model.data,
        model.layout,
        settings_of(criterion, model),
        limits,
        slopes_of(criterion, model),
        x,
        numbers,
        curvatures,
    )
    value, decrement, prss, evaluations = numbers.tolist()
    return Found(
        model.design_order(x),
        value,
        decrement,
        prss,
        int(evaluations),
        status == REACHED,
        status != NOT_FINITE,
        model.design_orders(curvatures[0]),
        model.design_orders(curvatures[1]) if model.exact else None,
    )


def minimise_criterion(
    criterion: Criterion,
    start: Array,
    *,
    tolerance: float,
    negligible: float,
    max_evaluations: int,
    report: Callable[[int, float], None] | None,
) -> Optimum:
    """Return the minimum; arguments as of `optimize.minimise`, which begins anew where compiled steps do not arrive."""
    if criterion.small is None or not can_search(criterion):
        return minimise(
            criterion,
            start,
            tolerance=tolerance,
            negligible=negligible,
            max_evaluations=max_evaluations,
            report=report,
        )
    limit = min(max_evaluations, PATIENCE)
    found = search(criterion, criterion.small, start, (tolerance, negligible, limit))
    if not found.finite:
        raise FloatingPointError("the function is not finite at the start")
    if found.reached:
        return Optimum(found.x, found, found.decrement, found.evaluations, True)
    optimum = minimise(
        criterion,
        start,
        tolerance=tolerance,
        negligible=negligible,
        max_evaluations=max(max_evaluations - found.evaluations, 1),
        report=report,
    )
    return replace(optimum, evaluations=found.evaluations + optimum.evaluations)
