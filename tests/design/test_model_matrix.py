"""The short way to the matrices of plain formulas gives what formulaic gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedfit.design import model_matrix as matrices
from mixedfit.design.model_frame import build_frame
from mixedfit.formula.parse import parse_formula


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(rng.normal(size=(20, 3)), columns=["y", "x", "z"])
    data["odd name"] = rng.integers(0, 9, 20)
    data["g"] = np.repeat(list("abcd"), 5)
    data["h"] = pd.Categorical(rng.permutation(np.repeat([3, 1, 2, 7], 5)), categories=[3, 2, 1, 7, 9])
    data["o"] = pd.Categorical(np.tile(["low", "high"], 10), categories=["low", "high"], ordered=True)
    return data


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x * z + (0 + x || g)",
        "y ~ 0 + x + `odd name`:z + (1 + z | g)",
        "y ~ (x + z)**2 - 1 + (x:z | g)",
        "y ~ 1",
        "y ~ 0 + (1 | g)",
        "y ~ h + x + (0 + h | g)",
        "y ~ 0 + h + g + x + (h | g)",
        "y ~ 0 + x + o + h",
        "y ~ x:z + o + (o || g)",
    ],
)
def test_short_way_must_equal_formulaic(formula: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = parse_formula(formula)
    data = build_frame(parsed, frame(), weights=None, offset=None, missing="drop")
    assert matrices.plain_matrices(parsed.matrices, data.columns, len(data.index)) is not None
    short = matrices.evaluate(parsed, data, {})
    monkeypatch.setattr(matrices, "plain_matrices", lambda *_: None)
    long = matrices.evaluate(parsed, data, {})
    assert short.x_names == long.x_names
    np.testing.assert_array_equal(short.X, long.X)
    np.testing.assert_array_equal(short.y, long.y)
    assert short.random.keys() == long.random.keys()
    for key, (names, values) in short.random.items():
        assert names == long.random[key][0]
        np.testing.assert_array_equal(values, long.random[key][1])


@pytest.mark.parametrize(
    "formula", ["y ~ C(g)", "y ~ o:g", "y ~ log(x + 10)", "y ~ I(x**2)", "log(y + 10) ~ x", "y ~ g:x"]
)
def test_short_way_must_leave_everything_else_to_formulaic(formula: str) -> None:
    parsed = parse_formula(formula)
    data = build_frame(parsed, frame(), weights=None, offset=None, missing="drop")
    assert matrices.plain_matrices(parsed.matrices, data.columns, len(data.index)) is None
