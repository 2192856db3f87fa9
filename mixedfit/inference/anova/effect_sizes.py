"""Effect sizes of the terms of an F table, from F and its degrees of freedom."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["partial_effect_sizes"]


def partial_effect_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Return partial η², ω² and ε² of every term of an F table.

    With F on ν₁ and ν₂ degrees of freedom (Albers & Lakens 2018, J. Exp. Soc. Psychol. 74:187)

        η² = ν₁F / (ν₁F + ν₂),   ε² = ν₁(F − 1) / (ν₁F + ν₂),   ω² = ν₁(F − 1) / (ν₁F + ν₂ + 1)

    ε² and ω² below 0 are 0. All are NaN where ν₂ is infinite or not known. In models with several strata ν₂ stands for
    the error against which the term is tested.
    """
    F, top, below = (table[name].to_numpy(dtype=np.float64) for name in ("statistic", "df_num", "df_denom"))
    known = np.isfinite(below)
    total = np.where(known, top * F + below, np.nan)
    return pd.DataFrame(
        {
            "partial_eta_sq": top * F / total,
            "partial_omega_sq": np.maximum(top * (F - 1.0) / (total + 1.0), 0.0),
            "partial_epsilon_sq": np.maximum(top * (F - 1.0) / total, 0.0),
        },
        index=table.index,
    )
