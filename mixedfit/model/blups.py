"""`BlupMethods`: the questions to a fit about errors of predicted random effects, one with another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from mixedfit.core.lazy import lazy
from mixedfit.core.other_programs import Hinted
from mixedfit.estimation.fit import Fit
from mixedfit.prediction.joint import (
    Effects,
    blup_covariance,
    blup_differences,
    heritability,
    prediction_covariance,
)
from mixedfit.prediction.predict import Predictor
from mixedfit.prediction.re_form import ReForm
from mixedfit.prediction.rows import NewLevels

__all__ = ["BlupMethods"]


class BlupMethods(Hinted):
    """Covariances and differences of predictions; `MixedResults` inherits them."""

    _fit: Fit

    @lazy
    def _predictor(self) -> Predictor:
        """Keeps the factorisation behind standard errors."""
        return Predictor(self._fit)

    def blup_cov(
        self,
        group: str,
        effects: str | Sequence[str] | None = None,
        levels: Sequence[Hashable] | None = None,
    ) -> pd.DataFrame:
        """Return the covariance matrix of the prediction errors b̂ − b of random effects, between levels too.

        `random_effects_cov` is the covariance given y and β, level by level, as in lme4. This one also holds the
        uncertainty of β̂ (Henderson 1975, Biometrics 31:423), which is what errors of levels have in common.

        Parameters
        ----------
        group : str
            A grouping factor.
        effects : str or sequence of str, optional
            Effects of one level, such as "Days"; all by default.
        levels : sequence of labels, optional
            Some levels; all by default.

        Returns
        -------
        pandas.DataFrame
            Rows and columns are levels if there is one effect, else pairs (level, effect).

        Raises
        ------
        ModelError
            If a name is unknown, or there are more than 5,000 effects.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> fit.blup_cov("Batch", levels=["A", "B"]).round(1).to_numpy().tolist()
        [[613.7, 230.1], [230.1, 613.7]]
        """
        chosen = Effects.of(self._fit, group, effects, levels)
        values = blup_covariance(self._fit, self._predictor.joint, chosen)
        names = self._fit.design.blocks[chosen.block].effects
        if len(chosen.effects) == 1:
            index: pd.Index[Any] = pd.Index(chosen.levels, name=group)
        else:
            index = pd.MultiIndex.from_product(
                [chosen.levels, [names[i] for i in chosen.effects]], names=["level", "effect"]
            )
        return pd.DataFrame(values, index=index, columns=index)

    def blup_differences(
        self,
        group: str,
        effects: str | Sequence[str] | None = None,
        levels: Sequence[Hashable] | None = None,
        *,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return differences of predicted random effects of all pairs of levels, with standard errors and limits.

        Parameters
        ----------
        group, effects, levels
            As in `blup_cov`.
        level : float
            Coverage of each interval, by quantiles of the normal distribution.

        Returns
        -------
        pandas.DataFrame
            Columns effect, level, other, estimate (level less other), std_error, lower, upper. Standard errors are
            those of prediction errors, given the variance parameters.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> fit.blup_differences("Batch", levels=["A", "E"]).round(1)
                effect level other  estimate  std_error  lower  upper
        0  (Intercept)     A     E     -74.3       27.7 -128.6  -20.0
        """
        chosen = Effects.of(self._fit, group, effects, levels)
        return blup_differences(self._fit, self._predictor.joint, chosen, level=level)

    def heritability(self, group: str, effect: str = "(Intercept)") -> pd.Series[float]:
        """Return Cullis's heritability of the levels of a grouping factor, 1 − v̄/(2σ²_g).

        With known relationships 2σ²_g is replaced by the mean variance of a difference before the data are seen. The
        heritability of an animal model, a share of variances, is in `diagnostics.icc`.

        v̄ is the mean variance of a difference of two BLUPs and σ²_g the variance of the levels (Cullis, Smith & Coombes
        2006, J. Agric. Biol. Environ. Stat. 11:381).

        Parameters
        ----------
        group : str
        effect : str
            Effect whose heritability is returned.

        Returns
        -------
        pandas.Series
            variance (σ²_g), mean_variance_of_difference (v̄), cullis, and mean_reliability (1 − the mean variance of a
            prediction error over σ²_g, or over A_jj σ²_g with known relationships). Heritabilities are 0 if the
            variance is.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> round(float(fit.heritability("Batch")["cullis"]), 3)
        0.783
        """
        return heritability(self._fit, self._predictor.joint, group, effect)

    def prediction_cov(
        self,
        newdata: Any = None,
        *,
        re_form: ReForm = "all",
        new_levels: NewLevels = "error",
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return the covariance matrix of the errors of predicted means, given the variance parameters.

        The standard error of a difference of two predictions is √(C₁₁ + C₂₂ − 2C₁₂); the roots of the diagonal are
        the standard errors of `predict(se=True)`.

        Parameters
        ----------
        newdata, re_form, new_levels, offset
            As in `predict`.

        Returns
        -------
        pandas.DataFrame
            Rows and columns are the rows of the data, at most 5,000; NaN where a predictor is missing or
            the data do not determine the mean.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> new = {"Days": [0, 9], "Subject": ["308", "308"]}
        >>> fit.prediction_cov(new).round(1)
               0      1
        0  150.2  -50.0
        1  -50.0  192.0
        """
        return prediction_covariance(
            self._predictor,
            newdata,
            re_form=re_form,
            new_levels=new_levels,
            offset=offset,
        )
