"""Estimates with a residual structure: R(x) is searched outside, θ inside.

For given x the rows are multiplied by R^(−1/2) and fitted as rows with independent residuals; the criterion is that of
the whitened rows plus log|R|. By the envelope theorem its derivative in x is the partial one at θ̂(x) (`row_roots`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.covariance.residual.model import ResidualModel, ResidualRoot
from mixedfit.covariance.residual.parts import Natural
from mixedfit.covariance.residual.variances import VarIdentLaw
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.residual_rows import with_fitted
from mixedfit.likelihood.by_rows import rows_of
from mixedfit.likelihood.criterion import Criterion
from mixedfit.likelihood.row_roots import row_roots

from .bfgs import Minimum, minimise_bfgs
from .condensed_rows import condensed
from .dependent_visits import dependences, falls, is_nearly_singular, room, why_dependent
from .effects import coefficients_of, modes_of
from .estimate import Control, Estimate, estimate
from .residual_start import moment_start
from .residual_verdict import STILL_FALLS, Dependent, residual_verdict

__all__ = ["Whitened", "WhitenedPoint", "WhitenedSearch", "fit_whitened", "raw_design", "whitened_rows"]

INNER = 1e-13
"""Newton decrement at which the inner search stops, so that its error does not disturb the outer gradient."""


def raw_design(design: Design) -> Design:
    """Return a design with rows multiplied by the roots of their weights, and no weights."""
    if design.weights is None:
        return design
    root = np.sqrt(design.weights)[:, None]
    return _with_rows(design, lambda rows: rows * root)


def _with_rows(design: Design, change: Callable[[Array], Array]) -> Design:
    """Return a design with y, X and Z changed by one linear map, and no weights."""
    sizes = [1, design.X.shape[1], *(0 if b.z is design.X else b.k for b in design.blocks)]
    ends = np.cumsum(sizes)
    stacked = np.concatenate(
        [design.y[:, None], design.X, *(b.z for b in design.blocks if b.z is not design.X)], axis=1
    )
    made = change(stacked)
    X = np.ascontiguousarray(made[:, 1 : ends[1]])
    blocks: list[RandomBlock] = []
    for number, block in enumerate(design.blocks):
        own = made[:, ends[number + 1] : ends[number + 2]]
        blocks.append(replace(block, z=X if block.z is design.X else np.ascontiguousarray(own)))
    return replace(design, y=np.ascontiguousarray(made[:, 0]), X=X, blocks=tuple(blocks), weights=None)


def whitened_rows(raw: Design, root: ResidualRoot, log_weights: float) -> tuple[Design, CrossProducts]:
    """Return the whitened design and its cross-products, which carry log|R|."""
    design = _with_rows(raw, root.whiten)
    if not all(np.all(np.isfinite(part)) for part in (design.y, design.X)):
        raise FloatingPointError("whitened rows are not finite")
    with blas_threads(1, design.n * (design.X.shape[1] + 1)):
        cross = cross_products(design)
    return design, replace(cross, log_weights=log_weights - root.logdet)


VANISHED = 1e-8
"""Ratio of standard deviations at which a search ends."""

FAINT = 1e-3
"""Ratio of standard deviations, or its inverse, from which on rounding errors of the criterion are large."""

LOST = 1e-5
"""Newton decrement of θ that rounding may hide there."""

NO_RISE = 0.1
"""Rise of the criterion up to which another ratio fits as well; of a ratio that rows determine it is that of many."""

NO_RESIDUAL = 1e-9
"""Share of the least-squares residual variance below which rounding decides on the criterion."""

UNREACHED_SHARE = 1e-5
"""The same where moreover the search of θ did not reach an optimum."""

FAR = 1.5
"""Distance of further starts, for searches that end where σ is 0."""

MANY_ROWS = 5_000
"""Rows above which a search has one start: criteria of small data have several minima."""


@dataclass(frozen=True, eq=False)
class Whitened:
    """The residual part of a fit.

    Attributes
    ----------
    x : ndarray, shape (parameters,)
        Unconstrained residual parameters.
    model : ResidualModel
        The structure on the rows, with the fitted values of the last round where variances depend on them.
    design : Design
        Whitened rows, without weights.
    """

    x: Array
    model: ResidualModel
    design: Design

    @lazy
    def root(self) -> ResidualRoot:
        """R at the estimates."""
        return self.model.root(self.x)

    @lazy
    def multipliers(self) -> Array:
        """SD of each row's residual over σ, without weights, shape (n,)."""
        logs = self.model.log_sd(self.x)
        return np.exp(logs) if logs.ndim else np.ones(self.design.n)


