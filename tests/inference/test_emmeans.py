"""Marginal means and their contrasts against R's emmeans (stored output), SAS, and by invariances."""

from __future__ import annotations

import doctest
import re
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import DOCS
from published_cases import RECORDS, needs_published, numbers, published_fit
from r_reference import data_of, fitted, formula_of, records
from scipy.stats import multivariate_t, studentized_range

import mixedfit as mf
from mixedfit.inference.emmeans.contrasts import printed
from mixedfit.inference.emmeans.emmeans import _known_letters as known_letters
from mixedfit.inference.emmeans.multiplicity import (
    Family,
    adjusted,
    critical,
    dunnett_tail,
    letters,
    tukey_tail,
)

STORED = records()["emmeans"]
IDS = [f"{r['formula']}-{r['data']}-{r['specs']}-{r['by']}-{r['ddf']}" for r in STORED]

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")

FACTORIAL = "angle ~ recipe * temperature + (1 | recipe:replicate)"


def ours_of(record: dict[str, Any]) -> Any:
    fit = fitted(formula_of(record), record["data"])
    return fit.emmeans(
        record["specs"], by=record["by"] or (), at=record["at"], ddf=record["ddf"], level=record["level"]
    )


def compare(ours: pd.DataFrame, rows: dict[str, Any], ddf: str) -> None:
    for column, values in rows.items():
        expected = numbers(values)
        if column == "df" and ddf == "normal":
            expected[:] = np.inf
        # lmerTest differentiates numerically for Satterthwaite's method; qtukey is good to five digits
        relative = 3e-6 if ddf != "satterthwaite" or column in ("estimate", "std_error") else 2e-5
        absolute = 1e-5 if column in ("lower", "upper") else 1e-6
        got = ours[column].to_numpy()
        assert got == pytest.approx(expected, rel=relative, abs=absolute, nan_ok=True), column


def plain(names: Any) -> list[str]:
    """Return R's names of contrasts without the variable that it puts before levels that look like numbers."""
    return [re.sub(r"temperature|nitrof|[()]", "", name).lower() for name in np.atleast_1d(names)]


@pytest.mark.everyday(10)
@pytest.mark.parametrize("record", STORED, ids=IDS)
def test_means_must_be_those_of_emmeans(record: dict[str, Any]) -> None:
    means = ours_of(record)
    compare(means.table, record["rows"], record["ddf"])
    for name, values in record["levels"].items():
        if name not in (record["at"] or {}) and name != "temp":
            assert [str(v).upper() for v in means.table[name]] == [v.upper() for v in np.atleast_1d(values)]


@pytest.mark.everyday(3)
@pytest.mark.parametrize("record", [r for r in STORED if r["contrasts"]], ids=lambda r: r["formula"])
def test_contrasts_must_be_those_of_emmeans(record: dict[str, Any]) -> None:
    means = ours_of(record)
    for how in record["contrasts"]:
        if how["adjust"] == "dunnettx":
            continue  # an approximation of the exact distribution
        made = means.contrasts(how["method"], how["adjust"], reverse=bool(how.get("reverse")))
        compare(made.table, how["rows"], record["ddf"])
        assert plain(made.table["contrast"]) == plain(how["contrast"])


def test_default_adjustments_must_be_tukey_dunnett_and_none() -> None:
    means = fitted(FACTORIAL, "cake").emmeans("recipe")
    for method, adjust in (("pairwise", "tukey"), ("trt.vs.ctrl", "dunnett"), ("poly", "none")):
        one, other = means.contrasts(method), means.contrasts(method, adjust)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(one.table, other.table)


def test_dunnett_must_be_the_exact_distribution() -> None:
    # R's emmeans with adjust = "mvt" (mvtnorm's integration): 0.7730 and 0.7614; with dunnettx 0.7636 and 0.7525
    p_values = fitted(FACTORIAL, "cake").emmeans("recipe").contrasts("trt.vs.ctrl").table["p_value"]
    assert p_values.to_numpy() == pytest.approx([0.7730, 0.7614], abs=2e-4)
    # Dunnett (1964), Biometrics 20:482, table II: 2.65 for 4 treatments, 20 df; 2.44 for infinite df
    half = 0.5 * (np.eye(4) + 1)
    assert critical(20, 0.95, "dunnett", Family(5, half)) == pytest.approx(2.65, abs=0.005)
    assert critical(np.inf, 0.95, "dunnett", Family(5, half)) == pytest.approx(2.44, abs=0.005)


