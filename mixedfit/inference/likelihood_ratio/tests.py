"""Likelihood-ratio tests: of a sequence of nested models, and of each random term.

If the null hypothesis sets a variance to 0, on the boundary, the statistic is not distributed as a chi-square. For one
variance and its covariances it is an equal mixture of chi-squares on df and df − 1 degrees of freedom (Self & Liang
1987, J. Am. Stat. Assoc. 82:605; Stram & Lee 1994, Biometrics 50:1171).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from mixedfit.core.errors import ModelError
from mixedfit.core.format import TABLE_WIDTH, format_column, format_p_values, text_columns, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.design.same_rows import first_difference
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.fitting import fit_design
from mixedfit.estimation.labels import FitNames, names_of

from .smaller_models import not_nested, reductions

__all__ = ["LikelihoodRatioTable", "likelihood_ratio", "model_name", "random_effects_anova"]


@dataclass(frozen=True, eq=False)
class LikelihoodRatioTable(NotebookTable):
    """Likelihood-ratio tests, a row for each model.

    Attributes
    ----------
    table : pandas.DataFrame
        Number of parameters, fit and tests of the models.
    notes : tuple of str
        Refits, and the reference distributions of the p-values.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    _names: FitNames | None = field(default=None, repr=False)

    def __str__(self) -> str:
        cells = [
            format_p_values(values) if name in ("p_value", "p_naive") else format_column(values, 5)
            for name, values in self.table.to_dict("list").items()
        ]
        index = [str(name) for name in self.table.index]
        heads = ["", *self.table.columns]
        shown = text_columns(heads, [index, *cells], left=1)
        if max(map(len, shown)) <= TABLE_WIDTH:
            return "\n".join([*shown, *wrapped(self.notes)])
        short = [f"model {i}" for i in range(1, len(index) + 1)]  # long formulas stand above, as in R
        named = [f"{label}: {name}" for label, name in zip(short, index, strict=True)]
        return "\n".join([*named, *text_columns(heads, [short, *cells], left=1), *wrapped(self.notes)])

    __repr__ = __str__


def chi_square_tail(statistic: float, df: int) -> float:
    """Return the upper-tail probability of a chi-square; with df = 0 it is the constant 0."""
    if df == 0:
        return 1.0 if statistic <= 0 else 0.0
    return float(chdtrc(df, max(statistic, 0.0)))


def likelihood_ratio(fits: Sequence[Fit], *, refit: bool = True) -> LikelihoodRatioTable:
    """Return tests of nested models, ordered by number of parameters, each against the one before.

    If a model does not contain the one before it, p_value is NaN and a note gives the reason.

    Parameters
    ----------
    fits : sequence of Fit
    refit : bool
        Whether REML fits are refitted by ML. REML criteria of models with different fixed effects cannot be
        compared, so such fits are always refitted.

    Raises
    ------
    ModelError
        If there are fewer than two models, or their rows, responses or weights differ.
    """
    if len(fits) < 2:
        raise ModelError("a comparison needs at least two fits; F tests of the terms of one are fit.anova().")
    check_same_data(fits)
    comparable = fits[0].reml and all(fit.reml and same_fixed(fits[0], fit) for fit in fits[1:])
    notes = []
    if any(fit.reml for fit in fits) and (refit or not comparable):
        fits = [by_ml(fit) for fit in fits]
        notes.append("REML fits were refitted by maximum likelihood.")
    ordered = sorted(fits, key=lambda fit: fit.n_parameters)
    rows, names = [], []
    before: Fit | None = None
    for fit in ordered:
        value = fit.evaluation.value
        chisq, df, p = float("nan"), 0, float("nan")
        if before is not None:
            chisq, df = before.evaluation.value - value, fit.n_parameters - before.n_parameters
            missing = not_nested(before.design, fit.design)
            if missing:
                notes.append(_nesting_note(before, fit, missing))
            p = chi_square_tail(chisq, df) if df and not missing else float("nan")
        k = fit.n_parameters
        aic, bic = value + 2 * k, value + np.log(fit.cross.n) * k
        rows.append((k, aic, bic, -0.5 * value, value, chisq, df if before is not None else np.nan, p))
        names.append(model_name(fit))
        before = fit
    columns = ["npar", "aic", "bic", "llf", "deviance", "chisq", "df", "p_value"]
    return LikelihoodRatioTable(pd.DataFrame(rows, index=names, columns=columns), tuple(notes))


def model_name(fit: Fit) -> str:
    """Return the formula, with the residual structure if there is one."""
    source = fit.design.formula.source
    return source if fit.residual is None else f"{source}, residual {fit.residual.model.structure}"


