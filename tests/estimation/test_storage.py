"""Fits in files: what they must still know when they are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def test_loaded_fit_must_hold_sigma_when_the_saved_one_did(tmp_path: Path) -> None:
    """A row a level, σ = 1: another response has τ² = Σ(y − ȳ)²/(J − 1) − 1. The rival estimates σ anew."""
    rng = np.random.default_rng(3)
    first, second = 2.0 * rng.normal(size=12), 3.0 * rng.normal(size=12)
    fit = mf.lmm("y ~ 1 + (1 | g)", {"y": first, "g": np.arange(12)}).fit(sigma=1.0)
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert loaded.sigma == pytest.approx(1.0, rel=1e-12)
    assert loaded.df_resid == 12 - 2
    assert list(loaded.conf_int().index) == [".sig01", "(Intercept)"]
    again = loaded.refit(second)
    assert again.sigma == pytest.approx(1.0, rel=1e-12)
    assert again.varcorr["vcov"][0] == pytest.approx(np.var(second, ddof=1) - 1, rel=1e-6)


def test_loaded_fit_must_know_what_became_of_the_rows_and_terms(tmp_path: Path) -> None:
    """Rows dropped, an offset, a factor expanded by contrasts. Rivals: none, none, by levels."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.normal(size=120), "f": np.tile(list("abc"), 40), "g": np.arange(120) % 12})
    data["o"], data["y"] = rng.normal(size=120), rng.normal(size=120) + rng.normal(size=12)[data["g"]]
    data.loc[[4, 70], "x"] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        model = mf.lmm("y ~ x + (f || g)", data, offset="o", expand="contrasts")
    fit = model.fit()
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert "2 rows dropped" in str(loaded.summary())
    assert str(loaded.summary()) == str(fit.summary())
    assert loaded._fit.design.formula == fit._fit.design.formula
    np.testing.assert_allclose(loaded.fittedvalues, fit.fittedvalues, rtol=1e-12)
    new = data[80:90]
    np.testing.assert_allclose(loaded.predict(new), fit.predict(new), rtol=1e-12)


@pytest.mark.parametrize("form", ["matrix", "inverse", "pedigree"])
def test_loaded_fit_must_know_the_relationships(form: str, tmp_path: Path) -> None:
    """Rivals: the inverse taken for the matrix; a pedigree without its inbreeding."""
    pedigree = {"animal": range(3, 9), "sire": [1, 1, 3, 5, 5, 7], "dam": [2, 2, 4, 4, 6, 6]}
    known = mf.Known.from_pedigree(pedigree)
    if form == "matrix":
        known = mf.Known(known.covariance)
    if form == "inverse":
        known = mf.Known(np.asarray(known.precision), known.labels.tolist(), inverse=True)
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"animal": np.repeat(np.arange(1, 9), 4), "y": rng.normal(size=32)})
    data["y"] += 2.0 * rng.normal(size=8)[data["animal"] - 1]
    fit = mf.lmm("y ~ 1 + (1 | animal)", data, known={"animal": known}).fit()
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert loaded.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-10)
    own = loaded._fit.design.blocks[0].known
    assert own is not None
    assert own.is_inverse == (form != "matrix")
    np.testing.assert_allclose(own.values, known.values, rtol=1e-10, atol=1e-12)
    if form == "pedigree":
        assert own.inbreeding is not None
        assert own.inbreeding.max() > 0.2
        pd.testing.assert_series_equal(own.inbreeding, known.inbreeding)
