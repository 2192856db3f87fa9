"""`model.calibration`: bands and p-values of ranks, the verdict, interrupts, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.bayes.calibration import run
from mixedfit.bayes.calibration.uniformity import ecdf_band, ecdf_differences, uniformity_p_value

pr = mf.priors
HALF = {"fixed": pr.Normal(0, 2), "g": pr.HalfNormal(1), "sigma": pr.HalfNormal(1)}


def model(**options: Any) -> mf.LinearMixedModel:
    rng = np.random.default_rng(7)
    data = pd.DataFrame(
        {"y": rng.normal(size=30), "x": rng.normal(size=30), "g": np.repeat(list("abcdef"), 5)}
    )
    data["w"], data["o"] = np.arange(30) % 3, 100.0 * np.arange(30)
    return mf.lmm("y ~ x + (1 | g)", data, **options)


def test_p_value_of_two_ranks_must_be_that_of_two_coins() -> None:
    """Ranks 0 or 1: γ is 1/2 if both are equal, with probability 1/2, and 3/2 if not."""
    assert uniformity_p_value(np.array([0, 0]), 1) == pytest.approx(0.5, abs=0.015)
    assert uniformity_p_value(np.array([0, 1]), 1) == 1.0


def test_band_must_hold_uniform_ranks_with_its_probability_and_agree_with_the_p_value() -> None:
    rng = np.random.default_rng(3)
    low, high = ecdf_band(50, 99, 0.9)
    inside, p_values = [], []
    for ranks in rng.integers(0, 100, (1500, 50)):
        differences = ecdf_differences(ranks, 99)
        inside.append(np.all((differences >= low - 1e-12) & (differences <= high + 1e-12)))
        p_values.append(uniformity_p_value(ranks, 99))
    np.testing.assert_allclose(np.mean(inside), 0.9, atol=0.025)
    np.testing.assert_allclose(np.mean(np.array(p_values) <= 0.1), 0.1, atol=0.025)
    assert np.sum(inside != (np.array(p_values) > 0.1)) < 4  # ties of γ at its quantile
    pointwise = np.sqrt(0.25 / 50)  # a band for one place only is narrower
    assert high[49] > 1.8 * pointwise


@pytest.mark.slow
def test_ranks_must_be_uniform_with_weights_of_zero_and_an_offset() -> None:
    """The offset is far larger than anything else: were it not subtracted, all ranks would be 0 or the largest."""
    found = model(weights="w", offset="o").calibration(HALF, simulations=40, seed=2)
    assert found.ranks.shape == (40, 4)
    assert found.table["p_value"].min() > 0.01
    assert "no sign" in found.verdict
    assert "Priors:\n  β ~" in str(found)
    assert list(found.true.columns) == ["(Intercept)", "x", "sd_(Intercept)|g", "sigma"]
    again = model(weights="w", offset="o").calibration(HALF, simulations=40, seed=2)
    pd.testing.assert_frame_equal(again.ranks, found.ranks)


def test_draws_under_another_prior_must_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = run.gibbs
    other = {"sigma": pr.LogNormal(0.3, 0.3)}
    monkeypatch.setattr(run, "gibbs", lambda design, priors, **own: sampler(design, priors | other, **own))
    found = model().calibration(HALF, simulations=40, seed=1)
    assert found.table.loc["sigma", "adjusted"] < 0.001
    assert "The ranks of sigma (draws too low) are not uniform" in found.verdict


def test_words_must_say_how_draws_deviate() -> None:
    rng = np.random.default_rng(1)
    ranks = {
        "too high": rng.integers(0, 100, (2, 100)).min(axis=0),
        "too low": rng.integers(0, 100, (2, 100)).max(axis=0),
        "too narrow": np.where(rng.random(100) < 0.5, rng.integers(0, 20, 100), rng.integers(80, 100, 100)),
        "too wide": rng.integers(30, 70, 100),
        "": rng.integers(0, 100, 100),
    }
    frame = pd.DataFrame(ranks)
    found = mf.Calibration(frame, frame, 99, "y ~ x", (), 100, 1, {}, 0)
    assert [text.removeprefix("draws ") for text in found.table["deviation"]] == list(ranks)
    assert "too high (draws too high), too low (draws too low)" in found.verdict


def test_picture_must_draw_the_ranks_and_mark_those_outside() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.integers(0, 100, 80), "b": rng.integers(0, 60, 80)})
    found = mf.Calibration(frame, frame, 99, "y ~ x", (), 80, 1, {}, 0)
    figure = found.plot(labels={"a": "alpha"})
    np.testing.assert_allclose(
        figure.axes[0].lines[1].get_ydata(), [np.mean(frame["a"] < k) - k / 100 for k in range(1, 100)]
    )
    assert figure.axes[0].get_title(loc="left") == "alpha"
    assert [ax.lines[1].get_linestyle() == "-" for ax in figure.axes] == [True, False]
    with pytest.raises(mf.ModelError, match="ax is for one parameter, and these are 2"):
        found.plot(ax=plt.subplots()[1])
    plt.close("all")


def test_an_interrupt_must_keep_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = run.gibbs

    def interrupted(*args: Any, **options: Any) -> Any:
        simulation = options["seed"].spawn_key[-1]
        if simulation == 4:
            raise KeyboardInterrupt
        if simulation == 1:
            raise mf.ModelError("the posterior is odd: do something.")
        return sampler(*args, **options)

    monkeypatch.setattr(run, "gibbs", interrupted)
    with pytest.warns(mf.SamplingWarning, match="stopped after 4 of 20 simulations"):
        found = model().calibration(HALF, simulations=20, draws=9, seed=1)
    assert found.ranks.index.tolist() == [0, 2, 3]
    assert "4 of 20 simulations" in found.notes[1]
    assert "1 simulation failed and is left out: 1 × the posterior is odd" in found.notes[2]


def test_what_cannot_be_simulated_must_be_refused_in_words() -> None:
    with pytest.raises(mf.ModelError, match="improper"):
        model().calibration({"fixed": pr.Flat()})
    with pytest.raises(mf.ModelError, match="simulations is 5; expected a whole number of at least 10"):
        model().calibration(simulations=5)