def test_dunnett_must_be_the_multivariate_t_for_any_correlations() -> None:
    loadings = np.array([0.9, 0.5, 0.3])
    products = np.outer(loadings, loadings)
    np.fill_diagonal(products, 1.0)
    general = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.3], [-0.2, 0.3, 1.0]])
    for correlations in (products, general, products[:2, :2], np.eye(3)):
        m = len(correlations)
        bound = np.full(m, 2.1)
        inside = multivariate_t.cdf(
            bound, shape=correlations, df=9, lower_limit=-bound, random_state=4, maxpts=400_000
        )
        assert dunnett_tail(2.1, correlations, 9.0) == pytest.approx(1 - inside, abs=3e-4)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("df", [2.0, 5.5, 42.0, np.inf])
def test_tukey_must_be_the_studentised_range(df: float) -> None:
    for means in (2, 3, 8):
        for statistic in (0.3, 1.7, 4.0):
            expected = studentized_range.sf(np.sqrt(2) * statistic, means, df)
            assert tukey_tail(statistic, means, df) == pytest.approx(expected, rel=1e-7, abs=1e-11)
        expected = studentized_range.ppf(0.9, means, df) / np.sqrt(2)
        half = 0.5 * (np.eye(means) + 1)
        assert critical(df, 0.9, "tukey", Family(means, half)) == pytest.approx(expected, rel=1e-7)


def test_tukey_of_two_means_must_be_the_t_test() -> None:
    for df in (1.0, 3.0, 30.0):
        two = Family(2, np.ones((1, 1)))
        plain, joint = (adjusted(np.array([2.2]), np.array([df]), how, two)[0] for how in ("none", "tukey"))
        assert joint == pytest.approx(plain, rel=1e-8)
        assert tukey_tail(2.2, 2, df) == pytest.approx(plain, rel=1e-7)


def test_means_of_a_loaded_fit_must_be_the_same(tmp_path: Any) -> None:
    fit = fitted("angle ~ recipe * poly(temp, 2) + (1 | recipe:replicate)", "uneven")
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    pd.testing.assert_frame_equal(loaded.emmeans("recipe").table, fit.emmeans("recipe").table, rtol=1e-8)


def test_means_must_not_depend_on_contrasts_or_on_how_a_covariate_is_written() -> None:
    plain = (
        fitted("angle ~ recipe * temp + I(temp**2) + (1 | recipe:replicate)", "uneven")
        .emmeans("recipe")
        .table
    )
    for formula in (
        "angle ~ C(recipe, contr.sum) * temp + I(temp**2) + (1 | recipe:replicate)",
        "angle ~ 0 + recipe + recipe:temp + I(temp**2) + (1 | recipe:replicate)",
        "angle ~ recipe * scale(temp) + poly(temp, 2) + (1 | recipe:replicate)",
    ):
        table = fitted(formula, "uneven").emmeans("recipe").table
        assert table["estimate"].to_numpy() == pytest.approx(plain["estimate"].to_numpy(), rel=1e-7)
        assert table["std_error"].to_numpy() == pytest.approx(plain["std_error"].to_numpy(), rel=1e-5)


def test_number_under_c_must_be_a_factor_of_the_grid() -> None:
    coded = fitted("angle ~ recipe + C(temp) + (1 | recipe:replicate)", "uneven")
    text = fitted("angle ~ recipe + temperature + (1 | recipe:replicate)", "uneven")
    for one, other in (("recipe", "recipe"), ("temp", "temperature")):
        ours, theirs = coded.emmeans(one).table["estimate"], text.emmeans(other).table["estimate"]
        assert ours.to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-8)