def _nesting_note(before: Fit, fit: Fit, missing: str) -> str:
    """Return the note on a row without p-value."""
    one, other = model_name(before), model_name(fit)
    return (
        f"Not nested: {other!r} lacks {missing} that {one!r} has, so that their likelihood ratio is no chi-square and "
        "has no p-value. Compare aic or bic."
    )


def check_same_data(fits: Sequence[Fit]) -> None:
    """Raise unless all fits have the same rows, response and weights."""
    first = fits[0]
    for fit in fits:
        if fit.residual is not None and fit.residual.model.of_fitted:
            raise ModelError(
                f"{fit.residual.model.structure}: the variance depends on fitted values, which differ between models, "
                "so that their likelihoods cannot be compared. Let it depend on a column."
            )
    what = first_difference([fit.design for fit in fits])
    if what == "rows":
        sizes = ", ".join(str(fit.design.n) for fit in fits)
        raise ModelError(
            f"the models are on different rows ({sizes} of the data): their likelihoods cannot be compared. Fit them "
            "to the same complete rows."
        )
    if what == "response" and first.design.absent is not None:
        raise ModelError(
            "the models have different rows, responses or weights: their likelihoods cannot be compared."
        )
    if what:
        name = "responses" if what == "response" else what
        raise ModelError(f"the models have different {name}: their likelihoods cannot be compared.")


def same_fixed(one: Fit, other: Fit) -> bool:
    """Return whether the fixed parts of two models have the same column space."""
    if one.cross.p_total != other.cross.p_total or len(one.design.many) != len(other.design.many):
        return False
    if one.design.absent is not None or other.design.absent is not None:
        names = [{n for n, k in zip(f.coefficient_names, f.kept, strict=True) if k} for f in (one, other)]
        return names[0] == names[1]
    a, b = one.design.X[:, one.cross.fixed.kept], other.design.X[:, other.cross.fixed.kept]
    both = np.hstack([a, b])
    if not both.size:
        return True
    rank = int(np.linalg.matrix_rank(both / np.maximum(np.linalg.norm(both, axis=0), 1e-300)))
    return bool(rank <= a.shape[1])


def by_ml(fit: Fit) -> Fit:
    """Return the fit itself if it is a maximum-likelihood fit, else its refit by maximum likelihood."""
    if not fit.reml:
        return fit
    return fit_design(fit.design, reml=False, start=fit.theta, sigma=fit.held_sigma)


def random_effects_anova(fit: Fit) -> LikelihoodRatioTable:
    """Return the likelihood-ratio test of each random term, with its variances and covariances dropped.

    REML fits are compared by REML, since the fixed effects are the same. If one variance is dropped, `p_value` is that
    of the chi-square mixture, and `p_naive` that of the chi-square on df, which is too large. If several are dropped,
    the weights of the mixture depend on the data (Shapiro 1985, Biometrika 72:133), and both are that of the
    chi-square.
    """
    if not fit.design.blocks:
        raise ModelError("the model has no random effects to test.")
    full = fit.evaluation.value
    rows = [(fit.n_parameters, -0.5 * full, np.nan, np.nan, np.nan, np.nan)]
    names, several = ["<none>"], []
    for reduced in reductions(fit.design):
        smaller = fit_design(reduced.design, reml=fit.reml, sigma=fit.held_sigma)
        chisq = max(smaller.evaluation.value - full, 0.0)
        df = fit.n_parameters - smaller.n_parameters
        p_value = naive = chi_square_tail(chisq, df)
        if reduced.dropped == 1:
            p_value = 0.5 * (naive + chi_square_tail(chisq, df - 1))
        else:
            several.append(reduced.name)
        rows.append((smaller.n_parameters, -0.5 * smaller.evaluation.value, chisq, df, p_value, naive))
        names.append(reduced.name)
    columns = ["npar", "llf", "chisq", "df", "p_value", "p_naive"]
    table = pd.DataFrame(rows, index=names, columns=columns)
    return LikelihoodRatioTable(table, _reference_notes(several, len(rows) - 1), names_of(fit))


def _reference_notes(several: list[str], tests: int) -> tuple[str, ...]:
    """Return the notes on the reference distributions of the p-values."""
    one = (
        "p_value: equal mixture of chi-squares on df and df - 1 degrees of freedom, since a variance of 0 lies on "
        "the boundary; p_naive: chi-square on df."
    )
    more = (
        f"{'; '.join(several)}: several variances are dropped at once; p_value is the chi-square on df, which is too "
        "large (conservative). mixedfit.parametric_bootstrap_test gives a better one."
    )
    return tuple(([one] if len(several) < tests else []) + ([more] if several else []))
