"""The span of fixed factors with many levels against the same columns written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import independent_columns
from problems import computing

from mixedfit.crossproducts import level_span as spans
from mixedfit.design.design import Design, build_design
from mixedfit.formula.parse import parse_formula


def drawn(seed: int, fixed: str, weighted: bool) -> Design:
    """Return a design with few rows, so that some of its levels are aliased or not counted."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(25, 40))
    frame = pd.DataFrame({"y": rng.normal(size=n), "g": rng.integers(0, 3, n)})
    for name, size in zip("abc", rng.integers(5, 11, 3), strict=True):
        frame[name] = np.char.add(name, rng.integers(0, size, n).astype(str))
    weights = rng.integers(0, 3, n).astype(float) if weighted else None
    with computing("dense"):
        return build_design(parse_formula(f"y ~ {fixed} + (1 | g)"), frame, weights=weights)


def written_out(design: Design) -> Any:
    """Return the indicator columns of all many-level factors, an intercept first where there is one."""
    parts = [np.ones((design.n, 1))] * design.many[0].first
    for factor in design.many:
        levels = np.arange(factor.first, len(factor.grouping.levels))
        parts.append(1.0 * (factor.grouping.codes[:, None] == levels))
    return np.hstack(parts)


CASES = [
    (seed, fixed, weighted)
    for seed in range(12)
    for fixed in ("a", "0 + a", "a + b", "0 + a + b", "a + b + c", "0 + a + b + c")
    for weighted in (False, True)
]


@pytest.mark.everyday(20)
@pytest.mark.parametrize(("seed", "fixed", "weighted"), CASES)
def test_kept_columns_must_be_those_that_earlier_ones_do_not_span(
    seed: int, fixed: str, weighted: bool
) -> None:
    design = drawn(seed, fixed, weighted)
    span = spans.level_span(design)
    counted = slice(None) if design.weights is None else design.weights > 0
    expected = np.array(independent_columns(written_out(design)[counted]))
    starts = design.many[0].first + np.cumsum([0] + [len(f.names) for f in design.many])
    kept = np.concatenate([start + own for start, own in zip(starts, span.kept, strict=False)])
    np.testing.assert_array_equal(np.concatenate([np.arange(design.many[0].first), kept]), expected)


@pytest.mark.everyday(9)
@pytest.mark.parametrize(("seed", "fixed", "weighted"), CASES[:24])
@pytest.mark.parametrize("dense_share", [0.0, 2.0])
def test_coefficients_must_be_those_of_least_squares(
    seed: int, fixed: str, weighted: bool, dense_share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "DENSE_SHARE", dense_share)
    design = drawn(seed, fixed, weighted)
    span = spans.level_span(design)
    weights = np.ones(design.n) if design.weights is None else design.weights
    columns = written_out(design)
    kept = independent_columns(columns[weights > 0])
    root = np.sqrt(weights)
    expected = np.linalg.lstsq(columns[:, kept] * root[:, None], design.y * root, rcond=None)[0]
    own = span.coefficients(design.y)
    np.testing.assert_allclose(own, expected[design.many[0].first :], atol=1e-10)
    shift = expected[0] if design.many[0].first else 0.0
    np.testing.assert_allclose(
        (span.times(own, slice(0, design.n)) + shift)[weights > 0],
        (columns[:, kept] @ expected)[weights > 0],
        atol=1e-10,
    )
