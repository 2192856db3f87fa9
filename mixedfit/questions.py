"""One-line doors from a fitted model to the questions of `inference/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from ._lazy import lazy
from ._progress import Progress
from .errors import ModelError, nearest
from .fit import Fit
from .inference import contrasts
from .inference.anova import AnovaTable, term_anova
from .inference.bootstrap import Bootstrap, BootstrapType, bootstrap
from .inference.degrees import Ddf
from .inference.emmeans import MarginalMeans, marginal_means
from .inference.likelihood_ratio import LikelihoodRatioTable, random_effects_anova
from .inference.profile import LEVELS as PROFILE_LEVELS
from .inference.profile import Profile, profile
from .inference.varpar import vcov_varpar
from .inference.wald import coefficient_table, wald_intervals
from .parameters import Names

__all__ = ["Questions"]


class Questions:
    """What can be asked of a fit; `MixedResults` is this with the facts of the fit."""

    _fit: Fit

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

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
        if method != "wald":
            raise ModelError(
                f"method={method!r} is not known; expected 'wald', 'profile' or 'boot'. "
                f"{nearest(str(method), ['wald', 'profile', 'boot'])}"
            )
        return wald_intervals(self._fit, level, parameters, ddf=ddf, delta=delta, names=names)

    def profile(
        self,
        parameters: str | Iterable[str] | None = None,
        *,
        levels: Sequence[float] = PROFILE_LEVELS,
        progress: bool | None = None,
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
            return profile(self._fit, parameters, levels=levels, report=shown.say)

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

    def t_test(self, hypotheses: Any, *, ddf: Ddf | None = None, level: float = 0.95) -> contrasts.TTest:
        """Return t tests of contrasts of the fixed effects, one by one.

        Parameters
        ----------
        hypotheses : str, sequence, mapping or array
            Such as ``"Days"``, ``"Days = 10"``, ``"recipeB - recipeC"``, ``{"temp": 10}``, or a matrix with a column
            for each fixed effect.
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
        return contrasts.t_test(self._fit, hypotheses, ddf=ddf, level=level)

    def f_test(self, hypotheses: Any, *, ddf: Ddf | None = None) -> contrasts.FTest:
        """Return the F test of contrasts of the fixed effects together; arguments as in `t_test`."""
        return contrasts.f_test(self._fit, hypotheses, ddf=ddf)

    def wald_test(
        self, hypotheses: Any, *, use_f: bool | None = None, ddf: Ddf | None = None
    ) -> contrasts.WaldTest:
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
        Wald test: chi2(2) = 0.4976, p = 0.7797
        """
        return contrasts.wald_test(self._fit, hypotheses, use_f=use_f, ddf=ddf)

    def anova(self, *, type: Literal[1, 2, 3] = 3, ddf: Ddf | None = None) -> AnovaTable:
        """Return an F test for every term of the fixed part, as lmerTest's ``anova``.

        Parameters
        ----------
        type : {3, 2, 1}
            Type III tests each term with all others in the model, whatever the contrasts of the factors; type II
            respects marginality: each term is adjusted for all terms that do not contain it; type I adjusts each
            term for those before it.
        ddf : optional
            As in `t_test`.

        Raises
        ------
        ModelError
            If the hypotheses cannot be built.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> fit.anova()
        Type III Analysis of Variance Table with Satterthwaite's method
                            Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
        recipe               10.19    5.09     2    42  0.2488 0.7809
        temperature        2100.30  420.06     5   210 20.5199 <2e-16
        recipe:temperature  205.98   20.60    10   210  1.0062 0.4393
        """
        return term_anova(self._fit, type=type, ddf=ddf)

    def emmeans(
        self,
        specs: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        ddf: Ddf | None = None,
        level: float = 0.95,
    ) -> MarginalMeans:
        """Return estimated marginal means, as R's emmeans: what the model says on average over a reference grid.

        The grid has every factor at its levels with equal weights, covariates at their means (those with two values
        at both), whatever transforms the formula applies to them.

        Parameters
        ----------
        specs : str or sequence of str
            Variables of the fixed part whose combinations are listed.
        by : str or sequence of str
            Variables within which contrasts are taken.
        at : mapping, optional
            Values of variables in the grid, such as ``{"temp": [180, 200]}``.
        ddf : optional
            As in `t_test`.
        level : float
            Coverage of the intervals.

        Returns
        -------
        MarginalMeans
            With ``table``, and ``contrasts("pairwise")`` to compare them.

        Raises
        ------
        ModelError
            If a name is not a variable of the fixed part.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> means = fit.emmeans("recipe", at={"temp": 200}, ddf="kenward-roger")
        >>> means
        recipe estimate std_error df lower upper
        A         33.12      1.74 42 29.62 36.63
        B         31.64      1.74 42 28.14 35.15
        C         31.60      1.74 42 28.09 35.11
        <BLANKLINE>
        Held at: temp = 200.
        Degrees of freedom: Kenward-Roger (expected information).
        Confidence level: 0.95.
        >>> means.contrasts("pairwise").table[["contrast", "estimate", "p_value"]].round(4)
          contrast  estimate  p_value
        0    A - B    1.4778   0.8200
        1    A - C    1.5222   0.8102
        2    B - C    0.0444   0.9998
        """
        return marginal_means(self._fit, specs, by=by, at=at, ddf=ddf, level=level)

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
            statistic=None if statistic is None else lambda refit: statistic(self.__class__(refit)),
            seed=seed,
            n_jobs=n_jobs,
            progress=progress,
            resample=resample,
        )
