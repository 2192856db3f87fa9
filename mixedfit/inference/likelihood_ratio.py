"""Likelihood-ratio tests: nested models side by side, and random terms dropped in turn.

Where a test puts a variance on the boundary its statistic is not a chi-square but a mixture of two: half of
each degrees of freedom for one variance dropped with its covariances (Self & Liang 1987, J. Am. Stat. Assoc.
82:605; Stram & Lee 1994, Biometrics 50:1171).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from ..covariance import BlockDiagonal, Diagonal, Unstructured
from ..design import Design, RandomBlock
from ..errors import ModelError
from ..fit import Fit, fit_design

__all__ = ["LikelihoodRatioTable", "likelihood_ratio", "random_effects_anova"]


@dataclass(frozen=True, eq=False)
class LikelihoodRatioTable:
    """Likelihood-ratio tests, a row a model.

    Attributes
    ----------
    table : pandas.DataFrame
        The comparison.
    notes : tuple of str
        What was refitted, and how p-values were found.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]

    def __str__(self) -> str:
        shown = self.table.to_string(float_format="{:.5g}".format, na_rep="")
        return "\n".join([shown, *self.notes])

    __repr__ = __str__


def chi_square_tail(statistic: float, df: int) -> float:
    """Return the upper-tail probability of a chi-square; df 0 is the constant 0."""
    if df == 0:
        return 1.0 if statistic <= 0 else 0.0
    return float(chdtrc(df, max(statistic, 0.0)))


def likelihood_ratio(fits: Sequence[Fit], *, refit: bool = True) -> LikelihoodRatioTable:
    """Return the table of nested models, ordered by their number of parameters, each tested against the one before.

    Parameters
    ----------
    fits : sequence of Fit
    refit : bool
        Whether REML fits are refitted by ML. REML criteria can only be compared between models with the same
        fixed effects, so REML fits that differ there are always refitted.

    Raises
    ------
    ModelError
        If there are fewer than two models, or they are not on the same rows and response.
    """
    if len(fits) < 2:
        raise ModelError("a comparison needs at least two fits.")
    check_same_data(fits)
    alike = all(same_fixed(fits[0], fit) for fit in fits[1:])
    all_reml = all(fit.reml for fit in fits)
    notes = []
    if any(fit.reml for fit in fits) and (refit or not (alike and all_reml)):
        fits = [by_ml(fit) for fit in fits]
        notes.append("REML fits were refitted by maximum likelihood.")
    ordered = sorted(fits, key=lambda fit: fit.n_parameters)
    rows, names = [], []
    before: Fit | None = None
    for fit in ordered:
        value = fit.evaluation.value
        chisq, df, p = float("nan"), 0, float("nan")
        if before is not None:
            chisq, df = before.evaluation.value - value, fit.n_parameters - before.n_parameters
            p = chi_square_tail(chisq, df) if df else float("nan")
        k = fit.n_parameters
        aic, bic = value + 2 * k, value + np.log(fit.cross.n) * k
        rows.append((k, aic, bic, -0.5 * value, value, chisq, df if before is not None else np.nan, p))
        names.append(fit.design.formula.source)
        before = fit
    columns = ["npar", "aic", "bic", "llf", "deviance", "chisq", "df", "p_value"]
    return LikelihoodRatioTable(pd.DataFrame(rows, index=names, columns=columns), tuple(notes))


def check_same_data(fits: Sequence[Fit]) -> None:
    """Raise unless all fits have the same rows, response and weights."""
    first = fits[0]
    for fit in fits[1:]:
        same = fit.design.n == first.design.n and fit.design.index.equals(first.design.index)
        if not same:
            raise ModelError(
                f"the models are on different rows ({first.design.n} and {fit.design.n} of the data): their "
                "likelihoods cannot be compared. Fit them to the same complete rows."
            )
        if not np.array_equal(fit.response, first.response):
            raise ModelError("the models have different responses: their likelihoods cannot be compared.")
        one, other = (np.ones(1) if w is None else w for w in (first.design.weights, fit.design.weights))
        if not np.array_equal(one, other):
            raise ModelError("the models have different weights: their likelihoods cannot be compared.")


