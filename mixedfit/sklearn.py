"""Linear mixed models as a regressor of scikit-learn (extra "sklearn").

``MixedRegressor(formula)`` has `fit`, `predict` and `score`, and works in `Pipeline`, `cross_val_score` with
`GroupKFold`, `GridSearchCV`, `clone` and `joblib`. The fit itself is `result_`, with everything else that a fit has.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        'mixedfit.sklearn needs scikit-learn 1.6 or newer: pip install "mixedfit[sklearn]"'
    ) from error

from .core.arrays import Array
from .core.errors import DataError, FormulaError
from .design.model_frame import needed_columns
from .formula.parse import parse_formula
from .model.lmm import lmm

__all__ = ["MixedRegressor"]


class MixedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Linear mixed model with scikit-learn's methods.

    Parameters
    ----------
    formula : str, optional
        lme4's formula, whose names are columns of X: ``"~ Days + (Days | Subject)"``. A left side is allowed; it must
        be one name, and y takes it. By default all columns of X are fixed effects and there are no random ones.
        Columns of an X without names are x0, x1, ….
    reml : bool
        Whether to estimate variances by REML, or by maximum likelihood.
    re_form : {"all", "none"} or str
        Random effects in predictions: all, none, or those of a formula; see `MixedResults.predict`.
    new_levels : {"population", "error", "marginal"}
        What to predict for levels that the fit has not seen: the mean of the population, or nothing but an error; see
        `MixedResults.predict`.

    Attributes
    ----------
    result_ : MixedResults
        The fit.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Names of the columns of X, if it has names.

    Notes
    -----
    A grouping factor is a column of X, so a `ColumnTransformer` before the model has to pass it on, and the result has
    to be a frame: ``pipeline.set_output(transform="pandas")``. For a transformed response use
    `TransformedTargetRegressor`. ``sample_weight`` are the weights of `lmm`: Var(ε_i) = σ²/w_i.

    Examples
    --------
    >>> import mixedfit as mf
    >>> from mixedfit.sklearn import MixedRegressor
    >>> data = mf.load_dataset("sleepstudy")
    >>> model = MixedRegressor("~ Days + (Days | Subject)").fit(data[["Days", "Subject"]], data["Reaction"])
    >>> model.predict(data[["Days", "Subject"]])[:2].round(1)
    array([253.7, 273.3])
    >>> model.result_.params.round(2).tolist()
    [251.41, 10.47]
    """

    def __init__(
        self,
        formula: str | None = None,
        *,
        reml: bool = True,
        re_form: str = "all",
        new_levels: Literal["error", "population", "marginal"] = "population",
    ) -> None:
        self.formula = formula
        self.reml = reml
        self.re_form = re_form
        self.new_levels = new_levels

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MixedRegressor:
        """Fit the model.

        Parameters
        ----------
        X : frame or array, shape (rows, columns)
            Columns of the formula, grouping factors included. Not changed.
        y : array, shape (rows,)
        sample_weight : array, shape (rows,), optional

        Returns
        -------
        MixedRegressor

        Raises
        ------
        FormulaError, DataError, ModelError
            As `lmm`; DataError if a value is missing.
        """
        if y is None:
            raise DataError("this MixedRegressor requires y to be passed, but the target y is None.")
        frame, response = self._frame(X, y)
        formula, name = self._formula(frame)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=float)
        if weights is not None and not np.any(weights):
            raise DataError("every sample_weight is zero; expected a positive weight for one row at least.")
        data = frame.assign(**{name: response})
        _check_complete(X, data, formula, name)
        self.result_ = lmm(formula, data, weights=weights, missing="raise").fit(reml=self.reml)
        return self

    def predict(self, X: Any) -> Array:
        """Return predictions of rows, shape (rows,).

        Parameters
        ----------
        X : frame or array, shape (rows, columns)
        """
        check_is_fitted(self)
        if not hasattr(X, "columns") and hasattr(self, "feature_names_in_"):
            raise DataError(
                f"predict was given an array and fit a frame; give a frame with the columns "
                f"{', '.join(self.feature_names_in_)}."
            )
        frame, _ = self._frame(X)
        found = self.result_.predict(frame, re_form=self.re_form, new_levels=self.new_levels)
        return np.asarray(found, dtype=float)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of the predictions: 1 less their squared errors over those of the mean of y.

        Parameters
        ----------
        X : frame or array, shape (rows, columns)
        y : array, shape (rows,)
        sample_weight : array, shape (rows,), optional
        """
        return float(super().score(X, y, sample_weight))

    def _frame(self, X: Any, y: Any = None) -> tuple[pd.DataFrame, Array | None]:
        """Return X as a frame with names, and y; X and y are checked as scikit-learn does."""
        reset = y is not None
        if not hasattr(X, "columns"):
            if reset:
                X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
            else:
                X = validate_data(self, X, reset=False, dtype=np.float64)
            return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]), y
        validate_data(self, X, reset=reset, skip_check_array=True)
        frame = X.to_pandas() if hasattr(X, "to_pandas") else X
        frame = frame.reset_index(drop=True).set_axis([str(name) for name in frame.columns], axis=1)
        return frame, None if y is None else np.asarray(y, dtype=float).reshape(len(frame))

    def _formula(self, frame: pd.DataFrame) -> tuple[str, str]:
        """Return the formula with a response, and the response's name, which is none of X."""
        if self.formula is None:
            left, right = "", " + ".join(_quoted(name) for name in frame.columns) or "1"
        else:
            left, _, right = self.formula.rpartition("~")
        name = left.strip()
        if name and not name.isidentifier():
            raise FormulaError(
                f"the response {name!r} of a MixedRegressor is not one name; y is given to fit(), so write "
                f"'~ {right.strip()}', and use TransformedTargetRegressor for a transformed response."
            )
        if not name:
            name = next(text for k in range(len(frame.columns) + 1) if (text := "y" + "_" * k) not in frame)
        return f"{name} ~ {right.strip()}", name


def _check_complete(X: Any, data: pd.DataFrame, formula: str, response: str) -> None:
    """Raise `DataError` if an array lacks the formula's names, or a column of the formula has missing values."""
    names = [name for name in data.columns if name != response]
    try:
        needed = needed_columns(parse_formula(formula), [*names, response], None)
    except FormulaError:
        if hasattr(X, "columns"):
            raise
        raise DataError(
            f"X is an array, whose columns are called {', '.join(names)}, and the formula {formula!r} has "
            "other names. Give a frame with its columns."
        ) from None
    lost = {name: int(data[name].isna().sum()) for name in needed if data[name].isna().any()}
    if lost:
        listed = ", ".join(f"{'y' if name == response else name}: {count}" for name, count in lost.items())
        raise DataError(
            f"missing values ({listed}). A regressor predicts every row, so it drops none: leave these rows out of X "
            "and y, or put an imputer before it in the pipeline."
        )


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f'Q("{name}")'
