"""Pictures: what is drawn is what was computed; axes are labelled; `ax=` is honoured."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfit as mf
from mixedfit import plots
from mixedfit.plots._bootstrap import kernel_density
from mixedfit.plots._matrix_pattern import _fill_in
from mixedfit.plots._profiles import contour, trace
from mixedfit.plots._shrinkage import ellipse
from mixedfit.plots.style import smooth

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _no_figure_must_stay_open() -> Iterator[None]:
    yield
    plt.close("all")


@lru_cache
def slopes() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


@lru_cache
def crossed() -> mf.MixedResults:
    return mf.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("Penicillin")).fit()


@lru_cache
def series() -> mf.MixedResults:
    data = mf.load_dataset("sleepstudy")
    return mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject")).fit()


def least_squares(results: mf.MixedResults) -> pd.DataFrame:
    """Per-subject straight lines, by numpy's polynomial fits."""
    data = mf.load_dataset("sleepstudy")
    rows = {
        s: np.polyfit(d["Days"], d["Reaction"], 1)[::-1] for s, d in data.groupby("Subject", observed=True)
    }
    return pd.DataFrame(rows, index=["(Intercept)", "Days"]).T


def labelled(figure: Any) -> dict[str, Any]:
    return {ax.get_label(): ax for ax in figure.axes}


ON_AXES = {
    "caterpillar": lambda ax: plots.caterpillar(slopes(), ax=ax),
    "shrinkage": lambda ax: plots.shrinkage(slopes(), ax=ax),
    "shrinkage_by_size": lambda ax: plots.shrinkage_by_size(crossed(), ax=ax),
    "spaghetti": lambda ax: plots.spaghetti(slopes(), ax=ax),
    "residuals_fitted": lambda ax: plots.residuals_fitted(slopes(), ax=ax),
    "scale_location": lambda ax: plots.scale_location(slopes(), ax=ax),
    "qq_residuals": lambda ax: plots.qq_residuals(slopes(), ax=ax),
    "autocorrelation": lambda ax: plots.autocorrelation(slopes(), ax=ax),
    "variogram": lambda ax: plots.variogram(series(), ax=ax),
    "residual_correlation": lambda ax: plots.residual_correlation(series(), ax=ax),
    "means": lambda ax: plots.means(slopes(), "~ 1", ax=ax),
    "effect": lambda ax: plots.effect(slopes(), "Days", ax=ax),
    "slopes": lambda ax: plots.slopes(slopes(), "~ 1", "Days", ax=ax),
    "forest": lambda ax: plots.forest(slopes(), ax=ax),
    "within_group_correlation": lambda ax: plots.within_group_correlation(slopes(), ax=ax),
    "influence": lambda ax: plots.influence(
        pd.DataFrame({"cooks_distance": [0.1, 2.0]}, index=["a", "b"]), ax=ax
    ),
}


@pytest.mark.everyday(6)
@pytest.mark.parametrize("name", ON_AXES)
def test_picture_must_be_drawn_on_the_axes_given_and_labelled(name: str) -> None:
    figure, ax = plt.subplots()
    assert ON_AXES[name](ax) is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert plt.get_fignums() == [figure.number]


@pytest.mark.everyday(3)
@pytest.mark.parametrize("name", ON_AXES)
def test_picture_must_be_drawn_without_axes_given(name: str) -> None:
    figure = ON_AXES[name](None).figure
    figure.canvas.draw()


def test_caterpillar_must_show_modes_and_their_intervals() -> None:
    ax = plots.caterpillar(slopes(), effect="Days", level=0.9)
    modes = slopes().random_effects["Subject"]["Days"].sort_values()
    places = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(places[:, 0], modes)
    assert [t.get_text() for t in ax.get_yticklabels()] == [str(s) for s in modes.index]
    cov = slopes().random_effects_cov["Subject"].xs("Days", level="effect")["Days"]
    half = stats.norm.ppf(0.95) * np.sqrt(cov[modes.index])
    drawn = sorted(tuple(s[:, 0]) for c in ax.collections[:2] for s in c.get_segments())
    np.testing.assert_allclose(drawn, sorted(zip(modes - half, modes + half, strict=True)))