def same_fixed(one: Fit, other: Fit) -> bool:
    """Whether two models have the same space of fixed effects."""
    if one.cross.p_total != other.cross.p_total or len(one.design.many) != len(other.design.many):
        return False
    a, b = one.design.X[:, one.cross.fixed.kept], other.design.X[:, other.cross.fixed.kept]
    both = np.hstack([a, b])
    rank = int(np.linalg.matrix_rank(both / np.maximum(np.linalg.norm(both, axis=0), 1e-300)))
    return bool(rank <= a.shape[1])


def by_ml(fit: Fit) -> Fit:
    """Return the fit, by maximum likelihood if it was not."""
    if not fit.reml:
        return fit
    return fit_design(fit.design, reml=False, start=fit.theta, sigma=fit.held_sigma)


def random_effects_anova(fit: Fit) -> LikelihoodRatioTable:
    """Return the test of each random effect: its variance and covariances dropped, the rest fitted again.

    REML fits are compared by REML, since the fixed effects stay. `p_value` is the boundary mixture,
    `p_naive` the plain chi-square, which is too large.
    """
    if not fit.design.blocks:
        raise ModelError("the model has no random effects to test.")
    full = fit.evaluation.value
    rows = [(fit.n_parameters, -0.5 * full, np.nan, np.nan, np.nan, np.nan)]
    names = ["<none>"]
    for name, design in _without_each(fit.design):
        smaller = fit_design(design, reml=fit.reml, sigma=fit.held_sigma)
        chisq = max(smaller.evaluation.value - full, 0.0)
        df = fit.n_parameters - smaller.n_parameters
        naive = chi_square_tail(chisq, df)
        mixture = 0.5 * (chi_square_tail(chisq, df) + chi_square_tail(chisq, df - 1))
        rows.append((smaller.n_parameters, -0.5 * smaller.evaluation.value, chisq, df, mixture, naive))
        names.append(name)
    columns = ["npar", "llf", "chisq", "df", "p_value", "p_naive"]
    note = (
        "p_value: equal mixture of chi-squares on df and df - 1 degrees of freedom, since a variance of 0 lies on "
        "the boundary; p_naive: chi-square on df."
    )
    return LikelihoodRatioTable(pd.DataFrame(rows, index=names, columns=columns), (note,))


def _without_each(design: Design) -> list[tuple[str, Design]]:
    """Return the designs with one random effect less: a slope before the intercept of its own term."""
    out = []
    for f, block in enumerate(design.blocks):
        at = 0
        for part in block.structure.parts:
            droppable = range(part.k) if part.k == 1 or part.invariance != "linear" else range(1, part.k)
            for i in droppable:
                effect = at + i
                smaller = _without(block, effect)
                blocks = [b for b in design.blocks if b is not block]
                if smaller is not None:
                    blocks.insert(f, smaller)
                name = f"{block.effects[effect]} | {block.name}"
                out.append((name, replace(design, blocks=tuple(blocks))))
            at += part.k
    return out


def _without(block: RandomBlock, effect: int) -> RandomBlock | None:
    """Return a block with one effect less, or None if it was the only one."""
    if block.k == 1:
        return None
    keep = [i for i in range(block.k) if i != effect]
    parts, at = [], 0
    for part in block.structure.parts:
        size = part.k - (at <= effect < at + part.k)
        if size:
            parts.append(Unstructured(size) if part.invariance == "linear" else Diagonal(size))
        at += part.k
    return RandomBlock(
        block.grouping,
        tuple(block.effects[i] for i in keep),
        np.ascontiguousarray(block.z[:, keep]),
        BlockDiagonal(tuple(parts)),
        tuple(part.k for part in parts),
    )
