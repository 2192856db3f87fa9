"""Convergence status of a fit, with a message for users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.covariance import ScaledCorrelation
from mixedfit.likelihood.criterion import Criterion

from .monte_carlo import more_probes
from .optimize import Optimum

Status: TypeAlias = Literal["converged", "boundary", "unidentified", "unbounded", "failed"]

__all__ = ["RESIDUAL", "Convergence", "convergence_of", "undetermined", "unidentified_verdict"]


@dataclass(frozen=True, slots=True)
class Convergence:
    """Convergence status of a fit.

    Attributes
    ----------
    status : {"converged", "boundary", "unidentified", "unbounded", "failed"}
        "boundary": converged to a singular covariance or a residual variance of 0, which is a result and not a failure.
        "unidentified": the optimum was reached, but the data determine only combinations of some variances.
        "unbounded": the likelihood has no maximum, since it grows without bound as the residual variance goes to 0; the
        estimates are a local maximum.
    decrement : float
        Newton decrement: decrease of the criterion that a further Newton step predicts. Of a large model it may be
        foreseen from the ratio of those before; see `optimize.minimise`.
    evaluations : int
        Evaluations of the criterion with its gradient.
    singular : tuple of str
        Grouping factors (terms) whose covariance matrix is singular; "Residual" if the residual variance is 0.
    message : str
        Status in words, with advice.
    """

    status: Status
    decrement: float
    evaluations: int
    singular: tuple[str, ...]
    message: str

    @property
    def converged(self) -> bool:
        """Whether an optimum was reached, at the boundary or inside."""
        return self.status not in ("failed", "unbounded")


def convergence_of(
    criterion: Criterion,
    optimum: Optimum,
    singular: Sequence[bool],
    names: Sequence[str],
    residual: Literal["positive", "zero", "unbounded"] = "positive",
) -> Convergence:
    """Return the convergence status of an optimum.

    Parameters
    ----------
    criterion : Criterion
        In the basis of the cross-products.
    optimum : Optimum
    singular : sequence of bool
        Whether each block's covariance matrix is singular.
    names : sequence of str
        Names of the blocks; numbers stand in for them if it is empty.
    residual : {"positive", "zero", "unbounded"}
        What the criterion does as the residual variance goes to 0; see `degenerate.Settled`.
    """
    labels = list(names) or [f"factor {f + 1}" for f in range(len(singular))]
    names_of_singular = tuple(name for name, own in zip(labels, singular, strict=True) if own)
    count = f"{optimum.evaluations} evaluation{'s' * (optimum.evaluations != 1)}"
    found = f"{count}, Newton decrement {optimum.decrement:.1e}"
    status: Status = "boundary" if names_of_singular else "converged"
    if not optimum.reached or not np.isfinite(optimum.point.value):
        pairs = criterion.cross.pairs
        status, message = "failed", _failed(optimum, found, None if pairs is None else pairs.probes)
    elif residual == "unbounded":
        status, message = "unbounded", _unbounded(criterion, found)
    elif residual == "zero":
        also = (
            f" Also: {_singular_words(criterion, optimum.x, singular, labels)}." if names_of_singular else ""
        )
        status, message = "boundary", _zero_residual(found) + (also if not _is_linear(criterion) else "")
        names_of_singular = (*names_of_singular, "Residual")
    elif names_of_singular:
        loose = _undetermined_names(criterion, optimum, labels)
        if loose:
            found += f"; the data do not determine {', '.join(loose)}"
        message = (
            f"Converged on the boundary ({found}): {_singular_words(criterion, optimum.x, singular, labels)}. "
            "The estimates are the optimum; a simpler random part fits as well."
        )
    else:
        message = f"Converged ({found})."
    return Convergence(status, optimum.decrement, optimum.evaluations, names_of_singular, message)


def _failed(optimum: Optimum, found: str, probes: int | None) -> str:
    """Return the verdict on a search that ended early; `probes` of an iterative solution."""
    reached = f"Not converged ({found}): the criterion could still fall by about {optimum.decrement:.2g}"
    others = "Control(max_evaluations=...), give another start, or simplify the random effects."
    if probes is None:
        return f"{reached}. Raise {others}"
    return (
        f"{reached}, more than the random probes explain from which its gradient is estimated. {more_probes(probes)}; "
        f"or raise {others}"
    )


def _unbounded(criterion: Criterion, found: str) -> str:
    advice = "" if criterion.reml else "REML may have a maximum. "
    return (
        f"The likelihood has no maximum ({found}): it grows without bound as the residual variance goes to 0, since "
        "the fixed effects and some of the random effects reproduce the response. The estimates are a local maximum. "
        f"{advice}Simplify the random effects, which are too many for these rows, and check for a response computed "
        "from the groups."
    )


def _zero_residual(found: str) -> str:
    return (
        f"Converged on the boundary ({found}): the residual variance is 0. The fixed and random effects together "
        "reproduce the response, and the criterion is lowest in the limit; the estimates are close to it. Simplify "
        "the random effects to estimate a residual variance."
    )


OWN_EFFECTS = (
    "Each row has a random effect of its own, whose variance adds to that of the residual. Take a residual structure "
    "in place of these effects, leave them out, or hold the residual with fit(sigma=...)."
)

REPEATED = "Remove a term or a column that repeats another, or an effect that does not vary within groups."

FEWER = "Take a structure with fewer parameters, such as exp(…)."

UNSEEN = "Remove these rows, or take a structure with fewer parameters."

RESIDUAL = "residual"
"""The residual variance in a list of what is not identified."""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def unidentified_verdict(
    convergence: Convergence,
    names: Sequence[str],
    correlations: Sequence[str] = (),
    unseen: Sequence[str] = (),
    shapes: Sequence[str] = (),
) -> Convergence:
    """Return the verdict on a fit with a ridge along which parameters change and the criterion does not.

    Parameters
    ----------
    convergence : Convergence
    names : sequence of str
        What contributes to a sum that alone is identified.
    correlations : sequence of str
        Pairs of effects of whose correlation the data say nothing.
    unseen : sequence of str
        Parameters of which the data say nothing.
    shapes : sequence of str
        Structures whose parameters of the correlations distances do not tell apart.
    """
    if convergence.status in ("failed", "unbounded") or not (names or correlations or unseen or shapes):
        return convergence
    found = f"{convergence.evaluations} evaluations, Newton decrement {convergence.decrement:.1e}"
    reasons = []
    if names:
        reasons.append(
            f"the data determine only the sum of what these contribute, not each of them: {_listed(names)}"
        )
    if correlations:
        reasons.append(f"no group has rows that tell of the correlation of {_listed(correlations)}")
    if unseen:
        reasons.append(
            f"the data say nothing of {_listed(unseen)}, since no group has the rows for it, or the fixed effects "
            "reproduce them"
        )
    if shapes:
        reasons.append(f"{_listed(shapes)} has more parameters of correlations than there are distances")
    same, advice = (
        "Fixed effects, residual variance and fitted values",
        REPEATED if names or correlations else UNSEEN if unseen else FEWER,
    )
    if RESIDUAL in names:
        same, advice = "Fixed effects", OWN_EFFECTS
    message = (
        f"Not identified ({found}): {'; '.join(reasons)}. {same} are those of the optimum; the split is arbitrary. "
        f"{advice}"
    )
    return replace(convergence, status="unidentified", message=message)


def undetermined(criterion: Criterion, optimum: Optimum) -> BoolArray:
    """Return for each θ whether a change by its own size, or by 0.1, leaves the criterion the same.

    The change of the criterion, to second order, is half of `gain`.
    """
    if criterion.n_theta == 0:
        return np.zeros(0, dtype=bool)
    gain = np.diag(optimum.point.curvature) * np.maximum(optimum.x, 0.1) ** 2
    return np.asarray(np.abs(gain) < 1e-7)


def _is_linear(criterion: Criterion) -> bool:
    return all(structure.linear for structure in criterion.structures)


def _undetermined_names(criterion: Criterion, optimum: Optimum, names: Sequence[str]) -> list[str]:
    flat = undetermined(criterion, optimum)
    return [
        f"{'the' if len(structure.diagonal) == 1 else 'every'} variance of {name}"
        for name, here, structure in zip(names, criterion.slices, criterion.structures, strict=True)
        if flat[here.start + np.array(structure.diagonal)].any()
    ]


def _singular_words(criterion: Criterion, x: Array, singular: Sequence[bool], names: Sequence[str]) -> str:
    words = []
    for name, is_singular, here, structure in zip(
        names, singular, criterion.slices, criterion.structures, strict=True
    ):
        if not is_singular:
            continue
        for part, own, _ in [(structure, slice(None), None)] if structure.linear else structure.slices():
            if isinstance(part, ScaledCorrelation):
                at_limit = part.boundary_words(x[here][own])
                words += [f"{at_limit} ({part.name}, {name})"] if at_limit else []
            else:
                words += _rank_words(part.factor(x[here][own]), name)
    return "; ".join(words)


def _rank_words(lam: Array, name: str) -> list[str]:
    rank, k = int(np.linalg.matrix_rank(lam)), len(lam)
    if rank == k:
        return []
    if rank == 0:
        return [f"no variance between levels of {name}"]
    return [f"the {k} effects of {name} vary in {rank} direction{'s' * (rank > 1)} only"]
