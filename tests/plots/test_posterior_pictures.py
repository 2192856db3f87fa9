"""Pictures of chains and parameters of a posterior, against numpy, scipy and the summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from drawn_text import cut_texts
from scipy import stats

import mixedfit as mf
from mixedfit import plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

PICTURES = ("trace", "rank", "chain_autocorrelation", "density", "intervals", "pairs")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the figures of a test."""
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def slopes() -> mf.Posterior:
    """Posterior of correlated intercepts and slopes, 3 chains of 200 draws."""
    data = mf.load_dataset("sleepstudy")
    return mf.lmm("Reaction ~ Days + (Days | Subject)", data).gibbs(draws=200, chains=3, seed=1)


def panel(figure: Any, name: str) -> Any:
    return next(ax for ax in figure.axes if ax.get_label() == name)


def test_traces_must_be_the_draws_with_the_convergence_of_the_summary(slopes: mf.Posterior) -> None:
    figure = slopes.plot()
    assert [ax.get_label() for ax in figure.axes] == list(slopes.names)
    lines = panel(figure, "sd_Days|Subject").lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], slopes["sd_Days|Subject"])
    row = slopes.summary().loc["sigma"]
    title = panel(figure, "sigma").get_title(loc="left")
    assert title == f"residual SD\nR̂ {row.rhat:.3f}, ess {row.ess_bulk:.0f} bulk, {row.ess_tail:.0f} tail"


def test_rank_histograms_must_count_the_ranks_among_all_draws(slopes: mf.Posterior) -> None:
    ax = slopes.plot.rank("Days", bins=10).axes[0]
    ranks = stats.rankdata(slopes["Days"]).reshape(3, 200)
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(3, 10)
    wanted = [np.histogram(own, np.linspace(0.5, 600.5, 11))[0] / 20 for own in ranks]
    np.testing.assert_allclose(heights, np.minimum(wanted, 2.1))
    with pytest.raises(mf.ModelError, match=r"compare chains.*chains=4"):
        mf.plots.rank(mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).prior_predictive(seed=1))


def test_autocorrelations_must_be_those_of_each_chain(slopes: mf.Posterior) -> None:
    ax = slopes.plot.chain_autocorrelation("sigma", lags=5).axes[0]
    for line, chain in zip(ax.lines[1:], slopes["sigma"], strict=True):
        centred = chain - chain.mean()
        wanted = np.correlate(centred, centred, "full")[199:205] / (centred @ centred)
        np.testing.assert_allclose(line.get_ydata(), wanted)


def test_density_must_be_scipy_s_away_from_edges(slopes: mf.Posterior) -> None:
    ax = slopes.plot.density("Days", level=0.9).axes[0]
    chain = slopes["Days"][1]
    places, heights = ax.lines[1].get_data()
    assert np.trapezoid(heights, places) == pytest.approx(1.0, abs=0.01)
    quartiles = np.quantile(chain, [0.25, 0.75])
    width = 0.9 * min(chain.std(ddof=1), np.ptp(quartiles) / 1.34) * 200**-0.2
    kernel = stats.gaussian_kde(chain, width / chain.std(ddof=1))
    np.testing.assert_allclose(heights, kernel(places), atol=0.03 * heights.max())
    bar = ax.lines[-1].get_xdata()
    np.testing.assert_allclose(bar, slopes.conf_int(0.9, "Days").to_numpy()[0])
    sd = slopes.plot.density("sigma").axes[0]
    assert min(line.get_xdata().min() for line in sd.lines[:3]) >= 0.0


