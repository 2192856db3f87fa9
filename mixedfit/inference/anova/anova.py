"""F tests of the terms of the fixed part, by the hypotheses of type I, II or III of `contrasts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.format import (
    format_fixed,
    format_numbers,
    format_p_values,
    text_columns,
    wrapped,
    zap_small,
)
from mixedfit.core.notebook import NotebookTable
from mixedfit.design.recipe import usable
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import FitNames, names_of
from mixedfit.inference.ddf import Ddf, degrees_of_freedom, failed_note, unknown_note
from mixedfit.inference.hypotheses.tests import joint_f_test

from .at_zero import at_zero, at_zero_notes
from .contrasts import TermContrasts
from .effect_sizes import EffectSizes, partial_effect_sizes

__all__ = ["AnovaTable", "term_anova"]

_ROMAN = {1: "I", 2: "II", 3: "III"}


@dataclass(frozen=True, eq=False)
class AnovaTable(NotebookTable):
    """F tests of the terms of the fixed part, a row for each term.

    Attributes
    ----------
    table : pandas.DataFrame
        Index: terms. Columns sum_sq, mean_sq (σ² times F before any scaling), df_num, df_denom, statistic, p_value.
    type : int
        1, 2 or 3.
    method : str
        Method for the denominator degrees of freedom.
    notes : tuple of str
        Terms that are not estimable, and other remarks.
    """

    table: pd.DataFrame
    type: int
    method: str
    notes: tuple[str, ...] = ()
    _names: FitNames | None = field(default=None, repr=False)
    _at_zero: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def _caption(self) -> str:
        return f"Type {_ROMAN[self.type]} tests of the terms of the fixed part"

    def effect_sizes(self) -> EffectSizes:
        """Return partial η², ω² and ε² of every term, from F and its degrees of freedom.

        Columns partial_eta_sq, partial_omega_sq, partial_epsilon_sq; see `partial_effect_sizes`. It prints in APA
        style, "< .01" for less than .005; the numbers are in full.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> fit.anova().effect_sizes()["partial_eta_sq"].round(3).to_dict()
        {'recipe': 0.012, 'temp': 0.298}
        """
        return partial_effect_sizes(self.table)

    def __str__(self) -> str:
        known = {"Satterthwaite": "Satterthwaite's method", "normal": "the normal distribution (chi-square)"}
        by = known.get(self.method, f"{self.method} degrees of freedom")
        if self.method.startswith("Kenward-Roger"):
            by = "Kenward-Roger's method" + ("" if "expected" in self.method else ", observed information")
        head = f"Type {_ROMAN[self.type]} Analysis of Variance Table with {by}"
        if self.table.empty:
            return "\n".join([head, "(no terms but the intercept)"])
        t = self.table
        squares = zap_small([*t["sum_sq"], *t["mean_sq"]], 6)
        cells = [
            [str(name) for name in t.index],
            format_numbers(squares[: len(t)], 7),
            format_numbers(squares[len(t) :], 7),
            [str(int(v)) for v in t["df_num"]],
            format_fixed(t["df_denom"].tolist(), 2, whole=True, missing="NA"),
            format_fixed(t["statistic"].tolist(), 3, missing="NA"),
            format_p_values(t["p_value"].tolist(), "NA"),
        ]
        heads = ["", "Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]
        return "\n".join([head, *text_columns(heads, cells, left=1), *wrapped(self.notes)])

    __repr__ = __str__


def term_anova(fit: Fit, *, type: Literal[1, 2, 3] = 3, ddf: Ddf | None = None) -> AnovaTable:
    """Return F tests of the terms of the fixed part; see `TermContrasts` for the hypotheses.

    Raises
    ------
    ModelError
        If the type is unknown, or the terms of the fit are unknown.
    """
    text = str(type).strip().upper()
    number = next((n for n, roman in _ROMAN.items() if text in (str(n), roman)), None)
    if number is None:
        raise ModelError(f"type={type!r} is not known; expected 1, 2 or 3 (or 'I', 'II', 'III').")
    recipe = usable(fit.design.recipe)
    contrasts = TermContrasts(fit, recipe)
    degrees = degrees_of_freedom(fit, ddf)
    rows, names, notes, failed = [], [], [], []
    hypotheses = contrasts.of_type(number)
    for term in contrasts.terms:
        name, L = term.name, hypotheses[term.name]
        names.append(name)
        if not len(L):
            rows.append((np.nan, np.nan, 0, np.nan, np.nan, np.nan))
            notes.append(f"{name}: not estimable, since other terms span it.")
            continue
        if number != 1 and contrasts.partly_spanned(term):
            notes.append(f"{name}: other terms span a part of it; the rest is tested.")
        test = joint_f_test(degrees, L, np.zeros(len(L)))
        total = test.mean_square * test.df_num
        if test.notes:
            failed.append(name)
        rows.append((total, test.mean_square, test.df_num, test.df_denom, test.statistic, test.p_value))
    columns = ["sum_sq", "mean_sq", "df_num", "df_denom", "statistic", "p_value"]
    table = pd.DataFrame(rows, index=pd.Index(names, name="term"), columns=columns)
    if failed:
        notes.append(failed_note(degrees.name, failed))
    if fit.design.many and (table["statistic"].notna() & table["df_denom"].isna()).any():
        notes.append(unknown_note(fit))
    if not fit.kept.all() and number == 3:
        notes.append("Some cells are empty or columns redundant: interpret type III hypotheses with care.")
    held = {} if number == 1 else at_zero(recipe, contrasts.terms)
    notes += at_zero_notes(recipe, held)
    return AnovaTable(table, number, degrees.name, tuple(notes), names_of(fit), held)
