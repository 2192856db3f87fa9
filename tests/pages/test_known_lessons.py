"""Lessons on data that teachers know: numbers by quadrature and matrix algebra, and those that books print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import mixedfit as mf
from mixedfit.bayes.draws import convergence

Lesson = Callable[[str], dict[str, Any]]

# -- 005: eight schools ------------------------------------------------------------------------------

EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def given_tau(tau: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Return p(y | τ) up to a constant, and mean and covariance of (μ, θ) given τ and y, by dense algebra; flat μ."""
    to_mean = np.hstack([-np.ones((8, 1)), np.eye(8)])  # θ - μ
    precision = to_mean.T @ to_mean / tau**2
    precision[1:, 1:] += np.diag(ERRORS**-2)
    covariance = np.linalg.inv(precision)
    mean = covariance @ np.r_[0, EFFECTS / ERRORS**2]
    V = np.diag(ERRORS**2 + tau**2)
    X = np.ones((8, 1))
    P = np.linalg.inv(V) - np.linalg.inv(V) @ X @ np.linalg.inv(
        X.T @ np.linalg.inv(V) @ X
    ) @ X.T @ np.linalg.inv(V)
    log_density = -0.5 * (np.linalg.slogdet(V)[1] + np.log(np.sum(np.linalg.inv(V))) + EFFECTS @ P @ EFFECTS)
    return float(np.exp(log_density + 25)), mean, covariance


def averaged(value: Callable[[float], float], prior: Callable[[float], float] = lambda tau: 1.0) -> float:
    """Return the posterior mean of a function of τ."""
    options = {"limit": 200, "epsabs": 1e-14, "epsrel": 1e-7}
    places = [(1e-3, 5.0), (5.0, 20.0), (20.0, 100.0), (100.0, 2000.0)]
    parts = [
        [integrate.quad(f, *place, **options)[0] for place in places]
        for f in (lambda t: value(t) * prior(t) * given_tau(t)[0], lambda t: prior(t) * given_tau(t)[0])
    ]
    return sum(parts[0]) / sum(parts[1])


def test_eight_schools_must_be_the_published_numbers(lesson: Lesson) -> None:
    """The pooled estimate, 7.7 with a standard error of 4.1, is in section 5.5 of Bayesian Data Analysis."""
    page = lesson("005")
    np.testing.assert_array_equal(page["coaching"]["effect"], EFFECTS)
    np.testing.assert_array_equal(page["coaching"]["se"], ERRORS)
    assert (round(page["pooled"], 1), round(page["error"], 1)) == (7.7, 4.1)
    assert page["fit"].params.iloc[0] == pytest.approx(page["pooled"], rel=1e-9)


def test_effects_by_hand_must_be_the_posterior_means(lesson: Lesson) -> None:
    """The rivals are no pooling and complete pooling."""
    page = lesson("005")
    exact = [averaged(lambda tau, j=j: given_tau(tau)[1][1 + j]) for j in range(8)]
    np.testing.assert_allclose(page["exact"], exact, atol=0.005)
    draws = page["theta"]
    for letter, value in zip("ABCDEFGH", exact, strict=True):
        assert abs(draws[letter].mean() - value) < 4 * convergence.mcse_mean(draws[letter])
    assert abs(exact[0] - 28) > 10
    assert abs(exact[0] - page["pooled"]) > 3


def test_tau_must_have_the_posterior_of_the_integral(lesson: Lesson) -> None:
    page = lesson("005")
    tau = page["posterior"]["sd_(Intercept)|school"]
    assert abs(tau.mean() - averaged(lambda t: t)) < 4 * convergence.mcse_mean(tau)
    for limit in (1.0, 5.0, 12.0):
        below = tau < limit
        exact = averaged(lambda t, limit=limit: float(t < limit))
        assert abs(below.mean() - exact) < 4 * convergence.mcse_mean(below.astype(float)) + 1e-4


