"""Estimated marginal means: what the model says on average over a reference grid, and contrasts of these."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, RankWarning
from mixedfit.core.options import check_level, check_one_of
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit
from mixedfit.formula.tokens import is_column
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.tests import t_rows

from .contrasts import (
    MarginalContrasts,
    Method,
    adjustment_note,
    cell_names,
    contrast_weights,
    family_tests,
    printed,
)
from .multiplicity import Adjust, letters
from .reference_grid import Grid, reference_grid

__all__ = ["MarginalContrasts", "MarginalMeans", "marginal_means"]

_ADJUSTMENTS = ("tukey", "dunnett", "holm", "bonferroni", "sidak", "none")

_DEFAULTS: dict[str, Adjust] = {"pairwise": "tukey", "trt.vs.ctrl": "dunnett", "poly": "none"}


@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """Estimated marginal means, a row a cell.

    Attributes
    ----------
    table : pandas.DataFrame
        The variables of `specs` and `by`; columns estimate, std_error, df, lower, upper. NaN where the data do not
        determine a mean.
    specs, by : tuple of str
        Variables whose cells are listed, and those within which they are compared.
    level : float
        Coverage of the intervals, one by one.
    method : str
        Where the degrees of freedom come from.
    notes : tuple of str
        Over what was averaged, what was held, and what to beware of.
    """

    table: pd.DataFrame
    specs: tuple[str, ...]
    by: tuple[str, ...]
    level: float
    method: str
    notes: tuple[str, ...]
    _degrees: Degrees = field(repr=False)
    _grid: Grid = field(repr=False)

    def contrasts(
        self,
        method: Method = "pairwise",
        adjust: Adjust | None = None,
        *,
        reverse: bool = False,
        level: float | None = None,
    ) -> MarginalContrasts:
        """Return contrasts of the means, within each combination of `by`.

        Parameters
        ----------
        method : {"pairwise", "trt.vs.ctrl", "poly"} or mapping of str to weights
            All pairs; each against the first; orthogonal polynomials in the order of the means; or your own, one
            weight for each mean.
        adjust : {"tukey", "dunnett", "holm", "bonferroni", "sidak", "none"}, optional
            How p-values and intervals allow for the number of tests. By default Tukey's for pairs, Dunnett's (the
            exact distribution of the largest statistic) against a control, none otherwise. Intervals with "holm"
            are Bonferroni's.
        reverse : bool
            Whether differences are taken the other way round; with "trt.vs.ctrl", against the last mean.
        level : float, optional
            Coverage of the intervals together; by default that of the means.

        Raises
        ------
        ModelError
            If a name is not known or the weights do not fit.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("yield ~ nitro + Variety + (1 | Block/Variety)", mf.load_dataset("Oats")).fit()
        >>> fit.emmeans("Variety").contrasts("trt.vs.ctrl")
        contrast                 estimate std_error df  lower upper statistic p_value
        Marvellous - Golden Rain     5.29      7.08 10 -12.89 23.47     0.748  0.6845
        Victory - Golden Rain       -6.87      7.08 10 -25.06 11.31    -0.971  0.5423
        <BLANKLINE>
        Held at: nitro = 0.3.
        Degrees of freedom: Satterthwaite.
        P-values adjusted by Dunnett's method for 2 tests, from the joint t distribution. Joint confidence level: 0.95.
        """
        coverage = self.level if level is None else level
        return _contrasts(self, method, adjust=adjust, reverse=reverse, level=coverage)

    def compact_letters(self, alpha: float = 0.05, adjust: Adjust = "tukey") -> pd.Series[str]:
        """Return letters for each mean: means that share one do not differ at level `alpha`.

        Piepho (2004), J. Comput. Graph. Stat. 13:456. That two means share a letter does not say that they are
        equal. A mean that is not estimable has none, an empty string, and a `RankWarning` names it.

        Raises
        ------
        ModelError
            If `alpha` is not a level, or the tests' degrees of freedom are not known.
        """
        if not 0 < alpha < 0.5:
            raise ModelError(f"alpha is {alpha}; expected a level of tests between 0 and 0.5, such as 0.05.")
        pairs = self.contrasts("pairwise", adjust).table
        out, at = [], 0
        for rows in _families(self):
            k = len(rows)
            p_values = pairs["p_value"].to_numpy()[at : at + k * (k - 1) // 2]
            at += k * (k - 1) // 2
            out.append(
                pd.Series(
                    _known_letters(self.table["estimate"].to_numpy()[rows], p_values, alpha), index=rows
                )
            )
        names = cell_names(self.table[[*self.by, *self.specs]])
        lost = [name for name, unknown in zip(names, self.table["estimate"].isna(), strict=True) if unknown]
        if lost:
            warnings.warn(
                f"means that are not estimable have no letters: {', '.join(lost)}.", RankWarning, stacklevel=2
            )
        return pd.concat(out).set_axis(pd.Index(names)).rename("letters")

    def __str__(self) -> str:
        return printed(self.table, list(self.specs), self.by, self.notes)

    __repr__ = __str__


def marginal_means(
    fit: Fit,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    ddf: Ddf | None = None,
    level: float = 0.95,
) -> MarginalMeans:
    """Return the marginal means of `specs` within `by`; see `reference_grid`.

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, or an option is not known.
    """
    check_level(level)
    recipe = usable(fit.design.recipe)
    names = [specs] if isinstance(specs, str) else list(specs)
    within = [by] if isinstance(by, str) else list(by)
    if not names:
        raise ModelError("specs names no variable; give the factor whose means you want, such as 'recipe'.")
    grid = reference_grid(recipe, names, within, dict(at or {}))
    degrees = degrees_of_freedom(fit, ddf)
    estimable = ColumnSpace(fit).estimable(grid.L)
    rows = t_rows(degrees, grid.L, np.zeros(len(grid.L)), estimable, level=level)
    table = pd.concat([grid.cells, rows[["estimate", "std_error", "df", "lower", "upper"]]], axis=1)
    notes = [
        *_grid_notes(recipe, grid, [*names, *within]),
        *_fit_notes(degrees, grid.L[~estimable], grid.L[0]),
    ]
    notes.append(f"Confidence level: {level:g}.")
    return MarginalMeans(table, tuple(names), tuple(within), level, degrees.name, tuple(notes), degrees, grid)


def _grid_notes(recipe: Recipe, grid: Grid, named: Sequence[str]) -> list[str]:
    """Return over what was averaged, what was held, and interactions that averages hide."""
    notes = []
    if grid.averaged:
        notes.append(f"Averaged over the levels of: {', '.join(grid.averaged)}.")
    if grid.held:
        held = ", ".join(f"{name} = {value:.6g}" for name, value in grid.held.items())
        notes.append(f"Held at: {held}.")
    others = [set(term.variables) - set(named) for term in recipe.terms]
    crossed = [
        t.name for t, rest in zip(recipe.terms, others, strict=True) if rest and set(t.variables) - rest
    ]
    if crossed:
        notes.append(f"Beware of interactions with these: {', '.join(crossed)}.")
    return notes


def _fit_notes(degrees: Degrees, unknown: Array, first: Array) -> list[str]:
    """Return what the fit could not tell, and the degrees of freedom."""
    fit, notes = degrees.fit, []
    response = fit.design.formula.response
    if not is_column(response):
        notes.append(f"On the scale of {response}, not transformed back.")
    if fit.design.offset is not None:
        notes.append("The offset is taken as 0.")
    if len(unknown):
        notes.append("NaN: not estimable, since the data lack cells that the mean needs.")
    notes.append(f"Degrees of freedom: {degrees.name}.")
    if fit.design.many and np.isnan(degrees.df(first)):
        name = fit.design.many[0].grouping.name
        notes.append(f"They are not known for means over {name!r}; use ddf='residual' or ddf='normal'.")
    return notes


def _known_letters(estimates: Array, p_values: Array, alpha: float) -> list[str]:
    """Return the letters of one family; none for means that are not known."""
    known = np.flatnonzero(np.isfinite(estimates))
    first, second = np.triu_indices(len(estimates), 1)
    p_values = p_values[np.isin(first, known) & np.isin(second, known)]
    if np.isnan(p_values).any():
        raise ModelError(
            "the degrees of freedom of these comparisons are not known; build the means with ddf='residual' or "
            "ddf='normal'."
        )
    out = [""] * len(estimates)
    for place, text in zip(known.tolist(), letters(estimates[known], p_values < alpha), strict=True):
        out[place] = text
    return out


def _families(means: MarginalMeans) -> list[IntArray]:
    """Return the places of the means of each combination of `by`."""
    return list(np.arange(len(means.table), dtype=np.int64).reshape(means._grid.families, -1))


def _contrasts(
    means: MarginalMeans, method: Method, *, adjust: Adjust | None, reverse: bool, level: float
) -> MarginalContrasts:
    check_level(level)
    if adjust is None:
        adjust = _DEFAULTS.get(method, "none") if isinstance(method, str) else "none"
    if isinstance(adjust, str):
        adjust = cast(Adjust, adjust.lower())
    check_one_of("adjust", adjust, _ADJUSTMENTS)
    if adjust == "tukey" and method != "pairwise":
        raise ModelError("adjust='tukey' is the distribution of all pairs; use it with 'pairwise' only.")
    space = ColumnSpace(means._degrees.fit)
    parts = []
    for rows in _families(means):
        labels = cell_names(means.table[list(means.specs)].iloc[rows])
        names, weights = contrast_weights(method, labels, reverse=reverse)
        L = weights @ means._grid.L[rows]
        part = family_tests(means._degrees, L, space=space, means=len(rows), adjust=adjust, level=level)
        part.insert(0, "contrast", names)
        for name in reversed(means.by):
            part.insert(1, name, means.table[name].iloc[rows[0]])
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    kept = [note for note in means.notes if not note.startswith(("Confidence", "NaN", "They"))]
    missing = ["NaN: not estimable."] if table["estimate"].isna().any() else []
    tests = [int(part["estimate"].notna().sum()) for part in parts]
    last = adjustment_note(adjust if len(parts[0]) > 1 else "none", tests, len(labels), level)
    return MarginalContrasts(table, means.by, adjust, level, means.method, (*missing, *kept, last))
