"""`ns` and `bs` against R's package splines and lme4, and in models: predictions, files, means, origin and unit."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER

import mixedfit as mf
from mixedfit.design.splines import bs, ns

REFERENCE = json.loads((REFERENCE_FOLDER / "splines.json").read_text(encoding="utf-8"))
BASES = REFERENCE["bases"]
SOME = slice(0, 60, 6)
"""The rows that the script stored."""


def data() -> pd.DataFrame:
    """Return the data of the script's mixed models."""
    frame = pd.DataFrame({"x": REFERENCE["columns"]["smooth"], "y": REFERENCE["data"]["y"]})
    return frame.assign(g=np.tile(np.arange(1, 13), 5), f=list("abc") * 20)


def python(call: str) -> str:
    """Return R's call as Python writes it."""
    text = re.sub(r"q\[c\(([\d, ]+)\)\]", lambda m: f"[q[int(i) - 1] for i in ({m[1]},)]", call)
    text = re.sub(r"q\[(\d)\]", lambda m: f"q[{int(m[1]) - 1}]", text)
    return text.replace("TRUE", "True").replace("Boundary.knots", "Boundary_knots")


def evaluate(call: str, record: dict[str, Any], x: Any, state: dict[str, Any]) -> np.ndarray:
    text = python(call)[:-1] + ", _state=state)"
    made = eval(text, {"ns": ns, "bs": bs, "q": record["q"], "w": record["w"], "x": x, "state": state})
    return np.stack([made[str(j + 1)] for j in range(len(made))], axis=1)


@pytest.mark.everyday(65)
@pytest.mark.parametrize("number", range(len(BASES)))
def test_basis_must_be_rs_on_the_rows_and_on_further_ones(number: int) -> None:
    record = BASES[number]
    x, state = np.array(REFERENCE["columns"][record["column"]]), {}
    own = evaluate(record["call"], record, x, state)
    assert own[SOME] == pytest.approx(np.array(record["basis"]), abs=1e-9)
    new = np.array(record["new"])
    if record["call"].startswith("bs") and "Boundary" not in record["call"]:
        with pytest.raises(mf.FormulaError, match="extrapolation"):
            evaluate(record["call"], record, new, state)
        record = {**record, "call": record["call"][:-1] + ", extrapolation='extend')"}
    expected = np.array(record["further"])
    assert evaluate(record["call"], record, new, state) == pytest.approx(
        expected, abs=1e-8 * np.abs(expected).max()
    )


@cache
def fitted(number: int) -> mf.MixedResults:
    return mf.lmm(ours(number), data()).fit(reml=False)


def ours(number: int) -> str:
    text = REFERENCE["fits"][number]["formula"].replace("TRUE", "True")
    return re.sub(r"bs\((.*?)\)", r"bs(\1, extrapolation='extend')", text)


@pytest.mark.everyday(4)
@pytest.mark.parametrize("number", range(len(REFERENCE["fits"])))
def test_fit_with_splines_must_be_lme4s(number: int, tmp_path: Path) -> None:
    """The rival is cr(x, df=3), with knots at quantiles of distinct values and one dimension less."""
    record, fit = REFERENCE["fits"][number], fitted(number)
    assert fit.llf == pytest.approx(record["loglik"], abs=1e-6)
    kept = fit.params.dropna()
    assert kept.to_numpy() == pytest.approx(np.array(record["beta"]), abs=2e-4)
    plain = [name.replace(", extrapolation='extend'", "").replace(" ", "") for name in kept.index]
    assert plain == [name.replace(" ", "").replace("TRUE", "True") for name in record["names"]]
    new = pd.DataFrame({"x": [-3.5, 0.3, 6.5], "f": ["a", "c", "b"], "g": [1, 7, 12]})
    assert fit.predict(new).to_numpy() == pytest.approx(np.array(record["prediction"]), abs=2e-3)
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert loaded.predict(new).to_numpy() == pytest.approx(fit.predict(new).to_numpy(), abs=1e-9)


