"""Pictures of curves, factors, zero variances, many levels, long names and small axes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfit as mf
from mixedfit import plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _no_figure_must_stay_open() -> Iterator[None]:
    yield
    plt.close("all")


def fitted(formula: str, data: Any) -> mf.MixedResults:
    return mf.lmm(formula, mf.load_dataset(data) if isinstance(data, str) else data).fit()


@lru_cache
def slopes() -> mf.MixedResults:
    return fitted("Reaction ~ Days + (Days | Subject)", "sleepstudy")


@lru_cache
def cake() -> mf.MixedResults:
    return fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake")


@lru_cache
def no_variance() -> mf.MixedResults:
    return fitted("Yield ~ 1 + (1 | Batch)", "Dyestuff2")


@lru_cache
def curves() -> mf.MixedResults:
    return fitted("weight ~ Time + I(Time**2) + (Time + I(Time**2) | Chick)", "ChickWeight")


def many_levels() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat([f"clinic with number {i}" for i in range(200)], 3)})
    data["y"] = np.repeat(rng.normal(size=200), 3) + rng.normal(size=600)
    return data


def drawn_words(annotations: Any, figure: Any) -> list[Any]:
    """Return the boxes of annotations' words, without the lines that lead to them."""
    figure.draw_without_rendering()
    return [matplotlib.text.Text.get_window_extent(text) for text in annotations]


def drawn_boxes(artists: Any, figure: Any) -> list[Any]:
    figure.draw_without_rendering()
    return [artist.get_window_extent() for artist in artists]


# -- what slopes imply ------------------------------------------------------------------------------


def test_implied_covariance_must_move_all_columns_of_the_variable() -> None:
    """zᵀΩz + σ² with z = (1, t, t²); the rival holds t² at its mean."""
    fit = curves()
    implied = plots.implied_covariance(fit)
    z = np.column_stack([np.ones(101), implied.x, implied.x**2])
    np.testing.assert_allclose(implied.x[[0, -1]], [0, 21])
    np.testing.assert_allclose(implied.covariance, z @ fit._fit.omega[0] @ z.T, rtol=1e-10)
    np.testing.assert_allclose(
        implied.variance, np.diag(z @ fit._fit.omega[0] @ z.T) + fit.sigma**2, rtol=1e-10
    )
    rival = z.copy()
    rival[:, 2] = np.mean(mf.load_dataset("ChickWeight")["Time"] ** 2)
    off = np.diag(rival @ fit._fit.omega[0] @ rival.T) + fit.sigma**2
    assert np.abs(off / implied.variance - 1).max() > 0.5


def test_implied_covariance_must_not_depend_on_how_a_curve_is_written() -> None:
    raw = plots.implied_covariance(curves())
    poly = plots.implied_covariance(fitted("weight ~ poly(Time, 2) + (poly(Time, 2) | Chick)", "ChickWeight"))
    assert poly.variable == "Time"
    np.testing.assert_allclose(poly.x, raw.x)
    np.testing.assert_allclose(poly.variance, raw.variance, rtol=1e-3)


