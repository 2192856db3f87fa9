"""Estimated marginal means: averages of the fixed part over a reference grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError, RankWarning
from mixedfit.core.names import plain_name
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level, check_one_of
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import FitNames, names_of
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom, failed_notes
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.tests import t_rows

from .averages import Weights, check_weights
from .contrasts import MarginalContrasts, adjustment_note, cell_names, family_note, family_tests, printed
from .effect_sizes import Sigma, effect_size_table
from .families import (
    Interaction,
    Method,
    contrast_weights,
    default_adjustment,
    interaction_weights,
    is_all_pairs,
)
from .multiplicity import Adjust, full_name, letters
from .nesting import nesting_note
from .reference_grid import Grid, GridOptions, reference_grid
from .response_scale import ResponseScale, response_scale
from .responses import MeanType, as_ratios, as_responses, response_notes, total_variance
from .specs import read_specs

__all__ = [
    "MarginalContrasts",
    "MarginalMeans",
    "MeansOptions",
    "grid_notes",
    "marginal_means",
    "means_of",
]

AdjustOption: TypeAlias = Adjust | Literal["default"] | None

FamilyOption: TypeAlias = Literal["group", "all"]
"""Which tests are adjusted together: those of each combination of `by`, or all."""


@dataclass(frozen=True, eq=False)
class MeansOptions:
    """Options of marginal means beside their grid.

    Attributes
    ----------
    ddf : optional
        Method for the degrees of freedom.
    level : float
    type : {"link", "response"}
        Scale of the table.
    bias_adjust : bool
        Whether means of the response are adjusted for the curvature of the transformation.
    sigma : float, optional
        Standard deviation of responses about their means for the adjustment.
    """

    ddf: Ddf | None = None
    level: float = 0.95
    type: MeanType = "link"
    bias_adjust: bool = False
    sigma: float | None = None


@dataclass(frozen=True, eq=False)
class MarginalMeans(NotebookTable):
    """Estimated marginal means, or slopes, a row for each cell.

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
    type : str
        "link" for the scale of the formula's left side, "response" if its transformation is undone.
    """

    table: pd.DataFrame
    specs: tuple[str, ...]
    by: tuple[str, ...]
    level: float
    method: str
    notes: tuple[str, ...]
    type: MeanType
    _degrees: Degrees = field(repr=False)
    _grid: Grid = field(repr=False)
    _scale: ResponseScale | None = field(repr=False)

    @property
    def _names(self) -> FitNames:
        return names_of(self._degrees.fit)

    @property
    def _label_columns(self) -> tuple[str, ...]:
        return (*self.specs, *self.by)

    def contrasts(
        self,
        method: Method = "pairwise",
        adjust: AdjustOption = "default",
        *,
        reverse: bool = False,
        ref: Any = None,
        interaction: Interaction = False,
        level: float | None = None,
        family: FamilyOption = "group",
    ) -> MarginalContrasts:
        """Return contrasts of the means, within each combination of `by`.

        Parameters
        ----------
        method : str or mapping of str to weights
            "pairwise" (all pairs) and "revpairwise"; "trt.vs.ctrl", each mean against the first, and "trt.vs.ctrlk",
            against the last; "consec", each mean less the one before; "mean_chg", the mean of those after less the
            mean of those before; "eff", each mean less the mean of all, and "del.eff", of the others; "poly",
            orthogonal polynomials in the order of the means; "identity", the means; or custom contrasts: for
            each name a weight for each mean, or a mapping of means to weights, ``{"A - C": {"A": 1, "C": -1}}``.
        adjust : str, optional
            Adjustment of p-values and intervals for multiple tests: "tukey", "dunnett" or "mvt" (the exact
            distribution of the largest statistic), "scheffe", "bonferroni", "sidak", "holm", "hochberg", "hommel",
            "fdr" ("BH"), "BY", "none". By default Tukey's for pairs, Dunnett's against a control, "mvt" for
            consecutive means, "fdr" for effects, none otherwise. Intervals of the methods that order p-values are
            Bonferroni's. The beginning of a name will do, as in R: "bonf".
        reverse : bool
            Whether to reverse differences; with "trt.vs.ctrl", means are compared with the last one.
        ref : level, or sequence of levels
            With "trt.vs.ctrl", the mean that the others are compared with; of several, their average.
        interaction : bool, str, sequence or mapping
            Products of contrasts of each variable of `specs`: True for pairs, or a family for all, or for each
            variable. `method` and `ref` are then not used.
        level : float, optional
            Joint coverage of the intervals; by default the level of the means.
        family : {"group", "all"}
            Which tests are adjusted together: those of each combination of `by`, or all of them. For all, "mvt" takes
            the place of Tukey's and Dunnett's methods by default.

        Raises
        ------
        ModelError
            If a name is unknown or the number of weights is wrong.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("yield ~ nitro + Variety + (1 | Block/Variety)", mf.load_dataset("Oats")).fit()
        >>> fit.emmeans("Variety").contrasts("trt.vs.ctrl")  # doctest: +ELLIPSIS
        contrast                 estimate std_error df  lower upper statistic p_value
        Marvellous - Golden Rain     5.29      7.08 10 -12.89 23.47     0.748  0.6845
        Victory - Golden Rain       -6.8...      7.08 10 -25.06 11.31    -0.971  0.5423
        <BLANKLINE>
        Held at: nitro = 0.3.
        Degrees of freedom: Satterthwaite.
        P-values adjusted by Dunnett's method for 2 tests, from the joint t distribution. Joint
        confidence level: 0.95.
        """
        level = check_level(self.level if level is None else level)
        check_one_of("family", family, get_args(FamilyOption))
        chosen = _adjustment(adjust, "none" if interaction is not False else method)
        whole = family == "all" and len(self._grid.families) > 1
        if whole and adjust == "default" and chosen in ("tukey", "dunnett"):
            chosen = "mvt"
        if chosen == "tukey" and (whole or interaction is not False or not is_all_pairs(method)):
            raise ModelError(
                "adjust='tukey' is the distribution of all pairs; use it with 'pairwise' only"
                + (" and within groups; across groups take adjust='mvt'." if whole else ".")
            )
        made = self._groups(method, reverse=reverse, ref=ref, interaction=interaction)
        if whole:
            parts = self._tests_of_all(made, adjust=chosen, level=level)
        else:
            parts = [self._tests(rows, weights, adjust=chosen, level=level) for rows, _, weights in made]
        for part, (rows, names, weights) in zip(parts, made, strict=True):
            if self.type == "response" and self._scale is not None:
                names = as_ratios(part, names, weights, self._scale)
            part.insert(0, "contrast", names)
            for name in reversed(self.by):
                part.insert(1, name, self.table[name].iloc[rows[0]])
        table = pd.concat(parts, ignore_index=True)
        missing = ["NaN: not estimable."] if table["estimate"].isna().any() else []
        missing += failed_notes(
            self._degrees, table["std_error"], table["contrast"], table["estimate"].notna()
        )
        tests = [int(part["estimate"].notna().sum()) for part in parts]
        counts = [sum(tests)] if whole else tests
        single = max(map(len, parts)) == 1 and not whole
        last = adjustment_note(
            "none" if single else chosen, counts, max(len(rows) for rows, *_ in made), level
        )
        groups = family_note(self.by, tests, chosen) if len(parts) > 1 and not whole else ""
        notes = (*missing, *self._notes_of_contrasts(), last, *filter(None, [groups]))
        return MarginalContrasts(table, self.by, chosen, level, self.method, notes, self._names)

    def _groups(
        self, method: Method, *, reverse: bool, ref: Any, interaction: Interaction
    ) -> list[tuple[IntArray, list[str], Array]]:
        """Return the rows of each group of means with names and weights of their contrasts."""
        out = []
        several = any(len(rows) > 1 for rows in self._grid.families)
        for rows in self._grid.families:
            if several and len(rows) == 1 and method != "identity":
                continue  # one level of a nested factor: nothing to compare
            out.append(
                (rows, *self._weights(rows, method, reverse=reverse, ref=ref, interaction=interaction))
            )
        return out

    def _tests_of_all(
        self, made: Sequence[tuple[IntArray, list[str], Array]], *, adjust: Adjust, level: float
    ) -> list[pd.DataFrame]:
        """Return the tests of each group, adjusted as one family."""
        rows = np.concatenate([own for own, *_ in made])
        whole = self._tests(rows, block_diag(*(weights for *_, weights in made)), adjust=adjust, level=level)
        ends = np.cumsum([len(weights) for *_, weights in made])
        return [
            whole.iloc[end - len(weights) : end].reset_index(drop=True)
            for end, (*_, weights) in zip(ends, made, strict=True)
        ]

    def _notes_of_contrasts(self) -> list[str]:
        """Return the notes of the means that hold for their contrasts."""
        own = [note for note in self.notes if not note.startswith(_OF_MEANS)]
        if self.type == "response" and self._scale is not None:
            ratios = self._scale.ratios
            own.append(
                f"Ratios: tests and intervals are computed on the scale of {self._scale.text}."
                if ratios
                else f"Contrasts are on the scale of {self._scale.text}, not transformed back."
            )
        return own

    def _weights(
        self, rows: IntArray, method: Method, *, reverse: bool, ref: Any, interaction: Interaction
    ) -> tuple[list[str], Array]:
        """Return names and weights of the contrasts of one family of means."""
        cells = self.table[list(self.specs)].iloc[rows]
        if interaction is False:
            return contrast_weights(method, cell_names(cells), reverse=reverse, ref=ref)
        labels = [cell_names(cells[[name]].drop_duplicates()) for name in self.specs]
        if np.prod([len(own) for own in labels]) != len(rows):
            raise ModelError(
                "interaction contrasts need every combination of the levels, and nested factors lack some; take the "
                "nested factor's parents as by."
            )
        return interaction_weights(interaction, self.specs, labels, reverse=reverse)

    def _tests(self, rows: IntArray, weights: Array, *, adjust: Adjust, level: float) -> pd.DataFrame:
        """Return the adjusted tests of contrasts of one family of means."""
        L = weights @ self._grid.L[rows]
        known = ColumnSpace(self._degrees.fit).estimable(L) & ~np.any(
            weights[:, self._grid.empty[rows]], axis=1
        )
        return family_tests(self._degrees, L, known, means=len(rows), adjust=adjust, level=level)

    def effect_sizes(
        self,
        method: Method = "pairwise",
        *,
        sigma: Sigma = "total",
        edf: float | None = None,
        reverse: bool = False,
        ref: Any = None,
        level: float | None = None,
    ) -> MarginalContrasts:
        """Return standardised contrasts of the means, Cohen's d: each contrast over a standard deviation.

        Parameters
        ----------
        method, reverse, ref
            As in `contrasts`.
        sigma : {"total", "residual"} or float
            The standard deviation: of a response about its mean, √(mean of zᵀΩz + σ²) over the rows (Westfall, Kenny &
            Judd 2014, J. Exp. Psychol. Gen. 143:2020); of the residuals; or a known number.
        edf : float, optional
            Degrees of freedom of `sigma`; by default 2s⁴/Var(s²) for the model's, infinite for a number.
        level : float, optional
            Coverage of each interval; by default the level of the means.

        Returns
        -------
        MarginalContrasts
            Its standard errors hold the uncertainty of `sigma`: SE² = Var(contrast)/s² + d²/(2 edf), as in R's
            emmeans. There are no tests; those of `contrasts` serve.

        Raises
        ------
        ModelError
            If an option is invalid.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe + temperature + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> fit.emmeans("recipe").effect_sizes().table[["contrast", "estimate"]].round(3)
          contrast  estimate
        0    A - B     0.187
        1    A - C     0.193
        2    B - C     0.006
        """
        level = check_level(self.level if level is None else level)
        made = self.contrasts(method, "none", reverse=reverse, ref=ref, level=level)
        if self.type == "response" and self._scale is not None:
            raise ModelError(
                f"effect sizes are of contrasts on the scale of {self._scale.text}; build the means without "
                "type='response'."
            )
        return effect_size_table(self._degrees.fit, made, sigma=sigma, edf=edf)

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
        estimates = self.table["estimate"].to_numpy()
        families = self._grid.families
        tests = np.cumsum([len(rows) * (len(rows) - 1) // 2 for rows in families])
        p_values = self.contrasts("pairwise", adjust).table["p_value"].to_numpy()
        out: list[str] = []
        for rows, own in zip(families, np.split(p_values, tests[:-1]), strict=True):  # none for a single mean
            out += _known_letters(estimates[rows], own, alpha)
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


_OF_MEANS = ("Confidence", "NaN", "They", "Back", "Kenward-Roger has failed")
"""How the notes begin that hold for the means only, not for their contrasts."""


def _adjustment(adjust: AdjustOption, method: Any) -> Adjust:
    """Return the adjustment that an option names; None is "none", as in R's p.adjust."""
    if adjust is None:
        return "none"
    if adjust == "default":
        return default_adjustment(method)
    if isinstance(adjust, str):
        adjust = cast(Adjust, full_name(adjust))
    check_one_of("adjust", adjust, get_args(Adjust))
    return adjust


