"""Effect sizes of the terms of an F table, from F and its degrees of freedom."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfit.core.format import share_text, text_columns
from mixedfit.core.names import factors_of, plain_name
from mixedfit.core.printed_frame import PrintedFrame
from mixedfit.core.tables import Table

__all__ = ["EffectSizes", "partial_effect_sizes"]

_HEADS = {
    "partial_eta_sq": "Partial η²",
    "partial_omega_sq": "Partial ω²",
    "partial_epsilon_sq": "Partial ε²",
}


class EffectSizes(PrintedFrame):
    """Effect sizes of terms: a data frame that prints in APA style, two decimals without the zero before the point.

    Examples
    --------
    >>> print(EffectSizes({"partial_eta_sq": [0.1997, 0.0006]}, index=["C(prime, contr.sum)", "x"]))
          Partial η²
    prime        .20
    x          < .01
    """

    def __repr__(self) -> str:
        if not set(self.columns) <= set(_HEADS):
            return super().__repr__()
        (table,) = self._tables()
        return "\n".join(text_columns(table.heads, list(zip(*table.rows, strict=True)), left=1))

    __str__ = __repr__

    def _tables(self) -> list[Table]:
        names = [plain_name(str(name)) for name in self.index]
        names = names if len(set(names)) == len(names) else [str(name) for name in self.index]
        cells = [[share_text(float(value), "NA") for value in self[column]] for column in self.columns]
        heads = ("", *(_HEADS.get(str(column), str(column)) for column in self.columns))
        words = [" × ".join(factors_of(name)) for name in names]
        return [Table("Effect sizes of the terms", heads, tuple(zip(words, *cells, strict=True)), 1)]


def partial_effect_sizes(table: pd.DataFrame) -> EffectSizes:
    """Return partial η², ω² and ε² of every term of an F table.

    With F on ν₁ and ν₂ degrees of freedom (Albers & Lakens 2018, J. Exp. Soc. Psychol. 74:187)

        η² = ν₁F / (ν₁F + ν₂),   ε² = ν₁(F − 1) / (ν₁F + ν₂),   ω² = ν₁(F − 1) / (ν₁F + ν₂ + 1)

    ε² and ω² below 0 are 0. All are NaN where ν₂ is infinite or not known. In models with several strata ν₂ stands for
    the error against which the term is tested.
    """
    F, top, below = (table[name].to_numpy(dtype=np.float64) for name in ("statistic", "df_num", "df_denom"))
    known = np.isfinite(below)
    total = np.where(known, top * F + below, np.nan)
    return EffectSizes(
        {
            "partial_eta_sq": top * F / total,
            "partial_omega_sq": np.maximum(top * (F - 1.0) / (total + 1.0), 0.0),
            "partial_epsilon_sq": np.maximum(top * (F - 1.0) / total, 0.0),
        },
        index=table.index,
    )
