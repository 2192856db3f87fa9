"""Table of several fits: coefficients with standard errors, variance parameters, sizes and criteria."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast, overload

import numpy as np
import pandas as pd

from mixedfit.bayes.criticism.comparison import ElpdComparison, compare_densities
from mixedfit.bayes.criticism.elpd import ExpectedDensity
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import ModelError, a_type
from mixedfit.core.format import decimals_of_error, decimals_of_size, text_columns
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.other_programs import hinted
from mixedfit.core.tables import Table
from mixedfit.design.same_rows import first_difference
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.parameters import parameters_of, values_of
from mixedfit.estimation.tables import coefficients, standard_errors
from mixedfit.inference.likelihood_ratio.tests import model_name, same_fixed

__all__ = ["ModelComparison", "compare_models", "comparison_notes", "named_fits"]


@dataclass(frozen=True, eq=False)
class ModelComparison(NotebookTable):
    """Models side by side, one in each column. Prints as a table; `mixedfit.to_latex` and others convert it.

    Attributes
    ----------
    names, formulas : tuple of str
    estimates, std_errors : pandas.DataFrame
        Fixed effects (rows) by models (columns); NaN if a model does not have the effect.
    variances : pandas.DataFrame
        Standard deviations, correlations and the residual SD by models.
    facts : pandas.DataFrame
        Models (rows) by method, nobs, logLik, AIC, BIC, n_parameters, converged.
    groups : pandas.DataFrame
        Number of levels of each grouping factor by models; NaN if a model does not have the factor.
    notes : tuple of str
        Notes on comparisons that are not valid, and on singular fits.
    """

    names: tuple[str, ...]
    formulas: tuple[str, ...]
    estimates: pd.DataFrame
    std_errors: pd.DataFrame
    variances: pd.DataFrame
    facts: pd.DataFrame
    groups: pd.DataFrame
    notes: tuple[str, ...]

    def sections(self) -> list[tuple[str, list[list[str]]]]:
        """Return the sections of the table as text: a title, and rows of a label and one cell for each model."""
        fixed = [
            [str(name), *_with_errors(self.estimates.loc[name].tolist(), self.std_errors.loc[name].tolist())]
            for name in self.estimates.index
        ]
        variances = [
            [str(name), *_formatted(str(name), self.variances.loc[name].tolist())]
            for name in self.variances.index
        ]
        facts = self.facts
        about = [["Rows", *(f"{int(v)}" for v in facts["nobs"])]]
        for name in self.groups.index:
            counts = self.groups.loc[name]
            about.append([f"Levels of {name}", *("" if np.isnan(v) else f"{int(v)}" for v in counts)])
        about.append(["Parameters", *(f"{int(v)}" for v in facts["n_parameters"])])
        for title in ("logLik", "AIC", "BIC"):
            about.append([title, *(f"{v:.1f}" for v in facts[title])])
        about.append(["Fitted by", *facts["method"].tolist()])
        if not facts["converged"].all():
            about.append(["Converged", *("yes" if v else "NO" for v in facts["converged"])])
        titles = ("Fixed effects (standard errors)", "Random effects", "Fit")
        return [(t, rows) for t, rows in zip(titles, (fixed, variances, about), strict=True) if rows]

    def __str__(self) -> str:
        blank = [""] * len(self.names)
        rows: list[list[str]] = []
        for title, part in self.sections():
            rows += [["", *blank], [title, *blank], *([f"  {row[0]}", *row[1:]] for row in part)]
        columns = [list(column) for column in zip(*rows[1:], strict=True)]
        return "\n".join(
            [*text_columns(["", *self.names], columns, left=1), "", *self._legend(), *self.notes]
        )

    def _legend(self) -> list[str]:
        """Return a line with the formula of each model whose name is not the formula."""
        named = zip(self.names, self.formulas, strict=True)
        return [f"{name}: {formula}" for name, formula in named if name != formula]

    def _tables(self) -> list[Table]:
        """Return the table for `mixedfit.to_latex` and others."""
        rows = [tuple(row) for title, part in self.sections() for row in ([title], *part)]
        notes = (*self._legend(), *self.notes)
        return [Table("Models side by side", ("", *self.names), tuple(rows), 1, notes)]

    __repr__ = __str__


def _with_errors(estimates: list[float], errors: list[float]) -> list[str]:
    """Return estimates with standard errors in brackets, with decimals that show the smallest error to three digits."""
    found = decimals_of_error(errors)
    decimals = 4 if found is None else found
    return [
        "" if not np.isfinite(b) else f"{b:.{decimals}f} ({e:.{decimals}f})"
        for b, e in zip(estimates, errors, strict=True)
    ]


def _formatted(name: str, values: list[float]) -> list[str]:
    """Return values as text, with decimals that show the largest to four digits; correlations with two decimals."""
    decimals = 2 if name.startswith("correlation of ") else decimals_of_size(values, 4)
    return ["" if not np.isfinite(v) else f"{v:.{decimals}f}" for v in values]


Sampled = Posterior | ExpectedDensity
"""What is compared by elpd."""


@overload
def compare_models(
    models: Iterable[Sampled] | Mapping[str, Sampled], *, names: Iterable[str] | None = None
) -> ElpdComparison:
    """Return the table of posteriors."""


@overload
def compare_models(
    models: Iterable[Fitted] | Mapping[str, Fitted], *, names: Iterable[str] | None = None
) -> ModelComparison:
    """Return the table of fits."""


@hinted
def compare_models(
    models: Iterable[Fitted | Sampled] | Mapping[str, Fitted] | Mapping[str, Sampled],
    *,
    names: Iterable[str] | None = None,
) -> ModelComparison | ElpdComparison:
    """Return a table of several fits, with coefficients and criteria, or of posteriors, with elpd and weights.

    Posteriors are compared by their expected log predictive densities: differences from the best with standard
    errors; stacking weights, which mix the predictive distributions best; and pseudo-BMA+ weights (Yao, Vehtari,
    Simpson & Gelman 2018, Bayesian Analysis 13:917).

    Parameters
    ----------
    models : sequence or mapping of str to MixedResults, Posterior or ExpectedDensity
        Fits, in the order of the columns; or posteriors of the same data, by leave-one-out of rows, or
        what their `loo`, `waic` or `kfold` returned, such as ``posterior.loo(by="school")``.
    names : sequence of str, optional
        Names of the models; by default the keys of the mapping, or "model 1", "model 2", ….

    Returns
    -------
    ModelComparison or ElpdComparison

    Raises
    ------
    ModelError
        If there is no model, or there is not a different name for each model; if fits and posteriors are mixed, or
        posteriors are of different data.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> one = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    >>> two = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> compared = mf.compare_models({"intercepts": one, "slopes": two})
    >>> compared.std_errors.round(2)
                 intercepts  slopes
    (Intercept)        9.75    6.82
    Days               0.80    1.55

    >>> formulas = {"intercepts": "Reaction ~ Days + (1 | Subject)", "slopes": "Reaction ~ Days + (Days | Subject)"}
    >>> posteriors = {name: mf.lmm(formula, data).gibbs(seed=1) for name, formula in formulas.items()}
    >>> mf.compare_models(posteriors).table["stacking"].idxmax()
    'slopes'
    """
    if not isinstance(models, Mapping) and isinstance(models, Iterable):
        models = list(models)
    given = list(models.values()) if isinstance(models, Mapping) else models
    if isinstance(given, list) and any(isinstance(model, Posterior | ExpectedDensity) for model in given):
        return compare_densities(_densities(given, _heads(models, len(given), names)))
    fits, heads = named_fits(cast("Iterable[Fitted]", models), names)
    facts = pd.DataFrame(
        {
            "method": ["REML" if fit.reml else "ML" for fit in fits],
            "nobs": [fit.nobs for fit in fits],
            "logLik": [fit.llf for fit in fits],
            "AIC": [fit.aic for fit in fits],
            "BIC": [fit.bic for fit in fits],
            "n_parameters": [fit.n_parameters for fit in fits],
            "converged": [fit.convergence.converged for fit in fits],
        },
        index=pd.Index(heads),
    )
    variances = _side_by_side([_standard_deviations(fit) for fit in fits], heads)
    residual = variances.index == "residual SD"
    return ModelComparison(
        tuple(heads),
        tuple(model_name(fit) for fit in fits),
        _side_by_side([coefficients(fit) for fit in fits], heads),
        _side_by_side([standard_errors(fit) for fit in fits], heads),
        pd.concat([variances[~residual], variances[residual]]),
        facts,
        _side_by_side([pd.Series(fit.ngroups, dtype=float) for fit in fits], heads),
        comparison_notes(fits, heads),
    )


def _densities(models: list[Any], heads: list[str]) -> dict[str, ExpectedDensity]:
    """Return the estimate of elpd of each posterior, by leave-one-out where it is not given."""
    for model in models:
        if not isinstance(model, Posterior | ExpectedDensity):
            raise ModelError(
                f"compare_models was given posteriors and {a_type(model)}; compare posteriors with "
                "each other, or fits with each other."
            )
    found = [model.loo() if isinstance(model, Posterior) else model for model in models]
    return dict(zip(heads, found, strict=True))


def _standard_deviations(fit: Fit) -> pd.Series[float]:
    """Return the standard deviations and correlations of a fit, and the residual SD even if it was held."""
    chosen = [p for p in parameters_of(fit) if p.kind != "fixed"]
    out = dict(zip((p.words for p in chosen), values_of(fit, chosen), strict=True))
    if fit.held_sigma is not None:
        out["residual SD"] = fit.sigma
    return pd.Series(out, dtype=float)


def named_fits(
    models: Fitted | Iterable[Fitted] | Mapping[str, Fitted],
    names: Iterable[str] | None,
    caller: str = "compare_models",
) -> tuple[list[Fit], list[str]]:
    """Return the fits and the heads of their columns."""
    if hasattr(models, "_fit"):
        models = [cast("Fitted", models)]
    if not isinstance(models, Mapping):
        models = list(models) if isinstance(models, Iterable) else [models]
    fits = list(models.values()) if isinstance(models, Mapping) else models
    if not fits:
        raise ModelError(f"{caller} needs at least one fit.")
    for fit in fits:
        if not hasattr(fit, "_fit"):
            own = " Its own table is written by mf.to_docx, mf.to_latex, mf.to_markdown and mf.to_html."
            own = own if hasattr(fit, "table") else ""
            raise ModelError(f"{caller} was given {a_type(fit)}; expected fits: model.fit().{own}")
    return [fit_of(fit) for fit in fits], _heads(models, len(fits), names)


def _heads(models: Any, count: int, names: Iterable[str] | None) -> list[str]:
    """Return the names given, the keys of a mapping, or numbers of the models."""
    heads = [f"model {number}" for number in range(1, count + 1)]
    if names is not None or isinstance(models, Mapping):
        heads = [str(name) for name in (models if names is None else names)]
    if len(heads) != count or len(set(heads)) != count:
        raise ModelError(
            f"there are {count} models and the names {heads}; expected a different name for each model."
        )
    return heads


def _side_by_side(columns: list[pd.Series[float]], heads: list[str]) -> pd.DataFrame:
    """Return a frame of columns with these heads; rows are in the order of first appearance."""
    order = list(dict.fromkeys(name for column in columns for name in column.index))
    return pd.DataFrame(
        {h: column.reindex(order).to_numpy(dtype=float) for h, column in zip(heads, columns, strict=True)},
        index=pd.Index(order, dtype=object),
    )


def comparison_notes(fits: list[Fit], heads: list[str]) -> tuple[str, ...]:
    """Return notes on comparisons that are not valid, and on singular fits."""
    first = fits[0]
    invalid = "their likelihoods and criteria cannot be compared."
    differ = first_difference([fit.design for fit in fits])
    if differ == "rows" or any(fit.nobs != first.nobs for fit in fits):
        notes = [f"The models were fitted to different rows: {invalid}"]
    elif differ == "response":
        notes = [f"The models have different responses: {invalid}"]
    elif len({fit.reml for fit in fits}) > 1:
        notes = ["Criteria of REML and ML fits cannot be compared with each other."]
    elif first.reml and any(not same_fixed(first, fit) for fit in fits[1:]):
        notes = [
            "REML criteria of models with different fixed effects cannot be compared; fit the models by ML."
        ]
    else:
        notes = []
    singular = [head for head, fit in zip(heads, fits, strict=True) if fit.convergence.singular]
    if singular:
        notes.append(f"Converged on the boundary (singular covariance): {', '.join(singular)}.")
    return tuple(notes)
