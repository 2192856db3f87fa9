"""A factor with one level is refused in every spelling, with its name, its level and what cost the others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

SPELLINGS = (
    "B",
    "z * B",
    "C(B)",
    "C(B, contr.sum)",
    "C(B, contr.poly)",
    "C(B, contr.helmert)",
    "C(B, contr.treatment('b1'))",
    "C(Q('B'))",
    "z * C(B)",
    "x:B",
    "x:C(B, contr.sum)",
    "f:B",
    "f/B",
    "B/f",
    "f * C(B, contr.sum)",
    "0 + B",
    "0 + B:f",
    "log(x + 9):B",
    "(B | g)",
    "(0 + B | g)",
    "(x:B | g)",
    "(0 + f:B | g)",
    "(B || g)",
    "(0 + B || g)",
    "(C(B, contr.sum) | g)",
    "(x * B || g)",
)


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 96
    frame = pd.DataFrame(
        {
            "g": np.repeat(range(12), 8),
            "B": np.tile(["b1", "b2"], 48),
            "f": np.tile(["u", "u", "v", "v"], 24),
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
        }
    )
    return frame.assign(y=rng.normal(size=12)[frame["g"]] + rng.normal(size=n))


def refusal(formula: str, data: pd.DataFrame) -> str:
    with pytest.raises(mf.ModelError) as caught, pytest.warns() as _:
        mf.lmm(formula, data)
    return str(caught.value)


@pytest.mark.everyday(13)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_factor_with_one_level_must_be_refused_when_missing_values_cost_the_others(
    spelling: str, data: pd.DataFrame
) -> None:
    """Rivals: the factor is dropped, or its level's indicator becomes a column of ones or a random intercept."""
    data.loc[data["B"] == "b2", "z"] = np.nan
    rest = spelling if "|" in spelling else f"{spelling} + (1 | g)"
    message = refusal(f"y ~ z + {rest}", data)
    assert "factor 'B' has one level, 'b1', in the 48 rows used" in message
    assert "48 rows with its other levels ('b2') were left out for missing values (by column: z: " in message


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_factor_with_one_level_must_be_refused_when_it_never_had_others(
    spelling: str, data: pd.DataFrame
) -> None:
    data = data.assign(B=pd.Categorical(["b1"] * 96, categories=["b1", "b2"]))
    rest = spelling if "|" in spelling else f"{spelling} + (1 | g)"
    with pytest.raises(mf.ModelError) as caught:
        mf.lmm(f"y ~ z + {rest}", data)
    assert "factor 'B' has one level, 'b1', in the 96 rows used" in str(caught.value)
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    ["C(k)", "C(k, contr.sum)", "x:C(k)", "C(x > -99)", "C(k > 0, contr.sum)", "own(x)", "own(x):x"],
)
def test_computed_factor_with_one_level_must_be_refused(expression: str, data: pd.DataFrame) -> None:
    with pytest.raises(mf.ModelError, match="has one level"):
        mf.lmm(
            f"y ~ x + {expression} + (1 | g)",
            data.assign(k=3),
            context={"own": lambda x: pd.Series(["a"] * len(x))},
        )


def test_missing_values_must_not_be_blamed_when_the_rows_they_cost_have_the_same_level(
    data: pd.DataFrame,
) -> None:
    data = data.assign(B="b1")
    data.loc[:9, "z"] = np.nan
    assert "missing" not in refusal("y ~ z + (B | g)", data)


def test_columns_at_fault_must_be_those_that_are_missing_in_rows_with_other_levels(
    data: pd.DataFrame,
) -> None:
    other = data["B"] == "b2"
    data.loc[other & (data["g"] < 6), "z"] = np.nan
    data.loc[other & (data["g"] >= 6), "x"] = np.nan
    data.loc[0, "f"] = None
    message = refusal("y ~ z + x + f + C(B, contr.sum) + (1 | g)", data)
    assert "(by column: z: 24, x: 24)" in message


def test_grouping_factor_with_one_level_must_name_what_cost_the_others(data: pd.DataFrame) -> None:
    data.loc[data["g"] > 0, "z"] = np.nan
    message = refusal("y ~ z + (1 | g)", data)
    assert "grouping factor 'g' has one level, 0, in the 8 rows used" in message
    assert (
        "88 rows with its other levels (1, 2, 3, 4, 5, …) were left out for missing values (by column: z: "
        in message
    )


def test_new_rows_of_one_level_must_be_predicted_when_the_fit_had_several(data: pd.DataFrame) -> None:
    fit = mf.lmm("y ~ C(B, contr.sum):x + f + (1 | g)", data).fit()
    some = data[data["B"] == "b2"]
    np.testing.assert_allclose(fit.predict(some), fit.fittedvalues[some.index], rtol=1e-12)
