"""Hypotheses that follow from others or contradict them; tests of variances on the boundary."""

from __future__ import annotations

from math import erfc, exp, sqrt

import pytest

import mixedfit as mf


@pytest.fixture(scope="module")
def fit() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


def test_multiples_of_one_hypothesis_must_be_tested_once(fit: mf.MixedResults) -> None:
    """F is the square of t = (β̂ − 10)/SE. The rival compares right sides of rows of different lengths."""
    t = (fit.params["Days"] - 10.0) / fit.bse["Days"]
    for hypotheses in (["2 * Days = 20", "Days = 10"], ["Days = 10", "-3 * Days = -30"]):
        found = fit.f_test(hypotheses)
        assert found.df_num == 1
        assert found.statistic == pytest.approx(t * t, rel=1e-9)


def test_multiples_with_one_right_side_must_be_refused(fit: mf.MixedResults) -> None:
    with pytest.raises(mf.ModelError, match="contradict each other"):
        fit.f_test(["2 * Days = 10", "Days = 10"])


def test_boundary_mixture_must_have_both_chi_squares_when_a_correlation_goes_too(
    fit: mf.MixedResults,
) -> None:
    """½χ²₁ + ½χ²₂, whose tails are erfc √(x/2) and exp(−x/2) (Stram & Lee 1994). The rivals: ½χ²₂, χ²₂, χ²₁."""
    row = fit.ranova().table.loc["Days | Subject"]
    one, two = erfc(sqrt(row["chisq"] / 2)), exp(-row["chisq"] / 2)
    assert row["p_value"] == pytest.approx(0.5 * (one + two), rel=1e-9)
    assert min(abs(0.5 * two / row["p_value"] - 1), abs(one / row["p_value"] - 1)) > 0.1


def test_boundary_mixture_must_have_the_p_value_one_when_the_variance_is_zero() -> None:
    """P(T ≥ 0) = 1, the half of the mixture that is constant 0 included. The rival leaves it out: ½."""
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()
    row = fit.ranova().table.loc["(Intercept) | Batch"]
    assert row["chisq"] == 0.0
    assert row["p_value"] == 1.0
