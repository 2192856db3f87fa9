"""Options are read as users write them; what is wrong is said at once, with what was meant."""

from __future__ import annotations

import copy
import pickle
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return mf.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep: pd.DataFrame) -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", sleep).fit()


@pytest.fixture(scope="module")
def means() -> Any:
    return mf.lmm("yield ~ Variety + (1 | Block)", mf.load_dataset("Oats")).fit().emmeans("Variety")


def test_level_of_a_t_test_must_be_checked(fit: mf.MixedResults) -> None:
    with pytest.raises(mf.ModelError, match=r"give 0\.95"):
        fit.t_test("Days", level=95)


@pytest.mark.parametrize(
    ("hypotheses", "labels"),
    [
        ({"Days": 1, "(Intercept)": -1}, ["Days - (Intercept)"]),
        ({"(Intercept)": -1, "Days": 0.5}, ["-(Intercept) + 0.5*Days"]),
        (np.eye(2), ["(Intercept)", "Days"]),
        ([[1, 1], [0, -2]], ["row 1", "-2*Days"]),
    ],
)
def test_rows_must_be_named_as_one_would_write_them(
    fit: mf.MixedResults, hypotheses: Any, labels: list[str]
) -> None:
    assert list(fit.t_test(hypotheses).table.index) == labels


@pytest.mark.parametrize("name", ["KR", "Kenward-Roger", "kenward roger", "KENWARD_ROGER"])
def test_names_of_methods_must_be_read_in_any_case(fit: mf.MixedResults, name: str) -> None:
    assert fit.t_test("Days", ddf=name).method.startswith("Kenward-Roger")  # type: ignore[arg-type]
    assert fit.summary(ddf=name).ddf.startswith("Kenward-Roger")  # type: ignore[arg-type]


def test_unknown_method_must_be_answered_with_the_nearest(fit: mf.MixedResults, means: Any) -> None:
    with pytest.raises(mf.ModelError, match="Did you mean 'satterthwaite'"):
        fit.t_test("Days", ddf="satterwaite")  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="Did you mean 'tukey'"):
        means.contrasts("pairwise", adjust="tuckey")


def test_adjustment_must_be_read_in_any_case(means: Any) -> None:
    one, other = (means.contrasts("pairwise", adjust=name).table for name in ("Tukey", "tukey"))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize(("written", "number"), [("I", 1), ("ii", 2), ("III", 3), ("2", 2)])
def test_roman_types_must_be_read(fit: mf.MixedResults, written: Any, number: int) -> None:
    assert fit.anova(type=written).type == number
    with pytest.raises(mf.ModelError, match="'III'"):
        fit.anova(type="IV")  # type: ignore[arg-type]


def test_comparison_must_refuse_what_is_no_fit(fit: mf.MixedResults, sleep: pd.DataFrame) -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", sleep)
    with pytest.raises(mf.ModelError, match="str is no fitted model"):
        mf.anova(fit, "x")  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match=r"call its \.fit\(\) first|Call its \.fit\(\) first"):
        mf.anova(fit, model)  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="no fitted model"):
        mf.parametric_bootstrap_test(model, fit, n=1)  # type: ignore[arg-type]


def test_model_asked_for_results_must_say_that_it_is_not_fitted(sleep: pd.DataFrame) -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", sleep)
    with pytest.raises(AttributeError, match=r"call \.fit\(\) first"):
        model.summary()
    with pytest.raises(AttributeError, match="'nothing'") as caught:
        _ = model.nothing
    assert "fit()" not in str(caught.value)
    assert copy.deepcopy(model).design.n == pickle.loads(pickle.dumps(model)).design.n == 180


def test_response_of_text_must_be_called_text() -> None:
    oats = mf.load_dataset("Oats")
    for column in (oats["Variety"], oats["yield"].astype(str)):
        with pytest.raises(mf.DataError, match="is text, such as"):
            mf.lmm("outcome ~ nitro + (1 | Block)", oats.assign(outcome=column))


@pytest.mark.parametrize("kind", [float, int])
def test_objects_that_are_numbers_must_be_numbers(sleep: pd.DataFrame, kind: type) -> None:
    plain = sleep.assign(Days=sleep["Days"].astype(kind))
    data = plain.assign(Days=plain["Days"].astype(object), Reaction=plain["Reaction"].astype(object))
    formula = "Reaction ~ Days + (Days | Subject)"
    fit, expected = mf.lmm(formula, data).fit(), mf.lmm(formula, plain).fit()
    pd.testing.assert_series_equal(fit.params, expected.params)
    pd.testing.assert_series_equal(fit.predict(data.head(3)), expected.predict(plain.head(3)))
    assert data["Days"].dtype.kind == "O"


def test_statistic_that_returns_nothing_must_be_refused(fit: mf.MixedResults) -> None:
    with pytest.raises(mf.ModelError, match="returned None on the fit itself"):
        fit.bootstrap(n=2, statistic=lambda refit: None)


def test_numbers_of_a_statistic_must_be_told_once(fit: mf.MixedResults) -> None:
    drawn = fit.bootstrap(n=2, seed=1, statistic=lambda refit: [refit.sigma, 1.0])
    assert drawn.meanings[-2:] == ("number 1 of the statistic", "number 2 of the statistic")


class _Cells(HTMLParser):
    """Collects the rows of tables: a list of (style, text) of each."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append((dict(attrs)["style"] or "", ""))

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip():
            style, text = self.rows[-1][-1]
            self.rows[-1][-1] = (style, text + data)


def test_html_must_line_up() -> None:
    fit = mf.lmm("yield ~ Variety + nitro + (1 | Block)", mf.load_dataset("Oats")).fit()
    page = fit.summary(correlation=True)._repr_html_()
    tables = re.findall(r"<table>[\s\S]*?</table>", page)
    assert [re.findall(r"<caption[^>]*>(.*?)</caption>", table)[0] for table in tables] == [
        "Scaled residuals",
        "Fixed effects",
        "Random effects",
        "Correlation of fixed effects",
    ]
    for table in tables:
        cells = _Cells()
        cells.feed(table)
        assert len({len(row) for row in cells.rows}) == 1
        for column in zip(*cells.rows, strict=True):
            assert len({style for style, _ in column}) == 1
            assert all("nowrap" in style for style, _ in column)
            numbers = all(re.fullmatch(r"[-−<\d.e ]*", text) for _, text in column[1:])
            assert ("right" in column[0][0]) == numbers
