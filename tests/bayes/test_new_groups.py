"""Effects of new groups must have the covariance Ω, not that of the transposed root."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mixedfit as mf
from mixedfit.bayes.criticism.predictive_check import replicate

OMEGA = np.array([[100.0, 54.0], [54.0, 36.0]])
"""Correlation 0.9; with LᵀL for LLᵀ the variances would be 129.2 and 6.8."""


@pytest.fixture(scope="module")
def posterior() -> mf.Posterior:
    """Return draws that differ in the effects of new groups only: β = 0, Ω as above, a tiny σ."""
    drawn = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).gibbs(seed=1)
    omega = np.broadcast_to(OMEGA, drawn.omega[0].shape).copy()
    return replace(
        drawn, omega=(omega,), beta=np.zeros_like(drawn.beta), sigma=np.full_like(drawn.sigma, 1e-3)
    )


def test_prediction_for_a_new_group_must_have_the_covariance_of_its_effects(posterior: mf.Posterior) -> None:
    drawn = posterior.predict({"Days": [0.0, 1.0], "Subject": ["new", "new"]}, kind="mean", seed=3)
    first, second = drawn.values[..., 0].ravel(), drawn.values[..., 1].ravel()
    covariance = np.cov(first, second - first)
    error = np.sqrt(2.0 / first.size)
    assert covariance[0, 0] == pytest.approx(100.0, rel=5 * error)
    assert covariance[1, 1] == pytest.approx(36.0, rel=5 * error)
    assert covariance[0, 1] == pytest.approx(54.0, rel=8 * error)


def test_replicates_of_new_groups_must_have_the_covariance_of_their_effects(posterior: mf.Posterior) -> None:
    y = replicate(posterior, 400, "new", 5)
    days = posterior.design.X[:, 1]
    at0, at1 = y[:, days == 0], y[:, days == 1]
    covariance = np.cov(at0.ravel(), (at1 - at0).ravel())
    error = np.sqrt(2.0 / at0.size)
    assert covariance[0, 0] == pytest.approx(100.0, rel=5 * error)
    assert covariance[1, 1] == pytest.approx(36.0, rel=5 * error)
    assert covariance[0, 1] == pytest.approx(54.0, rel=8 * error)
