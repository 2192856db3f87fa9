"""Doors from a fitted model to tables for other programs, and to pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import pandas as pd

from . import tidying
from .fit import Fit
from .inference.degrees import Ddf
from .plots.door import Pictures

if TYPE_CHECKING:
    from .results import MixedResults

__all__ = ["Outputs"]


class Outputs:
    """What a fit gives to other programs and to the eye; `MixedResults` inherits it."""

    _fit: Fit

    def tidy(
        self,
        effects: tidying.Effects | tuple[tidying.Effects, ...] = ("ran_pars", "fixed"),
        *,
        conf_int: bool = False,
        level: float = 0.95,
        conf_method: Literal["wald", "profile"] = "wald",
        ddf: Ddf | Literal["none"] | None = None,
        scale: tidying.Scale = "sdcor",
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
        return tidying.tidy(
            self._results,
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
        return tidying.glance(self._results)

    def augment(self, data: Any = None) -> pd.DataFrame:
        """Return a row for each observation of the fit: the data, then what the model says of it.

        Parameters
        ----------
        data : frame, optional
            The data that the model was fitted to; matched by index. Without it the response and the grouping factors
            stand in front. Not changed.

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
        ['Reaction', 'Subject', '.fitted', '.resid', '.hat']
        """
        return tidying.augment(self._results, data)

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
        return Pictures(self._results)

    @property
    def _results(self) -> MixedResults:
        return cast("MixedResults", self)
