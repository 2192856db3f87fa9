"""Small models whose residual variance goes to 0: refined by rows, and told from likelihoods without a bound.

As σ → 0 at fixed variances of the effects, λ grows as 1/σ. If X and ZΛ together reproduce y, the criterion then changes
by −2 (n − r) log(1/σ) with r = rank(ZΛ), or r = rank([X ZΛ]) under REML. Where r < n it has no minimum, which
`reproducing.py` finds out; where r = n it approaches a limit, and if that is lowest, the estimate of σ is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import EXACT_FIT, LOST_RESIDUAL, ModelError
from mixedfit.likelihood.by_rows import RowCriterion, RowEvaluation, Rows
from mixedfit.likelihood.criterion import Criterion

from .boundary import boundary_search
from .optimize import Optimum, minimise
from .reproducing import could_nearly_reproduce, could_reproduce, nearly_reproducing, reproducing_roots
from .search import minimise_criterion

__all__ = ["SMALL_SHARE", "Settled", "falls_without_bound", "residual_share", "settled"]

SMALL_SHARE = 1e-4
"""Share of the least-squares residual variance below which the residual variance is computed by rows."""

LOST_SHARE = 1e-13
"""Share below which the digits of the data do not determine the residual variance."""

ZERO_SHARES = (1e-9, 1e-8, 1e-7, 3e-7)
"""Shares at which estimates stand for the limit σ → 0: the next where cross-products have no digits at the first."""

SAME_DIGITS = 1e-3
"""Difference of the criterion from cross-products and by rows up to which these have digits."""

LOWER = 1e-6
"""Difference of the criterion that counts where it has digits."""

NEAR = 20.0
"""Largest height of the criterion above the lowest optimum from which a direction is searched."""

MOST_REFINED = 3
"""Largest number of optima with a small share that are refined."""

LOCAL_EVALUATIONS = 400
"""Evaluations of the search for a local minimum of a criterion that falls without a bound."""


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """The optimum of a small model after a look at σ → 0.

    Attributes
    ----------
    optimum : Optimum
    by_rows : RowEvaluation or None
        The criterion at the optimum by rows, if it was needed.
    residual : {"positive", "zero", "unbounded"}
        Whether σ̂ is positive, the criterion is lowest in the limit σ → 0, or it falls there without a bound; then
        the optimum is a local one.
    lost : bool
        Whether the criterion still falls where rounding hides it.
    """

    optimum: Optimum
    by_rows: RowEvaluation | None
    residual: Literal["positive", "zero", "unbounded"]
    lost: bool = False


def settled(
    criterion: Criterion,
    rows_of_model: Callable[[], Rows | None],
    found: Sequence[Optimum],
    unbounded: bool,
    tolerance: float,
    max_evaluations: int,
) -> Settled:
    """Return the lowest optimum, those with a small residual share refined by rows.

    Parameters
    ----------
    criterion : Criterion
        In the basis of the cross-products.
    rows_of_model : callable
        Returns the rows, or None if there are too many.
    found : sequence of Optimum
        Results of all searches, the best first. Those with a small share and those that have not reached an optimum
        are refined by rows.
    unbounded : bool
        Whether the criterion is known to fall without a bound.
    tolerance : float
    max_evaluations : int

    Raises
    ------
    ModelError
        If there is no optimum with a residual variance that the data determine.
    """
    best, suspects = found[0], _suspects(criterion, found)
    if unbounded:
        local = _local(criterion, found, suspects, tolerance)
        if local is not None:
            return Settled(local, None, "unbounded")
    nearly = not unbounded and could_nearly_reproduce(criterion, SMALL_SHARE)
    rows = rows_of_model() if suspects or nearly else None
    if rows is None:
        return Settled(best, None, "positive")
    by_rows = RowCriterion(
        criterion.cross, criterion.structures, criterion.reml, criterion.sigma, canonical=True, rows=rows
    )
    if nearly:
        suspects += _in_near_directions(by_rows, float(best.point.value))
    if not suspects:
        return Settled(best, None, "positive")
    known = [] if best in suspects else [Settled(best, None, "positive")]
    for suspect in sorted(suspects, key=lambda o: by_rows(o.x).value):
        lowest = min(
            (s.optimum.point.value for s in known if s.residual == "positive" and not s.lost), default=np.inf
        )
        if suspect.reached and by_rows(suspect.x).value > lowest - 1e-6:
            continue
        looked = _closer_look(by_rows, suspect, tolerance, max_evaluations)
        if looked.residual == "unbounded":
            unbounded = True
            break
        if looked.lost or looked.optimum.reached or not best.reached:
            known.append(looked)
        if len(known) == MOST_REFINED:
            break
    if unbounded:  # what remains is a local minimum
        known = [s for s in known if s.optimum.reached and s.residual == "positive" and not s.lost]
    if not known:
        raise ModelError(EXACT_FIT)
    lowest_of_all = min(
        known,
        key=lambda s: (not (s.optimum.reached or s.lost), float(s.optimum.point.value)),
    )
    if lowest_of_all.lost:
        raise ModelError(LOST_RESIDUAL)
    return replace(lowest_of_all, residual="unbounded") if unbounded else lowest_of_all


def falls_without_bound(criterion: Criterion, rows_of_model: Callable[[], Rows | None]) -> bool:
    """Return whether the criterion falls without a bound in a direction that `reproducing.py` finds."""
    rows = rows_of_model() if could_reproduce(criterion) else None
    return rows is not None and reproducing_roots(criterion, rows) is not None


def _in_near_directions(criterion: RowCriterion, value: float) -> list[Optimum]:
    """Return points to search from, in directions of the effects that nearly reproduce the response."""
    near = nearly_reproducing(criterion, SMALL_SHARE)[:1]
    return [Optimum(p.theta, p, np.inf, 0, False) for p in near if p.value < value + NEAR]


def _local(
    criterion: Criterion, found: Sequence[Optimum], suspects: Sequence[Optimum], tolerance: float
) -> Optimum | None:
    """Return the lowest optimum with a residual variance that cross-products determine, if there is one."""
    sound = [o for o in found if o.reached and o not in suspects]
    if sound and sound[0] is found[0]:
        return found[0]
    search = partial(minimise_criterion, criterion, tolerance=tolerance, negligible=1e-18, report=None)
    chosen = sound or [o for o in found if residual_share(o.point, criterion) >= SMALL_SHARE]
    for start in sorted(chosen, key=lambda o: float(o.point.value))[: 1 if sound else MOST_REFINED]:
        polished = boundary_search(criterion, search, start.x, LOCAL_EVALUATIONS)
        if polished.reached and residual_share(polished.point, criterion) >= SMALL_SHARE:
            return polished
    return min(sound, key=lambda o: float(o.point.value), default=None)


def _suspects(criterion: Criterion, found: Sequence[Optimum]) -> list[Optimum]:
    """Return the optima with a small residual share, and points below the best that are no optima."""
    bound = found[0].point.value if found[0].reached else np.inf
    return [
        o
        for o in found
        if residual_share(o.point, criterion) < SMALL_SHARE or not (o.reached or o.point.value > bound - 1e-7)
    ]


def _closer_look(
    criterion: RowCriterion, suspect: Optimum, tolerance: float, max_evaluations: int
) -> Settled:
    """Return the optimum by rows near a suspect, and what the criterion does as σ → 0."""
    refined = _refined(criterion, suspect.x, tolerance, max_evaluations)
    tail, at = ("rises", refined.x) if criterion.sigma is not None else _limit_along(criterion, refined.x)
    if tail == "falls":
        return Settled(refined, refined.point, "unbounded")
    point = criterion(at)
    if tail == "limit" and not _is_lower(refined, point, criterion):
        return Settled(Optimum(at, point, 0.0, refined.evaluations, True), point, "zero")
    if residual_share(refined.point, criterion) < LOST_SHARE:
        return Settled(refined, refined.point, "positive", lost=True)
    return Settled(refined, refined.point, "positive")


def _is_lower(refined: Optimum, limit: RowEvaluation, criterion: RowCriterion) -> bool:
    """Return whether an optimum with a positive residual variance is below the limit σ → 0 beyond rounding errors."""
    rounding = LOWER if residual_share(refined.point, criterion) > ZERO_SHARES[0] else SAME_DIGITS
    return refined.reached and bool(refined.point.value < limit.value - rounding)


def residual_share(point: Any, criterion: Criterion) -> float:
    """Return PRSS/n of a point of a search: about the share that is left of the least-squares residual variance."""
    prss = point.prss if hasattr(point, "prss") else point.tail.prss if point.tail.ok else 0.0
    return float(prss) / criterion.cross.n


def _refined(criterion: RowCriterion, x: Array, tolerance: float, max_evaluations: int) -> Optimum:
    """Return the optimum by rows near x, or the last point before the residual variance is lost in rounding."""

    def walled(theta: Array) -> Any:
        point = criterion(theta)
        if residual_share(point, criterion) < 0.1 * LOST_SHARE:
            point.value = float("inf")
        return point

    start = _at_share(criterion, x, np.ones(x.size, dtype=bool), 10.0 * LOST_SHARE, np.inf)
    search: Callable[..., Optimum] = partial(minimise, walled, tolerance=tolerance)
    return boundary_search(criterion, search, start, max_evaluations)


def _at_share(criterion: RowCriterion, x: Array, moved: BoolArray, least: float, most: float) -> Array:
    """Return x with some elements multiplied by a number such that PRSS/n ~ 1/x² is from `least` to `most`."""
    at = x.copy()
    for _ in range(20):
        share = residual_share(criterion(at), criterion)
        if not (share < least or share > most):
            break
        factor = np.clip(np.sqrt(max(share, 1e-30) / (least if share < least else most)), 1e-4, 1e4)
        trial = at.copy()
        trial[moved] *= factor
        if factor > 1.0 and not residual_share(criterion(trial), criterion) < share / factor:
            break  # the effects do not reproduce the response
        at = trial
    return at


def _limit_along(criterion: RowCriterion, x: Array) -> tuple[Literal["rises", "limit", "falls"], Array]:
    """Return what the criterion does as σ → 0 from x, and a point near the limit that cross-products determine."""
    for share in ZERO_SHARES:
        tail, at = _tail_along(criterion, x, share)
        same = abs(Criterion.__call__(criterion, at).value - criterion(at).value) < SAME_DIGITS
        if tail != "limit" or same:
            break
    return tail, at


def _tail_along(
    criterion: RowCriterion, x: Array, share: float
) -> tuple[Literal["rises", "limit", "falls"], Array]:
    """Return what the criterion does as σ → 0 from x, and a point on the way with about the given share.

    It rises, or approaches a limit from above, or falls by the same amount each time that σ is divided by 10.
    """
    limit: Array | None = None
    for moved in _large_parts(criterion, x):
        at = _at_share(criterion, x, moved, 0.5 * share, 5.0 * share)
        if not residual_share(criterion(at), criterion) < 1e2 * share:
            continue
        points = []
        for t in (1.0, 10.0, 100.0, 1000.0):
            ahead = at.copy()
            ahead[moved] *= t
            points.append(criterion(ahead))
        falls = [a.value - b.value for a, b in pairwise(points)]
        if not (points[-1].prss < 1e-5 * points[0].prss and np.all(np.isfinite(falls))):
            continue
        if min(falls) > 1.0 and max(falls) < 1.01 * min(falls):
            return "falls", at
        if max(abs(fall) for fall in falls) < 1e-3:
            limit = at
    return ("rises", x) if limit is None else ("limit", limit)


def _large_parts(criterion: Criterion, x: Array) -> Iterator[BoolArray]:
    """Yield all of θ and, if some blocks have relative SDs far below the largest, the others alone."""
    yield np.ones(x.size, dtype=bool)
    sizes = np.array([np.abs(x[here]).max(initial=0.0) for here in criterion.slices])
    large = sizes > 1e-2 * sizes.max()
    if not large.all():
        moved = np.zeros(x.size, dtype=bool)
        for here, is_large in zip(criterion.slices, large, strict=True):
            moved[here] = is_large
        yield moved
