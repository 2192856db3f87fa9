"""What the page says beyond the coefficients: the numbers are those of the functions that users call."""

from __future__ import annotations

import html
import re
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.reporting.html import answers, figures, report_html

pytest.importorskip("matplotlib").use("Agg")


@lru_cache
def oats() -> mf.MixedResults:
    return mf.lmm("yield ~ C(nitro) * Variety + (1 | Block/Variety)", mf.load_dataset("Oats")).fit()


@lru_cache
def sleep() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


@pytest.fixture
def page(undrawn: None) -> str:
    return words(report_html(oats(), profile=False))


def words(page: str) -> str:
    """Return the text of a page, one cell or paragraph a line."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\n\s*\n+", "\n", re.sub(r"<[^>]+>", "\n", body)))


def row(text: str, *cells: str) -> bool:
    return "\n".join(cells) in text


def test_effect_sizes_must_be_those_of_the_f_tests(page: str) -> None:
    table = oats().anova().table
    F, top, below = (table.loc["Variety", name] for name in ("statistic", "df_num", "df_denom"))
    assert row(page, "Variety", f"{top * F / (top * F + below):.2f}".removeprefix("0"))


def test_means_must_be_those_of_emmeans_for_factors_and_for_numbers_that_are_labels(page: str) -> None:
    for name in ("Variety", "nitro"):
        found = oats().emmeans(name)
        for _, mean in found.table.iterrows():
            level = f"{mean[name]:g}" if name == "nitro" else mean[name]
            assert row(page, level, f"{mean['estimate']:.2f}"), name
    both = oats().emmeans(["nitro", "Variety"]).table
    assert row(
        page, f"{both['nitro'].iloc[0]:g}, {both['Variety'].iloc[0]}", f"{both['estimate'].iloc[0]:.2f}"
    )
    pairs = oats().emmeans("Variety").contrasts("pairwise").table
    assert f"{pairs['p_value'].iloc[0]:.4f}" in page
    within = oats().emmeans("Variety", by="nitro").contrasts("pairwise").table
    assert "Differences of Variety within levels of nitro" in page
    assert row(
        page,
        f"{within['contrast'].iloc[-1]}, {within['nitro'].iloc[-1]:g}",
        f"{within['estimate'].iloc[-1]:.2f}",
    )


def test_shares_must_be_those_of_the_diagnostics(page: str) -> None:
    r = oats().diagnostics.r_squared("delta").loc["marginal"]
    icc = oats().diagnostics.icc("delta").loc["adjusted"]
    assert row(page, "R², marginal", f"{r['estimate']:.3f}", f"{r['lower']:.3f} to {r['upper']:.3f}")
    assert row(page, "ICC, adjusted", f"{icc['estimate']:.3f}")


def test_sentences_must_be_those_of_sentence_and_name_the_version(page: str) -> None:
    assert oats().sentence() in page
    assert oats().sentence("Variety") in page
    assert f"mixedfit {mf.__version__}" in page
    assert f"numpy {np.__version__}" in page


def test_sentences_must_be_of_coefficients_where_each_term_has_one(undrawn: None) -> None:
    found = sleep().sentence(sleep().t_test("Days"))
    assert "coefficient of Days" in found
    assert found in words(report_html(sleep(), profile=False))


def test_every_random_effect_must_be_drawn_and_every_factor_have_its_influence(undrawn: None) -> None:
    alts = [picture.alt for picture in figures.influence_pictures(oats())]
    assert [re.search(r"of each level of ([\w:]+)", alt)[1] for alt in alts] == ["Variety:Block", "Block"]  # type: ignore[index]
    rng = np.random.default_rng(3)
    data = pd.DataFrame(rng.normal(size=(300, 3)), columns=["y", "a", "b"]).assign(
        g=np.repeat(np.arange(30), 10)
    )
    for name in ("a", "b"):
        data["y"] += data[name] * rng.normal(size=30)[data["g"]]
    data["y"] += 2 * rng.normal(size=30)[data["g"]]
    three = mf.lmm("y ~ a + b + (a + b | g)", data.assign(g=data["g"].astype(str))).fit()
    captions = [
        picture.caption
        for picture in figures.effect_pictures(three)
        if "How levels of g differ" in picture.caption
    ]
    assert len(captions) == 3


def test_model_without_factors_must_have_no_means() -> None:
    assert answers.means(sleep()._fit, 0.95, {}) == ""


def test_page_must_suit_paper() -> None:
    from mixedfit.reporting.html.parts import CSS

    assert "@media print" in CSS
    assert "overflow: visible" in CSS.split("@media print")[1]