def test_caterpillar_must_leave_labels_out_when_there_are_many_levels() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(1000), 3)})
    data["y"] = rng.normal(size=1000)[data["g"]] + rng.normal(size=3000)
    ax = plots.caterpillar(mf.lmm("y ~ 1 + (1 | g)", data).fit())
    assert len(ax.get_yticks()) == 0
    assert "1,000 levels of g" in ax.get_ylabel()


def test_shrinkage_must_lead_from_least_squares_to_the_model() -> None:
    ax = plots.shrinkage(slopes())
    arrows = ax.collections[0]
    own, ours = least_squares(slopes()), slopes().group_coefs["Subject"]
    np.testing.assert_allclose(np.column_stack([arrows.X, arrows.Y]), own)
    np.testing.assert_allclose(
        np.column_stack([arrows.U, arrows.V]), ours.to_numpy() - own.to_numpy(), atol=1e-8
    )
    mean = ax.collections[-1].get_offsets()[0]
    np.testing.assert_allclose(mean, slopes().params)
    outline = next(line for line in ax.lines if line.get_label().startswith("95%")).get_xydata() - mean
    inner = np.linalg.inv(slopes()._fit.omega[0])
    np.testing.assert_allclose(np.einsum("ij,jk,ik->i", outline, inner, outline), stats.chi2.ppf(0.95, 2))


def test_group_fits_must_take_the_rest_of_the_model_from_the_response() -> None:
    data = mf.load_dataset("sleepstudy")
    data["odd"] = (np.arange(len(data)) % 2).astype(float)
    fit = mf.lmm("Reaction ~ Days + odd + (Days | Subject)", data).fit()
    found = plots.group_fits(fit, 0)
    one = data[data["Subject"] == data["Subject"].iloc[0]]
    line = np.polyfit(one["Days"], one["Reaction"] - fit.params["odd"] * one["odd"], 1)[::-1]
    np.testing.assert_allclose(found.alone.iloc[0], line)
    np.testing.assert_allclose(found.shrunken, fit.group_coefs["Subject"][["(Intercept)", "Days"]])


def test_group_fits_must_be_nan_where_a_group_does_not_determine_them() -> None:
    data = mf.load_dataset("sleepstudy").drop(index=range(1, 10))
    found = plots.group_fits(mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit(), 0)
    assert found.sizes[0] == 1
    assert found.alone.iloc[0].isna().all()
    assert found.determined.sum() == 17
    assert "1 without" in plots.shrinkage(mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()).get_title(
        "left"
    )


def test_group_fits_must_count_weights() -> None:
    data = mf.load_dataset("sleepstudy")
    weights = np.linspace(0.2, 3.0, len(data))
    found = plots.group_fits(mf.lmm("Reaction ~ Days + (Days | Subject)", data, weights=weights).fit(), 0)
    one = data.index[data["Subject"] == data["Subject"].iloc[0]]
    line = np.polyfit(data["Days"][one], data["Reaction"][one], 1, w=np.sqrt(weights[one]))[::-1]
    np.testing.assert_allclose(found.alone.iloc[0], line)


def test_shrinkage_must_name_the_group_that_is_farthest_outside_and_those_of_a_list() -> None:
    model = mf.lmm("Weight ~ I(Day - 22) + (I(Day - 22) | Rat)", mf.load_dataset("rats"))

    def named(**options: Any) -> set[str]:
        return {text.get_text() for text in plots.shrinkage(model.fit(), **options).texts}

    assert named() == {"2", "4", "5", "15", "25", "9"}  # rat 9 hardly moves
    assert named(names=1) - {"9"} < {"2", "4", "5", "15", "25"}
    assert named(names=[1, "30"]) == {"1", "30"}
    assert named(names=0) == set()
    with pytest.raises(mf.ModelError, match="'99' is not a level of 'Rat'"):
        plots.shrinkage(model.fit(), names=[99])


