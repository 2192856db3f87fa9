"""Published fits of other programs: how each is read, prepared and written for mixedfit; which are left out.

The collection lies beside the project, not in it; where it is absent there are no fits. Its fields: `formula` in
lme4's syntax, `prep` (what is done to the rows first), `contrasts` of the fixed factors, `expected` (the numbers
as published) and `r_recomputed` (the same model by lme4 with a tight tolerance).
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from oracles import DenseModel
from paths import SHARED_FOLDER

import mixedfit as mf

FOLDER = SHARED_FOLDER / "references" / "published"

DUMMIES = " + ".join(f"d{day}" for day in range(1, 10))

TRANSCRIBED = {
    # nlme's random part stands beside the formula: pdDiag(~age) | Lot; pdBlocked(pdIdent(~1),
    # pdIdent(~Variety - 1)) | Block, which is nested intercepts; ~Machine - 1 | Worker.
    "nlme_scripts-21": "conc ~ age + (1 | Lot) + (0 + age | Lot)",
    "nlme_scripts-23": "yield ~ nitro + (1 | Block) + (1 | Block:Variety)",
    "nlme_scripts-29": "conc ~ age + (1 | Lot) + (0 + age | Lot)",
    "nlme_scripts-30": "score ~ Machine + (0 + Machine | Worker)",
    # MixedModels.jl's zerocorr and fulldummy, with the indicators d0, …, d9 of the ten days.
    "mmjl-sleepstudy-dummy-split": f"Reaction ~ 1 + C(Days) + (1 | Subject) + (0 + {DUMMIES} | Subject)",
    "mmjl-sleepstudy-fulldummy": f"Reaction ~ 1 + C(Days) + (1 + d0 + {DUMMIES} | Subject)",
    "mmjl-sleepstudy-dummy-zc": f"Reaction ~ 1 + C(Days) + (1 + {DUMMIES} || Subject)",
    "mmjl-sleepstudy-fulldummy-zc": f"Reaction ~ 1 + C(Days) + (1 + d0 + {DUMMIES} || Subject)",
    # A heterogeneous compound symmetry of two effects is unstructured; lme4's diag() is ||.
    "lme4-sleepstudy-cs-ml": "Reaction ~ Days + (Days | Subject)",
    "lme4-sleepstudy-diag-ml": "Reaction ~ Days + (Days || Subject)",
    "spss-sleepstudy-cs": "Reaction ~ 1 + (1 | Subject)",
    "eu-elstongrizzle-quad": "resp ~ 1 + ct + I(ct^2) + (1 + ct + I(ct^2) | Subj)",
}

DATA = {
    "nlme_scripts-21": "data/nlme_IGF.csv",
    "nlme_scripts-23": "data/nlme_Oats.csv",
    "nlme_scripts-29": "data/nlme_IGF.csv",
    "nlme_scripts-30": "data/nlme_Machines.csv",
}

RAMUS = """
47.8 48.8 49.0 49.7  46.4 47.3 47.7 48.4  46.3 46.8 47.8 48.5  45.1 45.3 46.1 47.2  47.6 48.5 48.9 49.3
52.5 53.2 53.3 53.7  51.2 53.0 54.3 54.5  49.8 50.0 50.3 52.7  48.1 50.8 52.3 54.4  45.0 47.0 47.3 49.3
51.2 51.4 51.6 51.9  48.5 49.2 53.0 55.5  52.1 52.8 53.7 55.0  48.2 48.9 49.3 49.8  49.6 50.4 51.2 51.8
50.7 51.7 52.7 53.3  47.2 47.7 48.4 49.5  53.3 54.6 55.1 55.3  46.2 47.5 48.1 48.4  46.3 47.6 51.3 51.8
"""
"""Ramus heights in mm of 20 boys at 8, 8.5, 9 and 9.5 years: Elston & Grizzle (1962), Biometrics 18, 148-159.

Copies of the table (BUGS, example Jaws) give 48.3 for the tenth boy at 9.5 years. The published fits are of 49.3:
the design is balanced, so intercept 48.6655 and slope 1.896 are least squares, and they fix a sum at 9.5 years that
is larger by exactly 1.0; of the twenty boys only the tenth then gives the published deviance.
"""

ESTIMATES = ("beta", "se", "sigma", "theta", "sd", "corr", "var", "vcov", "aic", "bic", "n", "nobs", "sizes")
ESTIMATES += ("fitted_first", "resid_first")
"""Names of numbers in the collection that can be compared as they stand."""

RANDOM_PART = re.compile(r"\+ \((?:[^()]|\([^()]*\))*\|")
NOT_IID = "outside a homoscedastic iid LMM"
STRUCTURES = re.compile(r"\b(ar1|arh1|csh)\(")


def with_location_block(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the interaction of location and block as a column."""
    return table.assign(Grp=table["Location"].astype(str) + ":" + table["Block"].astype(str))


