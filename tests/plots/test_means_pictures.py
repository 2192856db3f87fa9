"""Pictures of means, slopes, effects and coefficients: numbers are those of the tables, text can be read."""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit import plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@lru_cache
def sleep() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


@lru_cache
def cake() -> mf.MixedResults:
    return mf.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()


@lru_cache
def logs() -> mf.MixedResults:
    return mf.lmm("log(angle) ~ recipe * temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()


@lru_cache
def oats() -> mf.MixedResults:
    return mf.lmm("yield ~ nitro * Variety + (1 | Block/Variety)", mf.load_dataset("Oats")).fit()


@lru_cache
def words() -> mf.MixedResults:
    """A priming experiment with long names of columns and of levels."""
    rng = np.random.default_rng(2)
    primes = ["semantically related prime", "orthographically related prime", "unrelated prime", "no prime"]
    targets = ["high-frequency target word", "low-frequency target word"]
    rows = [(i, p, t) for i in range(24) for p in primes for t in targets]
    data = pd.DataFrame(rows, columns=["participant", "prime type", "word frequency"])
    data["age of participant"] = np.repeat(rng.uniform(18, 60, 24), 8)
    data["response time in milliseconds"] = (
        600 + np.repeat(rng.normal(0, 50, 24), 8) + rng.normal(0, 40, len(data))
    )
    fixed = "`prime type` * `word frequency` + `age of participant`"
    formula = f"`response time in milliseconds` ~ {fixed} + (1 | participant)"
    return mf.lmm(formula, data).fit()


@lru_cache
def conditions() -> mf.MixedResults:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"condition": [f"condition {i:02d}" for i in range(25)] * 8, "g": np.repeat(range(8), 25)}
    )
    data["y"], data["half"] = rng.normal(size=200), np.where(data["g"] < 4, "first", "second")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm("y ~ condition * half + (1 | g)", data).fit()


def estimates(ax: Any) -> np.ndarray[Any, Any]:
    """Return the heights of the large markers, in the order of drawing: series by series."""
    return np.concatenate([c.get_offsets()[:, 1] for c in ax.collections if c.get_zorder() == 4])


def intervals(ax: Any) -> np.ndarray[Any, Any]:
    lines = [c for c in ax.collections if c.get_zorder() == 3]
    return np.concatenate([[segment[:, 1] for segment in c.get_segments()] for c in lines])


def points(ax: Any) -> Any:
    """Return places and heights of the faint points."""
    return np.concatenate([c.get_offsets() for c in ax.collections if c.get_zorder() == 1])


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "options"),
    [
        ("~ temperature | recipe", {}),
        ("temperature", {"by": "recipe", "level": 0.9, "ddf": "kenward-roger"}),
        ("~ temperature * recipe", {}),
        ("recipe", {"weights": "cells"}),
    ],
)
def test_means_must_be_those_of_emmeans(specs: str, options: dict[str, Any]) -> None:
    ax = cake().plot.means(specs, **options)
    table = cake().emmeans(specs, **options).table
    np.testing.assert_allclose(estimates(ax), table["estimate"])
    np.testing.assert_allclose(intervals(ax), table[["lower", "upper"]])


def test_points_behind_means_must_be_the_means_of_each_level_of_the_largest_factor() -> None:
    """Variety in Block has 18 levels, Block 6: the points are those of pandas."""
    data = mf.load_dataset("Oats")
    ax = oats().plot.means("Variety", at={"nitro": [0.2]})
    assert "means of each" in ax.texts[0].get_text()
    wanted = data.groupby(["Variety", "Block"], observed=True)["yield"].mean()
    np.testing.assert_allclose(np.sort(points(ax)[:, 1]), np.sort(wanted))
    for ax, levels in (
        (oats().plot.means("~ nitro", at={"nitro": [0.2]}), 18),
        (oats().plot.means("~ Variety"), 18),
    ):
        assert len(points(ax)) == levels
    blocks = oats().plot.means("~ nitro", at={"nitro": [0.0, 0.2, 0.4, 0.6]}, group="Block")
    wanted = data.groupby(["nitro", "Block"], observed=True)["yield"].mean()
    np.testing.assert_allclose(np.sort(points(blocks)[:, 1]), np.sort(wanted))
    assert not [c for c in oats().plot.means("Variety", points=False).collections if c.get_zorder() == 1]