def test_many_level_factor_must_be_averaged_over_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    formula = "angle ~ recipe + replicate + (1 | recipe:replicate)"
    dense = mf.lmm(formula, data_of("cake")).fit().emmeans("recipe", ddf="normal")
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    fit = mf.lmm(formula, data_of("cake")).fit()
    ours = fit.emmeans("recipe", ddf="normal")
    assert ours.table["estimate"].to_numpy() == pytest.approx(dense.table["estimate"].to_numpy(), rel=1e-8)
    assert ours.table["std_error"].to_numpy() == pytest.approx(dense.table["std_error"].to_numpy(), rel=1e-6)
    differences = fit.emmeans("recipe").contrasts().table
    assert np.isfinite(differences["p_value"]).all()
    assert "ddf='residual'" in str(fit.emmeans("recipe"))
    with pytest.raises(mf.ModelError, match="very many levels"):
        fit.emmeans("replicate")


def test_contrasts_of_the_users_own_must_be_weighted_means() -> None:
    means = fitted(FACTORIAL, "uneven").emmeans("recipe")
    made = means.contrasts({"A against the rest": [1, -0.5, -0.5]}).table.iloc[0]
    a, b, c = means.table["estimate"]
    assert made["contrast"] == "A against the rest"
    assert made["estimate"] == pytest.approx(a - (b + c) / 2)


def test_letters_must_go_from_the_lowest_mean_to_the_highest() -> None:
    """All differ: each mean has the letter of its rank. The rival takes the order of the means for their ranks."""
    assert letters(np.array([3.0, 1.0, 2.0]), np.ones(3, dtype=bool)) == ["c", "a", "b"]
    assert letters(np.array([2.0, 4.0, 1.0, 3.0]), np.ones(6, dtype=bool)) == ["b", "d", "a", "c"]


def test_letters_must_be_shared_by_those_that_do_not_differ_only() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        estimates = rng.normal(size=6)
        pairs = list(combinations(range(6), 2))
        differ = rng.random(len(pairs)) < 0.4
        made = letters(estimates, differ)
        for (i, j), apart in zip(pairs, differ, strict=True):
            assert bool(set(made[i]) & set(made[j])) is not bool(apart)
    shown = fitted(FACTORIAL, "cake").emmeans("temperature").compact_letters()
    assert shown.to_dict() == {"175": "a", "185": "ab", "195": "b", "205": "b", "215": "c", "225": "c"}


def test_printout_must_say_what_was_done() -> None:
    means = fitted(FACTORIAL, "holes").emmeans("recipe")
    text = str(means)
    assert text.splitlines()[0].split() == ["recipe", "estimate", "std_error", "df", "lower", "upper"]
    for says in (
        "Averaged over the levels of: temperature.",
        "Satterthwaite",
        "NaN: not estimable",
        "Beware",
    ):
        assert says in text
    inside = str(fitted(FACTORIAL, "cake").emmeans("recipe", by="temperature").contrasts(adjust="holm"))
    assert "temperature = 225:" in inside
    assert "Beware" not in inside
    assert "Holm's method for 3 tests; intervals: Bonferroni's" in inside
    held = str(fitted("angle ~ recipe + temp + (1 | recipe:replicate)", "cake").emmeans("recipe"))
    assert "Held at: temp = 200." in held