def test_implied_covariance_must_not_depend_on_where_a_covariate_begins() -> None:
    """A year of 2e9 instead of 0; zᵀΩz from Ω itself has lost all digits there."""
    data = mf.load_dataset("sleepstudy")
    far = plots.implied_covariance(
        fitted("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] + 2e9))
    )
    near = plots.implied_covariance(slopes())
    np.testing.assert_allclose(far.covariance, near.covariance, rtol=1e-3)


def test_implied_covariance_must_have_the_levels_of_a_factor() -> None:
    """The effects of (Machine | Worker) are those of (0 + Machine | Worker) in another coding."""
    fit = fitted("score ~ Machine + (Machine | Worker)", "Machines")
    own = fitted("score ~ Machine + (0 + Machine | Worker)", "Machines")
    implied = plots.implied_covariance(fit)
    assert implied.categories == ("A", "B", "C")
    np.testing.assert_allclose(implied.covariance, own._fit.omega[0], rtol=1e-3)
    figure = plots.within_group(fit)
    for ax in figure.axes:
        assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B", "C"]
    heights = [bar.get_height() + bar.get_y() for bar in figure.axes[0].patches[3:]]
    np.testing.assert_allclose(heights, implied.variance)


def test_within_group_must_say_where_other_variables_are_held() -> None:
    data = mf.load_dataset("Oats")
    fit = fitted("yield ~ nitro + Variety + (nitro + Variety | Block)", data)
    implied = plots.implied_covariance(fit)
    first = (
        data["Variety"].unique()[0] if data["Variety"].dtype == object else data["Variety"].cat.categories[0]
    )
    first = sorted(data["Variety"].astype(str).unique())[0]
    assert implied.held == {"Variety": first}
    for ax in plots.within_group(fit).axes:
        assert f"Variety at {first}" in ax.get_title("left").replace("\n", " ")
    along = plots.implied_covariance(fit, effect="Variety")
    assert along.held["nitro"] == pytest.approx(data["nitro"].mean())
    assert len(along.categories) == 3


def test_implied_covariance_must_be_known_of_a_copy_that_lost_functions_if_one_column_varies() -> None:
    data = mf.load_dataset("sleepstudy")
    weeks = {"weeks": lambda days: days / 7}
    one = mf.lmm("Reaction ~ weeks(Days) + (weeks(Days) | Subject)", data, context=weeks).fit()
    copy = pickle.loads(pickle.dumps(one))
    found, own = plots.implied_covariance(copy), plots.implied_covariance(one)
    assert (found.variable, own.variable) == ("weeks(Days)", "Days")
    np.testing.assert_allclose(found.variance, own.variance)
    two = mf.lmm("Reaction ~ Days + (Days + I(weeks(Days)**2) | Subject)", data, context=weeks).fit()
    with pytest.raises(mf.ModelError, match="functions or constants of your own"):
        plots.implied_covariance(pickle.loads(pickle.dumps(two)))


def test_variance_of_a_row_must_name_its_weight_when_there_are_weights() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", data, weights=np.linspace(0.5, 2.0, len(data))).fit()
    assert plots.within_group_variance(fit).get_ylabel() == "variance of a row of weight 1"
    assert plots.within_group_variance(slopes()).get_ylabel() == "variance of a row"


def test_shares_of_variance_must_read_as_one_number_when_they_do() -> None:
    from mixedfit.plots._within_group import _shares

    assert _shares(np.array([0.421, 0.424])) == "42%"
    assert _shares(np.array([0.99997, 0.99999])) == "99.99%"
    assert _shares(np.array([0.1, 1.0])) == "10% to 100%"
    assert _shares(np.zeros(3)) == "0%"


# -- variables read back from columns ---------------------------------------------------------------


@pytest.mark.everyday(5)
@pytest.mark.parametrize(
    ("right", "name"),
    [
        ("poly(x, 3) + f", "x"),
        ("bs(x, df=5) + f", "x"),
        ("0 + cr(x, df=4)", "x"),
        ("log(x)", "x"),
        ("I(x**2)", "x"),
        ("scale(x) * f", "x"),
        ("sqrt(x):f + sqrt(x)", "x"),
        ("x * f", "f"),
        ("C(w)", "w"),
        ("C(w, Sum) + x", "w"),
        ("b", "b"),
    ],
)
def test_variable_must_be_read_back_from_its_columns(right: str, name: str) -> None:
    from mixedfit.prediction.variables import values_of

    rng = np.random.default_rng(2)
    data = pd.DataFrame(
        {"x": rng.uniform(1, 9, 120), "f": np.tile(list("abc"), 40), "w": np.tile([3, 1, 2, 8], 30)}
    )
    data["b"] = data["x"] > 5
    data["g"] = np.repeat(np.arange(12), 10)
    data["y"] = rng.normal(size=120) + data["g"] % 3
    found = values_of(mf.lmm(f"y ~ {right} + (1 | g)", data).fit()._fit, name)
    assert found is not None
    if name == "x":
        np.testing.assert_allclose(found, data["x"], rtol=1e-7)
    else:
        assert found.tolist() == data[name].tolist()


def test_variable_must_be_none_where_columns_do_not_tell_it() -> None:
    from mixedfit.prediction.variables import values_of

    data = mf.load_dataset("sleepstudy")
    data["away"] = data["Days"] - 4.5
    fit = fitted("Reaction ~ I(away**2) + (1 | Subject)", data)
    assert values_of(fit._fit, "away") is None
    with pytest.raises(mf.ModelError, match="cannot be told from the columns"):
        fit.plot.fitted_lines("away")
    assert fit.plot.spaghetti(data["away"]).get_xlabel() == "away"


# -- lines ------------------------------------------------------------------------------------------


def test_population_must_be_the_mean_at_each_value_given() -> None:
    data = mf.load_dataset("cake")
    ax = cake().plot.spaghetti(data["temp"].to_numpy())
    means = cake().predict(re_form="none").groupby(data["temp"]).mean()
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), np.column_stack([means.index, means]))


