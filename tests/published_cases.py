"""Published analyses: their records, data and models."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import SHARED_FOLDER
from published import read

import mixedfit as mf

PUBLISHED = SHARED_FOLDER / "references" / "published"


RECORDS = (
    {c["id"]: c for c in json.loads((PUBLISHED / "expected.json").read_text(encoding="utf-8"))["cases"]}
    if PUBLISHED.is_dir()
    else {}
)


needs_published = pytest.mark.skipif(
    not RECORDS, reason="the published results (shared/references) do not lie beside the project"
)


SLEEP = {
    "sleep_study": "Reaction ~ Days + (Days || Subject)",
    "sleep_study_corr": "Reaction ~ Days + (Days | Subject)",
    "sleep_study_quadratic": "Reaction ~ Days + I(Days**2) + (Days + I(Days**2) || Subject)",
    "sleep_study_corr_quadratic": "Reaction ~ Days + I(Days**2) + (Days + I(Days**2) | Subject)",
}


PASTRY = "LEI ~ FR + MC + SS + FR:MC + FR:SS + MC:SS + I(FR**2) + I(MC**2) + I(SS**2) + (1 | Day)"


WIND = "EFFICIENCY ~ (FRH + RRH + YA + GC)**2 + I(FRH**2) + I(RRH**2) + I(YA**2) + I(GC**2) + (1 | WP)"


def table_of(name: str) -> pd.DataFrame:
    return pd.read_csv(PUBLISHED / RECORDS[name]["csv"])


def model_of(name: str) -> tuple[str, pd.DataFrame]:
    """Return the formula and data of a SAS or JMP analysis."""
    data = table_of(name)
    study = name.split("-")[1]
    if study in SLEEP:
        return SLEEP[study], data
    if study == "pastry_dough":
        data.columns = ["Day", "FR", "MC", "SS", "LEI", "CEI"]
        for name in ("FR", "MC", "SS"):
            middle = (data[name].max() + data[name].min()) / 2
            data[name] = (data[name] - middle) / (data[name].max() - middle)
        return PASTRY, data
    if study == "wind_tunnel":
        return WIND, data.rename(columns={"Whole Plots": "WP"})
    raise KeyError(study)


def published_fit(name: str, formula: str | None = None, **change: Any) -> mf.MixedResults:
    record = RECORDS[name]
    data = pd.DataFrame(record["expected"]["data"]) if "data" in record["expected"] else read(record["csv"])
    for factor in record.get("factors", ("a", "b", "f")):
        # before pandas 3 a missing value became the text "nan"
        data[factor] = data[factor].astype(str).where(data[factor].notna())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula or record["formula"], data.assign(**change)).fit()


BATTERY = "Y ~ (X1 + X2 + X3 + X4 + X5 + X6)**2 + (1 | WP) + (1 | SP)"


FIXED = "log_data ~ C(sequence, contr.SAS) + C(period, contr.SAS) + C(formulation, contr.SAS)"


BIOEQUIVALENCE = {
    "homogeneous": f"{FIXED} + (1 | subject)",
    "intermediate": f"{FIXED} + (0 + formulation | subject)",
}


def battery() -> pd.DataFrame:
    return read("data/MMSmallSample_Data_battery_cell_Chapter_11.csv").rename(
        columns={"Whole Plots": "WP", "Subplots": "SP"}
    )


def bioequivalence(kind: str, *, reml: bool = True) -> mf.MixedResults:
    data = read("data/MMSmallSample_Data_bioequivalence.csv")
    return mf.lmm(BIOEQUIVALENCE[kind], data).fit(reml=reml)


SHIPPED = {
    "seedling_weight": "seedling_weight",
    "pastes": "Pastes",
    "penicillin": "Penicillin",
    "dyestuff": "Dyestuff",
    "dyestuff2": "Dyestuff2",
    "cake": "cake",
    "orthodont": "Orthodont",
    "machines": "Machines",
    "oats": "Oats",
    "rail": "Rail",
    "machines_slopes": "Machines",
}


def data_of(name: str) -> pd.DataFrame:
    table = mf.load_dataset(SHIPPED.get(name, "sleepstudy"))
    if name == "sleepstudy_unbalanced":
        table = table[(3 * (table["Subject"].cat.codes + 1) + table["Days"]) % 5 != 0]
    return table


def numbers(values: Any) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in np.atleast_1d(values)], dtype=float)
