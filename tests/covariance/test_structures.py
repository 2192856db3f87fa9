"""Laws of every covariance structure of the random effects: one checker, run over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mixedfit.covariance import BlockDiagonal, CovarianceStructure, Diagonal, Unstructured


@dataclass(frozen=True, eq=False)
class Case:
    """A structure and which elements of its textbook covariance matrix are free, shape (k, k) bool."""

    structure: CovarianceStructure
    free: Any

    def covariance(self, seed: int = 0) -> Any:
        """Return a positive definite matrix of the textbook form."""
        root = np.random.default_rng(seed).normal(size=self.free.shape)
        return np.where(self.free, root @ root.T + np.eye(len(root)), 0.0)

    def theta(self, seed: int = 0) -> Any:
        """Return θ with every sign, all pivots well away from 0."""
        rng = np.random.default_rng(seed)
        return rng.choice([-1.0, 1.0], self.structure.n_theta) * rng.uniform(0.5, 2.0, self.structure.n_theta)


def mixed(*sizes: int) -> tuple[BlockDiagonal, Any]:
    """Return a block-diagonal structure (negative sizes: diagonal parts) and its free elements."""
    parts = tuple(Unstructured(k) if k > 0 else Diagonal(-k) for k in sizes)
    free = np.zeros((sum(map(abs, sizes)),) * 2, dtype=bool)
    at = 0
    for k in sizes:
        here = slice(at, at + abs(k))
        free[here, here] = True if k > 0 else np.eye(-k, dtype=bool)
        at += abs(k)
    return BlockDiagonal(parts), free


CASES = {
    **{f"unstructured {k}": Case(Unstructured(k), np.ones((k, k), dtype=bool)) for k in (1, 2, 3, 4)},
    **{f"diagonal {k}": Case(Diagonal(k), np.eye(k, dtype=bool)) for k in (1, 2, 3, 4)},
    "block of one": Case(*mixed(2)),
    "blocks 2, 1": Case(*mixed(2, 1)),
    "blocks 1, diagonal 2, 3": Case(*mixed(1, -2, 3)),
    "blocks diagonal 1, 2, diagonal 3": Case(*mixed(-1, 2, -3)),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Every structure in turn."""
    return CASES[request.param]


def test_theta_must_have_an_element_for_every_free_covariance(case: Case) -> None:
    assert case.structure.n_theta == np.tril(case.free).sum()


def test_names_must_be_one_for_every_parameter(case: Case) -> None:
    effects = [f"x{i}" for i in range(case.structure.k)]
    assert len(set(case.structure.names(effects))) == case.structure.n_theta


def test_names_must_join_the_effects_of_the_element_of_lambda_they_move(case: Case) -> None:
    effects = [f"x{i}" for i in range(case.structure.k)]
    for name, derivative in zip(
        case.structure.names(effects), case.structure.derivative(case.theta()), strict=True
    ):
        (row, column) = np.argwhere(derivative)[0]
        assert name == (effects[row] if row == column else f"{effects[row]}.{effects[column]}")


def test_start_must_give_the_identity(case: Case) -> None:
    np.testing.assert_array_equal(case.structure.factor(case.structure.start), np.eye(case.structure.k))


def test_diagonal_must_point_at_the_pivots(case: Case) -> None:
    theta = case.theta()
    np.testing.assert_array_equal(theta[list(case.structure.diagonal)], np.diag(case.structure.factor(theta)))


def test_factor_must_be_lower_triangular(case: Case) -> None:
    lam = case.structure.factor(case.theta())
    np.testing.assert_array_equal(lam, np.tril(lam))


def test_factor_must_move_every_free_element_and_no_other(case: Case) -> None:
    lam = case.structure.factor(case.theta())
    np.testing.assert_array_equal(lam != 0, np.tril(case.free))


def test_theta_from_must_invert_the_textbook_matrix(case: Case) -> None:
    """The rival, λᵀλ for λλᵀ, differs in the first digit wherever two effects covary."""
    covariance = case.covariance()
    lam = case.structure.factor(case.structure.theta_from(covariance))
    np.testing.assert_allclose(lam @ lam.T, covariance, rtol=0, atol=1e-12)


def test_theta_from_must_equal_the_cholesky_factor(case: Case) -> None:
    covariance = case.covariance(1)
    lam = case.structure.factor(case.structure.theta_from(covariance))
    np.testing.assert_allclose(lam, np.linalg.cholesky(covariance), rtol=0, atol=1e-12)


def test_theta_from_root_must_invert_factor_up_to_the_signs_of_columns(case: Case) -> None:
    lam = case.structure.factor(case.theta(2))
    again = case.structure.factor(case.structure.theta_from_root(lam))
    np.testing.assert_allclose(again, lam * np.sign(np.diag(lam)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pivot", [0, -1])
def test_theta_from_root_must_keep_the_covariance_when_a_pivot_is_zero(case: Case, pivot: int) -> None:
    theta = case.theta(3)
    theta[case.structure.diagonal[pivot]] = 0.0
    lam = case.structure.factor(theta)
    again = case.structure.factor(case.structure.theta_from_root(lam))
    np.testing.assert_allclose(again @ again.T, lam @ lam.T, rtol=0, atol=1e-12)


def test_theta_from_root_must_find_exact_zeros_when_the_root_lacks_a_column(case: Case) -> None:
    lam = case.structure.factor(case.theta(4))
    lam[:, -1] = 0.0
    again = case.structure.factor(case.structure.theta_from_root(lam))
    assert np.diag(again)[-1] == 0.0


def test_theta_from_must_be_zero_when_the_covariance_is_zero(case: Case) -> None:
    k = case.structure.k
    np.testing.assert_array_equal(
        case.structure.theta_from(np.zeros((k, k))), np.zeros(case.structure.n_theta)
    )


def test_derivative_must_equal_a_finite_difference(case: Case) -> None:
    theta, step = case.theta(5), 1e-6
    derivative = case.structure.derivative(theta)
    for i, direction in enumerate(np.eye(case.structure.n_theta)):
        difference = (
            case.structure.factor(theta + step * direction) - case.structure.factor(theta - step * direction)
        ) / (2 * step)
        np.testing.assert_allclose(derivative[i], difference, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", ["factor", "derivative", "theta_from", "theta_from_root"])
def test_methods_must_not_change_their_argument(case: Case, method: str) -> None:
    argument = case.covariance() if method.startswith("theta") else case.theta()
    before = argument.copy()
    getattr(case.structure, method)(argument)
    np.testing.assert_array_equal(argument, before)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.structure.k > 1])
def test_invariance_must_be_linear_exactly_when_every_covariance_is_free(name: str) -> None:
    """One effect has one basis up to scale, and may claim either."""
    assert (CASES[name].structure.invariance == "linear") == CASES[name].free.all()


def test_theta_names_must_be_lme4s_when_unstructured() -> None:
    names = Unstructured(3).names(["(Intercept)", "a", "b"])
    assert names == ("(Intercept)", "a.(Intercept)", "b.(Intercept)", "a", "b.a", "b")
