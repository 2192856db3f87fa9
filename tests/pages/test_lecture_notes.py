"""The frequentist analyses of five lecture notes come out, to the digits that the notes print.

The notes ran lme4 (1.1, 2014-2017), R's aov and least squares. Printed digits are compared as printed. Where a note
prints seven digits and more, its last ones show where lme4's optimiser stopped: there the notes' algorithm for the
likelihood decides who is closer, and the numbers agree to 1e-6 of their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import multivariate_normal

import mixedfit as mf

STOPPED = 1e-6
"""Relative precision of lme4's seven-digit output in the notes."""


def lines_of(fit: mf.MixedResults) -> list[str]:
    """Return the lines of the summary with single spaces."""
    return [" ".join(line.split()) for line in str(fit.summary(correlation=True, ddf="none")).splitlines()]


def decimals(text: str) -> int:
    """Return the decimal places of a number as printed."""
    return len(text.partition(".")[2])


def check_printed(ours: Any, printed: str) -> None:
    """Assert that numbers, each rounded to the places printed, are those printed."""
    for value, text in zip(np.ravel(ours), printed.split(), strict=True):
        assert f"{value:.{decimals(text)}f}" == text


# -- Niemi, hierarchical linear models: seedling weights ---------------------------------------------------------

SEEDLINGS = [
    "REML criterion at convergence: 247.1",
    "Min 1Q Median 3Q Max",
    "-2.0928 -0.5697 0.0470 0.5146 3.2347",
    "Groups Name Variance Std.Dev.",
    "Tray (Intercept) 11.661 3.415",
    "Residual 3.543 1.882",
    "Number of obs: 56, groups: Tray, 8",
    "Estimate Std. Error t value",
    "(Intercept) 15.289 1.745 8.761",
    "GenotypeB -3.550 2.469 -1.438",
    "Correlation of Fixed Effects:",
    "GenotypeB -0.707",
]


@pytest.fixture(scope="module")
def seedlings() -> mf.MixedResults:
    """Random intercepts for the trays, REML."""
    return mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight")).fit()


def test_seedlings_must_be_the_data_of_the_note() -> None:
    table = mf.load_dataset("seedling_weight")
    assert pd.crosstab(table["Genotype"], table["Tray"]).loc["A"].tolist() == [5, 9, 6, 9, 0, 0, 0, 0]
    assert table["Genotype"].value_counts().to_dict() == {"A": 29, "B": 27}
    check_printed(table["SeedlingWeight"].quantile([0, 0.25, 0.5, 0.75, 1]), "6.00 10.00 14.00 17.00 24.00")
    check_printed(table["SeedlingWeight"].mean(), "13.88")


@pytest.mark.parametrize("line", SEEDLINGS)
def test_seedlings_must_print_the_line_of_the_note(seedlings: mf.MixedResults, line: str) -> None:
    assert line in lines_of(seedlings)


def test_seedlings_must_have_the_notes_wald_intervals(seedlings: mf.MixedResults) -> None:
    check_printed(seedlings.conf_int(parameters="fixed"), "11.868527 18.709148 -8.388448 1.288046")


def test_seedlings_must_have_the_wald_intervals_of_the_exact_optimum(seedlings: mf.MixedResults) -> None:
    np.testing.assert_allclose(
        np.ravel(seedlings.conf_int(parameters="fixed")), one_way_intervals(), rtol=0, atol=2e-7
    )


def test_seedlings_must_have_the_residuals_of_sas(seedlings: mf.MixedResults, shared_data: Path) -> None:
    # PROC MIXED, REML: y - Xb and y - Xb - Zu on the same 56 rows.
    sas = pd.read_csv(shared_data / "seedling_weight_sas_residuals.csv")
    marginal = mf.load_dataset("seedling_weight")["SeedlingWeight"] - seedlings.predict(re_form="none")
    np.testing.assert_allclose(marginal, sas["ResidMar"], atol=2e-6)
    np.testing.assert_allclose(seedlings.resid, sas["ResidCond"], atol=2e-6)


