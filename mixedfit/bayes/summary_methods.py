"""`SummaryMethods`: summaries, queries, marginal means, predictions and export of a posterior."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.by_factor import ByFactor
from mixedfit.core.lazy import lazy
from mixedfit.core.options import check_one_of
from mixedfit.estimation.tables import group_columns
from mixedfit.inference.emmeans.averages import Weights
from mixedfit.inference.emmeans.reference_grid import GridOptions

from .draws.counted_rows import on_counted_rows
from .draws.draws import Draws, Probability, summary_table
from .draws.export import to_arviz
from .draws.group_draws import GroupDraws, with_fixed
from .draws.marginal import MarginalDraws, marginal_draws
from .draws.predict import predict
from .draws.queries import derived_draws, event_probability
from .draws.record import PosteriorDraws
from .draws.row_density import row_log_density
from .draws.tables import hypothesis_table, interval_table, tidy_table
from .draws.words import Centre, posterior_sentence

__all__ = ["SummaryMethods"]


class SummaryMethods(PosteriorDraws):
    """Summaries, queries, marginal means and predictions; `Posterior` inherits them."""

    @property
    def rhat(self) -> pd.Series[float]:
        """Rank-normalised split R̂ of each parameter."""
        return SummaryMethods.summary(self, quantiles=())["rhat"]

    @property
    def ess(self) -> pd.Series[float]:
        """Effective sample size of each parameter, the smaller of bulk and tail; `summary` has both.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> bool(posterior.ess.min() > 400), bool(posterior.rhat.max() < 1.01)
        (True, True)
        """
        table = SummaryMethods.summary(self, quantiles=())
        return table[["ess_bulk", "ess_tail"]].min(axis=1).rename("ess")

    @property
    def cov_re(self) -> dict[str, pd.DataFrame]:
        """Posterior mean of Ω, the covariance matrix of one level's random effects, for each grouping factor.

        For t and Laplace effects Ω is the squared scale, and their covariance a multiple of it.
        """
        return {
            block.name: pd.DataFrame(omega.mean(axis=(0, 1)), list(block.effects), list(block.effects))
            for block, omega in zip(self.design.blocks, self.omega, strict=True)
        }

    @lazy
    def random_effects(self) -> dict[str, GroupDraws]:
        """Draws of b for each grouping factor."""
        self.require_effects()
        return ByFactor(
            (block.name, GroupDraws(block.name, block.grouping.levels, block.effects, values))
            for block, values in zip(self.design.blocks, self.effects, strict=True)
        )

    @lazy
    def group_coefs(self) -> dict[str, GroupDraws]:
        """Draws of each group's coefficients, β + b, for each grouping factor."""
        names = tuple(self.design.x_names[c] for c in self.kept)
        columns = group_columns(names, [block.effects for block in self.design.blocks])
        return ByFactor(
            (name, with_fixed(own, names, columns, self.beta)) for name, own in self.random_effects.items()
        )

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] | None = None,
        interval: Literal["quantiles", "hpd", "hdi"] = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return a table with a row for each parameter.

        Parameters
        ----------
        quantiles : tuple of float, optional
            By default the limits of the central interval of `level`, and the median.
        interval : {"quantiles", "hpd", "hdi"}
            Quantiles, or the shortest interval, hpd_lower to hpd_upper; "hdi" is the same, hdi_lower to hdi_upper.
        level : float
            Probability inside the interval, between quantiles or the shortest. It has no effect on `quantiles` that are
            given.

        Returns
        -------
        pandas.DataFrame
            Mean, sd, mcse (the mean's Monte-Carlo standard error), quantiles or interval, rhat (rank-normalised
            split R̂), ess_bulk and ess_tail; Vehtari et al. (2021), Bayesian Analysis 16:667.
        """
        return summary_table(
            np.stack([self[name] for name in self.names], axis=2),
            pd.Index(self.names),
            quantiles=quantiles,
            interval=interval,
            level=level,
        )

    def probability(self, event: str | Callable[[Self], Any], name: str | None = None) -> Probability:
        """Return the posterior probability of an event, with its Monte-Carlo standard error.

        Parameters
        ----------
        event : str or callable
            A comparison of parameters, such as ``"GenotypeB > 0"`` or ``"sd_(Intercept)|Tray > 2 * sigma"``;
            several may be joined by ``and`` and ``or``. Or a function of the posterior that returns true or false
            for each draw, shape (chains, draws).
        name : str, optional
            Printed name of the event.
        """
        return event_probability(self, event, name)

    def derive(self, function: str | Callable[[Self], Array], name: str | None = None) -> Draws:
        """Return the draws of a function of the parameters.

        Parameters
        ----------
        function : str or callable
            An expression, such as ``"GenotypeB / sigma"``, or a function of the posterior that returns an array of
            shape (chains, draws).
        name : str, optional
        """
        return derived_draws(self, function, name)

    def conf_int(
        self,
        level: float = 0.95,
        parameters: str | Iterable[str] | None = None,
        *,
        interval: Literal["quantiles", "hpd", "hdi"] = "quantiles",
    ) -> pd.DataFrame:
        """Return credible intervals, columns lower and upper, with a row for each parameter.

        Parameters
        ----------
        level : float
            Posterior probability inside, at least 0.5 and below 1.
        parameters : str or sequence of str, optional
            Names, or "fixed" or "variances" for all of a kind.
        interval : {"quantiles", "hpd", "hdi"}
            Between quantiles, or the shortest.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> posterior.conf_int(parameters="variances").index.tolist()
        ['sd_(Intercept)|Batch', 'sigma']
        """
        return interval_table(self, level, parameters, interval)

    def tidy(
        self,
        effects: str | Sequence[str] = ("ran_pars", "fixed"),
        *,
        conf_int: bool = False,
        level: float = 0.95,
        interval: Literal["quantiles", "hpd", "hdi"] = "quantiles",
    ) -> pd.DataFrame:
        """Return a row for each term, in the columns and with the names of `MixedResults.tidy`.

        Parameters
        ----------
        effects : str or sequence of str
            "fixed" for fixed effects, "ran_pars" for standard deviations, correlations and other parameters.
        conf_int : bool
            Whether to add conf.low and conf.high.
        level, interval
            As in `conf_int`.

        Returns
        -------
        pandas.DataFrame
            Columns effect, group, term, estimate (posterior mean), std.error (posterior SD), conf.low, conf.high.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> posterior.tidy()["term"].tolist()
        ['sd__(Intercept)', 'sd__Observation', '(Intercept)']
        """
        return tidy_table(self, effects, conf_int=conf_int, level=level, interval=interval)

    def hypothesis(self, hypotheses: str | Sequence[str], *, level: float = 0.95) -> pd.DataFrame:
        """Return the posterior probability of hypotheses such as ``"GenotypeB > 0"``.

        Parameters
        ----------
        hypotheses : str or sequence of str
            Each is one comparison by < or > of expressions in the parameters.
        level : float
            Probability inside the interval of the difference.

        Returns
        -------
        pandas.DataFrame
            A row for each hypothesis: mean, sd and quantiles of left side − right side (difference, sd, lower, upper),
            probability of the hypothesis with its Monte-Carlo error (mcse), and odds, P/(1 − P).

        Raises
        ------
        ModelError
            If a text is not one comparison.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> table = posterior.hypothesis(["sigma < 60", "sd_(Intercept)|Batch > sigma"])
        >>> bool(table.loc["sigma < 60", "probability"] > 0.8)
        True
        """
        return hypothesis_table(self, hypotheses, level)

    def sentence(
        self,
        what: str | Iterable[str] | Draws = "fixed",
        *,
        centre: Centre = "median",
        interval: Literal["quantiles", "hpd", "hdi"] = "quantiles",
        level: float = 0.95,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Return a result as a sentence for a paper, several in lines: centre, interval and probability of its sign.

        Parameters
        ----------
        what : str, sequence of str, or Draws
            Names of parameters, "fixed" or "variances" for all of a kind; an expression such as
            ``"GenotypeB / sigma"``; a hypothesis such as ``"GenotypeB < -1"``, of which the probability is stated; or
            draws, such as those of ``emmeans(...).contrasts(...)``.
        centre : {"median", "mean"}
        interval : {"quantiles", "hpd", "hdi"}
            Between quantiles, or the shortest.
        level : float
            Probability inside the interval.
        labels : mapping of str to str, optional
            Texts in place of names of parameters, variables, grouping factors and levels.

        Raises
        ------
        ModelError
            If a name is not known, an expression cannot be computed, or an option is not valid.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> print(model.gibbs(seed=1).sentence("Days").replace("; ", ";\\n"))
        The coefficient of Days had a posterior median of 10.39, 95% credible interval [7.08, 13.75];
        it was positive with a probability of > .999.
        """
        return posterior_sentence(self, what, centre=centre, interval=interval, level=level, labels=labels)

    def emmeans(
        self,
        specs: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        weights: Weights = "equal",
        nesting: Any = None,
    ) -> MarginalDraws:
        """Return draws of marginal means: averages of the fixed part over a reference grid.

        Parameters
        ----------
        specs, by, at, weights, nesting
            As in `MixedResults.emmeans`.

        Returns
        -------
        MarginalDraws
            One quantity for each cell, with ``summary()``, and ``contrasts("pairwise")`` to compare them.

        Raises
        ------
        ModelError
            If a name is not a variable of the fixed part, or a mean is not estimable.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> means = model.gibbs(seed=1).emmeans("Genotype")
        >>> means.names, means.contrasts("pairwise").names
        (('A', 'B'), ('A - B',))
        """
        return marginal_draws(self, specs, by, GridOptions(dict(at or {}), weights, nesting))

    def predict(
        self,
        data: Any,
        *,
        kind: Literal["response", "mean"] = "response",
        weights: Any = None,
        offset: Any = None,
        seed: object = None,
    ) -> Draws:
        """Return draws of the response, or of its mean, on new rows.

        Parameters
        ----------
        data : pandas or polars frame, pyarrow table or mapping of arrays
            The variables of the formula except the response. Rows of a group in the fit have that group's effects.
            Rows of a new group have new draws of effects from N(0, Ω), or the t or Laplace distribution of the model,
            the same for all rows of one label; the printout names such labels. If σ differs by group, the column of
            these groups is needed, and σ of a new group is drawn from the distribution of σ_g. With a residual
            structure the columns of time and group are needed.
        kind : {"response", "mean"}
            Responses include a new residual for each row, ε ~ N(0, σ²/w) or the t or Laplace distribution of the model.
            With a residual structure residuals are drawn given those of the fit's rows of the same group, and are
            correlated with each other.
        weights : str, number or array, optional
            Weights w of the rows: a column, one number for each row, or one for all. Needed for responses if the fit
            has weights.
        offset : str, number or array, optional
            Offset of the rows, if the offset of the fit was an array.
        seed : int, SeedSequence, Generator or None

        Returns
        -------
        Draws
            One quantity for each row, named by the index of the data; the difference of two is ``d[0] - d[1]``.

        Raises
        ------
        DataError
            If a variable is missing or has a level that was not in the fit, or a group's label equals a label of the
            fit but for its type, such as 308 for '308'.
        ModelError
            If the fit has weights and `weights` is missing, or a row is in a group of the fit whose effects were not
            kept (``keep_effects=False``).
        """
        check_one_of("kind", kind, ("response", "mean"))
        return predict(self, data, kind=kind, weights=weights, offset=offset, seed=seed)

    def log_likelihood(self) -> Array:
        """Return log p(y_i | β, b, σ) of each draw and row of the fit, shape (chains, draws, n).

        Rows of weight 0 have no density and are left out, here and in `loo`, `check`, `replicate` and `to_arviz`. The
        density is conditional on b, and that of the t or Laplace distribution if residuals have one. With a residual
        structure it is also conditional on all other rows, as leave-one-out needs it: log p(y_i | y_−i, β, b, σ, φ).
        """
        self.require_effects()
        return row_log_density(on_counted_rows(self))

    def to_arviz(self, *, rows: bool = True, prior: PosteriorDraws | None = None, seed: object = None) -> Any:
        """Return the draws as an ArviZ DataTree (``pip install "mixedfit[bayes]"``).

        Parameters
        ----------
        rows : bool
            Whether to add the groups log_likelihood and posterior_predictive (replicated responses) for the rows of
            the fit, which ArviZ's loo and plots of predictions need.
        prior : PriorPredictive, optional
            Draws from the prior, for the groups prior and prior_predictive.
        seed : int, SeedSequence, Generator or None
            Seed of the replicated responses.

        Returns
        -------
        xarray.DataTree
            Groups posterior (each parameter, and ``b|Tray`` with coordinates Tray and effect|Tray), sample_stats
            (acceptance_rate: see `acceptance`), observed_data, and those of `rows` and `prior`.

        Raises
        ------
        ModelError
            If the package arviz-base is not installed, or the random effects were not kept.
        """
        if rows:
            self.require_effects()
        return to_arviz(self, rows=rows, seed=seed, prior=prior)
