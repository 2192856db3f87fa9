"""`Diagnostics`: residuals, leverages, influence, principal components and variance shares of a fit, as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.lazy import lazy
from mixedfit.core.other_programs import Hinted
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import Names

from .deletion.influence import Influence, influence
from .deletion.sets import Sets
from .leverages import RowLeverages
from .residuals import normality_table, residual_table, scaled_residuals, simulated_residuals, spread_table
from .serial import Kind, autocorrelations, semivariogram
from .structured_rows import StructuredRows
from .variance_shares import Interval, Shares, share_table, with_residual_correlation

__all__ = ["Diagnostics"]


CONTENTS = {
    "residuals": "conditional and marginal: raw, Pearson, studentized",
    "scaled_residuals": "marginal, decorrelated",
    "simulated_residuals()": "ranks among responses simulated from the fit",
    "normality": "skewness, kurtosis, Shapiro-Wilk, of residuals and random effects",
    "spread": "correlation of the size of residuals with fitted values and predictors",
    "autocorrelation()": "of residuals within groups, by lag",
    "variogram()": "semivariances of residuals within groups, by distance",
    "leverages": "overall, of the fixed effects, of the random effects",
    "effective_parameters": "trace of the hat matrix",
    "cooks_distance": "of each row, fixed and random effects together",
    "influence()": "of each row, or of each level of a grouping factor",
    "random_effects_pca": "principal components of the random effects",
    "random_effects_loadings": "loadings of the effects on these components",
    "variance_shares": "of fixed effects, grouping factors, residual",
    "r_squared()": "marginal and conditional",
    "icc()": "intraclass correlations",
}


class Diagnostics(Hinted):
    """Diagnostics of a fit, computed on first use; returned by `MixedResults.diagnostics`.

    Tables of rows have the index of the data, without the rows dropped for missing values.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> fit.diagnostics.residuals.loc[[0, 1], ["conditional", "conditional_studentized"]].round(3)
       conditional  conditional_studentized
    0       -4.104                   -0.183
    1      -14.625                   -0.627
    """

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def __repr__(self) -> str:
        width = max(len(name) for name in CONTENTS)
        lines = [f"  {name:{width}}  {what}" for name, what in CONTENTS.items()]
        return "\n".join([f"Diagnostics of {self._fit.design.formula.source!r}", *lines])

    @lazy
    def _rows(self) -> RowLeverages | StructuredRows:
        return RowLeverages(self._fit) if self._fit.residual is None else StructuredRows(self._fit)

    # -- rows --------------------------------------------------------------------------------------

    @lazy
    def _residuals(self) -> pd.DataFrame:
        return residual_table(self._rows)

    @property
    def residuals(self) -> pd.DataFrame:
        """Conditional (y − Xβ̂ − Zb̂) and marginal (y − Xβ̂) residuals, each raw, Pearson and studentized.

        Pearson residuals are divided by the standard deviation of the observation (given b, or in the population).
        Studentized residuals are divided by their own standard deviation, which is smaller because β and b were
        estimated from the same data. These are PearsonResid and StudentResid of SAS PROC MIXED. NaN for rows of weight
        0; studentized residuals are also NaN where the fit reproduces a row exactly.
        """
        return self._fit.design.on_all_rows(self._residuals.copy())

    @property
    def scaled_residuals(self) -> pd.Series[float]:
        """Marginal residuals, decorrelated to unit variance by the Cholesky factor of their covariance (SAS's VCIRY).

        Each is a row's residual less its best linear prediction from the rows before it, divided by the standard
        deviation of that difference; it depends on the order of the rows. Models with several factors may have at most
        2,000 random effects.
        """
        design, values = self._fit.design, scaled_residuals(self._fit)
        return design.on_all_rows(pd.Series(values, index=design.index, name="scaled"))

    def simulated_residuals(
        self, n: int = 250, *, seed: Any = None, conditional: bool = False
    ) -> pd.Series[float]:
        """Return the rank of each observation among n simulated from the fit, scaled to (0, 1).

        Under the model the ranks are uniform. An excess near 0 and 1 indicates tails heavier than normal; a trend
        against a predictor indicates a wrong mean or variance.

        Parameters
        ----------
        n : int
            Number of simulated responses.
        seed : int, SeedSequence, Generator or None
            The same seed gives the same numbers.
        conditional : bool
            Whether random effects stay at their modes. By default they are drawn too, and the ranks within a group are
            correlated.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> u = fit.diagnostics.simulated_residuals(seed=1)
        >>> bool(u.between(0, 1).all())
        True
        """
        values = simulated_residuals(self._fit, n, seed=seed, conditional=conditional)
        design = self._fit.design
        return design.on_all_rows(pd.Series(values, index=design.index, name="simulated"))

    @property
    def normality(self) -> pd.DataFrame:
        """Skewness, excess kurtosis and Shapiro-Wilk test of conditional studentized residuals and of random effects.

        Columns count, skewness, excess_kurtosis, shapiro_w, p_value. These are rough guides: residuals are correlated
        through the estimates, predicted effects are closer to normal than the effects, and with many rows small
        departures are significant. NaN for the test of more than 5,000 values, and for effects whose variance is 0.
        """
        return normality_table(self._fit, self._residuals["conditional_studentized"].to_numpy())

    @property
    def spread(self) -> pd.DataFrame:
        """Spearman's correlation of absolute conditional studentized residuals with fitted values and each column of X.

        A correlation far from 0 indicates that the residual variance is not constant. The p-values assume independent
        rows.
        """
        return spread_table(self._fit, self._residuals["conditional_studentized"].to_numpy())

    def autocorrelation(
        self, kind: Kind = "normalised", *, lags: int | None = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Autocorrelations of residuals within groups, by lag.

        r_l is the mean product of pairs of rows at lag l over the mean square of all residuals. Lags count whole times
        and visits where the residual structure has them, and rows otherwise. Groups are those of the structure; without
        one, the levels of the grouping factor with most levels. nlme's `ACF`; Pinheiro & Bates (2000), section 5.3.

        Residuals are conditional, y − Xβ̂ − Zb̂, here and in nlme (``resType="normalized"`` and ``"pearson"``), whose
        values are the same for data sorted by the levels of the groups. For data in another order `residuals.lme` of
        nlme 3.1 takes rows in that order with the sizes of the groups in the order of the levels, so that normalized
        residuals next to the ends of groups, and the autocorrelations, differ. nlme counts lags in rows, not times.

        Parameters
        ----------
        kind : {"normalised", "scaled"}
            Residuals made independent by the fitted structure, whose autocorrelations are near 0 if it holds, or
            residuals over their standard deviation.
        lags : int, optional
            Largest lag; by default 10 log10 of the size of the largest group.
        level : float
            Of the limits.

        Returns
        -------
        pandas.DataFrame
            Rows are lags with a pair of rows; columns autocorrelation, pairs, limit: z/√pairs, which independent
            residuals exceed in absolute value with probability 1 − level.

        Raises
        ------
        ModelError
            If the rows have coordinates in several dimensions, or an option is not valid.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("Ovary")
        >>> fit = mf.lmm("follicles ~ sin(2*np.pi*Time) + cos(2*np.pi*Time) + (1 | Mare)", data).fit()
        >>> fit.diagnostics.autocorrelation(lags=2)["autocorrelation"].round(3).tolist()
        [0.503, 0.329]
        """
        return autocorrelations(self._fit, kind, lags, level)

    def variogram(self, kind: Kind = "scaled", *, bins: int = 20) -> pd.DataFrame:
        """Semivariances of residuals within groups, by distance, with those of the fitted structure.

        The semivariance of two rows is half of the squared difference of their residuals; its mean is 1 − the
        correlation of residuals over their standard deviation. nlme's `Variogram`; Pinheiro & Bates (2000), section
        5.3.

        Parameters
        ----------
        kind : {"scaled", "normalised"}
            Residuals over their standard deviation, or made independent by the fitted structure, whose semivariances
            are near 1 if it holds.
        bins : int
            Number of classes of distances with equal numbers of pairs; fewer distinct distances are a class each.

        Returns
        -------
        pandas.DataFrame
            Columns distance (mean of the class), semivariance, pairs, and fitted: 1 − the fitted correlation, NaN if
            levels of a factor have their own.

        Raises
        ------
        ModelError
            If every group has one row, or an option is not valid.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> fit = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject")).fit()
        >>> fit.diagnostics.variogram().head(3).round(3)
           distance  semivariance  pairs  fitted
        0       1.0         0.198    162   0.200
        1       2.0         0.299    144   0.360
        2       3.0         0.375    126   0.488
        """
        return semivariogram(self._fit, kind, bins)

    @property
    def leverages(self) -> pd.DataFrame:
        """Leverages ∂ŷ_i/∂y_i of the rows at fixed variance parameters; columns overall, fixed, random.

        Overall is the leverage of the fitted value Xβ̂ + Zb̂ (lme4's hatvalues); its sum is the effective number of
        parameters. Fixed is the leverage of Xβ̂ alone; its sum is the number of fixed effects. Random is the difference.
        """
        overall, fixed = self._rows.leverage, self._rows.fixed_leverage
        columns = {"overall": overall, "fixed": fixed, "random": overall - fixed}
        design = self._fit.design
        return design.on_all_rows(pd.DataFrame(columns, index=design.index))

    @property
    def effective_parameters(self) -> float:
        """Effective number of parameters of the fitted values: the trace of the hat matrix."""
        return float(self._rows.leverage.sum())

    @property
    def cooks_distance(self) -> pd.Series[float]:
        """Cook's distance of each row for fixed and random effects together, as lme4's cooks.distance(fit).

        h e²/(p σ²(1 − h)²) with Pearson residuals e and overall leverages h: the change of (β, b) when the row is
        deleted, at fixed variance parameters, in the metric of the mixed-model equations. `influence()` returns the
        distance of the fixed effects alone.
        """
        design, values = self._fit.design, self._rows.cooks_distance
        return design.on_all_rows(pd.Series(values, index=design.index, name="cooks_distance"))

    def influence(
        self,
        group: str | None = None,
        *,
        sets: Sets | None = None,
        refit: bool = False,
        names: Names = "lme4",
        progress: bool | None = None,
    ) -> Influence:
        """Return the effect on the estimates of deleting each row, each level of a grouping factor, or sets of them.

        The cross-products of the case are subtracted from those of all rows; no other row is read again.

        Parameters
        ----------
        group : str, optional
            Grouping factor whose levels are deleted one by one; by default the cases are the rows.
        sets : mapping of str to labels, or sequence of sequences of labels, optional
            Sets of levels (or of rows, by the labels of the data's index) that are deleted together, as
            ``[["308", "335"], ["309"]]`` or ``{"slow": ["308", "335"]}``.
        refit : bool
            False: variance parameters are held at their estimates, and the fixed effects follow exactly in closed form
            (as R's HLMdiag). True: all parameters are estimated again (as lme4's `influence()`).
        names : {"lme4", "long", "words"}
            Names of the variance parameters.
        progress : bool, optional
            Whether to show progress; by default on a terminal, after two seconds. An interrupt keeps the cases that
            are done.

        Raises
        ------
        ModelError
            If the model has no such grouping factor, or a set names what is not a case.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> without = fit.diagnostics.influence("Subject", refit=True, names="words")
        >>> without.variances.loc["337"].round(2)
        SD of (Intercept) | Subject                      23.61
        correlation of Days and (Intercept) | Subject    -0.09
        SD of Days | Subject                              5.71
        residual SD                                      26.03
        Name: 337, dtype: float64
        """
        return influence(self._rows, group, sets=sets, refit=refit, names=names, progress=progress)

    # -- random effects ----------------------------------------------------------------------------

    @property
    def random_effects_pca(self) -> pd.DataFrame:
        """Principal components of each factor's random effects: sd, relative_sd (over σ), proportion, cumulative.

        A component with a standard deviation near 0 indicates that the effects vary in fewer directions than the
        formula allows. As lme4's rePCA, whose ``sdev`` is `relative_sd`. Effects are in the units of their columns:
        rescaling a predictor changes the components.
        """
        return _component_table(self._fit)

    @property
    def random_effects_loadings(self) -> pd.DataFrame:
        """Loadings of the effects on the components: rows (group, effect), a column for each component."""
        return _loading_table(self._fit)

    # -- shares of variance ------------------------------------------------------------------------

    @property
    def variance_shares(self) -> pd.DataFrame:
        """Variance of fixed effects, each grouping factor and the residual, as a mean over the rows, and its share.

        With weights the residual variance is the mean of σ²/wᵢ. An offset does not count among the fixed effects.
        """
        values = Shares(self._fit).components
        index = ["fixed effects", *(block.name for block in self._fit.design.blocks), "residual"]
        return pd.DataFrame({"variance": values, "share": values / values.sum()}, index=pd.Index(index))

    def r_squared(
        self, interval: Interval | None = None, *, level: float = 0.95, n: int = 1000, seed: Any = None
    ) -> pd.DataFrame:
        """Return R² of the fixed effects (marginal) and of fixed and random effects together (conditional).

        Nakagawa & Schielzeth (2013), with random slopes Johnson (2014): the variance of a factor's effects is its
        mean over the rows. With weights the residual variance is the mean of σ²/wᵢ. An offset counts neither among the
        fixed effects nor in the total.

        Parameters
        ----------
        interval : {"delta", "bootstrap"}, optional
            The delta method on the logit scale (NaN where a variance is 0), or percentiles of a parametric bootstrap.
        level : float
            Coverage of the intervals.
        n, seed
            Replicates and seed of the bootstrap.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.diagnostics.r_squared("delta").round(3)
                     estimate  lower  upper
        marginal        0.279  0.154  0.450
        conditional     0.799  0.700  0.871
        """
        last = len(self._fit.design.blocks) + 1
        everything = list(range(last + 1))
        members = {"marginal": ([0], everything), "conditional": (everything[:-1], everything)}
        return share_table(self._fit, members, interval=interval, level=level, n=n, seed=seed)

    def icc(
        self, interval: Interval | None = None, *, level: float = 0.95, n: int = 1000, seed: Any = None
    ) -> pd.DataFrame:
        """Return intraclass correlations: shares of the random effects in the variance.

        The variances are those of `r_squared`. The correlation of residuals with compound symmetry counts as that of a
        random intercept, without an interval (see ``conf_int(parameters="rho")``). Other residual correlations differ
        between pairs of rows: without random effects the result is NaN, and beside them they are not counted.

        Parameters
        ----------
        interval, level, n, seed
            As in `r_squared`.

        Returns
        -------
        pandas.DataFrame
            Rows: adjusted (share of the variance without fixed effects), conditional (share of the total variance),
            and the adjusted share of each grouping factor.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("strength ~ 1 + (1 | batch/cask)", mf.load_dataset("Pastes")).fit()
        >>> fit.diagnostics.icc().round(3)
                     estimate
        adjusted        0.937
        conditional     0.937
        cask:batch      0.783
        batch           0.154
        """
        blocks = self._fit.design.blocks
        random = list(range(1, len(blocks) + 1))
        below = [*random, len(blocks) + 1]
        members = {"adjusted": (random, below), "conditional": (random, [0, *below])}
        members |= {block.name: ([1 + f], below) for f, block in enumerate(blocks)}
        table = share_table(self._fit, members, interval=interval, level=level, n=n, seed=seed)
        return with_residual_correlation(self._fit, table)


def _component_table(fit: Fit) -> pd.DataFrame:
    """Return the principal components of every factor's random effects: the singular values of λ.

    Bates, Kliegl, Vasishth & Baayen (2015), Parsimonious mixed models, section 3.
    """
    rows = []
    for block, lam in zip(fit.design.blocks, fit.lam, strict=True):
        values = np.linalg.svd(lam, compute_uv=False)
        squares, total = values**2, float(np.sum(values**2))
        shares = squares / total if total > 0 else np.zeros_like(squares)
        for i, (value, share, sum_) in enumerate(zip(values, shares, np.cumsum(shares), strict=True)):
            name = f"PC{i + 1}"
            rows.append((block.name, name, float(fit.sigma * value), float(value), float(share), float(sum_)))
    columns = ["group", "component", "sd", "relative_sd", "proportion", "cumulative"]
    return pd.DataFrame(rows, columns=columns).set_index(["group", "component"])


def _loading_table(fit: Fit) -> pd.DataFrame:
    """Return the loadings of the effects on the components: the left singular vectors of λ.

    The sign of a component is arbitrary; here its largest loading is positive.
    """
    index, rows = [], []
    widest = max((block.k for block in fit.design.blocks), default=0)
    for block, lam in zip(fit.design.blocks, fit.lam, strict=True):
        left = np.linalg.svd(lam)[0]
        largest = left[np.abs(left).argmax(axis=0), np.arange(block.k)]
        left = left * np.where(largest < 0, -1.0, 1.0)
        for effect, row in zip(block.effects, left, strict=True):
            index.append((block.name, effect))
            rows.append([*row, *[np.nan] * (widest - block.k)])
    names = pd.MultiIndex.from_tuples(index, names=["group", "effect"]) if index else None
    return pd.DataFrame(rows, index=names, columns=[f"PC{i + 1}" for i in range(widest)])
