"""REML and ML estimates from cross-products: starting values, minimisation, treatment of the boundary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import EXACT_FIT, ModelError
from mixedfit.core.linalg import inverse
from mixedfit.covariance import BlockDiagonal
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.likelihood.criterion import Criterion, Evaluation
from mixedfit.likelihood.dense_tail import LARGE_TAIL

from .convergence import Convergence, convergence_of, undetermined
from .optimize import Optimum, newton_decrement
from .search import minimise_criterion

__all__ = ["Control", "Estimate", "estimate", "to_canonical"]

SMALL = 1e-3
"""A column of λ̃ below this, in units where effects have unit root mean square, is set to exactly 0 on trial."""

START_LIMIT = 1e3
"""Largest relative SD that a search starts from, in units where effects have unit root mean square. Far beyond it,
rounding loses the identity in λᵀZᵀZλ + I, and values of the criterion are wrong."""

ZERO_RISE = 1e-7
"""Largest rise of the criterion at which an element of λ̃ set to 0 stays 0."""


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

    Examples
    --------
    >>> Control(max_evaluations=50).tolerance
    1e-09
    """

    tolerance: float = 1e-9
    max_evaluations: int = 500
    blas_threads: int = 1

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and self.max_evaluations >= 1 and self.blas_threads >= 1):
            raise ModelError("Control needs a tolerance above 0, and at least one evaluation and one thread.")


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Estimates of θ.

    Attributes
    ----------
    theta : ndarray, shape (n_theta,)
    evaluation : Evaluation
        The criterion at θ, in the formula's own basis.
    convergence : Convergence
    """

    theta: Array
    evaluation: Evaluation
    convergence: Convergence


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

    Raises
    ------
    ModelError
        If the residual variance is 0 or the criterion cannot be computed.
    """
    control = control or Control()
    canonical = Criterion(cross, tuple(structures), reml, sigma, canonical=True)
    inner = _moment_start(canonical) if start is None else to_canonical(canonical, np.asarray(start, float))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # at trial points far away
        optimum = _search(canonical, inner, control, report)
    theta, singular = _to_formula(canonical, optimum.x)
    evaluation = Criterion(cross, tuple(structures), reml, sigma)(theta)
    share = evaluation.tail.prss / cross.n if evaluation.tail.ok else 0.0
    if share < (1e-18 if optimum.reached else 1e-9) and (sigma is None or not evaluation.tail.ok):
        raise ModelError(EXACT_FIT)
    return Estimate(theta, evaluation, convergence_of(canonical, optimum, singular, names))


def _moment_start(criterion: Criterion) -> Array:
    """Return θ with variances from the between-level mean squares of the least-squares residuals.

    For one effect, E(Z_jᵀr)² ≈ σ² a_j + τ² a_j² with a_j = Z_jᵀZ_j; summed over levels.
    """
    cross = criterion.cross
    ratios = []
    for f, structure in enumerate(criterion.structures):
        if f == cross.first_block:
            gram = np.einsum("jaa->ja", cross.first.gram)
            response = cross.first.border[:, :, -1]
        else:
            place = cross.place(f)
            gram, response = cross.tail_diagonal(place), cross.tail_response(place)
        scale = np.maximum(np.sum(gram * gram, axis=0), 1e-300)
        ratios.append((np.sum(response * response, axis=0) / scale, np.sum(gram, axis=0) / scale, structure))
    sigma_squared = 1.0
    shares: list[Array] = []
    for _ in range(3):
        shares = [np.maximum(between - sigma_squared * within, 0.0) for between, within, _ in ratios]
        sigma_squared = float(np.clip(1.0 - sum(s.sum() for s in shares), 0.05, 1.0))
    if criterion.sigma is not None:
        sigma_squared = (criterion.sigma / cross.fixed.scale) ** 2
    theta = _at_identity(criterion)
    theta[criterion.diagonal] = np.clip(
        np.sqrt(np.concatenate([np.zeros(0), *shares]) / sigma_squared), 0.1, 1e3
    )
    return theta


def _at_identity(criterion: Criterion) -> Array:
    """Return θ at λ̃ = I."""
    return np.concatenate([np.zeros(0), *(structure.start for structure in criterion.structures)])