def test_documentation_must_show_what_is_printed() -> None:
    page = (DOCS / "means.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    text = "\n".join(block.replace("\n\n", "\n<BLANKLINE>\n") for block in blocks)
    test = doctest.DocTestParser().get_doctest(text, {}, "means.md", None, 0)
    outcome = doctest.DocTestRunner().run(test)
    assert outcome.attempted > 5
    assert outcome.failed == 0


def test_wrong_names_and_options_must_be_refused() -> None:
    fit = fitted("angle ~ recipe * temp + (1 | recipe:replicate)", "cake")
    means = fit.emmeans("recipe")
    for ask, says in (
        (lambda: fit.emmeans("recip"), "Did you mean 'recipe'"),
        (lambda: fit.emmeans("replicate"), "not a variable of the fixed part"),
        (lambda: fit.emmeans("recipe", by="recipe"), "more than once"),
        (lambda: fit.emmeans([]), "names no variable"),
        (lambda: fit.emmeans("recipe", at={"recipe": ["D"]}), "not one of its levels"),
        (lambda: fit.emmeans("recipe", at={"temp": "hot"}), "give numbers"),
        (lambda: fit.emmeans("recipe", at={"temp": []}), "at least one"),
        (lambda: fit.emmeans("recipe", level=95), "0.95"),
        (lambda: fit.emmeans("recipe", ddf="kenward"), "kenward-roger"),  # type: ignore[arg-type]
        (lambda: means.contrasts("pairs"), "pairwise"),  # type: ignore[arg-type]
        (lambda: means.contrasts(adjust="lsd"), "tukey"),  # type: ignore[arg-type]
        (lambda: means.contrasts("poly", "tukey"), "all pairs"),
        (lambda: means.contrasts({"a": [1, -1]}), "2 weights for 3 means"),
        (lambda: fit.emmeans("temp").contrasts(), "one mean"),
        (lambda: fit.emmeans("temp", at={"temp": np.arange(400_000)}), "at most 1,000,000"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            ask()


@needs_published
def test_least_squares_means_of_ham_must_be_those_of_sas() -> None:
    expected = RECORDS["lmertest-ham-lsmeans"]["expected"]
    for ddf, close in (("satterthwaite", True), ("normal", False)):
        table = published_fit("lmertest-ham-lsmeans").emmeans("Product", ddf=ddf).table  # type: ignore[arg-type]
        assert table["estimate"].to_numpy() == pytest.approx(expected["lsmeans_Product"], abs=6e-5)
        statistics = (table["estimate"] / table["std_error"]).to_numpy()
        assert statistics == pytest.approx(expected["t"], abs=6e-3)
        gap = (
            np.abs(table["lower"] - expected["lower"]).max()
            + np.abs(table["upper"] - expected["upper"]).max()
        )
        assert (gap < 3e-4) == close


def test_means_that_are_not_estimable_must_have_no_letters_and_not_count_as_tests() -> None:
    means = fitted(FACTORIAL, "holes").emmeans("recipe")
    with pytest.warns(mf.RankWarning, match=r"no letters: B\."):
        shown = means.compact_letters()
    assert shown.to_dict() == {"A": "a", "B": "", "C": "a"}
    assert "Holm's method for 1 test;" in str(means.contrasts(adjust="holm"))
    assert "Tukey's method for all pairs of 3 means" in str(
        means.contrasts()
    )  # the range that p-values are of
    within = str(fitted(FACTORIAL, "holes").emmeans("recipe", by="temperature").contrasts(adjust="holm"))
    assert "for 1 to 3 tests" in within


def test_letters_must_be_refused_where_degrees_of_freedom_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    fit = mf.lmm("angle ~ replicate + recipe + (1 | recipe:replicate)", data_of("cake")).fit()
    means = fit.emmeans("recipe")
    assert means.table["df"].isna().all()
    assert means.table["lower"].isna().all()
    assert means.compact_letters().iloc[0] == "a"  # differences have degrees of freedom
    monkeypatch.setattr("mixedfit.inference.emmeans.emmeans.letters", lambda *_: [])
    with pytest.raises(mf.ModelError, match="ddf='residual'"):
        known_letters(np.zeros(2), np.array([np.nan]), 0.05)


def test_degrees_of_freedom_must_print_with_two_decimals_below_100() -> None:
    data = data_of("cake").drop(index=[1, 5, 40])
    means = mf.lmm("angle ~ recipe + (1 | recipe:replicate)", data).fit().emmeans("recipe")
    lines = str(means).splitlines()
    for line, df in zip(lines[1:4], means.table["df"], strict=True):
        assert line.split()[3] == f"{df:.2f}"
    row = {"a": "x", "estimate": -1e-9, "std_error": 0.5, "df": 3.0, "lower": -1.0, "upper": 1.0}
    assert "-0.00" not in printed(pd.DataFrame([row]), ["a"], (), ())


@pytest.mark.parametrize(("response", "says"), [("log(angle)", True), ("angle", False), ("`angle`", False)])
def test_means_of_a_transformed_response_must_say_on_which_scale_they_are(response: str, says: bool) -> None:
    means = mf.lmm(f"{response} ~ recipe + (1 | recipe:replicate)", data_of("cake")).fit().emmeans("recipe")
    for text in (str(means), str(means.contrasts())):
        assert ("On the scale of log(angle), not transformed back." in text) is says
