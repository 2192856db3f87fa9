"""Order of the factors of an interaction."""

from __future__ import annotations

import pytest

from mixedfit.formula.parse import parse_formula


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("tos + trt + trt:tos", ["1", "tos", "trt", "tos:trt"]),
        ("(a + b):d + d:b:a", ["1", "a:d", "b:d", "a:b:d"]),
        ("log(x):g + g", ["1", "g", "log(x):g"]),
        ("g + `odd name`:g", ["1", "g", "g:odd name"]),
        ("b + C(a,contr.sum):b", ["1", "b", "b:C(a, contr.sum)"]),
        ("x + y2", ["1", "x", "y2"]),
    ],
)
def test_factors_of_an_interaction_must_stand_in_rs_order(text: str, terms: list[str]) -> None:
    """That of their first mention in the formula. The rival is the order within the term."""
    parsed = parse_formula(f"y ~ {text} + ({text} | grp)")
    assert [str(term) for term in parsed.matrices.X] == terms
    assert [str(term) for term in parsed.random[0].parts[0]] == terms
