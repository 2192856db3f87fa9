"""Monte-Carlo errors of posterior means of effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from mixedfit.model.shrinkage import _noise as noise


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_error_of_a_mean_must_be_that_of_an_autoregression(rho: float) -> None:
    """√((1 + ρ)/(1 − ρ)/N) of N draws in 4 chains. The rivals: one chain, double that; independent draws."""
    shocks = np.random.default_rng(1).normal(size=(4, 5000, 300, 1)) * np.sqrt(1 - rho**2)
    shocks[:, 0] /= np.sqrt(1 - rho**2)
    values = lfilter([1.0], [1.0, -rho], shocks, axis=1)
    expected = np.sqrt((1 + rho) / (1 - rho) / 20_000)
    assert noise(values).mean() == pytest.approx(expected, rel=0.08)
