"""Variances at and near zero: where the search must leave the boundary, stop at it, or stay away from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from models import sleepstudy

import mixedfit as mf
from mixedfit.estimation import estimate


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
