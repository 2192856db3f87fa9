"""The verdict on a fit, as a value and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ._types import Array
from .covariance import BlockDiagonal
from .criterion import Criterion
from .optimize import Optimum

__all__ = ["Convergence", "verdict_of"]


@dataclass(frozen=True, slots=True)
class Convergence:
    """The verdict on a fit.

    Attributes
    ----------
    status : {"converged", "boundary", "failed"}
        "boundary": converged to a singular covariance, which is a result and not a failure.
    decrement : float
        Decrease of the criterion that a Newton step still promised.
    evaluations : int
        Evaluations of the criterion, gradient included.
    singular : tuple of str
        Grouping factors (terms) whose covariance has no full rank.
    message : str
        The verdict in words, with advice.
    """

    status: Literal["converged", "boundary", "failed"]
    decrement: float
    evaluations: int
    singular: tuple[str, ...]
    message: str

    @property
    def converged(self) -> bool:
        """Whether an optimum was reached, at the boundary or inside."""
        return self.status != "failed"


def verdict_of(
    criterion: Criterion,
    optimum: Optimum,
    singular: Sequence[bool],
    names: Sequence[str],
    structures: Sequence[BlockDiagonal],
) -> Convergence:
    """Return the verdict on an optimum: converged, at the boundary, or not, with words and advice."""
    named = list(names) or [f"factor {f + 1}" for f in range(len(structures))]
    flat = tuple(name for name, is_singular in zip(named, singular, strict=True) if is_singular)
    count = f"{optimum.evaluations} evaluation{'s' * (optimum.evaluations != 1)}"
    found = f"{count}, Newton decrement {optimum.decrement:.1e}"
    if not optimum.reached or not np.isfinite(optimum.point.value):
        return Convergence(
            "failed",
            optimum.decrement,
            optimum.evaluations,
            flat,
            f"Not converged ({found}): the criterion could still fall by about {optimum.decrement:.2g}. Raise "
            "Control(max_evaluations=...), give another start, or simplify the random effects.",
        )
    if flat:
        return Convergence(
            "boundary",
            optimum.decrement,
            optimum.evaluations,
            flat,
            f"Converged on the boundary ({found}): {_singular_words(criterion, optimum.x, singular, named)}. "
            "The estimates are the optimum; a simpler random part fits as well.",
        )
    loose = _undetermined(criterion, optimum, named)
    if loose:
        found += (
            f"); but the data do not determine the variance of {', '.join(loose)} (any value fits as well"
        )
    return Convergence("converged", optimum.decrement, optimum.evaluations, (), f"Converged ({found}).")


def _undetermined(criterion: Criterion, optimum: Optimum, names: Sequence[str]) -> list[str]:
    """Return the blocks whose variance can change by its own size while the criterion stays."""
    if not criterion.n_theta:
        return []
    curvature = np.diag(optimum.point.curvature)
    gain = curvature * np.maximum(optimum.x, 0.1) ** 2
    out = []
    for name, here, structure in zip(names, criterion.slices, criterion.structures, strict=True):
        where = here.start + np.array(structure.diagonal)
        if np.any(np.abs(gain[where]) < 1e-7):
            out.append(name)
    return out


def _singular_words(criterion: Criterion, x: Array, singular: Sequence[bool], names: Sequence[str]) -> str:
    words = []
    for name, is_singular, here, structure in zip(
        names, singular, criterion.slices, criterion.structures, strict=True
    ):
        if not is_singular:
            continue
        lam = structure.factor(x[here])
        rank = int(np.linalg.matrix_rank(lam))
        if rank == 0:
            words.append(f"no variance between levels of {name}")
        else:
            words.append(
                f"the {structure.k} effects of {name} vary in {rank} direction{'s' * (rank > 1)} only"
            )
    return "; ".join(words)
