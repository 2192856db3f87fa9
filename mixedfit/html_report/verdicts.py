"""Whether the fit can be used, in words: converged, on the boundary and in which way, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._types import Array
from ..parameters import on_boundary, variance_parameters
from .naming import joined, number, plain

if TYPE_CHECKING:
    from ..fit import Fit
    from ..results import MixedResults

__all__ = ["verdict_in_words"]

_STEPS = {1e-9: "a billionth", 1e-6: "a millionth", 1e-3: "a thousandth"}


def verdict_in_words(results: MixedResults) -> tuple[str, list[str]]:
    """Return a headline on convergence and what it means."""
    c = results.convergence
    if c.status == "failed":
        return "The fit did not converge", [
            "The numbers below are not the optimum and should not be reported.",
            c.message,
        ]
    if c.status == "boundary":
        return "The fit converged, on the boundary", [
            *_boundary_words(results._fit, c.singular),
            "This is a result and not a failure: the data give no sign of more variation of that kind than chance, or "
            "are too few to show it. The other estimates can be used, and a simpler random part fits as well. Prefer "
            "profile or bootstrap intervals over Wald ones here.",
        ]
    if not results.ngroups:
        return "The fit is exact", [
            "Without random effects estimates are by least squares, which needs no search."
        ]
    step = next((words for bound, words in _STEPS.items() if c.decrement < bound), number(2 * c.decrement, 1))
    return "The fit converged", [
        f"The search found the optimum: a further step would change the criterion by less than {step}.",
    ]


def _boundary_words(fit: Fit, singular: tuple[str, ...]) -> list[str]:
    """Return a sentence for each grouping factor on the boundary: what is 0, what is ±1, or which rank is lacking."""
    out = []
    for at, block in enumerate(fit.design.blocks):
        if block.name not in singular:
            continue
        at_limit = [p for p in variance_parameters(fit.design) if p.block == at and on_boundary(fit, p)]
        effects = [plain(effect) for effect in block.effects]
        zero = [p.first for p in at_limit if p.kind == "sd"]
        tied = [p for p in at_limit if p.kind == "correlation" and not {p.first, p.second} & set(zero)]
        of = "" if len(zero) == block.k else f" of {joined([effects[j] for j in zero])}"
        if zero:
            out.append(f"The best value of the variance{of} between levels of {block.name} is 0.")
        for p in tied:
            sign = "1" if fit.omega[at][p.first, p.second] > 0 else "−1"
            out.append(
                f"The best value of the correlation of {effects[p.first]} and {effects[p.second]} between levels of "
                f"{block.name} is {sign}."
            )
        rank, rest = _rank(fit.lam[at]), block.k - len(zero)
        if rank < rest and not tied:
            which = f"The {rest} random effects" if not zero else f"The other {rest} random effects"
            out.append(
                f"{which} of {block.name} vary in {rank} direction{'s' * (rank > 1)} only: none of their variances is "
                "0, but some combination of them is the same for every level."
            )
    return out


def _rank(lam: Array) -> int:
    """Return the rank of a covariance factor, whatever the units of its effects."""
    size = np.linalg.norm(lam, axis=1)
    return int(np.linalg.matrix_rank(lam / np.where(size > 0, size, 1.0)[:, None]))
