"""Estimated marginal means: averages of the fixed part over a reference grid."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
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

_DEFAULTS: dict[str, Adjust] = {"pairwise": "tukey", "trt.vs.ctrl": "dunnett", "poly": "none"}


@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """Estimated marginal means, a row for each cell.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns of `specs` and `by`, then estimate, std_error, df, lower, upper. NaN for means that are not estimable.
    specs, by : tuple of str
        Variables whose cells are listed, and variables within which means are compared.
    level : float
        Coverage of each interval.
    method : str
        Method for the degrees of freedom.
    notes : tuple of str
        Variables averaged over or held, interactions, and other remarks.
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
            All pairs; each mean against the first; orthogonal polynomials in the order of the means; or custom
            contrasts with a weight for each mean.
        adjust : {"tukey", "dunnett", "holm", "bonferroni", "sidak", "none"}, optional
            Adjustment of p-values and intervals for multiple tests. By default Tukey's for pairs, Dunnett's (the
            exact distribution of the largest statistic) against a control, none otherwise. With "holm", intervals
            are Bonferroni's.
        reverse : bool
            Whether to reverse differences; with "trt.vs.ctrl", means are compared with the last one.
        level : float, optional
            Joint coverage of the intervals; by default the level of the means.

        Raises
        ------
        ModelError
            If a name is unknown or the number of weights is wrong.

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
        level = check_level(self.level if level is None else level)
        if adjust is None:
            adjust = _DEFAULTS.get(method, "none") if isinstance(method, str) else "none"
        if isinstance(adjust, str):
            adjust = cast(Adjust, adjust.lower())
        check_one_of("adjust", adjust, get_args(Adjust))
        if adjust == "tukey" and method != "pairwise":
            raise ModelError("adjust='tukey' is the distribution of all pairs; use it with 'pairwise' only.")
        space = ColumnSpace(self._degrees.fit)
        parts = []
        for rows in np.arange(len(self.table)).reshape(self._grid.families, -1):
            labels = cell_names(self.table[list(self.specs)].iloc[rows])
            names, weights = contrast_weights(method, labels, reverse=reverse)
            L = weights @ self._grid.L[rows]
            part = family_tests(self._degrees, L, space=space, means=len(rows), adjust=adjust, level=level)
            part.insert(0, "contrast", names)
            for name in reversed(self.by):
                part.insert(1, name, self.table[name].iloc[rows[0]])
            parts.append(part)
        table = pd.concat(parts, ignore_index=True)
        kept = [note for note in self.notes if not note.startswith(("Confidence", "NaN", "They"))]
        missing = ["NaN: not estimable."] if table["estimate"].isna().any() else []
        tests = [int(part["estimate"].notna().sum()) for part in parts]
        last = adjustment_note(adjust if len(parts[0]) > 1 else "none", tests, len(labels), level)
        return MarginalContrasts(table, self.by, adjust, level, self.method, (*missing, *kept, last))

    def compact_letters(self, alpha: float = 0.05, adjust: Adjust = "tukey") -> pd.Series[str]:
        """Return letters for each mean: means that share a letter do not differ significantly at level `alpha`.

        Piepho (2004), J. Comput. Graph. Stat. 13:456. A shared letter does not show that two means are equal. A mean
        that is not estimable has an empty string, and a `RankWarning` names it.

        Raises
        ------
        ModelError
            If `alpha` is not a level of tests, or the degrees of freedom of the tests are unknown.
        """
        if not 0 < alpha < 0.5:
            raise ModelError(f"alpha is {alpha}; expected a level of tests between 0 and 0.5, such as 0.05.")
        families = self._grid.families
        estimates = self.table["estimate"].to_numpy().reshape(families, -1)
        p_values = self.contrasts("pairwise", adjust).table["p_value"].to_numpy().reshape(families, -1)
        out: list[str] = []
        for values, own in zip(estimates, p_values, strict=True):
            out += _known_letters(values, own, alpha)
        names = cell_names(self.table[[*self.by, *self.specs]])
        lost = [name for name, unknown in zip(names, self.table["estimate"].isna(), strict=True) if unknown]
        if lost:
            warnings.warn(
                f"means that are not estimable have no letters: {', '.join(lost)}.", RankWarning, stacklevel=2
            )
        return pd.Series(out, index=pd.Index(names), name="letters")

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
        If a name is not a variable of the fixed part, or an option is invalid.
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
    """Return the notes on variables averaged over or held, and on interactions with variables averaged over."""
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
    """Return the notes on the response, the offset, means that are not estimable, and the degrees of freedom."""
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
    """Return the letters of one family; empty strings for means that are not estimable."""
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
