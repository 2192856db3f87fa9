"""One-line doors from a fitted model to the questions of `inference/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from .errors import ModelError
from .fit import Fit
from .inference import contrasts
from .inference.bootstrap import Bootstrap, BootstrapType, bootstrap
from .inference.degrees import Ddf
from .inference.likelihood_ratio import LikelihoodRatioTable, random_effects_anova

__all__ = ["Questions"]


class Questions:
    """What can be asked of a fit; `MixedResults` is this with the facts of the fit."""

    _fit: Fit

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def conf_int(self, level: float = 0.95, *, ddf: Ddf = "normal") -> pd.DataFrame:
        """Return Wald intervals of the fixed effects, columns lower and upper.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.
        ddf : {"normal", "satterthwaite", "kenward-roger", "residual"} or KenwardRoger
            Reference distribution; Kenward-Roger also adjusts the standard errors.
        """
        if not 0.5 <= level < 1:
            raise ModelError(
                f"level is {level}, the coverage of the interval; expected at least 0.5 and below 1, such as 0.95."
            )
        names = list(self._fit.coefficient_names)
        each = [{name: 1.0} for name in names]
        table = contrasts.t_test(self._fit, each, ddf=ddf, level=level).table
        return table[["lower", "upper"]].set_axis(names)

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

    def ranova(self) -> LikelihoodRatioTable:
        """Return the likelihood-ratio test of each random effect, with the p-value that the boundary asks for."""
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
            Threads; −1 for one a core.
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
