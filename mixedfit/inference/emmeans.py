"""Estimated marginal means: what the model says on average over a reference grid, and contrasts of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .._types import Array, BoolArray, IntArray
from ..errors import ModelError
from ..fit import Fit
from ..recipe import Recipe, usable
from ..rformat import format_fixed, text_columns
from .contrasts import t_rows
from .degrees import Ddf, Degrees, degrees_of_freedom
from .estimable import ColumnSpace
from .multiplicity import Adjust, Family, adjusted, critical
from .reference_grid import Grid, reference_grid
from .weights import Method, contrast_weights

__all__ = ["MarginalContrasts", "MarginalMeans", "marginal_means"]

_ADJUSTMENTS = ("tukey", "dunnett", "holm", "bonferroni", "sidak", "none")
_DEFAULTS: dict[str, Adjust] = {"pairwise": "tukey", "trt.vs.ctrl": "dunnett", "poly": "none"}
_COLUMNS = ["estimate", "std_error", "df", "lower", "upper", "statistic", "p_value"]


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
    _L: Array = field(repr=False)
    _estimable: BoolArray = field(repr=False)

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
        return _contrasts(self, method, adjust, reverse, self.level if level is None else level)

    def compact_letters(self, alpha: float = 0.05, adjust: Adjust = "tukey") -> pd.Series[str]:
        """Return letters for each mean: means that share one do not differ at level `alpha`.

        Piepho (2004), J. Comput. Graph. Stat. 13:456. That two means share a letter does not say that they are
        equal.
        """
        from .letters import letters

        pairs = self.contrasts("pairwise", adjust).table
        out, at = [], 0
        for rows in _families(self):
            k = len(rows)
            p_values = pairs["p_value"].to_numpy()[at : at + k * (k - 1) // 2]
            at += k * (k - 1) // 2
            out.append(
                pd.Series(letters(self.table["estimate"].to_numpy()[rows], p_values < alpha), index=rows)
            )
        names = _names(self.table[[*self.by, *self.specs]])
        return pd.concat(out).set_axis(pd.Index(names)).rename("letters")

    def __str__(self) -> str:
        return "\n".join(_printed(self.table, list(self.specs), self.by, "estimate", self.notes))

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class MarginalContrasts:
    """Contrasts of marginal means, a row a contrast.

    Attributes
    ----------
    table : pandas.DataFrame
        contrast and the variables of `by`; columns estimate, std_error, df, lower, upper, statistic, p_value.
    by : tuple of str
    adjust : str
        What p-values and intervals allow for.
    level : float
    method : str
        Where the degrees of freedom come from.
    notes : tuple of str
    """

    table: pd.DataFrame
    by: tuple[str, ...]
    adjust: str
    level: float
    method: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(_printed(self.table, ["contrast"], self.by, "estimate", self.notes))

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
    grid = reference_grid(fit, recipe, names, within, dict(at or {}))
    degrees = degrees_of_freedom(fit, ddf)
    estimable = ColumnSpace(fit).estimable(grid.L)
    rows = t_rows(degrees, grid.L, np.zeros(len(grid.L)), estimable, level=level)
    table = pd.concat([grid.cells, rows[["estimate", "std_error", "df", "lower", "upper"]]], axis=1)
    notes = _notes(fit, recipe, grid, [*names, *within], degrees, estimable, level)
    return MarginalMeans(
        table, tuple(names), tuple(within), level, degrees.name, notes, degrees, grid.L, estimable
    )


def check_level(level: float) -> None:
    """Refuse a coverage that is none."""
    if not 0.5 <= level < 1:
        raise ModelError(
            f"level is {level}, the coverage of the intervals; expected at least 0.5 and below 1, such as 0.95."
        )


def _notes(
    fit: Fit,
    recipe: Recipe,
    grid: Grid,
    named: Sequence[str],
    degrees: Degrees,
    estimable: BoolArray,
    level: float,
) -> tuple[str, ...]:
    notes = []
    if grid.averaged:
        notes.append(f"Averaged over the levels of: {', '.join(grid.averaged)}.")
    if grid.held:
        notes.append(
            "Held at: " + ", ".join(f"{name} = {value:.6g}" for name, value in grid.held.items()) + "."
        )
    crossed = [
        t.name for t in recipe.terms if set(t.variables) & set(named) and set(t.variables) - set(named)
    ]
    if crossed:
        notes.append(f"Beware: {', '.join(named)} stands in interactions ({', '.join(crossed)}).")
    if fit.design.offset is not None:
        notes.append("The offset is taken as 0.")
    if not estimable.all():
        notes.append("NaN: not estimable, since the data lack cells that the mean needs.")
    notes.append(f"Degrees of freedom: {degrees.name}.")
    if fit.design.many and degrees.df(grid.L[0]) != degrees.df(grid.L[0]):
        notes.append(
            f"Unknown for means over {fit.design.many[0].grouping.name}; use ddf='residual' or 'normal'."
        )
    notes.append(f"Confidence level: {level:g}.")
    return tuple(notes)


def _families(means: MarginalMeans) -> list[IntArray]:
    """Return the places of the means of each combination of `by`."""
    if not means.by:
        return [np.arange(len(means.table), dtype=np.int64)]
    count = len(means.table.drop_duplicates(list(means.by)))
    return list(np.arange(len(means.table), dtype=np.int64).reshape(count, -1))


def _names(cells: pd.DataFrame) -> list[str]:
    """Return a cell's values as text, parted by blanks."""
    return [" ".join(_text(value) for value in row) for row in cells.itertuples(index=False)]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _contrasts(
    means: MarginalMeans, method: Method, adjust: Adjust | None, reverse: bool, level: float
) -> MarginalContrasts:
    check_level(level)
    if adjust is None:
        adjust = _DEFAULTS.get(method, "none") if isinstance(method, str) else "none"
    if adjust not in _ADJUSTMENTS:
        raise ModelError(
            f"adjust={adjust!r} is not known; expected one of {', '.join(map(repr, _ADJUSTMENTS))}."
        )
    if adjust == "tukey" and method != "pairwise":
        raise ModelError("adjust='tukey' is the distribution of all pairs; use it with 'pairwise' only.")
    space = ColumnSpace(means._degrees.fit)
    parts = []
    for rows in _families(means):
        labels = _names(means.table[list(means.specs)].iloc[rows])
        names, weights = contrast_weights(method, labels, reverse=reverse)
        part = _family(means, weights @ means._L[rows], space, len(rows), adjust, level)
        part.insert(0, "contrast", names)
        for name in means.by:
            part.insert(1, name, means.table[name].iloc[rows[0]])
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    sizes = len(parts[0]), len(_families(means)[0])
    notes = (
        *(n for n in means.notes if not n.startswith(("Confidence", "NaN"))),
        *_adjustment(adjust, *sizes, level),
    )
    if table["estimate"].isna().any():
        notes = ("NaN: not estimable.", *notes)
    return MarginalContrasts(table, means.by, adjust, level, means.method, notes)


