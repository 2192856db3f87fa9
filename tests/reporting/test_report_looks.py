"""How the page looks: names and numbers as people read them, tables that fit, pictures that show something."""

from __future__ import annotations

import html
import re
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.format import number, without_quotes
from mixedfit.core.tables import Table
from mixedfit.reporting.html import figures, report_html
from mixedfit.reporting.html.parts import stacked

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SLEEP = mf.load_dataset("sleepstudy")


def read(text: str) -> str:
    """Return the words of a page, without its pictures and equations."""
    text = re.sub(r"<(style|math)[\s\S]*?</\1>", "", text)
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r'src="data:[^"]*"', "", text)))


@lru_cache
def sleep(formula: str) -> mf.MixedResults:
    return mf.lmm(formula, SLEEP).fit()


@lru_cache
def singular() -> mf.MixedResults:
    return mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()


# -- names and numbers -----------------------------------------------------------------------------

ODD = SLEEP.rename(columns={"Reaction": "Zeit (ms)", "Days": "days.off"}).assign(
    **{"kind no.": np.where(SLEEP["Days"] % 2 == 0, "a", "b")}
)


@pytest.mark.usefixtures("undrawn")
def test_odd_names_must_be_shown_without_their_quotes() -> None:
    fit = mf.lmm("Q('Zeit (ms)') ~ Q('days.off') * Q('kind no.') + (Q('days.off') | Subject)", ODD).fit()
    text = report_html(fit, profile=False)
    text = text.replace(f"<code>{html.escape(fit.formula)}</code>", "")
    assert "Q(" not in html.unescape(re.sub(r'src="data:[^"]*"', "", text))
    assert "<h1>Zeit (ms): a mixed model</h1>" in text
    assert "days.off:kind no. b" in text.replace("<wbr>", "")
    assert "on days.off, kind no. (a factor with 2 levels) and their interaction." in read(text)


def test_odd_names_must_be_drawn_without_their_quotes() -> None:
    figure, ax = plt.subplots()
    ax.set_ylabel('log(Q("Zeit (ms)"))')
    figures._to_svg(figure)
    assert ax.get_ylabel() == "log(Zeit (ms))"
    plt.close(figure)


def test_a_column_of_a_quoted_name_must_keep_its_level_apart() -> None:
    assert without_quotes("""Q("a b")B:Q('c')""") == "a b B:c"
    assert without_quotes("`a b` + Q") == "a b + Q"


@pytest.mark.usefixtures("undrawn")
def test_numbers_must_have_true_minus_signs_and_no_powers_of_ten_that_can_be_avoided() -> None:
    assert [number(v) for v in (91167.0, 91167.3, -1851.82, 0.00693, 0.0, -0.0)] == [
        "91,167", "91,167", "−1,852", "0.006930", "0", "0"]  # fmt: skip
    words = read(report_html(sleep("Reaction ~ Days + (Days | Subject)"), profile=False))
    words = words.replace(sleep("Reaction ~ Days + (Days | Subject)").formula, "")
    assert not re.search(r"(?<![\w.])-\d|\de\+\d", words.split("Likelihood and criteria")[0])


@pytest.mark.usefixtures("undrawn")
def test_fixed_effects_must_have_their_p_values_before_what_they_come_from() -> None:
    text = report_html(sleep("Reaction ~ Days + (Days | Subject)"), profile=False)
    heads = re.findall(r'<th role="columnheader"[^>]*>(.*?)</th>', text)
    assert heads[:6] == [
        "Estimate", "95% interval (Wald, t by Satterthwaite)", "p", "Std. Error", "df", "t value"
    ]  # fmt: skip


def test_cells_must_carry_their_heads_where_they_are_stacked() -> None:
    """A phone shows a row as a block: what a cell is must stand beside it, and roles keep it a table."""
    table = Table("", ("", "Estimate", "p"), (("Q('x y')", "-1.5", "2e-16"),))
    text = stacked(table, "Coefficients")
    assert re.findall(r'data-head="(.*?)">(.*?)</td>', text) == [("Estimate", "−1.5"), ("p", "2e−16")]
    assert '<th role="rowheader" scope="row">x y</th>' in text
    assert text.count('role="row"') == 2


# -- pictures --------------------------------------------------------------------------------------


def test_every_level_must_have_a_line_of_its_own_up_to_sixty() -> None:
    """0.19 inches a level, as `plots.caterpillar` takes by itself."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(56), 4)
    data = pd.DataFrame({"g": g, "y": rng.normal(size=56)[g] + rng.normal(size=224)})
    picture = figures.effect_pictures(mf.lmm("y ~ 1 + (1 | g)", data).fit())[0]
    height = float(re.search(rb'height="([\d.]+)pt"', picture.svg).group(1))  # type: ignore[union-attr]
    assert height / 72 >= 0.19 * 56


@pytest.mark.usefixtures("undrawn")
def test_captions_of_a_singular_fit_must_not_speak_of_what_is_not_drawn() -> None:
    text = read(report_html(singular(), profile=False))
    assert "orange trend" not in text
    assert "lue intervals" not in text
    assert "The random intercept of Batch is predicted as 0 at every level" in text
    assert "All fitted values are equal" in text


def test_caterpillar_without_a_clear_level_must_not_speak_of_blue() -> None:
    """Means of three rows, variance 0.56, σ² = 1: τ² = 0.56 − 1/3, so that b̂ is at most 0.405 with an SD of 0.37."""
    mean, inside = np.repeat(np.linspace(-1.0, 1.0, 6), 3), np.tile([-1.0, 0.0, 1.0], 6)
    fit = mf.lmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": np.repeat(np.arange(6), 3), "y": mean + inside})).fit()
    np.testing.assert_allclose(fit.varcorr["vcov"], [0.56 - 1 / 3, 1.0], rtol=1e-6)
    assert "Every interval includes 0." in figures.effect_pictures(fit)[0].caption


# -- other tables ----------------------------------------------------------------------------------


def test_formulas_below_a_latex_table_must_stand_apart() -> None:
    fits = {"a": sleep("Reaction ~ Days + (1 | Subject)"), "b": sleep("Reaction ~ Days + (Days | Subject)")}
    text = mf.to_latex(mf.compare_models(fits), caption="")
    note = text[text.index(r"{\footnotesize") :]
    first, second = note.split(r"\par ")
    assert first.startswith(r"{\footnotesize a: Reaction")
    assert second.startswith("b: Reaction")
