"""REML and ML estimates from cross-products: starting values, minimisation, treatment of the boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import EXACT_FIT, LOST_RESIDUAL, ModelError
from mixedfit.core.linalg import inverse
from mixedfit.core.options import check_one_of
from mixedfit.covariance import BlockDiagonal, CovarianceStructure, ScaledCorrelation
from mixedfit.crossproducts.absorbed import absorbed
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.tail_pairs import Solver
from mixedfit.likelihood.by_rows import Rows
from mixedfit.likelihood.criterion import Criterion, Evaluation
from mixedfit.likelihood.dense_tail import LARGE_TAIL

from .boundary import boundary_search
from .convergence import Convergence, convergence_of
from .degenerate import Settled, falls_without_bound, residual_share, settled
from .gradient_search import gradient_search, with_zeros_kept
from .monte_carlo import monte_carlo_errors
from .optimize import Optimum
from .probed_start import probed_start
from .search import compiled_search, minimise_criterion, searchable_model
from .starts import (
    exchanged_starts,
    further_starts,
    identity_start,
    mirrored_starts,
    moment_start,
    structured_starts,
    to_canonical,
)

__all__ = ["Control", "Estimate", "estimate"]

FEW_ROWS = 100
"""Rows up to which several starts are the default: other optima were seen in models of 5 to 60 rows."""

MOST_STARTS = 30
"""Largest default number of starts of a model with few rows, which is 2 and 4 for each θ."""

MORE_STARTS = 4
"""How many times as many starts there are if no two searches reached the lowest optimum."""

FURTHER_EVALUATIONS = 40
"""Evaluations from a further start, as long as the criterion is above that of the optimum known."""

SEARCHED_STARTS = 3
"""Starts of a model without compiled search that are searched by default: those with the lowest values."""

LOST_DIGITS = 1e-2
"""Difference of the criterion from cross-products and by rows beyond which standard errors have lost digits too."""

STRUCTURED_EXACT_FIT = (
    "the residual variance goes to 0 beside the covariance structure of the random effects: these stand for the rows "
    "themselves. Hold it at a small value, .fit(sigma=...), or choose a structure with fewer parameters."
)
"""Message for models whose structure leaves no residual variance."""

STRUCTURED_SHARES = (1e-14, 1e-5)
"""Shares of the least-squares residual variance between which it counts as 0 where the criterion is not evaluated by
rows: beside a structure that is not linear, and with known relationships of many levels."""

SEARCHED_SHARE = 1e-6
"""Share of the least-squares residual variance below which a further search of a model with few rows stops, since it
is by rows that such points are searched: cross-products have few digits there."""

ROUNDING = 1e-14
"""Rounding error of the criterion as a share of the largest relative variance, by which flat criteria seem to fall."""

AHEAD = 0.02
"""Diagonals of λ̃ above which the last step of a large model may be foreseen: far from the boundary."""

ROUNDED = 1e-11
"""Rounding error of the criterion of a large model, as a share of its value."""

SAME = 1e-4
"""Difference of the criterion up to which two starts count as having reached the same optimum."""


@dataclass(frozen=True, slots=True)
class Control:
    """Settings of the optimisation.

    Parameters
    ----------
    tolerance : float
        Newton decrement, in units of the deviance, at which the search stops.
    max_evaluations : int
        Evaluations of the criterion before the search gives up.
    blas_threads : int
        Threads of the dense algebra. More than one is faster for crossed factors with thousands of levels on an
        idle machine, and much slower on a busy one.
    starts : int, optional
        Points to start from; the lowest optimum is kept, and `fit.timing` says how many starts reached it. By default
        2 and 4 for each covariance parameter in models of at most 100 rows, whose criterion may have several minima,
        beside some with effects left out, and four times as many if only one search reached the lowest optimum; 1 for
        others.
    solver : {"auto", "exact", "iterative"}
        For crossed factors: a factorisation, or conjugate gradients with log-determinants and traces from random
        probes, whose Monte-Carlo error `fit.timing` and the summary state. By default iterative where a factorisation
        would take several GB: where the smaller factors have more than 10,000 effects that a sparse matrix cannot hold.
    probes : int
        Random vectors of an iterative solution; four times as many halve its error.

    Examples
    --------
    >>> Control(max_evaluations=50).tolerance
    1e-09
    """

    tolerance: float = 1e-9
    max_evaluations: int = 500
    blas_threads: int = 1
    starts: int | None = None
    solver: Literal["auto", "exact", "iterative"] = "auto"
    probes: int = 20

    @property
    def of_tail(self) -> Solver:
        """How systems of the size of the crossed factors are solved."""
        return Solver(self.solver, self.probes)

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and self.max_evaluations >= 1 and self.blas_threads >= 1):
            raise ModelError("Control needs a tolerance above 0, and at least one evaluation and one thread.")
        check_one_of("solver", self.solver, ("auto", "exact", "iterative"))
        if isinstance(self.probes, bool) or not isinstance(self.probes, int) or self.probes < 2:
            raise ModelError(f"Control(probes={self.probes!r}): expected a whole number of at least 2.")
        if self.starts is not None and not self.starts >= 1:
            raise ModelError(
                f"Control(starts={self.starts!r}): expected at least one start, or None for the default."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Estimates of θ.

    Attributes
    ----------
    theta : ndarray, shape (n_theta,)
    evaluation : Evaluation
        The criterion at θ, in the formula's own basis.
    convergence : Convergence
    starts, agreed : int
        Number of starts, and how many of them reached the optimum.
    """

    theta: Array
    evaluation: Evaluation
    convergence: Convergence
    starts: int
    agreed: int