def test_probabilities_of_schools_must_be_those_of_the_integral(lesson: Lesson) -> None:
    page = lesson("005")

    def a_above_c(tau: float) -> float:
        _, mean, covariance = given_tau(tau)
        contrast = np.zeros(9)
        contrast[[1, 3]] = 1, -1
        return float(stats.norm.cdf(contrast @ mean / np.sqrt(contrast @ covariance @ contrast)))

    def harm(tau: float) -> float:
        _, mean, covariance = given_tau(tau)
        return float(stats.norm.cdf(-mean[0] / np.sqrt(covariance[0, 0] + tau**2)))

    above = (page["A"] > page["C"]).astype(float)
    assert abs(above.mean() - averaged(a_above_c)) < 4 * convergence.mcse_mean(above)
    below = (page["ninth"] < 0).astype(float)
    assert abs(below.mean() - averaged(harm)) < 4 * convergence.mcse_mean(below)


def test_reml_must_be_zero_where_the_restricted_likelihood_is_largest(lesson: Lesson) -> None:
    page = lesson("005")
    heights = [given_tau(tau)[0] for tau in (1e-6, 0.5, 1, 2, 5, 10, 20)]
    assert heights == sorted(heights, reverse=True)
    assert page["fit"].singular
    relative = np.array([given_tau(tau)[0] for tau in (1e-6, 5, 10, 15, 20)]) / heights[0]
    np.testing.assert_allclose(page["likelihood"], relative, rtol=1e-6)


def test_profile_of_tau_must_end_where_the_deviance_has_risen_by_its_quantile(lesson: Lesson) -> None:
    def deviance(tau: float) -> float:
        weight = 1 / (ERRORS**2 + tau**2)
        mu = np.sum(weight * EFFECTS) / weight.sum()
        return float(np.sum(weight * (EFFECTS - mu) ** 2) - np.sum(np.log(weight)))

    end = optimize.brentq(lambda tau: deviance(tau) - deviance(0) - stats.chi2.ppf(0.95, 1), 5, 30)
    assert lesson("005")["fit"].conf_int(method="profile").loc[".sig01", "upper"] == pytest.approx(
        end, abs=1e-4
    )


@pytest.mark.parametrize(
    ("name", "density"),
    [
        ("half-Cauchy(5)", lambda t: 1 / (1 + (t / 5) ** 2)),
        ("half-normal(2)", lambda t: np.exp(-((t / 2) ** 2) / 2)),
    ],
)
def test_answer_must_move_with_the_prior_as_the_integral_does(
    name: str, density: Callable[[float], float], lesson: Lesson
) -> None:
    page = lesson("005")
    exact = averaged(lambda tau: given_tau(tau)[1][1], density)
    assert page["answers"](page["priors_of_tau"][name])["E(θ_A)"] == pytest.approx(exact, abs=0.25)


# -- 006: rats ---------------------------------------------------------------------------------------


def test_rats_must_be_thirty_with_five_weights() -> None:
    rats = mf.load_dataset("rats")
    table = rats.pivot(index="Rat", columns="Day", values="Weight")
    assert table.shape == (30, 5)
    assert table.columns.tolist() == [8, 15, 22, 29, 36]
    assert table.loc["1"].tolist() == [151, 199, 246, 283, 320]
    assert table.loc["30"].tolist() == [153, 200, 244, 286, 324]
    assert rats["Rat"].cat.categories.tolist() == [str(j) for j in range(1, 31)]


def test_rats_must_have_the_results_that_bugs_prints(lesson: Lesson) -> None:
    """Weight at birth 106.6, growth 6.19, σ 6.09, to half a unit of the last digit and our Monte-Carlo error."""
    found = lesson("006")["found"]
    for draws, printed, unit in zip(found.values(), (106.6, 6.19, 6.09), (0.1, 0.01, 0.01), strict=True):
        assert abs(draws.mean() - printed) < 4 * convergence.mcse_mean(draws) + unit


