"""Large dense tails share one matrix between products, factor and inverse: the answers do not show it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfit.core.linalg import PAGED, paged_zeros
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.crossproducts.tail_blocks import lower_copy, rough_pairs
from mixedfit.design.design import build_design
from mixedfit.formula.parse import parse_formula
from mixedfit.kernels.dense_tail import pair_sums, scale_lower
from mixedfit.kernels.first_factor import derive_first, eliminate_first
from mixedfit.kernels.tail_columns import eliminate_columns, quadratic_columns
from mixedfit.likelihood import dense_tail, first_factor
from mixedfit.likelihood.criterion import Criterion
from mixedfit.likelihood.dense_tail import DenseTail

START, STOP, WIDTH = np.array([0, 40, 76]), np.array([40, 76, 116]), np.array([1, 3, 2])


def factors(seed: int) -> tuple[Any, Any]:
    """Return λ of three factors, padded, and Λ of 120 columns written out."""
    rng = np.random.default_rng(seed)
    lams = np.zeros((3, 3, 3))
    big = np.eye(120)
    for f, (start, stop, k) in enumerate(zip(START, STOP, WIDTH, strict=True)):
        lams[f, :k, :k] = np.tril(rng.normal(size=(k, k)))
        big[start:stop, start:stop] = np.kron(np.eye((stop - start) // k), lams[f, :k, :k])
    return lams, big


def symmetric(seed: int, size: int = 120) -> Any:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root + root.T


@pytest.mark.parametrize("transposed", [False, True])
def test_scaling_must_be_that_of_the_full_matrix_and_leave_the_upper_triangle(transposed: bool) -> None:
    lams, big = factors(1)
    matrix = symmetric(2)
    out = matrix.copy()
    scale_lower(out, START, STOP, WIDTH, lams, transposed)
    expected = big @ matrix @ big.T if transposed else big.T @ matrix @ big
    np.testing.assert_allclose(np.tril(out), np.tril(expected), atol=1e-11)
    np.testing.assert_array_equal(np.triu(out, 1), np.triu(matrix, 1))


def test_pair_sums_must_be_those_of_the_full_matrices() -> None:
    lams, big = factors(3)
    products, inverse = symmetric(4), symmetric(5)
    shared = np.triu(products, 1) + np.tril(inverse)
    out = np.zeros((4, 3, 3))
    fixed = np.zeros((1, 3, 3))
    fixed[0, 0, 0] = 1.0
    pair_sums(
        shared,
        np.diagonal(products).copy(),
        np.append(START, 116),
        np.append(STOP, 120),
        np.append(WIDTH, 1),
        np.concatenate([lams, fixed]),
        out,
    )
    full = products @ big @ inverse
    for f, (start, stop, k) in enumerate(zip(START, STOP, WIDTH, strict=True)):
        expected = sum(full[j : j + k, j : j + k] for j in range(start, stop, k))
        np.testing.assert_allclose(out[f, :k, :k], expected, atol=1e-10)


def crossed(levels: int) -> tuple[CrossProducts, Any]:
    """Return products and structures of two crossed factors, the smaller with `levels` levels of two effects."""
    rng = np.random.default_rng(levels)
    n = 8 * levels
    frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n)})
    frame["a"], frame["b"] = rng.integers(0, 3 * levels, n), np.arange(n) % levels
    design = build_design(parse_formula("y ~ x + (1 | a) + (x | b)"), frame)
    return cross_products(design), tuple(block.structure for block in design.blocks)


def three_factors(k: int) -> CrossProducts:
    """Return products of three crossed factors, the largest with k effects."""
    rng = np.random.default_rng(k)
    n = 600
    frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n)})
    frame["a"], frame["b"], frame["c"] = (rng.integers(0, size, n) for size in (90, 20, 11))
    own = "x" if k == 2 else "1"
    cross = cross_products(build_design(parse_formula(f"y ~ x + ({own} | a) + (x | b) + (1 | c)"), frame))
    assert cross.first.gram.shape[1] == k
    return cross


@pytest.mark.parametrize("k", [1, 2])
def test_elimination_column_by_column_must_be_that_level_by_level(k: int) -> None:
    """Also of the quadratic forms, over some of the tail, all of it, and with the columns of X."""
    cross = three_factors(k)
    first, lam = cross.first, np.tril(np.random.default_rng(1).normal(size=(k, k)))
    arrays = lam, first.gram, first.indptr, first.indices, first.values, first.border
    one, two = np.tril(cross.gram), np.tril(cross.gram)
    expected = eliminate_first(*arrays, one, 0, len(first.gram))
    assert eliminate_columns(*arrays, two) == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(two, one, atol=1e-10 * np.abs(one).max())
    assert np.abs(np.tril(cross.gram) - one).max() > 1.0
    size = cross.q_tail + cross.p
    for t in (30, cross.q_tail, size):
        inverse, sums = symmetric(2, size)[:t].copy(), np.zeros((4, k, k))
        none, nothing = np.zeros((0, k, k)), np.zeros((0, 0))
        scores, empty = np.zeros(first.border.shape[:2]), np.zeros((0, size))
        derive_first(
            *arrays, inverse, np.zeros(size), none, nothing, False, scores, sums, nothing, empty, nothing,
            np.zeros((0, 0, 0)), 0, len(first.gram),
        )  # fmt: skip
        found = quadratic_columns(*arrays, cross.q_tail, inverse)
        np.testing.assert_allclose(found, sums[1], rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
def test_large_tails_must_have_the_value_and_gradient_of_small_ones(
    monkeypatch: pytest.MonkeyPatch, reml: bool
) -> None:
    cross, structures = crossed(20)
    criterion, theta = Criterion(cross, structures, reml), np.array([0.8, 0.5, 0.1, 0.4])
    expected = criterion(theta)
    monkeypatch.setattr(first_factor, "BY_COLUMN", 1)
    monkeypatch.setattr(first_factor, "CELLS", 1)
    found = criterion(theta)
    assert found.value == pytest.approx(expected.value, rel=1e-13)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-9)


def test_products_taken_by_block_must_be_all_of_the_triangle() -> None:
    for cross in (three_factors(1), crossed(20)[0]):
        q = cross.q_tail
        np.testing.assert_array_equal(np.tril(lower_copy(cross)), np.tril(cross.gram))
        found = rough_pairs(cross, 3)
        whole = np.tril(cross.gram[:q, :q])
        np.testing.assert_array_equal(found.pairs.toarray(), whole + np.tril(whole, -1).T)
        np.testing.assert_array_equal(found.sides, cross.gram[q:, :q].T)


def answers(tail: DenseTail) -> dict[str, Any]:
    """Return all that asks for the factor or for the products."""
    crossed = np.random.default_rng(0).normal(size=(2, tail.size))
    place = tail.places[0]
    return {
        "solution": tail.solution,
        "project": tail.project(crossed),
        "slopes": tail.slopes,
        "fixed covariance": tail.fixed_covariance(),
        "fixed scores": tail.fixed_scores(place),
        "scores": tail.tail_scores(place),
        "times": tail.times(crossed[:, :7]),
    }


@pytest.mark.parametrize("share", [0.0, 2.0])
@pytest.mark.parametrize("reml", [True, False])
def test_gradient_must_be_the_same_however_the_inverse_is_computed(
    monkeypatch: pytest.MonkeyPatch, reml: bool, share: float
) -> None:
    """Of the leading columns in a matrix of its own, or with the identity behind them."""
    cross, structures = crossed(20)
    theta = np.array([0.8, 0.5, 0.1, 0.4])
    criterion = Criterion(cross, structures, reml)
    expected = central_differences(lambda x: criterion(x).value, theta)
    monkeypatch.setattr(dense_tail, "SMALL_SHARE", share)
    np.testing.assert_allclose(criterion(theta).gradient, expected, rtol=1e-6)


def central_differences(function: Callable[[Any], float], x: Any, step: float = 1e-5) -> Any:
    return np.array([(function(x + h) - function(x - h)) / (2 * step) for h in step * np.eye(x.size)])


@pytest.mark.parametrize("reml", [True, False])
def test_answers_must_be_the_same_when_the_inverse_has_taken_the_factors_place(
    monkeypatch: pytest.MonkeyPatch, reml: bool
) -> None:
    cross, _ = crossed(20)
    lams = [np.array([[0.7]]), np.array([[0.5, 0.0], [0.2, 0.3]])]
    before = answers(DenseTail(cross, lams))
    monkeypatch.setattr(dense_tail, "LARGE_TAIL", 0)
    tail = DenseTail(cross, lams)
    for _ in range(2):
        tail.prepare(reml)
        after = answers(tail)
        tail.prepare(not reml)
        for name, value in before.items():
            np.testing.assert_allclose(after[name], value, atol=1e-11, err_msg=name)


def test_value_gradient_and_curvature_must_take_one_matrix_when_the_tail_is_large() -> None:
    cross, structures = crossed(300)
    criterion = Criterion(cross, structures, True)
    theta = np.array([0.8, 0.5, 0.1, 0.4])
    one = 8 * cross.gram.size
    warm = criterion(theta)
    warm.discard()
    tracemalloc.start()
    try:
        point = criterion(theta)
        _ = point.gradient, point.curvature
        peak = tracemalloc.get_traced_memory()[1]
        point.discard()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (peak < 1.25 * one, left < 0.1 * one) == (True, True)


def test_large_point_may_be_discarded_twice() -> None:
    """A trust region comes back to its best point, of which the matrices are gone."""
    cross, structures = crossed(300)
    point = Criterion(cross, structures, True)(np.array([0.8, 0.5, 0.1, 0.4]))
    assert point.tail.size > dense_tail.LARGE_TAIL
    point.discard()
    point.discard()
    assert np.isfinite(point.gradient).all()


def test_paged_zeros_must_be_writable_zeros_in_rows() -> None:
    side = int(np.sqrt(PAGED / 8)) + 1
    zeros = paged_zeros((side, side))
    assert zeros.flags.c_contiguous
    assert not zeros.any()
    zeros[-1, -1] = 1.0
    assert zeros.sum() == 1.0