CALLS = [
    "ns(x, df=3)",
    "ns(x, df=4, intercept=True)",
    "ns(x, knots=[-1, 0.5])",
    "ns(x, knots=[-1, 0.5], Boundary.knots=[-2, 2])",
    "ns(x, df=2, Boundary_knots=(-5, 8))",
    "bs(x, df=5)",
    "bs(x, df=6, intercept=True)",
    "bs(x, df=6, include_intercept=True)",
    "bs(x, degree=2, knots=[0], Boundary.knots=[-2, 2])",
    "bs(x, df=4, extrapolation='clip')",
    "bs(x, df=4, lower_bound=-9, upper_bound=9e6)",
    "ns(x, knots=[0], Boundary.knots=[-3, 2e6])",
]
TEMPLATES = [
    "y ~ {} + (1 | g)",
    "y ~ 0 + {} + (1 | g)",
    "y ~ f * {} + (1 | g)",
    "y ~ f:{} + (1 | g)",
    "y ~ x + ({} | g)",
    "y ~ x + (0 + {} | g)",
    "y ~ {} + ({} || g)",
]


@pytest.mark.everyday(4)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.filterwarnings("ignore::mixedfit.RankWarning", "ignore::mixedfit.IdentifiabilityWarning")
@pytest.mark.filterwarnings("ignore::mixedfit.ConvergenceWarning")
def test_fits_with_splines_must_predict_their_own_rows_in_memory_and_from_a_file(
    template: str, call: str, tmp_path: Path
) -> None:
    rows = data()
    fit = mf.lmm(template.replace("{}", call), rows).fit(reml=False)
    one = rows.iloc[[7]]
    expected = fit.fittedvalues
    fit.save(tmp_path / "fit.npz")
    for asked in (fit, mf.load(tmp_path / "fit.npz")):
        assert asked.predict(rows).to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-7)
        assert asked.predict(one).to_numpy() == pytest.approx(expected.iloc[[7]].to_numpy(), abs=1e-7)


@pytest.mark.parametrize(
    "call", ["ns(x, df=3)", "ns(x, df=4, intercept=True)", "bs(x, df=5)", "bs(x, df=6, intercept=True)"]
)
@pytest.mark.parametrize("template", ["y ~ f * {} + (1 | g)", "y ~ f + {} + (1 | g)"])
def test_marginal_means_must_be_predictions_at_the_mean_of_the_covariate(template: str, call: str) -> None:
    rows = data()
    fit = mf.lmm(template.replace("{}", call), rows).fit()
    table = fit.emmeans("f").table
    middle = pd.DataFrame({"x": rows["x"].mean(), "f": list("abc")})
    expected = fit.predict(middle, re_form="none").to_numpy()
    assert table["estimate"].to_numpy() == pytest.approx(expected, abs=1e-8)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("call", ["ns(x, df=4)", "bs(x, df=5)", "ns(x, df=3, intercept=True)"])
@pytest.mark.parametrize("map_", [(1.0, 2000.0), (1.0, 1e6), (3e8, 0.0), (-1.0, 0.0), (1e-8, 1e-3)])
def test_fit_must_not_depend_on_origin_and_unit_of_the_covariate(
    call: str, map_: tuple[float, float]
) -> None:
    """A mirrored x has mirrored knots: the same space of curves."""
    rows = data()
    other = rows.assign(x=map_[0] * rows["x"] + map_[1])
    formula = f"y ~ {call} + (ns(x, df=2) | g)"
    first, second = mf.lmm(formula, rows).fit(), mf.lmm(formula, other).fit()
    assert second.deviance == pytest.approx(first.deviance, abs=1e-6)
    assert second.predict(other).to_numpy() == pytest.approx(first.predict(rows).to_numpy(), abs=1e-5)