PREPARE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "drop 1-based rows 2,3,6,8,9,12,19,20,27,33": lambda t: t.drop(index=[1, 2, 5, 7, 8, 11, 18, 19, 26, 32]),
    "rows with Sex == Female": lambda t: t[t["Sex"] == "Female"],
    "rows with Days >= 2": lambda t: t[t["Days"] >= 2],
    "drop rows with Block==1 and Cult==a; contr.SAS": lambda t: t[
        ~((t["Block"] == "1") & (t["Cult"] == "a"))
    ],
    "nitrof = ordered(nitro), polynomial contrasts": lambda t: t.assign(nitrof=pd.Categorical(t["nitro"])),
    "Helmert contrasts; Sex levels Male, Female": lambda t: t.assign(
        Sex=t["Sex"].cat.set_categories(["Male", "Female"])
    ),
    "Grp = Location:Block": with_location_block,
    "s1,s2 = 0/1 indicators of Source (separate lot variances by source)": lambda t: t.assign(
        s1=1.0 * (t["Source"] == "1"), s2=1.0 * (t["Source"] == "2")
    ),
    "nsex = 1(Sex==Male); nsexage = nsex*age": lambda t: t.assign(
        nsex=1.0 * (t["Sex"] == "Male"), nsexage=t["age"] * (t["Sex"] == "Male")
    ),
    # These say only which contrasts apply, or that another random part is the same model.
    "": lambda t: t,
    "Helmert contrasts for Type": lambda t: t,
    "Helmert contrasts for Machine": lambda t: t,
    "Helmert contrasts for QB (200, 300)": lambda t: t,
    "contr.SAS; Treatment is a factor 0,10,20,30": lambda t: t,
    "nlme pdCompSymm(~Variety-1|Block) is the same model": lambda t: t,
}


@dataclass(frozen=True, eq=False)
class PublishedFit:
    """One published fit and ours of the same model.

    Attributes
    ----------
    record : dict
        As in the collection.
    """

    record: dict[str, Any]

    @property
    def id(self) -> str:
        """Name in the collection."""
        return str(self.record["id"])

    @property
    def reml(self) -> bool:
        """True for REML."""
        return bool(self.record["criterion"] == "REML")

    @property
    def lme4(self) -> dict[str, Any] | None:
        """The same model by lme4 with a tight tolerance, where that was possible."""
        return self.record.get("r_recomputed")

    @property
    def published_criteria(self) -> dict[str, float]:
        """The criterion as published: −2 log-likelihood, REML criterion or log-likelihood."""
        expected = self.record["expected"]
        return {key: expected[key] for key in ("minus2loglik", "reml_criterion", "logLik") if key in expected}

    @property
    def estimates(self) -> dict[str, np.ndarray]:
        """Numbers that were published beside the criterion, by the names in `ESTIMATES`."""
        expected = self.record["expected"]
        table = list(expected.get("fixed", {}).values())
        if table:
            expected = {**expected, "beta": [row["est"] for row in table], "se": [row["se"] for row in table]}
        found = {key: expected[key] for key in ESTIMATES if key in expected}
        return {k: np.array(list(v.values()) if isinstance(v, dict) else v, float) for k, v in found.items()}

    @cached_property
    def formula(self) -> str:
        """The model for mixedfit, with the contrasts that the published fit used."""
        text = str(TRANSCRIBED.get(self.id, self.record["formula"])).split(", lnpk")[0].split(", weights")[0]
        found = RANDOM_PART.search(text)
        fixed, random = (text[: found.start()], text[found.start() :]) if found else (text, "")
        for factor, contrast in self._contrasts().items():
            fixed = re.sub(rf"(?<![\w.]){factor}(?![\w.])", f"C({factor}, {contrast})", fixed)
        return fixed + random

    def _contrasts(self) -> dict[str, str]:
        kind = {"helmert": "contr.helmert", "SAS (last level as base)": "contr.SAS"}.get(
            self.record["contrasts"]
        )
        chosen = dict.fromkeys(self.record.get("factors", ()), kind) if kind else {}
        return {**chosen, "nitrof": "contr.poly", "temperature": "contr.poly"}

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows and columns of the published fit."""
        inline = self.record["expected"].get("data")
        if inline:
            return pd.DataFrame(inline)
        if "elstongrizzle" in self.id:
            return ramus()
        table = PREPARE[self.record["prep"] or ""](read(self.record["csv"] or DATA[self.id]))
        if "lnpk" in self.formula:
            table = table.assign(lnpk=np.log(table["PK"]))
        if "dummy" in self.id:
            table = table.assign(**{f"d{day}": 1.0 * (table["Days"] == day) for day in range(10)})
        return table

    @cached_property
    def model(self) -> mf.LinearMixedModel:
        """Our model."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mf.MissingRowsWarning)
            return mf.lmm(self.formula, self.table, weights="w1" if "weights" in self.id else None)

    @cached_property
    def fit(self) -> mf.MixedResults:
        """Our fit."""
        return self.model.fit(reml=self.reml)

    @property
    def criterion(self) -> float:
        """Our REML criterion or deviance."""
        return self.fit.reml_criterion if self.reml else self.fit.deviance

    def dense_criterion(self) -> float:
        """Return the criterion at our covariances from the n × n marginal density."""
        return dense_criterion(self.model, self.fit)


