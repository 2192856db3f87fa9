"""What the page says: every sentence true of the fit, names as people write them, numbers as people read them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfit as mf
from mixedfit.cli import main
from mixedfit.reporting.html import page, report_html
from mixedfit.reporting.html.findings import Checks, checks_of, verdict_in_words
from mixedfit.reporting.html.mathml import covariance_math, model_math
from mixedfit.reporting.html.model_words import (
    effects_in_words,
    left_out_in_words,
    model_in_words,
    shares_in_words,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

SLEEP = mf.load_dataset("sleepstudy")
CAKE = mf.load_dataset("cake")
BY = "(1 | recipe:replicate)"


def read(text: str) -> str:
    """Return the words of a page, without its pictures and equations."""
    text = re.sub(r"<(style|math)[\s\S]*?</\1>", "", text)
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r'src="data:[^"]*"', "", text)))


@lru_cache
def sleep(formula: str, **options: Any) -> mf.MixedResults:
    return mf.lmm(formula, SLEEP).fit(**options)


@lru_cache
def cake(formula: str) -> mf.MixedResults:
    return mf.lmm(formula, CAKE).fit()


@lru_cache
def singular() -> mf.MixedResults:
    return mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()


CHECKS = Checks(
    rows=789, far=7, farthest=(("225", -8.4), ("12", 3.6)), spread_ratio=1.0, values=400, held=False
)


# -- residuals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [100, 789, 919, 20_000])
def test_count_of_far_rows_must_be_judged_by_the_poisson_tail(rows: int) -> None:
    """The rival calls anything up to three times the mean usual."""
    mean = 2 * rows * stats.norm.sf(3)
    for far in range(1, int(4 * mean) + 5):
        words = replace(CHECKS, rows=rows, far=far).sentences()[0]
        expected = "more than" if stats.poisson.sf(far - 1, mean) < 0.05 else "chance explains"
        expected = "fewer than" if stats.poisson.cdf(far, mean) < 0.05 else expected
        assert expected in words
        assert ("many more" in words) == (expected == "more than" and far >= 3 * mean)


def test_a_residual_out_of_reach_must_be_remarked() -> None:
    """P(max |z| > 4.3 in 919) = 0.0157 = 1/64, from the normal distribution."""
    chance = 1 - (1 - 2 * stats.norm.sf(4.3)) ** 919
    words = replace(CHECKS, rows=919, farthest=(("106", -4.3),)).sentences()[1]
    assert f"reaches 4.3 σ in one in {1 / chance:.2g} samples" in words
    assert "fewer than one in a million samples" in CHECKS.sentences()[1]
    assert "too far out" not in replace(CHECKS, farthest=(("3", 3.4),)).sentences()[1]
    assert "is σ held too low" in replace(CHECKS, held=True).sentences()[1]


def test_rows_must_be_named_by_their_labels_with_true_minus_signs() -> None:
    assert "of the rows labelled 225 (−8.4) and 12 (+3.6) in the data" in CHECKS.sentences()[1]


def test_few_rows_must_not_be_taken_for_few_values() -> None:
    assert not any("different values" in s for s in replace(CHECKS, rows=9, values=9).sentences())
    assert "ordered categories" not in replace(CHECKS, values=10).sentences()[-1]
    assert "two outcomes" in replace(CHECKS, values=2).sentences()[-1]


def test_rows_of_weight_0_must_not_count_among_the_residuals() -> None:
    data = SLEEP.assign(w=np.where(np.arange(180) == 56, 0.0, 1.0))
    found = checks_of(mf.lmm("Reaction ~ Days + (Days | Subject)", data, weights="w").fit())
    assert found.rows == 179
    assert "56" not in [label for label, _ in found.farthest]


# -- the verdict -----------------------------------------------------------------------------------


def drawn(scale: Any, noise: float, seed: int = 1) -> pd.DataFrame:
    """Return 30 groups of 10 rows whose intercepts and slopes are one normal number times `scale`."""
    rng = np.random.default_rng(seed)
    g, x, own = np.repeat(np.arange(30), 10), np.tile(np.arange(10.0), 30), rng.normal(size=30)
    return pd.DataFrame(
        {"g": g, "x": x, "y": own[g] * (scale[0] + scale[1] * x) + noise * rng.normal(size=300)}
    )


def test_boundary_must_be_said_by_case(shared_data: Path) -> None:
    """A variance of 0, a correlation of ±1, and a rank that is lacking without either."""
    assert verdict_in_words(singular())[1][0] == "The estimate of the variance between levels of Batch is 0."
    tied = mf.lmm("y ~ x + (x | g)", drawn((1.0, 0.01), 0.3)).fit()
    assert tied.singular
    (words, _) = verdict_in_words(tied)[1]
    assert words == "The estimate of the correlation of x and (Intercept) between levels of g is 1."
    lacking = mf.lmm(
        "Weight ~ Time + Cu + (Cu | Litter) + (Time || Pig)", pd.read_csv(shared_data / "dietox.csv")
    )
    fit = lacking.fit()
    omega = fit._fit.omega[1]
    correlation = omega / np.sqrt(np.outer(np.diag(omega), np.diag(omega)))
    assert np.diag(omega).min() > 1
    assert np.abs(np.tril(correlation, -1)).max() < 0.99
    (words, _) = verdict_in_words(fit)[1]
    assert "The 3 random effects of Litter vary in 2 directions only: none of their variances is 0" in words


def test_a_linear_model_must_not_be_said_to_converge() -> None:
    assert "least squares" in verdict_in_words(sleep("Reaction ~ Days"))[1][0]


# -- profile intervals -----------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_reason_for_no_profile_must_be_the_true_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "left out, as requested" in read(report_html(singular(), profile=False))
    monkeypatch.setattr(page, "PATIENCE", 0.0)
    assert "since they would take long; profile=True (on the command line, --profile yes)" in read(
        report_html(singular())
    )
    monkeypatch.setattr(page, "MOST_PROFILED", 1)
    assert "since there are 3 parameters to profile" in read(report_html(singular()))


@pytest.mark.usefixtures("undrawn")
def test_command_must_leave_out_profiles_when_told_to(tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    command = ["report", "Dyestuff2", "Yield ~ 1 + (1 | Batch)", "--out", str(out)]
    assert main([*command, "--profile", "no"]) == 0
    assert "interval (profile)" not in out.read_text(encoding="utf-8")
    assert main([*command, "--profile", "yes"]) == 0
    assert "interval (profile)" in out.read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_tables_must_say_that_profiles_are_not_of_reml() -> None:
    words = "profile intervals are of the likelihood"
    assert read(report_html(singular())).count(words) == 2
    assert words not in read(
        report_html(mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit(reml=False))
    )


def test_report_must_refuse_a_folder_that_is_not_there_before_it_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "report_html", lambda *_, **__: pytest.fail("drawn"))
    with pytest.raises(mf.DataError, match=r"cannot write .*there is no folder"):
        mf.report(singular(), tmp_path / "none" / "out.html")


# -- fixed effects ---------------------------------------------------------------------------------


def test_a_slope_that_stands_for_two_columns_must_not_be_read_alone() -> None:
    data = SLEEP.assign(hours=24 * SLEEP["Days"] + 5.0, other=np.sin(np.arange(180.0)))
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("Reaction ~ Days + hours + other + (1 | Subject)", data).fit()
    limits = pd.DataFrame({"lower": fit.params - 1, "upper": fit.params + 1})
    (words,) = effects_in_words(fit, limits, 0.95)
    assert words.startswith("One unit more of other goes with")
    (words,) = left_out_in_words(fit)
    assert words.startswith("hours has no estimate (NA): its column follows from that of Days.")
    assert "the coefficient of Days stands for both" in words


def test_an_empty_cell_must_be_said_to_be_0_in_every_row() -> None:
    data = CAKE[~((CAKE["recipe"] == "B") & (CAKE["temperature"] == "185"))]
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", data).fit()
    (words,) = left_out_in_words(fit)
    assert words == (
        "recipeB:temperature185 has no estimate (NA): its column is 0 in every row, as for a combination that no row "
        "has."
    )


@pytest.mark.usefixtures("undrawn")
def test_a_held_residual_deviation_must_be_in_words_and_table() -> None:
    fit = sleep("Reaction ~ Days + (1 | Subject)", sigma=20.0)
    assert "Its standard deviation was held at 20, not estimated." in " ".join(model_in_words(fit))
    assert "Residual SD (held, not estimated)" in report_html(fit, profile=False)


def test_degrees_of_freedom_must_be_infinite_where_no_estimated_variance_enters() -> None:
    """In balanced data the slope's variance is σ²/Σ(x − x̄)², which is known where σ is held."""
    fit = sleep("Reaction ~ Days + (1 | Subject)", sigma=20.0)
    table = fit.summary().coefficients
    np.testing.assert_allclose(table.loc["Days", "std_error"] ** 2, 400 / (18 * 82.5))
    assert np.isinf(table.loc["Days", "df"])
    assert 17 < table.loc["(Intercept)", "df"] < 25
    row = next(line for line in str(fit.summary()).splitlines() if line.startswith("Days"))
    assert row.split()[3] == "Inf"
    assert "t value" in str(fit.summary())


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_f_tests_must_have_infinite_degrees_of_freedom_where_no_estimated_variance_enters(ddf: Any) -> None:
    """In a balanced split plot temperatures are compared within replicates, recipes between them."""
    fit = mf.lmm(f"angle ~ recipe * temperature + {BY}", CAKE).fit(sigma=4.0)
    table = fit.anova(ddf=ddf).table
    assert np.isinf(table.loc[["temperature", "recipe:temperature"], "df_denom"]).all()
    np.testing.assert_allclose(table.loc["recipe", "df_denom"], 45 - 3, rtol=1e-6)
    assert np.isinf(fit.summary(ddf=ddf).coefficients.loc["recipeB:temperature185", "df"])


