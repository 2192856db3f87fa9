"""Verdicts on residual parameters: local minima, ranges that run away, searches that give up at a limit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from residual_oracle import dense_criterion

import mixedfit as mf
from mixedfit.core.arrays import Array

R = mf.residuals
TIMES = np.arange(40.0)


def trending(slope: float) -> dict[str, Array]:
    """Return one series with a trend, which a constant mean leaves to the residuals."""
    e = np.random.default_rng(0).normal(size=42)
    return {"y": slope * TIMES + e[2:] + e[1:-1] + e[:-2], "t": TIMES}


def fit_of(slope: float, structure: Any, **options: Any) -> mf.MixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm("y ~ 1", trending(slope), residual=structure).fit(**options)


def spherical_criterion(y: Array, reach: float) -> float:
    """Return the REML criterion of a constant mean with spherical correlations, minimised over σ."""
    h = np.abs(np.subtract.outer(TIMES, TIMES)) / reach
    C = np.where(h < 1, 1 - 1.5 * h + 0.5 * h**3, 0.0)
    one, free = np.ones(len(y)), len(y) - 1
    weights = np.linalg.solve(C, one)
    rest = y - (weights @ y) / (weights @ one)
    scale = rest @ np.linalg.solve(C, rest) / free
    return float(
        free * (1 + np.log(2 * np.pi * scale))
        + np.linalg.slogdet(C)[1]
        + np.log(one @ np.linalg.solve(C, one))
    )


def test_minimum_must_be_called_local_when_the_criterion_is_lower_at_endless_ranges() -> None:
    """The rivals take the endless range as the estimate, or are silent about it."""
    fit, y = fit_of(0.2, R.Spherical("t")), trending(0.2)["y"]
    found = float(fit.residual_params["estimate"]["range"])
    at = spherical_criterion(y, found)
    assert fit.reml_criterion == pytest.approx(at, abs=1e-8)
    assert min(spherical_criterion(y, found * factor) for factor in (0.9, 0.99, 1.01, 1.1)) > at
    assert spherical_criterion(y, 2000.0) < at - 4
    assert fit.convergence.status == "unidentified"
    assert "the criterion is lower by 4.1" in fit.convergence.message


def test_fit_must_not_be_singular_when_its_range_has_run_away() -> None:
    """Correlations within the data are near 1, but below: there is nothing to leave out."""
    fit = fit_of(0.4, R.Spherical("t"))
    assert "run away" in fit.convergence.message
    assert fit.convergence.status == "boundary"
    assert not fit.singular


def test_search_must_count_as_failed_when_it_gives_up_at_a_limit() -> None:
    """After 25 of 37 evaluations the nugget is within 1e-5 of 0, and the search is not at its end."""
    structure = R.Spherical("t", nugget=True)
    whole = fit_of(0.05, structure)
    assert whole.convergence.status == "boundary"
    assert whole.convergence.evaluations > 30
    fit = fit_of(0.05, structure, control=mf.Control(max_evaluations=25))
    assert fit.residual_params["estimate"]["nugget"] < 1e-5
    assert fit.convergence.status == "failed"
    assert not fit.converged


def trial(last: str = "own", patients: int = 24) -> pd.DataFrame:
    """Return responses at four visits; the last is the patient's "own", "carried" forward, or a "sum" of two."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(patients, 4)) @ np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T + np.arange(4)
    y[:, 3] = {"own": y[:, 3], "carried": y[:, 2], "sum": y[:, 0] + y[:, 1]}[last]
    ids = np.repeat(np.arange(patients), 4)
    arm = np.where(ids % 2, "a", "b")
    return pd.DataFrame(
        {"id": ids, "visit": [f"v{t % 4 + 1}" for t in range(ids.size)], "arm": arm, "y": y.ravel()}
    )


def with_last_visit_of(*ids: int) -> pd.DataFrame:
    data = trial()
    return data[(data["visit"] != "v4") | data["id"].isin(ids)].reset_index(drop=True)


def unstructured(data: pd.DataFrame, formula: str, reml: bool = True) -> mf.MixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, data, residual=R.Unstructured("visit", "id")).fit(reml=reml)


@pytest.mark.everyday(2)
@pytest.mark.parametrize(
    ("data", "formula", "reml", "freedom", "limit", "reason"),
    [
        (trial("carried"), "y ~ arm * visit", True, 22, "v3 and v4 goes to 1", "responses at v4 are those at v3"),
        (trial("carried"), "y ~ visit", False, 24, "v3 and v4 goes to 1", "carried forward"),
        (trial("sum"), "y ~ arm * visit", True, 22, "v1, v2 and v4 become", "linear combination"),
        (with_last_visit_of(3, 4), "y ~ visit", True, 1, "v1, v2, v3 and v4 become", "Only 2 groups of id"),
        (with_last_visit_of(3, 4, 7), "y ~ visit", True, 2, "v1, v2, v3 and v4 become", "Only 3 groups of id"),
    ],
)  # fmt: skip
def test_dependent_visits_must_be_named_when_the_likelihood_has_no_maximum(
    data: pd.DataFrame, formula: str, reml: bool, freedom: int, limit: str, reason: str
) -> None:
    """The dense criterion falls by r log 100 as the smallest eigenvalue is divided by 100."""
    fit = unstructured(data, formula, reml)
    assert fit.convergence.status == "unbounded"
    assert limit in fit.convergence.message
    assert reason in fit.convergence.message
    assert "max_evaluations" not in fit.convergence.message
    first = data.index[data["id"] == 3]  # a patient with all visits
    whole = fit.residual_cov(3).to_numpy() / fit.sigma**2
    codes = data["visit"].str[1:].astype(int).to_numpy() - 1
    values, vectors = np.linalg.eigh(whole)
    assert len(first) == 4
    same = np.equal.outer(data["id"].to_numpy(), data["id"].to_numpy())

    def criterion(least: float) -> float:
        covariance = (vectors * np.concatenate([[least], values[1:]])) @ vectors.T
        return dense_criterion(fit, np.where(same, covariance[np.ix_(codes, codes)], 0.0))

    fall = criterion(1e-6) - criterion(1e-8)
    assert fall == pytest.approx(freedom * np.log(100), rel=0.05, abs=0.3)
    assert np.all(np.isfinite(fit.bse.drop("visitv4", errors="ignore")))


