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
from mixedfit.estimation.parameters import parameters_of, values_of, variance_parameters
from mixedfit.estimation.tables import coefficients, standard_errors
from mixedfit.inference.likelihood_ratio.tests import model_name, same_fixed

__all__ = ["ModelComparison", "compare_models", "comparison_notes", "named_models"]


@dataclass(frozen=True, eq=False)
class ModelComparison(NotebookTable):
    """Models side by side, one in each column. Prints as a table; `mixedfit.to_latex` and others convert it.

    Of posteriors the estimates are means and the standard errors are standard deviations.

    Attributes
    ----------
    names, formulas : tuple of str
    estimates, std_errors : pandas.DataFrame
        Fixed effects (rows) by models (columns); NaN if a model does not have the effect.
    variances : pandas.DataFrame
        Standard deviations, correlations and the residual SD by models.
    facts : pandas.DataFrame
        Models (rows) by method, nobs, logLik, AIC, BIC, n_parameters, converged; with posteriors elpd and elpd_se too.
        NaN for what a fit or a posterior does not have.
    groups : pandas.DataFrame
        Number of levels of each grouping factor by models; NaN if a model does not have the factor.
    notes : tuple of str
        Notes on comparisons that are not valid, and on singular fits.
    elpd : ElpdComparison or None
        Comparison of the posteriors with each other, if there are several.
    """

    names: tuple[str, ...]
    formulas: tuple[str, ...]
    estimates: pd.DataFrame
    std_errors: pd.DataFrame
    variances: pd.DataFrame
    facts: pd.DataFrame
    groups: pd.DataFrame
    notes: tuple[str, ...]
    elpd: ElpdComparison | None = None

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
        about.append(["Parameters", *("" if np.isnan(v) else f"{int(v)}" for v in facts["n_parameters"])])
        for title in ("logLik", "AIC", "BIC"):
            about.append([title, *("" if np.isnan(v) else f"{v:.1f}" for v in facts[title])])
        posteriors = "elpd" in facts
        if posteriors:
            pairs = zip(facts["elpd"], facts["elpd_se"], strict=True)
            about.append(["elpd_loo (SE)", *("" if np.isnan(v) else f"{v:.1f} ({e:.1f})" for v, e in pairs)])
        about.append(["Fitted by", *facts["method"].tolist()])
        if not facts["converged"].all():
            about.append(["Converged", *("yes" if v else "NO" for v in facts["converged"])])
        errors = "standard errors; SDs of posteriors" if posteriors else "standard errors"
        titles = (f"Fixed effects ({errors})", "Random effects", "Fit")
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


@overload
def compare_models(
    models: Iterable[Any] | Mapping[str, Any], *, names: Iterable[str] | None = None
) -> ModelComparison | ElpdComparison:
    """Return the table of fits and posteriors."""