def to_canonical(criterion: Criterion, theta: Array) -> Array:
    """Return θ in the canonical basis, SDs above `START_LIMIT` lowered to it with their correlations kept."""
    if theta.shape != (criterion.n_theta,):
        raise ModelError(
            f"start has shape {theta.shape}; this model has {criterion.n_theta} covariance parameters θ."
        )
    theta = np.clip(theta, -1e100, 1e100)  # squares must not overflow
    parts = []
    for s, here, basis in zip(criterion.structures, criterion.slices, criterion.cross.basis, strict=True):
        root = basis @ s.factor(theta[here])
        sds = np.linalg.norm(root, axis=1, keepdims=True)
        parts.append(s.theta_from_root(root * (START_LIMIT / np.maximum(sds, START_LIMIT))))
    return np.concatenate(parts) if parts else np.zeros(0)


def _search(
    criterion: Criterion, start: Array, control: Control, report: Callable[[int, float], None] | None
) -> Optimum:
    """Minimise; if that fails or ends at the boundary, search from a start far from the boundary too."""
    large = criterion.cross.q_tail > LARGE_TAIL
    search = partial(
        minimise_criterion,
        criterion,
        tolerance=control.tolerance,
        negligible=1e-13 if large else 1e-18,
        report=report,
    )
    optimum = _boundary_search(criterion, search, start, control.max_evaluations)
    inside = bool(np.all(optimum.x[criterion.diagonal] > 0.0))
    left = control.max_evaluations - optimum.evaluations
    if criterion.n_theta and left > 0 and (not optimum.reached or not (inside or large)):
        other = _boundary_search(criterion, search, _at_identity(criterion), left)
        total = optimum.evaluations + other.evaluations
        better = other.reached and (not optimum.reached or other.point.value < optimum.point.value - 1e-7)
        optimum = replace(other if better else optimum, evaluations=total)
    return optimum


def _boundary_search(
    criterion: Criterion, search: Callable[..., Optimum], start: Array, max_evaluations: int
) -> Optimum:
    """Minimise, set small elements of λ̃ to exactly 0, and search again from a boundary that is not an optimum."""
    total = 0
    optimum = _first_search(criterion, search, start, max_evaluations)
    for _ in range(6):
        total += optimum.evaluations
        optimum, extra = _with_zeros(criterion, optimum)
        total += extra
        escape = _escape(criterion, optimum)
        if escape is None or total >= max_evaluations:
            break
        again = search(escape, max_evaluations=max_evaluations - total)
        if not again.point.value < optimum.point.value - 1e-9:
            total += again.evaluations
            break
        optimum = again
    return replace(optimum, evaluations=total)


def _first_search(
    criterion: Criterion, search: Callable[..., Optimum], start: Array, max_evaluations: int
) -> Optimum:
    """Search from the start or, if the criterion is not finite there, from ever smaller variances."""
    for share in (1.0, 1e-2, 1e-6, 1e-9, 0.0):
        try:
            return search(share * start, max_evaluations=max_evaluations)
        except FloatingPointError:
            continue
    many = any(place.block < 0 for place in criterion.cross.tail)
    raise ModelError(
        "the criterion cannot be computed, not even without random effects: "
        + (
            "the fixed factors with many levels have no full rank together. Make one of them random or combine them."
            if many
            else "the fixed effects reproduce the response exactly, or numbers are too large. Rescale or simplify."
        )
    )


def _with_zeros(criterion: Criterion, optimum: Optimum) -> tuple[Optimum, int]:
    """Return the optimum with non-negative diagonals of λ̃, and the number of evaluations spent.

    Small columns of λ̃ become exactly 0 where that raises the criterion by at most `ZERO_RISE`.
    """
    flat = undetermined(criterion, optimum)
    if np.all(optimum.x[criterion.diagonal] > SMALL) and not flat.any():
        return optimum, 0
    x = _non_negative(criterion, optimum.x)
    evaluations = 0
    for here, structure in zip(criterion.slices, criterion.structures, strict=True):
        derivative = structure.derivative(x[here])
        for position in structure.diagonal:
            column = int(np.flatnonzero(np.diag(derivative[position]))[0])
            members = np.flatnonzero(np.any(derivative[:, :, column] != 0, axis=1)) + here.start
            diagonal = here.start + position
            for chosen in (members, np.array([diagonal])):
                small = np.abs(x[chosen]).max() <= SMALL or flat[chosen].all()
                if np.abs(x[chosen]).max() == 0.0 or not small:
                    continue
                trial = x.copy()
                trial[chosen] = 0.0
                evaluations += 1
                if criterion(trial).value <= optimum.point.value + ZERO_RISE:
                    x = trial
                    break
    if evaluations == 0 and np.array_equal(x, optimum.x):
        return optimum, 0
    point = criterion(x)
    curvature = point.exact_curvature if point.exact_curvature is not None else point.curvature
    free = x != 0.0
    decrement = newton_decrement(point.gradient[free], curvature[np.ix_(free, free)])[0]
    point.discard()
    return Optimum(x, point, decrement, optimum.evaluations, decrement < 1e-6), evaluations + 1


