"""Hypotheses as people write them: brackets, chains, back-ticks, R's order of an interaction, Series and frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


@pytest.fixture(scope="module")
def fit() -> mf.MixedResults:
    rng = np.random.default_rng(3)
    n = 240
    frame = pd.DataFrame(
        {
            "A": np.tile(["a1", "a2", "a3"], n // 3),
            "B": np.repeat(["b1", "b2"], n // 2),
            "x": rng.normal(size=n),
            "age": pd.cut(rng.uniform(0, 90, n), [0, 18, 25, 90]),
            "c-d": rng.normal(size=n),
            "g": rng.integers(0, 15, n),
        }
    )
    frame["y"] = frame["x"] + rng.normal(size=15)[frame["g"]] + rng.normal(size=n)
    formula = "y ~ A*B + x:A + x:A:B + poly(x, 2) + age + I(x > 0) + Q('c-d') + (1 | g)"
    with pytest.warns(mf.RankWarning):
        return mf.lmm(formula, frame).fit()


def weights(fit: mf.MixedResults, **by_name: float) -> np.ndarray:
    return np.array([by_name.get(name, 0.0) for name in fit.params.index])


@pytest.mark.parametrize(
    ("text", "expected", "right"),
    [
        ("(Aa2 + Aa3)/2", {"Aa2": 0.5, "Aa3": 0.5}, 0.0),
        ("0.5*(Aa2 + Aa3) = 1", {"Aa2": 0.5, "Aa3": 0.5}, 1.0),
        ("(Aa2 + Aa3)*.5 = 1e-1", {"Aa2": 0.5, "Aa3": 0.5}, 0.1),
        ("-(Aa2 - Aa3) = 0", {"Aa2": -1, "Aa3": 1}, 0.0),
        ("((Aa2)) = (3 - 1)/4", {"Aa2": 1}, 0.5),
        ("Aa2-Aa3==2", {"Aa2": 1, "Aa3": -1}, 2.0),
        ("2*(Aa2 - 3) = Aa3 + 1", {"Aa2": 2, "Aa3": -1}, 7.0),
        ("`Aa2` = 0", {"Aa2": 1}, 0.0),
        ("`Aa2:Bb2` + `Bb2:Aa2`", {"Aa2:Bb2": 2}, 0.0),
        ("Bb2:Aa2 = 0", {"Aa2:Bb2": 1}, 0.0),
        ("Intercept = 5", {"(Intercept)": 1}, 5.0),
        ("(Intercept) = 5", {"(Intercept)": 1}, 5.0),
        ("(Intercept + (Intercept))/2", {"(Intercept)": 1}, 0.0),
        ("poly(x, 2)1 = poly(x,2)2", {"poly(x, 2)1": 1, "poly(x, 2)2": -1}, 0.0),
        ("(poly(x, 2)1)/2", {"poly(x, 2)1": 0.5}, 0.0),
        ("age(18, 25] - age(25, 90]", {"age(18, 25]": 1, "age(25, 90]": -1}, 0.0),
        ("3*c-d", {"Q('c-d')": 3}, 0.0),
        ("3*`c-d` - Q('c-d')", {"Q('c-d')": 2}, 0.0),
    ],
)
def test_equation_must_have_the_weights_that_it_says(
    fit: mf.MixedResults, text: str, expected: dict[str, float], right: float
) -> None:
    from mixedfit.inference.hypotheses.parse import read_hypotheses

    L, r, labels = read_hypotheses(fit._fit, text)
    np.testing.assert_allclose(L, weights(fit, **expected)[None], atol=1e-15)
    np.testing.assert_allclose(r, [right], atol=1e-15)
    assert labels == [text]


@pytest.mark.parametrize("order", ["x:Aa2:Bb2", "Bb2:x:Aa2", "Aa2:x:Bb2"])
def test_interaction_must_be_found_in_every_order(fit: mf.MixedResults, order: str) -> None:
    name = next(n for n in fit.params.index if set(n.split(":")) == {"x", "Aa2", "Bb2"})
    expected = fit.t_test({name: 1.0}).table.to_numpy()
    for written in (order, {order: 1.0}, pd.Series({order: 1.0})):
        np.testing.assert_array_equal(fit.t_test(written).table.to_numpy(), expected)


def test_chain_must_be_an_equation_for_each_sign(fit: mf.MixedResults) -> None:
    """As in patsy: a = b = 0 is a = b and b = 0. The rival leaves out the second."""
    chain = fit.f_test("Aa2 = Aa3 = 0")
    both = fit.f_test(["Aa2", "Aa3"])
    assert chain.df_num == 2
    assert chain.statistic == pytest.approx(both.statistic, rel=1e-9)
    assert list(fit.t_test("Aa2 = Aa3 = 0, Bb2").table.index) == ["Aa2 = Aa3", "Aa3 = 0", "Bb2"]


@pytest.mark.parametrize(
    "rows",
    [
        {"Aa2": 0.5, "Aa3": 0.5},
        pd.Series({"Aa2": 0.5, "Aa3": 0.5}),
        pd.Series({"Aa3": 0.5, "Aa2": 0.5}),
        [pd.Series({"Aa2": 0.5, "Aa3": 0.5})],
        pd.DataFrame({"Aa3": [0.5], "Aa2": [0.5]}),
        pd.DataFrame({"Aa3": [0.5], "Aa2": [0.5]}, index=["mean"]),
        pd.Series(["(Aa2 + Aa3)/2"]),
        np.array(["(Aa2 + Aa3)/2"]),
        pd.Index(["(Aa2 + Aa3)/2"]),
        ("(Aa2 + Aa3)/2",),
    ],
)
def test_weights_by_name_must_be_read_in_any_container(fit: mf.MixedResults, rows: Any) -> None:
    """The rival takes the columns of a frame by position."""
    expected = fit.t_test("(Aa2 + Aa3)/2").table.to_numpy()
    np.testing.assert_allclose(fit.t_test(rows).table.to_numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("hypothesis", "says"),
    [
        ("Aa2 = Ba3", "'Ba3' is not a fixed effect. Did you mean 'Aa3'"),
        ("Aa2*Aa3", "multiples"),
        ("Aa2/0", "divides by 0"),
        ("Aa2 = ", "empty"),
        ("Aa2 Aa3", "'Aa2 Aa3' cannot be read"),
        ("(Aa2", "cannot be read"),
        ("", "empty"),
        ("`Zz`", "'Zz' is not a fixed effect"),
        ({}, "empty"),
        ({"Aa2": "one"}, "expected a number"),
        ({"Aa2": np.nan}, "finite"),
        ([], "no hypotheses"),
        (np.zeros((0, 3)), "no hypotheses"),
        ([["a", "b"]], "neither text"),
        ([[1.0, 2.0]], "expected 17 columns|expected 1. columns"),
    ],
)
def test_what_is_no_hypothesis_must_be_refused_with_the_reason(
    fit: mf.MixedResults, hypothesis: Any, says: str
) -> None:
    for method in (fit.t_test, fit.f_test, fit.wald_test):
        with pytest.raises(mf.ModelError, match=says):
            method(hypothesis)


def test_infinite_weight_must_be_refused_by_name(fit: mf.MixedResults) -> None:
    L = weights(fit, Aa3=1.0)
    L[list(fit.params.index).index("Aa3")] = np.inf
    with pytest.raises(mf.ModelError, match="'Aa3' in row 1 of the hypotheses is inf"):
        fit.f_test(L)


def test_row_without_weights_must_be_nan_in_t_tests_and_refused_in_joint_ones(fit: mf.MixedResults) -> None:
    found = fit.t_test("Aa2 - Aa2 = 0, Aa3")
    assert found.table["p_value"].isna().tolist() == [True, False]
    assert "No coefficient has a weight in Aa2 - Aa2 = 0" in str(found)
    with pytest.raises(mf.ModelError, match="all 0: no coefficient has a weight"):
        fit.f_test("Aa2 - Aa2 = 0")
    with pytest.raises(mf.ModelError, match="contradict"):
        fit.f_test("Aa2 - Aa2 = 1, Aa3")


def test_dependent_rows_must_be_tested_once_each_and_jointly_by_their_rank(fit: mf.MixedResults) -> None:
    rows = "Aa2 = 0, Aa3 = 0, Aa2 - Aa3 = 0, 2*Aa2 = 0"
    assert len(fit.t_test(rows).table) == 4
    assert fit.f_test(rows).df_num == fit.wald_test(rows).df == 2
    assert fit.f_test(rows).statistic == pytest.approx(fit.f_test("Aa2, Aa3").statistic, rel=1e-9)


@pytest.mark.parametrize("hypothesis", ["x", "", [], {}, np.zeros((1, 0)), np.zeros((0, 0)), ["x = 0"]])
def test_model_without_fixed_effects_must_say_that_there_is_nothing_to_test(hypothesis: Any) -> None:
    fit = mf.lmm("Reaction ~ 0 + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
    for method in (fit.t_test, fit.f_test, fit.wald_test):
        with pytest.raises(mf.ModelError, match="no fixed effects"):
            method(hypothesis)


def test_columns_must_be_t_when_satterthwaites_degrees_of_freedom_are_infinite() -> None:
    """Where σ is held and no variance is estimated. The rival heads them z, as of the normal distribution."""
    frame = mf.load_dataset("sleepstudy").assign(w=1.0)
    fit = mf.lmm("Reaction ~ Days", frame, weights="w").fit(sigma=25.0)
    text = str(fit.summary(ddf="satterthwaite"))
    assert ("t value" in text) == ("Satterthwaite" in text)
    assert "z value" not in text
    normal = str(fit.summary(ddf="normal"))
    assert "z value" in normal
    assert "Degrees of freedom: normal" in normal
