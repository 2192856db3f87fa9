"""Known relationships between levels beside a residual structure: n × n matrices, and laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_data import animals
from known_oracle import model_of
from residual_oracle import residual_covariance

import mixedfit as mf
from mixedfit.diagnostics.structured_rows import StructuredRows
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.whitening import WhitenedSearch
from mixedfit.inference.ddf import degrees_of_freedom

AR1, VarIdent = mf.residuals.AR1, mf.residuals.VarIdent
LAWS = {"levels": VarIdent("arm"), "series": AR1("t", "animal"), "both": AR1("t", "animal") * VarIdent("arm")}
FORMULAS = ["y ~ x + (1 | animal)", "y ~ x + (x | animal)", "y ~ x + (1 | animal) + (1 | pen)"]


def records(rows: int = 120) -> tuple[pd.DataFrame, Any, list[str]]:
    """Return records of animals at times with two arms; pens have several animals; A and its labels."""
    pedigree, frame, A = animals(rows=rows)
    frame = frame.assign(
        t=frame.groupby("animal").cumcount(), arm=np.where(np.arange(rows) % 3 == 0, "a", "b")
    )
    frame["pen"] = frame["animal"].str[1:].astype(int) % 5
    frame["y"] += np.where(frame["arm"] == "b", 0.8, 0.0) * np.random.default_rng(3).normal(size=rows)
    return frame, A, pedigree.animal.tolist()


def model(formula: str, structure: Any, **options: Any) -> mf.LinearMixedModel:
    frame, A, labels = records()
    return mf.lmm(formula, frame, known={"animal": mf.Known(A, labels)}, residual=structure, **options)


def dense(fit: mf.MixedResults, structure: Any) -> Any:
    """Return the dense model at the estimates, with R in place of the identity."""
    frame, A, _ = records()
    group = "animal" if structure.correlation is not None else None
    R = residual_covariance(structure, frame, group, fit.residual_params["estimate"].to_dict())
    out = model_of(fit, {"animal": A})
    out.__dict__["R"] = R
    return out


@pytest.mark.everyday(3)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_fit_must_have_the_dense_criterion_coefficients_and_blups(formula: str, law: str) -> None:
    fit = model(formula, LAWS[law]).fit()
    written = dense(fit, LAWS[law])
    assert fit.convergence.converged
    assert fit.reml_criterion == pytest.approx(written.criterion(True), abs=1e-7)
    np.testing.assert_allclose(fit.params, written.beta, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit._fit.modes[0], written.blups(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fit.cov_params(), written.phi, rtol=1e-6)
    P, R = written.P, written.R * fit.sigma**2
    np.testing.assert_allclose(StructuredRows(fit._fit).leverage, np.diag(np.eye(len(R)) - R @ P), rtol=1e-6)


@pytest.mark.everyday(3)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_gradient_must_be_that_of_differences(formula: str, reml: bool) -> None:
    design = model(formula, LAWS["both"], weights="w").design
    search = WhitenedSearch(design, design.residual, reml, None, Control())
    x, step = np.array([0.3, -0.2]), 1e-4
    found = search(x).gradient
    for i, unit in enumerate(np.eye(2)):
        slope = (search(x + step * unit).value - search(x - step * unit).value) / (2 * step)
        assert found[i] == pytest.approx(slope, rel=2e-5, abs=2e-5)


def test_identity_must_be_the_ordinary_model() -> None:
    frame = records()[0]
    labels = sorted(frame["animal"].unique())
    formula, structure = "y ~ x + (1 | animal)", LAWS["both"]
    plain = mf.lmm(formula, frame, residual=structure).fit()
    related = mf.lmm(
        formula, frame, residual=structure, known={"animal": mf.Known(np.eye(len(labels)), labels)}
    ).fit()
    assert related.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-8)
    for ddf in ("satterthwaite", "kenward-roger"):
        own, other = (degrees_of_freedom(f._fit, ddf) for f in (related, plain))
        np.testing.assert_allclose(own.covariance, other.covariance, rtol=1e-5)
        assert own.df(np.eye(2)[1]) == pytest.approx(other.df(np.eye(2)[1]), rel=1e-4)
    new = {"x": [0.0, 1.0], "t": [9, 9], "arm": ["a", "b"], "animal": [labels[0], labels[3]]}
    np.testing.assert_allclose(related.forecast(new), plain.forecast(new), rtol=1e-5)
    np.testing.assert_allclose(related.vcov_varpar(), plain.vcov_varpar(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(related.predict(new, se=True), plain.predict(new, se=True), rtol=1e-5)


def test_degrees_of_freedom_and_errors_must_be_those_of_the_dense_model() -> None:
    """Without a correlation V is linear in Ω and the variances of the arms; the observed information is exact."""
    structure = LAWS["levels"]
    fit = model("y ~ x + (1 | animal)", structure).fit()
    written = dense(fit, structure)
    frame = records()[0]
    arm = frame["arm"].to_numpy()
    written.__dict__["directions"] = [
        written.factors[0].directions()[0],
        *(np.diag((arm == a) * 1.0) for a in "ab"),
    ]
    degrees = degrees_of_freedom(fit._fit, "satterthwaite")
    for j, contrast in enumerate(np.eye(2)):
        assert degrees.df(contrast) == pytest.approx(written.satterthwaite(j), rel=1e-4)


def test_answers_of_other_kinds_must_know_both(tmp_path: Path) -> None:
    fit = model("y ~ x + (1 | animal)", LAWS["series"]).fit()
    fit.save(tmp_path / "fit.npz")
    again = mf.load(tmp_path / "fit.npz")
    assert again.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-9)
    V = np.cov(fit.simulate(4000, seed=1).to_numpy())
    expected = dense(fit, LAWS["series"]).V
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / 4000)
    assert np.abs((V - expected) / error).max() < 5.5
    text = str(fit.summary())
    assert "known relationship matrix A" in text
    assert "AR1" in text
    limits = fit.conf_int(method="profile", parameters="phi").loc["phi"]
    assert limits["lower"] < fit.residual_params.loc["phi", "estimate"] < limits["upper"]
    frame, A, labels = records()
    intercepts = mf.residuals.CompoundSymmetry("animal")  # beside a related intercept it is identified
    both = mf.lmm(
        "y ~ x + (1 | animal)", frame, known={"animal": mf.Known(A, labels)}, residual=intercepts
    ).fit()
    assert both.convergence.status != "unidentified"
