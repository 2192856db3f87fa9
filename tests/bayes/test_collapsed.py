"""The step with β and b integrated out: its target against dense algebra."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gibbs_oracle import dense_z
from scipy import stats

import mixedfit as mf
from mixedfit.bayes.priors.placement import place_priors
from mixedfit.bayes.sampler.arrays import sampling_problem
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.kernels.gibbs import collapsed as gibbs_collapsed
from mixedfit.kernels.gibbs import variances as gibbs_variances
from mixedfit.kernels.gibbs.scaled import log_scaled_density, matrix_parts
from mixedfit.kernels.gibbs.sweep import factor_system

UNITS = np.array([[0, 0, 2, gibbs_variances.HUANG_WAND], [0, 2, 1, gibbs_variances.HALF_T]])
HYPER, MATRICES = np.array([[2.0, 0.0], [3.0, 0.7]]), np.zeros((2, 3, 3))
MATRICES[0, :2, :2] = np.diag([1.0, 3.0])
BASES = np.array([[[2.0, 0.5, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 0.3]]])


def test_density_of_the_step_must_contain_the_jacobian_of_its_parameters() -> None:
    omega = np.array([[[1.2, 0.3, 0.0], [0.3, 0.8, 0.0], [0.0, 0.0, 0.5]]])
    inverses, phi = np.linalg.inv(BASES), np.zeros(4)
    assert gibbs_collapsed.pack(omega, UNITS, BASES, phi)

    def numbers(x: np.ndarray) -> np.ndarray:
        out = np.zeros((1, 3, 3))
        gibbs_collapsed.unpack(x, UNITS, HYPER, MATRICES, inverses, out)
        return np.array([out[0, 0, 0], out[0, 1, 0], out[0, 1, 1], np.sqrt(out[0, 2, 2])])

    def density(x: np.ndarray) -> float:
        out = np.zeros((1, 3, 3))
        value = gibbs_collapsed.unpack(x, UNITS, HYPER, MATRICES, inverses, out)
        block = np.ascontiguousarray(out[0, :2, :2])
        prior = gibbs_variances.log_covariance_density(gibbs_variances.HUANG_WAND, 2.0, MATRICES[0], block, 2)
        prior += stats.t(3, scale=0.7).logpdf(np.sqrt(out[0, 2, 2]))
        steps = 1e-5 * np.eye(4)
        jacobian = np.array([(numbers(x + s) - numbers(x - s)) / 2e-5 for s in steps])
        return value - prior - np.linalg.slogdet(jacobian)[1]

    back = np.zeros((1, 3, 3))
    gibbs_collapsed.unpack(phi, UNITS, HYPER, MATRICES, inverses, back)
    assert np.allclose(back, omega)
    moved = phi + np.array([0.3, -0.2, 0.4, 0.5])
    assert density(moved) == pytest.approx(density(phi), abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "first", "matrix"),
    [
        (gibbs_variances.HUANG_WAND, 2.0, np.diag([1.0, 0.5, 3.0])),
        (gibbs_variances.INVERSE_WISHART, 5.0, np.eye(3) + 0.3),
        (gibbs_variances.LKJ, 1.5, np.array([[gibbs_variances.HALF_T, 3.0, float(s)] for s in (1, 2, 3)])),
    ],
)
@pytest.mark.parametrize("only", [-1, 0, 2])
def test_density_at_other_scales_must_be_that_of_the_scaled_matrix(
    kind: int, first: float, matrix: np.ndarray, only: int
) -> None:
    root = np.tril(np.random.default_rng(3).uniform(0.3, 1.0, (3, 3)))
    omega, sds, inverse = root @ root.T, np.empty(3), np.empty((3, 3))
    assert matrix_parts(omega, sds, inverse) == pytest.approx(np.linalg.slogdet(omega)[1])

    def both(x: float) -> tuple[float, float]:
        D = np.diag([np.exp(x) if only < 0 or i == only else 1.0 for i in range(3)])
        dense = gibbs_variances.log_covariance_density(kind, first, matrix, D @ omega @ D, 3)
        return log_scaled_density(kind, first, matrix, sds, inverse, only, x), dense

    one, other = both(0.7), both(-1.3)
    assert one[0] - other[0] == pytest.approx(one[1] - other[1], abs=1e-9)


@pytest.mark.parametrize(
    ("formula", "levels"), [("y ~ x + (x | g)", 8), ("y ~ x + (x | g)", 70), ("y ~ x + (1 | g) + (x | h)", 8)]
)
def test_marginal_likelihood_must_be_the_dense_one(formula: str, levels: int) -> None:
    rng, n = np.random.default_rng(4), 5 * levels
    frame = pd.DataFrame(
        {
            "x": rng.standard_normal(n),
            "g": np.repeat(np.arange(levels), 5),
            "h": np.tile(list("vwxyz"), levels),
        }
    )
    frame["y"] = 3 + frame["x"] + rng.standard_normal(n)
    design = mf.lmm(formula, frame).design
    cross = cross_products(design)
    mean, covariance = np.array([2.0, 0.5]), np.array([[4.0, 1.0], [1.0, 2.0]])
    priors = {"fixed": mf.priors.Normal(mean, covariance=covariance)}
    problem, order = sampling_problem(design, cross, place_priors(design, cross, priors))
    scale, sigma = cross.fixed.scale, 1.1

    def both(seed: int) -> tuple[float, float]:
        draw = np.random.default_rng(seed)
        omega, V = np.zeros_like(problem.bases), sigma**2 * np.eye(n) + design.X @ covariance @ design.X.T
        for i, f in enumerate(order):
            block = design.blocks[f]
            root = np.tril(draw.uniform(0.3, 1.0, (block.k, block.k)))
            omega[i, : block.k, : block.k] = root @ root.T / scale**2
            Z = dense_z(block.codes, block.z, block.levels)
            V += Z @ np.kron(np.eye(block.levels), root @ root.T) @ Z.T
        lams, chols = np.zeros_like(omega), np.zeros_like(problem.first[0])
        system = np.zeros_like(problem.gram)
        assert factor_system(
            omega,
            sigma / scale,
            problem.first,
            problem.gram,
            problem.fixed,
            problem.factors,
            problem.bases,
            problem.units,
            lams,
            chols,
            system,
        )
        own = gibbs_collapsed.log_marginal(chols, system, (sigma / scale) ** 2)
        return own, float(stats.multivariate_normal(design.X @ mean, V).logpdf(design.y))

    first, second = both(1), both(2)
    assert first[0] - second[0] == pytest.approx(first[1] - second[1], abs=1e-8)
