"""Rules of inference that matter in few data sets: atoms, centring, few degrees of freedom, right-hand sides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy import stats

import mixedfit as mf
from mixedfit.diagnostics import residuals
from mixedfit.inference import satterthwaite
from mixedfit.inference.bootstrap.intervals import INTERVALS
from mixedfit.inference.bootstrap.sources import ResidualSource


def test_bca_must_count_replicates_equal_to_the_estimate_by_half() -> None:
    """A variance estimated as 0: 40 % of the replicates are 0 too, so that z₀ = Φ⁻¹(0.2) and a = 0."""
    replicates = np.concatenate([np.zeros(4000), np.linspace(1e-3, 1.0, 6000)])
    z0 = stats.norm.ppf(0.2)
    shares = stats.norm.cdf(2.0 * z0 + stats.norm.ppf([0.05, 0.95]))
    expected = [max(float(np.interp(p, [0.4, 1.0], [0.0, 1.0])), 0.0) for p in shares]
    assert INTERVALS["bca"](0.0, replicates, 0.9, 0.0) == pytest.approx(expected, abs=2e-3)


def test_normal_interval_must_be_moved_against_the_bias_of_the_replicates() -> None:
    """θ̂ − (mean − θ̂) ± z SD; replicates that lie 2 above the estimate move the interval 2 below it."""
    replicates = 12.0 + np.array([-1.0, 1.0] * 500)
    sd = np.sqrt(1000 / 999)
    expected = 8.0 + np.array([-1.0, 1.0]) * stats.norm.ppf(0.95) * sd
    assert INTERVALS["normal"](10.0, replicates, 0.9, 0.0) == pytest.approx(expected)


def test_resampled_residuals_must_have_mean_zero_and_the_estimated_variance() -> None:
    """Without an intercept the residuals of the fit have another mean than 0."""
    frame = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ 0 + Days + (0 + Days | Subject)", frame).fit()
    assert abs(fit.resid.mean()) > 10.0
    pool = ResidualSource(fit._fit).residuals
    assert pool.mean() == pytest.approx(0.0, abs=1e-12)
    assert np.mean(pool**2) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("dfs", "expected"),
    [
        ((1.5, 40.0), 2.0),  # F has no finite mean where one t² has none
        ((2.0, 40.0), 2.0),
        ((10.0, 40.0), 2 * (10 / 8 + 40 / 38) / (10 / 8 + 40 / 38 - 2)),
    ],
)
def test_joint_degrees_of_freedom_must_be_two_when_one_of_them_is_two_or_less(
    monkeypatch: pytest.MonkeyPatch, dfs: tuple[float, float], expected: float
) -> None:
    """Fai & Cornelius (1996): E = Σ df/(df − 2), and the F test gets 2E/(E − q)."""
    found = iter(dfs)
    monkeypatch.setattr(satterthwaite, "satterthwaite_df", lambda *_: next(found))
    identity = SimpleNamespace(
        fit=SimpleNamespace(
            inner_root=np.diag([1.0, np.sqrt(2.0)]),
            cross=SimpleNamespace(fixed=SimpleNamespace(transform=np.eye(2))),
        ),
    )
    df = satterthwaite.satterthwaite_f_df(cast(Any, identity), np.eye(2))
    assert df == pytest.approx(expected)


def test_power_must_test_the_right_hand_side_that_was_given() -> None:
    """With a true slope of 10.47 the hypothesis of 10.47 is rejected as often as the level says, that of 0 always."""
    frame = mf.load_dataset("sleepstudy")
    pilot = mf.lmm("Reaction ~ Days + (Days | Subject)", frame).fit()
    truth = pilot.parameters("long")
    for ddf in ("normal", "satterthwaite"):
        at_truth = mf.power(
            pilot.formula, frame, truth, f"Days = {truth['Days']:.6f}", n=300, seed=1, ddf=ddf
        )
        at_zero = mf.power(pilot.formula, frame, truth, "Days = 0", n=50, seed=1, ddf=ddf)
        assert at_truth.table["power"].iloc[0] < 0.12
        assert at_zero.table["power"].iloc[0] == 1.0


def test_power_of_a_multiple_must_be_that_of_the_coefficient() -> None:
    frame = mf.load_dataset("sleepstudy")
    pilot = mf.lmm("Reaction ~ Days + (Days | Subject)", frame).fit()
    truth = pilot.parameters("long")
    one, two = (
        mf.power(pilot.formula, frame, truth, text, n=200, seed=2, ddf="normal").table["power"].iloc[0]
        for text in ("Days = 7", "-2 * Days = -14")
    )
    assert 0.3 < one < 0.9
    assert two == one


def test_simulated_residuals_must_be_spread_over_the_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that ties with every draw has a rank that is uniform on (0, 1), not one near 0."""
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()._fit
    monkeypatch.setattr(residuals, "_draw", lambda _fit, n, *_: np.repeat(fit.response[:, None], n, axis=1))
    ranks = residuals.simulated_residuals(fit, 99, seed=1, conditional=False)
    assert ranks.min() < 0.2
    assert ranks.max() > 0.8
    assert ranks.mean() == pytest.approx(0.5, abs=0.15)
