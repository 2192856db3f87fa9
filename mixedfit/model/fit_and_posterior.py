"""`compare`: a fit and a posterior of the same model side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import ModelError
from mixedfit.core.format import text_columns
from mixedfit.core.lazy import lazy
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level
from mixedfit.core.other_programs import hinted
from mixedfit.estimation.parameters import variance_parameters
from mixedfit.estimation.residual_support import refuse_residual
from mixedfit.inference.profile.profile import Profile
from mixedfit.plots._fit_and_posterior import effects_of_both, fit_and_posterior

from .differences import differences
from .results import MixedResults
from .shrinkage import effect_tables, shrinkage_table

__all__ = ["Comparison", "compare"]

Method = Literal["wald", "profile", "boot"]

WIDTH = 100
"""Columns that printed notes fill."""

TAILS = 0.998
"""Coverage up to which profiles are drawn."""


@dataclass(frozen=True, eq=False)
class Comparison(NotebookTable):
    """A fit beside a posterior.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for every parameter: estimate, std_error, lower and upper of every interval method, then post_mean,
        post_sd, cred_lower and cred_upper; NaN where only one of the two has the parameter.
    random_effects : dict of str to pandas.DataFrame
        For every grouping factor what each level says alone (less β), its conditional mode (BLUP), the posterior
        mean and SD of b, and how far both are shrunk, 1 − mode/alone and 1 − mean/alone; NaN where a level's rows do
        not determine what it says alone, or this is so near to 0 that the ratio is noise of the draws. Empty if the
        draws were not kept.
    notes : tuple of str
        Where they differ, and why where that is known.
    level : float
    fit : MixedResults
    posterior : Posterior
    """

    table: pd.DataFrame
    random_effects: dict[str, pd.DataFrame]
    notes: tuple[str, ...]
    level: float
    fit: MixedResults
    posterior: Posterior

    @lazy
    def profile(self) -> Profile:
        """Likelihood profiles of the fit's parameters, to well beyond the intervals."""
        return self.fit.profile(levels=(self.level, max(self.level, TAILS)))

    @property
    def shrinkage(self) -> pd.DataFrame:
        """How far BLUPs and posterior means are shrunk on the whole, a row for each grouping factor and effect.

        Standard deviations over the levels of what each says alone, of the BLUPs and of the posterior means;
        shrunk_mode and shrunk_mean are 1 − slope of these on what the levels say alone.
        """
        return shrinkage_table(self.random_effects)

    def plot(self, parameters: Sequence[str] | None = None, *, columns: int = 3, ax: Any = None) -> Any:
        """Draw each parameter's likelihood profile over its posterior, with all intervals below.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            Names of rows of the table; all by default, of more than twelve the first twelve without σ by group.
        columns : int
            Panels in a row.
        ax : matplotlib Axes, optional
            For one parameter.

        Returns
        -------
        matplotlib Figure, or `ax`
            Its axes are labelled with the parameters' names.

        Raises
        ------
        ModelError
            If a parameter is not known, or matplotlib is not installed.
        """
        return fit_and_posterior(
            self.table, self.posterior, self.profile, parameters, level=self.level, columns=columns, ax=ax
        )

    def plot_effects(self, group: str | None = None, effect: str | None = None, *, ax: Any = None) -> Any:
        """Draw the BLUP, the posterior mean and the least-squares estimate of each level; return the axes.

        Parameters
        ----------
        group, effect : str, optional
            Grouping factor and one of its effects; the first by default.
        ax : matplotlib Axes, optional

        Raises
        ------
        ModelError
            If a name is not known, the draws of the effects were not kept, or matplotlib is not installed.
        """
        self.posterior.require_effects()
        return effects_of_both(self.random_effects, self.posterior, group, effect, level=self.level, ax=ax)

    def __str__(self) -> str:
        centres = self.table["estimate"].fillna(self.table["post_mean"])
        digits = [
            _decimals(float(sd), float(v)) for sd, v in zip(self.table["post_sd"], centres, strict=True)
        ]
        shown = pd.DataFrame(
            {
                column: [f"{v:.{d}f}" if np.isfinite(v) else "" for v, d in zip(values, digits, strict=True)]
                for column, values in self.table.items()
            },
            index=self.table.index,
        )
        of_posterior = np.array([str(column).startswith(("post_", "cred_")) for column in shown])
        shown.columns = pd.MultiIndex.from_tuples([_heading(str(column)) for column in self.table.columns])
        notes = "".join(
            "\n" + fill(note, WIDTH, initial_indent="* ", subsequent_indent="  ") for note in self.notes
        )
        head = f"Fit and posterior side by side, intervals of level {self.level:g}"
        lines = [head, *_table_lines(shown)]
        if max(map(len, lines)) > WIDTH:
            lines = [
                head,
                *_table_lines(shown.loc[:, ~of_posterior]),
                "",
                *_table_lines(shown.loc[:, of_posterior]),
            ]
        return "\n".join([*lines, *_shrinkage_lines(self.shrinkage), notes]).rstrip()

    __repr__ = __str__


def _table_lines(table: pd.DataFrame) -> list[str]:
    return [line.rstrip() for line in table.to_string().split("\n")]


