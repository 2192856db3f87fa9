"""Laws of the structures Σ = D C D (cs, ar1, toep, ou, exp, gau, mat, …): one checker, run over all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.special import gamma, kv

from mixedfit.covariance import (
    STRUCTURES,
    BlockDiagonal,
    Diagonal,
    ScaledCorrelation,
    Unstructured,
    structure_from,
    structure_record,
)
from mixedfit.formula.structures import NAMES

TIMES = (0, 1, 3, 4)

POINTS = ((0.0, 0.0), (1.0, 0.5), (2.5, -1.0), (0.3, 3.0))

AWAY = np.linalg.norm(np.array(POINTS)[:, None] - np.array(POINTS), axis=2)


def matern(r: float, nu: float) -> Any:
    """Return the textbook's Matérn matrix, by Bessel functions."""
    x = np.where(AWAY > 0, AWAY, 1.0) / r
    return np.where(AWAY > 0, 2 ** (1 - nu) / gamma(nu) * x**nu * kv(nu, x), 1.0)


@dataclass(frozen=True, eq=False)
class Case:
    """A structure with the textbook's correlation matrix of its natural parameters, and values of these."""

    structure: ScaledCorrelation
    textbook: Callable[..., Any]
    natural: tuple[float, ...]

    def theta(self, sds: Any = (0.5, 1.0, 2.0, 1.5)) -> Any:
        """Return θ of the natural parameters."""
        return self.structure.theta_of(np.asarray(sds), self.structure.parameters(*self.natural))

    def covariance(self, sds: Any = (0.5, 1.0, 2.0, 1.5)) -> Any:
        """Return the textbook's Σ; homogeneous structures have the root mean square of the standard deviations."""
        own = np.asarray(sds, dtype=float)
        if self.structure.homogeneous:
            own = np.full(4, np.sqrt(np.mean(own**2)))
        return own[:, None] * self.textbook(*self.natural) * own


def made(name: str) -> ScaledCorrelation:
    places: Any = POINTS if name in ("ou", "exp", "gau", "mat") else TIMES
    structure = STRUCTURES[name](4, places)
    assert isinstance(structure, ScaledCorrelation)
    return structure


LAGS = np.abs(np.array(TIMES)[:, None] - np.array(TIMES))

TEXTBOOK: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "homdiag": (lambda: np.eye(4), ()),
    "homcs": (lambda r: np.full((4, 4), r) + (1 - r) * np.eye(4), (-0.2,)),
    "cs": (lambda r: np.full((4, 4), r) + (1 - r) * np.eye(4), (0.6,)),
    "ar1": (lambda r: r**LAGS, (-0.7,)),
    "hetar1": (lambda r: r**LAGS, (0.4,)),
    "homtoep": (lambda *r: toeplitz([1.0, *r]), (0.5, -0.1, 0.2)),
    "toep": (lambda *r: toeplitz([1.0, *r]), (0.64, 0.7, 0.48)),
    "ou": (lambda k: np.exp(-k * AWAY), (0.3,)),
    "exp": (lambda r: np.exp(-AWAY / r), (2.0,)),
    "gau": (lambda r: np.exp(-((AWAY / r) ** 2)), (1.7,)),
    "mat": (matern, (1.3, 0.8)),
}

