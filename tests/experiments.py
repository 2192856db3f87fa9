"""An experiment with subjects and items, such as those of psycholinguistics: 2 × 2 conditions, a session 0/1."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

import mixedfit as mf

__all__ = ["priming", "priming_fit", "session_fit"]


@lru_cache
def priming(subjects: int = 12, items: int = 16) -> pd.DataFrame:
    """Return response times of subjects to items; every subject sees every item once."""
    rng = np.random.default_rng(3)
    s, i = (grid.ravel() for grid in np.meshgrid(np.arange(subjects), np.arange(items), indexing="ij"))
    related, low, session = (s + i) % 2, (i // 2) % 2, (s + i // 4) % 2
    times = 600 - 25 * related + 20 * low + 8 * session * related + rng.normal(0, 50, s.size)
    times += (
        rng.normal(0, 60, subjects)[s]
        + rng.normal(0, 30, items)[i]
        + rng.normal(0, 20, subjects)[s] * related
    )
    return pd.DataFrame(
        {
            "Subject": [f"s{k + 1:02d}" for k in s],
            "Item": [f"i{k + 1:02d}" for k in i],
            "Prime": np.where(related == 1, "related", "unrelated"),
            "Frequency": np.where(low == 1, "low", "high"),
            "SOA": np.array(["short", "middle", "long"])[(s // 2 + i) % 3],
            "Session": session,
            "RT": times.round(2),
        }
    )


@lru_cache
def priming_fit() -> mf.MixedResults:
    """Return the fit of the two factors with sum coding."""
    formula = (
        "RT ~ C(Prime, contr.sum) * C(Frequency, contr.sum) + (C(Prime, contr.sum) | Subject) + (1 | Item)"
    )
    return mf.lmm(formula, priming()).fit()


@lru_cache
def session_fit() -> mf.MixedResults:
    """Return the fit of a factor with three levels and a session of 0 and 1, with their interaction."""
    return mf.lmm("RT ~ C(SOA, contr.sum) * Session + (1 | Subject) + (1 | Item)", priming()).fit()