def estimate(
    cross: CrossProducts,
    structures: Sequence[BlockDiagonal],
    *,
    reml: bool,
    sigma: float | None = None,
    start: Array | None = None,
    control: Control | None = None,
    names: Sequence[str] = (),
    report: Callable[[int, float], None] | None = None,
    rows: Callable[[], Rows | None] | None = None,
) -> Estimate:
    """Return the REML or ML estimate of θ.

    Parameters
    ----------
    cross : CrossProducts
    structures : sequence of BlockDiagonal
        Covariance structure of each of the design's blocks.
    reml : bool
    sigma : float, optional
        Residual standard deviation, if held fixed.
    start : ndarray, shape (n_theta,), optional
        θ to start from; by default moment estimates.
    control : Control, optional
    names : sequence of str
        Names of the blocks, for the convergence message.
    report : callable, optional
        Called with the number of evaluations and the best value so far.
    rows : callable, optional
        Returns the rows of a small model, for optima whose residual variance cross-products do not determine.

    Raises
    ------
    ModelError
        If the residual variance is 0 or the criterion cannot be computed.
    """
    control = control or Control()
    fewer = absorbed(cross) if reml else None
    canonical = Criterion(fewer or cross, tuple(structures), reml, sigma, canonical=True)
    inner = moment_start(canonical) if start is None else to_canonical(canonical, np.asarray(start, float))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # at trial points far away
        inner, rate = (inner, None) if start is not None else probed_start(canonical, inner)
        linear = all(structure.linear for structure in canonical.structures)
        looks = rows if rows is not None and canonical.n_theta and linear and cross.pairs is None else None
        unbounded = looks is not None and falls_without_bound(canonical, looks)
        optimum, found = _search(canonical, inner, control, report, unbounded, rate=rate)
        result = Settled(optimum, None, "positive")
        if looks is not None:
            result = settled(
                canonical, looks, (optimum, *found), unbounded, control.tolerance, control.max_evaluations
            )
    optimum = result.optimum
    theta, singular = _to_formula(canonical, optimum.x)
    evaluation = Criterion(cross, tuple(structures), reml, sigma)(theta)
    if optimum.ahead and not evaluation.value <= optimum.point.value + ROUNDED * abs(optimum.point.value):
        optimum, found = _search(canonical, optimum.x, control, report, unbounded, foresee=False)
        theta, singular = _to_formula(canonical, optimum.x)
        evaluation = Criterion(cross, tuple(structures), reml, sigma)(theta)
    if result.by_rows is not None:
        if not abs(evaluation.value - result.by_rows.value) < LOST_DIGITS:
            raise ModelError(LOST_RESIDUAL)
        evaluation.set_precise(result.by_rows.value, result.by_rows.tail_factor())
    share = evaluation.tail.prss / cross.n if evaluation.tail.ok else 0.0
    least, vanishing = STRUCTURED_SHARES
    unseen = not linear or (cross.has_known and result.by_rows is None)
    if unseen and sigma is None and least < share < vanishing and optimum.decrement < 1e-3:
        optimum = replace(optimum, reached=True)
        result = Settled(optimum, None, "zero")
    elif share < (1e-18 if optimum.reached else 1e-9) and (sigma is None or not evaluation.tail.ok):
        raise ModelError(EXACT_FIT if linear else STRUCTURED_EXACT_FIT)
    if cross.pairs is not None and not optimum.reached:
        error = monte_carlo_errors(evaluation).get("estimate_error", 0.0)
        optimum = replace(optimum, reached=bool(optimum.decrement <= (2.0 * error) ** 2))
    convergence = convergence_of(canonical, optimum, singular, names, result.residual)
    return Estimate(theta, evaluation, convergence, len(found), _agreed(found, optimum))


