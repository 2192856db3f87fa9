"""Several fits side by side in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.format import text_columns
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.parameters import parameters_of, values_of
from mixedfit.estimation.tables import coefficients, standard_errors
from mixedfit.inference.likelihood_ratio.tests import same_fixed

__all__ = ["ModelComparison", "compare_models"]


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Models side by side, a column a model. Prints a table; `mixedfit.to_latex` and its like write it.

    Attributes
    ----------
    names, formulas : tuple of str
    estimates, std_errors : pandas.DataFrame
        Fixed effects × models; NaN where a model lacks one.
    variances : pandas.DataFrame
        Standard deviations, correlations and residual SD × models.
    facts : pandas.DataFrame
        Models × method, nobs, logLik, AIC, BIC, n_parameters, converged.
    groups : pandas.DataFrame
        Levels of each grouping factor × models, NaN where a model lacks it.
    notes : tuple of str
        What must not be compared.
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
        """Return the table as text: for each part its title and rows of a label and a cell for each model."""
        fixed = [
            [str(name), *_with_errors(self.estimates.loc[name].tolist(), self.std_errors.loc[name].tolist())]
            for name in self.estimates.index
        ]
        variances = [
            [str(name), *_shown(str(name), self.variances.loc[name].tolist())]
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
        rows: list[list[str]] = []
        for number, (title, part) in enumerate(self.sections()):
            rows += ([[""] * (len(self.names) + 1)] if number else []) + [[title, *[""] * len(self.names)]]
            rows += [[f"  {row[0]}", *row[1:]] for row in part]
        heads = ["", *self.names]
        lines = text_columns(heads, [list(column) for column in zip(*rows, strict=True)], left=1)
        legend = [
            f"{name}: {text}" for name, text in zip(self.names, self.formulas, strict=True) if name != text
        ]
        return "\n".join([*lines, "", *legend, *self.notes])

    __repr__ = __str__


def _with_errors(estimates: list[float], errors: list[float]) -> list[str]:
    """Return estimates with their standard errors in brackets; decimals show the smallest error to three digits."""
    known = [e for e in errors if np.isfinite(e) and e > 0]
    decimals = int(np.clip(2 - np.floor(np.log10(min(known))), 0, 12)) if known else 4
    return [
        "" if not np.isfinite(b) else f"{b:.{decimals}f} ({e:.{decimals}f})"
        for b, e in zip(estimates, errors, strict=True)
    ]


def _shown(name: str, values: list[float]) -> list[str]:
    """Return values with the decimals that show the largest to four digits, correlations with two decimals."""
    if name.startswith("correlation of "):
        return ["" if not np.isfinite(v) else f"{v:.2f}" for v in values]
    largest = max((abs(v) for v in values if np.isfinite(v)), default=0.0)
    decimals = int(np.clip(3 - np.floor(np.log10(largest)), 0, 12)) if largest > 0 else 3
    return ["" if not np.isfinite(v) else f"{v:.{decimals}f}" for v in values]


def compare_models(
    models: Iterable[Fitted] | Mapping[str, Fitted], *, names: Iterable[str] | None = None
) -> ModelComparison:
    """Return several fits side by side: coefficients with standard errors, variance parameters, rows and criteria.

    Parameters
    ----------
    models : sequence of MixedResults, or mapping of names to them
        In the order of the columns.
    names : sequence of str, optional
        Heads of the columns; by default those of the mapping, or "model 1" and so on.

    Raises
    ------
    ModelError
        If there is no model, or the names do not fit.

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
    """
    fits, heads = _named(models, names)
    parameters = [parameters_of(fit) for fit in fits]
    columns = [coefficients(fit).rename(name) for fit, name in zip(fits, heads, strict=True)]
    errors = [standard_errors(fit).rename(name) for fit, name in zip(fits, heads, strict=True)]
    variances = []
    for fit, own, name in zip(fits, parameters, heads, strict=True):
        chosen = [p for p in own if p.kind != "fixed"]
        words = [p.words for p in chosen]
        if fit.held_sigma is not None:
            words, values = [*words, "residual SD"], [*values_of(fit, chosen), fit.sigma]
        else:
            values = list(values_of(fit, chosen))
        variances.append(pd.Series(values, index=pd.Index(words, dtype=object), name=name))
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
    groups = [pd.Series(fit.ngroups, name=name, dtype=float) for fit, name in zip(fits, heads, strict=True)]
    table = _side_by_side(variances)
    residual = [name for name in table.index if name == "residual SD"]
    return ModelComparison(
        tuple(heads),
        tuple(fit.formula for fit in fits),
        _side_by_side(columns),
        _side_by_side(errors),
        table.loc[[*(name for name in table.index if name != "residual SD"), *residual]],
        facts,
        _side_by_side(groups),
        _warnings(fits, heads),
    )


def _named(
    models: Iterable[Fitted] | Mapping[str, Fitted], names: Iterable[str] | None
) -> tuple[list[Fit], list[str]]:
    if hasattr(models, "_fit"):
        models = [cast("Fitted", models)]
    if isinstance(models, Mapping):
        fits, heads = list(models.values()), [str(name) for name in models]
    else:
        fits = list(models)
        heads = [f"model {number}" for number in range(1, len(fits) + 1)]
    if not fits:
        raise ModelError("compare_models needs at least one fit.")
    for fit in fits:
        if not hasattr(fit, "_fit"):
            raise ModelError(f"compare_models was given a {type(fit).__name__}; expected fits: model.fit().")
    if names is not None:
        heads = [str(name) for name in names]
    if len(heads) != len(fits) or len(set(heads)) != len(heads):
        raise ModelError(
            f"the names {heads} do not fit {len(fits)} models; expected a different name for each."
        )
    return [fit_of(fit) for fit in fits], heads


def _side_by_side(columns: list[pd.Series[float]]) -> pd.DataFrame:
    """Return columns beside each other, rows in the order in which they are first met."""
    order = list(dict.fromkeys(name for column in columns for name in column.index))
    return pd.DataFrame(
        {column.name: column.reindex(order).to_numpy(dtype=float) for column in columns},
        index=pd.Index(order, dtype=object),
    )


def _warnings(fits: list[Fit], heads: list[str]) -> tuple[str, ...]:
    first = fits[0]
    apart = "their likelihoods and criteria cannot be compared."
    if any(fit.nobs != first.nobs or not fit.design.index.equals(first.design.index) for fit in fits):
        notes = [f"The models are on different rows: {apart}"]
    elif any(not np.array_equal(fit.response, first.response) for fit in fits):
        notes = [f"The models have different responses: {apart}"]
    elif len({fit.reml for fit in fits}) > 1:
        notes = ["Criteria of REML and ML fits cannot be compared with each other."]
    elif first.reml and any(not same_fixed(first, fit) for fit in fits[1:]):
        notes = [
            "REML criteria of models with different fixed effects cannot be compared: fit by ML for that."
        ]
    else:
        notes = []
    flat = [head for head, fit in zip(heads, fits, strict=True) if fit.convergence.singular]
    if flat:
        notes.append(f"Converged on the boundary (a covariance without full rank): {', '.join(flat)}.")
    return tuple(notes)