def _non_negative(criterion: Criterion, x: Array) -> Array:
    """Return θ of the same covariance matrices with non-negative diagonals of λ̃."""
    out = x.copy()
    for here, structure in zip(criterion.slices, criterion.structures, strict=True):
        lam = structure.factor(x[here])
        signs = np.where(np.diag(lam) < 0, -1.0, 1.0)
        if (signs < 0).any():
            out[here] = structure.theta_from_root(lam * signs)
    return out


def _escape(criterion: Criterion, optimum: Optimum) -> Array | None:
    """Return a start off the boundary if the criterion falls when a missing direction is given variance.

    At singular λ̃ the gradient along the missing directions is 0 for any data; the sign of the slope ∂d/∂(λ̃λ̃ᵀ)
    along them distinguishes a minimum on the boundary from a saddle.
    """
    # On random small designs, mostly from starts with singular λ̃, 701 of 3,440 fits end too high without this step (by
    # 15 in the median) if there is no second start in `_search`, as for large tails; none of 5,215 if there is.
    x = optimum.x.copy()
    if np.all(x[criterion.diagonal] != 0.0):
        return None
    moved = False
    point = criterion(x)
    for f, (here, structure) in enumerate(zip(criterion.slices, criterion.structures, strict=True)):
        lam = structure.factor(x[here])
        if np.all(np.abs(np.diag(lam)) > 0):
            continue
        slope = point.slope(f)
        scale = 1e-6 * max(float(np.abs(slope).max()), 1e-8)
        root = _escape_root(structure, lam, slope, scale)
        if root is not None:
            x[here] = structure.theta_from_root(root)
            moved = True
    return x if moved else None


def _escape_root(structure: BlockDiagonal, lam: Array, slope: Array, scale: float) -> Array | None:
    """Return a root of λ̃λ̃ᵀ plus a small variance along the steepest missing direction, or None."""
    steps = []
    for part, _, e in structure.slices():
        own, block = lam[e, e], slope[e, e]
        if part.invariance == "linear":
            left, values, _ = np.linalg.svd(own)
            null = left[:, values <= 1e-12 * max(float(values.max()), 1.0)]
            values, vectors = np.linalg.eigh(null.T @ block @ null)
            directions = (null @ vectors)[:, values < -scale]
        else:
            zero = (np.diag(own) == 0) & (np.diag(block) < -scale)
            directions = np.eye(part.k)[:, zero]
        for direction in directions.T:
            step = np.zeros(structure.k)
            step[e] = 0.05 * direction
            steps.append(step)
    return np.column_stack([lam, *steps]) if steps else None


def _to_formula(criterion: Criterion, x: Array) -> tuple[Array, tuple[bool, ...]]:
    """Return θ in the formula's basis and, for each block, whether its covariance is singular."""
    parts, singular = [], []
    for f, (here, structure) in enumerate(zip(criterion.slices, criterion.structures, strict=True)):
        lam = structure.factor(x[here])
        missing = int(np.sum(np.diag(lam) == 0))
        root = inverse(criterion.cross.basis[f]) @ lam
        theta = structure.theta_from_root(root)
        if missing:
            theta = _keep_rank(structure, theta, missing)
        parts.append(theta)
        singular.append(missing > 0)
    return (np.concatenate(parts) if parts else np.zeros(0)), tuple(singular)


def _keep_rank(structure: BlockDiagonal, theta: Array, missing: int) -> Array:
    """Return θ with the `missing` relatively smallest elements of λ's diagonal set to 0."""
    lam = structure.factor(theta)
    rows = np.linalg.norm(lam, axis=1)
    share = np.abs(np.diag(lam)) / np.where(rows > 0, rows, 1.0)
    out = theta.copy()
    for position in np.argsort(share, kind="stable")[:missing]:
        out[structure.diagonal[int(position)]] = 0.0
    return out