def test_sizes_and_colours_must_follow_the_settings_of_matplotlib() -> None:
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_rgb

    def texts(ax: Any) -> list[Any]:
        return [
            ax.title,
            ax._left_title,
            ax.xaxis.label,
            *ax.get_xticklabels(),
            *ax.get_legend().get_texts(),
            *ax.texts,
        ]

    plain = [text.get_fontsize() for text in texts(plots.shrinkage(slopes()))]
    with plt.rc_context({"font.size": 20}):
        large = [text.get_fontsize() for text in texts(plots.shrinkage(slopes()))]
    count = min(len(plain), len(large))  # ticks may be fewer
    assert count > 8
    assert set(np.round(large, 6)) <= set(np.round(2 * np.array(plain), 6))
    with plt.style.context("dark_background"):
        dark = plots.shrinkage(slopes())
        assert all(min(to_rgb(text.get_color())) > 0.5 for text in texts(dark))
        assert all(sum(to_rgb(line.get_color())) > 1.5 for line in dark.get_lines())


def test_shrinkage_by_size_must_show_means_against_sizes() -> None:
    data = mf.load_dataset("sleepstudy")[3:]
    ax = plots.shrinkage_by_size(mf.lmm("Reaction ~ 1 + (1 | Subject)", data).fit())
    groups = data.groupby("Subject", observed=True)["Reaction"]
    alone = next(c for c in ax.collections if c.get_label().startswith("each group"))
    np.testing.assert_allclose(alone.get_offsets(), np.column_stack([groups.size(), groups.mean()]))


def test_fitted_lines_must_have_a_panel_for_each_group() -> None:
    figure = plots.fitted_lines(slopes())
    assert len(figure.axes) == 18
    ax = labelled(figure)["308"]
    rows = np.flatnonzero(mf.load_dataset("sleepstudy")["Subject"].astype(str) == "308")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), slopes().fittedvalues.iloc[rows])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), slopes().predict(re_form="none").iloc[rows])
    np.testing.assert_allclose(
        ax.collections[0].get_offsets()[:, 1], mf.load_dataset("sleepstudy")["Reaction"][rows]
    )


def test_fitted_lines_must_show_the_groups_and_the_variable_asked_for() -> None:
    time = pd.Series(np.arange(180.0), name="time")
    figure = plots.fitted_lines(slopes(), x=time, groups=["337", 308])
    assert list(labelled(figure)) == ["337", "308"]
    assert figure.get_supxlabel() == "time"
    assert len(plots.fitted_lines(slopes(), groups=5).axes) == 5


def test_residuals_must_be_those_of_the_fit() -> None:
    ax = plots.residuals_fitted(slopes())
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(
        points, np.column_stack([slopes().fittedvalues, slopes().resid / slopes().sigma])
    )
    size = plots.scale_location(slopes()).collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(size, np.sqrt(np.abs(slopes().resid / slopes().sigma)))


def test_qq_must_be_that_of_scipy() -> None:
    ax = plots.qq_residuals(slopes())
    points = ax.collections[-1].get_offsets()
    scores = stats.norm.ppf((np.arange(1, 181) - 0.375) / 180.25)
    np.testing.assert_allclose(points, np.column_stack([scores, np.sort(slopes().resid / slopes().sigma)]))
    figure = plots.qq_random_effects(slopes())
    assert list(labelled(figure)) == ["(Intercept)", "Days"]
    drawn = labelled(figure)["Days"].collections[-1].get_offsets()[:, 1]
    np.testing.assert_allclose(drawn, np.sort(slopes().random_effects["Subject"]["Days"]))


def test_overview_must_have_four_named_axes() -> None:
    names = ["residuals_fitted", "scale_location", "qq_residuals", "qq_random_effects"]
    assert list(labelled(slopes().plot())) == names
    plain = mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy")).fit()
    assert list(labelled(plain.plot())) == names[:3]