def one_way_intervals() -> np.ndarray:
    """Return the 95 % Wald intervals of both coefficients at the root of the REML score in τ²/σ².

    With ρ = τ²/σ², w_j = n_j/(1 + n_j ρ) and genotype means m weighted by w: the restricted deviance is
    Σ log(1 + n_j ρ) + Σ_g log Σ_{j∈g} w_j + (n − 2) log(W + Σ w_j e_j²), W within trays, e_j = ȳ_j − m.
    """
    table = mf.load_dataset("seedling_weight")
    y, tray = table["SeedlingWeight"].to_numpy(float), table["Tray"].cat.codes.to_numpy()
    b = np.array([(table["Genotype"][tray == j] == "B").all() for j in range(8)], int)
    n = np.bincount(tray)
    means = np.bincount(tray, y) / n
    within = np.sum((y - means[tray]) ** 2)

    def parts(rho: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        w = n / (1 + n * rho)
        total = np.bincount(b, w)
        m = np.bincount(b, w * means) / total
        return w, total, m, float(within + np.sum(w * (means - m[b]) ** 2))

    def score(rho: float) -> float:
        w, total, m, rest = parts(rho)
        squares = np.bincount(b, w**2) / total
        return float(np.sum(w) - np.sum(squares) - (y.size - 2) * np.sum((w * (means - m[b])) ** 2) / rest)

    _, total, m, rest = parts(brentq(score, 0.1, 50.0, xtol=1e-14, rtol=1e-14))
    variance = rest / (y.size - 2) / total
    half = 1.959963984540054 * np.sqrt([variance[0], variance.sum()])
    return np.ravel([[m[0] - half[0], m[0] + half[0]], [m[1] - m[0] - half[1], m[1] - m[0] + half[1]]])


# -- Hoff, the hierarchical linear model: NELS -------------------------------------------------------------------

SLOPES = "y.nels ~ ses.nels + (ses.nels | g.nels)"
MEANS = "y.nels ~ 1 + (1 | g.nels)"
MACRO = "y.nels ~ flp.nels + ses.nels + flp.nels * ses.nels + (ses.nels | g.nels)"

PRINTED = {
    SLOPES: [
        f"Formula: {SLOPES}",
        "92553.1 92597.9 -46270.5 92541.1 12968",
        "-3.8910 -0.6382 0.0179 0.6669 4.4613",
        "Groups Name Variance Std.Dev. Corr",
        "g.nels (Intercept) 12.223 3.496",
        "ses.nels 1.515 1.231 0.11",
        "Residual 67.345 8.206",
        "Number of obs: 12974, groups: g.nels, 684",
        "ses.nels 0.007",
    ],
    MEANS: [
        f"Formula: {MEANS}",
        "93919.3 93941.7 -46956.6 93913.3 12971",
        "-3.8112 -0.6534 0.0093 0.6732 4.6999",
        "g.nels (Intercept) 23.63 4.861",
        "Residual 73.71 8.585",
        "Number of obs: 12974, groups: g.nels, 684",
        "(Intercept) 50.9391 0.2026 251.4",
    ],
    MACRO: [
        "92396.3 92456.0 -46190.1 92380.3 12966",
        "-3.9773 -0.6417 0.0201 0.6659 4.5202",
        "g.nels (Intercept) 9.012 3.002",
        "ses.nels 1.572 1.254 0.06",
        "Residual 67.260 8.201",
        "Number of obs: 12974, groups: g.nels, 684",
        "(Intr) flp.nl ss.nls",
        "flp.nels -0.930",
        "ses.nels -0.158 0.088",
        "flp.nls:ss. 0.086 -0.007 -0.926",
    ],
}

COEFFICIENTS = {
    SLOPES: ["50.6767 0.1551 326.7", "4.3594 0.1231 35.4"],
    MEANS: ["50.9391 0.2026 251.4"],
    MACRO: [
        "55.3975 0.3860 143.52",
        "-2.4062 0.1819 -13.23",
        "4.4909 0.3327 13.50",
        "-0.1931 0.1587 -1.22",
    ],
}


@pytest.fixture(scope="module")
def nels(shared_data: Path) -> pd.DataFrame:
    """12974 pupils in 684 schools, under the note's names."""
    names = {"mscore": "y.nels", "ses": "ses.nels", "flp": "flp.nels", "school": "g.nels"}
    return pd.read_csv(shared_data / "nels.csv").rename(columns=names)


@pytest.fixture(scope="module")
def fits(nels: pd.DataFrame) -> dict[str, mf.MixedResults]:
    """The note's three fits, by maximum likelihood."""
    return {formula: mf.lmm(formula, nels).fit(reml=False) for formula in (SLOPES, MEANS, MACRO)}


def schools(nels: pd.DataFrame) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each school's name, X_j = (1, ses) and y_j."""
    for name, rows in nels.groupby("g.nels"):
        yield name, np.column_stack([np.ones(len(rows)), rows["ses.nels"]]), rows["y.nels"].to_numpy()


def omega_of(fit: mf.MixedResults) -> np.ndarray:
    """Return Σ of intercepts and slopes from the table of variances."""
    first, second, between = fit.varcorr["vcov"][:3]
    return np.array([[first, between], [between, second]])


@pytest.mark.parametrize(("formula", "line"), [(f, line) for f, lines in PRINTED.items() for line in lines])
def test_nels_must_print_the_line_of_the_note(
    fits: dict[str, mf.MixedResults], formula: str, line: str
) -> None:
    assert line in lines_of(fits[formula])


@pytest.mark.parametrize("formula", COEFFICIENTS)
def test_nels_must_have_the_notes_table_of_fixed_effects(
    fits: dict[str, mf.MixedResults], formula: str
) -> None:
    # Of t values lme4 printed two decimals in 2014, three today: these are compared by value.
    fit = fits[formula]
    ours = np.column_stack([fit.params, fit.bse, fit.tvalues])
    for row, printed in zip(ours, COEFFICIENTS[formula], strict=True):
        check_printed(row, printed)


def test_nels_must_have_the_notes_fixed_effects(fits: dict[str, mf.MixedResults]) -> None:
    check_printed(fits[SLOPES].params, "50.676704 4.359399")
    check_printed(fits[SLOPES].bse, "0.1551150 0.1231302")


def test_nels_must_have_the_notes_covariance_of_the_fixed_effects(fits: dict[str, mf.MixedResults]) -> None:
    printed = np.array([[0.0240606603, 0.0001309645], [0.0001309645, 0.0151610507]])
    size = np.sqrt(np.outer(np.diag(printed), np.diag(printed)))
    assert np.all(np.abs(fits[SLOPES].cov_params() - printed) <= STOPPED * size)


def test_nels_must_have_the_notes_variance_components(fits: dict[str, mf.MixedResults]) -> None:
    printed = np.array([[12.2231940, 0.4887692], [0.4887692, 1.5148005]])
    size = np.sqrt(np.outer(np.diag(printed), np.diag(printed)))
    assert np.all(np.abs(omega_of(fits[SLOPES]) - printed) <= STOPPED * size)
    ours = fits[SLOPES].varcorr["sdcor"][:3]
    np.testing.assert_allclose(ours, [3.496168, 1.230772, 0.1135884], rtol=0, atol=STOPPED)


def test_nels_deviance_must_be_the_sum_over_schools_of_the_note(
    nels: pd.DataFrame, fits: dict[str, mf.MixedResults]
) -> None:
    # "Set ll = ll + ldmvnorm(y_j, X_j β, X_j Σ X_jᵀ + σ² I)", school by school.
    fit = fits[SLOPES]
    assert fit.deviance == pytest.approx(deviance_by_school(nels, fit, omega_of(fit)), abs=1e-6)


def test_nels_must_be_no_less_likely_than_the_notes_covariance(
    nels: pd.DataFrame, fits: dict[str, mf.MixedResults]
) -> None:
    fit = fits[SLOPES]
    printed = np.array([[12.2231940, 0.4887692], [0.4887692, 1.5148005]])
    assert (
        -1e-8 <= deviance_by_school(nels, fit, printed) - deviance_by_school(nels, fit, omega_of(fit)) < 1e-6
    )


def deviance_by_school(nels: pd.DataFrame, fit: mf.MixedResults, omega: np.ndarray) -> float:
    """Return −2 log-likelihood at our β and σ and a given Σ, as the note computes it."""
    beta = fit.params.to_numpy()
    densities = [
        multivariate_normal.logpdf(y, X @ beta, X @ omega @ X.T + fit.scale * np.eye(len(y)))
        for _, X, y in schools(nels)
    ]
    return -2.0 * float(np.sum(densities))


def test_nels_must_shrink_by_the_notes_formula_in_every_school(
    nels: pd.DataFrame, fits: dict[str, mf.MixedResults]
) -> None:
    # β̃_j = (X_jᵀX_j/σ² + Σ⁻¹)⁻¹ (X_jᵀy_j/σ² + Σ⁻¹β)
    fit = fits[SLOPES]
    table, precision = fit.group_coefs["g.nels"], np.linalg.inv(omega_of(fit))
    assert len(table) == 684
    for name, X, y in schools(nels):
        left = X.T @ X / fit.scale + precision
        right = X.T @ y / fit.scale + precision @ fit.params.to_numpy()
        np.testing.assert_allclose(table.loc[name], np.linalg.solve(left, right), rtol=0, atol=1e-8)


def test_nels_least_squares_must_vary_more_than_the_shrunken_coefficients(
    nels: pd.DataFrame, fits: dict[str, mf.MixedResults]
) -> None:
    least_squares = np.array([per_school(X, y) for _, X, y in schools(nels)])
    check_printed(np.nanmean(least_squares, axis=0), "50.618228 3.672483")
    complete = least_squares[~np.isnan(least_squares[:, 1])]
    check_printed(np.cov(complete.T), "26.795851 1.001585 1.001585 15.818939")
    # Sample covariance of the least-squares coefficients ≈ Σ + estimation error; of the shrunken ones, less than Σ.
    shrunken, omega = np.cov(fits[SLOPES].group_coefs["g.nels"].T), omega_of(fits[SLOPES])
    assert np.all(np.linalg.eigvalsh(np.cov(complete.T) - omega) > 0)
    assert np.all(np.linalg.eigvalsh(omega - shrunken) > 0)


def per_school(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a school's least-squares line; the slope is missing where ses does not vary."""
    if np.ptp(X[:, 1]) == 0:
        return np.array([y.mean(), np.nan])
    return np.linalg.lstsq(X, y, rcond=None)[0]


def test_nels_schools_must_fall_into_the_notes_classes_of_free_lunch(nels: pd.DataFrame) -> None:
    assert nels.groupby("g.nels")["flp.nels"].mean().value_counts().sort_index().tolist() == [226, 257, 201]


# -- Li, random effects models: mathematics scores of 100 schools ------------------------------------------------


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """1993 pupils in 100 schools."""
    return mf.load_dataset("school_mathscore")


def test_scores_must_give_the_notes_analysis_of_variance(scores: pd.DataFrame) -> None:
    # Formulas without random terms: σ̂² by REML is the residual mean square.
    full, null = (mf.lmm(f"mathscore ~ {right}", scores).fit() for right in ("school", "1"))
    residual = full.scale * (len(scores) - 100)
    between = null.scale * (len(scores) - 1) - residual
    check_printed([between, residual], "48825 160024")
    check_printed([between / 99, full.scale, between / 99 / full.scale], "493.18 84.53 5.834")


def test_scores_must_give_lme4s_random_intercepts(scores: pd.DataFrame) -> None:
    # lme4 1.1-31, bobyqa with rhoend 1e-9: REML criterion, variances, mean, its standard error.
    fit = mf.lmm("mathscore ~ 1 + (1 | school)", scores).fit()
    ours = [fit.reml_criterion, *fit.varcorr["vcov"], fit.params.iloc[0], fit.bse.iloc[0]]
    lme4 = [14685.006508914, 23.203834422, 84.7332292792, 48.1050399013, 0.528272862848]
    np.testing.assert_allclose(ours, lme4, rtol=1e-7)


# -- Linear mixed effects models: planting density ---------------------------------------------------------------

QUADRATIC = "yield ~ density + I(density**2)"


@pytest.fixture(scope="module")
def plots(shared_data: Path) -> pd.DataFrame:
    """Yields of ten plots at four planting densities."""
    return pd.read_csv(shared_data / "pdensity.csv")


@pytest.fixture(scope="module")
def least_squares(plots: pd.DataFrame) -> list[mf.MixedResults]:
    """The quadratic of every plot by itself, through formulas without random terms."""
    return [mf.lmm(QUADRATIC, rows).fit() for _, rows in plots.groupby("plot")]


@pytest.fixture(scope="module")
def density(plots: pd.DataFrame) -> mf.MixedResults:
    """All coefficients random between plots, by maximum likelihood."""
    return mf.lmm(f"{QUADRATIC} + (density + I(density**2) | plot)", plots).fit(reml=False)


def test_density_must_give_the_notes_theta_and_sigma_from_least_squares(
    least_squares: list[mf.MixedResults],
) -> None:
    coefficients = np.array([fit.params for fit in least_squares])
    check_printed(coefficients.mean(axis=0), "2.869 1.855 -0.159")
    check_printed(np.cov(coefficients.T), "2.001 -0.693 0.044 -0.693 0.276 -0.021 0.044 -0.021 0.002")


def test_density_must_give_the_notes_pooled_variance_when_divided_by_the_rows(
    least_squares: list[mf.MixedResults],
) -> None:
    # The note divides the pooled residual sum of squares by all 80 rows; 80 - 3·10 = 50 would give 0.7878.
    pooled = sum(fit.scale * (fit.nobs - 3) for fit in least_squares)
    check_printed([pooled / 80, pooled / 50], "0.4924 0.7878")


def test_density_must_be_called_singular_in_words(density: mf.MixedResults) -> None:
    assert density.singular
    assert density.convergence.status == "boundary"
    assert density.convergence.singular == ("plot",)
    assert "vary in 1 direction only" in density.convergence.message


def test_density_must_be_as_deep_as_lme4s(density: mf.MixedResults) -> None:
    # lme4 1.1-31: bobyqa 209.750086131, Nelder-Mead 209.750086129; bobyqa on orthogonal polynomials 209.750086128.
    assert density.deviance == pytest.approx(209.750086128, abs=1e-7)


def test_density_must_have_the_least_squares_means_when_the_design_is_balanced(
    density: mf.MixedResults, least_squares: list[mf.MixedResults]
) -> None:
    means = np.mean([fit.params for fit in least_squares], axis=0)
    np.testing.assert_allclose(density.params, means, rtol=1e-9)