def test_variance_of_a_visit_must_be_unidentified_when_fixed_effects_reproduce_its_rows() -> None:
    """REML does not depend on rows with leverage 1; the rival reports arbitrary correlations as converged."""
    fit = unstructured(with_last_visit_of(3, 4), "y ~ arm * visit")
    assert fit.convergence.status == "unidentified"
    for name in ("cor(v1,v4)", "cor(v2,v4)", "cor(v3,v4)", "ratio(v4)"):
        assert name in fit.convergence.message
    for name in ("cor(v1,v2)", "ratio(v3)"):
        assert name not in fit.convergence.message


def test_nearly_equal_visits_must_have_a_maximum_when_noise_tells_them_apart() -> None:
    data = trial("carried")
    data["y"] += 1e-3 * np.random.default_rng(2).normal(size=len(data))
    fit = unstructured(data, "y ~ arm * visit")
    assert fit.converged
    wide = data.pivot(index="id", columns="visit", values="y")
    rest = wide - wide.groupby(data.groupby("id")["arm"].first()).transform("mean")
    closed_form = rest.T @ rest / (len(rest) - 2)
    found = fit.residual_cov(3).to_numpy()
    assert found == pytest.approx(closed_form.to_numpy(), rel=1e-4)
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(np.linalg.eigvalsh(closed_form)[0], rel=1e-2)


def test_degrees_of_freedom_must_be_unknown_when_the_covariance_is_singular_to_rounding() -> None:
    """The rival raises numpy's error."""
    data = trial(patients=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mf.lmm("y ~ arm * visit", data, residual=R.Toeplitz("visit", "id") * R.VarIdent("visit")).fit()
        assert fit.convergence.status == "unbounded"
        assert np.linalg.eigvalsh(fit.residual_cov(0))[0] <= 1e-15 * fit.sigma**2
        for ddf in ("satterthwaite", "kenward-roger"):
            assert "The likelihood has no maximum" in str(fit.summary(ddf=ddf))
            assert np.all(np.isnan(fit.t_test("visitv2 = 0", ddf=ddf).table["df"]))


@pytest.mark.parametrize("opposite", [False, True])
def test_sign_of_phi_must_be_said_to_be_open_when_all_gaps_are_even(opposite: bool) -> None:
    """phi^2 per gap is at least 0: negative correlations of neighbours are on the boundary, as with CAR1 otherwise."""
    data = trial()
    data["t"] = 2.0 * data["visit"].str[1:].astype(int)
    if opposite:
        data["y"] *= np.where(data["t"] % 4 == 0, 1, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        even = mf.lmm("y ~ visit", data, residual=R.AR1("t", "id")).fit()
        step = mf.lmm("y ~ visit", data.assign(t=data["t"] / 2), residual=R.AR1("t", "id")).fit()
    assert "phi and -phi have the same likelihood" in str(even.summary())
    assert "phi and -phi" not in str(step.summary())
    phi, rho = even.residual_params.loc["phi"], step.residual_params.loc["phi", "estimate"]
    assert (phi["min"], phi["max"]) == (0.0, 1.0)
    assert phi["estimate"] ** 2 == pytest.approx(max(rho, 0.0), abs=1e-5)
    assert even.convergence.status == ("boundary" if opposite else "converged")


def few_rows(seed: int) -> pd.DataFrame:
    """11 rows of 4 groups; few enough that lines of groups reproduce the rows of one level of `a`."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.repeat([0, 1, 2, 3], [3, 3, 3, 2]), "x": rng.normal(size=11)})
    data["a"] = np.tile(["p", "q"], 6)[:11]
    noise = rng.normal(size=4)[data["g"]] + rng.normal(size=11) * np.where(data["a"] == "p", 1, 0.3)
    return data.assign(y=noise + data["x"])


@pytest.mark.parametrize("seed", [1, 4])
def test_random_effects_that_reproduce_rows_of_a_level_must_be_a_likelihood_without_maximum(
    seed: int,
) -> None:
    """The dense criterion falls by whole numbers per unit of the log ratio; the rival searches in rounding errors."""
    model = mf.lmm("y ~ x + (1 | g)", few_rows(seed), residual=R.VarIdent("a"))
    with pytest.warns(mf.ConvergenceWarning, match="no maximum"):
        fit = model.fit(reml=False)
    assert fit.convergence.status == "unbounded"
    assert "ratio(q) falls" in fit.convergence.message
    assert fit.convergence.evaluations < 100
    values = []
    for ratio in (1e-3, 1e-4):
        data = few_rows(seed)
        data["w"] = np.where(data["a"] == "q", ratio**-2, 1.0)
        known = mf.lmm("y ~ x + (1 | g)", data, weights="w").fit(reml=False)
        values.append(-2 * known.llf)
    falls = (values[0] - values[1]) / np.log(10)
    assert falls > 0.9
    assert falls == pytest.approx(round(falls), abs=0.05)


def test_variances_must_stay_positive_when_reml_has_a_maximum() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mf.lmm("y ~ x + (1 | g)", few_rows(0), residual=R.VarIdent("a")).fit()
    assert fit.convergence.status == "converged"
