"""Published fits with residual structures by nlme, mmrm, glmmTMB and metafor come out.

A table of all cases of the collection is printed by ``pytest -rA``: run, or left out with the reason.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from residual_references import LEFT_OUT, SPECS, ReferenceFit, records, reference_fits

FITS = reference_fits()

FLAT = {"topo-gls-exp-manhattan-nugget": 1e-3, "dialyzer-gls-varconstpower": 1e-3}
"""Tolerance of fits whose optimum lies where a parameter goes to a limit."""


OTHER_MINIMUM = {"wheat2-gls-spher"}
"""Fits of which the published one is a local optimum, and ours a lower one."""


def each(cases: Any) -> Any:
    absent = pytest.mark.skip(reason="the published fits (shared/references) do not lie beside the project")
    rows = [pytest.param(case, id=case.id) for case in cases] or [pytest.param(None, marks=absent)]
    return pytest.mark.parametrize("case", rows)


@pytest.mark.everyday(18)
@each(FITS)
def test_criterion_must_be_as_low_as_the_best_known(case: ReferenceFit) -> None:
    assert case.criterion <= case.expected["criterion"] + 1e-6


SAME = [case for case in FITS if case.id not in OTHER_MINIMUM]


@pytest.mark.everyday(18)
@each(SAME)
def test_coefficients_and_errors_must_be_those_published(case: ReferenceFit) -> None:
    tolerance = FLAT.get(case.id, 1e-4)
    beta = np.array(list(case.expected["beta"].values()))
    errors = np.array(list(case.expected["se"].values()))
    np.testing.assert_allclose(case.fit.bse.to_numpy(), errors, rtol=tolerance)
    assert np.all(np.abs(case.fit.params.to_numpy() - beta) <= tolerance * np.maximum(np.abs(beta), errors))


@each(SAME)
def test_sigma_and_residual_parameters_must_be_those_published(case: ReferenceFit) -> None:
    tolerance = FLAT.get(case.id, 2e-4)
    found = case.fit.residual_params["estimate"]
    ours = {str(name): float(value) for name, value in found.items()}
    theirs = {k: v for k, v in (case.expected["correlation"] or {}).items() if k != "type"}
    strata = 1.0
    for part in case.expected["variance"] or []:
        numbers = {k: v for k, v in part.items() if k != "type"}
        if part["type"] == "ident":
            first = numbers[str(_baseline(case, numbers))]
            strata = first
            numbers = {f"ratio({k})": v / first for k, v in numbers.items() if v != first}
        theirs |= numbers
    if ours and "ad" in str((case.expected["correlation"] or {}).get("type")):
        np.testing.assert_allclose(list(ours.values())[:3], list(theirs.values())[:3], rtol=tolerance)
        return
    assert case.fit.sigma == pytest.approx(case.expected["sigma"] * strata, rel=tolerance)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=tolerance, abs=1e-6), name


def _baseline(case: ReferenceFit, numbers: dict[str, float]) -> str:
    law = next(v for v in case.fit._fit.residual.model.variances if hasattr(v, "levels"))  # type: ignore[union-attr]
    return str(law.levels[0])


@each(FITS)
def test_random_effects_must_have_the_published_deviations(case: ReferenceFit) -> None:
    theirs = [sd for term in case.expected["random"] or [] for sd in term["sd"].values()]
    found = case.fit.varcorr
    ours = found[found["var2"].isna() & (found["grp"] != "Residual")]["sdcor"].tolist()
    np.testing.assert_allclose(sorted(ours), sorted(theirs), rtol=1e-3)


def test_every_record_with_a_residual_structure_must_be_run_or_left_out_with_a_reason() -> None:
    known = records()
    if not known:
        pytest.skip("the published fits do not lie beside the project")
    random_side = [r["id"] for r in known if r["id"] not in SPECS and r["id"] not in LEFT_OUT]
    print(
        f"{len(known)} published fits: {len(FITS)} run, {len(LEFT_OUT)} left out, {len(random_side)} of random effects"
    )
    for id, reason in LEFT_OUT.items():
        print(f"  {id}: {reason}")
    assert not [i for i in random_side if "gls" in i or i.startswith("fev")]


def test_range_that_runs_away_must_be_a_verdict_beside_the_local_minimum() -> None:
    found = [case for case in FITS if case.id == "wheat2-gls-spher"]
    if not found:
        pytest.skip("the published fits do not lie beside the project")
    convergence = found[0].fit.convergence
    assert convergence.status == "unidentified"
    assert "the criterion is lower by" in convergence.message
