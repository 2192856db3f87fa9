"""Summaries of many quantities at once, beside the functions for one quantity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import signal

import mixedfit as mf
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.draws.summaries import summarise

SLOW_TWIN = {
    "mean": lambda x: np.mean(x),
    "sd": lambda x: np.std(x, ddof=1),
    "mcse": convergence.mcse_mean,
    "2.5%": lambda x: np.quantile(x, 0.025),
    "61%": lambda x: np.quantile(x, 0.61),
    "rhat": convergence.rhat,
    "ess_bulk": convergence.ess_bulk,
    "ess_tail": convergence.ess_tail,
    "hdi_lower": lambda x: convergence.hpd(x, 0.8)[0],
    "hdi_upper": lambda x: convergence.hpd(x, 0.8)[1],
}


@pytest.mark.everyday(4)
@pytest.mark.parametrize("shape", [(4, 200, 40), (3, 101, 9), (1, 50, 5), (2, 7, 4)])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_summary_of_many_must_be_that_of_each(shape: tuple[int, int, int], correlation: float) -> None:
    """Among them rounded draws (ties), a constant, and draws with a missing number."""
    rng = np.random.default_rng(1)
    draws = signal.lfilter([1.0], [1.0, -correlation], rng.standard_normal(shape), axis=1)
    draws[:, :, 1], draws[:, :, 2] = np.round(draws[:, :, 1], 1), 1.0
    draws[0, 0, 3] = np.nan
    for interval in ("quantiles", "hdi"):
        for name, values in summarise(draws, (0.025, 0.61), interval, 0.8).items():
            expected = [SLOW_TWIN[name](draws[:, :, i]) for i in range(shape[2])]
            np.testing.assert_allclose(values, expected, rtol=1e-9, err_msg=name)


def test_hdi_must_be_another_name_of_hpd() -> None:
    posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(
        draws=50, tune=20, seed=1
    )
    for quantity in (posterior, posterior.random_effects["Batch"], posterior.derive("sigma^2")):
        hpd, hdi = (quantity.summary(interval=name, level=0.9) for name in ("hpd", "hdi"))
        assert list(hdi.columns[3:5]) == ["hdi_lower", "hdi_upper"]
        pd.testing.assert_frame_equal(hdi, hpd.rename(columns=lambda name: name.replace("hpd", "hdi")))
    with pytest.raises(mf.ModelError, match="'quantiles', 'hpd' or 'hdi'"):
        posterior.summary(interval="eti")