FLAT = 1e-6
"""Share of the information in a direction, relative to single parameters, below which it says nothing about steps."""


class WhitenedPoint:
    """The criterion at one x, minimised over θ.

    Attributes
    ----------
    value : float
        Infinite where R is not positive definite.
    """

    def __init__(
        self, search: WhitenedSearch, x: Array, start: Array | None, *, condensed: bool = False
    ) -> None:
        self.search, self.x, self.value, self.failed = search, x, float("inf"), False
        raw, model = (search.raw, search.model) if not condensed or search.fewer is None else search.fewer
        self.raw = raw
        try:
            self.root = model.root(x)
            self.design, cross = whitened_rows(raw, self.root, search.log_weights)
            self.cross = replace(cross, n=search.raw.n)
        except (FloatingPointError, ModelError, np.linalg.LinAlgError):
            return
        try:
            self.estimate = search.inner(self.design, self.cross, start)
        except ModelError:
            self.failed = True
            return
        self.value = self.estimate.evaluation.value

    @property
    def has_residual(self) -> bool:
        """Whether the residual variance is above 0: where it is not, the criterion hardly depends on x."""
        if not np.isfinite(self.value) or self.search.sigma is not None:
            return True
        return float(self.estimate.evaluation.tail.prss) / self.cross.n > NO_RESIDUAL

    @property
    def is_lost(self) -> bool:
        """Whether the effects reproduce the response so closely that rounding decides on the criterion."""
        if not self.search.structures or self.search.sigma is not None:
            return False
        if self.failed or not self.has_residual:
            return True
        if not np.isfinite(self.value) or self.estimate.convergence.status != "failed":
            return False
        return float(self.estimate.evaluation.tail.prss) / self.cross.n < UNREACHED_SHARE

    @lazy
    def gradient(self) -> Array:
        """∂d/∂x, shape (parameters,)."""
        search, cross = self.search, self.cross
        evaluation = Criterion(cross, search.structures, search.reml, search.sigma)(self.estimate.theta)
        raw = self.raw
        rest = raw.y - raw.X[:, cross.fixed.kept] @ coefficients_of(cross, evaluation)
        for block, own in zip(raw.blocks, modes_of(raw, cross, evaluation), strict=True):
            rest = rest - np.einsum("ik,ik->i", block.z, own[block.codes])
        return self.root.slope(row_roots(raw, cross, evaluation, rest))

    @lazy
    def metric(self) -> Array | None:
        """Inverse of the information on x of rows without random effects; None where it is not positive definite."""
        information = self.search.model.root(self.x).information(self.search.sigma is None)
        size = np.sqrt(np.abs(np.diag(information)))
        if not (np.all(np.isfinite(information)) and np.all(size > 0)):
            return None
        values, vectors = np.linalg.eigh(information / np.outer(size, size))
        if values[0] < FLAT:
            return None
        scaled = vectors / size[:, None]
        return np.asarray((scaled / values) @ scaled.T)


def _metric(point: WhitenedPoint) -> Array | None:
    return point.metric


def _is_lost(point: WhitenedPoint) -> bool:
    return point.is_lost


