"""Verdicts on residual parameters: local minima, ranges that run away, searches that give up at a limit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

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
