"""Methods of `MixedResults` that predict and simulate."""

from __future__ import annotations

from typing import Any, Literal, overload

import pandas as pd

from mixedfit.prediction.forecast import forecast
from mixedfit.prediction.predict import Interval, PredictionDdf
from mixedfit.prediction.re_form import ReForm
from mixedfit.prediction.rows import NewLevels
from mixedfit.prediction.scorer import Scorer

from .blups import BlupMethods

__all__ = ["PredictionMethods"]


class PredictionMethods(BlupMethods):
    """Predictions, forecasts and simulated responses; `MixedResults` inherits them."""

    def scorer(self, *, re_form: ReForm = "all", new_levels: NewLevels = "error") -> Scorer:
        """Return a function that predicts single rows in microseconds, and many rows in batches.

        Its numbers are those of `predict`. It works for a fit that was saved without rows.

        Parameters
        ----------
        re_form, new_levels
            As in `predict`.

        Returns
        -------
        Scorer
            Takes a row as a mapping, a list of rows, or a frame; ``.batches(source)`` and ``.to_parquet(source, path)``
            read sources as `lmm` does.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> score = fit.scorer()
        >>> round(score({"Days": 10, "Subject": "308"}), 1)
        450.3
        """
        return Scorer(self._predictor.means, re_form, new_levels)

    @overload
    def predict(
        self,
        newdata: Any = None,
        *,
        re_form: ReForm = "all",
        new_levels: NewLevels = "error",
        se: Literal[False] = False,
        interval: None = None,
        level: float = 0.95,
        ddf: PredictionDdf = "normal",
        weights: Any = None,
        offset: Any = None,
    ) -> pd.Series[float]: ...

    @overload
    def predict(
        self,
        newdata: Any = None,
        *,
        re_form: ReForm = "all",
        new_levels: NewLevels = "error",
        se: bool = False,
        interval: Interval | None = None,
        level: float = 0.95,
        ddf: PredictionDdf = "normal",
        weights: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        newdata: Any = None,
        *,
        re_form: ReForm = "all",
        new_levels: NewLevels = "error",
        se: bool = False,
        interval: Interval | None = None,
        level: float = 0.95,
        ddf: PredictionDdf = "normal",
        weights: Any = None,
        offset: Any = None,
    ) -> pd.Series[float] | pd.DataFrame:
        """Return predictions for rows of the fit or for new ones: a Series, or a table with errors and limits.

        The standard error is that of x(β̂ − β) + z(b̂ − b) with the joint covariance of fixed and random effects
        (Henderson 1975, Biometrics 31:423), given the variances. With ``ddf="kenward-roger"`` it also holds what is not
        known of these (Kackar & Harville 1984, J. Am. Stat. Assoc. 79:853; Prasad & Rao 1990, 85:163).

        Parameters
        ----------
        newdata : pandas or polars frame, pyarrow table or mapping of arrays, optional
            New rows; those of the fit by default. Transforms in the formula are those learnt in the fit. Only columns
            that the prediction needs must be there; a missing value in one of them gives a missing prediction.
        re_form : str or sequence of str
            The random effects to take in: "all" (lme4's NULL), "none" (NA: the population mean), ``"~ (1 | g)"``, or a
            list of terms or of names of grouping factors. The others count as 0 in the mean.
        new_levels : {"error", "population", "marginal"}
            What to do with levels that the fit did not see: refuse them; set their effects to 0; or predict for a
            level drawn at random, with mean 0 and its variance in the errors.
        se : bool
            Whether to return standard errors.
        interval : {"confidence", "prediction"}, optional
            Of the mean xβ + zb, or of a new response, which adds the residual variance and that of random effects
            left out by `re_form` (unless `new_levels` is "population").
        level : float
            Coverage.
        ddf : {"normal", "satterthwaite", "kenward-roger", "residual"} or KenwardRoger
            Quantiles of intervals: of the normal distribution, or of t distributions whose degrees of freedom say how
            well the interval's variance is known. Satterthwaite's, row by row, matter for new levels where the fit
            saw few; they take two more factorisations for each variance parameter. Kenward and Roger's also widen
            the standard errors, for REML fits (two more again); variances estimated as 0 count as known.
        weights : str, number or array, optional
            Of new responses: Var(ε) = σ²/w. Needed for prediction intervals of new rows if the fit has weights.
        offset : str, number or array, optional
            Of new rows, if the offset of the fit was an array.

        Returns
        -------
        pandas.Series or pandas.DataFrame
            On the index of the rows. The Series is called mean; the table, returned with `se` or `interval`, has
            columns mean, se (of the mean, whatever the interval), df unless they are infinite, lower, upper.

        Raises
        ------
        DataError
            If a column is missing or of another kind than in the fit, a fixed factor has a value that the fit did not
            have, or a grouping factor has a new level and these are an error.
        ModelError, FormulaError
            If an option is not known, or `re_form` names effects that the model does not have.

        Warns
        -----
        PredictionWarning
            Where the data do not determine a mean because columns of X were dropped; it is NaN.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> new = {"Days": [10, 10], "Subject": ["308", "999"]}
        >>> fit.predict(new, new_levels="marginal", interval="prediction").round(1)
            mean    se  lower  upper
        0  450.3  15.9  391.3  509.3
        1  356.1  67.6  214.4  497.7
        """
        made: Any = self._predictor.predict(
            newdata,
            re_form=re_form,
            new_levels=new_levels,
            se=se,
            interval=interval,
            level=level,
            ddf=ddf,
            weights=weights,
            offset=offset,
        )
        shown: pd.Series[float] | pd.DataFrame = (
            self._fit.design.on_all_rows(made) if newdata is None else made
        )
        return shown

    def forecast(
        self, newdata: Any, *, level: float = 0.95, weights: Any = None, offset: Any = None
    ) -> pd.DataFrame:
        """Return forecasts of new responses that use their residual correlation with the rows of the fit.

        `predict` gives the mean Xβ + Zb, to which a residual correlation adds what the residuals of a group's past rows
        say about its next. New groups have the mean of the population and its variance. Rows at a time of their group
        that is in the data get the response of the data with se 0, and a warning: `predict` has fitted values.

        Parameters
        ----------
        newdata : frame or mapping of arrays
            With the columns of the formula and of the residual structure. Without a time column new rows follow the
            last row of their group.
        level : float
            Coverage of the limits.
        weights, offset
            As in `predict`.

        Returns
        -------
        pandas.DataFrame
            Columns mean, se (of the error of the forecast of a response, at the estimated variances), lower, upper.

        Raises
        ------
        ModelError
            If the fit has no residual structure.
        DataError
            If a column is missing, or has a visit or level that the fit did not have.

        Examples
        --------
        >>> import mixedfit as mf
        >>> data = mf.load_dataset("sleepstudy")
        >>> fit = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject")).fit()
        >>> fit.forecast({"Days": [10, 20], "Subject": ["308", "308"]}).round(1)
            mean    se  lower  upper
        0  453.1  29.9  394.5  511.8
        1  473.2  56.1  363.2  583.2
        """
        return forecast(self._fit, newdata, level=level, weights=weights, offset=offset)

    def simulate(
        self,
        n: int = 1,
        *,
        seed: object = None,
        re_form: ReForm = "none",
        newdata: Any = None,
        new_levels: NewLevels = "error",
        weights: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return responses drawn from the fitted model.

        Parameters
        ----------
        n : int
            Number of draws.
        seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
            The same seed gives the same numbers, and fewer draws are the first of more.
        re_form : str or sequence of str
            The random effects that are held at their predictions (BLUPs): by default "none", so that those of every
            level are drawn anew; "all" varies the residuals only. As in `predict`.
        newdata : pandas or polars frame, pyarrow table or mapping of arrays, optional
            New rows; those of the fit by default. Rows of one level share its effects, of a new level too.
        new_levels : {"error", "population", "marginal"}
            What to do with new levels of effects that are held: refuse them, set their effects to 0, or draw them.
        weights, offset
            Of new rows, as in `predict`.

        Returns
        -------
        pandas.DataFrame
            A row for each row of the data, columns sim_1, sim_2, …; NaN where a predictor is missing. Rows of weight
            0 get no residual.

        Raises
        ------
        DataError, ModelError
            As `predict`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
        >>> fit.simulate(1000, seed=1).shape
        (30, 1000)
        """
        drawn = self._predictor.simulate(
            n,
            seed=seed,
            re_form=re_form,
            newdata=newdata,
            new_levels=new_levels,
            weights=weights,
            offset=offset,
        )
        return self._fit.design.on_all_rows(drawn) if newdata is None else drawn
