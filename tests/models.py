"""Data sets as the R script of `reference/results.R` prepares them, and what R made of them."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pandas as pd
from paths import REFERENCE_FOLDER

import mixedfit as mf

REFERENCE = json.loads((REFERENCE_FOLDER / "results.json").read_text())


@lru_cache(maxsize=1)
def sleepstudy() -> pd.DataFrame:
    """sleepstudy with the weights, zeros and offset that the R script gives it."""
    frame = mf.load_dataset("sleepstudy")
    frame["w"] = 0.5 + frame["Days"] % 3
    frame["counted"] = frame["w"].where(frame["Days"] % 4 != 1, 0.0)
    frame["base"] = 2.0 * frame["Days"] + frame["Subject"].cat.codes + 1.0
    return frame


def gaps() -> pd.DataFrame:
    """Sleepstudy with three missing values in three rows."""
    frame = sleepstudy().copy()
    frame["Days"] = frame["Days"].astype(float)
    frame.loc[[2, 49], "Reaction"] = np.nan
    frame.loc[116, "Days"] = np.nan
    return frame


def few_students(most: int) -> pd.DataFrame:
    """Rows of InstEval of the first students."""
    frame = mf.load_dataset("InstEval")
    return frame[frame["s"].astype(str).astype(int) <= most]