def _decimals(sd: float, value: float) -> int:
    """Return decimals that show three digits of a posterior SD, or four of the value where there is none."""
    if np.isfinite(sd) and sd > 1e-12 * abs(value):
        return int(np.clip(2 - np.floor(np.log10(sd)), 0, 12))
    return int(np.clip(3 - np.floor(np.log10(abs(value))), 0, 12)) if np.isfinite(value) and value else 3


def _shrinkage_lines(table: pd.DataFrame) -> list[str]:
    """Return how far BLUPs and posterior means are shrunk as text, if there is anything to tell."""
    known = table.dropna()
    if known.empty:
        return []
    labels = [f"{effect} | {group}" for group, effect in known.index]
    numbers = [[f"{value:.2f}" for value in known[column]] for column in ("shrunk_mode", "shrunk_mean")]
    rows = text_columns(["", " BLUPs", " posterior means"], [labels, *numbers], left=1)
    return ["", "Shrinkage of the levels towards the mean: 0 is none, 1 is complete", *rows]


def _heading(column: str) -> tuple[str, str]:
    """Return a column's heading in two lines, so that the table is not wide."""
    if column == "std_error":
        return "", "SE"
    kind, _, what = column.partition("_")
    if not what:
        return "", column
    kinds = {"wald": "Wald", "boot": "bootstrap", "post": "posterior", "cred": "credible"}
    return kinds.get(kind, kind), "SD" if what == "sd" else what


@hinted
def compare(
    fit: MixedResults,
    posterior: Posterior,
    *,
    level: float = 0.95,
    methods: Method | Sequence[Method] = ("wald", "profile"),
    n: int = 1000,
    seed: object = None,
) -> Comparison:
    """Return a fit beside a posterior of the same model.

    Parameters
    ----------
    fit : MixedResults
    posterior : Posterior
    level : float
        Coverage of all intervals; credible ones have equal tails.
    methods : sequence of {"wald", "profile", "boot"}, or one of them
        Intervals of the fit.
    n, seed
        Replicates of the bootstrap, and what makes them the same again.

    Raises
    ------
    ModelError
        If the two are not about the same model and data, or the second is of draws from the prior.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    >>> side = mf.compare(model.fit(), model.gibbs(seed=1), methods=["profile"])
    >>> list(side.table.columns[:4])
    ['estimate', 'std_error', 'profile_lower', 'profile_upper']
    """
    check_level(level)
    _check_same(fit, posterior)
    if isinstance(methods, str):
        methods = (methods,)
    for method in methods:
        if method not in ("wald", "profile", "boot"):
            raise ModelError(f"method {method!r} is not known; expected 'wald', 'profile' or 'boot'.")
    names = _names(fit, posterior)
    table = pd.DataFrame(index=pd.Index(names))
    table["estimate"] = fit.parameters("long").reindex(names)
    table["std_error"] = fit.bse.reindex(names)
    for method in methods:
        limits = fit.conf_int(level, method, names="long", n=n, seed=seed).reindex(names)
        table[f"{method}_lower"], table[f"{method}_upper"] = limits["lower"], limits["upper"]
    drawn = [posterior[name] if name in posterior else np.array([np.nan, np.nan]) for name in names]
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    table["post_mean"] = [float(values.mean()) for values in drawn]
    table["post_sd"] = [float(values.std(ddof=1)) for values in drawn]
    limits_of = np.array([np.quantile(values, tails) for values in drawn])
    table["cred_lower"], table["cred_upper"] = limits_of[:, 0], limits_of[:, 1]
    effects = effect_tables(fit, posterior)
    notes = tuple(differences(fit, posterior, table, shrinkage_table(effects), level=level))
    return Comparison(table, effects, notes, level, fit, posterior)


def _check_same(fit: MixedResults, posterior: Posterior) -> None:
    if not isinstance(fit, MixedResults) or not isinstance(posterior, Posterior):
        raise ModelError(
            f"compare takes a fit and a posterior, in this order; got {type(fit).__name__} and "
            f"{type(posterior).__name__}. To compare two fits use mixedfit.anova."
        )
    if posterior.kind == "prior":
        raise ModelError(
            "these are draws from the prior, which has not seen the response; sample the posterior by .gibbs()."
        )
    own, other = fit._fit.design, posterior.design
    structures = [None if d.residual is None else d.residual.structure for d in (own, other)]
    if structures[0] != structures[1]:
        refuse_residual(own, "a comparison with a posterior of another residual model is")
        refuse_residual(other, "a comparison with a fit of another residual model is")
    one, two = own.formula, other.formula
    same = (one.source, one.expand, own.n) == (two.source, two.expand, other.n)
    if not (same and np.array_equal(own.y, other.y) and np.array_equal(own.X, other.X)):
        raise ModelError(
            f"the fit is of {own.formula.source!r} on {own.n} rows, the posterior of {other.formula.source!r} on "
            f"{other.n}; compare two of the same model and data."
        )


def _names(fit: MixedResults, posterior: Posterior) -> list[str]:
    """Return the names of all parameters: those of the posterior, with those of the fit alone in their places."""
    names, before = list(posterior.names), len(fit.params) - 1
    for parameter in variance_parameters(fit._fit.design):
        if parameter.long_name in names:
            before = names.index(parameter.long_name)
        else:
            before += 1
            names.insert(before, parameter.long_name)
    return names
