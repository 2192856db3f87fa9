"""Shrinkage of BLUPs and posterior means side by side, and the picture of a fit and a posterior."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _no_figure_must_stay_open() -> Iterator[None]:
    yield
    plt.close("all")


@lru_cache
def sleep() -> Any:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    return mf.compare(model.fit(), model.gibbs(seed=1))


@lru_cache
def flat() -> Any:
    """Return a comparison in which the variance between groups is estimated at 0."""
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2"))
    return mf.compare(model.fit(), model.gibbs(seed=1))


# -- shrinkage ---------------------------------------------------------------------------------------


def test_shrinkage_of_means_must_be_that_of_the_textbook() -> None:
    """b̂_j = n_j τ²/(n_j τ² + σ²) (ȳ_j − β̂), with groups of different size."""
    data = mf.load_dataset("sleepstudy").drop(index=[3, 4, 5, 11, 12, 30])
    model = mf.lmm("Reaction ~ 1 + (1 | Subject)", data)
    fit, posterior = model.fit(), model.gibbs(seed=1)
    table = mf.compare(fit, posterior, methods=[]).random_effects["Subject"].xs("(Intercept)", level="effect")
    groups = data.groupby("Subject", observed=True)["Reaction"]
    alone = groups.mean() - fit.params["(Intercept)"]
    np.testing.assert_allclose(table["alone"], alone, rtol=1e-9)
    tau = fit.varcorr["vcov"].iloc[0]
    kept = groups.size() * tau / (groups.size() * tau + fit.sigma**2)
    np.testing.assert_allclose(table["shrunk_mode"], 1 - kept, rtol=1e-7)
    np.testing.assert_allclose(table["mean"], posterior.random_effects["Subject"].mean["(Intercept)"])
    known = table["shrunk_mean"].notna().to_numpy()
    assert known.sum() >= 14
    np.testing.assert_allclose(table["shrunk_mean"][known], (1 - table["mean"] / alone.to_numpy())[known])
    assert table["shrunk_mode"].between(0, 1).all()


def test_slopes_alone_must_be_least_squares_less_the_mean() -> None:
    table = sleep().random_effects["Subject"]
    data = mf.load_dataset("sleepstudy")
    one = data[data["Subject"].astype(str) == "309"]
    line = np.polyfit(one["Days"], one["Reaction"], 1)[::-1] - sleep().fit.params
    np.testing.assert_allclose(table.loc["309", "alone"], line)


def test_level_that_does_not_determine_its_effects_must_have_none_alone() -> None:
    data = mf.load_dataset("sleepstudy").drop(index=range(1, 10))
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", data)
    side = mf.compare(model.fit(), model.gibbs(draws=50, seed=1), methods=[])
    table = side.random_effects["Subject"]
    assert table.loc["308", ["alone", "shrunk_mode"]].isna().all().all()
    assert table.loc["308", "mode"].notna().all()
    assert side.shrinkage["levels"].tolist() == [17, 17]


def test_overall_shrinkage_must_be_a_slope_through_zero() -> None:
    table = sleep().random_effects["Subject"].xs("Days", level="effect")
    found = sleep().shrinkage.loc[("Subject", "Days")]
    slope = np.linalg.lstsq(table[["alone"]].to_numpy(), table["mode"].to_numpy(), rcond=None)[0][0]
    assert found["shrunk_mode"] == pytest.approx(1 - slope)
    assert found["sd_alone"] == pytest.approx(table["alone"].std())
    assert 0 < found["shrunk_mode"] < found["shrunk_mean"] < 0.5
    assert found["sd_mode"] < found["sd_alone"]


def test_note_must_say_that_a_posterior_shrinks_less_than_an_estimate_of_zero() -> None:
    assert flat().shrinkage["shrunk_mode"].iloc[0] == pytest.approx(1.0)
    assert any("BLUPs go 100% of the way" in note for note in flat().notes)
    assert not any("BLUPs go" in note for note in sleep().notes)
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    tailed = model.gibbs(draws=300, seed=1, errors=mf.distributions.StudentT(3))
    notes = mf.compare(model.fit(), tailed, methods=[]).notes
    assert any("BLUPs go" in note and note.endswith("%.") for note in notes)


def test_shrinkage_must_be_empty_without_the_draws_of_the_effects() -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    side = mf.compare(model.fit(), model.gibbs(draws=50, seed=1, keep_effects=False), methods=[])
    assert side.random_effects == {}
    assert side.shrinkage.empty


# -- the picture -------------------------------------------------------------------------------------


def panels(figure: Any) -> dict[str, Any]:
    return {ax.get_label(): ax for ax in figure.axes}


def bars(ax: Any) -> list[tuple[float, float]]:
    """Return the ends of the intervals, from top to bottom."""
    lines = [line for line in ax.lines if line.get_linewidth() == 5.0]
    ordered = sorted(lines, key=lambda line: -line.get_ydata()[0])
    return [tuple(line.get_xdata()) for line in ordered]


def test_picture_must_have_a_panel_for_each_parameter_with_its_intervals() -> None:
    figure = sleep().plot()
    own, table = panels(figure), sleep().table
    assert list(own) == list(table.index)
    for name, methods in (("Days", ["wald", "profile", "cred"]), ("sigma", ["profile", "cred"])):
        expected = [tuple(table.loc[name, [f"{m}_lower", f"{m}_upper"]]) for m in methods]
        np.testing.assert_allclose(bars(own[name]), expected)
    assert [t.get_text() for t in own["(Intercept)"].get_yticklabels()] == ["Wald", "profile", "credible"]
    assert "none for variances" in [t.get_text() for t in own["sigma"].texts]
    figure.canvas.draw()


def test_histogram_must_be_the_density_of_the_draws() -> None:
    ax = panels(sleep().plot(["sd_Days|Subject"]))["sd_Days|Subject"]
    heights, edges, _ = ax.patches[0].get_data()
    draws = sleep().posterior["sd_Days|Subject"].ravel()
    inside = np.mean((draws >= edges[0]) & (draws <= edges[-1]))
    assert np.sum(heights * np.diff(edges)) == pytest.approx(inside)
    assert inside > 0.985
    assert edges[0] >= 0


def test_line_must_be_the_density_of_the_likelihood_profile() -> None:
    ax = panels(sleep().plot("Days"))["Days"]
    line = next(line for line in ax.lines if line.get_linewidth() == 2.4)
    x, height = line.get_data()
    assert np.trapezoid(height, x) == pytest.approx(1.0, abs=0.02)
    # a fixed effect's profile is symmetric, about the maximum-likelihood estimate
    assert x[np.argmax(height)] == pytest.approx(10.467, abs=0.1)


def test_picture_must_say_what_stands_at_a_boundary() -> None:
    ax = panels(flat().plot())["sd_(Intercept)|Batch"]
    assert any("50% of the profile" in text.get_text() for text in ax.texts)
    assert not any("%" in text.get_text() for text in panels(flat().plot())["sigma"].texts)
    assert ax.get_xlim()[0] <= 0


def test_picture_of_one_parameter_must_be_drawn_on_the_axes_given() -> None:
    figure, ax = plt.subplots()
    assert sleep().plot("sigma", ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert ax.get_legend() is not None
    figure.canvas.draw()


def test_bootstrap_intervals_must_be_drawn_when_asked_for() -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    fit, posterior = model.fit(), model.gibbs(seed=1)
    side = mf.compare(fit, posterior, methods=["boot"], n=60, seed=1)
    expected = fit.conf_int(method="boot", n=60, seed=1, names="long").loc["sigma"].tolist()
    assert side.table.loc["sigma", ["boot_lower", "boot_upper"]].tolist() == expected
    np.testing.assert_allclose(bars(side.plot("sigma").axes[0])[0], expected)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: sleep().plot("days"), "Did you mean 'Days'"),
        (lambda: sleep().plot(["Days", "sigma"], ax=plt.figure().add_subplot()), "one parameter"),
        (lambda: sleep().plot([]), "one parameter"),
    ],
)
def test_picture_that_cannot_be_drawn_must_be_refused(ask: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        ask()


def test_known_variance_must_have_a_panel() -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    posterior = model.gibbs({"sigma": mf.priors.Known(50)}, seed=1)
    mf.compare(model.fit(), posterior).plot().canvas.draw()


def test_input_must_not_be_changed() -> None:
    before = sleep().table.copy()
    sleep().plot()
    pd.testing.assert_frame_equal(before, sleep().table)


# -- effects of both ---------------------------------------------------------------------------------


def test_picture_of_effects_must_show_alone_blup_and_posterior_mean_of_every_level() -> None:
    ax = sleep().plot_effects(effect="Days")
    table = sleep().random_effects["Subject"].xs("Days", level="effect").sort_values("mode")
    shown = {c.get_label().split(" ")[0]: c.get_offsets()[:, 0] for c in ax.collections[2:]}
    np.testing.assert_allclose(shown["alone"], table["alone"])
    np.testing.assert_allclose(shown["BLUP"], table["mode"])
    np.testing.assert_allclose(shown["posterior"], table["mean"])
    ends = np.array([segment[:, 0] for segment in ax.collections[1].get_segments()])
    draws = sleep().posterior.random_effects["Subject"]
    expected = [np.quantile(draws[level][:, :, 1], [0.025, 0.975]) for level in table.index]
    np.testing.assert_allclose(ends, expected)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(table.index)


def test_picture_of_effects_of_many_levels_must_have_no_labels() -> None:
    model = mf.lmm("mathscore ~ 1 + (1 | school)", mf.load_dataset("school_mathscore"))
    figure, axes = plt.subplots()
    side = mf.compare(model.fit(), model.gibbs(draws=50, seed=1), methods=[])
    assert side.plot_effects("school", ax=axes) is axes
    assert len(axes.get_yticks()) == 0
    assert "100 levels of school" in axes.get_ylabel()
    figure.canvas.draw()


def test_picture_of_effects_that_are_not_there_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="Did you mean 'Subject'"):
        sleep().plot_effects("subject")
    with pytest.raises(mf.ModelError, match="Did you mean 'Days'"):
        sleep().plot_effects(effect="days")
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    lean = mf.compare(model.fit(), model.gibbs(draws=50, seed=1, keep_effects=False), methods=[])
    with pytest.raises(mf.ModelError, match="keep_effects=True"):
        lean.plot_effects()
    plain = mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy"))
    with pytest.raises(mf.ModelError, match="no random effects"):
        mf.compare(plain.fit(), plain.gibbs(draws=50, seed=1), methods=[]).plot_effects()


# -- what the pictures say ---------------------------------------------------------------------------


def test_share_of_a_level_at_zero_must_not_be_noise_of_the_draws() -> None:
    """Batch D of Dyestuff2 says 0.02 alone; the mean's Monte-Carlo error is as large."""
    table = flat().random_effects["Batch"].xs("(Intercept)", level="effect")
    near = table["alone"].abs().idxmin()
    assert np.isnan(table.loc[near, "shrunk_mean"])
    assert table["shrunk_mean"].dropna().between(0, 1).all()


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
def test_picture_must_say_why_an_interval_is_missing() -> None:
    own = panels(sleep().plot())
    assert texts(own["cor_Days.(Intercept)|Subject"]) == ["none for correlations"]
    model = mf.lmm("distance ~ age + (1 | Subject)", mf.load_dataset("Orthodont"))
    side = mf.compare(
        model.fit(),
        model.gibbs(draws=100, seed=1, sigma="by:Sex", errors=mf.distributions.StudentT("estimate")),
    )
    own = panels(side.plot())
    assert set(texts(own["nu"])) == set(texts(own["sigma[Male]"])) == {"not in the fit"}
    assert "not in the posterior" in texts(own["sigma"])
    assert any(
        "profile\nstands at 0" in text for text in texts(panels(flat().plot())["sd_(Intercept)|Batch"])
    )


def test_picture_of_many_parameters_must_say_which_are_left_out() -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    side = mf.compare(model.fit(), model.gibbs(draws=50, seed=1, sigma="by:Subject"), methods=[])
    figure = side.plot()
    assert len(figure.axes) == 12
    assert {"(Intercept)", "sigma0", "nu0"} <= set(panels(figure))
    assert "sigma[372]" in figure.get_supxlabel()
    assert len(side.plot(list(side.table.index[:14])).axes) == 14


def test_label_below_axes_that_were_given_must_not_be_cut_off() -> None:
    figure, ax = plt.subplots()
    sleep().plot("cor_Days.(Intercept)|Subject", ax=ax)
    figure.canvas.draw()
    assert ax.xaxis.label.get_window_extent().y0 >= 0
