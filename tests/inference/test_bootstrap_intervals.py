"""Bootstrap intervals against closed forms and scipy; the user's statistic; runs that end early; bad input."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bootstrapped import FITS, crossed_fit
from scipy import stats

import mixedfit as mf
from mixedfit.inference.bootstrap.intervals import INTERVALS, acceleration_of, monte_carlo_error
from mixedfit.inference.bootstrap.replicates import Replicates, refit_one
from mixedfit.inference.bootstrap.sources import ParametricSource

# -- intervals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", INTERVALS)
def test_interval_must_be_the_normal_one_for_normal_replicates(kind: str) -> None:
    replicates = stats.norm.ppf(np.arange(1, 40_000) / 40_000)
    limits = INTERVALS[kind](0.0, replicates, 0.9, 0.0)
    np.testing.assert_allclose(limits, [-1.644854, 1.644854], atol=2e-3)


def test_intervals_must_differ_as_theory_says_for_skewed_replicates() -> None:
    replicates = stats.expon.ppf(np.arange(1, 40_000) / 40_000)
    lower, upper = stats.expon.ppf([0.025, 0.975])
    np.testing.assert_allclose(INTERVALS["percentile"](1.0, replicates, 0.95, 0.0), [lower, upper], rtol=1e-3)
    np.testing.assert_allclose(
        INTERVALS["basic"](1.0, replicates, 0.95, 0.0), [2 - upper, 2 - lower], rtol=1e-3
    )
    np.testing.assert_allclose(
        INTERVALS["shortest"](1.0, replicates, 0.95, 0.0), [0, -np.log(0.05)], atol=1e-3
    )
    z0 = stats.norm.ppf(1.0 - np.exp(-1.0))  # DiCiccio & Efron (1996), equation 2.3, with a = 0.1
    shifted = z0 + np.array([-1.959964, 1.959964])
    expected = stats.expon.ppf(stats.norm.cdf(z0 + shifted / (1.0 - 0.1 * shifted)))
    np.testing.assert_allclose(INTERVALS["bca"](1.0, replicates, 0.95, 0.1), expected, rtol=2e-3)


def test_bca_must_agree_with_scipy_on_an_independent_sample() -> None:
    data = np.random.default_rng(3).gamma(2.0, size=40)
    other = stats.bootstrap((data,), np.var, n_resamples=20_000, method="BCa", random_state=1)
    left_out = np.array([[np.var(np.delete(data, i))] for i in range(40)])
    acceleration = float(acceleration_of(left_out)[0])
    replicates = other.bootstrap_distribution
    found = INTERVALS["bca"](float(np.var(data)), replicates, 0.95, acceleration)
    width = np.diff(other.confidence_interval)[0]
    np.testing.assert_allclose(found, other.confidence_interval, atol=0.002 * width)
    rival = INTERVALS["percentile"](float(np.var(data)), replicates, 0.95, acceleration)
    assert np.abs(np.array(rival) - other.confidence_interval).max() > 0.02 * width


def test_bca_must_be_the_percentile_interval_when_replicates_lie_evenly_about_an_atom_at_the_estimate() -> (
    None
):
    """400 replicates below, 200 at and 400 above the estimate: z₀ = Φ⁻¹(0.4 + 0.2/2) = 0.

    The rivals count the atom in full, z₀ = Φ⁻¹(0.6), or not at all, z₀ = Φ⁻¹(0.4).
    """
    spread = np.linspace(0.01, 4.0, 400)
    replicates = np.concatenate([1.0 - spread, np.ones(200), 1.0 + spread])
    found = INTERVALS["bca"](1.0, replicates, 0.9, 0.0)
    np.testing.assert_allclose(found, INTERVALS["percentile"](1.0, replicates, 0.9, 0.0), rtol=1e-9)
    assert found[0] + found[1] == pytest.approx(2.0, rel=1e-9)
    rival = stats.norm.cdf(2 * stats.norm.ppf(0.6) + stats.norm.ppf([0.05, 0.95]))
    assert np.abs(np.quantile(replicates, rival) - found).min() > 0.1


def test_bca_must_work_on_a_fit() -> None:
    fit = FITS["slopes"]()
    drawn = fit.bootstrap(300, seed=1)
    frame = mf.load_dataset("sleepstudy")
    kept = [frame[frame["Subject"] != s] for s in frame["Subject"].cat.categories]
    again = [mf.lmm("Reaction ~ Days + (Days | Subject)", rows).fit() for rows in kept]
    np.testing.assert_allclose(drawn.jackknife.values[:, 3], [a.sigma for a in again], rtol=1e-6)
    limits = drawn.conf_int(kind="bca")
    assert np.all(limits["lower"] < drawn.estimates)
    assert np.all(drawn.estimates < limits["upper"])


def test_conf_int_must_name_and_bound_parameters() -> None:
    fit = FITS["singular"]()
    drawn = fit.bootstrap(200, seed=1)
    table = drawn.conf_int(0.9, "basic", parameters=["SD of (Intercept) | Batch", "fixed"])
    assert list(table.index) == [".sig01", "(Intercept)"]
    assert drawn.conf_int(parameters=".sig01", names="words").index[0] == "SD of (Intercept) | Batch"
    assert table.loc[".sig01", "lower"] == 0.0
    assert drawn.conf_int(parameters=".sig01", names="long").index[0] == "sd_(Intercept)|Batch"


def test_table_must_hold_bias_and_standard_error_of_the_replicates() -> None:
    drawn = FITS["slopes"]().bootstrap(100, seed=1)
    table = drawn.table
    np.testing.assert_allclose(table["bias"], drawn.replicates.mean() - drawn.estimates, rtol=1e-9)
    np.testing.assert_allclose(table["std_error"], drawn.replicates.std(ddof=1), rtol=1e-9)


def test_monte_carlo_error_must_be_that_of_the_quantiles() -> None:
    draws = np.random.default_rng(1).normal(size=(400, 2000))
    met = np.quantile(draws, 0.975, axis=1).std()
    np.testing.assert_allclose(np.median([monte_carlo_error(row, 0.95) for row in draws]), met, rtol=0.25)


# -- the statistic, and runs that end early ------------------------------------------------------------


def test_statistic_must_keep_the_names_of_its_series() -> None:
    fit = FITS["slopes"]()
    drawn = fit.bootstrap(3, seed=1, statistic=lambda refit: refit.params)
    assert list(drawn.statistic.columns) == ["statistic.(Intercept)", "statistic.Days"]
    np.testing.assert_array_equal(drawn.statistic.to_numpy(), drawn.beta.to_numpy())
    number = fit.bootstrap(3, seed=1, statistic=lambda refit: refit.sigma**2)
    np.testing.assert_allclose(number.replicates["statistic"], number.sigma**2)


class Unwell:
    """A statistic that does something else at its n-th call."""

    def __init__(self, at: int, act: Callable[[], Any]) -> None:
        self.at, self.act, self.calls = at, act, 0

    def __call__(self, refit: mf.MixedResults) -> Any:
        self.calls += 1
        return self.act() if self.calls == self.at else refit.sigma


def raise_error(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_statistic_that_raises_must_be_nan_there_and_lose_nothing_else(n_jobs: int) -> None:
    statistic = Unwell(4, lambda: raise_error(KeyError("nothing")))
    drawn = FITS["slopes"]().bootstrap(40, seed=1, statistic=statistic, n_jobs=n_jobs)
    plain = FITS["slopes"]().bootstrap(40, seed=1, statistic=lambda refit: refit.sigma)
    assert drawn.statistic["statistic"].isna().sum() == 1
    assert not drawn.failed.any()
    parameters = list(plain.replicates.columns[:-1])
    pd.testing.assert_frame_equal(drawn.replicates[parameters], plain.replicates[parameters])
    pd.testing.assert_frame_equal(drawn.conf_int().loc[parameters], plain.conf_int().loc[parameters])
    assert drawn.undefined == {"the statistic raised KeyError: 'nothing'": 1}
    assert "1 × the statistic raised KeyError: 'nothing': left out for the statistic alone" in " ".join(
        str(drawn).split()
    )


@pytest.mark.everyday(3)
@pytest.mark.parametrize("numbers", ["one", "array", "series"])
@pytest.mark.parametrize(
    "act",
    [
        lambda: 1.0 / 0.0,
        lambda: raise_error(ValueError("no root")),
        lambda: raise_error(np.linalg.LinAlgError("singular")),
        lambda: raise_error(mf.ModelError("not defined")),
        lambda: float("nan"),
    ],
)
def test_statistic_that_fails_often_must_warn_and_be_summarised_over_the_rest(act: Any, numbers: str) -> None:
    calls = count()

    def statistic(refit: mf.MixedResults) -> Any:
        value = act() if refit.sigma != fit.sigma and next(calls) % 4 == 0 else refit.sigma
        return {"one": value, "array": [value, 1.0], "series": pd.Series({"a": value, "b": 1.0})}[numbers]

    fit = FITS["slopes"]()
    with pytest.warns(mf.BootstrapWarning, match=r"the statistic is not defined in 10 of 40 replicates"):
        drawn = fit.bootstrap(40, seed=1, statistic=statistic)
    first = drawn.statistic.iloc[:, 0]
    assert first.isna().sum() == 10
    assert np.isfinite(drawn.conf_int(0.8).to_numpy()).all()


def test_statistic_that_raises_on_the_fit_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="raised KeyError on the fit itself: 'nothing'") as caught:
        FITS["slopes"]().bootstrap(9, seed=1, statistic=lambda refit: raise_error(KeyError("nothing")))
    assert isinstance(caught.value.__cause__, KeyError)


def test_statistic_that_changes_length_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="returned 2 numbers on replicate 1 and 1 on the fit itself"):
        FITS["slopes"]().bootstrap(9, seed=1, statistic=Unwell(3, lambda: [1.0, 2.0]))
    with pytest.raises(mf.ModelError, match="returned str on the fit itself"):
        FITS["slopes"]().bootstrap(9, seed=1, statistic=lambda refit: "text")


def test_statistic_that_is_nan_must_count_as_failed_for_itself_alone() -> None:
    with pytest.warns(mf.BootstrapWarning, match="not defined in 1 of 9 replicates"):
        drawn = FITS["slopes"]().bootstrap(9, seed=1, statistic=Unwell(3, lambda: float("nan")))
    assert drawn.statistic["statistic"].isna().tolist() == [i == 1 for i in range(9)]
    assert drawn.replicates.iloc[:, :-1].notna().all(axis=None)
    assert "the statistic is NaN" in str(drawn)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupt_must_keep_what_was_done(n_jobs: int) -> None:
    fit = FITS["slopes"]()
    whole = fit.bootstrap(200, seed=1)
    statistic = Unwell(31, lambda: raise_error(KeyboardInterrupt()))
    with pytest.warns(mf.BootstrapWarning, match="stopped after"):
        drawn = fit.bootstrap(200, seed=1, statistic=statistic, n_jobs=n_jobs)
    assert 29 <= drawn.n < 200
    pd.testing.assert_frame_equal(drawn.replicates.iloc[:, :6], whole.replicates.loc[drawn.replicates.index])
    assert f"Stopped after {drawn.n} of 200" in str(drawn)


def test_refit_must_be_left_between_evaluations_when_the_run_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An evaluation takes seconds in large models, and a refit many of them. The rival finishes the refit."""
    monkeypatch.setattr("mixedfit.estimation.search.searchable_model", lambda _: None)  # as in large models
    fit = FITS["slopes"]()._fit
    sample = ParametricSource(fit).draw(np.random.default_rng(1), 1)
    for after in (1, 2, 500):
        asked = iter(range(1, 1000))
        out = Replicates.empty(1, fit, 0)
        refit_one(fit, sample, 0, 0, out, stop=lambda asked=asked, after=after: next(asked) >= after)
        assert out.done().size == (after == 500)
        assert not out.reasons
        assert next(asked) == after + 1 or after == 500