def _search(
    criterion: Criterion,
    start: Array,
    control: Control,
    report: Callable[[int, float], None] | None,
    unbounded: bool = False,
    *,
    rate: float | None = None,
    foresee: bool = True,
) -> tuple[Optimum, list[Optimum]]:
    """Return the lowest optimum, and where the searches from all starts ended.

    Only local minima matter where the criterion is known to fall without a bound. `rate` is that of
    `optimize.minimise`; without `foresee` all steps of large models are checked.
    """
    linear = all(structure.linear for structure in criterion.structures)
    large = criterion.cross.q_tail > LARGE_TAIL
    search = partial(
        minimise_criterion,
        criterion,
        tolerance=control.tolerance,
        negligible=1e-13 if large else 1e-18,
        report=report,
        ahead=(lambda x: bool(x[criterion.diagonal].min() > AHEAD)) if large and foresee and linear else None,
        rate=rate,
    )
    if criterion.cross.pairs is not None:
        search = partial(gradient_search, criterion, report=report)
    optimum = boundary_search(criterion, search, start, control.max_evaluations)
    if criterion.cross.pairs is not None and not optimum.reached:
        optimum = with_zeros_kept(criterion, optimum, control.max_evaluations)
    if not linear:
        return _from_structured_starts(criterion, search, optimum, control)
    inside = bool(np.all(optimum.x[criterion.diagonal] > 0.0))
    left = control.max_evaluations - optimum.evaluations
    if criterion.n_theta and left > 0 and (not optimum.reached or not (inside or large)):
        other = boundary_search(criterion, search, identity_start(criterion), left)
        optimum = replace(_better(optimum, other), evaluations=optimum.evaluations + other.evaluations)
    found = [optimum]
    wanted = control.starts or (min(2 + 4 * criterion.n_theta, MOST_STARTS) if _few_rows(criterion) else 1)
    if criterion.n_theta == 0 or wanted == 1:
        return optimum, found
    all_of = control.starts is not None or searchable_model(criterion) is not None
    chosen = list if all_of else partial(_lowest, criterion)
    starts = chosen(further_starts(criterion, wanted - 1))
    most = 0 if unbounded else control.max_evaluations
    optimum = _further(criterion, search, starts, found, most)
    turned = chosen(chain(mirrored_starts(criterion, optimum.x), exchanged_starts(criterion, optimum.x)))
    optimum = _further(criterion, search, turned, found, most)
    if all_of and control.starts is None and not unbounded and _agreed(found, optimum) < 2:
        more = list(further_starts(criterion, MORE_STARTS * wanted))[len(starts) :]
        optimum = _further(criterion, search, more, found, most)
    return optimum, found


def _agreed(found: Sequence[Optimum], optimum: Optimum) -> int:
    """Return how many searches reached the optimum."""
    return sum(o.reached and o.point.value <= optimum.point.value + SAME for o in found)


def _few_rows(criterion: Criterion) -> bool:
    return criterion.cross.n <= FEW_ROWS


def _further(
    criterion: Criterion,
    search: Callable[..., Optimum],
    starts: Iterable[Array],
    found: list[Optimum],
    max_evaluations: int,
) -> Optimum:
    """Search from further starts, add where the searches ended to `found`, and return the lowest optimum of all."""
    optimum = found[0]
    for other in found[1:]:
        optimum = _better(optimum, other)
    for start in starts:
        result = _further_search(criterion, search, start, optimum, max_evaluations)
        if result is not None:
            found.append(result)
            optimum = _better(optimum, result)
    return optimum


