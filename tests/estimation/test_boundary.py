"""Decisions at the boundary: which small variances are set to 0, which are said to be undetermined, saddles left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def grouped(between: float, groups: int = 12, size: int = 10) -> pd.DataFrame:
    """Return balanced one-way data with a mean square between groups of `between`, and 1 within."""
    rng = np.random.default_rng(5)
    within = rng.standard_normal((groups, size))
    within -= within.mean(axis=1, keepdims=True)
    within *= np.sqrt(groups * (size - 1) / np.sum(within**2))
    means = rng.standard_normal(groups)
    means -= means.mean()
    means *= np.sqrt(between / size * (groups - 1) / np.sum(means**2))
    return pd.DataFrame({"y": (within + means[:, None]).ravel(), "g": np.repeat(np.arange(groups), size)})


def rise_at_zero(between: float, groups: int = 12, size: int = 10) -> float:
    """Return by how much the REML criterion rises from its minimum to a variance of 0: a closed form for balanced data.

    −2 restricted log-likelihood = (g − 1) log v + g(m − 1) log s + (g − 1) B/v + g(m − 1)/s + constant with
    v = s + mτ² and mean squares B and 1; at τ² = 0 both variances are the pooled one.
    """
    a, b = groups - 1, groups * (size - 1)
    pooled = (a * between + b) / (a + b)
    return (a + b) * np.log(pooled) - a * np.log(between)


@pytest.mark.parametrize(("groups", "size", "ratio"), [(100, 6000, 9e-4), (60, 8000, 9e-4)])
def test_small_variance_must_be_kept_when_its_loss_would_raise_the_criterion(
    groups: int, size: int, ratio: float
) -> None:
    """τ/σ so small that 0 is tried; it raises the criterion by some thousandths, far more than rounding."""
    between = 1.0 + size * ratio**2
    assert 1e-3 < rise_at_zero(between, groups, size) < 1e-2
    fit = mf.lmm("y ~ 1 + (1 | g)", grouped(between, groups, size)).fit()
    assert not fit.singular
    assert fit.theta.iloc[0] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("between", [0.98, 0.6])
def test_variance_must_be_zero_when_groups_vary_less_than_rows(between: float) -> None:
    fit = mf.lmm("y ~ 1 + (1 | g)", grouped(between)).fit()
    assert fit.singular
    assert fit.varcorr.loc[0, "vcov"] == 0.0


@pytest.mark.parametrize("between", [0.9999, 0.99, 0.5])
def test_variance_on_the_boundary_must_not_be_called_undetermined_when_the_data_say_that_it_is_small(
    between: float,
) -> None:
    message = mf.lmm("y ~ 1 + (1 | g)", grouped(between)).fit().convergence.message
    assert "do not determine" not in message


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
        ("sleepstudy", "Reaction ~ Days + (Days || Subject)"),
    ],
)
def test_optimum_must_be_found_when_the_start_has_no_random_effects(
    monkeypatch: pytest.MonkeyPatch, name: str, formula: str
) -> None:
    """At λ = 0 the gradient vanishes whatever the data say: the search must see that the criterion falls off it.

    Small models are searched from a second start as well; as large ones, which are not, these end 150 to 283 too high
    without that look.
    """
    monkeypatch.setattr("mixedfit.estimation.estimate.LARGE_TAIL", -1)
    model = mf.lmm(formula, mf.load_dataset(name))
    best = model.fit()
    again = model.fit(start=np.zeros(best.theta.size))
    assert again.converged
    assert again.reml_criterion == pytest.approx(best.reml_criterion, abs=1e-6)
