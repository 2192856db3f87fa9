"""The lessons run and show what happens; beside the lecture notes' numbers, ours are within both Monte-Carlo errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lessons import LESSONS, PAGES, ran, run_cells, script
from pages import BLOCK, near, run_page
from paths import ROOT

from mixedfit.bayes.draws import convergence


@pytest.mark.parametrize("name", PAGES)
def test_lesson_must_show_what_is_printed(name: str, lesson: Callable[[str], dict[str, Any]]) -> None:
    lesson(name)
    outcome = ran(name)[0]
    assert outcome.failed == 0
    assert outcome.attempted > 30


def test_each_lesson_must_stand_in_the_table_and_on_the_site() -> None:
    assert [page[:3] for page in PAGES] == [f"{number:03d}" for number in range(7)]
    listed = (ROOT / "docs" / "learn.md").read_text(encoding="utf-8").splitlines()
    assert [f"lessons/{page.removesuffix('.md')}" for page in PAGES] == [
        line for line in listed if line.startswith("lessons/0")
    ]
    index = (LESSONS / "README.md").read_text(encoding="utf-8")
    assert all(f"({page})" in index for page in PAGES)


@pytest.mark.parametrize("name", [*PAGES, "README.md"])
def test_lesson_must_be_readable_and_lead_somewhere(name: str) -> None:
    text = (LESSONS / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (LESSONS / target).exists(), target
    lines = [line for block in BLOCK.finditer(text) for line in block[2].splitlines()]
    assert all(len(line) <= 110 for line in lines)


# -- the checker itself ------------------------------------------------------------------------------


def outcomes_of(folder: Path, text: str) -> set[int]:
    """Return how many examples of a page failed: of its text, and of its notebook."""
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return {run_page(page)[0].failed, run_cells(script("notebooks").cells_of(text))[0].failed}


def test_page_must_fail_when_a_digit_is_wrong(tmp_path: Path) -> None:
    assert outcomes_of(tmp_path, "```python\n>>> 2 / 3\n0.6666666666666666\n```\n") == {0}
    assert outcomes_of(tmp_path, "```python\n>>> 2 / 3\n0.6666666666666667\n```\n") == {1}


def test_page_of_draws_must_fail_when_a_number_is_far_or_a_word_is_wrong(tmp_path: Path) -> None:
    assert outcomes_of(tmp_path, "```python draws\n>>> print('a', 10.2, 4)\na 10.3 4\n```\n") == {0}
    for shown in ("a 10.8 4", "b 10.2 4", "a 10.2 5", "a 10.2"):
        assert outcomes_of(tmp_path, f"```python draws\n>>> print('a', 10.2, 4)\n{shown}\n```\n") == {1}


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        (">>> raise ValueError('two')\nTraceback (most recent call last):\nValueError: two\n", 0),
        (">>> raise ValueError('two')\nTraceback (most recent call last):\nKeyError: two\n", 1),
        (">>> 1 + 1\nTraceback (most recent call last):\nValueError: two\n", 1),
        (">>> raise ValueError('two')\n2\n", 1),
        (">>> 1 + 1\n>>> 2 + 2\n4\n", 1),
    ],
)
def test_page_must_fail_when_it_raises_or_prints_what_it_does_not_show(
    code: str, failed: int, tmp_path: Path
) -> None:
    assert outcomes_of(tmp_path, f"```python\n{code}```\n") == {failed}


@pytest.mark.parametrize(
    ("shown", "found", "same"),
    [
        ("0.08", "0.10", True),
        ("0.08", "0.12", False),
        ("-9.0", "-9.3", True),
        ("-9.0", "-9.5", False),
        ("18937", "21002", True),
        ("18937", "3000", False),
        ("56", "57", False),
    ],
)
def test_number_must_count_as_near_up_to_its_monte_carlo_error(shown: str, found: str, same: bool) -> None:
    assert near(shown, found) is same


# -- pictures ----------------------------------------------------------------------------------------


def coarse(image: Any) -> Any:
    """Return the mean lightness of 40 × 40 cells."""
    rows = np.array_split(image, 40, axis=0)
    return np.array([[cell.mean() for cell in np.array_split(row, 40, axis=1)] for row in rows])


@pytest.mark.parametrize(
    "name",
    [
        "lesson_delta",
        "lesson_parabolas",
        "lesson_eight_schools",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("lesson_coverage", "lesson_rats", "lesson_rats_intervals")
        ),
    ],
)
def test_picture_must_look_like_the_one_on_the_page(name: str, request: pytest.FixtureRequest) -> None:
    """The rival is the picture upside down."""
    if name == "lesson_parabolas":
        request.getfixturevalue("shared_data")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pictures = script("pictures")
    made = (pictures.PICTURES | pictures.FROM_GRASS)[name]()
    figure = made if hasattr(made, "savefig") else made.figure
    figure.set_dpi(100)
    figure.canvas.draw()
    ours = np.asarray(figure.canvas.buffer_rgba())[..., :3].mean(axis=2) / 255.0
    plt.close(figure)
    stored = plt.imread(ROOT / "docs" / "images" / f"{name}.png")[..., :3].mean(axis=2)
    gap = np.abs(coarse(stored) - coarse(ours)).mean()
    assert gap < min(0.01, np.abs(coarse(stored) - coarse(ours[::-1])).mean() / 4)


# -- 000 ---------------------------------------------------------------------------------------------


def test_first_lesson_must_find_estimates_and_effects_by_hand(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    page = lesson("000")
    fit = page["fit"]
    np.testing.assert_allclose(page["gls"], fit.params, rtol=1e-9)
    np.testing.assert_allclose(page["mean"][:2], fit.params, rtol=1e-9)
    np.testing.assert_allclose(page["sd"][:2], fit.bse, rtol=1e-9)
    np.testing.assert_allclose(page["mean"][2:], fit.random_effects["Tray"]["(Intercept)"], rtol=1e-8)
    np.testing.assert_allclose(page["XZ"], np.hstack([page["model"].design.X, page["Z"]]))


# -- 001 ---------------------------------------------------------------------------------------------


def test_seedlings_must_agree_with_stan_within_both_errors(lesson: Callable[[str], dict[str, Any]]) -> None:
    """Printed means with their errors, to which 0.005 is added for rounding; half-Cauchy(0, 1) priors."""
    ours = lesson("001")["ours"]
    error = np.hypot(ours["mcse"], ours["note_se"] + 0.005)
    assert np.all(np.abs(ours["mean"] - ours["note"]) < 3 * error)
    trays = lesson("001")["trays"].dropna()
    assert len(trays) == 7
    assert np.all(np.abs(trays["mean"] - trays["note"]) < 3 * np.hypot(trays["mcse"], 0.055))


STAN = {
    "γ_A": (11.49, 14.05, 15.25, 16.42, 19.06),
    "γ_B": (7.80, 10.55, 11.67, 12.74, 15.41),
    "δ": (-9.32, -5.22, -3.59, -1.95, 1.74),
    "σ_τ": (2.00, 2.74, 3.32, 4.11, 6.59),
    "σ_e": (1.57, 1.76, 1.88, 2.01, None),
}
"""Printed quantiles at 2.5, 25, 50, 75 and 97.5%; the last of σ_e is illegible."""
EFFECTIVE = {"γ_A": 1847, "γ_B": 1744, "δ": 1714, "σ_τ": 1302, "σ_e": 2544}


def test_seedlings_must_have_stans_quantiles_within_both_errors(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    """A quantile's error of n effective draws is that of our draws, times the root of ours over n."""
    page = lesson("001")
    for name, printed in STAN.items():
        draws = page["posterior"].derive(page["terms"][name]).values[:, :, 0]
        for p, value in zip(page["quantiles"], printed, strict=True):
            if value is None:
                continue
            own = convergence.mcse_quantile(draws, p)
            theirs = own * np.sqrt(convergence.ess_quantile(draws, p) / EFFECTIVE[name])
            assert abs(np.quantile(draws, p) - value) < 3.5 * np.hypot(own, theirs) + 0.005, (name, p)


