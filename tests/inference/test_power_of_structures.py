"""Power and coverage with residual structures, against generalised least squares with known parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mixedfit as mf
from mixedfit.inference.power.assumed_residual import residual_parameters
from mixedfit.inference.power.study import study_of

PARAMS = {"(Intercept)": 10.0, "armb": 1.2, "visit": 0.5, "sigma": 2.0, "phi": 0.6}
FORMULA, AR1 = "y ~ arm + visit", "AR1(visit, id)"


def trial(per_arm: int = 20) -> pd.DataFrame:
    subjects, visits = 2 * per_arm, 4
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(subjects), visits), "visit": np.tile(np.arange(visits), subjects)}
    )
    frame["arm"] = np.where(frame["id"] < per_arm, "a", "b")
    frame["week"] = frame["visit"].astype("category").cat.as_ordered()
    return frame


def error_of_the_arm(data: pd.DataFrame, phi: float) -> float:
    """σ √[(XᵀR⁻¹X)⁻¹]_arm with R_st = φ^|s − t| within subjects."""
    x = np.column_stack([np.ones(len(data)), data["arm"] == "b", data["visit"]]).astype(float)
    same = data["id"].to_numpy()[:, None] == data["id"].to_numpy()
    lags = np.abs(data["visit"].to_numpy()[:, None] - data["visit"].to_numpy())
    r = np.where(same, phi**lags, 0.0)
    return 2.0 * float(np.sqrt(np.linalg.inv(x.T @ np.linalg.solve(r, x))[1, 1]))


def test_power_must_be_that_of_generalised_least_squares() -> None:
    """Rival: residuals drawn as independent, whose power is 0.97 here."""
    data, n = trial(), 150
    found = mf.power(FORMULA, data, PARAMS, "armb", residual=AR1, n=n, ddf="normal", seed=1)
    gap = 1.2 / error_of_the_arm(data, 0.6)
    expected = norm.sf(norm.isf(0.025) - gap) + norm.cdf(-norm.isf(0.025) - gap)
    assert expected == pytest.approx(0.709, abs=1e-3)
    assert abs(found.power - expected) < 3.5 * np.sqrt(expected * (1 - expected) / n)
    assert "residuals: AR1(time='visit', group='id')" in str(found)


def test_draws_must_have_the_covariance_of_the_structure() -> None:
    data, params = trial(2), {"(Intercept)": 1.0, "sigma": 2.0, "phi": 0.6, "ratio(b)": 3.0}
    drawn = mf.simulate_lmm(
        "y ~ 1", data, params, residual="AR1(visit, id) * VarIdent(arm)", n=20_000, seed=1
    )
    block = 0.6 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    expected = np.kron(np.diag([4.0, 4.0, 36.0, 36.0]), block)
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / 20_000)
    assert np.all(np.abs(np.cov(drawn.to_numpy()) - expected) < 5 * error)


def test_subjects_must_be_copied_when_only_the_structure_names_them() -> None:
    found = mf.power(FORMULA, trial(), PARAMS, "armb", residual=AR1, n=2, seed=1, along={"id": [20, 60]})
    assert found.table["rows"].tolist() == [80, 240]


@pytest.mark.parametrize(
    "text",
    ["us(week | id)", "us(week | id, by=arm)", "toeph(week | id)", "ARMA(2, 1, visit, id)", "csh(week | id)",
     "adh(week | id)", "CAR1(visit, id)", "Matern(visit, id, nugget=True)", "AR1(visit, id) * VarExp(visit)"],
)  # fmt: skip
def test_parameters_must_be_those_given(text: str) -> None:
    model = study_of("y ~ arm", trial(), residual=text).design.residual
    assert model is not None
    x = model.start + np.random.default_rng(1).uniform(-0.5, 0.5, model.start.size)
    found = residual_parameters(model, np.array([p.value for p in model.natural(x)]))
    rows = np.arange(8)
    np.testing.assert_allclose(model.matrix(found, rows), model.matrix(x, rows), atol=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phi": 1.2}, "between -1 and 1"),
        ({"phi": None}, "lacks 'phi'"),
        ({"phii": 1.0}, "Did you mean 'phi'"),
    ],
)
def test_parameters_that_are_wrong_must_be_refused(change: dict[str, float], words: str) -> None:
    params = {name: value for name, value in {**PARAMS, **change}.items() if value is not None}
    with pytest.raises(mf.ModelError, match=words):
        mf.simulate_lmm(FORMULA, trial(), params, residual=AR1)


def test_coverage_must_have_the_parameters_of_the_structure() -> None:
    found = mf.coverage(FORMULA, trial(), PARAMS, residual=AR1, n=5, seed=1, methods=["wald", "profile"])
    truth = found.table.set_index(["parameter", "method"])["true"]
    assert truth["phi", "profile"] == 0.6
    assert (found.table["coverage"] >= 0.6).all()
