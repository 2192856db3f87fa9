"""Adapter for the marginaleffects package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import ModelError
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fitted, fit_of
from mixedfit.estimation.tables import response_name
from mixedfit.inference.ddf import degrees_of_freedom

from .tidy import rows_of

__all__ = ["for_marginaleffects"]


def for_marginaleffects(fit: Fitted, data: Any) -> Any:
    """Return a model object for the ``marginaleffects`` package: predictions, comparisons and slopes of a fit.

    Predictions are population means (random effects are 0). With ``vcov=True`` standard errors use the covariance of
    the fixed effects, with ``vcov="kenward-roger"`` the adjusted one. Tests and intervals use the normal distribution,
    the default of that package; `MixedResults.emmeans` and `MixedResults.t_test` use degrees of freedom.

    Parameters
    ----------
    fit : MixedResults
    data : frame
        The data that the model was fitted to, because a fit does not keep all of them. Matched by index; not changed.

    Returns
    -------
    marginaleffects.classes.ModelAbstract
        First argument of the functions of marginaleffects.

    Raises
    ------
    ModelError
        If marginaleffects (0.6 or later) is not installed, or the fit cannot build the matrices of new rows.
    DataError
        If the data lack rows of the fit.

    Notes
    -----
    Pass ``eps_vcov=1e-3`` to the functions of marginaleffects. The step of their numerical derivatives is so small that
    standard errors of slopes may be wrong by a tenth. Predictions are linear in the coefficients, so a large step is
    exact. marginaleffects 0.6 needs polars below version 2.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> from marginaleffects import avg_slopes  # doctest: +SKIP
    >>> avg_slopes(mf.for_marginaleffects(fit, data), variables="Days", eps_vcov=1e-3)  # doctest: +SKIP
    """
    recipe = usable(fit_of(fit).design.recipe)
    if recipe.many:
        raise ModelError(
            "fits with a fixed factor of more than 200 levels cannot be passed to marginaleffects; use "
            "MixedResults.emmeans."
        )
    return _model_class()(fit, _vault(fit, data, recipe))


def _imported() -> tuple[Any, Any, Any]:
    """Return polars and the classes ModelAbstract and ModelVault of marginaleffects."""
    try:
        import polars as pl
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError:
        raise ModelError(
            "marginaleffects 0.6 or later is not installed; install it: pip install marginaleffects"
        ) from None
    return pl, ModelAbstract, ModelVault


def _kept(fit: Fitted) -> BoolArray:
    return np.asarray(fit_of(fit).kept, dtype=bool)


def _model_class() -> Any:
    """Return a subclass of marginaleffects' ModelAbstract; defined on call because the package is optional."""
    pl, base, _ = _imported()

    class MixedfitModel(base):  # type: ignore[misc, valid-type]
        """Adapter of a mixedfit model for marginaleffects."""

        def get_exog(self, newdata: Any) -> Array:
            recipe = usable(self.model._fit.design.recipe)
            return recipe.fixed_rows(newdata)[0][:, _kept(self.model)]

        def get_predict(self, params: Array, newdata: Any) -> Any:
            exog = newdata if isinstance(newdata, np.ndarray) else self.get_exog(newdata)
            values = exog @ np.asarray(params, dtype=float)
            return pl.DataFrame({"rowid": np.arange(values.size, dtype=np.int32), "estimate": values})

        def get_vcov(self, vcov: Any = True) -> Array | None:
            if vcov is False or vcov is None:
                return None
            ddf: Any = "normal" if vcov is True else vcov
            kept = _kept(self.model)
            return np.asarray(degrees_of_freedom(self.model._fit, ddf).covariance[np.ix_(kept, kept)])

        def get_df(self) -> float:
            return float("inf")

        def get_autodiff_args(self) -> dict[str, Any]:
            """Return that the model is linear, so that marginaleffects uses exact derivatives."""
            return {"model_type": "linear", "family": None, "link": None}

    return MixedfitModel


def _vault(fit: Fitted, data: Any, recipe: Recipe) -> Any:
    """Return marginaleffects' record of a model: coefficients, function that builds X, data."""
    pl, _, vault = _imported()
    kept = _kept(fit)
    response = response_name(fit_of(fit))
    names = list(recipe.fixed_names)
    frame = rows_of(data, fit_of(fit).design.index)
    others = [name for group in recipe.groups for name in group.columns if name not in names]
    columns: dict[str, Any] = {response: fit_of(fit).response}
    for name in [*names, *others]:
        columns[name] = _column(frame[name], recipe.variables.get(name), pl)
    return vault(
        coef=fit_of(fit).beta[kept],
        coefnames=np.array([n for n, k in zip(fit_of(fit).coefficient_names, kept, strict=True) if k]),
        formula=lambda newdata: (None, recipe.fixed_rows(newdata)[0][:, kept]),
        modeldata=pl.DataFrame(columns),
        package="mixedfit",
        variable_names=[response, *names],
    )


def _column(values: pd.Series[Any], variable: Any, pl: Any) -> Any:
    """Return a polars column; labels become an Enum with the levels of the fit in order."""
    if variable is not None and variable.levels is not None:
        return pl.Series(
            values.astype(str).tolist(), dtype=pl.Enum([str(level) for level in variable.levels])
        )
    if pd.api.types.is_numeric_dtype(values):
        return pl.Series(values.to_numpy())
    texts = values.astype(str)
    return pl.Series(texts.tolist(), dtype=pl.Enum(list(dict.fromkeys(texts))))