class WhitenedSearch:
    """The criterion as a function of the residual parameters.

    Parameters
    ----------
    design : Design
    model : ResidualModel
    reml : bool
    sigma : float or None
    control : Control
    """

    def __init__(
        self, design: Design, model: ResidualModel, reml: bool, sigma: float | None, control: Control
    ) -> None:
        self.model, self.reml, self.sigma, self.control = model, reml, sigma, control
        self.raw = raw_design(design)
        self.fewer = condensed(self.raw, model)
        self.log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
        self.structures = tuple(block.structure for block in design.blocks)
        self.names = [block.name for block in design.blocks]
        self.given: Array | None = None
        self.theta: Array | None = None
        self.lowest = np.inf

    def runs_away(self, x: Array) -> bool:
        """Return whether the data cannot tell a range from infinity, a ratio from 0 or infinity, or visits apart."""
        return is_nearly_singular(self.model, x) or any(
            p.value < VANISHED or p.value >= (p.runaway if np.isfinite(p.runaway) else 1.0 / VANISHED)
            for p in self.model.natural(x)
            if p.lower == 0.0 and np.isinf(p.upper)
        )

    def is_faint(self, x: Array) -> bool:
        """Return whether a ratio of VarIdent is so near to 0 or infinity that the criterion loses digits."""
        return any(not FAINT < p.value < 1.0 / FAINT for _, p in self._ratios(x))

    def _ratios(self, x: Array) -> Iterator[tuple[int, Natural]]:
        """Yield the ratios of VarIdent with their positions in x."""
        for law, here in zip(self.model.variances, self.model.slices[1:], strict=True):
            if isinstance(law, VarIdentLaw):
                yield from zip(range(here.start, here.stop), law.natural(x[here]), strict=True)

    def vanishing(self, best: Minimum[WhitenedPoint]) -> list[str]:
        """Return in words the ratios of VarIdent near 0 that the data do not tell from ten times as much, or from 0.

        Rounding errors hide the criterion at smaller ratios. If all ratios are large, it is sigma that goes to 0.
        """
        out = []
        for law, here in zip(self.model.variances, self.model.slices[1:], strict=True):
            if isinstance(law, VarIdentLaw) and np.all(best.x[here] > -np.log(VANISHED)):
                out.append(f"sigma, the residual SD of {law.levels[0]}, is at its lower limit 0")
        for i, p in self._ratios(best.x):
            x = best.x + np.log(10.0) * np.eye(best.x.size)[i]
            if p.value < FAINT and self(x).value <= best.point.value + NO_RISE:
                out.append(f"{p.name} goes to 0 (here {p.value:.1e}; ten times as much fits as well)")
        return out

    def dependent(self, best: Minimum[WhitenedPoint], design: Design) -> Dependent | None:
        """Return where visits' residuals become dependent, why, and whether the criterion falls on the way there."""
        found = dependences(self.model, best.x)
        if not found:
            return None
        falling = best.decrement > STILL_FALLS or falls(self.model, best.x, lambda x: self(x).value)
        return Dependent([d.words for d in found], why_dependent(self.model, found[0], design), falling)

    def inner(self, design: Design, cross: CrossProducts, start: Array | None) -> Estimate:
        """Return θ̂ for whitened rows."""
        settings = replace(self.control, tolerance=min(INNER, self.control.tolerance), starts=1)
        return estimate(
            cross,
            self.structures,
            reml=self.reml,
            sigma=self.sigma,
            start=start,
            control=settings,
            names=self.names,
        )

    def __call__(self, x: Array) -> WhitenedPoint:
        """Return the criterion at x, searching θ from the best found so far."""
        point = WhitenedPoint(self, x, self.theta, condensed=True)
        if point.value < self.lowest:
            self.lowest, self.theta = point.value, point.estimate.theta
        return point

    def finished(self, point: WhitenedPoint, start: Array | None) -> Estimate:
        """Return θ̂ at the end of the search, with the starts and checks of an ordinary fit."""
        return estimate(
            point.cross,
            self.structures,
            reml=self.reml,
            sigma=self.sigma,
            start=start,
            control=replace(self.control, tolerance=min(INNER, self.control.tolerance)),
            names=self.names,
            rows=lambda: rows_of(point.design, point.cross),
        )


