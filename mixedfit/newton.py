"""The search for a criterion's minimum: compiled as a whole where the model is small, else by `optimize`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._types import Array, BoolArray, IntArray
from .covariance import BlockDiagonal, Diagonal, Unstructured
from .covariance.linear import LinearRoot
from .criterion import Criterion
from .kernels.search import NOT_FINITE, REACHED, search_many, search_once
from .optimize import Optimum, minimise
from .small import SmallModel

__all__ = ["Ends", "Found", "Responses", "can_search", "minimise_criterion", "search", "search_responses"]


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


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """Products of many responses with one design, in the basis of its cross-products.

    Each response is ỹ = (y − X centre) / scale with its own centre and scale, as `crossprod.with_response` has it.

    Attributes
    ----------
    borders : ndarray, shape (responses, levels, k)
        Z_jᵀỹ for each level of the first factor: what `first.border[:, :, -1]` holds.
    lasts : ndarray, shape (responses, m)
        [tail, X, ỹ]ᵀỹ: what `gram[-1]` holds.
    scales : ndarray, shape (responses,)
        Units of y in one of ỹ.
    """

    borders: Array
    lasts: Array
    scales: Array


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Where the searches for many responses ended.

    Attributes
    ----------
    x : ndarray, shape (responses, n_theta)
        θ of the criterion that was minimised (canonical if it is), in the design's order.
    value, decrement, prss : ndarray, shape (responses,)
        Criterion, Newton decrement, penalised residual sum of squares in units of scale².
    evaluations : ndarray of int64, shape (responses,)
    reached : ndarray of bool, shape (responses,)
        Whether the search arrived at a minimum. Where it did not, and where an element of x on a diagonal of λ is
        not well above 0, the fit needs `estimate`, which knows of boundaries.
    """

    x: Array
    value: Array
    decrement: Array
    prss: Array
    evaluations: IntArray
    reached: BoolArray


def search_responses(
    criterion: Criterion, start: Array, responses: Responses, limits: tuple[float, float, int]
) -> Ends:
    """Return the ends of Newton searches for many responses of one design.

    Compiled code does all of it without the interpreter's lock, so that threads can share the responses out.

    Parameters
    ----------
    criterion : Criterion
        For which `can_search` holds; its own response does not matter.
    start : ndarray, shape (n_theta,)
        Where every search begins.
    responses : Responses
    limits : (float, float, int)
        Decrement at which to stop, decrement from which last steps are not worth their cost, most evaluations.
    """
    model = criterion.small
    if model is None or not can_search(criterion):
        raise ValueError("compiled code cannot search this criterion; ask `can_search` first")
    settings = settings_of(criterion, model)
    count, size = responses.scales.size, criterion.n_theta
    constants = np.zeros((count, 2))
    constants[:, 0] = settings[-1]
    if criterion.sigma is None:
        constants[:, 0] += 2.0 * criterion.nu * np.log(responses.scales / criterion.cross.fixed.scale)
    else:
        constants[:, 1] = (criterion.sigma / responses.scales) ** 2
    x, numbers, status = np.empty((count, size)), np.empty((count, 4)), np.empty(count, np.int64)
    search_many(
        model.static,
        model.data,
        model.layout,
        settings,
        limits,
        slopes_of(criterion, model),
        np.asarray(start, dtype=float)[model.places],
        np.ascontiguousarray(responses.borders),
        np.ascontiguousarray(responses.lasts),
        constants,
        x,
        numbers,
        status,
    )
    ordered = np.empty_like(x)
    ordered[:, model.places] = x
    value, decrement, prss, evaluations = numbers.T
    return Ends(ordered, value, decrement, prss, evaluations.astype(np.int64), status == REACHED)