def test_dropped_rows_must_be_said_where_rows_are_counted() -> None:
    data = SLEEP.astype({"Reaction": float})
    data.loc[[3, 9], "Reaction"] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    assert "in 178 rows (2 of 180 were left out, since a value is missing in them)" in model_in_words(fit)[0]


# -- the model in words ----------------------------------------------------------------------------

COOKED = CAKE.assign(hot=CAKE["temp"] > 200, sure=0.5)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (
            "angle ~ recipe * temperature",
            "on recipe (a factor with 3 levels), temperature (a factor with 6 levels) and their interaction.",
        ),
        ("angle ~ temp + I(temp**2)", "on temp and I(temp ** 2)."),
        (
            "angle ~ hot + temp + recipe + hot:temp",
            "on hot (true or false), temp, recipe (a factor with 3 levels) and the interaction hot × temp.",
        ),
        (
            "angle ~ recipe * temp * hot",
            "on recipe (a factor with 3 levels), temp, hot (true or false) and all their interactions.",
        ),
        ("angle ~ (recipe + temp + hot)**2", "hot (true or false) and all their two-way interactions."),
        ("angle ~ 0 + recipe", "There is no intercept: coefficients of recipe are means of its levels."),
        ("angle ~ 1", "The fixed part is one mean for all rows."),
        (
            "angle ~ temp + offset(2 * sure)",
            "The offset 2*sure is added to the mean as it is, without a coefficient.",
        ),
    ],
)
def test_fixed_part_must_be_said_by_variables(formula: str, expected: str) -> None:
    with np.errstate(all="ignore"):
        model = mf.lmm(f"{formula} + {BY}", COOKED)
    words = " ".join(model_in_words(model.fit()))
    assert expected.replace(" ", "") in words.replace(" ", "")


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (
            "(0 + recipe | replicate)",
            "its own mean at each level of recipe: random effects, which may be correlated.",
        ),
        ("(recipe | replicate)", "its own mean and differences between levels of recipe: random"),
        ("(temp || replicate)", "its own mean and effect of temp: random effects, which are uncorrelated."),
        ("(0 + temp | replicate)", "its own effect of temp: a random effect."),
        (
            "(0 + recipe || replicate)",
            "mean at each level of recipe: random effects, which are uncorrelated.",
        ),
    ],
)
def test_random_effects_must_be_said_to_be_what_they_are(term: str, expected: str) -> None:
    assert expected in " ".join(model_in_words(cake(f"angle ~ recipe + temp + {term}")))


def test_r_squared_must_be_said_to_leave_an_offset_out() -> None:
    data = SLEEP.assign(known=5.0 * SLEEP["Days"])
    (words,) = shares_in_words(mf.lmm("Reaction ~ Days + (Days | Subject)", data, offset="known").fit())
    assert words.startswith("The fixed part, without the offset, explains")


def test_crossed_intercepts_must_be_numbered_within_their_factor() -> None:
    fit = mf.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("Penicillin")).fit()
    assert "b0 of its plate + b0 of its sample" in model_math(fit)
    assert "b0 of sample is normal" in covariance_math(fit, 1)


def test_shares_must_have_a_verb_and_count_the_weights() -> None:
    """With weights a row's residual variance is σ²/w, on average σ² mean(1/w)."""
    data = SLEEP.assign(w=np.tile([1.0, 4.0], 90))
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, weights="w").fit()
    between, residual = float(fit._fit.omega[0][0, 0]), fit.scale * (1 + 0.25) / 2
    (words,) = shares_in_words(fit)
    share = 100 * between / (between + residual)
    assert (
        f"leaves, {share:.1f}% lies between levels of Subject and {100 - share:.1f}% in the residuals."
        in words
    )
