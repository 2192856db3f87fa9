"""Residuals with a known covariance: correlated estimates of a meta-analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

TRIALS = [
    (0.47, -0.32, 0.0075, 0.0030, 0.0077),
    (0.20, -0.60, 0.0057, 0.0009, 0.0008),
    (0.40, -0.12, 0.0021, 0.0007, 0.0014),
    (0.26, -0.31, 0.0029, 0.0009, 0.0015),
    (0.56, -0.39, 0.0148, 0.0072, 0.0304),
]
"""Berkey, Hoaglin, Antczak-Bouckoms, Mosteller & Colditz (1998), Stat. Med. 17:2537: effects on probing depth and
attachment level, and their variances and covariance."""


def berkey() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [(t, o, trial[k]) for t, trial in enumerate(TRIALS, 1) for k, o in enumerate(("PD", "AL"))]
    frame = pd.DataFrame(rows, columns=["trial", "outcome", "y"])
    frame["row"] = frame.trial.astype(str) + frame.outcome
    V = np.zeros((10, 10))
    for t, (_, _, a, b, c) in enumerate(TRIALS):
        V[2 * t : 2 * t + 2, 2 * t : 2 * t + 2] = [[a, b], [b, c]]
    return frame, pd.DataFrame(V, frame.row, frame.row)


def fit_of(reml: bool, random: str = "(0 + outcome | trial)", sigma: float | None = 1.0) -> mf.MixedResults:
    frame, V = berkey()
    structure = mf.residuals.Known(V, "row", "trial")
    return mf.lmm(f"y ~ 0 + outcome + {random}", frame, residual=structure).fit(reml=reml, sigma=sigma)


def test_bivariate_meta_analysis_must_be_metafors() -> None:
    """metafor's page on Berkey et al. (1998), rma.mv(..., struct="UN", method="ML")."""
    fit = fit_of(reml=False)
    variances = fit.varcorr["vcov"].to_numpy()
    assert variances[:2] == pytest.approx([0.0261, 0.0070], abs=6e-5)
    assert fit.varcorr["sdcor"][2] == pytest.approx(0.6992, abs=1e-4)
    assert fit.params.to_numpy() == pytest.approx([-0.3379, 0.3448], abs=6e-5)
    assert fit.bse.to_numpy() == pytest.approx([0.0798, 0.0495], abs=6e-5)


@pytest.mark.parametrize("sigma", [1.0, None])
def test_criterion_must_be_that_of_the_dense_model(sigma: float | None) -> None:
    frame, V = berkey()
    fit = fit_of(reml=True, random="(1 | trial)", sigma=sigma)
    same = frame.trial.to_numpy()[:, None] == frame.trial.to_numpy()
    cov = fit.sigma**2 * V.to_numpy() + fit.varcorr["vcov"][0] * same
    X = fit._fit.design.X
    inverse = np.linalg.inv(cov)
    information = X.T @ inverse @ X
    rest = frame.y - X @ fit.params.to_numpy()
    value = np.linalg.slogdet(cov)[1] + np.linalg.slogdet(information)[1]
    value += 8 * np.log(2.0 * np.pi) + rest @ inverse @ rest
    assert fit.reml_criterion == pytest.approx(value, abs=1e-7)
    assert fit.cov_params().to_numpy() == pytest.approx(np.linalg.inv(information), rel=1e-6)


def test_fit_must_be_saved_with_its_matrix_and_print_it_in_words(tmp_path: Path) -> None:
    fit = fit_of(reml=True)
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert loaded.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-10)
    text = str(fit.summary())
    assert "covariance sigma^2 V of the rows, V known" in text
    assert "sigma^2 multiplies V" in text
    assert fit.residual_cov(1).to_numpy() == pytest.approx(np.array([[0.0077, 0.003], [0.003, 0.0075]]))


def test_models_with_equal_matrices_must_be_nested() -> None:
    table = mf.anova(fit_of(reml=False, random="(1 | trial)"), fit_of(reml=False))
    assert "is no chi-square" not in str(table)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"row": "outcome"}, "not in the matrix"),
        ({"group": "outcome"}, "rows '1AL' and '1PD', which lie in different groups of 'outcome'"),
        ({"matrix": np.eye(10)}, "no labels"),
        ({"row": ""}, "expected the name of a column"),
    ],
)
def test_wrong_matrix_must_be_refused_with_what_to_do(change: dict[str, Any], words: str) -> None:
    frame, V = berkey()
    given = {"matrix": V, "row": "row", "group": "trial"} | change
    with pytest.raises(mf.MixedfitError, match=words):
        mf.lmm("y ~ 0 + outcome", frame, residual=mf.residuals.Known(**given)).fit(sigma=1)
