"""`MixedResults`: labelled tables of a fit, and a method for each further question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.options import check_one_of
from mixedfit.core.progress import Progress
from mixedfit.design.wrong_values import not_numbers
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation import storage, tables
from mixedfit.estimation.convergence import Convergence
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.fitting import refit_design
from mixedfit.estimation.parameters import Names, labels_of, parameters_of, values_of, variance_parameters
from mixedfit.estimation.residual_words import labelled_covariance, residual_table
from mixedfit.inference.anova.anova import AnovaTable, term_anova
from mixedfit.inference.bootstrap.bootstrap import Bootstrap, BootstrapType, bootstrap
from mixedfit.inference.bootstrap.statistic import OfResults
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.hypotheses import tests
from mixedfit.inference.likelihood_ratio.tests import LikelihoodRatioTable, random_effects_anova
from mixedfit.inference.profile.profile import LEVELS as PROFILE_LEVELS
from mixedfit.inference.profile.profile import Profile, profile
from mixedfit.inference.vcov_varpar import vcov_varpar
from mixedfit.inference.wald import wald_intervals
from mixedfit.reporting import tidy
from mixedfit.reporting.sentence import SentenceStyle, sentence
from mixedfit.reporting.summary import Summary, summarise

from .means import MeansMethods
from .predictions import PredictionMethods
from .row_products import read_products

if TYPE_CHECKING:
    from mixedfit.plots._methods import Pictures

__all__ = ["MixedResults", "load"]


class MixedResults(MeansMethods, PredictionMethods):
    """A fitted linear mixed model.

    Every attribute is computed when it is first asked for. Made by `LinearMixedModel.fit`.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> round(float(fit.params["Days"]), 3), round(fit.reml_criterion, 1)
    (10.467, 1743.6)
    """

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def __repr__(self) -> str:
        kind = "REML" if self._fit.reml else "ML"
        return f"<MixedResults: {self.formula!r} by {kind}, {self.nobs} rows, {self.convergence.status}>"

    # -- the model ---------------------------------------------------------------------------------

    @property
    def formula(self) -> str:
        """The formula as written."""
        return self._fit.formula

    @property
    def reml(self) -> bool:
        """True for a REML fit, False for maximum likelihood."""
        return self._fit.reml

    @property
    def nobs(self) -> int:
        """Rows that the likelihood counts: complete and with a positive weight."""
        return self._fit.nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of every grouping factor."""
        return self._fit.ngroups

    @property
    def df_resid(self) -> int:
        """Rows less all parameters (fixed effects, θ and σ), as lme4 prints it."""
        return self._fit.df_resid

    @property
    def timing(self) -> Mapping[str, float]:
        """Seconds spent on each stage of the fit; `starts` of the search, and how many reached the optimum."""
        return dict(self._fit.timing)

    # -- fixed effects -----------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects; NaN for columns that were dropped because others span them."""
        return tables.coefficients(self._fit)

    def parameters(self, names: Names = "long") -> pd.Series[float]:
        """Return all parameters: standard deviations, correlations, σ and fixed effects.

        Parameters
        ----------
        names : {"long", "lme4", "words"}
            As of `conf_int`. Under the long ones `simulate_lmm` and `power` take them.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> fit.parameters().round(2)
        sd_(Intercept)|Batch      42.00
        sigma                     49.51
        (Intercept)             1527.50
        Name: estimate, dtype: float64
        """
        fit = self._fit
        fixed = [p for p in parameters_of(fit) if p.kind in ("residual", "fixed")]
        every = [*variance_parameters(fit.design), *fixed]
        return pd.Series(values_of(fit, every), index=labels_of(every, names), name="estimate")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the fixed effects."""
        return tables.coefficient_covariance(self._fit)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects."""
        return tables.standard_errors(self._fit)

    @property
    def tvalues(self) -> pd.Series[float]:
        """Fixed effects over their standard errors."""
        return (self.params / self.bse).rename("statistic")

    # -- variances ---------------------------------------------------------------------------------

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self._fit.sigma

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self._fit.sigma**2

    @property
    def theta(self) -> pd.Series[float]:
        """Relative covariance parameters, in lme4's order and names."""
        return pd.Series(self._fit.theta.copy(), index=pd.Index(self._fit.design.theta_names), name="theta")

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances, covariances, SDs and correlations as lme4's ``as.data.frame(VarCorr(fit))``.

        Columns grp, var1, var2, vcov, sdcor; var2 is None in the rows of variances, var1 too in the residual's.
        """
        return tables.variance_table(self._fit)

    @property
    def cov_re(self) -> dict[str, pd.DataFrame]:
        """Ω, the covariance matrix of one level's random effects: for every grouping factor, effects × effects."""
        return tables.effect_covariances(self._fit)

    # -- random effects ----------------------------------------------------------------------------

    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs): for every grouping factor a table of levels × effects."""
        return tables.random_effects(self._fit)

    @property
    def random_effects_cov(self) -> dict[str, pd.DataFrame]:
        """Conditional covariances of the random effects given y and the parameters.

        For every grouping factor a table with an index of (level, effect) and a column for each effect.
        """
        return tables.mode_covariances(self._fit)

    @property
    def group_coefs(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each group, β + b: the shrunken counterparts of per-group regressions.

        Effects without a fixed counterpart come last and appear as b alone; as in lme4's ``coef``, those of other
        factors have a column of 0. ``a:b`` and ``b:a`` are one effect.
        """
        return tables.group_coefficients(self._fit)

    # -- likelihood --------------------------------------------------------------------------------

    @property
    def deviance(self) -> float:
        """−2 log-likelihood; for a REML fit, of the ML likelihood at the REML estimate of θ."""
        return self._fit.deviance

    @property
    def reml_criterion(self) -> float:
        """−2 restricted log-likelihood; for an ML fit, at the ML estimate of θ."""
        return self._fit.reml_criterion

    @property
    def llf(self) -> float:
        """Log-likelihood that was maximised: restricted for REML."""
        return self._fit.llf

    @property
    def aic(self) -> float:
        """Akaike's criterion, −2 llf + 2 (number of parameters), as lme4 computes it."""
        return self._fit.aic

    @property
    def bic(self) -> float:
        """Schwarz's criterion, −2 llf + log(nobs) (number of parameters), as lme4 computes it."""
        return self._fit.bic

    @property
    def aicc(self) -> float:
        """`aic` corrected for few rows, aic + 2k(k + 1)/(n − k − 1); Hurvich & Tsai (1989), Biometrika 76:297."""
        return self._fit.aicc

    @property
    def n_parameters(self) -> int:
        """Parameters that the information criteria count: fixed effects, θ, and σ unless it was held."""
        return self._fit.n_parameters

    # -- rows --------------------------------------------------------------------------------------

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Xβ + Zb (plus offset) on the rows of the fit, under the data's index."""
        design = self._fit.design
        return design.on_all_rows(pd.Series(self._fit.fitted.copy(), index=design.index, name="fitted"))

    @property
    def resid(self) -> pd.Series[float]:
        """Response less `fittedvalues`."""
        design, values = self._fit.design, self._fit.response - self._fit.fitted
        return design.on_all_rows(pd.Series(values, index=design.index, name="resid"))

    @property
    def scaled_resid(self) -> pd.Series[float]:
        """Residuals over their standard deviation (σ/√weight, times a variance function), as the summary shows them."""
        return self._fit.design.on_all_rows(tables.scaled_residuals(self._fit))

    @property
    def normalised_resid(self) -> pd.Series[float]:
        """R^(−1/2) times the residuals over σ: uncorrelated with variance 1 if the residual structure holds."""
        return self._fit.design.on_all_rows(tables.normalised_residuals(self._fit))

    @property
    def residual_params(self) -> pd.DataFrame:
        """Parameters of the residual structure with the limits of their space; no rows without one.

        Columns estimate, min, max; `conf_int` has intervals. Their number counts in `aic`, `bic` and `n_parameters`.
        """
        return residual_table(self._fit)

    def residual_cov(self, group: Any = None) -> pd.DataFrame:
        """Return σ²R, the residual covariance of the rows of one group.

        Parameters
        ----------
        group : label, optional
            A level of the structure's grouping; by default the first with most rows. Without a correlation, or with
            all rows in one group, the rows of all data. Labels are the times or visits, of structures with such a
            column, and otherwise those of the rows.

        Returns
        -------
        pandas.DataFrame
            Rows and columns are labelled by the rows of the data.

        Raises
        ------
        ModelError
            If the fit has no residual structure, or there is no such group.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> fit = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject")).fit()
        >>> fit.residual_cov("308").shape
        (10, 10)
        """
        return labelled_covariance(self._fit, group)

    # -- verdict and further work ------------------------------------------------------------------

    @property
    def convergence(self) -> Convergence:
        """The verdict on the search: status, Newton decrement, and advice."""
        return self._fit.convergence

    @property
    def converged(self) -> bool:
        """Whether an optimum was reached, at the boundary or inside."""
        return self._fit.convergence.converged

    @property
    def singular(self) -> bool:
        """Whether a random-effects covariance has no full rank (a variance of 0, a correlation of ±1)."""
        return bool(self._fit.convergence.singular)

    def refit(self, y: Any) -> MixedResults:
        """Return the same model fitted to another response.

        X and Z are not built or factorised again; the search starts from this fit's θ.

        Parameters
        ----------
        y : array or Series, shape (nobs,)
            Finite numbers on the scale of the formula's left side, one for each row of the fit
            (`fittedvalues.index`); a Series is matched by its index. With ``missing="exclude"`` values of the rows
            that were left out are not read.
        """
        fit = self._fit
        y = y if fit.design.excluded is None else fit.design.excluded.used(y)
        if isinstance(y, pd.Series) and not y.index.equals(fit.design.index):
            if not (y.index.is_unique and fit.design.index.isin(y.index).all()):
                raise DataError(
                    "the new response is a Series whose index lacks rows of the fit; give it the fit's index "
                    "(fit.fittedvalues.index), or pass y.to_numpy() to go by position."
                )
            y = y.loc[fit.design.index]
        try:
            values = np.asarray(y, dtype=float)
        except (TypeError, ValueError):
            clause = not_numbers(y) if np.ndim(y) == 1 else ""
            raise DataError(
                f"the new response must be numbers, one for each row of the fit{f'; {clause}' if clause else ''}."
            ) from None
        offset = self._fit.design.offset
        if offset is not None and values.shape == offset.shape:
            values = values - offset
        return MixedResults(refit_design(self._fit, values))

    def summary(self, *, correlation: bool = False, ddf: Ddf | Literal["none"] | None = None) -> Summary:
        """Return the summary: prints as lme4 does, shows as HTML in a notebook.

        Parameters
        ----------
        correlation : bool
            Whether to print the correlation of the fixed effects.
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal", "none"} or KenwardRoger, optional
            Degrees of freedom behind the p-values: Satterthwaite by default for REML, as lmerTest prints them, the
            normal distribution for ML; "none" prints lme4's columns only.
        """
        return summarise(self._fit, correlation=correlation, ddf=ddf)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def save(self, path: str | Path, *, rows: bool = True) -> None:
        """Write the fit, its data included, to a file that holds numbers and text only (npz).

        The fit that `mixedfit.load` reads answers as this one does. Labels keep their types: numbers, text, dates,
        periods, intervals, bytes, and tuples of these.

        Parameters
        ----------
        path : str or Path
            Any name; ``.npz`` is usual. Read it with `mixedfit.load`.
        rows : bool
            Whether to write the rows. Without them the file has the cross-products: sums over all rows and by level.
            The fit that is read prints, tests, and predicts further rows; questions about its rows are refused.

        Raises
        ------
        ModelError
            If the rows are to be written and are not in memory; if the model needs its rows and they are not to be
            written; if the formula calls functions of ``context=`` or others that a formula from a file may not call:
            further rows could not be built.
        DataError
            If labels are of other types, or the file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit.save(f"{folder}/fit.npz")
        ...     loaded = mf.load(f"{folder}/fit.npz")
        >>> bool(abs(loaded.predict() - fit.predict()).max() < 1e-9)
        True
        """
        storage.write(self._fit, path, rows=rows)

    # -- tests, intervals, means -------------------------------------------------------------------------

    def conf_int(
        self,
        level: float = 0.95,
        method: Literal["wald", "profile", "boot"] = "wald",
        parameters: str | Iterable[str] | None = None,
        *,
        ddf: Ddf | None = "normal",
        delta: bool = False,
        names: Names = "lme4",
        n: int = 1000,
        seed: Any = None,
    ) -> pd.DataFrame:
        """Return intervals of all parameters, columns lower and upper.

        Parameters
        ----------
        level : float
            Coverage, at least 0.5 and below 1.
        method : {"wald", "profile", "boot"}
            Estimate ± quantile × standard error; where the likelihood falls too low with the parameter held; or the
            percentiles of a parametric bootstrap (`bootstrap` has more kinds).
        parameters : str or sequence of str, optional
            Some of them: ``".sig01"``, ``"sd_Days|Subject"``, ``"SD of Days | Subject"``, ``"Days"``; "variances" or
            "fixed" for all of a kind.
        ddf : {"normal", "satterthwaite", "kenward-roger", "residual"} or KenwardRoger
            Reference distribution of Wald intervals of fixed effects; Kenward-Roger also adjusts the standard errors.
        delta : bool
            Whether Wald intervals of standard deviations and correlations are computed too, by the delta method; they
            are NaN otherwise, because these estimates are seldom near normal. Prefer the profile.
        names : {"lme4", "long", "words"}
            What the rows are called: ``.sig01``, ``sd_(Intercept)|Subject`` or "SD of (Intercept) | Subject".
        n, seed
            Replicates of the bootstrap, and what makes them the same again.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.conf_int(method="profile").loc[[".sig01", "Days"]].round(2)
                lower  upper
        .sig01  14.38  37.72
        Days     7.36  13.58
        """
        if method == "profile":
            return self.profile(parameters, levels=(level,)).conf_int(level, parameters, names=names)
        if method == "boot":
            drawn = self.bootstrap(n, seed=seed)
            return drawn.conf_int(level, parameters=parameters, names=names)
        check_one_of("method", method, ("wald", "profile", "boot"))
        return wald_intervals(self._fit, level, parameters, ddf=ddf, delta=delta, names=names)

    def profile(
        self,
        parameters: str | Iterable[str] | None = None,
        *,
        levels: Sequence[float] = PROFILE_LEVELS,
        progress: bool | None = None,
        executor: Any = None,
    ) -> Profile:
        """Return likelihood profiles: ζ, the signed root of the rise in deviance, as a function of each parameter.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            Which; all by default. Names as in `conf_int`.
        levels : sequence of float
            Coverages whose limits are computed exactly; others are interpolated.
        progress : bool, optional
            Whether to show progress; by default on a terminal, after two seconds.
        executor : dask.distributed.Client or concurrent.futures.Executor, optional
            Whose workers compute the profiles, one parameter each; the numbers are the same.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit(reml=False)
        >>> profile = fit.profile(".sig01")
        >>> profile.conf_int(0.95, ".sig01").round(2)
                lower  upper
        .sig01   12.2  84.06
        """
        with Progress(progress) as shown:
            return profile(self._fit, parameters, levels=levels, report=shown.say, executor=executor)

    def vcov_varpar(
        self, *, scale: Literal["sd", "variance", "cholesky"] = "sd", joint: bool = False
    ) -> pd.DataFrame:
        """Return the covariance of the variance parameters, from the exact second derivative of the criterion.

        Parameters
        ----------
        scale : {"sd", "variance", "cholesky"}
            Of standard deviations, correlations and σ; of variances, covariances and σ² (SAS's ASYCOV); or of the
            elements of σλ and σ² (SAS's FA0). lme4's names and order throughout.
        joint : bool
            Whether to add the fixed effects.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> fit.vcov_varpar().round(2)
                .sig01  .sigma
        .sig01  290.92  -12.04
        .sigma  -12.04   51.07
        """
        return vcov_varpar(self._fit, scale=scale, joint=joint)

    @property
    def df(self) -> pd.Series[float]:
        """Denominator degrees of freedom in use for each fixed effect: Satterthwaite's for REML, infinite for ML."""
        return self._coefficients["df"]

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values of `tvalues`, by t distributions on `df` degrees of freedom (the normal for ML)."""
        return self._coefficients["p_value"]

    @lazy
    def _coefficients(self) -> pd.DataFrame:
        return coefficient_table(self._fit)[0]

    def t_test(self, hypotheses: Any, *, ddf: Ddf | None = None, level: float = 0.95) -> tests.TTest:
        """Return t tests of contrasts of the fixed effects, one by one.

        Parameters
        ----------
        hypotheses : str, sequence, mapping or array
            Such as ``"Days"``, ``"Days = 10"``, ``"recipeB - recipeC"``, ``{"temp": 10}``, or a matrix with a column
            for each fixed effect. The name of a term, such as a factor, stands for all its coefficients.
        ddf : optional
            "satterthwaite" (default for REML), "kenward-roger", "residual", "normal" (default for ML), or
            `KenwardRoger` with its setting.
        level : float
            Coverage of the intervals.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> test = fit.t_test("Days = 10", ddf="kenward-roger")
        >>> test.table[["statistic", "df"]].round(3).values.tolist()
        [[0.302, 17.0]]
        """
        return tests.t_test(self._fit, hypotheses, ddf=ddf, level=level)

    def f_test(self, hypotheses: Any, *, ddf: Ddf | None = None) -> tests.FTest:
        """Return the F test of contrasts of the fixed effects together; arguments as in `t_test`."""
        return tests.f_test(self._fit, hypotheses, ddf=ddf)

    def wald_test(
        self, hypotheses: Any, *, use_f: bool | None = None, ddf: Ddf | None = None
    ) -> tests.WaldTest:
        """Return the joint test of contrasts of the fixed effects, by F or by chi-square.

        Parameters
        ----------
        hypotheses : str, sequence, mapping or array
            As in `t_test`.
        use_f : bool, optional
            True for F, False for chi-square with as many degrees of freedom as independent hypotheses. By default F,
            unless `ddf` is "normal".
        ddf : optional
            As in `t_test`; by default of a chi-square test, "normal".

        Raises
        ------
        ModelError
            If the data do not determine the contrasts, or these contradict each other.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> fit.wald_test("recipeB = recipeC, recipeB = 0", use_f=False)
        Wald test: chi2(2) = 0.498, p = 0.7797
        """
        return tests.wald_test(self._fit, hypotheses, use_f=use_f, ddf=ddf)

    def anova(self, *others: Any, type: Literal[1, 2, 3] = 3, ddf: Ddf | None = None) -> AnovaTable:
        """Return an F test for every term of the fixed part, as lmerTest's ``anova``.

        Parameters
        ----------
        *others
            None: likelihood-ratio tests of several fits are `mixedfit.anova`, and the error says so.
        type : {3, 2, 1}
            Type III tests each term with all others in the model, whatever the contrasts of the factors; type II
            respects marginality: each term is adjusted for all terms that do not contain it; type I adjusts each
            term for those before it.
        ddf : optional
            As in `t_test`.

        Raises
        ------
        ModelError
            If the hypotheses cannot be built, or there is another argument than the two.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> fit.anova()
        Type III Analysis of Variance Table with Satterthwaite's method
                            Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
        recipe               10.19    5.09     2    42   0.249 0.7809
        temperature        2100.30  420.06     5   210  20.520 <2e-16
        recipe:temperature  205.98   20.60    10   210   1.006 0.4393
        """
        if others:
            raise ModelError(
                "fit.anova() tests the terms of one fit, and compares it with no other. Likelihood-ratio tests of fits "
                "are mf.anova(fit, other)."
                if any(isinstance(other, MixedResults) for other in others)
                else f"fit.anova({others[0]!r}) is not known; name the argument, as in fit.anova(type=2) or "
                "fit.anova(ddf='kenward-roger')."
            )
        return term_anova(self._fit, type=type, ddf=ddf)

    def ranova(self) -> LikelihoodRatioTable:
        """Return the likelihood-ratio test of each random term, with the p-value that the boundary asks for."""
        return random_effects_anova(self._fit)

    def bootstrap(
        self,
        n: int = 1000,
        *,
        type: BootstrapType = "parametric",
        statistic: Callable[[Any], object] | None = None,
        seed: object = None,
        n_jobs: int = 1,
        progress: bool | None = None,
        resample: str | None = None,
        executor: Any = None,
    ) -> Bootstrap:
        """Return the bootstrap of the fit: data drawn again n times, the model refitted to each.

        REML fits are refitted by REML. Singular refits are results and are counted; refits that fail are left out,
        counted, and said to be. Interrupting the run (Ctrl-C) keeps what was done.

        Parameters
        ----------
        n : int
            Replicates. 1,000 serve intervals, 100 standard errors.
        type : {"parametric", "residual", "cases"}
            "parametric" draws random effects and residuals from the fitted normal distributions. "residual" resamples
            the predicted random effects and the residuals, reflated to the estimated variances (Carpenter, Goldstein
            & Rasbash 2003). "cases" resamples whole levels of the outermost grouping factor, and assumes only that
            they are independent.
        statistic : callable, optional
            Called with each refit, a `MixedResults`; returns a number, an array or a Series, always of the same
            length. A replicate whose statistic is NaN has failed.
        seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
            The same seed gives the same numbers, whatever `n_jobs`, and fewer replicates are the first of more.
        n_jobs : int
            Threads; −1 for one a core. They pay where a refit takes milliseconds of compiled code.
        progress : bool, optional
            Whether to show progress of runs that take longer than two seconds; by default on a terminal.
        resample : str, optional
            Grouping factor that "cases" resamples; needed where factors are crossed.
        executor : dask.distributed.Client or concurrent.futures.Executor, optional
            Whose workers do the refits, in place of threads; the numbers are the same.

        Returns
        -------
        Bootstrap
            Prints a table; `conf_int` gives intervals of five kinds, `replicates` every estimate.

        Raises
        ------
        ModelError
            If an option is not valid, or the statistic raises or changes its length.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> drawn = fit.bootstrap(n=200, seed=1)
        >>> drawn.replicates.shape, int(drawn.failed.sum())
        ((200, 6), 0)
        >>> interval = drawn.conf_int(0.9, kind="basic", parameters="Days")
        >>> bool(interval.loc["Days", "lower"] < fit.params["Days"] < interval.loc["Days", "upper"])
        True
        """
        return bootstrap(
            self._fit,
            n,
            type=type,
            statistic=None if statistic is None else OfResults(self.__class__, statistic),
            seed=seed,
            n_jobs=n_jobs,
            progress=progress,
            resample=resample,
            executor=executor,
        )

    # -- diagnostics, tables, pictures -------------------------------------------------------------------

    @lazy
    def diagnostics(self) -> Diagnostics:
        """Residuals, leverages, influence, principal components of random effects, R² and intraclass correlations.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.diagnostics.leverages.round(3).head(2)
           overall  fixed  random
        0    0.107  0.019   0.088
        1    0.102  0.014   0.088
        """
        return Diagnostics(self._fit)

    def tidy(
        self,
        effects: tidy.Effects | tuple[tidy.Effects, ...] = ("ran_pars", "fixed"),
        *,
        conf_int: bool = False,
        level: float = 0.95,
        conf_method: Literal["wald", "profile"] = "wald",
        ddf: Ddf | Literal["none"] | None = None,
        scale: tidy.Scale = "sdcor",
    ) -> pd.DataFrame:
        """Return a row for each term, in the columns of R's broom.mixed.

        Parameters
        ----------
        effects : str or tuple of str
            "fixed": fixed effects; "ran_pars": standard deviations and correlations; "ran_vals": conditional modes of
            every level; "ran_coefs": coefficients of every level, β + b.
        conf_int : bool
            Whether to add conf.low and conf.high.
        level : float
            Coverage of the intervals, at least 0.5 and below 1.
        conf_method : {"wald", "profile"}
            How intervals are found. Wald intervals of variance parameters are by the delta method on the logarithm.
        ddf : optional
            Degrees of freedom of p-values and Wald intervals, as in `t_test`; "none" leaves p-values out and gives
            normal intervals, as broom.mixed does for a model of lme4.
        scale : {"sdcor", "vcov"}
            Standard deviations and correlations, or variances and covariances.

        Returns
        -------
        pandas.DataFrame
            Of the columns effect, group, level, term, estimate, std.error, statistic, df, p.value, conf.low,
            conf.high those that the effects asked for have.

        Raises
        ------
        ModelError
            If an option is not known.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.tidy("ran_pars", conf_int=True, conf_method="profile").round(2)
             effect     group                   term  estimate  conf.low  conf.high
        0  ran_pars   Subject        sd__(Intercept)     24.74     14.38      37.72
        1  ran_pars   Subject  cor__(Intercept).Days      0.07     -0.48       0.69
        2  ran_pars   Subject               sd__Days      5.92      3.80       8.75
        3  ran_pars  Residual        sd__Observation     25.59     22.90      28.86
        """
        return tidy.tidy(
            self._fit,
            effects,
            conf_int=conf_int,
            level=level,
            conf_method=conf_method,
            ddf=ddf,
            scale=scale,
        )

    def glance(self) -> pd.DataFrame:
        """Return one row about the model: nobs, sigma, logLik, AIC, BIC, REMLcrit or deviance, df.residual.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.glance().round(1)
           nobs  sigma  logLik     AIC     BIC  REMLcrit  df.residual
        0   180   25.6  -871.8  1755.6  1774.8    1743.6          174
        """
        return tidy.glance(self._fit)

    def augment(self, data: Any = None) -> pd.DataFrame:
        """Return a row for each observation of the fit: the data, then fitted values, residuals and leverages.

        Parameters
        ----------
        data : frame, optional
            The data that the model was fitted to; matched by index. Without it the response, the variables of the
            formula that the model's columns determine and the grouping factors stand in front. Not changed.

        Returns
        -------
        pandas.DataFrame
            Columns .fitted, .resid, .hat (leverages at the estimated variances), .cooksd (Cook's distances from these
            leverages, as lme4's; `fit.diagnostics.influence` deletes rows exactly), .fixed (Xβ plus offset), .mu,
            .offset, .sqrtXwt, .sqrtrwt, .weights and .wtres follow the data's.

        Raises
        ------
        DataError
            If the data lack rows of the fit.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> list(fit.augment())[:5]
        ['Reaction', 'Days', 'Subject', '.fitted', '.resid']
        """
        return tidy.augment(self._fit, data)

    def augment_batches(self) -> Iterator[pd.DataFrame]:
        """Yield tables of fitted values and residuals, one for each batch of rows of a fit to a source.

        A fit to a frame gives one table. Only one batch is in memory at a time.

        Yields
        ------
        pandas.DataFrame
            The response, the grouping factors, .fitted, .resid, .fixed (Xβ plus offset), .scaled (residuals over their
            standard deviation) and .weights.

        Raises
        ------
        ModelError
            If the rows cannot be read again.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", [data[:100], data[100:]]).fit()
        >>> [len(table) for table in fit.augment_batches()]
        [100, 80]
        """
        return tidy.augment_batches(self._fit)

    def sentence(
        self,
        what: Any = None,
        row: Any = None,
        *,
        style: SentenceStyle = "apa",
        ddf: Ddf | None = None,
        level: float | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Return a result as a sentence for a paper, with the numbers of its table rounded.

        Parameters
        ----------
        what : optional
            A coefficient, ``"Days"``, or another hypothesis of `t_test`, ``"Days = 10"``; a term with several
            coefficients, or the variable of a coded factor (``"f"`` for ``C(f, contr.sum)``), for its F test of type
            III; or a table of `anova` (of terms or of models), `ranova`, `joint_tests`, `t_test`, `emmeans`,
            `emtrends` or their contrasts. By default, the model.
        row : str or int, optional
            A row of the table, by its name or position; with groups of `by` also ``"a - b at g = 1"``. By default all
            rows, a sentence in each line.
        style : {"apa", "plain"}
            As the American Psychological Association has it, such as "p < .001", or plainly.
        ddf : optional
            As in `t_test`, if `what` is not a table.
        level : float, optional
            Coverage of the interval, if `what` is not a table; 0.95 by default.
        labels : mapping of str to str, optional
            Texts in place of names of variables, levels, coefficients and terms, as in `mixedfit.table`.

        Returns
        -------
        str
            With estimate, standard error, interval, t and p; or F, p and partial η². Differences of means have
            Cohen's d over the total standard deviation, as in `MarginalMeans.effect_sizes`.

        Raises
        ------
        ModelError
            If a name is not known, a row is not in the table, or an option is invalid.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> print(fit.sentence("Days").replace(" (", "\\n("))
        The coefficient of Days was b = 10.47, SE = 1.55, 95% CI [7.21, 13.73], t(17) = 6.77, p < .001
        (Satterthwaite's degrees of freedom).
        """
        return sentence(self._fit, what, row, style=style, ddf=ddf, level=level, labels=labels)

    @property
    def plot(self) -> Pictures:
        """Pictures: ``fit.plot()`` draws four, ``fit.plot.shrinkage()`` and its like one; see `mixedfit.plots`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.plot.shrinkage()  # doctest: +SKIP
        >>> fit.plot().savefig("fit.png")  # doctest: +SKIP
        """
        from mixedfit.plots._methods import Pictures

        return Pictures(self)


def load(path: str | Path) -> Any:
    """Return a fit that `MixedResults.save` wrote, or a posterior, scorer or cross-products that their `save` wrote.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    DataError
        If the file is not one of ours or is damaged.
    """
    from mixedfit.bayes.posterior import read_posterior
    from mixedfit.prediction.scorer import read_scorer

    found = storage.read(
        path, {"posterior": read_posterior, "products": read_products, "scorer": read_scorer}
    )
    return MixedResults(found) if isinstance(found, Fit) else found