def test_implied_covariance_must_be_that_of_the_lecture_note() -> None:
    implied = plots.implied_covariance(slopes(), points=10)
    omega, sigma = slopes()._fit.omega[0], slopes().sigma
    x1, x2 = 3.0, 8.0
    covariance = omega[0, 0] + omega[0, 1] * (x1 + x2) + omega[1, 1] * x1 * x2
    np.testing.assert_allclose(implied.covariance[3, 8], covariance)
    variance = omega[0, 0] + 2 * omega[0, 1] * x1 + omega[1, 1] * x1**2 + sigma**2
    np.testing.assert_allclose(implied.variance[3], variance)
    np.testing.assert_allclose(
        implied.correlation[3, 8], covariance / np.sqrt(variance * implied.variance[8])
    )
    image = plots.within_group_correlation(slopes()).images[0].get_array()
    np.testing.assert_allclose(image, plots.implied_covariance(slopes()).correlation)


def test_implied_covariance_must_be_refused_without_a_slope() -> None:
    with pytest.raises(mf.ModelError, match="no random slope"):
        plots.implied_covariance(crossed())


@lru_cache
def profiled() -> Any:
    return slopes().profile()


def test_profile_pictures_must_show_zeta_and_density() -> None:
    figure = plots.profile_zeta(profiled())
    ax = labelled(figure)["Days"]
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_ydata(), profiled().zeta("Days", line.get_xdata()), atol=1e-10)
    low, high = profiled().conf_int(0.95).loc["Days"]
    stems = [segment[0, 0] for c in ax.collections for segment in c.get_segments()]
    assert np.min(np.abs(np.array(stems) - low)) < 1e-9
    assert np.min(np.abs(np.array(stems) - high)) < 1e-9
    density = labelled(plots.profile_density(profiled(), ["Days", "residual SD"]))
    assert list(density) == ["Days", ".sigma"]
    x, y = density["Days"].lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=2e-3)


def test_profile_pairs_must_outline_where_the_deviance_rises_by_the_level() -> None:
    """The outline against the likelihood of a balanced one-way layout; the rival is a circle in ζ."""
    data = mf.load_dataset("Dyestuff")
    traced = mf.lmm("Yield ~ 1 + (1 | Batch)", data).fit(reml=False).profile()
    radius = float(np.sqrt(stats.chi2.ppf(0.5, 2)))
    outline = contour(trace(traced, ".sig01", ".sigma"), trace(traced, ".sigma", ".sig01"), radius)
    assert outline is not None
    y = data.pivot_table(
        index=data.groupby("Batch", observed=True).cumcount(), columns="Batch", values="Yield", observed=True
    ).to_numpy()
    y = y - y.mean()

    def misses(x: Any, z: Any) -> float:
        """Largest relative error of the rise in deviance on an outline in ζ."""
        worst = 0.0
        for a, b in zip(
            traced.curves[".sig01"]._inverse(x), traced.curves[".sigma"]._inverse(z), strict=True
        ):
            v = b**2 * np.eye(5) + a**2
            fit = np.einsum("ij,ik,kj->", y, np.linalg.inv(v), y)
            rise = 6 * np.linalg.slogdet(v)[1] + fit + 30 * np.log(2 * np.pi) - traced.deviance
            worst = max(worst, abs(rise / radius**2 - 1))
        return worst

    turn = np.linspace(0, 2 * np.pi, 60)
    assert misses(*outline) < 0.05
    assert misses(radius * np.cos(turn), radius * np.sin(turn)) > 0.15


def test_profile_pairs_must_have_an_axes_for_each_pair() -> None:
    figure = plots.profile_pairs(profiled(), ["Days", ".sigma"])
    assert list(labelled(figure)) == ["Days|Days", "Days|.sigma", ".sigma|Days", ".sigma|.sigma"]
    with pytest.raises(mf.ModelError, match="at least two"):
        plots.profile_pairs(profiled(), ["Days"])


