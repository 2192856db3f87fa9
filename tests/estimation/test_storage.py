"""Fits in files: what they must still know when they are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