def test_groups_that_determine_too_little_must_count_as_failed() -> None:
    frame = mf.load_dataset("sleepstudy")
    frame["old"] = (frame["Subject"].cat.codes < 2).astype(float)
    fit = mf.lmm("Reaction ~ old + Days + (1 | Subject)", frame).fit()
    with pytest.warns(mf.BootstrapWarning, match="the groups drawn cannot determine all fixed effects"):
        drawn = fit.bootstrap(100, seed=1, type="cases")
    expected = 100 * (1 - 2 / 18) ** 18
    assert abs(drawn.failed.sum() - expected) < 4 * np.sqrt(expected)
    assert drawn.criterion[drawn.failed].isna().all()
    assert "left out" in str(drawn)


def test_progress_must_be_shown_when_asked_for(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("mixedfit.core.progress.PATIENCE", -1.0)
    FITS["slopes"]().bootstrap(70, seed=1, progress=True)
    shown = capsys.readouterr().err
    assert "of 70 replicates" in shown
    assert shown.endswith("\n")


def test_progress_must_go_on_being_shown(capsys: Any, monkeypatch: Any) -> None:
    ticks = count(step=0.06)  # the line is written every 0.1 seconds
    monkeypatch.setattr("mixedfit.core.progress.perf_counter", lambda: next(ticks))
    FITS["slopes"]().bootstrap(100, seed=1, progress=True)
    assert capsys.readouterr().err.count("\r") > 20


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0; expected a whole number of at least 1"),
        ({"n": 2.5}, r"n is 2\.5"),
        ({"n": True}, "n is True"),
        ({"type": "parametrc"}, "Did you mean 'parametric'"),
        ({"seed": 1.5}, r"seed=1\.5 is a float"),
        ({"seed": -1}, "whole number of at least 0"),
        ({"seed": np.random.RandomState(1)}, "numpy Generator"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"resample": "Subject"}, "it has no use here"),
        ({"type": "cases", "resample": "Subjekt"}, "Did you mean 'Subject'"),
    ],
)
def test_bootstrap_must_refuse_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        FITS["slopes"]().bootstrap(**{"n": 3, **options})


def test_conf_int_must_refuse_bad_options() -> None:
    drawn = FITS["slopes"]().bootstrap(100, seed=np.random.default_rng(1))
    for level in (0.0, 1.0, 95, "0.95", float("nan")):
        with pytest.raises(mf.ModelError, match="the coverage of an interval"):
            drawn.conf_int(level)  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="Did you mean 'percentile'"):
        drawn.conf_int(kind="percentil")  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match=r"Did you mean '\.sigma'"):
        drawn.conf_int(parameters=".sigm")
    with pytest.warns(mf.BootstrapWarning, match="too few for intervals"):
        drawn.conf_int(0.999)


def test_crossed_factors_must_not_be_drawn_unless_one_is_named() -> None:
    fit = crossed_fit()
    with pytest.raises(mf.ModelError, match=r"the factors g, h are crossed.*resample='g'"):
        fit.bootstrap(3, type="cases")
    drawn = fit.bootstrap(3, type="cases", resample="g", seed=1, statistic=lambda refit: refit.ngroups["h"])
    assert drawn.statistic["statistic"].tolist() == [4.0] * 3
    with pytest.raises(mf.ModelError, match="'f' has many levels"):
        FITS["many"]().bootstrap(3, type="cases")
