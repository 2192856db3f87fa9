"""Responses in the span of fixed and random effects, whose posterior is improper at σ = 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.bayes import priors as pr


def constant_within_groups(formula: str = "y ~ x + (1 | g)", noise: float = 0.0) -> mf.LinearMixedModel:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.repeat(np.arange(8), 4), "h": np.tile(np.arange(4), 8)})
    frame["x"], frame["w"] = rng.standard_normal(32), 1.0
    frame["y"] = rng.standard_normal(8)[frame["g"]] + noise * rng.standard_normal(32)
    frame["z"] = 100.0 + frame["y"] + rng.standard_normal(4)[frame["h"]] - 3.0 * frame["x"]
    return mf.lmm(formula, frame)


SHORT: dict[str, Any] = {"draws": 10, "tune": 5, "seed": 1}


@pytest.mark.parametrize("prior", [None, pr.HalfNormal(1), pr.UniformSD(), pr.Exponential(1), pr.Jeffreys()])
def test_response_constant_within_groups_must_be_refused(prior: Any) -> None:
    """A covariance matrix was blamed after some sweeps, or draws came near σ = 0 for ever."""
    with pytest.raises(
        mf.ModelError, match=r"improper: it is constant within the levels of 'g'.*one row for each"
    ):
        constant_within_groups().gibbs(None if prior is None else {"sigma": prior}, **SHORT)


def test_response_in_the_span_of_crossed_effects_must_be_refused() -> None:
    """It is not constant within the levels of either factor."""
    with pytest.raises(mf.ModelError, match="fixed and random effects reproduce it exactly"):
        constant_within_groups("z ~ x + (1 | g) + (1 | h)").gibbs(**SHORT)


def test_response_must_be_refused_where_sigma_differs_by_group() -> None:
    with pytest.raises(mf.ModelError, match="unbounded at σ = 0, which the prior σ₀ ~ half-normal"):
        constant_within_groups().gibbs(sigma="by:h", **SHORT)


@pytest.mark.everyday(1)
@pytest.mark.parametrize("prior", [pr.InverseGamma(2, 1), pr.LogNormal(0.1, 1), pr.Known(0.1)])
def test_prior_that_excludes_zero_must_be_sampled(prior: Any) -> None:
    assert np.all(constant_within_groups().gibbs({"sigma": prior}, **SHORT).sigma > 0)


def test_small_residual_variance_must_be_sampled() -> None:
    """A residual SD of 1e-5 of the response's is small, not 0."""
    posterior = constant_within_groups(noise=1e-5).gibbs(draws=60, tune=300, seed=1)
    assert 5e-6 < posterior.sigma.mean() < 2e-5