CASES = {name: Case(made(name), *own) for name, own in TEXTBOOK.items()}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Every structure in turn."""
    return CASES[request.param]


def generic(structure: ScaledCorrelation, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, structure.n_theta)


def test_every_structure_must_be_checked_here_or_be_linear() -> None:
    assert set(CASES) == set(STRUCTURES) - {"us", "diag"}


def test_formulas_must_know_exactly_the_structures_that_exist() -> None:
    assert set(NAMES) == set(STRUCTURES)


def test_names_in_formulas_must_say_which_structures_are_homogeneous() -> None:
    assert {n for n, known in NAMES.items() if known.homogeneous} == {
        n for n, case in CASES.items() if case.structure.homogeneous
    }


def test_covariance_must_equal_the_textbooks(case: Case) -> None:
    np.testing.assert_allclose(
        case.structure.covariance(case.theta()), case.covariance(), rtol=1e-12, atol=1e-12
    )


def test_factor_must_be_a_root_of_the_covariance(case: Case) -> None:
    for seed in range(5):
        theta = generic(case.structure, seed)
        lam = case.structure.factor(theta)
        np.testing.assert_allclose(lam @ lam.T, case.structure.covariance(theta), rtol=1e-12, atol=1e-13)


def test_covariance_must_be_positive_definite_inside_the_space(case: Case) -> None:
    for seed in range(20):
        assert np.linalg.eigvalsh(case.structure.covariance(generic(case.structure, seed) + 0.01)).min() > 0


def test_directions_must_equal_finite_differences(case: Case) -> None:
    theta, step = generic(case.structure, 1), 1e-6
    for a, direction in enumerate(case.structure.directions(theta)):
        shift = step * np.eye(theta.size)[a]
        ahead, behind = case.structure.covariance(theta + shift), case.structure.covariance(theta - shift)
        np.testing.assert_allclose(direction, (ahead - behind) / (2 * step), rtol=0, atol=1e-8)


def test_curvature_must_equal_finite_differences_of_directions(case: Case) -> None:
    theta, step = generic(case.structure, 2), 1e-6
    slope = np.random.default_rng(3).normal(size=(4, 4))
    slope += slope.T
    found = case.structure.curvature(theta, slope)
    for a in range(theta.size):
        shift = step * np.eye(theta.size)[a]
        change = case.structure.directions(theta + shift) - case.structure.directions(theta - shift)
        np.testing.assert_allclose(
            found[a], np.sum(change * slope, axis=(1, 2)) / (2 * step), rtol=0, atol=1e-7
        )


def test_natural_must_return_the_parameters_that_theta_was_made_of(case: Case) -> None:
    values = case.structure.natural(case.theta())[0]
    np.testing.assert_allclose(values[case.structure.n_sd :], case.natural, rtol=1e-12)


def test_slopes_of_natural_parameters_must_equal_finite_differences(case: Case) -> None:
    theta, step = generic(case.structure, 4), 1e-6
    slopes = case.structure.natural(theta)[1]
    for a in range(theta.size):
        shift = step * np.eye(theta.size)[a]
        change = case.structure.natural(theta + shift)[0] - case.structure.natural(theta - shift)[0]
        np.testing.assert_allclose(slopes[:, a], change / (2 * step), rtol=1e-6, atol=1e-8)


def test_natural_parameters_must_lie_within_their_bounds(case: Case) -> None:
    own = case.structure.natural_parameters(list("abcd"))
    for seed in range(20):
        for value, parameter in zip(
            case.structure.natural(generic(case.structure, seed))[0], own, strict=True
        ):
            assert parameter.lower <= value <= parameter.upper


def test_names_must_be_one_for_every_parameter(case: Case) -> None:
    names = case.structure.names(list("abcd"))
    assert len(set(names)) == case.structure.n_theta == len(case.structure.start)


def test_principal_theta_must_have_the_same_covariance(case: Case) -> None:
    theta = 3.0 * generic(case.structure, 5)
    if case.structure.name == "mat":
        theta[1:] /= 3.0
    again = case.structure.principal(theta)
    np.testing.assert_allclose(
        case.structure.covariance(again), case.structure.covariance(theta), rtol=1e-10, atol=1e-12
    )


def test_changed_units_must_scale_the_covariance(case: Case) -> None:
    units = np.diag([2.0] * 4 if case.structure.homogeneous else [2.0, 0.5, 3.0, 1.0])
    theta = generic(case.structure, 6)
    found = case.structure.covariance(case.structure.change_units(theta, units))
    np.testing.assert_allclose(found, units @ case.structure.covariance(theta) @ units, rtol=1e-12)


def test_slopes_of_changed_units_must_equal_a_difference(case: Case) -> None:
    units, theta = 2.5 * np.eye(4), generic(case.structure, 6)
    change = case.structure.change_units(theta + 1e-6, units) - case.structure.change_units(
        theta - 1e-6, units
    )
    np.testing.assert_allclose(case.structure.unit_slopes(units), change / 2e-6, rtol=1e-8)


def test_scaling_must_give_the_covariance_from_its_directions(case: Case) -> None:
    theta = generic(case.structure, 7)
    found = np.einsum("a,aij->ij", case.structure.scaling(theta), case.structure.directions(theta))
    np.testing.assert_allclose(found, case.structure.covariance(theta), rtol=1e-12)


def test_record_must_survive_json(case: Case) -> None:
    again = structure_from(json.loads(json.dumps(structure_record(case.structure))))
    np.testing.assert_array_equal(again.factor(case.theta()), case.structure.factor(case.theta()))


def test_no_variance_must_be_offered_as_a_limit_when_a_standard_deviation_is_small(case: Case) -> None:
    theta = case.theta([1e-4] * 4)
    assert any("variance" in words for _, words in case.structure.limits(theta))
    at = theta.copy()
    for limited, _ in case.structure.limits(theta):
        at = np.where(limited != theta, limited, at)
    assert not case.structure.covariance(at).any()
    assert case.structure.on_boundary(at).all()


@pytest.mark.parametrize(
    ("name", "natural", "limit"),
    [
        ("homcs", (1.0,), np.ones((4, 4))),
        ("homcs", (-1.0 / 3.0,), np.full((4, 4), -1.0 / 3.0) + 4.0 / 3.0 * np.eye(4)),
        ("cs", (1.0,), np.ones((4, 4))),
        ("ar1", (1.0,), np.ones((4, 4))),
        ("ar1", (-1.0,), (-1.0) ** LAGS),
        ("ou", (0.0,), np.ones((4, 4))),
        ("homtoep", (1.0, 1.0, 1.0), np.ones((4, 4))),
    ],
)
def test_limits_must_be_stationary_points_inside_the_space(name: str, natural: Any, limit: Any) -> None:
    """A search that ends there ends at a regular minimum: the derivative along the parameter is 0."""
    structure = CASES[name].structure
    parameters = structure.parameters(*natural) if name != "homtoep" else [np.pi / 2, 0.0, 0.0]
    theta = structure.theta_of(np.ones(4), parameters)
    np.testing.assert_allclose(structure.covariance(theta), limit, atol=1e-12)
    np.testing.assert_allclose(structure.directions(theta)[structure.n_sd], 0.0, atol=1e-12)
    assert structure.boundary_words(theta)
    lam = structure.factor(theta)
    np.testing.assert_allclose(lam @ lam.T, limit, atol=1e-12)


@pytest.mark.parametrize(("r", "nu"), [(0.01, 0.3), (0.5, 4.0), (30.0, 0.05), (5.0, 20.0), (1000.0, 1.5)])
def test_matern_must_equal_bessel_functions_when_range_and_smoothness_are_extreme(
    r: float, nu: float
) -> None:
    structure = CASES["mat"].structure
    found = structure.covariance(structure.theta_of(np.ones(4), structure.parameters(r, nu)))
    np.testing.assert_allclose(found, matern(r, nu), rtol=0, atol=1e-9)


def test_matern_must_be_exponential_when_its_smoothness_is_a_half() -> None:
    structure = CASES["mat"].structure
    found = structure.covariance(structure.theta_of(np.ones(4), structure.parameters(1.5, 0.5)))
    np.testing.assert_allclose(found, np.exp(-AWAY / 1.5), rtol=0, atol=1e-12)


def test_toeplitz_parameters_must_be_undefined_when_no_matrix_has_the_correlations() -> None:
    """Correlations 0.9 at lag 1 and −0.9 at lag 2 have a determinant below 0."""
    assert np.isnan(CASES["homtoep"].structure.parameters(0.9, -0.9, 0.0)).any()


def test_block_must_join_linear_and_other_parts() -> None:
    block = BlockDiagonal((Unstructured(2), made("ar1"), Diagonal(1)))
    theta = np.random.default_rng(1).uniform(0.2, 1.0, block.n_theta)
    lam = block.factor(theta)
    slope = np.random.default_rng(2).normal(size=(7, 7))
    slope += slope.T
    assert not block.linear
    for a in range(theta.size):
        shift = 1e-6 * np.eye(theta.size)[a]
        ahead, behind = (block.factor(theta + s) for s in (shift, -shift))
        change = (ahead @ ahead.T - behind @ behind.T) / 2e-6
        np.testing.assert_allclose(block.directions(theta)[a], change, rtol=0, atol=1e-8)
        along = block.directions(theta + shift) - block.directions(theta - shift)
        own = np.sum(along * slope, axis=(1, 2)) / 2e-6
        np.testing.assert_allclose(block.curvature(theta, slope)[a], own, rtol=0, atol=1e-7)
    assert lam.shape == (7, 7)
