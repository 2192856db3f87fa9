"""Draws for groups that the data do not have, where the covariance of their effects is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

OMEGA = np.array([[4.0, -1.8], [-1.8, 1.0]])
BETA, SIGMA = np.array([10.0, 0.5]), 0.3


@pytest.fixture(scope="module")
def posterior() -> mf.Posterior:
    """Return a posterior of 4,000 draws that all have the same parameters; three groups of three rows."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": np.tile([0.0, 1.0, 3.0], 3), "g": np.repeat(list("abc"), 3)})
    drawn = mf.lmm("y ~ x + (x | g)", data.assign(y=rng.normal(size=9))).gibbs(
        chains=2, draws=2000, tune=10, seed=1
    )
    return replace(
        drawn,
        beta=np.broadcast_to(BETA, drawn.beta.shape),
        sigma=np.full_like(drawn.sigma, SIGMA),
        omega=(np.broadcast_to(OMEGA, drawn.omega[0].shape),),
    )


def moments_must_be(drawn: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Compare draws, shape (draws, rows), by five standard errors, and tell Ω = LLᵀ from LᵀL by fifty."""
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((drawn.mean(axis=0) - mean) / scale).max() < 5 / np.sqrt(len(drawn))
    error = np.sqrt((covariance**2 + np.outer(scale, scale) ** 2) / len(drawn))
    assert np.abs((np.cov(drawn.T) - covariance) / error).max() < 5


def rivals_apart(z: np.ndarray, size: int) -> float:
    """Return how far zLᵀLzᵀ is from zLLᵀzᵀ, in standard errors of the variances of draws."""
    root = np.linalg.cholesky(OMEGA)
    own, rival = (np.einsum("ra,ab,rb->r", z, m, z) for m in (root @ root.T, root.T @ root))
    return float(np.abs((rival - own) / (own * np.sqrt(2 / size))).max())


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
def test_predicted_means_of_a_new_group_must_have_the_covariance_of_its_effects(
    posterior: mf.Posterior,
) -> None:
    """The rival draws b = Lᵀz for Lz."""
    rows = pd.DataFrame({"x": [0.0, 1.0, 2.0, 2.0], "g": ["new", "new", "new", "other"]})
    drawn = posterior.predict(rows, kind="mean", seed=1).values.reshape(-1, 4)
    z = np.column_stack([np.ones(4), rows["x"]])
    same = rows["g"].to_numpy()[:, None] == rows["g"].to_numpy()
    moments_must_be(drawn, z @ BETA, np.where(same, z @ OMEGA @ z.T, 0.0))
    assert rivals_apart(z, len(drawn)) > 50


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
def test_replicates_of_new_groups_must_have_the_covariance_of_their_effects(posterior: mf.Posterior) -> None:
    """The rival draws b = Lᵀz for Lz."""
    drawn = posterior.replicate(4000, groups="new", seed=1)
    design = posterior.design
    z, codes = design.blocks[0].z, design.blocks[0].codes
    covariance = np.where(codes[:, None] == codes, z @ OMEGA @ z.T, 0.0) + SIGMA**2 * np.eye(9)
    moments_must_be(drawn, design.X @ BETA, covariance)
    assert rivals_apart(z, len(drawn)) > 50


def test_new_groups_must_be_predicted_without_the_draws_of_effects() -> None:
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    options = {"draws": 50, "tune": 20, "seed": 1}
    without = model.gibbs(keep_effects=False, **options)
    rows = {"Genotype": ["A", "B"], "Tray": ["new", "new"]}
    expected = model.gibbs(**options).predict(rows, seed=2)
    np.testing.assert_array_equal(without.predict(rows, seed=2).values, expected.values)
    with pytest.raises(
        mf.ModelError, match=r"Tray '1' \(row with index 1\) is in the fit.*keep_effects=True"
    ):
        without.predict({"Genotype": ["A", "B"], "Tray": ["new", 1]}, seed=2)
