"""A fit and a posterior of the same model side by side, and in words where they differ and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ._lazy import lazy
from .bayes.distributions import Normal
from .bayes.posterior import Posterior
from .errors import ModelError
from .inference.profile import Profile
from .labels import check_level
from .plots.both_effects import effects_of_both
from .plots.comparison import fit_and_posterior
from .results import MixedResults
from .rformat import text_columns
from .shrunken import effect_tables, shrinkage_table

__all__ = ["Comparison", "compare"]

Method = Literal["wald", "profile", "boot"]

FEW = 10
"""Groups below which the posterior of their standard deviation is clearly skewed."""

WIDTH = 100
"""Columns that printed notes fill."""

APART = 0.05
"""Relative difference of widths or estimates from which it is worth a word."""


TAILS = 0.998
"""Coverage up to which profiles are drawn."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A fit beside a posterior.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for every parameter: estimate, std_error, lower and upper of every interval method, then post_mean,
        post_sd, cred_lower and cred_upper.
    random_effects : dict of str to pandas.DataFrame
        For every grouping factor what each level says alone (less β), its conditional mode (BLUP), the posterior
        mean and SD of b, and how far both are shrunk, 1 − mode/alone and 1 − mean/alone; NaN where a level's rows do
        not determine what it says alone. Empty if the draws were not kept.
    notes : tuple of str
        Where they differ, and why.
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
            Names of rows of the table; all by default.
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
        """Draw each level's BLUP and posterior mean beside what its data say alone; return the axes.

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
        self.posterior._need_effects()
        return effects_of_both(self.random_effects, self.posterior, group, effect, level=self.level, ax=ax)

    def __str__(self) -> str:
        digits = np.clip(2 - np.floor(np.log10(self.table["post_sd"].clip(lower=1e-12))), 0, 12).astype(int)
        shown = pd.DataFrame(
            {
                column: [f"{v:.{d}f}" if np.isfinite(v) else "" for v, d in zip(values, digits, strict=True)]
                for column, values in self.table.items()
            },
            index=self.table.index,
        )
        shown.columns = pd.MultiIndex.from_tuples([_heading(str(column)) for column in self.table.columns])
        notes = "".join(
            "\n" + fill(note, WIDTH, initial_indent="* ", subsequent_indent="  ") for note in self.notes
        )
        head = f"Fit and posterior side by side, intervals of level {self.level:g}"
        lines = [head, *(line.rstrip() for line in shown.to_string().split("\n"))]
        return "\n".join([*lines, *_shrinkage_lines(self.shrinkage), notes]).rstrip()

    __repr__ = __str__


def _shrinkage_lines(table: pd.DataFrame) -> list[str]:
    """Return how far BLUPs and posterior means are shrunk as text, if there is anything to tell."""
    known = table.dropna()
    if known.empty:
        return []
    labels = [f"{effect} | {group}" for group, effect in known.index]
    numbers = [[f"{value:.2f}" for value in known[column]] for column in ("shrunk_mode", "shrunk_mean")]
    rows = text_columns(["", " BLUPs", " posterior means"], [labels, *numbers], left=1)
    return ["", "Share of the way to the mean, from what each level says alone", *rows]


def _heading(column: str) -> tuple[str, str]:
    """Return a column's heading in two lines, so that the table is not wide."""
    if column == "std_error":
        return "", "SE"
    kind, _, what = column.partition("_")
    if not what:
        return "", column
    kinds = {"wald": "Wald", "boot": "bootstrap", "post": "posterior", "cred": "credible"}
    return kinds.get(kind, kind), "SD" if what == "sd" else what