def test_intervals_must_be_quantiles_and_leave_the_intercept_out(slopes: mf.Posterior) -> None:
    ax = slopes.plot.intervals(labels={"Days": "days awake", "Reaction": "time"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["days awake"]
    assert ax.get_xlabel() == "difference in time"
    drawn = [collection.get_segments()[0][:, 0] for collection in ax.collections[:2]]
    np.testing.assert_allclose(drawn[0], slopes.conf_int(0.95, "Days").to_numpy()[0])
    np.testing.assert_allclose(drawn[1], slopes.conf_int(0.5, "Days").to_numpy()[0])
    assert ax.collections[2].get_offsets()[0, 0] == pytest.approx(np.median(slopes["Days"]))
    names = [text.get_text() for text in slopes.plot.intervals("variances").get_yticklabels()]
    assert names[0] == "SD of (Intercept) | Subject"


def test_pairs_must_be_draws_of_both_and_their_correlation(slopes: mf.Posterior) -> None:
    figure = slopes.plot.pairs(["Days", "sigma"])
    points = panel(figure, "sigma|Days").collections[0].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([slopes["Days"].ravel(), slopes["sigma"].ravel()]))
    r = np.corrcoef(slopes["Days"].ravel(), slopes["sigma"].ravel())[0, 1]
    assert figure.axes[1].texts[0].get_text() == f"r = {r:.2f}".replace("-", "−")


def test_group_effects_must_be_quantiles_in_order_of_their_medians(slopes: mf.Posterior) -> None:
    ax = slopes.plot.group_effects(effect="Days", level=0.9, labels={"Days": "days awake", "308": "first"})
    draws = slopes.random_effects["Subject"].values[..., 1].reshape(600, 18)
    lower, median, upper = np.sort(np.quantile(draws, [0.05, 0.5, 0.95], axis=0), axis=0)
    order = np.argsort(median)
    np.testing.assert_allclose(ax.collections[-1].get_offsets()[:, 0], median[order])
    segments = np.concatenate([np.array(own.get_segments()) for own in ax.collections[:2]])
    segments = segments[np.argsort(segments[:, 0, 1])]
    np.testing.assert_allclose(segments[:, :, 0], np.column_stack([lower, upper])[order])
    assert ax.get_xlabel() == "days awake: difference from the mean"
    assert "first" in [text.get_text() for text in ax.get_yticklabels()]


def tails() -> mf.Posterior:
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    return model.gibbs(
        errors=mf.distributions.StudentT("estimate"), random_effects=mf.distributions.Laplace(),
        sigma="by:Genotype", draws=60, chains=2, seed=1,
    )  # fmt: skip


def series() -> mf.Posterior:
    ovary = mf.load_dataset("Ovary")
    model = mf.lmm("follicles ~ sin(6.283*Time) + (1 | Mare)", ovary, residual=mf.residuals.AR1())
    return model.gibbs(draws=60, chains=2, seed=1)


def nested() -> mf.Posterior:
    oats = mf.load_dataset("Oats")
    oats["w"] = np.linspace(1, 2, len(oats))
    model = mf.lmm("yield ~ C(nitro) * Variety + (1 | Block/Variety)", oats, weights="w")
    return model.gibbs({"sigma": mf.priors.Known(12)}, draws=60, chains=2, seed=1)


@pytest.mark.everyday(1)
@pytest.mark.parametrize("make", [tails, series, nested])
@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")
def test_all_models_must_be_drawn_and_no_text_be_cut_whatever_the_size_of_letters(make: Any) -> None:
    posterior = make()
    with matplotlib.rc_context({"font.size": 16}):
        for name in PICTURES:
            made = getattr(posterior.plot, name)(posterior.names[-3:])
            figure = made if hasattr(made, "savefig") else made.figure
            figure.canvas.draw()
            assert cut_texts(made) == [], name
            small = {"trace", "rank", "chain_autocorrelation", "density"}
            if name in small:
                ax = matplotlib.pyplot.subplots()[1]
                assert getattr(plots, name)(posterior, posterior.names[-2], ax=ax) is ax


def test_what_is_drawn_wrongly_must_be_refused_in_words(slopes: mf.Posterior) -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    with pytest.raises(mf.ModelError, match=r"draws a posterior.*MixedResults.*gibbs"):
        mf.plots.trace(fit)
    with pytest.raises(mf.ModelError, match=r"'Day' is not a parameter.*'Days'"):
        slopes.plot.density("Day")
    with pytest.raises(mf.ModelError, match="ax is for one parameter, and these are 2"):
        slopes.plot.density("fixed", ax=matplotlib.pyplot.subplots()[1])
    with pytest.raises(mf.ModelError, match="pairs takes no ax="):
        slopes.plot.pairs(ax=matplotlib.pyplot.subplots()[1])
    with pytest.raises(mf.ModelError, match="labels has 'Dayz'"):
        slopes.plot.trace(labels={"Dayz": "days"})