def _lowest(
    search: WhitenedSearch, start: Array | None, report: Callable[[int, float], None] | None
) -> tuple[Minimum[WhitenedPoint], tuple[int, int], float, Minimum[WhitenedPoint] | None]:
    """Return the lowest minimum, starts and how many reached it, a depth beyond it, and where the criterion falls.

    A range that grows beyond all distances is no minimum: if the criterion is lower there, the lowest minimum inside is
    returned with the difference. The last is the end of a search on which the residual variance goes to 0 and the
    criterion falls without a bound.

    Raises
    ------
    ModelError
        If the criterion cannot be computed at any start.
    """
    model = search.model
    further = model.further_starts if search.raw.n <= MANY_ROWS else []
    starts = [start] if start is not None else [moment_start(search.raw, model), *further]
    found = _minima(search, starts, report)
    if found and not any(m.point.has_residual and not m.lost for m in found):
        moves = FAR * np.eye(model.n_parameters)
        found += _minima(search, [starts[0] + sign * move for move in moves for sign in (1, -1)], report)
    if not found:
        raise ModelError(
            f"the likelihood with {model.structure} cannot be computed at its starting values: the fixed effects "
            "reproduce the response, or numbers are too large. Rescale, or simplify the model."
        )
    if start is None and (side := model.other_side(min(found, key=lambda m: m.point.value).x)) is not None:
        found += _minima(search, [side], report)
    falling = [m for m in found if m.falls]
    inside = [m for m in found if m.reached and not search.runs_away(m.x)]
    inside = [m for m in inside if not m.lost] or inside
    inside = [m for m in inside if m.point.has_residual] or inside  # rounding decides where σ is 0
    best = min(inside or found, key=lambda m: m.point.value)
    agreed = sum(m.reached and abs(m.point.value - best.point.value) <= 1e-4 for m in found)
    deeper = [best.point.value - m.point.value for m in found if m.point.has_residual and not m.lost]
    lowest = min(falling, key=lambda m: m.point.value, default=None)
    return best, (len(found), agreed), max([0.0, *deeper]), lowest


def _minima(
    search: WhitenedSearch, starts: Sequence[Array], report: Callable[[int, float], None] | None
) -> list[Minimum[WhitenedPoint]]:
    """Return the minima that searches from starts reach; none from starts at which the criterion is not finite."""
    found: list[Minimum[WhitenedPoint]] = []
    for own in starts:
        search.theta, search.lowest = search.given, np.inf
        try:
            found.append(
                minimise_bfgs(
                    search,
                    own,
                    scale=2.0 / search.raw.n,
                    metric=_metric,
                    max_evaluations=search.control.max_evaluations,
                    beyond=search.runs_away,
                    faint=search.is_faint,
                    room=partial(room, search.model),
                    lost=_is_lost,
                    report=report,
                )
            )
        except FloatingPointError:
            continue
    return found


ROUNDS = 40
"""Rounds after which fitted values that do not settle are taken as they are, and the fit as not converged."""

ROUNDS_OF_STARTS = 3
"""Largest number of searches from lower values of θ."""

SETTLED = 1e-8
"""Change of fitted values, as a share of their spread, at which they have settled."""


def _fitted(design: Design, point: WhitenedPoint) -> Array:
    """Return Xβ̂ + Zb̂ plus offset, shape (n,)."""
    if not np.isfinite(point.value):
        raise ModelError(
            "the likelihood cannot be computed without the variance function; simplify the model."
        )
    evaluation = point.estimate.evaluation
    out = design.X[:, point.cross.fixed.kept] @ coefficients_of(point.cross, evaluation)
    for block, own in zip(design.blocks, modes_of(design, point.cross, evaluation), strict=True):
        out = out + np.einsum("ik,ik->i", block.z, own[block.codes])
    return out if design.offset is None else out + design.offset


def _fixed_point(
    search: WhitenedSearch,
    design: Design,
    found: Minimum[WhitenedPoint],
    report: Callable[[int, float], None] | None,
) -> Minimum[WhitenedPoint]:
    """Return the minimum whose fitted values are those that its variance function uses."""
    evaluations, held = found.evaluations, _fitted(design, found.point)
    for _ in range(ROUNDS):
        search.model = with_fitted(search.model, held)
        search.lowest = np.inf
        found = minimise_bfgs(
            search,
            found.x,
            scale=2.0 / search.raw.n,
            metric=_metric,
            tolerance=1e-12,
            lost=_is_lost,
            report=report,
        )
        evaluations += found.evaluations
        fresh = _fitted(design, found.point)
        if float(np.abs(fresh - held).max()) <= SETTLED * max(float(np.std(fresh)), 1e-300):
            return replace(found, evaluations=evaluations)
        held = fresh
    return replace(found, evaluations=evaluations, reached=False)


