"""Degrees of freedom are computed once, and kept in files, whatever the coordinates of the fit that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.estimation import information
from mixedfit.estimation.answers import STORED

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x + z || g)",
    "y ~ x + (x + z | g) + (1 | h)",
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + cs(f | g)",
    "y ~ f + (f | h)",
]


def rows(noise: float = 1.0, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(3, 1, n), "z": 1e3 * rng.normal(size=n), "g": np.arange(n) % 12})
    frame["f"], frame["h"] = rng.choice(list("abc"), n), rng.integers(0, 9, n)
    slopes = rng.normal(size=(12, 2)) @ [[1, 0.5], [0, 0.4]]
    frame["y"] = (
        slopes[frame["g"], 0] + slopes[frame["g"], 1] * frame["x"] + 0.7 * rng.normal(size=9)[frame["h"]]
    )
    frame["y"] += noise * rng.normal(size=n)
    return frame


def answers(fit: mf.MixedResults) -> list[Any]:
    return [fit.summary().coefficients["df"], np.ravel(fit.vcov_varpar()), fit.anova().table["df_denom"]]


@pytest.mark.everyday(2)
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_fit_that_is_read_must_have_the_answers_of_the_file(
    formula: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = mf.lmm(formula, rows()).fit()
    expected = answers(fit)
    fit.save(tmp_path / "fit.npz", rows=kept)
    fresh = answers(mf.lmm(formula, rows()).fit())
    monkeypatch.setattr(
        information.Information, "curvature", property(lambda _: pytest.fail("computed again"))
    )
    read = mf.load(tmp_path / "fit.npz")
    for own in (fit, read):
        for found, one, other in zip(answers(own), expected, fresh, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-10)
            np.testing.assert_allclose(found, other, rtol=1e-5, atol=1e-10)
    read.save(tmp_path / "again.npz", rows=kept)
    np.testing.assert_allclose(answers(mf.load(tmp_path / "again.npz"))[0], expected[0], rtol=1e-5)


def test_coordinates_of_other_signs_and_order_must_give_the_same(tmp_path: Path) -> None:
    """The rival takes the stored covariance for that of its own coordinates."""
    fit = mf.lmm(FORMULAS[0], rows()).fit()
    expected = answers(fit)
    fit.save(tmp_path / "fit.npz")
    read = mf.load(tmp_path / "fit.npz")
    own = read._fit.answers
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    full = np.eye(4)
    full[:3, :3] = turn
    own[STORED], own["stored_slopes"] = full @ own[STORED] @ full.T, own["stored_slopes"] @ turn.T
    for found, one in zip(answers(read), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-6, atol=1e-10)


def test_directions_that_are_not_those_of_the_fit_must_not_be_used(tmp_path: Path) -> None:
    fit = mf.lmm(FORMULAS[0], rows()).fit()
    expected = answers(fit)
    fit.save(tmp_path / "fit.npz")
    read = mf.load(tmp_path / "fit.npz")
    own = read._fit.answers
    own["stored_slopes"] = np.random.default_rng(1).normal(size=own["stored_slopes"].shape)
    own[STORED] = np.eye(4)
    np.testing.assert_allclose(answers(read)[0], expected[0], rtol=1e-6)


def test_nearly_perfect_fit_must_keep_its_degrees_of_freedom_without_rows(tmp_path: Path) -> None:
    """They need the rows; the rival takes them from cross-products, which have too few digits."""
    fit = mf.lmm(FORMULAS[0], rows(3e-4)).fit()
    fit.save(tmp_path / "fit.npz", rows=False)
    found = mf.load(tmp_path / "fit.npz").summary().coefficients["df"]
    np.testing.assert_allclose(found, fit.summary().coefficients["df"], rtol=1e-4)
