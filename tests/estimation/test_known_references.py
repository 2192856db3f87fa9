"""Animal models, a phylogeny, areas and a meta-analysis of other programs, from the references beside the project.

`expected` in the records is the optimum of a plain likelihood; pedigreemm and ape with nlme agree with it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import SHARED_FOLDER

import mixedfit as mf

FOLDER = SHARED_FOLDER / "references" / "structures"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the references are not beside the project")


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "data" / f"{name}.csv")


def record(name: str) -> dict[str, Any]:
    cases = json.loads((FOLDER / "refs_dev.json").read_text(encoding="utf-8"))["cases"]
    return next(case for case in cases if case["id"] == name)


def check(fit: mf.MixedResults, expected: dict[str, Any], groups: list[str]) -> None:
    """Assert that criterion, coefficients, standard errors, SDs and BLUPs are those of the record."""
    value = fit.reml_criterion if fit.reml else fit.deviance
    assert value == pytest.approx(expected["criterion"], abs=1e-6)
    assert fit.params.to_numpy() == pytest.approx(list(expected["beta"].values()), rel=1e-4)
    assert fit.bse.to_numpy() == pytest.approx(list(expected["se"].values()), rel=1e-4)
    sds = fit.varcorr.set_index("grp")["sdcor"]
    assert sds["Residual"] == pytest.approx(expected["sigma"], rel=1e-4)
    for name, own in zip(groups, expected["random"], strict=True):
        assert sds[name] == pytest.approx(own["sd"], rel=1e-3)
        blups = fit.random_effects[name]["(Intercept)"]
        blups.index = blups.index.astype(str)
        for level, theirs in expected["ranef_first_levels"][own["term"]].items():
            assert blups[level] == pytest.approx(theirs, abs=2e-4)


def test_phylogeny_must_be_that_of_ape_and_nlme_or_better() -> None:
    """One start ends at their optimum; the criterion is lower, 1.959, as Pagel's λ goes to 1."""
    related = mf.Known(table("lizards_K").set_index("species"))
    model = mf.lmm("lmat ~ lsize + (1 | species)", table("lizards"), known={"species": related})
    expected = record("lizards-phylogeny")
    local = model.fit(control=mf.Control(starts=1))
    check(local, expected["expected"], ["species"])
    share = float(local.diagnostics.icc().loc["species", "estimate"])
    assert share == pytest.approx(expected["engine_values"]["lambda"], rel=1e-3)
    best = model.fit()
    assert best.reml_criterion < local.reml_criterion - 0.5
    assert "the residual variance is 0" in best.convergence.message


def test_areas_must_be_those_of_the_plain_likelihood() -> None:
    """A proper autoregression: precision D − 0.95 W."""
    areas = table("columb")
    pairs = table("columb_neighbours").to_numpy()
    place = {label: i for i, label in enumerate(areas.district)}
    W = np.zeros((len(areas),) * 2)
    for one, other in pairs:
        W[place[one], place[other]] = W[place[other], place[one]] = 1.0
    known = mf.Known(np.diag(W.sum(axis=0)) - 0.95 * W, areas.district.tolist(), inverse=True)
    areas = areas.rename(columns={"home.value": "home"})
    fit = mf.lmm("crime ~ income + home + (1 | district)", areas, known={"district": known}).fit(reml=False)
    check(fit, record("columb-car-precision-ml")["expected"], ["district"])


@pytest.mark.parametrize(
    ("name", "formula", "groups"),
    [
        ("milk-animal-herd", "", ["id", "herd"]),
        ("milk-animal-pe-herd", " + (1 | environment)", ["id", "herd", "environment"]),
    ],
)
def test_cows_of_a_large_pedigree_must_be_those_of_pedigreemm(
    name: str, formula: str, groups: list[str]
) -> None:
    """6,547 animals, of which 1,359 have records: pedigreemm took 700 s."""
    known = mf.Known.from_pedigree(table("milk_pedigree"), animal="id")
    cows = table("milk").drop(columns="sire")
    cows["environment"] = cows["id"]
    fit = mf.lmm(
        f"sdMilk ~ lact + np.log(dim) + (1 | id) + (1 | herd){formula}", cows, known={"id": known}
    ).fit()
    check(fit, record(name)["expected"], groups)