def marginal_means(
    fit: Fit,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] = (),
    grid: GridOptions | None = None,
    options: MeansOptions | None = None,
) -> MarginalMeans:
    """Return the marginal means of `specs` within `by`; see `reference_grid`.

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, or an option is invalid.
    """
    grid, options = grid or GridOptions(), options or MeansOptions()
    recipe = usable(fit.design.recipe)
    names, within = read_specs(specs, by, recipe.fixed_names)
    check_weights(grid.weights)
    found = reference_grid(recipe, names, within, grid)
    scale = response_scale(fit.design.formula.response)
    notes = grid_notes(recipe, found, grid.weights)
    return means_of(fit, found, notes, scale=scale, options=options)


def means_of(
    fit: Fit, grid: Grid, notes: Sequence[str], *, scale: ResponseScale | None, options: MeansOptions
) -> MarginalMeans:
    """Return the means of a grid's rows.

    Raises
    ------
    ModelError
        If an option is invalid.
    """
    level = check_level(options.level)
    check_one_of("type", options.type, get_args(MeanType))
    degrees = degrees_of_freedom(fit, options.ddf)
    estimable = ColumnSpace(fit).estimable(grid.L) & ~grid.empty
    rows = t_rows(degrees, grid.L, np.zeros(len(grid.L)), estimable, level=level)
    rows = rows[["estimate", "std_error", "df", "lower", "upper"]]
    variance = total_variance(fit, options.sigma) if options.bias_adjust else 0.0
    if options.type == "response":
        rows = as_responses(rows, scale, fit.design.formula.response, variance=variance)
    every = [
        *notes,
        *response_notes(fit, scale, options.type, variance=variance),
        *_fit_notes(degrees, grid, estimable),
        *failed_notes(degrees, rows["std_error"], cell_names(grid.cells), estimable),
        f"Confidence level: {level:g}.",
    ]
    table = pd.concat([grid.cells, rows], axis=1)
    return MarginalMeans(
        table, grid.specs, grid.by, level, degrees.name, tuple(every), options.type, degrees, grid, scale
    )


