"""The posterior of a linear mixed model: summaries, queries, predictions, criticism and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.bayes.priors.statements import Statements, prior_table
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import seconds_text
from mixedfit.core.lazy import lazy
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_one_of
from mixedfit.core.tables import Table, text_table
from mixedfit.estimation.design_storage import read_design
from mixedfit.estimation.residual_storage import unpack_structure
from mixedfit.estimation.tables import group_columns
from mixedfit.inference.emmeans.averages import Weights
from mixedfit.inference.emmeans.reference_grid import GridOptions

from .criticism.elpd import ExpectedDensity
from .criticism.loo import expected_density
from .criticism.predictive_check import PredictiveCheck, check, replicate
from .draws.convergence import convergence_warnings
from .draws.counted_rows import on_counted_rows
from .draws.draws import Draws, Probability, format_summary, summary_cells, summary_table
from .draws.export import to_arviz, write_posterior
from .draws.group_draws import ByFactor, GroupDraws, with_fixed
from .draws.marginal import MarginalDraws, marginal_draws
from .draws.predict import predict
from .draws.queries import derived_draws, event_probability, mixing_of, stuck_warning
from .draws.record import PosteriorDraws
from .draws.row_density import row_log_density
from .draws.structure_draws import StructureDraws
from .draws.tables import hypothesis_table, interval_table, tidy_table
from .evidence.evidence import Evidence, Method, log_evidence
from .evidence.savage_dickey import DensityRatio, savage_dickey
from .sensitivity.power_scaling import PowerScaling, power_scaling

__all__ = ["Posterior", "read_posterior"]


@dataclass(frozen=True, eq=False)
class Posterior(PosteriorDraws, NotebookTable):
    """Draws from the posterior of a linear mixed model. Made by `LinearMixedModel.gibbs`.

    See `PosteriorDraws` for the names of the parameters and the attributes.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    >>> posterior = model.gibbs(seed=1)
    >>> posterior["GenotypeB"].shape
    (4, 1000)
    >>> 0.05 < posterior.probability("GenotypeB > 0").value < 0.12
    True
    """

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
        quantiles: tuple[float, ...] = (0.025, 0.5, 0.975),
        interval: Literal["quantiles", "hpd", "hdi"] = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return a table with a row for each parameter.

        Parameters
        ----------
        quantiles : tuple of float
        interval : {"quantiles", "hpd", "hdi"}
            Quantiles, or the shortest interval, hpd_lower to hpd_upper; "hdi" is the same, hdi_lower to hdi_upper.
        level : float
            Probability inside the shortest interval.

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

    def probability(self, event: str | Callable[[Posterior], Any], name: str | None = None) -> Probability:
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

    def derive(self, function: str | Callable[[Posterior], Array], name: str | None = None) -> Draws:
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

    def to_arviz(self, *, rows: bool = True, prior: Posterior | None = None, seed: object = None) -> Any:
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
            If ArviZ is not installed, or the random effects were not kept.
        """
        if rows:
            self.require_effects()
        return to_arviz(self, rows=rows, seed=seed, prior=prior)

    # -- criticism ----------------------------------------------------------------------------------

    def loo(
        self,
        *,
        by: str | None = None,
        refit: bool = False,
        efficiency: float | None = None,
        progress: bool | None = None,
    ) -> ExpectedDensity:
        """Return the expected log predictive density by leave-one-out cross-validation without refits.

        Each row or group is predicted from the posterior without it, by importance sampling: draws have weights
        1/p(y_i | draw), the largest of which are smoothed (PSIS; Vehtari, Gelman & Gabry 2017, Statistics and Computing
        27:1413). The estimate is reliable if the Pareto shape k̂ of the weights is at most ``threshold``,
        min(1 − 1/log₁₀ draws, 0.7) (Vehtari et al. 2024, J. Mach. Learn. Res. 25(72)).

        Parameters
        ----------
        by : str, optional
            A grouping factor: leave out one group with all its rows and predict these as rows of a new group, with its
            effects (and those of levels that occur in no other group) integrated out exactly. By default one row is
            left out at a time and predicted given the effects of its group.
        refit : bool
            Whether to sample again, with as many draws, without each row or group whose k̂ is too high, and to predict
            it from that posterior.
        efficiency : float, optional
            Effective draws for each draw, which determines the number of smoothed weights; by default the mean over
            the parameters.
        progress : bool, optional
            Whether to show progress after two seconds; by default on a terminal. An interrupt keeps the refits that
            are done.

        Returns
        -------
        ExpectedDensity
            Prints elpd, p_loo and looic with standard errors, and whether they are reliable; `pointwise` and
            `pareto_k` are Series on the index of the data or the groups. ``a - b`` compares two posteriors.

        Raises
        ------
        ModelError
            If `by` is not a grouping factor, there are fewer than 100 draws, or the effects were not kept.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> slopes = mf.lmm("Reaction ~ Days + (Days | Subject)", data).gibbs(seed=1).loo(by="Subject")
        >>> none = mf.lmm("Reaction ~ Days + (1 | Subject)", data).gibbs(seed=1).loo(by="Subject")
        >>> bool((slopes - none).elpd > 10), len(slopes.pareto_k)
        (True, 18)
        """
        return expected_density(self, "loo", by=by, efficiency=efficiency, refit=refit, progress=progress)

    def waic(self, *, by: str | None = None, progress: bool | None = None) -> ExpectedDensity:
        """Return the expected log predictive density by WAIC, Watanabe's information criterion.

        elpd = Σ log mean p(y_i | draw) − Σ Var(log p(y_i | draw)); Watanabe (2010), J. Mach. Learn. Res. 11:3571. `loo`
        estimates the same and has a better diagnostic.

        Parameters
        ----------
        by, progress
            As in `loo`.

        Returns
        -------
        ExpectedDensity

        Raises
        ------
        ModelError
            As `loo`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> bool(abs(posterior.waic().elpd - posterior.loo().elpd) < 1)
        True
        """
        return expected_density(self, "waic", by=by, progress=progress)

    def check(
        self,
        statistic: Any = None,
        *,
        group: str | None = None,
        groups: Literal["same", "new"] = "same",
        draws: int = 1000,
        seed: object = None,
    ) -> PredictiveCheck:
        """Return a predictive check: statistics of replicated responses and of the data.

        Each replicate has the rows of the data and the parameters of one draw. A statistic of the data in the tail of
        its replicates shows a misfit of the model; Gelman, Meng & Stern (1996), Statistica Sinica 6:733.

        Parameters
        ----------
        statistic : str, callable, sequence of them, or mapping of names to them, optional
            "mean", "median", "sd", "min", "max", "skewness", "kurtosis"; "within_sd" and "between_sd", the SD of rows
            about the mean of their group and the SD of the groups' means; or a function of a response, shape (n,), that
            returns a number. By default several of these.
        group : str, optional
            Grouping factor of "within_sd" and "between_sd"; by default the factor with the most levels.
        groups : {"same", "new"}
            Whether replicates have the groups of the data, with their effects, or as many new groups, with new draws of
            effects, which also checks the distribution of the effects.
        draws : int
            Number of replicates, from draws evenly spread over all chains.
        seed : int, SeedSequence, Generator or None

        Returns
        -------
        PredictiveCheck
            Prints a table; `plots.predictive_statistics` and `plots.predictive_responses` draw it.

        Raises
        ------
        ModelError
            If a statistic is not known or is not a number, or the effects were not kept.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> checked = posterior.check(["sd", "max"], seed=1)
        >>> checked.table["observed"].round(1).tolist()
        [63.0, 1635.0]
        """
        return check(self, statistic, group=group, groups=groups, draws=draws, seed=seed)

    def replicate(
        self, draws: int = 100, *, groups: Literal["same", "new"] = "same", seed: object = None
    ) -> Array:
        """Return replicated responses for the rows of the data, shape (draws, n).

        Parameters
        ----------
        draws : int
        groups : {"same", "new"}
            As in `check`.
        seed : int, SeedSequence, Generator or None
        """
        return replicate(self, draws, groups, seed)

    # -- evidence ------------------------------------------------------------------------------------

    def log_evidence(self, *, method: Method = "auto", seed: object = None) -> Evidence:
        """Return the log marginal likelihood of the model under its priors, log p(y), with its error.

        β and b are integrated out exactly, and the variance parameters numerically: up to two by quadrature, with an
        error below 1e-6, more by bridge sampling from the draws (Meng & Wong 1996, Statistica Sinica 6:831; Gronau et
        al. 2017, J. Math. Psychol. 81:80).

        Parameters
        ----------
        method : {"auto", "quadrature", "bridge"}
        seed : int, SeedSequence, Generator or None
            Seed of the proposals of bridge sampling.

        Returns
        -------
        Evidence
            `value`, `error` and `method`; `mixedfit.bayes_factor` compares two.

        Raises
        ------
        ModelError
            If a prior is improper, the model is not normal with one σ and independent residuals, the posterior was read
            from a file, or there are too few draws.

        Examples
        --------
        >>> import mixedfit as mf
        >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
        >>> evidence = posterior.log_evidence()
        >>> round(evidence.value, 4), evidence.method
        (-168.6742, 'quadrature')
        """
        return log_evidence(self, method, seed)

    def savage_dickey(self, hypothesis: str) -> DensityRatio:
        """Return the Bayes factor of a value of fixed effects: posterior density over prior density at this value.

        It is that of the model with these coefficients held at the value against this one, if the priors of the other
        parameters are the same in both (Dickey 1971, Ann. Math. Stat. 42:204). The posterior density is a mean over the
        draws of normal densities given the variances, which is precise far into the tails.

        Parameters
        ----------
        hypothesis : str
            A coefficient, which stands for ``= 0``, or linear equations such as ``"GenotypeB = -1"`` or
            ``"a = b = 0"``.

        Returns
        -------
        DensityRatio

        Raises
        ------
        ModelError
            If the prior of the coefficients is flat, or as `log_evidence`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> round(model.gibbs(seed=1).savage_dickey("GenotypeB").value, 1)
        2.9
        """
        return savage_dickey(self, hypothesis)

    def power_scaling(self, parameters: str | Iterable[str] | None = None) -> PowerScaling:
        """Return how the posterior changes as all priors, or the likelihood, are raised to a power near 1.

        Computed from the draws by importance weights, without sampling again; Kallioinen, Paananen, Bürkner & Vehtari
        (2024), Stat. Comput. 34:57. The distribution of the random effects belongs to the likelihood here, which is
        that of y given β, Ω and σ.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            By default all.

        Returns
        -------
        PowerScaling
            A table of sensitivities to prior and likelihood, with a diagnosis where that to the prior exceeds 0.05.

        Raises
        ------
        ModelError
            If the model is not normal with one σ and independent residuals, or there are fewer than 100 draws.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> far = model.gibbs({"GenotypeB": mf.priors.Normal(10, 2)}, seed=1)
        >>> far.power_scaling().table.loc["GenotypeB", "diagnosis"]
        'potential prior-data conflict'
        """
        return power_scaling(self, parameters)

    # -- files and print -----------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the draws and the data of the model to a file of numbers and text (npz); `mixedfit.load` reads it.

        ``loo(refit=True)``, which samples again, is not available after `mixedfit.load`.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ModelError
            If the model is not normal with one σ.
        """
        if self.scales is not None or type(self) is not Posterior:
            raise ModelError(
                "only posteriors with normal residuals and effects and one σ can be saved yet; pickle this one, or "
                "keep .to_arviz()."
            )
        write_posterior(self, path)

    @lazy
    def _stuck(self) -> str:
        return stuck_warning(self)

    @lazy
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the convergence of the chains; empty if there are none."""
        return convergence_warnings(self.summary(), self._stuck, self.chains, self.draws, self.ess)

    @property
    def _sampled(self) -> str:
        sampled = f"{self.chains} chain{'s' if self.chains > 1 else ''} of {self.draws} draws"
        every = f", 1 of every {self.thin} sweeps," if self.thin > 1 else ""
        return f"{sampled}{every} after {self.tune} of tuning, {seconds_text(self.seconds)}"

    @property
    def _reached(self) -> list[str]:
        """Return the effective draws wanted and reached, as a line of the printout; none with a fixed number."""
        if self.ess is None:
            return []
        least = mixing_of(self)
        early = f"; {self.limit} ended the run" if self.limit else ""
        return [
            f"Effective draws: {least.ess:.0f} for {least.name}, which has the fewest; wanted: {self.ess:.0f}{early}"
        ]

    def _remarks(self) -> list[str]:
        """Return the lines below the summary."""
        groups = ", ".join(f"{block.name}, {block.levels}" for block in self.design.blocks)
        lines = [f"Rows: {self.design.n}" + (f"; groups: {groups}" if groups else "")]
        if self.dropped:
            lines.append(f"Dropped, being determined by the others: {', '.join(self.dropped)}")
        return [*lines, *(f"Warning: {text}" for text in self.warnings)]

    def _tables(self) -> list[Table]:
        text, rest = summary_cells(self.summary())
        notes = [*([rest] if rest else []), self._sampled, *self._reached, *self._remarks()]
        source = self.design.formula.source
        return [prior_table(self.priors), text_table(f"Posterior of {source}", text, notes)]

    def __str__(self) -> str:
        lines = [
            "Linear mixed model, Gibbs sampler",
            f"Formula: {self.design.formula.source}",
            self._sampled,
            *self._reached,
            "",
            "Priors:",
            *(f"  {statement}" for statement in self.priors),
            "",
            format_summary(self.summary()),
            "",
            *self._remarks(),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def read_posterior(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> Posterior:
    """Return the posterior that `Posterior.save` wrote; it cannot be sampled again."""
    design, structure = read_design(header, arrays), None
    if "residual" in header:
        model = unpack_structure(header["residual"], arrays, design)
        design = replace(design, residual=model)
        names = tuple(p.name for p in model.natural(model.start))
        structure = StructureDraws(names, arrays["structure_x"], arrays["structure_values"])
    return Posterior(
        design=design,
        kept=arrays["kept"],
        priors=Statements(header["priors"]),
        beta=arrays["beta"],
        sigma=arrays["sigma"],
        omega=tuple(arrays[f"omega{f}"] for f in range(len(design.blocks))),
        effects=tuple(arrays[f"effects{f}"] for f in range(len(design.blocks)) if f"effects{f}" in arrays),
        tune=header["tune"],
        thin=header["thin"],
        seconds=header["seconds"],
        acceptance=arrays.get("acceptance"),
        held=frozenset(header["held"]),
        given=tuple(header["given"]),
        ess=header.get("ess"),
        limit=header.get("limit", ""),
        structure=structure,
    )
