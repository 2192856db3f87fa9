"""Published fits with residual structures: how each is written for mixedfit, and which are left out and why.

The collection lies beside the project, not in it; where it is absent there are no fits. Criteria are those of a dense
likelihood, standard errors without nlme's factor √(n/(n − p)) for ML.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from paths import SHARED_FOLDER

import mixedfit as mf

__all__ = ["LEFT_OUT", "SAME_OPTIMUM", "ReferenceFit", "data_of", "records", "reference_fits"]

FOLDER = SHARED_FOLDER / "references" / "structures"

R = mf.residuals

OVARY = "follicles ~ sin(2*pi*Time) + cos(2*pi*Time)"
OVARY_SLOPES = f"{OVARY} + (1 + sin(2*pi*Time) || Mare)"
WEIGHT = "weight ~ Time * Diet + (Time | Rat)"
DISTANCE = "distance ~ Sex * I(age - 11)"
RATE = "rate ~ (pressure + I(pressure**2) + I(pressure**3) + I(pressure**4)) * QB"
WHEAT = "yield ~ variety - 1"
PLOT = ("latitude", "longitude")
FEV = "FEV1 ~ RACE + SEX + ARMCD * AVISIT"
VISIT = ("AVISIT", "USUBJID")
SUBJECT_VISITS = R.VarIdent("AVISIT")

SPECS: dict[str, tuple[str, mf.residuals.ResidualStructure | None]] = {
    "ovary-lme-ar1": (OVARY_SLOPES, R.AR1(group="Mare")),
    "ovary-lme-arma11": (OVARY_SLOPES, R.ARMA(1, 1, group="Mare")),
    "ovary-gls-ar1-ml": (OVARY, R.AR1(group="Mare")),
    "ovary-lme-ar2-ml": (f"{OVARY} + (1 | Mare)", R.ARMA(2, 0, group="Mare")),
    "ovary-gls-ma2": (OVARY, R.ARMA(0, 2, group="Mare")),
    "sleepstudy-lme-ar1": ("Reaction ~ Days + (Days | Subject)", R.AR1("Days", "Subject")),
    "bodyweight-lme-varpower-fitted": (WEIGHT, R.VarPower("fitted")),
    "bodyweight-lme-varpower-exp": (WEIGHT, R.Exponential("Time", "Rat") * R.VarPower("fitted")),
    "bodyweight-lme-car1-ml": (WEIGHT, R.CAR1("Time", "Rat")),
    "bodyweight-lme-ratio-nugget": (WEIGHT, R.RationalQuadratic("Time", "Rat", nugget=True)),
    "bodyweight-lme-gaus": (WEIGHT, R.Gaussian("Time", "Rat")),
    "bodyweight-lme-lin": (WEIGHT, R.Linear("Time", "Rat")),
    "orthodont-lme-varident-sex": (f"{DISTANCE} + (age | Subject)", R.VarIdent("Sex")),
    "orthodont-gls-unstructured": (DISTANCE, R.Unstructured("age", "Subject")),
    "orthodont-gls-unstructured-ml": (DISTANCE, R.Unstructured("age", "Subject")),
    "orthodont-gls-compsymm": (DISTANCE, R.CompoundSymmetry("Subject")),
    "orthodont-gls-symm-ml": (DISTANCE, R.Unstructured("age", "Subject", homogeneous=True)),
    "orthodont-gls-varcomb-ar1": (
        DISTANCE,
        R.AR1(group="Subject") * R.VarIdent("Sex") * R.VarPower("age"),
    ),
    "dialyzer-gls-varpower": (RATE, R.VarPower("pressure")),
    "dialyzer-gls-varpower-ar1": (RATE, R.AR1(group="Subject") * R.VarPower("pressure")),
    "dialyzer-lme-varpower": (f"{RATE} + (pressure + I(pressure**2) | Subject)", R.VarPower("pressure")),
    "dialyzer-gls-varconstpower": (RATE, R.VarConstPower("pressure")),
    "dialyzer-gls-varexp-ml": (RATE, R.VarExp("pressure")),
    "dialyzer-gls-varpower-fitted": (RATE, R.VarPower("fitted")),
    "wheat2-gls-spher": (WHEAT, R.Spherical(PLOT, nugget=True)),
    "wheat2-gls-ratio": (WHEAT, R.RationalQuadratic(PLOT, nugget=True)),
    "wheat2-gls-exp": (WHEAT, R.Exponential(PLOT)),
    "wheat2-gls-gau": (WHEAT, R.Gaussian(PLOT, nugget=True)),
    "topo-gls-exp-ml": ("z ~ x + y", R.Exponential(("x", "y"))),
    "topo-gls-exp-manhattan-nugget": (
        "z ~ x + y",
        R.Exponential(("x", "y"), nugget=True, metric="manhattan"),
    ),
    "dyestuff2-gls-compsymm-negative": ("Yield ~ 1", R.CompoundSymmetry("Batch")),
    "oats-lme-nested-varident-ml": ("yield ~ nitro + (1 | Block/Variety)", R.VarIdent("Variety")),
    "pixel-lme-nested-varexp": ("pixel ~ day + I(day**2) + (day | Dog) + (1 | Dog:Side)", R.VarExp("day")),
    "fatigue-lme-ar1": ("relLength ~ cycles + (cycles | Path)", R.AR1(group="Path")),
    "soybean-lme-varexp-ml": ("log(weight) ~ Time * Variety + I(Time**2) + (Time | Plot)", R.VarExp("Time")),
    "gasoline-gls-varfixed-compsymm": (
        "yield ~ endpoint",
        R.CompoundSymmetry("Sample") * R.VarFixed("endpoint"),
    ),
    "bcg-lme-known-variance": ("yi ~ 1 + (1 | trial)", R.VarFixed("vi")),
    "orthodont-tmb-dispformula": (f"{DISTANCE} + (age | Subject)", R.VarIdent("Sex")),
    "orthodont-tmb-toep": (DISTANCE, R.Toeplitz("age", "Subject") * R.VarIdent("age")),
    "orthodont-tmb-cs": (DISTANCE, R.CompoundSymmetry("Subject") * R.VarIdent("age")),
    "orthodont-tmb-us-ml": (DISTANCE, R.Unstructured("age", "Subject")),
    "fev-us": (FEV, R.Unstructured(*VISIT)),
    "fev-toep": (FEV, R.Toeplitz(*VISIT)),
    "fev-toeph": (FEV, R.Toeplitz(*VISIT) * SUBJECT_VISITS),
    "fev-ar1": (FEV, R.AR1(*VISIT)),
    "fev-ar1h": (FEV, R.AR1(*VISIT) * SUBJECT_VISITS),
    "fev-cs": (FEV, R.CompoundSymmetry("USUBJID")),
    "fev-csh": (FEV, R.CompoundSymmetry("USUBJID") * SUBJECT_VISITS),
    "fev-ad": (FEV, R.AnteDependence(*VISIT)),
    "fev-adh": (FEV, R.AnteDependence(*VISIT) * SUBJECT_VISITS),
    "fev-us-ml": (FEV, R.Unstructured(*VISIT)),
    "fev-ar1-ml": (FEV, R.AR1(*VISIT)),
    "fev-csh-ml": (FEV, R.CompoundSymmetry("USUBJID") * SUBJECT_VISITS),
    "fev-us-weighted": (FEV, R.Unstructured(*VISIT)),
}
"""Formula and residual structure of each fit."""

LEFT_OUT = {
    "wheat2-gls-lin": "the linear law is no correlation in two dimensions; refused",
}
"""Fits with a residual structure that are not run, and why. Others not in `SPECS` structure random effects."""


def records() -> list[dict[str, Any]]:
    """Return the collection, empty where it is absent."""
    path = FOLDER / "refs_dev.json"
    return json.loads(path.read_text())["cases"] if path.exists() else []


@cache
def data_of(name: str) -> pd.DataFrame:
    """Return a data set with the levels of its factors in R's order."""
    table = pd.read_csv(FOLDER / "data" / f"{name}.csv")
    levels = pd.read_csv(FOLDER / "data" / "LEVELS.tsv", sep="\t", dtype=str)
    for _, row in levels[levels["file"] == f"{name}.csv"].iterrows():
        column = str(row["column"])
        table[column] = pd.Categorical(table[column].astype(str), categories=str(row.iloc[3]).split("|"))
    return table


