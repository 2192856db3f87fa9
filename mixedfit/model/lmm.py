"""`lmm` and `LinearMixedModel`: from a formula and data to a fit. Read this file first.

text → ParsedFormula → Design → CrossProducts → Criterion → optimum → MixedResults
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mixedfit.bayes.distributions import Distribution, Normal
from mixedfit.core.errors import (
    ConvergenceWarning,
    FormulaWarning,
    GroupingWarning,
    ModelError,
    RankWarning,
    a_type,
    warn,
)
from mixedfit.core.linalg import blas_threads
from mixedfit.core.other_programs import Hinted, hinted, names_for
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.covariance.known import Known
from mixedfit.covariance.residual import ResidualStructure, VarIdent
from mixedfit.crossproducts.in_parts import summed_parts
from mixedfit.crossproducts.streamed import summed_rows
from mixedfit.crossproducts.summed import sum_rows, summed_part
from mixedfit.design.design import Design, build_design
from mixedfit.design.model_frame import Missing
from mixedfit.design.residual_rows import check_structure
from mixedfit.design.spellings import spelling_advice
from mixedfit.design.stream.agreement import SiteRecipe, with_recipe
from mixedfit.design.stream.build import part_report, row_report, streamed_design
from mixedfit.design.stream.source import RowSource, is_source, open_source
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.fitting import fit_design
from mixedfit.estimation.known_support import refuse_known
from mixedfit.formula.parse import Expand, ParsedFormula, parse_formula
from mixedfit.formula.unused_codings import unused_codings
from mixedfit.tasks import pool_of

from .results import MixedResults
from .row_products import RowProducts

if TYPE_CHECKING:
    from mixedfit.bayes.calibration.record import Calibration
    from mixedfit.bayes.posterior import Posterior
    from mixedfit.bayes.prior_predictive import PriorPredictive
    from mixedfit.bayes.sensitivity.variants import Sensitivity
    from mixedfit.inference.many_responses import ManyFits
    from mixedfit.reporting.explain import Explanation

__all__ = ["LinearMixedModel", "lmm"]


class LinearMixedModel(Hinted):
    """A linear mixed model on data, ready to be fitted: y = Xβ + Zb + ε.

    Made by `lmm`.

    Attributes
    ----------
    formula : ParsedFormula
    design : Design
        The numbers behind the formula, on the rows used: ``design.y`` (n,), offset subtracted; ``design.X`` (n, p) with
        its columns' ``design.x_names``; ``design.blocks``, one for each grouping factor, with ``name``, ``effects``,
        ``codes`` (each row's level), ``z`` (n, k) and ``grouping.levels``; ``design.weights`` and ``design.index``.
    """

    def __init__(
        self, formula: ParsedFormula, design: Design, seconds: float = 0.0, data: Any = None
    ) -> None:
        self.formula = formula
        self.design = design
        self._seconds = seconds
        self._data = data

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_") and (ours := names_for(MixedResults, name)):
                raise AttributeError(
                    f"LinearMixedModel has no {name!r}. The model is not fitted yet: call .fit() first, then "
                    f".{ours[0]}."
                )
            return super().__getattr__(name)

    def __repr__(self) -> str:
        return f"<LinearMixedModel: {self.formula.source!r}, {self.design.n} rows>"

    def fit(
        self,
        reml: bool = True,
        *,
        start: Any = None,
        sigma: float | None = None,
        control: Control | None = None,
        progress: bool | None = None,
    ) -> MixedResults:
        """Return the fitted model.

        Parameters
        ----------
        reml : bool
            True for restricted maximum likelihood, False for maximum likelihood.
        start : array, shape (n_theta,), optional
            θ to start from, in the order of ``fit.theta``.
        sigma : float, optional
            Residual standard deviation to hold fixed, in units of y; 1 with weights 1/variance is a
            meta-analysis.
        control : Control, optional
            Tolerance and limit of the search.
        progress : bool, optional
            Whether to show progress of fits that take longer than two seconds; by default on a terminal.

        Returns
        -------
        MixedResults

        Raises
        ------
        ModelError
            If the data cannot determine the model.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
        >>> round(model.fit(reml=False).deviance, 3)
        327.327
        """
        _check_options(reml, start, sigma, control)
        with Progress(progress) as shown:
            fit = fit_design(
                self.design,
                reml=bool(reml),
                start=None if start is None else np.asarray(start, dtype=float),
                sigma=sigma,
                control=control,
                report=shown.update,
                seconds=self._seconds,
            )
        _warn(fit)
        return MixedResults(fit)

    def fit_many(
        self,
        Y: Any,
        reml: bool = True,
        *,
        sigma: float | None = None,
        ddf: Literal["satterthwaite"] | None = None,
        n_jobs: int = 1,
        progress: bool | None = None,
        executor: Any = None,
    ) -> ManyFits:
        """Return the fits of the model to many responses, such as genes or voxels.

        The products of X and Z are computed once, those with blocks of responses in one product; θ of small models is
        found in compiled code. The model's own response is fitted first, for a start.

        Parameters
        ----------
        Y : pandas.DataFrame, or array or memory-mapped array of numbers, shape (n, responses)
            A column for each response. A frame is matched by the data's index, an array has the rows of the fit.
        reml : bool
        sigma : float, optional
            Residual standard deviation to hold fixed, in units of the responses.
        ddf : {"satterthwaite"}, optional
            Whether to compute Satterthwaite's degrees of freedom, which take several times as long as the fits.
        n_jobs : int
            Number of threads; −1 for one a core.
        progress : bool, optional
            Whether to show progress; by default on a terminal. An interrupt keeps what has been fitted.
        executor : dask.distributed.Client or concurrent.futures.Executor, optional
            Whose workers fit blocks of responses, in place of threads; the numbers are the same.

        Returns
        -------
        ManyFits

        Raises
        ------
        DataError
            If Y has other rows than the model, or is not numbers.
        ModelError
            If the model's own response cannot be fitted, or its rows are not in memory.

        Warns
        -----
        ConvergenceWarning
            If fits failed.

        Examples
        --------
        >>> import numpy as np
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> noise = np.random.default_rng(1).normal(size=(180, 3))
        >>> Y = data["Reaction"].to_numpy()[:, None] + 10 * noise
        >>> mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit_many(Y)
        <ManyFits: 'Reaction ~ Days + (Days | Subject)' by REML, 3 responses: 3 regular>
        """
        from mixedfit.inference.many_responses import fit_many

        _check_options(reml, None, sigma, None)
        fit = fit_design(self.design, reml=bool(reml), sigma=sigma)
        return fit_many(fit, Y, ddf=ddf, n_jobs=n_jobs, progress=progress, executor=executor)

    def cross_products(self) -> RowProducts:
        """Return the cross-products of the rows, which can be saved, sent and merged with those of other rows.

        They are all that estimation needs: `mixedfit.lmm_from` fits the model of the rows of several parts. They hold
        no rows, but sums by level of the grouping factors; see `RowProducts`.

        Returns
        -------
        RowProducts

        Raises
        ------
        ModelError
            If the model has a residual structure or a fixed factor with more than 200 levels, or its rows can be read
            no more.

        Examples
        --------
        >>> import mixedfit as mf
        >>> mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).cross_products()
        <RowProducts: 'Yield ~ 1 + (1 | Batch)', 30 rows>
        """
        with blas_threads(1):
            return RowProducts(sum_rows(self.design))

    def explain(self, reml: bool = True, *, sigma: float | None = None) -> Explanation:
        """Return the model in words and as equations; nothing is fitted.

        Parameters
        ----------
        reml, sigma
            As of `fit`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).explain()
        Formula: Yield ~ 1 + (1 | Batch)
        <BLANKLINE>
        The response is Yield, in 30 rows, 6 levels of Batch. The fixed part is one mean for all rows.
        Each level of Batch has its own mean, which differs from the common one by a random intercept. The
        residual is independent between rows and normal, with one variance. Parameters are estimated by
        restricted maximum likelihood (REML). To be estimated: 1 fixed effect, 1 parameter of random
        effects and σ.
        <BLANKLINE>
          Yield[i] = β0
          + b0[Batch[i]]
          + ε[i]
          b0 of each Batch ~ N(0, ω²)
          ε[i] ~ N(0, σ²)
        """
        from mixedfit.reporting.explain import explain

        return explain(self.design, reml=reml, sigma=sigma)

    def gibbs(
        self,
        priors: Mapping[str, Any] | None = None,
        *,
        draws: int | None = None,
        ess: float | None = None,
        max_draws: int = 10_000,
        max_seconds: float | None = None,
        tune: int = 1000,
        chains: int = 4,
        thin: int = 1,
        seed: object = None,
        n_jobs: int | None = None,
        keep_effects: bool = True,
        errors: Distribution = Normal(),  # noqa: B008 (a frozen value)
        random_effects: Distribution | Mapping[str, Distribution] = Normal(),  # noqa: B008
        sigma: str = "common",
        progress: bool | None = None,
        executor: Any = None,
    ) -> Posterior:
        """Return draws from the posterior of the model under priors.

        A blocked Gibbs sampler on the cross-products of the fit: (β, b) jointly given the variances, the variances
        and covariance matrices from their full conditionals, interwoven with updates of b in units of its own SD, so
        that chains do not stick where a variance is near 0.

        Parameters
        ----------
        priors : mapping of str to values of `mixedfit.priors`, optional
            Keys: "fixed" or a coefficient's name, a grouping factor, a term such as ``"(Days | Subject)"``, one
            standard deviation such as ``"sd_Days|Subject"``, and "sigma"; "phi" and "ratio" of a residual structure.
            Whatever is not given has a default: proper,
            weak, on the scale of the data, and stated by the posterior's printout.
        draws : int, optional
            Draws kept of each chain, a fixed number. By default 1000, and more until every parameter has 100 effective
            draws for each chain and R̂ is at most 1.01.
        ess : float, optional
            Draw until every parameter has this many effective draws, bulk and tail, of all chains together, in place of
            a fixed number of draws. From 100 for each chain on, R̂ must be at most 1.01 as well. The draws are the
            first of those with a larger number and the same seed.
        max_draws : int
            Without `draws`, the largest number of draws of each chain.
        max_seconds : float, optional
            Time after which sampling stops and keeps the draws so far. The result then depends on the machine.
        tune : int
            Sweeps discarded at the start of each chain.
        chains : int
        thin : int
            Sweeps for each draw kept.
        seed : int, SeedSequence, Generator or None
            The draws depend on it and on nothing else.
        n_jobs : int, optional
            Chains run at the same time; by default, and with −1, one for each core.
        keep_effects : bool
            Whether to keep the draws of the random effects, which take most of the memory.
        errors : value of `mixedfit.distributions`
            Normal(), StudentT(df) with a number, "estimate" or a prior of ν, or Laplace(); σ is their scale.
        random_effects : value of `mixedfit.distributions`, or mapping of grouping factors to such values
            Distribution of each level's effects, of scale Ω; what a mapping leaves out is normal.
        sigma : str
            "common", or "by:g": the levels of a column g have a residual variance each, and those a distribution,
            1/σ_g² ~ gamma(ν₀/2, ν₀σ₀²/2), of which ν₀ and σ₀ are learnt (keys "nu0" and "sigma0" of the priors). A
            model with the residual structure ``VarIdent("g")`` alone is sampled so. ``AR1`` and ``CAR1``, and their
            products with ``VarIdent``, are sampled with one σ; other structures are not.
        progress : bool, optional
            Whether to show progress of more than two seconds; by default on a terminal. An interrupt keeps what has
            been drawn.
        executor : dask.distributed.Client or concurrent.futures.Executor, optional
            Whose workers run the chains, in place of threads; the draws are the same. What has been drawn of a chain
            is lost on interrupt.

        Returns
        -------
        Posterior

        Raises
        ------
        ModelError
            If a prior is about nothing in the model, does not fit what it is about, or makes the posterior improper; if
            an option is not known.

        Warns
        -----
        SamplingWarning
            If R̂ exceeds 1.01, a parameter has few effective draws or did not move, or a limit ended the run; short runs
            are excepted, see ``docs/bayes.md``.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> prior = mf.priors.HalfCauchy(1)
        >>> posterior = model.gibbs({"fixed": mf.priors.Flat(), "Tray": prior, "sigma": prior}, seed=1)
        >>> round(float(posterior["sigma"].mean()), 1)
        1.9
        """
        from mixedfit.bayes.sampler.gibbs import gibbs

        refuse_known(self.design, "the sampler is", "It draws the levels' effects one by one. Fit by REML.")
        design, sigma = self._sampled(sigma, "the sampler is")
        return gibbs(
            design,
            priors,
            draws=draws,
            ess=ess,
            max_draws=max_draws,
            max_seconds=max_seconds,
            tune=tune,
            chains=chains,
            thin=thin,
            seed=seed,
            n_jobs=n_jobs,
            keep_effects=keep_effects,
            errors=errors,
            random_effects=random_effects,
            sigma=sigma,
            data=self._data,
            progress=progress,
            executor=executor,
        )

    def sensitivity(
        self,
        variants: Mapping[str, Mapping[str, Any] | None],
        *quantities: str,
        level: float = 0.95,
        seed: object = None,
        **options: Any,
    ) -> Sensitivity:
        """Return posterior quantities under several priors side by side.

        Parameters
        ----------
        variants : mapping of str to mapping of priors
            Names of the variants, and the priors of each as in `gibbs`; ``{}`` or None for the default priors.
        *quantities : str
            Parameters or expressions such as ``"GenotypeB"`` and ``"GenotypeB / sigma"``, or hypotheses such as
            ``"GenotypeB > 0"``.
        level : float
            Probability inside the intervals.
        seed : int, SeedSequence, Generator or None
            The same for all variants, so that their differences have little Monte-Carlo error.
        **options
            Of `gibbs`, such as ``draws=5000``.

        Returns
        -------
        Sensitivity
            Its `table` has a row for each variant, and each quantity if there are several: mean, sd, lower, upper,
            probability, mcse, rhat, ess. Of a hypothesis, the first four are those of left side − right side.

        Raises
        ------
        ModelError
            As `gibbs`, or if a quantity is not an expression of the parameters.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> variants = {"default": {}, "narrow": {"GenotypeB": mf.priors.Normal(0, 1)}}
        >>> sensitivity = model.sensitivity(variants, "GenotypeB > 0", seed=1)
        >>> sensitivity.table["probability"].round(1).to_dict()
        {'default': 0.1, 'narrow': 0.3}
        """
        from mixedfit.bayes.sensitivity.variants import prior_sensitivity

        fixed_seed = seed_sequence(seed)
        return prior_sensitivity(
            lambda priors: self.gibbs(priors, seed=fixed_seed, **options), variants, quantities, level
        )

    def calibration(
        self,
        priors: Mapping[str, Any] | None = None,
        *,
        simulations: int = 100,
        draws: int = 99,
        tune: int = 300,
        max_draws: int = 5000,
        seed: object = None,
        errors: Distribution = Normal(),  # noqa: B008 (a frozen value)
        random_effects: Distribution | Mapping[str, Distribution] = Normal(),  # noqa: B008
        sigma: str = "common",
        progress: bool | None = None,
        executor: Any = None,
    ) -> Calibration:
        """Return a simulation-based calibration: whether draws of the sampler are from the posterior of these priors.

        Parameters are drawn from the priors, a response from the model, and draws from the posterior of this response.
        The rank of the parameter among them is uniform if all is right. Talts, Betancourt, Simpson, Vehtari & Gelman
        (2018), arXiv:1804.06788.

        Parameters
        ----------
        priors : mapping of str to values of `mixedfit.priors`, optional
            As in `gibbs`, all of them proper. Scales of default priors are those of the data's response throughout.
        simulations : int
            At least 10. Of 100, deviations of about 15 percentage points are found, of 1,000 of 5.
        draws : int
            Posterior draws that are kept of each simulation. The chain is twice as long in effective draws, and thinned
            evenly, so that they are nearly independent.
        tune : int
            Sweeps discarded at the start of each chain.
        max_draws : int
            Largest number of draws of a chain.
        seed : int, SeedSequence, Generator or None
        errors, random_effects, sigma
            As in `gibbs`.
        progress : bool, optional
            Whether to show progress after two seconds; by default on a terminal. Ctrl-C keeps the simulations done.
        executor : dask.distributed.Client or concurrent.futures.Executor, optional
            Whose workers do the simulations; the ranks are the same.

        Returns
        -------
        Calibration
            Prints a test of each parameter and a verdict; ``.ranks`` and ``.table`` have the numbers, ``.plot()`` draws
            the distribution functions of the ranks with bands.

        Raises
        ------
        ModelError
            If a prior is improper, does not fit the model, or an option is not valid.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
        >>> found = model.calibration(simulations=20, seed=1)
        >>> found.ranks.shape, bool((found.table["adjusted"] > 0.05).all())
        ((20, 3), True)
        """
        from mixedfit.bayes.calibration.run import calibrate

        refuse_known(self.design, "calibration is", "The sampler draws the levels' effects one by one.")
        design, sigma = self._sampled(sigma, "calibration is")
        return calibrate(
            design,
            priors,
            simulations=simulations,
            draws=draws,
            tune=tune,
            max_draws=max_draws,
            seed=seed,
            progress=progress,
            executor=executor,
            errors=errors,
            random_effects=random_effects,
            sigma=sigma,
            data=self._data,
        )

    def _sampled(self, sigma: str, what: str) -> tuple[Design, str]:
        """Return the design and the option ``sigma`` as the sampler takes them: ``VarIdent("g")`` alone is "by:g".

        Raises
        ------
        ModelError
            If the residual structure is not sampled, or `sigma` is given besides.
        """
        from mixedfit.bayes.model.residual_structure import check_sampled

        if self.design.residual is None:
            return self.design, sigma
        structure = self.design.residual.structure
        if sigma != "common":
            why = "an SD for each level already" if isinstance(structure, VarIdent) else "one σ"
            raise ModelError(f"sigma={sigma!r} is given beside {structure}, which has {why}; leave one out.")
        if isinstance(structure, VarIdent):
            return replace(self.design, residual=None), f"by:{structure.by}"
        check_sampled(self.design.residual, what)
        return self.design, sigma

    def prior_predictive(
        self,
        priors: Mapping[str, Any] | None = None,
        *,
        draws: int = 1000,
        seed: object = None,
        errors: Distribution = Normal(),  # noqa: B008 (a frozen value)
        random_effects: Distribution | Mapping[str, Distribution] = Normal(),  # noqa: B008
        sigma: str = "common",
    ) -> PriorPredictive:
        """Return draws from the prior, for prior predictive checks.

        Parameters
        ----------
        priors : mapping of str to values of `mixedfit.priors`, optional
            As in `gibbs`, all of them proper.
        draws : int
        seed : int, SeedSequence, Generator or None
        errors, random_effects, sigma
            As in `gibbs`.

        Returns
        -------
        PriorPredictive
            Has what a `Posterior` has; ``.replicate()`` gives responses, ``.check()`` sets them beside the data.

        Raises
        ------
        ModelError
            If a prior is improper, or does not fit the model.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
        >>> prior = model.prior_predictive(seed=1)
        >>> prior.replicate(5, seed=2).shape
        (5, 56)
        """
        from mixedfit.bayes.prior_predictive import prior_predictive

        refuse_known(self.design, "prior predictive draws are", "Use fit.simulate().")
        design, sigma = self._sampled(sigma, "prior predictive draws are")
        return prior_predictive(
            design,
            priors,
            draws=draws,
            seed=seed,
            errors=errors,
            random_effects=random_effects,
            sigma=sigma,
            data=self._data,
        )


@hinted
def lmm(
    formula: str,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    missing: Missing = "drop",
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
    known: Mapping[str, Known] | None = None,
    batch_rows: int | None = None,
    progress: bool | None = None,
    recipe: SiteRecipe | str | Path | None = None,
    executor: Any = None,
    checkpoint: str | Path | None = None,
) -> LinearMixedModel:
    """Return the linear mixed model of an lme4 formula on data.

    Parameters
    ----------
    formula : str
        Such as ``"y ~ x + (x | g)"``. It is code: functions that it calls are called. Do not build it from
        text that you do not trust.
    data : pandas or polars frame, pyarrow table, mapping of arrays, or a source of rows
        Not changed. A source is read in batches, twice, and its rows are not kept: the path of a CSV or Parquet file
        or of a folder of Parquet files, a pyarrow Dataset, a polars LazyFrame, a Dask frame, a list or other iterable
        of frames, or a function that returns a new iterator of frames at each call.
    weights : str or array, optional
        Column, or one value a row: Var(ε_i) = σ²/w_i. Rows of weight 0 are left out of the likelihood.
    offset : str or array, optional
        Column, or one value a row, added to the linear predictor with coefficient 1.
    missing : {"drop", "raise", "exclude"}
        What to do with rows in which a variable of the model is missing: leave them out with a warning, refuse them,
        or, as R's na.exclude, leave them out of the fit and show them with NaN in what has a value for each row:
        `fittedvalues`, `resid`, `scaled_resid`, `augment`, `predict` and `simulate` without newdata, and the residuals,
        leverages and Cook's distances of `diagnostics`. `refit` then takes a response for all rows or for those of the
        fit. Counts, deletions, pictures and posteriors are of the rows of the fit.
    expand : {"levels", "contrasts"}
        What ``(f || g)`` makes of a factor f: "levels", an intercept and an effect of each level; "contrasts", an
        intercept and an effect of each contrast, as afex and lme4 2 do (for ``(a*b || g)`` of each column of the model
        matrix of ``a*b``). No effect is correlated with another.
    context : mapping, optional
        Functions and constants of your own that the formula uses.
    residual : value of `mixedfit.residuals` or str, optional
        Structure of the residual covariance: a correlation within groups such as ``AR1("time", "g")``, variance
        functions such as ``VarIdent("arm")``, or their product; or such a product as text, ``"AR1(time, g)"``, which
        is read and not run. By default residuals are independent with variance
        σ²/w. With weights the covariance is W^(−1/2) R W^(−1/2).
    known : mapping of str to `mixedfit.Known`, optional
        Known relationships between the levels of grouping factors, such as ``{"animal": mixedfit.Known(A)}``: their
        random effects are b ~ N(0, Ω ⊗ A). Levels of A without rows, such as the ancestors in a pedigree, get BLUPs.
    batch_rows : int, optional
        Rows of a batch of a source; by default 262,144.
    progress : bool, optional
        Whether to show progress of passes over a source that take longer than two seconds; by default on a terminal.
    recipe : SiteRecipe or path, optional
        Levels and state of transforms that several places agreed on, from `mixedfit.agree`, in place of those of these
        rows. The rows are then read in batches and not kept; a frame is one batch.
    executor : dask.distributed.Client or concurrent.futures.Executor, optional
        Whose workers read the parts of a source: groups of row groups of Parquet files with at least `batch_rows` rows,
        partitions of a Dask frame; of other sources, batches that are sent to them. Results depend on the parts and not
        on the number of workers.
    checkpoint : path, optional
        File that keeps what was read of a source while it is read, so that after an interrupt the same call goes on
        from there. It is removed when both passes are complete.

    Raises
    ------
    FormulaError, DataError, ModelError
        With what is wrong, where, and what to do.

    Examples
    --------
    >>> import mixedfit as mf
    >>> mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    <LinearMixedModel: 'Yield ~ 1 + (1 | Batch)', 30 rows>
    """
    begun = perf_counter()
    parsed = parse_formula(formula, expand=expand)
    for message in (*unused_codings(parsed), *parsed.slips):
        warn(message, FormulaWarning)
    for option, value in (("executor", executor), ("checkpoint", checkpoint)):
        if value is not None and not is_source(data):
            raise ModelError(
                f"{option}= is for sources that are read in parts, and data is {a_type(data)} in memory. Give "
                f"a path, dataset, Dask frame or list of frames, or leave out {option}=."
            )
    if recipe is not None or is_source(data):
        if known:
            raise ModelError(
                "known relationships between levels need the rows as one frame; here they are read in batches. Give "
                "the frame, without recipe=."
            )
        if residual is not None:
            raise ModelError(
                f"{residual}: residual structures need all rows of a group together, and rows are read in batches. "
                "Give the rows as one frame."
            )
        design = design_of_source(
            parsed,
            open_source(data if is_source(data) else [data], batch_rows),
            weights=weights,
            offset=offset,
            missing=missing,
            context=context or {},
            progress=progress,
            recipe=with_recipe(recipe),
            executor=executor,
            checkpoint=checkpoint,
        )
        _warn_of_spellings(design)
        return LinearMixedModel(parsed, design, perf_counter() - begun)
    design = build_design(
        parsed,
        data,
        weights=weights,
        offset=offset,
        missing=missing,
        context=context,
        residual=check_structure(residual),
        known=known,
    )
    _warn_of_spellings(design)
    return LinearMixedModel(parsed, design, perf_counter() - begun, data)


def _warn_of_spellings(design: Design) -> None:
    """Warn of labels that differ only in blanks, case or composition."""
    if design.recipe is not None and (message := spelling_advice(design.recipe)):
        warn(message, GroupingWarning)


def design_of_source(
    parsed: ParsedFormula,
    source: RowSource,
    *,
    weights: Any,
    offset: Any,
    missing: Missing,
    context: Mapping[str, Any],
    progress: bool | None,
    recipe: SiteRecipe | None,
    executor: Any,
    checkpoint: str | Path | None,
) -> Design:
    """Return the design of a source and its cross-products, from two passes over its rows."""
    pool = None if executor is None else pool_of(executor)
    if checkpoint is not None and (pool is not None or recipe is not None):
        raise ModelError(
            f"checkpoint= does not go with {'executor' if pool is not None else 'recipe'}=. Leave one of them out."
        )
    with Progress(progress) as shown, blas_threads(1):
        made = streamed_design(
            parsed,
            source,
            weights=weights,
            offset=offset,
            missing=missing,
            context=context,
            progress=shown,
            recipe=recipe,
            pool=pool,
            checkpoint=checkpoint,
        )
        if pool is not None:
            return summed_parts(pool, made, part_report(shown, "summed"), settled=recipe is None)
        sum_up = summed_rows if recipe is None else summed_part
        return sum_up(made, row_report(shown, source.total, "summed"))


def _check_options(reml: Any, start: Any, sigma: Any, control: Any) -> None:
    """Refuse options of the wrong kind before anything is computed."""
    if not isinstance(reml, bool | np.bool_):
        raise ModelError(f"reml={reml!r} is not known; expected True (REML) or False (maximum likelihood).")
    if control is not None and not isinstance(control, Control):
        raise ModelError(f"control is {a_type(control)}; expected mixedfit.Control(...).")
    if sigma is not None and not isinstance(sigma, int | float | np.number):
        raise ModelError(f"sigma is {a_type(sigma)}; expected a positive number.")
    if start is not None:
        try:
            finite = bool(np.all(np.isfinite(np.asarray(start, dtype=float))))
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise ModelError("start must be finite numbers, in the order of .theta.")


def _warn(fit: Fit) -> None:
    """Warn about dropped columns and failed convergence."""
    dropped = [name for name, kept in zip(fit.coefficient_names, fit.kept, strict=True) if not kept]
    if dropped:
        listed = ", ".join(dropped[:20]) + (" …" if len(dropped) > 20 else "")
        ends = (
            "which depends linearly on other columns. Its coefficient is"
            if len(dropped) == 1
            else "which depend linearly on other columns. Their coefficients are"
        )
        warn(
            f"the fixed-effects matrix is not of full rank; dropped {listed}, {ends} reported as missing.",
            RankWarning,
        )
    for message in fit.design.advice:
        warn(message, GroupingWarning)
    if not fit.convergence.converged:
        warn(fit.convergence.message, ConvergenceWarning)
