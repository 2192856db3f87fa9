"""Decisions at the boundary: which small variances are set to 0, which are said to be undetermined, saddles left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from models import sleepstudy

import mixedfit as mf
from mixedfit.estimation import estimate


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


def balanced(levels: int, rows: int, ratio: float) -> pd.DataFrame:
    """Return a balanced one-way layout whose mean squares between and within levels have a given ratio F.

    REML has the closed form λ² = (F − 1)/rows, and λ = 0 if F ≤ 1.
    """
    count = levels * rows
    between = np.repeat(np.tile([1.0, -1.0], levels // 2), rows)
    within = np.tile([1.0, -1.0], count // 2)
    mean_squares = count / (levels - 1), count / (count - levels)
    return pd.DataFrame(
        {
            "y": np.sqrt(ratio * mean_squares[1] / mean_squares[0]) * between + within,
            "g": np.repeat(np.arange(levels), rows),
        }
    )


def test_search_must_leave_the_boundary_when_it_starts_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """lme4 gives 1743.6283; 1893.66 without random effects, where the gradient is 0 too.

    Without a second start, as where the tail is large.
    """
    monkeypatch.setattr(estimate, "LARGE_TAIL", -1)
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", sleepstudy()).fit(start=[0.0, 0.0, 0.0])
    assert fit.reml_criterion == pytest.approx(1743.6283, abs=1e-4)


def test_small_variance_must_not_become_zero_when_that_costs_little() -> None:
    """λ is below `SMALL`, and the criterion at λ = 0 is higher by 0.0036 only.

    A zero would cost a further search each time that it is left again: few evaluations must do.
    """
    fit = mf.lmm("y ~ 1 + (1 | g)", balanced(4, 80_000, 1.05)).fit(control=mf.Control(max_evaluations=20))
    lam = fit.theta.iloc[0]
    assert lam == pytest.approx(np.sqrt(0.05 / 80_000), rel=1e-4)
    assert lam < estimate.SMALL
    at_zero = fit._fit.criterion(True)(np.zeros(1)).value
    assert 0.001 < at_zero - fit.reml_criterion < 0.01


def test_zero_variance_must_count_as_determined_when_the_criterion_rises_slowly() -> None:
    """F is just below 1: the criterion at λ = 0.1 is higher by 0.002; it is the same where data do not determine λ."""
    fit = mf.lmm("y ~ 1 + (1 | g)", balanced(4, 4, 0.999)).fit()
    assert fit._fit.convergence.status == "boundary"
    assert "do not determine" not in fit._fit.convergence.message