def _family(
    means: MarginalMeans, L: Array, space: ColumnSpace, count: int, adjust: Adjust, level: float
) -> pd.DataFrame:
    """Return the tests of one family."""
    degrees = means._degrees
    ok = space.estimable(L)
    rows = t_rows(degrees, L, np.zeros(len(L)), ok, level=level)
    kept = degrees.fit.kept.astype(bool)
    own = L[ok][:, kept]
    covariance = own @ degrees.covariance[np.ix_(kept, kept)] @ own.T
    size = np.sqrt(np.diag(covariance))
    family = Family(count, covariance / np.outer(size, size))
    tested, dfs = rows.loc[ok, "statistic"].to_numpy(), rows.loc[ok, "df"].to_numpy()
    rows.loc[ok, "p_value"] = adjusted(tested, dfs, adjust, family)
    factors = {df: critical(df, level, adjust, family) for df in dict.fromkeys(np.round(dfs, 6).tolist())}
    half = np.array([factors[df] for df in np.round(dfs, 6)]) * rows.loc[ok, "std_error"].to_numpy()
    rows.loc[ok, "lower"] = rows.loc[ok, "estimate"] - half
    rows.loc[ok, "upper"] = rows.loc[ok, "estimate"] + half
    return rows[_COLUMNS]


def _adjustment(adjust: Adjust, tests: int, count: int, level: float) -> tuple[str, ...]:
    """Return what is said about p-values and intervals."""
    if adjust == "none" or tests == 1:
        return (
            (f"Confidence level: {level:g}. Nothing was adjusted for several tests.",)
            if tests > 1
            else (f"Confidence level: {level:g}.",)
        )
    owner = {
        "tukey": f"Tukey's method for all pairs of {count} means",
        "dunnett": f"Dunnett's method for {tests} tests, from the joint t distribution",
        "holm": f"Holm's method for {tests} tests",
        "bonferroni": f"Bonferroni's method for {tests} tests",
        "sidak": f"Šidák's method for {tests} tests",
    }[adjust]
    intervals = "; intervals: Bonferroni's" if adjust == "holm" else ""
    return (f"P-values adjusted by {owner}{intervals}. Joint confidence level: {level:g}.",)


def _printed(
    table: pd.DataFrame, names: list[str], by: tuple[str, ...], estimate: str, notes: tuple[str, ...]
) -> list[str]:
    """Return a table in blocks, one for each combination of `by`, and the notes."""
    numbers = {name: table[name].tolist() for name in _COLUMNS if name in table}
    least = [e for e in numbers["std_error"] if np.isfinite(e) and e > 0]
    decimals = max(0, 2 - int(np.floor(np.log10(min(least))))) if least else 4
    shown = {
        name: format_fixed(numbers[name], decimals) for name in ("estimate", "std_error", "lower", "upper")
    }
    shown["df"] = format_fixed(numbers["df"], 1, infinite="Inf")
    if "p_value" in numbers:
        shown["statistic"] = format_fixed(numbers["statistic"], 3)
        shown["p_value"] = [
            "<.0001" if p < 1e-4 else f"{p:.4f}" if p == p else "NaN" for p in numbers["p_value"]
        ]
    order = [name for name in _COLUMNS if name in shown]
    heads = [*names, *(h for h in order)]
    left = [[_text(v) for v in table[name]] for name in names]
    cells = [*left, *(shown[name] for name in order)]
    lines = text_columns(heads, cells, left=len(names))
    out: list[str] = []
    previous = None
    for i, line in enumerate(lines[1:]):
        group = ", ".join(f"{name} = {_text(table[name].iloc[i])}" for name in by)
        if group != previous:
            out += ([""] if out else []) + ([f"{group}:"] if by else []) + [lines[0]]
            previous = group
        out.append(line)
    return [*out, "", *notes]