def dense_criterion(model: mf.LinearMixedModel, fit: mf.MixedResults) -> float:
    """Return the criterion that `fit` minimised, at its covariances, from the n × n marginal density."""
    design = model.design
    lams, groups = [], []
    for block in design.blocks:
        values, vectors = np.linalg.eigh(relative_covariance(fit, block.name, block.effects))
        lams.append(vectors * np.sqrt(np.maximum(values, 0.0)))
        groups.append((block.codes, block.z))
    return DenseModel(design.y, design.X, groups, design.weights, exact=False).criterion(lams, reml=fit.reml)


def relative_covariance(fit: mf.MixedResults, group: str, effects: tuple[str, ...]) -> np.ndarray:
    """Return Ω/σ² of a grouping factor from the table of variances and covariances."""
    table = fit.varcorr[fit.varcorr["grp"].str.fullmatch(rf"{re.escape(group)}(\.\d+)?")]
    omega = np.zeros((len(effects), len(effects)))
    for row in table.itertuples():
        i = effects.index(row.var1)
        j = effects.index(row.var2) if isinstance(row.var2, str) else i
        omega[i, j] = omega[j, i] = row.vcov
    return omega / fit.scale


@lru_cache
def factor_levels() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the levels of the factors of every file."""
    return dict(json.loads((FOLDER / "data" / "_factors.json").read_text(encoding="utf-8")))


@lru_cache
def read(name: str) -> pd.DataFrame:
    """Return a file of the collection, its factors with their levels in order."""
    factors = factor_levels().get(name, {})
    separator = ";" if "Metida" in name else ","
    table = pd.read_csv(FOLDER / name, sep=separator, dtype=dict.fromkeys(factors, "str"))
    for column, factor in factors.items():
        if column in table and set(table[column].dropna()) <= set(factor["levels"]):
            table[column] = pd.Categorical(table[column], categories=factor["levels"])
    return table


def ramus() -> pd.DataFrame:
    """Return the ramus heights, one row a measurement."""
    boys = np.repeat([f"S{boy:02d}" for boy in range(1, 21)], 4)
    table = pd.DataFrame(
        {"resp": np.array(RAMUS.split(), float), "time": 20 * [8.0, 8.5, 9.0, 9.5], "Subj": boys}
    )
    return table.assign(ct=table["time"] - 8.75)


def reason_left_out(record: dict[str, Any]) -> str | None:
    """Return why a published fit is not ours to reproduce, or None."""
    if NOT_IID in record.get("notes", ""):
        return "residual variances or correlations of nlme, which a formula of lme4 cannot say"
    if STRUCTURES.search(record["formula"]):
        return "a covariance structure (AR(1), heterogeneous CS) outside lme4's formulas"
    if record["id"] == "mmjl-kb07-max-ml":
        return "the data at hand are not the published ones (kb07: 1790 rows, published 1789)"
    inside = record["csv"] or record["id"] in DATA or "data" in record["expected"] or "elston" in record["id"]
    return None if inside else "the data are not at hand (MovieLens, OSF, lme4-vs-MixedModels.jl)"


@lru_cache
def records() -> dict[str, dict[str, Any]]:
    """Return all published results by name, fits and other kinds; none where the collection is absent."""
    path = FOLDER / "expected.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"] if path.is_file() else []
    return {case["id"]: case for case in cases}


@lru_cache
def published_fits() -> tuple[tuple[PublishedFit, ...], Counter[str]]:
    """Return the fits to reproduce, and how many are left out for which reason."""
    fits = [record for record in records().values() if record["kind"] == "fit"]
    reasons = [reason_left_out(record) for record in fits]
    inside = tuple(
        PublishedFit(record) for record, reason in zip(fits, reasons, strict=True) if reason is None
    )
    return inside, Counter(reason for reason in reasons if reason)