def _lowest(criterion: Criterion, starts: Iterable[Array]) -> list[Array]:
    """Return the starts with the lowest values of the criterion, for models of which each search takes long."""
    valued = [(criterion(start).value, start) for start in starts]
    valued.sort(key=lambda pair: pair[0])
    return [start for value, start in valued[:SEARCHED_STARTS] if np.isfinite(value)]


def _from_structured_starts(
    criterion: Criterion, search: Callable[..., Optimum], optimum: Optimum, control: Control
) -> tuple[Optimum, list[Optimum]]:
    """Return the lowest of the optimum known and those from other starts, for structures that are not linear."""
    found = [optimum]
    for start in structured_starts(criterion, control.starts)[1:]:
        try:
            other = boundary_search(criterion, search, start, control.max_evaluations)
        except ModelError:
            continue
        found.append(other)
        optimum = _better(optimum, other)
    return optimum, found


def _better(optimum: Optimum, other: Optimum) -> Optimum:
    """Return the lower of two optima, the first if they are the same but for rounding."""
    size = float(np.abs(other.x).max(initial=0.0))
    lower = other.point.value < optimum.point.value - max(1e-7, ROUNDING * size * size)
    return other if other.reached and (not optimum.reached or lower) else optimum


def _further_search(
    criterion: Criterion, search: Callable[..., Optimum], start: Array, known: Optimum, max_evaluations: int
) -> Optimum | None:
    """Minimise from a further start; None if the criterion is not finite there.

    Small models take compiled steps first, and the full search only if these come below the optimum known and
    `max_evaluations` is not 0.
    """
    if searchable_model(criterion) is None:
        return boundary_search(criterion, search, start, max_evaluations or FURTHER_EVALUATIONS)
    found = compiled_search(criterion, start, FURTHER_EVALUATIONS)
    if found is None:
        return None
    if known.reached and not found.point.value < known.point.value - 1e-7:
        return found
    if max_evaluations == 0:
        return found
    if _few_rows(criterion):
        if residual_share(found.point, criterion) < SEARCHED_SHARE:
            return found
        if residual_share(known.point, criterion) < SEARCHED_SHARE:
            max_evaluations = min(max_evaluations, 2 * FURTHER_EVALUATIONS)
    return boundary_search(criterion, search, found.x, max_evaluations)


def _to_formula(criterion: Criterion, x: Array) -> tuple[Array, tuple[bool, ...]]:
    """Return θ in the formula's basis and, for each block, whether its covariance is singular."""
    parts, singular = [], []
    for f, (here, block) in enumerate(zip(criterion.slices, criterion.structures, strict=True)):
        back, any_missing = inverse(criterion.cross.basis[f]), False
        for structure, t, e in (
            [(block, slice(0, block.n_theta), slice(0, block.k))] if block.linear else block.slices()
        ):
            own = x[here][t]
            if isinstance(structure, ScaledCorrelation):
                parts.append(structure.change_units(own, back[e, e]))
                any_missing |= bool(structure.boundary_words(own))
                continue
            lam = structure.factor(own)
            missing = _missing_rank(lam)
            theta = structure.theta_from_root(back[e, e] @ lam)
            parts.append(_keep_rank(structure, theta, missing) if missing else theta)
            any_missing |= missing > 0
        singular.append(any_missing)
    return (np.concatenate(parts) if parts else np.zeros(0)), tuple(singular)


def _missing_rank(lam: Array) -> int:
    """Return k less the rank of a triangular λ, shape (k, k).

    Zeros on the diagonal may be more: [[0, 0], [1, 0]] has rank 1.
    """
    zeros = int(np.sum(np.diag(lam) == 0))
    if zeros < 2:
        return zeros
    rows = np.linalg.norm(lam, axis=1, keepdims=True)
    scaled = lam / np.where(rows > 0, rows, 1.0)
    return min(zeros, len(lam) - int(np.linalg.matrix_rank(scaled, tol=1e-13)))


def _keep_rank(structure: CovarianceStructure, theta: Array, missing: int) -> Array:
    """Return θ with the `missing` relatively smallest elements of λ's diagonal set to 0."""
    lam = structure.factor(theta)
    rows = np.linalg.norm(lam, axis=1)
    share = np.abs(np.diag(lam)) / np.where(rows > 0, rows, 1.0)
    out = theta.copy()
    for position in np.argsort(share, kind="stable")[:missing]:
        out[structure.diagonal[int(position)]] = 0.0
    return out