def test_points_must_stand_at_their_own_category_and_series() -> None:
    data = mf.load_dataset("cake")
    ax = cake().plot.means("~ temperature | recipe")
    clouds = [c.get_offsets() for c in ax.collections if c.get_zorder() == 1]
    for cloud, recipe in zip(clouds, "ABC", strict=True):
        own = data[data["recipe"] == recipe]
        for place, (_, rows) in enumerate(own.groupby("temperature", observed=True)):
            near = cloud[np.abs(cloud[:, 0] - place) < 0.5, 1]
            np.testing.assert_allclose(np.sort(near), np.sort(rows["angle"]))


@pytest.mark.parametrize(
    "fixed", ["0 + recipe:temperature", "recipe / temperature", "temp * recipe:temperature"]
)
def test_points_must_be_known_of_factors_that_have_no_main_effect(fixed: str) -> None:
    data = mf.load_dataset("cake")[:200]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.RankWarning)
        fit = mf.lmm(f"angle ~ {fixed} + (1 | replicate)", data).fit()
        ax = fit.plot.means(["temperature"], by="recipe", nesting=False)
    clouds = [c.get_offsets() for c in ax.collections if c.get_zorder() == 1]
    wanted = data.groupby("recipe", observed=True)["angle"]
    for cloud, (_, rows) in zip(clouds, wanted, strict=True):
        np.testing.assert_allclose(np.sort(cloud[:, 1]), np.sort(rows))


def test_levels_of_a_nested_factor_must_have_their_own_order() -> None:
    """The table lists the hot temperatures before the mild ones."""
    data = mf.load_dataset("cake")
    data["oven"] = np.where(data["temp"] > 195, "hot", "mild")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.RankWarning)
        fit = mf.lmm("angle ~ oven / temperature + (1 | recipe:replicate)", data).fit()
    ax = fit.plot.means("temperature")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["175", "185", "195", "205", "215", "225"]
    places = np.concatenate([c.get_offsets()[:, 0] for c in ax.collections if c.get_zorder() == 4])
    table = fit.emmeans("temperature").table
    drawn = dict(zip(estimates(ax), np.round(places), strict=True))
    assert all(
        drawn[e] == (int(t) - 175) / 10 for t, e in zip(table["temperature"], table["estimate"], strict=True)
    )


def test_means_of_a_transformed_response_must_be_transformed_back_with_their_points() -> None:
    ax = logs().plot.means("recipe", type="response")
    table = logs().emmeans("recipe", type="response").table
    np.testing.assert_allclose(estimates(ax), table["estimate"])
    np.testing.assert_allclose(intervals(ax), table[["lower", "upper"]])
    data = mf.load_dataset("cake")
    wanted = np.exp(np.log(data["angle"]).groupby([data["recipe"], data["replicate"]], observed=True).mean())
    np.testing.assert_allclose(np.sort(points(ax)[:, 1]), np.sort(wanted))
    assert (ax.get_ylabel(), logs().plot.means("recipe").get_ylabel()) == ("angle", "log(angle)")


def test_slopes_must_be_those_of_emtrends() -> None:
    ax = oats().plot.slopes("Variety", "nitro", level=0.9)
    table = oats().emtrends("Variety", "nitro", level=0.9).table
    np.testing.assert_allclose(estimates(ax), table["estimate"])
    np.testing.assert_allclose(intervals(ax), table[["lower", "upper"]])
    assert ax.get_ylabel() == "yield per unit of nitro"


def band(ax: Any) -> Any:
    """Return the vertices of the first band."""
    return next(c for c in ax.collections if c.get_zorder() == 2).get_paths()[0].vertices


def test_effect_must_be_the_prediction_of_the_fixed_part_with_its_limits() -> None:
    ax = sleep().plot.effect("Days", ddf="normal")
    x, y = ax.lines[0].get_data()
    assert (x[0], x[-1]) == (0, 9)
    new = sleep().predict(pd.DataFrame({"Days": x}), re_form="none", interval="confidence")
    np.testing.assert_allclose(y, new["mean"])
    lower, upper = (set(np.round(new[side], 6)) for side in ("lower", "upper"))
    assert (lower | upper) <= set(np.round(band(ax)[:, 1], 6))
    data = mf.load_dataset("sleepstudy")
    np.testing.assert_allclose(points(ax), data[["Days", "Reaction"]])


def test_effect_must_have_bands_of_t_quantiles_by_default() -> None:
    """t on Satterthwaite's 17 degrees of freedom at Days = 0; the rival is 1.96."""
    ax = sleep().plot.effect("Days")
    mean = sleep().emmeans("~ 1", at={"Days": 0.0}).table.iloc[0]
    assert mean["df"] == pytest.approx(17, abs=0.1)
    assert np.isclose(band(ax)[:, 1], mean["upper"], rtol=1e-9).any()