def compare(
    fit: MixedResults,
    posterior: Posterior,
    *,
    level: float = 0.95,
    methods: Sequence[Method] = ("wald", "profile"),
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
    methods : sequence of {"wald", "profile", "boot"}
        Intervals of the fit.
    n, seed
        Replicates of the bootstrap, and what makes them the same again.

    Raises
    ------
    ModelError
        If the two are not about the same model and data.

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
    for method in methods:
        if method not in ("wald", "profile", "boot"):
            raise ModelError(f"method {method!r} is not known; expected 'wald', 'profile' or 'boot'.")
    names = list(posterior.names)
    table = pd.DataFrame(index=pd.Index(names))
    table["estimate"] = pd.concat([fit.params, _variances(fit, posterior)]).reindex(names)
    table["std_error"] = fit.bse.reindex(names)
    for method in methods:
        limits = fit.conf_int(level, method, names="long", n=n, seed=seed).reindex(names)
        table[f"{method}_lower"], table[f"{method}_upper"] = limits["lower"], limits["upper"]
    drawn = {name: posterior[name] for name in names}
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    table["post_mean"] = [float(values.mean()) for values in drawn.values()]
    table["post_sd"] = [float(values.std(ddof=1)) for values in drawn.values()]
    limits_of = np.array([np.quantile(values, tails) for values in drawn.values()])
    table["cred_lower"], table["cred_upper"] = limits_of[:, 0], limits_of[:, 1]
    effects = effect_tables(fit, posterior)
    notes = (*_notes(fit, posterior, table, level), *_notes_on_effects(shrinkage_table(effects), posterior))
    return Comparison(table, effects, notes, level, fit, posterior)


def _check_same(fit: MixedResults, posterior: Posterior) -> None:
    if not isinstance(fit, MixedResults) or not isinstance(posterior, Posterior):
        raise ModelError(
            f"compare takes a fit and a posterior, in this order; got {type(fit).__name__} and "
            f"{type(posterior).__name__}. To compare two fits use mixedfit.anova."
        )
    own, other = fit._fit.design, posterior.design
    same = own.formula.source == other.formula.source and own.n == other.n
    if not (same and np.array_equal(own.y, other.y) and np.array_equal(own.X, other.X)):
        raise ModelError(
            f"the fit is of {own.formula.source!r} on {own.n} rows, the posterior of {other.formula.source!r} on "
            f"{other.n}; compare two of the same model and data."
        )


def _variances(fit: MixedResults, posterior: Posterior) -> pd.Series[float]:
    """Return the estimates of SDs, correlations and σ under the posterior's names."""
    values: dict[str, float] = {"sigma": fit.sigma}
    for block, omega in zip(fit._fit.design.blocks, fit._fit.omega, strict=True):
        sds = np.sqrt(np.diag(omega))
        for a, effect in enumerate(block.effects):
            values[f"sd_{effect}|{block.name}"] = float(sds[a])
            for b in range(a):
                product = sds[a] * sds[b]
                correlation = float(omega[a, b] / product) if product > 0 else float("nan")
                values[f"cor_{effect}.{block.effects[b]}|{block.name}"] = correlation
    return pd.Series({name: value for name, value in values.items() if name in posterior})


def _notes(fit: MixedResults, posterior: Posterior, table: pd.DataFrame, level: float) -> Iterator[str]:
    """Yield what differs, and why."""
    rows = {str(name): {str(k): float(v) for k, v in row.items()} for name, row in table.T.to_dict().items()}
    for block in fit._fit.design.blocks:
        for effect in block.effects:
            name = f"sd_{effect}|{block.name}"
            if name in rows and posterior.scales is None:
                yield from _note_on_sd(name, block.levels, rows[name])
    z = float(ndtri(0.5 * (1 + level)))
    for name in map(str, fit.bse.dropna().index):
        row, error = rows[name], float(fit.bse[name])
        share = (row["cred_upper"] - row["cred_lower"]) / (2 * z * error) - 1
        if share > APART:
            yield (
                f"{name}: the credible interval is {100 * share:.0f}% wider than estimate ± {z:.2f} standard errors, "
                "which takes the variances as known."
            )
        elif share < -APART:
            yield f"{name}: the credible interval is {-100 * share:.0f}% narrower; the prior adds information."
        if abs(row["post_mean"] - row["estimate"]) > 0.25 * error:
            why = "prior" if posterior.scales is None else "prior or by the other model"
            yield (
                f"{name}: the posterior mean is {row['post_mean']:.4g}, pulled from {row['estimate']:.4g} by the {why}."
            )
    if not fit.reml:
        yield (
            "The fit is by maximum likelihood, whose variances are too small by the fixed effects' share; REML's "
            "are not."
        )
    yield from _notes_on_shape(posterior)
    for warning in posterior.warnings:
        yield f"Beware: {warning}"


def _notes_on_effects(table: pd.DataFrame, posterior: Posterior) -> Iterator[str]:
    """Yield where BLUPs and posterior means are shrunk differently."""
    for (group, effect), mode, mean in zip(
        table.index, table["shrunk_mode"], table["shrunk_mean"], strict=True
    ):
        if abs(mode - mean) > APART:
            why = (
                "the fit takes the variances to be what it estimates, the posterior averages over what the data allow"
                if posterior.scales is None
                else "their distributions differ"
            )
            yield (
                f"{effect} of {group}: BLUPs go {100 * mode:.0f}% of the way from what each level says alone to the "
                f"mean, posterior means {100 * mean:.0f}%: {why}."
            )


def _notes_on_shape(posterior: Posterior) -> Iterator[str]:
    """Yield what the posterior's model has and the fit's has not."""
    if posterior.scales is None:
        return
    shape = posterior.scales.shape
    told = "; ".join(shape.differences)
    yield f"The fit's residuals and effects are normal with one σ, the posterior's model has {told}."
    if any(not isinstance(d, Normal) for d in (shape.errors, *shape.effects)):
        yield (
            "A scale of a t or Laplace distribution is not a standard deviation: that is √(ν/(ν − 2)) times the scale "
            "of a t, √2 times a Laplace's."
        )


def _note_on_sd(name: str, levels: int, row: dict[str, float]) -> Iterator[str]:
    estimate, mean = row["estimate"], row["post_mean"]
    if estimate == 0.0:
        yield (
            f"{name}: the estimate is 0, the likelihood's highest point; the posterior averages over all values "
            f"that the data allow, up to {row['cred_upper']:.3g}."
        )
    elif mean > (1 + APART) * estimate:
        why = (
            f"with {levels} groups large values cannot be ruled out, and a mean follows the long right tail"
            if levels < FEW
            else "its posterior is skewed, and the mean follows the tail"
        )
        yield f"{name}: the posterior mean, {mean:.4g}, is above the estimate, {estimate:.4g}: {why}."
    elif mean < (1 - APART) * estimate:
        yield (
            f"{name}: the posterior mean, {mean:.4g}, is below the estimate, {estimate:.4g}: the prior pulls "
            "towards 0."
        )