def test_seedlings_must_have_the_notes_probabilities_and_their_quantiles(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    page = lesson("001")
    delta, pair = page["posterior"].derive("GenotypeB"), page["difference"]
    notes = [
        (delta, 0.07875, 0.00756, [(-9.411, 0.274), (-3.597, 0.0717), (1.675, 0.257)]),
        (pair, 0.16275, 0.00710, [(-11.731, 0.256), (-3.478, 0.0925), (3.718, 0.160)]),
    ]
    for draws, value, error, quantiles in notes:
        above = draws.probability("> 0")
        assert abs(above.value - value) < 3 * np.hypot(above.mcse, error)
        table = draws.quantiles()
        for row, (printed, printed_error) in zip(table.itertuples(), quantiles, strict=True):
            assert abs(row.quantile - printed) < 3 * np.hypot(row.mcse, printed_error)


def test_tail_must_be_heavier_when_the_prior_of_trays_is_wider(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    normal, t = lesson("001")["tails"].values()
    posteriors = lesson("001")["sensitivity"].table["probability"].tolist()
    assert normal < posteriors[0] < t < posteriors[2]
    assert posteriors == sorted(posteriors)


def test_extensions_must_move_the_difference_as_theory_says(lesson: Callable[[str], dict[str, Any]]) -> None:
    """Random genotypes shrink it; Laplace trays move it from means (−3.5) to medians (−4.5); tails of e, hardly."""
    page = lesson("001")
    deltas, error = page["deltas"], convergence.mcse_mean
    base, normal, laplace, trays, *tails = deltas.values()
    for shrunken in (normal, laplace):
        assert base.mean() + 10 * error(base) < shrunken.mean() < 0
        assert shrunken.std() < base.std()
    means = page["data"].groupby("Tray", observed=True)["SeedlingWeight"].mean().to_numpy()
    from_medians = np.median(means[4:]) - np.median(means[:4])
    assert from_medians == pytest.approx(-4.5)
    assert from_medians < trays.mean() < base.mean() - 5 * error(trays)
    assert len(tails) == 3
    assert all(abs(delta.mean() - base.mean()) < 0.1 * base.std() for delta in tails)


# -- 002 ---------------------------------------------------------------------------------------------


def test_density_must_agree_with_the_note_within_its_error(lesson: Callable[[str], dict[str, Any]]) -> None:
    """10,000 draws there, first lags up to 0.8: worth about 1,100; 0.0005 for rounding."""
    page = lesson("002")
    sds = page["blocks"].values.std(axis=(0, 1))
    assert np.all(np.abs(page["ours"] - page["note"]) < 3 * sds / np.sqrt(1100) + 5e-4)
    theta = page["theta"]
    gap = np.abs(theta["mean"] - [2.841, 1.869, -0.161])
    assert np.all(gap < 3 * theta["sd"] / np.sqrt(1100) + 5e-4)
    printed = np.array([[1.211, -0.411, 0.023], [-0.411, 0.157, -0.011], [0.023, -0.011, 0.001]])
    omega = page["posterior"].omega[0]
    error = omega.std(axis=(0, 1)) / np.sqrt(1100)
    assert np.all(np.abs(page["omega"] - printed) < 3 * error + 5e-4)
    squares = page["posterior"]["sigma"] ** 2
    assert abs(page["variance"] - 0.715) < 3 * squares.std() / np.sqrt(1100)


def test_mean_parabola_must_have_the_prior_mean_when_that_is_the_average(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    """Balanced design, prior centred at θ̂: E(θ | y) = θ̂ whatever Σ and σ. The rival is the note's average."""
    page = lesson("002")
    table = page["posterior"].summary().iloc[:3]
    exact = page["alone"].mean().to_numpy()
    assert np.all(np.abs(table["mean"] - exact) < 4 * table["mcse"])
    assert np.all(np.abs([2.841, 1.869, -0.161] - exact)[:2] > 6 * table["mcse"][:2])


# -- 004 ---------------------------------------------------------------------------------------------


def test_sampler_by_hand_must_agree_with_ours(lesson: Callable[[str], dict[str, Any]]) -> None:
    page = lesson("004")
    for column, name in enumerate(page["default"].names):
        by_hand, draws = page["kept"][:, column][None], page["default"][name]
        error = np.hypot(convergence.mcse_mean(by_hand), convergence.mcse_mean(draws))
        assert abs(by_hand.mean() - draws.mean()) < 4 * error, name


def test_informative_prior_must_move_the_mean_by_its_share_of_the_precision(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    """μ | τ, σ: a precision 1/25 about 50 joins that of the schools, Σ 1/(τ² + σ²/n_j)."""
    page = lesson("004")
    drawn, schools = page["informative"], page["schools"]
    tau2, sigma2 = drawn["sd_(Intercept)|school"].mean() ** 2, drawn["sigma"].mean() ** 2
    weights = 1 / (tau2 + sigma2 / schools["n"])
    expected = ((weights * schools["mean"]).sum() + 50 / 25) / (weights.sum() + 1 / 25)
    assert abs(drawn["(Intercept)"].mean() - expected) < 4 * convergence.mcse_mean(drawn["(Intercept)"])


def test_pile_at_zero_must_be_that_of_the_integral(lesson: Callable[[str], dict[str, Any]]) -> None:
    """P(τ < 0.1 | y) of six batches of five by quadrature over log τ and log σ, for each prior of the table."""
    y = lesson("004")["batches"].design.y.reshape(6, 5)
    means = y.mean(axis=1)
    within, between = np.sum((y - means[:, None]) ** 2), 5 * np.sum((means - y.mean()) ** 2)
    t, s = np.meshgrid(np.geomspace(1e-6, 80, 4001), np.geomspace(1.2, 14, 161), indexing="ij")
    total = s**2 + 5 * t**2  # Var(ȳ_j)·5
    log_density = -24 * np.log(s) - 2.5 * np.log(total) - within / (2 * s**2) - between / (2 * total)
    log_density += np.log(t)  # dτ = τ d(log τ); p(σ) dσ ∝ d(log σ)
    log_priors = [-(2 * e + 1) * np.log(t) - e / t**2 for e in (1e-2, 1e-4, 1e-6)]
    log_priors += [-np.log1p((t / 4) ** 2), np.zeros_like(t)]
    shown = lesson("004")["trap"]["P(τ < 0.1 | y)"].astype(float)
    for log_prior, probability in zip(log_priors, shown, strict=True):
        density = np.exp(log_density + log_prior - np.max(log_density + log_prior)).sum(axis=1)
        exact = density[t[:, 0] < 0.1].sum() / density.sum()
        assert probability == pytest.approx(exact, abs=0.025)
    assert lesson("004")["trap"]["warned"].tolist() == [True, True, True, False, False]


def test_schools_own_spread_must_be_shrunken_towards_the_common_one(
    lesson: Callable[[str], dict[str, Any]],
) -> None:
    """E(σ_j² | …) = (ν₀σ₀² + SS_j)/(ν₀ + n_j − 2): at the posterior means of ν₀ and σ₀, with SS_j about ȳ_j."""
    page = lesson("004")
    schools, own = page["schools"], page["own"]
    nu, s0 = own["nu0"].mean(), own["sigma0"].mean()
    squares = (schools["n"] - 1) * schools["var"]
    expected = np.sqrt((nu * s0**2 + squares) / (nu + schools["n"] - 2))
    assert np.corrcoef(expected, page["spread"]["together"])[0, 1] > 0.97
    assert np.abs(expected - page["spread"]["together"]).max() < 0.5
    assert page["spread"]["together"].std() < page["spread"]["alone"].std() / 2