def test_effect_must_average_over_other_factors_and_hold_covariates_at_their_means() -> None:
    ax = words().plot.effect("age of participant")
    x, y = ax.lines[0].get_data()
    means = words().emmeans("age of participant", at={"age of participant": [x[0], x[-1]]}).table["estimate"]
    np.testing.assert_allclose(y[[0, -1]], means)
    assert "prime type, word frequency" in ax.texts[0].get_text().replace("\n", " ")


def test_effect_must_take_a_number_at_its_mean_and_a_standard_deviation_on_each_side() -> None:
    data = mf.load_dataset("cake")
    ax = logs().plot.effect("recipe", by="temp")
    mean, sd = data["temp"].mean(), data["temp"].std()
    wanted = logs().emmeans("recipe", by="temp", at={"temp": [mean - sd, mean, mean + sd]}).table
    np.testing.assert_allclose(estimates(ax), wanted["estimate"])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["182.9", "200", "217.1"]
    assert len(points(ax)) == len(data)  # they belong to no series
    lines = oats().plot.effect("nitro", by="Variety").lines
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in lines}) == 3


def test_effect_must_take_the_values_and_weights_that_are_given() -> None:
    """Rivals: the mean and one SD on each side; equal weights."""
    ax = logs().plot.effect("recipe", by="temp", at={"temp": [180, 200]})
    wanted = logs().emmeans("recipe", by="temp", at={"temp": [180, 200]}).table
    np.testing.assert_allclose(estimates(ax), wanted["estimate"])
    shares = [8, 1, 1, 1, 1, 1, 1, 1]
    x, y = words().plot.effect("age of participant", weights=shares).lines[0].get_data()
    at = {"age of participant": [x[0], x[-1]]}
    means, rival = (
        words().emmeans("age of participant", at=at, weights=weights).table["estimate"].to_numpy()
        for weights in (shares, "equal")
    )
    np.testing.assert_allclose(y[[0, -1]], means)
    assert np.abs(means - rival).max() > 1e-3


