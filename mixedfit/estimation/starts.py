"""Points from which a search starts: moment estimates, θ given by the user, and points spread over the space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.covariance import CovarianceStructure, ScaledCorrelation
from mixedfit.likelihood.criterion import Criterion

__all__ = [
    "exchanged_starts",
    "further_starts",
    "identity_start",
    "mirrored_starts",
    "moment_start",
    "structured_starts",
    "to_canonical",
]

START_LIMIT = 1e3
"""Largest relative SD that a search starts from, in units where effects have unit root mean square. Far beyond it,
rounding loses the identity in λᵀZᵀZλ + I, and values of the criterion are wrong."""

DOMINANT = 20.0
"""Relative SD of an effect, in the same units, that may be due to outliers or to a residual SD held too small."""


def moment_start(criterion: Criterion, number: int = 0) -> Array:
    """Return θ with variances from the between-level mean squares of the least-squares residuals.

    For one effect, E(Z_jᵀr)² ≈ σ² a_j + τ² a_j² with a_j = Z_jᵀZ_j; summed over levels. `number` counts the
    correlations with which structures that are not linear may start.
    """
    ratios = []
    for structure, (gram, response) in zip(criterion.structures, _level_products(criterion), strict=True):
        scale = np.maximum(np.sum(gram * gram, axis=0), 1e-300)
        ratios.append((np.sum(response * response, axis=0) / scale, np.sum(gram, axis=0) / scale, structure))
    sigma_squared = 1.0
    shares: list[Array] = []
    for _ in range(3):
        shares = [np.maximum(between - sigma_squared * within, 0.0) for between, within, _ in ratios]
        sigma_squared = float(np.clip(1.0 - sum(s.sum() for s in shares), 0.05, 1.0))
    if criterion.sigma is not None:
        sigma_squared = (criterion.sigma / criterion.cross.fixed.scale) ** 2
    sds = np.clip(np.sqrt(np.concatenate([np.zeros(0), *shares]) / sigma_squared), 0.1, 1e3)
    theta = identity_start(criterion)
    if all(structure.linear for structure in criterion.structures):
        theta[criterion.diagonal] = sds
        return theta
    at = 0
    for part, here in _parts(criterion):
        own = sds[at : at + part.k]
        if isinstance(part, ScaledCorrelation):
            theta[here] = part.starts(own)[number % len(part.starts(own))]
        else:
            theta[here.start + np.array(part.diagonal)] = own
        at += part.k
    return theta


def _parts(criterion: Criterion) -> list[tuple[CovarianceStructure, slice]]:
    pairs = zip(criterion.slices, criterion.structures, strict=True)
    return [own for here, structure in pairs for own in structure.parts_at(here.start)]


def structured_starts(criterion: Criterion, wanted: int | None) -> list[Array]:
    """Return points to start from with structures that are not linear: correlations and ranges of several sizes.

    Parameters
    ----------
    criterion : Criterion
        In the basis of the cross-products.
    wanted : int or None
        Number of points; by default as many as the structure with most values has.
    """
    most = max(len(p.starts(np.ones(p.k))) for p, _ in _parts(criterion) if isinstance(p, ScaledCorrelation))
    return [moment_start(criterion, number) for number in range(wanted or most)]


def identity_start(criterion: Criterion) -> Array:
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
        if not s.linear:
            parts.append(s.change_units(theta[here], basis))
            continue
        root = basis @ s.factor(theta[here])
        sds = np.linalg.norm(root, axis=1, keepdims=True)
        parts.append(s.theta_from_root(root * (START_LIMIT / np.maximum(sds, START_LIMIT))))
    return np.concatenate(parts) if parts else np.zeros(0)


def further_starts(criterion: Criterion, number: int) -> Iterator[Array]:
    """Yield points of the canonical basis, always the same.

    The first have some effects without variance: all of them, all but one, one; then correlations of ±1. Others have
    any correlations, and relative SDs from 0.1 to 300 in units of the levels that have the least information.

    Parameters
    ----------
    criterion : Criterion
        In the basis of the cross-products.
    number : int
        Largest number of points of the second kind; there are none of either kind if it is 0.
    """
    if number < 1:
        return
    rng = np.random.default_rng(0)
    total = sum(structure.k for structure in criterion.structures)
    patterns = [(False,) * total]
    if total > 1:
        patterns += [tuple(i == j for i in range(total)) for j in range(total)]
    if total > 2:
        patterns += [tuple(i != j for i in range(total)) for j in range(total)]
    for pattern in patterns:
        yield _theta(criterion, [np.diag(np.where(own, 1.0, 0.0)) for own in _split(criterion, pattern)])
    if any(structure.invariance == "linear" and structure.k > 1 for structure in criterion.structures):
        for sign, size in product((1.0, -1.0), (1.0, 10.0, 100.0)):
            yield _theta(criterion, [_of_rank_one(s.k, sign, size) for s in criterion.structures])
    spreads = _spreads(criterion)
    for i in range(number):
        roots = []
        for structure, spread in zip(criterion.structures, spreads, strict=True):
            k = structure.k
            directions = np.tril(rng.normal(size=(k, k)))
            if i % 2:  # of rank 1: local minima of larger covariances lie there
                directions[:, 1:] = 0.0
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            sds = 10.0 ** (-1.0 + rng.random(k) * (3.5 + np.log10(spread)))
            roots.append(sds[:, None] * directions)
        yield _theta(criterion, roots)


def mirrored_starts(criterion: Criterion, x: Array) -> Iterator[Array]:
    """Yield x with the correlations of one effect of an unstructured term reversed, for each effect but the first."""
    for structure, here in zip(criterion.structures, criterion.slices, strict=True):
        for part, _, e in structure.slices():
            for effect in range(e.start + 1, e.stop) if part.invariance == "linear" else ():
                root = structure.factor(x[here])
                root[effect] *= -1.0
                out = x.copy()
                out[here] = structure.theta_from_root(root)
                yield out


def exchanged_starts(criterion: Criterion, x: Array) -> Iterator[Array]:
    """Yield points at which effects vary in one direction as much as the one that varies most at x, or ten times so.

    The first direction is that of x. Only if that is `DOMINANT`; in other directions relative SDs are 1. Outliers make
    an effect of their group vary by many decades more than all others, and the criterion has a minimum for each
    direction that can reproduce them.
    """
    roots = [s.factor(x[here]) for s, here in zip(criterion.structures, criterion.slices, strict=True)]
    sds = np.concatenate([np.zeros(0), *(np.linalg.norm(root, axis=1) for root in roots)])
    if sds.size < 2 or not sds.max() > DOMINANT:
        return
    own = np.concatenate([np.linalg.svd(root)[0][:, 0] * np.linalg.norm(root) for root in roots])
    for direction, share in product([own / np.linalg.norm(own), *_directions(criterion)], (1.0, 10.0)):
        parts = np.split(direction, np.cumsum([len(root) for root in roots])[:-1])
        largest = share * float(sds.max())
        yield _theta(criterion, [np.column_stack([largest * own, np.eye(own.size)]) for own in parts])


def _directions(criterion: Criterion) -> list[Array]:
    """Return each effect, and sums and differences of two effects of one unstructured term, shape (effects,) each."""
    total = sum(structure.k for structure in criterion.structures)
    unit, out, at = np.eye(total), list(np.eye(total)), 0
    for structure in criterion.structures:
        for part, _, here in structure.slices():
            pairs = combinations(range(at + here.start, at + here.stop), 2)
            if part.invariance == "linear":
                out += [(unit[i] + sign * unit[j]) / np.sqrt(2.0) for i, j in pairs for sign in (1.0, -1.0)]
        at += structure.k
    return out


def _of_rank_one(k: int, sign: float, size: float) -> Array:
    """Return a root with SDs `size` and correlations of ±1, those with the first effect `sign`."""
    root = np.zeros((k, k))
    root[:, 0] = size * np.where(np.arange(k) > 0, sign, 1.0)
    return root


def _theta(criterion: Criterion, roots: Sequence[Array]) -> Array:
    return np.concatenate(
        [s.theta_from_root(root) for s, root in zip(criterion.structures, roots, strict=True)]
    )


def _split(criterion: Criterion, values: Sequence[bool]) -> list[Array]:
    """Return one value an effect, by block."""
    ends = np.cumsum([structure.k for structure in criterion.structures])
    return np.split(np.array(values), ends[:-1])


def _spreads(criterion: Criterion) -> list[Array]:
    """Return for each effect of every block the root of mean over least information of a level, 1 to 1e3, (k,)."""
    out = []
    for gram, _ in _level_products(criterion):
        least = np.where(gram > 0, gram, np.inf).min(axis=0)
        out.append(np.sqrt(np.clip(gram.mean(axis=0) / least, 1.0, 1e6)))
    return out


def _level_products(criterion: Criterion) -> Iterator[tuple[Array, Array]]:
    """Yield for every block Z_jᵀZ_j of each effect and Z_jᵀr, r the least-squares residuals, (levels, k) each."""
    cross = criterion.cross
    for f in range(len(criterion.structures)):
        if f == cross.first_block:
            yield np.einsum("jaa->ja", cross.first.gram), cross.first.border[:, :, -1]
        else:
            place = cross.place(f)
            yield cross.tail_diagonal(place), cross.tail_response(place)
