"""One-line doors from a fitted model to the questions of `inference/`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .errors import ModelError
from .fit import Fit
from .inference import contrasts
from .inference.degrees import Ddf
from .inference.likelihood_ratio import LikelihoodRatioTable, random_effects_anova

__all__ = ["Questions"]


class Questions:
    """What can be asked of a fit; `MixedResults` is this with the facts of the fit."""

    _fit: Fit

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
