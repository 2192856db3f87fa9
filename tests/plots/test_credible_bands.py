"""The population's mean along a number, with credible and predictive bands of a posterior."""

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
def growth() -> mf.Posterior:
    """Posterior of the children's growth, 2 chains of 1,000 draws."""
    data = mf.load_dataset("Orthodont")
    return mf.lmm("distance ~ age * Sex + (age | Subject)", data).gibbs(draws=1000, chains=2, seed=1)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the figures of a test."""
    yield
    matplotlib.pyplot.close("all")


def limits_of(band: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper edge of a band at its places in order."""
    points = band.get_paths()[0].vertices
    places = np.unique(points[:, 0])
    low, high = (np.array([f(points[points[:, 0] == x, 1]) for x in places]) for f in (np.min, np.max))
    return low, high


def test_dark_band_must_have_the_quantiles_of_the_mean(growth: mf.Posterior) -> None:
    ax = plots.credible_bands(growth, "age", by="Sex", level=0.9, predictive=False, points=False)
    age = np.linspace(8, 14, 41)
    for s, line in enumerate(ax.get_lines()):
        female = float(s)
        columns = np.column_stack([np.ones(41), age, np.full(41, female), age * female])
        names = ["(Intercept)", "age", "SexFemale", "age:SexFemale"]
        means = np.stack([growth[name] for name in names], axis=2) @ columns.T
        np.testing.assert_allclose(line.get_xdata(), age)
        np.testing.assert_allclose(line.get_ydata(), means.mean(axis=(0, 1)))
        np.testing.assert_allclose(
            limits_of(ax.collections[s]), np.quantile(means, [0.05, 0.95], axis=(0, 1)), rtol=1e-9
        )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Male", "Female"]


def test_pale_band_must_have_a_new_groups_effects_and_a_residual() -> None:
    """Known variances: the width is that of zᵀΩz + σ² and the mean's variance; the rivals leave one part out."""
    data = mf.load_dataset("sleepstudy")
    known, model = mf.priors.Known, mf.lmm("Reaction ~ Days + (Days || Subject)", data)
    priors = {"sd_(Intercept)|Subject": known(25), "sd_Days|Subject": known(6), "sigma": known(25)}
    posterior = model.gibbs(priors, draws=4000, chains=2, seed=2)
    ax = plots.credible_bands(posterior, "Days", points=False, seed=3)
    low, high = limits_of(ax.collections[0])
    days = np.linspace(0, 9, 41)
    mean = posterior["(Intercept)"][..., None] + posterior["Days"][..., None] * days
    variance = 25**2 + (6 * days) ** 2 + 25**2 + mean.var(axis=(0, 1))
    expected = 2 * stats.norm.isf(0.025) * np.sqrt(variance)
    np.testing.assert_allclose(high - low, expected, rtol=0.06)
    for rival in (variance - 25**2, variance - (6 * days) ** 2 - 25**2):
        assert np.abs((high - low)[-1] / (2 * stats.norm.isf(0.025) * np.sqrt(rival[-1])) - 1) > 0.06


def test_other_variables_must_be_held_where_the_title_says(growth: mf.Posterior) -> None:
    first = plots.credible_bands(growth, "age", predictive=False, points=False)
    assert first.get_title(loc="left").replace("\n", " ").endswith("Sex = Male")
    other = plots.credible_bands(growth, "age", at={"Sex": "Female"}, predictive=False, points=False)
    both = plots.credible_bands(growth, "age", by="Sex", predictive=False, points=False)
    for ax, line in zip((first, other), both.get_lines(), strict=True):
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), line.get_ydata())


def test_points_must_be_the_rows_of_each_level(growth: mf.Posterior) -> None:
    ax = plots.credible_bands(growth, "age", by="Sex", predictive=False)
    data = mf.load_dataset("Orthodont")
    dots = [c.get_offsets() for c in ax.collections if c.get_offsets().shape[0] > 1]
    for sex, found in zip(["Male", "Female"], dots, strict=True):
        own = data.loc[data["Sex"] == sex, ["age", "distance"]].to_numpy(dtype=float)
        np.testing.assert_allclose(np.sort(np.asarray(found), axis=0), np.sort(own, axis=0))


def test_model_with_weights_must_be_drawn_with_a_weight_or_without_the_pale_band() -> None:
    data = mf.load_dataset("sleepstudy").assign(w=2.0)
    posterior = mf.lmm("Reaction ~ Days + (1 | Subject)", data, weights="w").gibbs(
        draws=200, chains=1, seed=4
    )
    with pytest.raises(mf.ModelError, match="weights"):
        plots.credible_bands(posterior, "Days")
    assert plots.credible_bands(posterior, "Days", weights=2.0, seed=5).get_lines()
    assert plots.credible_bands(posterior, "Days", predictive=False).get_lines()


@pytest.mark.parametrize("offset", ["array", "formula"])
def test_offset_must_be_taken_as_zero(offset: str) -> None:
    data = mf.load_dataset("sleepstudy").assign(base=100.0)
    given = {"offset": np.full(180, 100.0)} if offset == "array" else {}
    formula = f"Reaction ~ Days + {'offset(base) + ' * (offset == 'formula')}(1 | Subject)"
    posterior = mf.lmm(formula, data, **given).gibbs(draws=300, chains=1, seed=6)
    ax = plots.credible_bands(posterior, "Days", seed=7)
    assert ax.get_lines()[0].get_ydata()[0] == pytest.approx(151.4, abs=5)
    assert np.asarray(ax.collections[-1].get_offsets())[:, 1].min() == pytest.approx(
        data["Reaction"].min() - 100
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "Sex"}, "is a factor"),
        ({"x": "ages"}, "Did you mean 'age'"),
        ({"x": "age", "by": "age"}, "has no levels"),
        ({"x": "age", "at": {"Subject": "M01"}}, "'Subject' is not a variable of the fixed part"),
    ],
)
def test_wrong_variables_must_be_refused(options: dict[str, Any], message: str, growth: mf.Posterior) -> None:
    with pytest.raises(mf.ModelError, match=message):
        plots.credible_bands(growth, **options)
