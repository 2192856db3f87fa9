"""What `reference/anova_emmeans.R` fitted, as formulas and data for mixedfit."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from paths import REFERENCE_FOLDER

import mixedfit as mf

FOLDER = REFERENCE_FOLDER


def records() -> dict[str, Any]:
    """Return the stored output of R."""
    return dict(json.loads((FOLDER / "anova_emmeans.json").read_text(encoding="utf-8")))


@lru_cache
def data_of(name: str) -> pd.DataFrame:
    """Return a data set as the script made it."""
    if name in ("oats", "orthodont", "machines", "few_machines"):
        table = mf.load_dataset({"oats": "Oats", "orthodont": "Orthodont"}.get(name, "Machines"))
        for column in ("Block", "Subject", "Worker"):
            if column in table:
                table[column] = table[column].astype(str)
        if name == "oats":
            table["nitrof"] = table["nitro"].map("{:g}".format)
        place = np.arange(1, len(table) + 1)
        return table[place % 5 != 2] if name == "few_machines" else table
    cake = mf.load_dataset("cake")
    cake["hot"] = 1.0 * (cake["temp"] > 190)
    cake["warm"] = cake["temp"] > 200
    if name == "cake":
        return cake
    place = np.arange(1, len(cake) + 1)
    uneven = cake[(place % 7 != 3) & (place % 11 != 5)]
    recipe, temperature = uneven["recipe"], uneven["temperature"]
    if name == "uneven":
        return uneven
    if name == "holes":
        return uneven[~((recipe == "B") & (temperature == "205"))]
    return uneven[~((recipe == "C") & (temperature == "225")) & ~((recipe == "B") & (temperature == "195"))]


def formula_of(record: dict[str, Any]) -> str:
    """Return the formula with the contrasts that R was given."""
    fixed, random = record["formula"].split(" + (", 1)
    chosen = record.get("contrasts")
    for factor, contrast in (chosen if isinstance(chosen, dict) else {}).items():
        fixed = re.sub(rf"(?<![\w.]){factor}(?![\w.])", f"C({factor}, {contrast})", fixed)
    return f"{fixed} + ({random}"


@lru_cache
def fitted(formula: str, data: str) -> mf.MixedResults:
    """Return our REML fit."""
    return mf.lmm(formula, data_of(data)).fit()