def _on_all_rows(search: WhitenedSearch, best: Minimum[WhitenedPoint]) -> Minimum[WhitenedPoint]:
    """Return the minimum with the point of all rows, where the search used condensed ones."""
    if search.fewer is None:
        return best
    return replace(best, point=WhitenedPoint(search, best.x, best.point.estimate.theta))


def _finished(
    search: WhitenedSearch, best: Minimum[WhitenedPoint], report: Callable[[int, float], None] | None
) -> tuple[Minimum[WhitenedPoint], Estimate]:
    """Return the minimum and θ̂ there; if another start of θ has a lower criterion, x is searched again from it."""

    def final_at(minimum: Minimum[WhitenedPoint]) -> Estimate:
        known = minimum.point.estimate
        if not minimum.point.has_residual or minimum.lost or search.is_faint(minimum.x):
            return known  # rounding would decide between starts
        found = search.finished(minimum.point, known.theta if search.structures else None)
        return known if known.evaluation.value < found.evaluation.value - 1e-6 else found

    best = _on_all_rows(search, best)
    evaluations, final = best.evaluations, final_at(best)
    for _ in range(0 if search.model.of_fitted or not best.x.size else ROUNDS_OF_STARTS):
        if not final.evaluation.value < best.point.value - 1e-6:
            break
        search.theta, search.lowest = final.theta, np.inf
        scale, most = 2.0 / search.raw.n, search.control.max_evaluations
        best = minimise_bfgs(
            search,
            best.x,
            scale=scale,
            max_evaluations=most,
            beyond=search.runs_away,
            faint=search.is_faint,
            room=partial(room, search.model),
            lost=_is_lost,
            report=report,
        )
        best = _on_all_rows(search, best)
        evaluations, final = evaluations + best.evaluations, final_at(best)
    return replace(best, evaluations=evaluations), final


@dataclass(frozen=True, eq=False)
class WhitenedEstimate:
    """Estimates of a model with a residual structure.

    Attributes
    ----------
    residual : Whitened
    cross : CrossProducts
        Of the whitened rows; its `log_weights` holds −log|R|.
    estimate : Estimate
        Of θ, with the convergence of both searches.
    """

    residual: Whitened
    cross: CrossProducts
    estimate: Estimate


def fit_whitened(
    design: Design,
    *,
    reml: bool,
    sigma: float | None,
    control: Control | None,
    start: tuple[Array | None, Array | None] = (None, None),
    report: Callable[[int, float], None] | None = None,
) -> WhitenedEstimate:
    """Return the estimates of a design with a residual structure.

    Parameters
    ----------
    design : Design
    reml : bool
    sigma : float or None
        Residual SD (at multiplier 1), if held.
    control : Control or None
    start : (ndarray or None, ndarray or None)
        θ and x to start from.
    report : callable, optional
    """
    model = design.residual
    assert model is not None
    search = WhitenedSearch(design, model, reml, sigma, control or Control())
    search.given = start[0]
    if model.of_fitted and start[1] is None:
        search.model = with_fitted(model, _fitted(design, search(model.start)))
    best, (starts, agreed), deeper, falling = _lowest(search, start[1], report)
    if model.of_fitted:
        best = _fixed_point(search, design, best, report)
        model = search.model
    best, final = _finished(search, best, report)
    point = best.point
    inner, vanishing = final.convergence, []
    if model.variances and search.is_faint(best.x):
        vanishing = search.vanishing(best)
        if inner.status == "failed" and inner.decrement < LOST:  # rounding hides smaller decrements
            inner = replace(
                inner, status="converged", message=f"Converged ({inner.evaluations} evaluations)."
            )
    convergence = residual_verdict(
        inner,
        model,
        best,
        deeper,
        search.control.max_evaluations,
        vanishing,
        search.dependent(best, design),
        best if best.falls else falling,
    )
    final = replace(final, convergence=convergence, starts=starts, agreed=agreed)
    return WhitenedEstimate(Whitened(best.x, model, point.design), point.cross, final)