@pytest.mark.parametrize("x", ["t", "f"])
def test_points_behind_an_effect_must_be_less_the_offset(x: str) -> None:
    """Marginal means take the offset as 0. Rival: the response."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"t": rng.normal(size=60), "f": rng.choice(list("ab"), 60), "g": np.arange(60) % 6})
    data["o"] = 10.0 * rng.normal(size=60)
    data["y"] = data["o"] + rng.normal(size=60) + rng.normal(size=6)[data["g"]]
    ax = mf.lmm("y ~ t + f + (1 | g)", data, offset="o").fit().plot.effect(x)
    np.testing.assert_allclose(np.sort(points(ax)[:, 1]), np.sort(data["y"] - data["o"]))


def test_forest_must_show_the_fixed_effects_with_the_intervals_of_t_tests() -> None:
    ax = cake().plot.forest(level=0.9)
    names = [str(name) for name in cake().params.index][1:]
    table = cake().t_test(names, level=0.9).table
    rows = np.concatenate([c.get_offsets() for c in ax.collections if c.get_zorder() == 3])
    rows = rows[np.argsort(-rows[:, 1])]
    np.testing.assert_allclose(rows[:, 0], table["estimate"])
    segments = [s for c in ax.collections if hasattr(c, "get_segments") for s in c.get_segments()]
    limits = np.array(sorted(segments, key=lambda s: -s[0, 1]))[:, :, 0]
    np.testing.assert_allclose(limits, table[["lower", "upper"]])
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[:3] == ["recipe B", "recipe C", "temperature 185"]
    assert labels[-1] == "recipe C × temperature 225"
    assert len(labels) == len(names)
    first = ax.texts[0].get_text()
    numbers = "{estimate:.2f} [{lower:.2f}, {upper:.2f}]".format(**table.iloc[0])
    assert first == numbers.replace("-", "−")


def test_forest_must_draw_the_coefficients_that_are_named() -> None:
    assert len(cake().plot.forest(["recipeC", "(Intercept)"]).get_yticks()) == 2
    assert len(sleep().plot.forest(intercept=True).get_yticks()) == 2
    with pytest.raises(mf.ModelError, match="no fixed effects to draw"):
        mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit().plot.forest()


# -- text ------------------------------------------------------------------------------------------

DRAWN = {
    "means": lambda **o: words().plot.means("prime type", by="word frequency", **o),
    "means of many series": lambda **o: words().plot.means("word frequency", by="prime type", **o),
    "effect": lambda **o: words().plot.effect("age of participant", by=["prime type", "word frequency"], **o),
    "effect of a factor": lambda **o: words().plot.effect("prime type", **o),
    "slopes": lambda **o: oats().plot.slopes("Variety", "nitro", **o),
    "means of 25 series": lambda **o: conditions().plot.means("half", by="condition", **o),
    "forest of 49": lambda **o: conditions().plot.forest(**o),
    "forest": lambda **o: words().plot.forest(**o),
    "forest of one": lambda **o: sleep().plot.forest(**o),
    "short names": lambda **o: cake().plot.means("~ temperature | recipe", **o),
}


def boxes(ax: Any) -> list[Any]:
    """Return the boxes of all texts that are drawn: title, labels, ticks within the limits, legend, remarks."""
    ax.figure.draw_without_rendering()
    texts = [*ax.texts, ax.xaxis.label, ax.yaxis.label, ax._left_title]
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        texts += [label for place, label in ticks if limits[0] <= place <= limits[1]]
    if (legend := ax.get_legend()) is not None:
        texts += [*legend.get_texts(), legend.get_title()]
    return [text.get_window_extent() for text in texts if text.get_text()]


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", DRAWN)
def test_text_must_lie_inside_the_figure_and_not_on_other_text(name: str) -> None:
    ax = DRAWN[name]()
    found, figure = boxes(ax), ax.figure.bbox
    assert all(
        figure.x0 <= b.x0 and b.x1 <= figure.x1 and figure.y0 <= b.y0 and b.y1 <= figure.y1 for b in found
    )
    assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in combinations(found, 2))
    assert ax.get_window_extent().width > 0.2 * figure.width


@pytest.mark.everyday(3)
@pytest.mark.parametrize("name", DRAWN)
def test_text_must_not_overlap_in_small_axes(name: str) -> None:
    axes = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")[1]
    ax = DRAWN[name](ax=axes[1, 0])
    assert ax is axes[1, 0]
    found = boxes(ax)
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for a, b in combinations(found, 2))


def test_categories_must_be_broken_before_they_are_shortened() -> None:
    labels = [t.get_text() for t in DRAWN["means"]().get_xticklabels()]
    assert "orthographically\nrelated prime" in labels
    narrow = plt.subplots(figsize=(2.5, 3.0), layout="constrained")[1]
    shown = words().plot.means("prime type", ax=narrow).get_xticklabels()
    assert all(t.get_rotation() == 90 for t in shown)
    narrow.figure.draw_without_rendering()
    drawn = [label.get_window_extent() for label in shown]
    assert not any(a.overlaps(b) for a, b in pairwise(drawn))


# -- arguments -------------------------------------------------------------------------------------


def test_pictures_must_not_need_rows_or_grouping_factors() -> None:
    data = mf.load_dataset("sleepstudy")
    streamed = mf.lmm("Reaction ~ Days + (Days | Subject)", [data[:100], data[100:]]).fit()
    ax = streamed.plot.effect("Days")
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), sleep().plot.effect("Days").lines[0].get_ydata(), rtol=1e-4
    )
    assert not ax.texts
    alone = mf.lmm("angle ~ recipe + temp", mf.load_dataset("cake")).fit()
    assert "Points: rows." in alone.plot.means("recipe").texts[0].get_text()
    assert len(points(alone.plot.means("recipe"))) == 270


def test_mean_of_the_grid_must_be_drawn_alone() -> None:
    ax = cake().plot.means("~ 1")
    np.testing.assert_allclose(estimates(ax), cake().emmeans("~ 1").table["estimate"])
    assert ax.get_xlabel() == "mean of the grid"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: cake().plot.means("recip"), "Did you mean 'recipe'"),
        (lambda: sleep().plot.effect("Day"), "Did you mean 'Days'"),
        (lambda: logs().plot.effect("recipe", by="tmp"), "Did you mean 'temp'"),
        (lambda: cake().plot.slopes("recipe", "temperature"), "is not a numeric variable"),
        (lambda: cake().plot.forest("recipeD"), "is not a coefficient of the fixed part"),
        (lambda: cake().plot.means("recipe", group="oven"), "is not a grouping factor"),
        (lambda: plots.forest(cake(), level=2), "level"),
    ],
)
def test_wrong_names_must_be_refused_in_words(draw: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        draw()