def test_bootstrap_density_must_be_that_of_the_replicates() -> None:
    drawn = slopes().bootstrap(200, seed=1)
    figure = plots.bootstrap_density(drawn, ["Days", ".sig02"])
    ax = labelled(figure)["Days"]
    x, y = ax.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(ax.lines[2].get_xdata(), drawn.conf_int().loc["Days"])
    assert labelled(figure)[".sig02"].lines[0].get_xdata().max() <= 1.0


def test_kernel_density_must_be_scipys() -> None:
    values = np.random.default_rng(3).normal(size=300)
    width = 0.9 * min(values.std(ddof=1), np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34) * 300**-0.2
    expected = stats.gaussian_kde(values, bw_method=width / values.std(ddof=1))
    x, y = kernel_density(values)
    np.testing.assert_allclose(y, expected(x))
    x, y = kernel_density(np.abs(values), low=0.0)
    assert x[0] == 0.0
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=2e-3)


def test_smooth_must_reproduce_a_straight_line_and_bear_ties() -> None:
    x = np.repeat(np.arange(10.0), 5)
    places, heights = smooth(x, 3.0 - 2.0 * x)
    np.testing.assert_allclose(heights, 3.0 - 2.0 * places)
    constant = smooth(np.zeros(20), np.arange(20.0))
    np.testing.assert_allclose(constant[1], 9.5)


def test_ellipse_must_hold_its_share_and_bear_a_singular_covariance() -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    outline = ellipse(covariance, 0.5)
    distance = np.einsum("ij,jk,ik->i", outline, np.linalg.inv(covariance), outline)
    np.testing.assert_allclose(distance, stats.chi2.ppf(0.5, 2))
    assert np.all(np.isfinite(ellipse(np.array([[1.0, 1.0], [1.0, 1.0]]), 0.5)))


def test_matrix_pattern_must_show_what_is_not_zero_and_what_fills_in() -> None:
    figure = plots.matrix_pattern(crossed())
    axes = labelled(figure)
    assert list(axes) == ["X", "Z", "factor"]
    shown = np.asarray(axes["Z"].images[0].get_array())
    assert shown.shape == (144, 30)
    assert shown.sum() == 288
    factor = np.asarray(axes["factor"].images[0].get_array())
    assert (factor == 1.0).sum() == 24 + 6 + 144
    assert (factor == 0.45).sum() == 15
    random = np.random.default_rng(0)
    half = np.tril(random.random((12, 12)) < 0.2, -1)
    gram = half | half.T | np.eye(12, dtype=bool)
    values = np.where(gram, random.random((12, 12)), 0.0)
    numeric = np.linalg.cholesky(values + values.T + 20 * np.eye(12))
    np.testing.assert_array_equal(_fill_in(gram), numeric != 0)