def test_population_must_be_averaged_over_other_variables_at_each_x() -> None:
    """Partial dependence by predictions of all rows moved to each place; the rival joins rows as they come."""
    rng = np.random.default_rng(1)
    data = mf.load_dataset("ChickWeight")
    data["t"] = data["Time"] + 0.3 * rng.normal(size=len(data))
    data["Diet"] = data["Diet"].astype(str)
    data.loc[data["Diet"] == "3", "weight"] += 200
    fit = fitted("weight ~ poly(t, 2) * Diet + (1 | Chick)", data)
    ax = fit.plot.spaghetti(data["t"].to_numpy())
    assert ax.get_xlabel() == "t"
    assert "mean over Diet" in ax.get_title("left")
    x, y = ax.lines[-1].get_data()
    assert np.isin(np.round(x, 6), np.round(data["t"], 6)).all()
    for place, value in list(zip(x, y, strict=True))[::20]:
        moved = fit.predict(data.assign(t=place), re_form="none").mean()
        assert value == pytest.approx(moved, rel=1e-6)


def test_population_must_follow_the_rows_where_another_variablegoes_along_with_x() -> None:
    """temp and temperature are one thing: moving one without the other makes a flat line."""
    data = mf.load_dataset("cake")
    fit = fitted("angle ~ recipe * temperature + (1 + temp | recipe:replicate)", data)
    means = fit.predict(re_form="none").groupby(data["temp"]).mean()
    np.testing.assert_allclose(fit.plot.spaghetti("temp").lines[-1].get_ydata(), means)
    both = fitted(
        "angle ~ temp + temperature + (1 | recipe:replicate)", data.assign(temperature=data["temp"] ** 1.1)
    )
    means = both.predict(re_form="none").groupby(data["temp"]).mean()
    ax = both.plot.spaghetti("temp")
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), means)
    assert "mean over" not in ax.get_title("left")


@pytest.mark.parametrize(
    ("other", "along"),
    [
        ([1.0, 2, 3, 4, 5, 6], True),
        ([3.0, 1, 2, 2, 1, 3], False),
        (list("aabbcc"), True),
        (list("abcabc"), False),
    ],
)
def test_variables_must_be_told_that_go_along(other: Any, along: bool) -> None:
    from mixedfit.prediction.variables import goes_along

    own = pd.Series(np.tile(np.arange(6.0), 10))
    assert goes_along(pd.Series(other * 10), own) == along
    label = own.astype(str).astype("category")
    assert goes_along(pd.Series(other * 10), label)
    assert not goes_along(pd.Series(np.repeat(other, 10)), label)
    assert not goes_along(pd.Series(["no"] * 59 + ["yes"]), label)


def test_population_must_count_an_offset() -> None:
    data = mf.load_dataset("sleepstudy")
    data["known"] = np.linspace(0.0, 50.0, len(data))
    ax = mf.lmm("Reaction ~ Days + (1 | Subject)", data, offset="known").fit().plot.spaghetti()
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, offset="known").fit()
    expected = fit.params["(Intercept)"] + fit.params["Days"] * np.arange(10) + data["known"].mean()
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), expected)


def test_lines_must_join_means_where_a_group_has_several_rows_at_one_x() -> None:
    data = mf.load_dataset("Orthodont")
    fit = fitted("distance ~ age * Sex + (1 | Subject) + (1 | Sex)", data.assign(Sex=data["Sex"].astype(str)))
    figure = fit.plot.fitted_lines("age", "Sex")
    ax = next(a for a in figure.axes if a.get_label() == "Female")
    means = fit.fittedvalues[data["Sex"] == "Female"].groupby(data["age"]).mean()
    np.testing.assert_allclose(ax.lines[1].get_xydata(), np.column_stack([means.index, means]))