def grid_notes(recipe: Recipe, grid: Grid, weights: Weights, *own: str) -> list[str]:
    """Return the notes on variables averaged over or held, nesting, and interactions with averaged variables.

    `own` is a variable whose slopes the means are.
    """
    notes = []
    if grid.averaged:
        how = "" if isinstance(weights, str) and weights == "equal" else f" (weights: {_text_of(weights)})"
        notes.append(f"Averaged over the levels of: {', '.join(grid.averaged)}{how}.")
    if grid.held:
        held = ", ".join(f"{name} = {value:.6g}" for name, value in grid.held.items())
        notes.append(f"Held at: {held}.")
    notes += [note] if (note := nesting_note(grid.nesting)) else []
    named = {*grid.specs, *grid.by, *own}
    others = [
        {v for v in term.variables if v not in named and not named & set(grid.nesting.get(v, ()))}
        for term in recipe.terms
    ]
    crossed = [
        t.name for t, rest in zip(recipe.terms, others, strict=True) if rest and set(t.variables) - rest
    ]
    if crossed:
        notes.append(f"Beware of interactions with these: {', '.join(map(plain_name, crossed))}.")
    return notes


def _text_of(weights: Weights) -> str:
    return weights if isinstance(weights, str) else ", ".join(f"{w:g}" for w in weights)


def _fit_notes(degrees: Degrees, grid: Grid, estimable: BoolArray) -> list[str]:
    """Return the notes on the offset, means that are not estimable, and the degrees of freedom."""
    fit, notes = degrees.fit, []
    if fit.design.offset is not None:
        notes.append("The offset is taken as 0.")
    if not estimable.all():
        notes.append("NaN: not estimable, since the data lack cells that the mean needs.")
    notes.append(f"Degrees of freedom: {degrees.name}.")
    if fit.design.many and np.isnan(degrees.df(grid.L[0])):
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
