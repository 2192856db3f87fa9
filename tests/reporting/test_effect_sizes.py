"""Effect sizes in APA style: two decimals, no zero before the point, never ".00"; the numbers stay in full."""

from __future__ import annotations

import re

import numpy as np
import pytest
from experiments import priming, priming_fit
from hypothesis import given
from hypothesis import strategies as st

import mixedfit as mf
from mixedfit.core.format import share_text


@given(st.floats(0, 1))
def test_share_must_be_the_number_rounded_and_never_zero_nor_one_unless_exact(value: float) -> None:
    text = share_text(value)
    assert re.fullmatch(r"\.\d\d|< \.01|> \.99|1\.00", text)
    if text[0] in "<>":
        assert (value < 0.005) == (text == "< .01")
        assert (0.995 <= value < 1) == (text == "> .99")
    else:
        assert abs(float(text) - value) <= 0.005 + 1e-12
        assert text != ".00"
        assert text != "1.00" or value == 1


def test_effect_sizes_must_print_in_apa_style_and_keep_their_numbers() -> None:
    sizes = priming_fit().anova().effect_sizes()
    lines = str(sizes).splitlines()
    assert lines[0].split() == ["Partial", "η²", "Partial", "ω²", "Partial", "ε²"]
    for line, name, values in zip(
        lines[1:], ["Prime", "Frequency", "Prime × Frequency"], sizes.to_numpy(), strict=True
    ):
        assert line.startswith(f"{name} ")
        assert line.removeprefix(name).replace("< ", "<").split() == [
            share_text(v).replace(" ", "") for v in values
        ]
    table = priming_fit().anova().table
    F, top, below = (table[name] for name in ("statistic", "df_num", "df_denom"))
    assert sizes["partial_eta_sq"].to_numpy() == pytest.approx((top * F / (top * F + below)).to_numpy())
    assert "Partial η²" in mf.to_markdown(sizes)


def test_sentence_must_not_say_that_a_share_is_zero() -> None:
    data = priming()
    fit = mf.lmm("RT ~ Session + Prime * SOA + (1 | Subject) + (1 | Item)", data).fit()
    small = fit.anova().effect_sizes()["partial_eta_sq"].idxmin()
    assert fit.anova().effect_sizes()["partial_eta_sq"].min() < 0.005
    assert "partial η² < .01" in fit.sentence(fit.anova(), small)
    assert "= .00" not in fit.sentence(fit.anova())
    assert "below 0.01" in fit.sentence(fit.anova(), small, style="plain")
    nothing = mf.lmm("RT ~ Session + (1 | Subject)", data).fit()
    assert nothing.diagnostics.r_squared(None)["estimate"]["marginal"] < 0.005
    assert "marginal R² < .01, conditional R² = ." in nothing.sentence()
    assert "< .01" in dict(row[:2] for row in mf.table(nothing).cells.rows if len(row) > 1)["Marginal R²"]


def test_cohens_d_must_print_with_two_decimals() -> None:
    sizes = priming_fit().emmeans("Prime", by="Frequency").effect_sizes()
    shown = [re.findall(r"-?\d+\.\d+", line)[0] for line in str(sizes).splitlines() if " - " in line]
    assert shown == [f"{value:.2f}" for value in sizes.table["estimate"]]
    assert np.all([cell in mf.to_markdown(sizes) for cell in shown])


def test_statistics_must_have_the_same_decimals_in_every_print() -> None:
    fit = priming_fit()
    value = fit.anova().table["statistic"].iloc[0]
    for text in (
        str(fit.anova()),
        str(fit.f_test("Prime")),
        str(fit.joint_tests()),
        mf.to_markdown(fit.anova()),
        mf.to_markdown(fit.joint_tests()),
    ):
        assert re.search(rf"(?<![\d.]){re.escape(f'{value:.3f}')}(?!\d)", text)
