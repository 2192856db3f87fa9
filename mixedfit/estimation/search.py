"""Minimisation of a criterion: compiled Newton steps where the model is small, else `optimize.minimise`."""

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

__all__ = [
    "Found",
    "compiled_search",
    "minimise_criterion",
    "search",
    "searchable_model",
    "settings_of",
    "slopes_of",
]

PATIENCE = 40
"""Largest number of evaluations by compiled Newton steps, of which five to ten are usual; after that a trust region
takes over, which copes better with flat or strongly curved criteria."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Result of a compiled search.

    Attributes
    ----------
    x : ndarray, shape (n_theta,)
        Best θ found.
    value, decrement, prss : float
        Criterion, Newton decrement, penalised residual sum of squares.
    evaluations : int
    reached : bool
        Whether the decrement fell below the tolerance.
    finite : bool
        Whether the criterion is finite at the start; if not, nothing else is defined.
    curvature, exact_curvature : ndarray, shape (n_theta, n_theta)
        As in `Evaluation`.
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


def searchable_model(criterion: Criterion) -> SmallModel | None:
    """Return the model that compiled code can search: small, with θ ↦ λ linear and at least one θ; else None."""
    linear = criterion.n_theta > 0 and all(_is_linear(s) for s in criterion.structures)
    return criterion.small if linear else None


def _is_linear(structure: Any) -> bool:
    if isinstance(structure, LinearRoot):
        return True
    return isinstance(structure, BlockDiagonal) and all(
        isinstance(part, Unstructured | Diagonal) for part in structure.parts
    )


def slopes_of(criterion: Criterion, model: SmallModel) -> Array:
    """Return ∂λ̃/∂θ of linear structures, θ in the layout's order, shape (n_theta, k, k)."""
    return model.padded_slopes(criterion.derivatives(np.zeros(criterion.n_theta)))


def settings_of(criterion: Criterion, model: SmallModel) -> tuple[bool, bool, float, float, float]:
    """Return the `settings` of `kernels.small_search.search_small`."""
    reml, nu = criterion.reml, float(criterion.nu)
    if criterion.sigma is None:
        return reml, model.exact, nu, 0.0, float(criterion.constant)
    variance = (criterion.sigma / criterion.cross.fixed.scale) ** 2
    constant = criterion.constant + nu * np.log(2.0 * np.pi * criterion.sigma**2)
    return reml, model.exact, nu, float(variance), float(constant)


def search(criterion: Criterion, model: SmallModel, start: Array, limits: tuple[float, float, int]) -> Found:
    """Minimise a small model's criterion from `start` by Newton steps in compiled code.

    Parameters
    ----------
    criterion : Criterion
    model : SmallModel
        The criterion's `searchable_model`.
    start : ndarray, shape (n_theta,)
    limits : (float, float, int)
        Decrement at which the search stops, decrement below which no further steps are taken, most evaluations.
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


def compiled_search(criterion: Criterion, start: Array, max_evaluations: int) -> Optimum | None:
    """Return where compiled Newton steps end; None if the model is not small or the criterion not finite at `start`."""
    model = searchable_model(criterion)
    found = None if model is None else search(criterion, model, start, (1e-9, 1e-18, max_evaluations))
    if found is None or not found.finite:
        return None
    return Optimum(found.x, found, found.decrement, found.evaluations, found.reached)


def minimise_criterion(
    criterion: Criterion,
    start: Array,
    *,
    tolerance: float,
    negligible: float,
    max_evaluations: int,
    report: Callable[[int, float], None] | None,
    ahead: Callable[[Array], bool] | None = None,
    rate: float | None = None,
) -> Optimum:
    """Return the minimum; arguments as of `optimize.minimise`, which restarts if compiled steps do not converge."""
    model, spent = searchable_model(criterion), 0
    if model is not None:
        found = search(criterion, model, start, (tolerance, negligible, min(max_evaluations, PATIENCE)))
        if not found.finite:
            raise FloatingPointError("the function is not finite at the start")
        if found.reached:
            return Optimum(found.x, found, found.decrement, found.evaluations, True)
        spent = found.evaluations
    optimum = minimise(
        criterion,
        start,
        tolerance=tolerance,
        negligible=negligible,
        max_evaluations=max(max_evaluations - spent, 1),
        report=report,
        ahead=ahead,
        rate=rate,
    )
    return replace(optimum, evaluations=spent + optimum.evaluations)