def test_influence_must_name_the_largest() -> None:
    table = pd.DataFrame(
        {"x": [5.0, 1, 1], "cooks_distance": [0.1, 0.9, 0.2]}, index=pd.Index(["a", "b", "c"])
    )
    ax = plots.influence(table, names=1)
    assert [t.get_text() for t in ax.texts] == ["b"]
    assert ax.get_ylabel() == "Cook's distance"
    found = slopes().diagnostics.influence("Subject")
    drawn = plots.influence(found, names=18)
    assert {t.get_text() for t in drawn.texts} == {str(s) for s in found.table.index}
    heights = [t.xy[1] for t in sorted(drawn.texts, key=lambda t: t.xy[0])]
    np.testing.assert_allclose(heights, found.table["cooks_distance"])
    assert plots.influence(found, "Days").get_ylabel() == "DFBETAS of Days"
    with pytest.raises(mf.DataError, match="no column of numbers 'dfbetas'"):
        plots.influence(table, "dfbetas")


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.caterpillar(slopes(), "Subjct"), "Did you mean 'Subject'"),
        (lambda: plots.caterpillar(slopes(), effect="Day"), "Did you mean 'Days'"),
        (lambda: plots.shrinkage(crossed()), "two are needed"),
        (lambda: plots.fitted_lines(slopes(), "Dayz"), "Did you mean 'Days'"),
        (lambda: plots.fitted_lines(slopes(), groups=["909"]), "not a level of 'Subject'"),
        (
            lambda: plots.spaghetti(slopes(), np.zeros(3)),
            "expected one number or label for each of the 180 rows",
        ),
        (
            lambda: plots.caterpillar(mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy")).fit()),
            "no random",
        ),
        (lambda: plots.profile_zeta(profiled(), ["nothing"]), "has no profile"),
    ],
)
def test_picture_must_say_what_is_wrong(draw: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        draw()


def test_picture_must_name_the_extra_when_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(mf.ModelError, match=r'pip install "mixedfit\[plot\]"'):
        slopes().plot()


def test_pictures_of_a_fit_must_be_those_of_the_room() -> None:
    door = slopes().plot
    drawn = ["caterpillar", "shrinkage", "shrinkage_by_size", "fitted_lines", "spaghetti", "residuals_fitted",
             "scale_location", "qq_residuals", "qq_random_effects", "within_group", "matrix_pattern", "profile_zeta",
             "profile_density"]  # fmt: skip
    for name in drawn:
        picture = getattr(door, name)()
        assert picture.axes is not None
        plt.close("all")


def test_picture_must_bear_a_singular_fit() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()
    assert fit.singular
    for name in ("caterpillar", "shrinkage_by_size", "qq_random_effects", "__call__"):
        getattr(fit.plot, name)()


@pytest.mark.parametrize("name", [name for name in vars(plots.Pictures) if not name.startswith("_")])
def test_method_must_have_the_signature_and_docstring_of_its_function(name: str) -> None:
    function, method = getattr(plots, name), getattr(plots.Pictures(None), name)  # type: ignore[arg-type]
    own, theirs = inspect.signature(method).parameters, inspect.signature(function).parameters
    if name.startswith("profile_"):
        assert {k: p.default for k, p in own.items()} == {
            k: p.default for k, p in theirs.items() if k != "profile"
        }
        return
    assert list(own.values()) == list(theirs.values())[1:]
    documented = method.__doc__.splitlines()
    assert documented[0] == function.__doc__.splitlines()[0]
    assert not any(line.startswith("results :") for line in documented)
    assert all(any(line.lstrip().startswith((k, "group, effect")) for line in documented) for k in own)


# -- dependence of residuals ---------------------------------------------------------------------------------------


def test_autocorrelation_must_be_drawn_with_its_limits() -> None:
    ax = plots.autocorrelation(series(), "scaled", lags=5, level=0.9)
    table = series().diagnostics.autocorrelation("scaled", lags=5, level=0.9)
    np.testing.assert_allclose(ax.lines[-1].get_xydata(), table["autocorrelation"].reset_index())
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(table["limit"].max())
    assert ax.get_legend().get_texts()[0].get_text().startswith("90% limits")
    assert ax.get_xlabel() == "lag of Days"


def test_variogram_must_show_classes_and_the_fitted_curve() -> None:
    ax = plots.variogram(series())
    table = series().diagnostics.variogram()
    np.testing.assert_allclose(ax.collections[0].get_offsets(), table[["distance", "semivariance"]])
    x, y = ax.lines[-1].get_data()
    np.testing.assert_allclose(y, 1 - series().residual_params["estimate"]["phi"] ** x)
    assert ax.get_xlabel() == "difference of Days"
    flat = plots.variogram(series(), "normalised").lines[-1].get_ydata()
    np.testing.assert_array_equal(flat, 1.0)


def test_residual_correlation_must_be_the_matrix_of_a_group_with_its_times() -> None:
    ax = plots.residual_correlation(series(), "309")
    matrix = series().residual_cov("309").to_numpy()
    np.testing.assert_allclose(ax.images[0].get_array(), matrix / matrix[0, 0])
    assert [t.get_text() for t in ax.get_yticklabels()] == [str(day) for day in range(10)]
    assert ax.texts[1].get_text() == f"{matrix[0, 1] / matrix[0, 0]:.2f}"
    assert ax.get_title("left") == "Residual correlation of Subject 309"
    covariance = plots.residual_correlation(series(), what="covariance").images[0]
    np.testing.assert_allclose(covariance.get_array(), series().residual_cov())


def test_residual_correlation_must_be_refused_where_there_is_none() -> None:
    data = mf.load_dataset("sleepstudy")
    alone = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.VarIdent("Subject")).fit()
    for fit in (slopes(), alone):
        with pytest.raises(mf.ModelError, match="no residual correlation"):
            plots.residual_correlation(fit)
    with pytest.raises(mf.ModelError, match="expected 'correlation' or 'covariance'"):
        plots.residual_correlation(series(), what="cov")
    with pytest.raises(mf.ModelError, match="is not a group"):
        plots.residual_correlation(series(), "999")