def test_lines_must_be_smooth_where_another_covariate_goes_up_and_down() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.uniform(0, 10, 400), "c": rng.choice([-1.0, 0.5, 1.0], 400)})
    data["g"] = np.arange(400) // 100
    data["y"] = data["x"] + 10 * data["c"] + data["g"] + rng.normal(size=400)
    ax = fitted("y ~ x + c + (1 | g)", data).plot.fitted_lines().axes[0]
    for line in ax.lines[:2]:
        slopes = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
        assert np.ptp(slopes) < 1e-6
    assert ax.figure.get_supxlabel() == "x"
    assert "c at the mean of each level" in ax.figure.get_suptitle()


def test_lines_must_be_predictions_with_the_other_variables_held_in_each_group() -> None:
    """The rival holds them at their means over all rows."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.uniform(0, 10, 240), "g": np.arange(240) // 40, "h": np.arange(240) % 8})
    data["c"] = rng.normal(size=240) + data["g"]
    data["f"] = rng.choice(["u", "u", "v"], 240)
    data["y"] = data["x"] * (1 + 0.2 * data["g"]) + 3 * data["c"] + (data["f"] == "v") + rng.normal(size=240)
    fit = fitted("y ~ x * f + c + (x | g) + (1 | h)", data)
    ax = fit.plot.spaghetti("x", "g")
    assert "c at the mean and f at the most frequent value of each level" in ax.get_title("left").replace(
        "\n", " "
    )
    lines = {line.get_xdata()[0]: line for line in ax.lines[:-1]}
    others = fit.random_effects["h"]["(Intercept)"]
    for level, rows in data.groupby("g"):
        line = lines[rows["x"].min()]
        new = {"x": line.get_xdata(), "c": rows["c"].mean(), "f": rows["f"].mode()[0], "g": level}
        expected = fit.predict(pd.DataFrame(new), re_form="~ (x | g)") + others.loc[rows["h"]].mean()
        np.testing.assert_allclose(line.get_ydata(), expected)


def test_categories_of_integers_must_be_held_as_labels() -> None:
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"x": rng.uniform(0, 10, 120), "g": np.arange(120) % 6})
    data["f"] = pd.Categorical(rng.choice([1, 2, 6], 120))
    data["y"] = data["x"] * data["f"].astype(int) + data["g"] + rng.normal(size=120)
    title = fitted("y ~ x * f + (1 | g)", data).plot.fitted_lines().axes[0].figure.get_suptitle()
    assert "f at the most frequent value of each level" in title.replace("\n", " ")


@pytest.mark.everyday(2)
@pytest.mark.parametrize(
    ("formula", "data", "name", "labels"),
    [
        ("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake", "temperature", 6),
        ("angle ~ recipe + temp + (1 | recipe:replicate)", "cake", "temp", 0),
        ("yield ~ Variety + nitro + (1 | Block)", "Oats", "nitro", 0),
        ("score ~ Machine + (Machine | Worker)", "Machines", "Machine", 3),
        ("weight ~ poly(Time, 2) + (poly(Time, 2) | Chick)", "ChickWeight", "Time", 0),
    ],
)
def test_lines_must_run_along_a_variable(formula: str, data: str, name: str, labels: int) -> None:
    fit = fitted(formula, data)
    figure = fit.plot.fitted_lines(groups=4)
    assert figure.get_supxlabel() == name
    ax = fit.plot.spaghetti()
    assert ax.get_xlabel() == name
    if labels:
        assert len(figure.axes[-1].get_xticks()) == len(ax.get_xticks()) == labels
        assert ax.get_xlim() == (-0.5, labels - 0.5)


def test_numbers_with_two_values_must_be_categories_that_can_be_moved() -> None:
    data = mf.load_dataset("sleepstudy")
    data["late"] = (data["Days"] > 4) * 2.0 - 1.0
    data["odd"] = data["Days"] % 2 == 1
    fit = fitted("Reaction ~ late * odd + (1 | Subject)", data)
    for name, values, labels in (
        ("late", [-1.0, 1.0], ["−1", "1"]),
        ("odd", [False, True], ["False", "True"]),
    ):
        ax = fit.plot.spaghetti(name)
        assert [t.get_text() for t in ax.get_xticklabels()] == labels
        means = [fit.predict(data.assign(**{name: value}), re_form="none").mean() for value in values]
        np.testing.assert_allclose(ax.lines[-1].get_xydata(), np.column_stack([[0, 1], means]))


def test_labels_of_many_categories_must_not_cover_each_other() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"f": [f"region {i:02d}" for i in np.arange(600) % 40], "g": np.arange(600) // 15})
    data["y"] = rng.normal(size=600) + data["g"] % 4
    figure = fitted("y ~ f + (1 | g)", data).plot.fitted_lines(groups=6)
    boxes = drawn_boxes(figure.axes[0].get_xticklabels(), figure)
    assert len(boxes) > 5
    assert all(not a.overlaps(b) for a, b in pairwise(boxes))


def test_lines_must_take_labels_and_the_names_of_factors() -> None:
    data = mf.load_dataset("cake")
    figure = cake().plot.fitted_lines(data["recipe"].astype(str).to_numpy(), groups=3)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["A", "B", "C"]
    ax = cake().plot.fitted_lines("temperature", groups=["A:1"]).axes[0]
    rows = (data["recipe"] == "A") & (data["replicate"].astype(str) == "1")
    np.testing.assert_allclose(
        ax.collections[0].get_offsets(), np.column_stack([np.arange(6), data["angle"][rows]])
    )


def test_a_column_must_stand_for_the_variable_behind_it() -> None:
    assert curves().plot.fitted_lines("I(Time**2)", groups=2).get_supxlabel() == "Time"
    assert cake().plot.spaghetti("temperature185").get_xlabel() == "temperature"


def test_x_must_be_matched_by_its_index_where_rows_were_left_out() -> None:
    data = mf.load_dataset("sleepstudy")
    data.loc[[3, 40, 41], "Reaction"] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        fit = fitted("Reaction ~ Days + (Days | Subject)", data)
    shuffled = data["Days"].rename("when").sample(frac=1, random_state=1) * 2.0
    ax = fit.plot.fitted_lines(shuffled, groups=["308"]).axes[0]
    own = data[(data["Subject"].astype(str) == "308") & data["Reaction"].notna()]
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], 2.0 * own["Days"])
    with pytest.raises(
        mf.ModelError, match=r"each of the 177 rows of the fit \(3 rows of the data were left out"
    ):
        fit.plot.fitted_lines(data["Days"].to_numpy())


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (pd.date_range("2024-01-01", periods=180), "holds dates"),
        (np.where(np.arange(180) == 3, None, "a"), "1 missing value"),
        (np.where(np.arange(180) == 3, np.nan, 1.0), "missing or infinite"),
    ],
)
def test_x_must_be_numbers_or_labels(x: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        slopes().plot.fitted_lines(x)


def test_title_and_legend_must_not_cover_each_other() -> None:
    for groups in (1, 2, 3, 12):
        figure = cake().plot.fitted_lines(groups=groups)
        title, legend, label = drawn_boxes([figure._suptitle, figure.legends[0], figure._supxlabel], figure)
        texts = [t.get_window_extent() for t in figure.legends[0].get_texts()]
        words = figure._suptitle.get_text()
        if words.startswith("\n"):
            assert title.y0 + 0.5 * title.height < min(box.y0 for box in texts) + 2
        else:
            assert not title.overlaps(legend)
        assert not label.overlaps(legend)


# -- names ------------------------------------------------------------------------------------------


def test_caterpillar_must_name_the_extremes_of_many_levels() -> None:
    fit = fitted("y ~ 1 + (1 | g)", many_levels())
    effects = fit.random_effects["g"]["(Intercept)"].sort_values()
    ax = plots.caterpillar(fit, names=6)
    ends = [*effects.index[:3], *effects.index[-3:]]
    assert sorted(t.get_text() for t in ax.texts) == sorted(f"…{name.split()[-1]}" for name in ends)
    boxes = drawn_words(ax.texts, ax.figure)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not plots.caterpillar(fit, names=0).texts
    assert len(plots.caterpillar(fit, sort=False).texts) == 8


def test_names_of_a_caterpillar_must_fit_its_height() -> None:
    data = many_levels()[:168]
    fit = fitted("y ~ 1 + (1 | g)", data)
    figure, ax = plt.subplots(figsize=(5.2, 6.0), layout="constrained")
    plots.caterpillar(fit, ax=ax)
    boxes = drawn_boxes(ax.get_yticklabels(), figure)
    assert len(boxes) == 56
    assert all(not a.overlaps(b) for a, b in pairwise(boxes))
    assert len(plots.caterpillar(fit, ax=plt.subplots(figsize=(5, 2))[1]).get_yticks()) == 0


@pytest.mark.parametrize("prefix", ["", "pig from farm number "])
def test_names_of_influence_must_not_cover_each_other(prefix: str) -> None:
    rng = np.random.default_rng(5)
    names = [f"{prefix}{6000 + i}" for i in range(60)]
    values = rng.uniform(0, 0.4, 60)
    values[[20, 21, 22, 24, 58]] = [0.9, 0.8, 0.82, 0.85, 0.95]
    table = pd.DataFrame({"cooks_distance": values}, index=pd.Index(names, name="Pig"))
    ax = plots.influence(table)
    assert all(t.get_text()[-4:].isdigit() for t in ax.texts)
    boxes = drawn_words(ax.texts, ax.figure)
    assert len(boxes) == 8
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    frame = ax.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and box.y1 <= frame.y1 for box in boxes)


def test_influence_must_name_rows_of_several_labels() -> None:
    index = pd.MultiIndex.from_tuples([("a", 1.0), ("a", 2.0), ("b", 1.0)])
    ax = plots.influence(pd.DataFrame({"cooks_distance": [0.1, 0.2, 0.3]}, index=index), names=1)
    assert ax.texts[0].get_text() == "b, 1"


def test_long_names_must_lose_what_they_share_or_their_middle() -> None:
    from mixedfit.plots._text import level_words

    assert level_words(["pig from farm number 6430", "pig from farm number 81"]) == ["…6430", "…81"]
    assert level_words(["A", "B"]) == ["A", "B"]
    assert level_words(pd.Index([10045.0, 10046.0, -0.25])) == ["10045", "10046", "−0.25"]
    one, other = level_words(["university hospital of Leiden", "a"])
    assert (one, other) == ("universi…of Leiden", "a")
    assert level_words(["north one but long enough", "north one but longer still"])[0].startswith(
        "…long enough"
    )


def test_names_in_quotes_must_be_those_of_the_data() -> None:
    from mixedfit.core.format import without_quotes

    assert without_quotes("Time:Q('vitamin.E')Evit100") == "Time:vitamin.E Evit100"
    data = mf.load_dataset("sleepstudy").rename(columns={"Days": "days awake", "Reaction": "time (ms)"})
    fit = fitted("Q('time (ms)') ~ Q('days awake') + (Q('days awake') | Subject)", data)
    assert fit.plot.spaghetti().get_ylabel() == "time (ms)"
    assert fit.plot.shrinkage().get_ylabel() == "days awake"
    assert fit.plot.caterpillar(effect="Q('days awake')").get_xlabel().startswith("days awake:")
    assert plots.qq_random_effect(fit, effect="Q('days awake')").get_ylabel() == "days awake | Subject"
    ticks = fitted("`time (ms)` ~ `days awake` + (1 | Subject)", data).plot.fitted_lines(groups=2)
    assert (ticks.get_supylabel(), ticks.get_supxlabel()) == ("time (ms)", "days awake")


def test_names_must_be_moved_apart_in_order_by_least_squares() -> None:
    """Against a general minimiser under the same gaps."""
    from scipy.optimize import minimize

    from mixedfit.plots._text import moved_apart

    wanted = np.array([3.0, 1.0, 1.2, 1.1, 8.0])
    found = moved_apart(wanted, 1.0, -5.0, 20.0)
    order = np.argsort(wanted)
    gaps = {"type": "ineq", "fun": lambda v: np.diff(v[order]) - 1.0}
    best = minimize(lambda v: np.sum((v - wanted) ** 2), wanted, constraints=[gaps]).x
    np.testing.assert_allclose(found, best, atol=1e-5)
    np.testing.assert_allclose(sorted(moved_apart(np.zeros(3), 1.0, 0.0, 9.0)), [0, 1, 2])


def test_names_of_a_quantile_plot_must_lie_outside_the_cloud() -> None:
    ax = plots.qq_random_effect(slopes())
    low, high = ax.texts
    assert (low.get_va(), high.get_va()) == ("top", "bottom")
    boxes = drawn_boxes([low, high], ax.figure)
    points = ax.transData.transform(ax.collections[-1].get_offsets())
    for box in boxes:
        assert not any(box.contains(*point) for point in points)


# -- sizes, zero variances, small axes --------------------------------------------------------------


def test_sizes_must_be_whole_numbers() -> None:
    data = mf.load_dataset("sleepstudy")[1:]
    ax = plots.shrinkage_by_size(fitted("Reaction ~ 1 + (1 | Subject)", data))
    ax.figure.draw_without_rendering()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_groups_of_one_size_must_stand_beside_each_other() -> None:
    ax = plots.shrinkage_by_size(slopes())
    places = ax.collections[-1].get_offsets()[:, 0]
    assert np.unique(places).size == 18
    assert ax.get_xlabel() == "levels of Subject, ordered: all have 10 rows"
    assert len(ax.get_xticks()) == 0


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_legend_must_stay_inside_small_axes(layout: Any) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout=layout)
    plots.shrinkage(slopes(), ax=axes[0, 0])
    plots.shrinkage_by_size(slopes(), ax=axes[0, 1])
    figure.draw_without_rendering()
    for ax in axes[0]:
        legend = ax.get_legend().get_window_extent()
        assert not legend.overlaps(ax.xaxis.label.get_window_extent())
        assert ax.bbox.y0 - 1 <= legend.y0
        assert legend.x1 <= ax.bbox.x1 + 1
        points = ax.transData.transform(np.vstack([c.get_offsets() for c in ax.collections[1:]]))
        assert points[:, 1].min() > legend.y1 - 3
        assert all(text.get_window_extent().x1 <= ax.bbox.x1 + 25 for text in ax.texts)


def test_mean_must_be_named_inside_the_axes() -> None:
    ax = plots.shrinkage_by_size(slopes())
    box = drawn_boxes([t for t in ax.texts if t.get_text().startswith("mean")], ax.figure)[0]
    assert box.x1 <= ax.bbox.x1


@pytest.mark.parametrize("name", ["caterpillar", "qq_random_effects", "spaghetti", "fitted_lines"])
def test_a_variance_of_zero_must_be_said_on_the_picture(name: str) -> None:
    made = getattr(no_variance().plot, name)()
    figure = made if hasattr(made, "savefig") else made.figure
    texts = [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
    assert any("variance" in text.replace("\n", " ") and "0" in text for text in texts)
    if name == "caterpillar":
        assert made.get_xlim()[1] == pytest.approx(no_variance().sigma)


def test_population_must_be_seen_over_the_fitted_line() -> None:
    ax = no_variance().plot.fitted_lines().axes[0]
    population, fitted_line = ax.lines[:2]
    assert population.get_linestyle() != "-"
    assert population.get_zorder() > fitted_line.get_zorder()
    assert population.get_linewidth() < fitted_line.get_linewidth()


def test_outlines_must_be_drawn_where_a_standard_deviation_reaches_zero() -> None:
    """On the half that is known, against the likelihood of a balanced one-way layout."""
    data = mf.load_dataset("Dyestuff2")
    traced = mf.lmm("Yield ~ 1 + (1 | Batch)", data).fit(reml=False).profile()
    figure = plots.profile_pairs(traced, [".sig01", ".sigma"], levels=(0.5,))
    ax = next(a for a in figure.axes if a.get_label() == ".sigma|.sig01")
    x, z = ax.lines[2].get_data()
    known = np.isfinite(x) & np.isfinite(z)
    assert known.sum() > 500
    assert x[known].min() < 0.02 * x[known].max()
    y = data.pivot_table(
        index=data.groupby("Batch", observed=True).cumcount(), columns="Batch", values="Yield", observed=True
    ).to_numpy()
    y = y - y.mean()
    for a, b in list(zip(x[known], z[known], strict=True))[::40]:
        v = b**2 * np.eye(5) + a**2
        twice = (
            6 * np.linalg.slogdet(v)[1]
            + np.einsum("ij,ik,kj->", y, np.linalg.inv(v), y)
            + 30 * np.log(2 * np.pi)
        )
        assert (twice - traced.deviance) / stats.chi2.ppf(0.5, 2) == pytest.approx(1.0, abs=0.05)


def test_sparse_columns_must_not_be_black() -> None:
    n = 4000
    data = pd.DataFrame({"f": np.arange(n) % 20, "g": np.repeat(np.arange(40), 100)})
    data["y"] = np.random.default_rng(1).normal(size=n) + data["g"] % 5
    axes = {ax.get_label(): ax for ax in plots.matrix_pattern(fitted("y ~ C(f) + (1 | g)", data)).axes}
    shades = np.asarray(axes["X"].images[0].get_array())
    np.testing.assert_allclose(shades[:, 0], 1.0)
    assert shades[:, 1:].max() == pytest.approx(0.15 + 0.85 * 0.1)
    assert (shades > 0).mean() < 0.6


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: slopes().plot.fitted_lines(groups=0), "groups=0; expected how many levels"),
        (lambda: slopes().plot.fitted_lines(groups=[]), "groups=.*; expected how many levels"),
        (lambda: slopes().plot.fitted_lines(groups=2.5), "groups=2.5; expected how many levels"),
        (
            lambda: slopes().plot.fitted_lines(columns=0),
            "columns is 0; expected a whole number of at least 1",
        ),
        (lambda: slopes().plot.spaghetti(lines=-1), "lines is -1; expected a whole number of at least 1"),
    ],
)
def test_counts_must_be_at_least_one(draw: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        draw()


def test_one_level_must_do_for_a_list_of_one() -> None:
    assert [ax.get_label() for ax in slopes().plot.fitted_lines(groups="308").axes] == ["308"]
    assert len(slopes().plot.fitted_lines(groups=np.int64(3)).axes) == 3


def test_influence_must_be_drawn_without_names() -> None:
    table = pd.DataFrame({"cooks_distance": [0.1, np.nan, 0.3]}, index=list("abc"))
    assert not plots.influence(table, names=0).texts
    assert sorted(t.get_text() for t in plots.influence(table).texts) == ["a", "c"]


# -- axes that are given ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: slopes().plot.caterpillar(ax=3), r"ax=3 is not an Axes"),
        (lambda: slopes().plot.qq_residuals(ax=plt.subplots(1, 2)[1]), r"give one of them"),
        (lambda: slopes().plot.shrinkage(ax=plt.figure()), r"give one of its axes"),
        (lambda: slopes().plot.fitted_lines(ax=plt.subplots()[1]), r"fitted_lines takes no ax=.*spaghetti"),
        (lambda: slopes().plot(ax=plt.subplots()[1]), r"overview takes no ax="),
        (lambda: slopes().plot.matrix_pattern(ax=plt.subplots()[1]), r"matrix_pattern takes no ax="),
        (lambda: slopes().plot.within_group(ax=plt.subplots()[1]), r"within_group_variance and"),
        (lambda: slopes().plot.qq_random_effects(ax=plt.subplots()[1]), r"qq_random_effect draws"),
        (lambda: slopes().plot.profile_zeta(["Days"], ax=plt.subplots()[1]), r"profile_zeta takes no ax="),
    ],
)
def test_axes_that_cannot_be_used_must_be_refused_in_words(draw: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        draw()


def test_levels_without_rows_must_be_left_out_of_fitted_lines() -> None:
    """Ancestors in a pedigree have BLUPs, but no rows."""
    pedigree = {"animal": ["c", "d", "e", "f"], "sire": ["a", "a", "c", "c"], "dam": ["b", "b", "", "d"]}
    known = mf.Known.from_pedigree(pedigree)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"animal": list("cdef") * 5, "x": rng.normal(size=20)})
    frame["y"] = (
        frame["x"] + frame["animal"].map({"c": 0.0, "d": 1.0, "e": 2.0, "f": 1.0}) + rng.normal(size=20)
    )
    fit = mf.lmm("y ~ x + (1 | animal)", frame, known={"animal": known}).fit()
    assert len(fit.plot.fitted_lines().axes) == 4
    fit.plot.caterpillar()
    with pytest.raises(mf.ModelError, match="'a' of 'animal' has no rows"):
        fit.plot.fitted_lines(groups=["a"])
