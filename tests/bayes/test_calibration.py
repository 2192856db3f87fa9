"""Simulation-based calibration of every prior, layout and distribution: slow."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from calibration import frame, p_values, ranks

import mixedfit as mf
from mixedfit.bayes import distributions as ds
from mixedfit.bayes import priors as pr
from mixedfit.covariance import residual as residuals

FIXED = pr.Normal(0, 2)
SCALARS = {
    "inverse-gamma": pr.InverseGamma(2, 2),
    "half-t": pr.HalfT(3, 1),
    "half-Cauchy": pr.HalfCauchy(1),
    "half-normal": pr.HalfNormal(1),
    "exponential": pr.Exponential(1),
    "uniform": pr.UniformSD(3),
}
HALF = pr.HalfNormal(1)
AR1 = residuals.AR1("t", "g")
WISHART = pr.InverseWishart(5, [[2, 0.5], [0.5, 1]])
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{name} for τ": ("y ~ x + (1 | g)", {"g": prior, "sigma": HALF}) for name, prior in SCALARS.items()},
    **{f"{name} for σ": ("y ~ x + (1 | g)", {"g": HALF, "sigma": prior}) for name, prior in SCALARS.items()},
    "log-normal for τ": ("y ~ x + (1 | g)", {"g": pr.LogNormal(1, 0.6), "sigma": HALF}),
    "log-normal for σ": ("y ~ x + (1 | g)", {"g": HALF, "sigma": pr.LogNormal(1, 0.6)}),
    "known σ": ("y ~ x + (1 | g)", {"g": HALF, "sigma": pr.Known(1)}),
    "inverse-Wishart": ("y ~ x + (x | g)", {"g": WISHART, "sigma": HALF}),
    "Huang–Wand": ("y ~ x + (x | g)", {"g": pr.HuangWand((1, 0.5)), "sigma": HALF}),
    "diagonal": ("y ~ x + (x | g)", {"g": pr.Diagonal(pr.HalfT(3, 1), pr.HalfNormal(0.5)), "sigma": HALF}),
    "crossed": ("y ~ x + (1 | g) + (1 | h)", {"g": HALF, "h": pr.HalfT(3, 1), "sigma": HALF}),
    "crossed slopes": ("y ~ x + (1 | g) + (x | h)", {"g": HALF, "h": pr.HuangWand(1), "sigma": HALF}),
}


ERRORS = {
    "normal": ds.Normal(),
    "t₃": ds.StudentT(3),
    "t_ν": ds.StudentT(pr.Gamma(4, 0.5)),
    "Laplace": ds.Laplace(),
}
SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
for i, ((first, errors), (second, effects), sigma) in enumerate(
    product(ERRORS.items(), ERRORS.items(), ("common", "by:h"))
):
    prior = list(SCALARS.values())[(i // 2 + i // 8) % len(SCALARS)]  # they take turns
    given: dict[str, Any] = {
        "g": prior,
        "nu0": pr.Gamma(4, 0.5),
        "sigma0": [HALF, pr.Gamma(2, 2)][i // 2 % 2],
    }
    if sigma == "common":
        given = {"g": prior, "sigma": list(SCALARS.values())[i // 2 % len(SCALARS)]}
    options = {"errors": errors, "random_effects": effects} | ({} if sigma == "common" else {"sigma": sigma})
    SHAPES[f"{first} errors, {second} effects, σ {sigma}"] = ("y ~ x + (1 | g)", given, options)
SLOPES = {"g": WISHART, "sigma": HALF}
SHAPES |= {
    f"{name} pairs": ("y ~ x + (x | g)", SLOPES, {"random_effects": ERRORS[name]}) for name in ERRORS
} | {
    "crossed": (
        "y ~ x + (1 | g) + (x | h)",
        {"g": HALF, "h": pr.HuangWand(1), "sigma": HALF},
        {"errors": ds.StudentT(3), "random_effects": {"g": ds.Laplace(), "h": ds.StudentT(4)}},
    ),
    "crossed by group": (
        "y ~ x + (1 | g) + (1 | h)",
        {"g": HALF, "h": HALF, "nu0": pr.Gamma(4, 0.5), "sigma0": pr.HalfT(3, 1)},
        {"errors": ds.Laplace(), "random_effects": {"h": ds.Laplace()}, "sigma": "by:g"},
    ),
}


STRUCTURES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "AR1": ("y ~ x + (1 | g)", {"g": HALF, "sigma": HALF, "phi": pr.Uniform()}, {"residual": AR1}),
    "AR1 and σ by level": (
        "y ~ x",
        {"sigma": pr.HalfT(3, 1), "phi": pr.Beta(2, 3), "ratio": pr.LogNormal(1, 0.5)},
        {"residual": AR1 * residuals.VarIdent("h")},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURES)
def test_ranks_must_be_uniform_for_residual_structures(name: str) -> None:
    formula, priors, options = STRUCTURES[name]
    values = p_values(ranks(formula, priors | {"fixed": FIXED}, 150, seed=50_000, options=options))
    print(name, values.round(4).to_dict())
    assert values.min() > 1e-3, values.to_dict()


MATRICES = {
    "inverse-Wishart": WISHART,
    "Huang–Wand": pr.HuangWand((1, 0.5)),
    "diagonal": pr.Diagonal(pr.HalfT(3, 1), pr.HalfNormal(0.5)),
}
EVERY: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    f"{prior}, {first} errors, {second} effects": (
        f"y ~ x + ({'x' if prior in MATRICES else '1'} | g)",
        {"g": (SCALARS | MATRICES)[prior], "sigma": HALF},
        {"errors": errors, "random_effects": effects},
    )
    for prior, (first, errors), (second, effects) in product(
        SCALARS | MATRICES, ERRORS.items(), ERRORS.items()
    )
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_ranks_must_be_uniform_for_every_prior_with_all_distributions(name: str) -> None:
    """Every prior of τ or Ω × errors × effects: some nine hundred p-values, the smallest near 0.001."""
    formula, priors, options = EVERY[name]
    values = p_values(ranks(formula, priors | {"fixed": FIXED}, 300, seed=40_000, options=options))
    print(name, values.round(4).to_dict())
    assert values.min() > 1e-5, values.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_ranks_must_be_uniform_whatever_the_distributions(name: str) -> None:
    """Errors, effects and σ by group in all combinations: some two hundred p-values, the smallest near 0.005."""
    formula, priors, options = SHAPES[name]
    values = p_values(ranks(formula, priors | {"fixed": FIXED}, 600, seed=30_000, options=options))
    print(name, values.round(4).to_dict())
    assert values.min() > 1e-4, values.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_ranks_must_be_uniform(name: str) -> None:
    """A chi-square test for each parameter; the smallest of about ten p-values over twenty cases is near 0.005."""
    formula, priors = CASES[name]
    values = p_values(ranks(formula, priors | {"fixed": FIXED}, 600, seed=20_000))
    assert values.min() > 1e-4, values.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"), [("Huang–Wand", 5), ("crossed slopes", 6), ("half-Cauchy for τ", 7)]
)
def test_public_calibration_must_find_uniform_ranks(name: str, seed: int) -> None:
    """Seeds differ, because one seed gives all cases the same residuals over σ."""
    formula, priors = CASES[name]
    found = mf.lmm(formula, frame()).calibration(priors | {"fixed": FIXED}, simulations=300, seed=seed)
    print(found)
    assert found.correlated < 20
    assert found.table["adjusted"].min() > 1e-3


@pytest.mark.slow
def test_ranks_must_not_be_uniform_when_the_prior_is_another_one() -> None:
    """Power of the check above: τ is half-normal with scale 1.5 in the data, with scale 1 in the model."""
    import calibration

    priors = {"fixed": FIXED, "g": HALF, "sigma": HALF}
    drawer = calibration.covariance_drawer
    try:
        calibration.covariance_drawer = lambda prior, k: drawer(pr.HalfNormal(1.5), k)
        values = p_values(ranks("y ~ x + (1 | g)", priors, 600, seed=20_000))
    finally:
        calibration.covariance_drawer = drawer
    assert values["omega|g"] < 1e-4