@dataclass(frozen=True)
class ReferenceFit:
    """One fit of the collection."""

    record: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def expected(self) -> dict[str, Any]:
        found: dict[str, Any] = self.record["expected"]
        return found

    @property
    def fit(self) -> mf.MixedResults:
        return _fitted(self.id)

    @property
    def criterion(self) -> float:
        return self.fit.reml_criterion if self.record["method"] == "REML" else self.fit.deviance


@cache
def _fitted(id: str) -> mf.MixedResults:
    record = next(r for r in records() if r["id"] == id)
    formula, structure = SPECS[id]
    data = data_of(record["data"])
    options: dict[str, Any] = {"weights": "WEIGHT"} if id == "fev-us-weighted" else {}
    if record["data"] == "fev_data":
        data = data.dropna(subset=["FEV1"])
    held = {"sigma": 1.0} if id == "bcg-lme-known-variance" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mf.lmm(formula, data, residual=structure, context={"pi": np.pi}, **options)
        return model.fit(reml=record["method"] == "REML", **held)


def reference_fits() -> list[ReferenceFit]:
    """Return the fits that are run."""
    return [ReferenceFit(r) for r in records() if r["id"] in SPECS]


SAME_OPTIMUM = {id for id in SPECS if id != "wheat2-gls-spher"}
"""Fits whose published optimum is the lowest that is known."""