def test_knots_must_be_quantiles_of_all_rows_not_of_distinct_values() -> None:
    x, state = np.array([0.0] * 50 + [1.0, 2.0, 3.0, 4.0] * 5 + [0.5] * 40), {}
    ns(x, df=3, _state=state)
    assert state["knots"] == pytest.approx(np.quantile(x, [1 / 3, 2 / 3]))


def test_splines_must_run_straight_beyond_the_boundary() -> None:
    state: dict[str, Any] = {}
    ns(np.linspace(0, 1, 30), df=5, _state=state)
    far = np.stack(list(ns(np.array([1.0, 2.0, 3.0, 11.0]), df=5, _state=state).values()), axis=1)
    assert far[2] - far[1] == pytest.approx(far[1] - far[0])
    assert far[3] - far[0] == pytest.approx(10 * (far[1] - far[0]))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("ns(x, df=0)", "df=0 is too small"),
        ("ns(x, 2.5)", "whole number"),
        ("ns(x, df=61)", "more than the 60 rows"),
        ("bs(x, df=100000)", "more than the 60 rows"),
        ("ns(f, df=3)", "one column of numbers"),
        ("ns(x, knots=[0, 99])", "between the boundary knots"),
        ("ns(x, knots=['a'])", "finite numbers"),
        ("ns(x, df=3, knots=[0])", "at odds"),
        ("ns(x, df=3, Boundary.knots=[1, 1])", "two different numbers"),
        ("ns(x, df=3, Boundary.knots=[90, 91])", "no value lies between"),
        ("ns(0 * x, df=3)", "values that differ"),
        ("ns(1 / (0 * x), df=3)", "infinite"),
        ("ns(x, df=3, intercept=1)", "True or False"),
        ("bs(x, df=2)", "df=2 is too small"),
        ("bs(x, degree=0)", "degree=0 is too small"),
        ("bs(x, df=5, extrapolation='wrap')", "not known"),
        ("bs(x, df=5, lower_bound=0)", "beyond the boundary knots"),
        ("ns(x, knots=c(1, 2))", "list"),
        ("ns(x, df=4, intercept=TRUE)", "True and False"),
    ],
)
def test_unusable_arguments_must_be_refused_in_the_fixed_and_the_random_part(call: str, problem: str) -> None:
    for formula in (f"y ~ {call} + (1 | g)", f"y ~ x + ({call} | g)"):
        with pytest.raises(mf.FormulaError, match=problem):
            mf.lmm(formula, data())


def test_names_must_be_rs_also_where_an_argument_has_a_dot() -> None:
    rows, call = data(), "ns(x, knots=[0], Boundary.knots=[-4, 7])"
    fit = mf.lmm(f"y ~ {call} + ({call} | g)", rows).fit()
    assert list(fit.params.index) == ["(Intercept)", f"{call}1", f"{call}2"]
    assert list(fit.random_effects["g"]) == list(fit.params.index)
    assert list(fit.anova(type=3).table.index) == [call]
    some = fit.predict(rows, re_form=f"~ {call} | g").to_numpy()
    assert some == pytest.approx(fit.fittedvalues.to_numpy())


def test_state_of_an_earlier_version_must_leave_out_the_first_column() -> None:
    """Fits that were saved by formulaic's bs beside an intercept had no column for the first spline."""
    x, state = np.linspace(0, 1, 9), {}
    bs(x, df=6, intercept=True, _state=state)
    assert bs(x, df=6, intercept=True, _state=state).__formulaic_metadata__.drop_field == "6"
    del state["spare"]
    assert bs(x, df=6, intercept=True, _state=state).__formulaic_metadata__.drop_field == "1"


def test_users_own_function_must_stand_in_place_of_ns() -> None:
    model = mf.lmm("y ~ ns(x) + (1 | g)", data(), context={"ns": lambda x: x**2})
    assert model.design.X[:, 1] == pytest.approx(data()["x"] ** 2)
