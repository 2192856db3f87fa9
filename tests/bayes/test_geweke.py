"""Geweke's joint-distribution test of every full conditional; a small one of each option, thorough ones slow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from geweke import scores

from mixedfit.bayes import distributions as ds
from mixedfit.bayes import priors as pr
from mixedfit.covariance import residual as residuals

HALF = pr.HalfNormal(1)
BASE: dict[str, Any] = {"fixed": pr.Normal(0, 1), "g": HALF, "sigma": HALF}
WISHART = pr.InverseWishart(5, [[2, 0.5], [0.5, 1]])
SCALARS = {
    "inverse-gamma": pr.InverseGamma(3, 3),
    "half-t": pr.HalfT(3, 1),
    "half-Cauchy": pr.HalfCauchy(1),
    "half-normal": HALF,
    "exponential": pr.Exponential(1),
    "uniform": pr.UniformSD(3),
}
ONE, SLOPES, CROSSED = "y ~ x + (1 | g)", "y ~ x + (x | g)", "y ~ x + (1 | g) + (1 | h)"
BY: dict[str, Any] = {"fixed": pr.Normal(0, 1), "g": HALF, "nu0": pr.Gamma(4, 0.5), "sigma0": HALF}

Case = tuple[str, dict[str, Any], dict[str, Any]]

PRIORS: dict[str, Case] = {
    **{f"{name} for τ": (ONE, BASE | {"g": prior}, {}) for name, prior in SCALARS.items()},
    **{f"{name} for σ": (ONE, BASE | {"sigma": prior}, {}) for name, prior in SCALARS.items()},
    "log-normal for τ": (ONE, BASE | {"g": pr.LogNormal(1, 0.6)}, {}),
    "log-normal for σ": (ONE, BASE | {"sigma": pr.LogNormal(1, 0.6)}, {}),
    "inverse-Wishart": (SLOPES, BASE | {"g": WISHART}, {}),
    "Huang–Wand": (SLOPES, BASE | {"g": pr.HuangWand((1, 0.5))}, {}),
    "LKJ": (SLOPES, BASE | {"g": pr.LKJ(2, HALF, pr.HalfT(3, 1))}, {}),
    "Huang–Wand, crossed": (
        "y ~ x + (x | g) + (x | h)",
        BASE | {"g": pr.HuangWand(1), "h": pr.HuangWand(1)},
        {},
    ),
    "Huang–Wand, N(2, 1²)": (SLOPES, BASE | {"fixed": pr.Normal(2, 1), "g": pr.HuangWand((1, 0.5))}, {}),
    "diagonal": (SLOPES, BASE | {"g": pr.Diagonal(pr.HalfT(3, 1), HALF)}, {}),
    "crossed": (CROSSED, BASE | {"h": pr.HalfT(3, 1)}, {}),
    "weights": (ONE, BASE, {"weights": "w"}),
}
T, NU, LAPLACE = ds.StudentT(3), ds.StudentT(pr.Gamma(4, 0.5)), ds.Laplace()
SHAPES: dict[str, Case] = {
    "t": (ONE, BASE, {"errors": T}),
    "t with its ν": (ONE, BASE, {"errors": NU}),
    "Laplace": (ONE, BASE, {"errors": LAPLACE}),
    "t without groups": ("y ~ x", {"fixed": pr.Normal(0, 1), "sigma": HALF}, {"errors": NU}),
    "weighted t": (ONE, BASE, {"errors": NU, "weights": "w"}),
    "half-t for σ of t": (ONE, BASE | {"sigma": pr.HalfT(3, 1)}, {"errors": T}),
    "uniform for σ of Laplace": (ONE, BASE | {"sigma": pr.UniformSD(3)}, {"errors": LAPLACE}),
    "known σ of t": (ONE, BASE | {"sigma": pr.Known(1)}, {"errors": NU}),
    "t effects": (ONE, BASE, {"random_effects": T}),
    "t effects with their ν": (ONE, BASE, {"random_effects": NU}),
    "Laplace effects": (ONE, BASE, {"random_effects": LAPLACE}),
    "Laplace pairs": (SLOPES, BASE | {"g": WISHART}, {"random_effects": LAPLACE}),
    "t pairs with their ν": (SLOPES, BASE | {"g": WISHART}, {"random_effects": NU}),
    "crossed effects": (CROSSED, BASE | {"h": HALF}, {"random_effects": {"g": T, "h": LAPLACE}}),
    "σ by another column": (ONE, BY, {"sigma": "by:h"}),
    "σ by the first factor": (ONE, BY, {"sigma": "by:g"}),
    "σ by a column, gamma": (ONE, BY | {"sigma0": pr.Gamma(2, 2)}, {"sigma": "by:h"}),
    "σ by a column, half-t": (ONE, BY | {"sigma0": pr.HalfT(3, 1)}, {"sigma": "by:h"}),
    "log-normal for σ of t": (ONE, BASE | {"sigma": pr.LogNormal(1, 0.6)}, {"errors": NU}),
    "σ by a column, log-normal": (ONE, BY | {"sigma0": pr.LogNormal(1, 0.6)}, {"sigma": "by:h"}),
    "σ by a column, known": (ONE, BY | {"sigma0": pr.Known(1)}, {"sigma": "by:h"}),
    "all at once": (CROSSED, BY | {"h": HALF}, {"errors": NU, "random_effects": NU, "sigma": "by:h"}),
    "Laplace by group": (ONE, BY, {"errors": LAPLACE, "sigma": "by:h", "weights": "w"}),
}
AR1, LEVELS = residuals.AR1("t", "g"), residuals.VarIdent("h")
PHI, RATIO = {"phi": pr.Uniform()}, {"ratio": pr.LogNormal(1, 0.5)}
STRUCTURES: dict[str, Case] = {
    "AR1": (ONE, BASE | PHI, {"residual": AR1}),
    "AR1 without groups": ("y ~ x", {"fixed": pr.Normal(0, 1), "sigma": HALF} | PHI, {"residual": AR1}),
    "AR1 of known σ": (ONE, BASE | {"phi": pr.Beta(4, 2), "sigma": pr.Known(1)}, {"residual": AR1}),
    "AR1 and σ by level": (ONE, BASE | PHI | RATIO | {"sigma": pr.HalfT(3, 1)}, {"residual": AR1 * LEVELS}),
    "AR1 beside pairs": (SLOPES, BASE | PHI | {"g": WISHART}, {"residual": AR1}),
}
CASES = PRIORS | SHAPES | STRUCTURES
SMALL = ["half-normal for τ", "inverse-Wishart", "t with its ν", "Laplace", "Laplace pairs", "all at once"]


@pytest.mark.everyday(1)
@pytest.mark.parametrize("name", SMALL)
def test_moments_must_be_the_priors_after_few_sweeps(name: str) -> None:
    """About twenty scores a case: beyond 5 in absolute value with probability 1e-5."""
    values = scores(*CASES[name], sweeps=6000, seed=1, free=3000)
    assert np.abs(values).max() < 5.0, values.round(2).to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_moments_must_be_the_priors(name: str) -> None:
    """Some seven hundred scores in all: the largest of them is near 3.2."""
    values = scores(*CASES[name], sweeps=60_000, seed=2)
    assert np.abs(values).max() < 4.2, values.round(2).to_dict()