@hinted
def compare_models(
    models: Iterable[Any] | Mapping[str, Any],
    *,
    names: Iterable[str] | None = None,
) -> ModelComparison | ElpdComparison:
    """Return a table of several fits, with coefficients and criteria, or of posteriors, with elpd and weights.

    Fits and posteriors together are set side by side, with the criteria of each kind and a note on what cannot be
    compared. Posteriors alone are compared by their expected log predictive densities: differences from the best with
    standard errors; stacking weights, which mix the predictive distributions best; and pseudo-BMA+ weights (Yao,
    Vehtari, Simpson & Gelman 2018, Bayesian Analysis 13:917).

    Parameters
    ----------
    models : sequence or mapping of str to MixedResults, Posterior or ExpectedDensity
        Fits, or fits and posteriors, in the order of the columns; or posteriors of the same data, by leave-one-out of
        rows, or what their `loo`, `waic` or `kfold` returned, such as ``posterior.loo(by="school")``.
    names : sequence of str, optional
        Names of the models; by default the keys of the mapping, or "model 1", "model 2", ….

    Returns
    -------
    ModelComparison or ElpdComparison

    Raises
    ------
    ModelError
        If there is no model, or there is not a different name for each model; if posteriors alone are of different
        data, or fits are mixed with what `loo` returned.

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
        heads = _heads(models, len(given), names)
        if any(hasattr(model, "_fit") for model in given):
            return _fits_and_posteriors(given, heads)
        return compare_densities(_densities(given, heads))
    fits, heads = named_fits(cast("Iterable[Fitted]", models), names)
    facts = pd.DataFrame([_facts(fit) for fit in fits], index=pd.Index(heads))
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


def _fits_and_posteriors(models: list[Any], heads: list[str]) -> ModelComparison:
    """Return fits and posteriors side by side, in the order given."""
    for model in models:
        if not isinstance(model, Posterior) and not hasattr(model, "_fit"):
            raise ModelError(
                f"compare_models was given fits and {type(model).__name__}; expected fits and posteriors: give "
                "the posterior itself, whose elpd is computed, or compare without the fits."
            )
    posteriors = {h: m for h, m in zip(heads, models, strict=True) if isinstance(m, Posterior)}
    fits = {h: fit_of(m) for h, m in zip(heads, models, strict=True) if h not in posteriors}
    densities, notes = _known_densities(posteriors)
    columns = [_column(posteriors.get(h, fits.get(h)), densities.get(h)) for h in heads]
    variances = _side_by_side([column.variances for column in columns], heads)
    residual = variances.index == "residual SD"
    designs = [fit.design for fit in fits.values()] + [own.design for own in posteriors.values()]
    differ = first_difference(designs)
    if differ and len(fits) < 2:
        what = "were fitted to different rows" if differ == "rows" else "have different responses"
        notes.append(f"The models {what}: their criteria cannot be compared.")
    elpd = compare_densities(densities) if len(densities) > 1 and not differ else None
    if elpd is not None:
        notes.append(_best_words(elpd))
    own = comparison_notes(list(fits.values()), list(fits))
    return ModelComparison(
        tuple(heads),
        tuple(column.formula for column in columns),
        _side_by_side([column.estimates for column in columns], heads),
        _side_by_side([column.errors for column in columns], heads),
        pd.concat([variances[~residual], variances[residual]]),
        pd.DataFrame([column.facts for column in columns], index=pd.Index(heads)),
        _side_by_side([column.groups for column in columns], heads),
        (
            "AIC and BIC are of the likelihood at the estimates, with the random effects integrated out; elpd_loo is "
            "of new rows given the random effects of their groups, averaged over the posterior. Compare fits with fits "
            "by AIC, and posteriors with posteriors by elpd.",
            *own,
            *notes,
        ),
        elpd,
    )


@dataclass(frozen=True, eq=False)
class _Column:
    """What a fit or a posterior has in the table."""

    formula: str
    estimates: pd.Series[float]
    errors: pd.Series[float]
    variances: pd.Series[float]
    groups: pd.Series[float]
    facts: dict[str, Any]


def _column(model: Any, density: ExpectedDensity | None) -> _Column:
    """Return the column of a fit or a posterior; `density` is the elpd of a posterior, if it is known."""
    nan = float("nan")
    if isinstance(model, Posterior):
        names = {p.long_name: p.words for p in variance_parameters(model.design)}
        fixed = [model.design.x_names[i] for i in model.kept]
        draws = {name: model[name] for name in model.names}
        facts = {"method": "posterior", "nobs": int(np.count_nonzero(model.design.counted))}
        facts |= dict.fromkeys(("logLik", "AIC", "BIC", "n_parameters"), nan)
        own = (nan, nan) if density is None else (density.elpd, density.se)
        differences = () if model.scales is None else model.scales.error_model.differences
        return _Column(
            "; ".join([model.design.formula.source, *differences]),
            pd.Series({name: float(draws[name].mean()) for name in fixed}, dtype=float),
            pd.Series({name: float(draws[name].std(ddof=1)) for name in fixed}, dtype=float),
            pd.Series(
                {names.get(n, n): float(v.mean()) for n, v in draws.items() if n not in fixed}, dtype=float
            ),
            pd.Series({block.name: float(block.levels) for block in model.design.blocks}, dtype=float),
            {**facts, "converged": not model.warnings, "elpd": own[0], "elpd_se": own[1]},
        )
    return _Column(
        model_name(model),
        coefficients(model),
        standard_errors(model),
        _standard_deviations(model),
        pd.Series(model.ngroups, dtype=float),
        {**_facts(model), "elpd": nan, "elpd_se": nan},
    )


def _known_densities(posteriors: Mapping[str, Posterior]) -> tuple[dict[str, ExpectedDensity], list[str]]:
    """Return the elpd of posteriors by leave-one-out, and notes on those that have none."""
    found, notes = {}, []
    for head, posterior in posteriors.items():
        try:
            found[head] = posterior.loo()
        except ModelError as error:
            notes.append(f"{head} has no elpd: {error}")
    doubtful = [head for head, own in found.items() if own.high.size]
    if doubtful:
        notes.append(
            f"elpd is not reliable for some rows of {', '.join(doubtful)}; see posterior.loo(refit=True)."
        )
    return found, notes


def _best_words(elpd: ElpdComparison) -> str:
    """Return which posterior predicts best, with the difference from the next."""
    first, second = elpd.table.index[:2]
    row = elpd.table.iloc[1]
    words = "predicts" if -row["difference"] > 2.0 * row["se_difference"] else "seems to predict"
    return (
        f"Of the posteriors {first} {words} best: {-row['difference']:.1f} of elpd more than {second} "
        f"(SE {row['se_difference']:.1f})."
    )


def _facts(fit: Fit) -> dict[str, Any]:
    """Return the row of a fit in `ModelComparison.facts`."""
    return {
        "method": "REML" if fit.reml else "ML",
        "nobs": fit.nobs,
        "logLik": fit.llf,
        "AIC": fit.aic,
        "BIC": fit.bic,
        "n_parameters": fit.n_parameters,
        "converged": fit.convergence.converged,
    }


def _densities(models: list[Any], heads: list[str]) -> dict[str, ExpectedDensity]:
    """Return the estimate of elpd of each posterior, by leave-one-out where it is not given."""
    for model in models:
        if not isinstance(model, Posterior | ExpectedDensity):
            raise ModelError(
                f"compare_models was given posteriors and {a_type(model)}; expected posteriors, what their loo() "
                "returned, or fits and posteriors."
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
    models: Fitted | Iterable[Fitted] | Mapping[str, Fitted], names: Iterable[str] | None
) -> tuple[list[Fit], list[str]]:
    """Return the fits and the heads of their columns."""
    found, heads = named_models(models, names, "compare_models", posteriors=False)
    return cast("list[Fit]", found), heads


def named_models(
    models: Any, names: Iterable[str] | None, caller: str, *, posteriors: bool = True
) -> tuple[list[Fit | Posterior], list[str]]:
    """Return fits, and posteriors where they are allowed, with the heads of their columns."""
    if hasattr(models, "_fit") or isinstance(models, Posterior):
        models = [models]
    if not isinstance(models, Mapping):
        models = list(models) if isinstance(models, Iterable) else [models]
    found = list(models.values()) if isinstance(models, Mapping) else models
    if not found:
        raise ModelError(f"{caller} needs at least one fit.")
    for model in found:
        if not hasattr(model, "_fit") and not (posteriors and isinstance(model, Posterior)):
            own = " Its own table is written by mf.to_docx, mf.to_latex, mf.to_markdown and mf.to_html."
            own = own if hasattr(model, "table") else ""
            expected = "fits or posteriors: model.fit(), model.gibbs()" if posteriors else "fits: model.fit()"
            raise ModelError(f"{caller} was given {a_type(model)}; expected {expected}.{own}")
    own_models = [model if isinstance(model, Posterior) else fit_of(model) for model in found]
    return own_models, _heads(models, len(found), names)


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
