"""Condensed rows have the criterion and gradient of all rows, at every value of the residual parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.estimation import whitening
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.residual_start import moment_start
from mixedfit.estimation.whitening import WhitenedPoint, WhitenedSearch

R = mf.residuals


def series(groups: int = 60, size: int = 12) -> pd.DataFrame:
    """Return rows in random order of groups with gaps, arms, and SDs that differ between early and late times."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        [(g, t) for g in range(groups) for t in range(size) if rng.random() < 0.8], columns=["g", "t"]
    )
    n = len(frame)
    frame["x"], frame["late"], frame["w"] = rng.normal(size=n), frame.t > 6, rng.uniform(0.5, 2, n)
    frame["y"] = 1 + 0.3 * frame.x + rng.normal(size=60)[frame.g % 60] + (1 + frame.late) * rng.normal(size=n)
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)


CASES: dict[str, tuple[Any, list[float]]] = {
    "AR1": (R.AR1("t", "g"), [0.7]),
    "AR1, negative": (R.AR1("t", "g"), [-0.4]),
    "CAR1": (R.CAR1("t", "g"), [0.3]),
    "AR1 VarIdent": (R.AR1("t", "g") * R.VarIdent("late"), [0.5, 0.4]),
}


def search(structure: Any, reml: bool, weights: str | None = None) -> WhitenedSearch:
    design = mf.lmm("y ~ x + late", series(), residual=structure, weights=weights).design
    assert design.residual is not None
    return WhitenedSearch(design, design.residual, reml, None, Control())


@pytest.mark.everyday(8)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("case", CASES)
def test_condensed_rows_must_have_the_criterion_of_all(case: str, weights: str | None, reml: bool) -> None:
    structure, x = CASES[case]
    own = search(structure, reml, weights)
    assert own.fewer is not None
    assert own.fewer[0].n < 0.4 * own.raw.n
    found = WhitenedPoint(own, np.array(x), None, condensed=True)
    expected = WhitenedPoint(own, np.array(x), None)
    assert found.value == pytest.approx(expected.value, abs=1e-8)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.metric, expected.metric, rtol=1e-10)


@pytest.mark.parametrize(
    "structure",
    [R.CAR1("x", "g"), R.AR1("t", "g") * R.VarExp("x"), R.CompoundSymmetry("g"), R.AR1("t", "g", by="late")],
    ids=["irregular times", "a variance function of numbers", "other laws", "matrices by level"],
)
def test_rows_must_stay_as_they_are_where_few_share_a_gap_or_the_law_is_another(structure: Any) -> None:
    data = series()
    data["late"] = data.g % 2 == 0
    design = mf.lmm("y ~ t", data, residual=structure).design
    assert design.residual is not None
    assert WhitenedSearch(design, design.residual, True, None, Control()).fewer is None


def test_fit_must_be_that_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A condensed row that stood for one row would have another log-determinant, and another φ."""
    data = series()
    model = mf.lmm("y ~ x", data, residual=R.AR1("t", "g") * R.VarIdent("late"))
    fit = model.fit()
    monkeypatch.setattr(whitening, "condensed", lambda raw, model: None)
    slow = model.fit()
    assert fit.reml_criterion == pytest.approx(slow.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(fit.residual_params.estimate, slow.residual_params.estimate, rtol=1e-6)
    np.testing.assert_allclose(fit.bse, slow.bse, rtol=1e-6)
    assert fit.fittedvalues.shape == (len(data),)
    assert fit._fit.cross.n == len(data)


def test_rate_of_many_rows_must_start_from_moments_and_end_where_any_start_ends() -> None:
    rng = np.random.default_rng(6)
    g, t = np.repeat(np.arange(1200), 5), np.sort(rng.uniform(0, 6, (1200, 5)), axis=1).ravel()
    y = np.concatenate(
        [
            np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(own, own))) @ rng.normal(size=5)
            for own in t.reshape(-1, 5)
        ]
    )
    model = mf.lmm("y ~ 1", pd.DataFrame({"g": g, "t": t, "y": y}), residual=R.CAR1("t", "g"))
    law = model.design.residual
    assert law is not None
    fit = model.fit()
    own = WhitenedSearch(model.design, law, True, None, Control())
    start = moment_start(own.raw, law)
    phi = float(law.natural(start)[0].value)
    assert phi != pytest.approx(float(law.natural(law.start)[0].value), abs=1e-3)
    assert phi == pytest.approx(fit.residual_params.estimate["phi"], abs=0.05)
    assert own(fit._fit.residual.x + 1e-3).value > fit.reml_criterion
    assert np.abs(own(fit._fit.residual.x).gradient).max() < 1e-3