def test_average_line_must_be_that_of_the_rats_own_lines(lesson: Lesson) -> None:
    """Balanced design: β̂ is the average of the rats' least-squares lines, and its error that of thirty lines."""
    page = lesson("006")
    weights = page["rats"]["Weight"].to_numpy(float).reshape(30, 5)
    own = np.polynomial.polynomial.polyfit([-14, -7, 0, 7, 14], weights.T, 1)
    np.testing.assert_allclose(page["fit"].params, own.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(page["fit"].bse, own.std(axis=1, ddof=1) / np.sqrt(30), rtol=1e-7)


def test_correlation_must_follow_the_origin(lesson: Lesson) -> None:
    page = lesson("006")
    moved = page["on"](0)
    ours = page["from_birth"].varcorr["sdcor"]
    assert moved["SD of weight"] == pytest.approx(ours[0], rel=1e-5)
    assert moved["correlation with slope"] == pytest.approx(ours[2], abs=1e-5)


def test_new_rat_must_have_the_three_parts_of_its_variance(lesson: Lesson) -> None:
    page = lesson("006")
    fit, at = page["fit"], np.column_stack([np.ones(5), page["new"]["day"]])
    variance = np.diag(at @ (page["omega"] + fit.cov_params().to_numpy()) @ at.T) + fit.scale
    half = stats.norm.isf(0.025) * np.sqrt(variance)
    np.testing.assert_allclose(page["expected"]["upper"] - page["expected"]["mean"], half, rtol=1e-6)


def test_forecast_must_be_the_conditional_mean_given_the_known_weights(lesson: Lesson) -> None:
    """E(y₅ | y₁ … y₄) = x₅β + c′V⁻¹(y − Xβ), at the estimates of the fit without the last weight."""
    page = lesson("006")
    rats = page["rats"]
    known = rats[(rats["Rat"] != "26") | (rats["Day"] <= 29)]
    fit = mf.lmm("Weight ~ day + (day | Rat)", known).fit()
    X = np.column_stack([np.ones(5), [-14, -7, 0, 7, 14]])
    V = X @ fit.cov_re["Rat"].to_numpy() @ X.T + fit.scale * np.eye(5)
    beta = fit.params.to_numpy()
    y = rats.loc[rats["Rat"] == "26", "Weight"].to_numpy()[:4]
    expected = X[4] @ beta + V[4, :4] @ np.linalg.solve(V[:4, :4], y - X[:4] @ beta)
    assert page["forecasts"].loc[4, "fit"] == pytest.approx(expected, rel=1e-8)


def test_bend_of_lines_must_scatter_as_residuals_do(lesson: Lesson) -> None:
    """The contrast is 0 for lines; of 30 rats its mean has the variance 14 σ²/30."""
    page = lesson("006")
    weights = page["rats"]["Weight"].to_numpy(float).reshape(30, 5)
    observed = (
        2 * weights[:, [0, 4]].sum(axis=1) - weights[:, [1, 3]].sum(axis=1) - 2 * weights[:, 2]
    ).mean()
    row = page["bent"].table.loc["bend"]
    assert row["observed"] == pytest.approx(observed)
    sigma = np.sqrt((page["posterior"]["sigma"] ** 2).mean())
    assert page["bent"].replicated["bend"].std() == pytest.approx(sigma * np.sqrt(14 / 30), rel=0.1)
    assert observed < -5 * sigma * np.sqrt(14 / 30)


def test_five_rats_must_have_the_t_interval_of_their_means(lesson: Lesson) -> None:
    """Balanced design: the weight on day 22 is the mean of five means, with t on 4 degrees of freedom."""
    page = lesson("006")
    means = page["five"].groupby("Rat", observed=True)["Weight"].mean()
    half = stats.t.isf(0.025, 4) * means.std() / np.sqrt(5)
    ours = page["small_fit"].conf_int(ddf="kenward-roger").loc["(Intercept)"]
    np.testing.assert_allclose(ours, [means.mean() - half, means.mean() + half], rtol=1e-6)
    assert half > 1.3 * 1.96 * means.std() / np.sqrt(5)