def test_visits_and_large_groups_must_have_labels_that_can_be_read() -> None:
    data = mf.load_dataset("Orthodont").assign(
        visit=lambda d: "age " + d["age"].astype(int).astype(str).str.zfill(2)
    )
    fit = mf.lmm("distance ~ 1", data, residual=mf.residuals.Unstructured("visit", "Subject")).fit()
    ax = plots.residual_correlation(fit)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["age 08", "age 10", "age 12", "age 14"]
    assert plots.variogram(fit).get_xlabel() == "visits apart"
    long = pd.DataFrame({"t": range(100), "y": np.random.default_rng(1).normal(size=100)})
    ax = plots.residual_correlation(mf.lmm("y ~ 1", long, residual=mf.residuals.AR1("t")).fit())
    assert not ax.texts
    assert sum(t.get_text() != "" for t in ax.get_yticklabels()) == 34
    assert ax.get_title("left") == "Residual correlation"


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    ("name", "wanted", "unwanted"),
    [
        ("caterpillar", {"Person", "Baseline: difference from the mean", "The first"}, "Subject"),
        ("shrinkage", {"Baseline", "Nights", "Shrinkage of 18 levels of Person"}, "Days"),
        ("shrinkage_by_size", {"Baseline", "levels of Person, ordered: all have 10 rows"}, "Subject"),
        ("fitted_lines", {"Nights", "Reaction time", "Person", "The first"}, "Subject"),
        ("spaghetti", {"Nights", "Reaction time", "Fitted lines of 18 levels of Person"}, "Days"),
        ("qq_random_effects", {"Baseline | Person", "Nights | Person"}, "Subject"),
    ],
)
def test_labels_must_stand_in_place_of_names(name: str, wanted: set[str], unwanted: str) -> None:
    labels = {"Days": "Nights", "Subject": "Person", "(Intercept)": "Baseline", "Reaction": "Reaction time"}
    drawn = getattr(slopes().plot, name)(labels={**labels, "308": "The first"})
    figure = drawn if hasattr(drawn, "axes") and hasattr(drawn, "savefig") else drawn.figure
    figure.canvas.draw()
    texts = {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
    assert wanted <= texts
    assert not any(unwanted in text for text in texts)
    with pytest.raises(mf.ModelError, match="labels has 'Tage'"):
        getattr(slopes().plot, name)(labels={"Tage": "Nights"})


def test_caption_of_means_must_have_labels_and_the_only_column_of_a_factor_its_name() -> None:
    sleep = mf.load_dataset("sleepstudy").assign(late=lambda d: np.where(d["Days"] > 4, "yes", "no"))
    fit = mf.lmm("Reaction ~ C(late, contr.sum) + Days + (C(late, contr.sum) | Subject)", sleep).fit()
    ax = fit.plot.means("late", labels={"Subject": "Person", "Days": "Nights"})
    shown = " ".join(text.get_text() for text in ax.texts).replace("\n", " ")
    assert "Held at: Nights = 4.5. Points: means of each Person." in shown
    axes = [fit.plot.caterpillar("Subject", name) for name in ("late", "C(late, contr.sum)1")]
    assert axes[0].get_xlabel() == axes[1].get_xlabel()
