"""Lines drawn from a posterior, and replicated statistics, group by group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

import mixedfit as mf
from mixedfit import plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def sleep() -> mf.Posterior:
    """Posterior of the reaction times, 2 chains of 400 draws."""
    data = mf.load_dataset("sleepstudy")
    return mf.lmm("Reaction ~ Days + (Days | Subject)", data).gibbs(draws=400, chains=2, seed=1)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the figures of a test."""
    yield
    matplotlib.pyplot.close("all")


def test_drawn_lines_must_be_those_of_the_groups_coefficients(sleep: mf.Posterior) -> None:
    figure = plots.drawn_lines(sleep, lines=5, groups=3)
    data = mf.load_dataset("sleepstudy")
    means = data.groupby("Subject", observed=True)["Reaction"].mean().sort_values()
    labels = [ax.get_label() for ax in figure.axes]
    assert labels[0] == means.index[0]
    assert labels[-1] == means.index[-1]
    for ax in figure.axes:
        coefs = sleep.group_coefs["Subject"][ax.get_label()].reshape(-1, 2)
        *drawn, average = ax.get_lines()
        assert len(drawn) == 5
        for line, draw in zip(drawn, np.linspace(0, 799, 5).round().astype(int), strict=True):
            np.testing.assert_allclose(line.get_ydata(), coefs[draw, 0] + coefs[draw, 1] * np.arange(10))
        np.testing.assert_allclose(
            average.get_ydata(), coefs[:, 0].mean() + coefs[:, 1].mean() * np.arange(10)
        )
        points = ax.collections[0].get_offsets()
        own = data[data["Subject"] == ax.get_label()]
        np.testing.assert_allclose(points[:, 1], own["Reaction"])


def test_drawn_lines_must_include_an_offset_and_take_labels_along_x() -> None:
    data = mf.load_dataset("Machines")
    shifted = data.assign(base=50.0)
    plain = mf.lmm("score ~ Machine + (1 | Worker)", data).gibbs(draws=200, chains=1, seed=2)
    moved = mf.lmm("score ~ Machine + offset(base) + (1 | Worker)", shifted).gibbs(
        draws=200, chains=1, seed=2
    )
    one, two = (plots.drawn_lines(p, "Machine", groups=2, lines=3).axes[0] for p in (plain, moved))
    heights = [ax.get_lines()[-1].get_ydata() for ax in (one, two)]
    assert heights[0].size == 3
    np.testing.assert_allclose(heights[0], heights[1], atol=3.0)
    assert [tick.get_text() for tick in one.get_xticklabels()] == ["A", "B", "C"]


def test_bars_must_be_the_quantiles_of_the_replicates(sleep: mf.Posterior) -> None:
    ax = plots.predictive_groups(sleep, "sd", draws=300, level=0.8, seed=3)
    y = mf.load_dataset("sleepstudy")["Reaction"].to_numpy().reshape(18, 10)
    replicated = sleep.replicate(300, seed=3).reshape(-1, 18, 10).std(axis=2, ddof=1)
    order = np.argsort(y.std(axis=1, ddof=1))
    bars = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(bars, np.quantile(replicated, [0.1, 0.9], axis=0).T[order])
    observed = np.sort(np.concatenate([dots.get_offsets()[:, 0] for dots in ax.collections[1:]]))
    np.testing.assert_allclose(observed, np.sort(y.std(axis=1, ddof=1)))
    outside = int(np.sum((observed < bars[:, 0]) | (observed > bars[:, 1])))
    assert f"outside: {outside}" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_groups_may_be_a_list_and_the_statistic_a_function(sleep: mf.Posterior) -> None:
    figure = plots.drawn_lines(sleep, lines=5, groups=["335", "308"])
    assert [ax.get_label() for ax in figure.axes] == ["335", "308"]
    own = plots.predictive_groups(sleep, lambda y: y.max() - y.min(), draws=50, seed=3)
    named = plots.predictive_groups(sleep, np.ptp, draws=50, seed=3)
    assert named.get_xlabel() == "ptp of Reaction in each Subject"
    y = mf.load_dataset("sleepstudy").groupby("Subject", observed=True)["Reaction"]
    dots = np.concatenate([np.asarray(dots.get_offsets())[:, 0] for dots in own.collections[1:]])
    np.testing.assert_allclose(np.sort(dots), np.sort(y.max() - y.min()))
    bars = [np.array(ax.collections[0].get_segments()) for ax in (own, named)]
    np.testing.assert_allclose(bars[0], bars[1])


def test_means_of_new_groups_must_spread_as_the_model_says() -> None:
    """Var(ȳ) = τ² + σ²/n in a balanced design; the rival keeps the groups' own effects."""
    data = mf.load_dataset("Dyestuff")
    posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", data).gibbs(
        {"fixed": mf.priors.Normal(1527.5, 0.01), "Batch": mf.priors.Known(42), "sigma": mf.priors.Known(49)},
        draws=2000, chains=2, seed=4,
    )  # fmt: skip
    ax = plots.predictive_groups(posterior, groups="new", draws=4000, seed=5)
    bars = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    half = stats.norm.isf(0.025) * np.sqrt(42**2 + 49**2 / 5)
    np.testing.assert_allclose(bars - 1527.5, np.tile([-half, half], (6, 1)), atol=0.1 * half)
    same = plots.predictive_groups(posterior, draws=4000, seed=5)
    own = np.array([segment[:, 0] for segment in same.collections[0].get_segments()])
    assert np.all(np.diff(own) < 0.8 * np.diff(bars))


def test_groups_of_one_row_must_have_no_standard_deviation() -> None:
    data = mf.load_dataset("sleepstudy").iloc[9:]  # one row of the first subject, which has ten
    posterior = mf.lmm("Reaction ~ Days + (1 | Subject)", data).gibbs(draws=200, chains=1, seed=6)
    assert len(plots.predictive_groups(posterior, "mean", draws=50, seed=7).get_yticks()) == 18
    assert len(plots.predictive_groups(posterior, "sd", draws=50, seed=7).get_yticks()) == 17


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: plots.predictive_groups(p, "range"), "'range' is not known"),
        (lambda p: plots.predictive_groups(p, group="Subjects"), "Did you mean 'Subject'"),
        (lambda p: plots.predictive_groups(p, groups="old"), "'old' is not known"),
        (lambda p: plots.drawn_lines(p, "Day"), "Did you mean 'Days'"),
        (lambda p: plots.drawn_lines(p, lines=0), "lines is 0; expected"),
    ],
)
def test_wrong_names_must_be_refused_with_advice(call: Any, message: str, sleep: mf.Posterior) -> None:
    with pytest.raises(mf.ModelError, match=message):
        call(sleep)
