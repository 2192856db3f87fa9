"""Refits to another response against the dense density of that response."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from oracles import DenseModel
from problems import computing

import mixedfit as mf


@pytest.mark.parametrize("way", ["compiled", "dense", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_refit_must_maximise_the_density_when_a_fixed_factor_goes_by_codes(way: str, weighted: bool) -> None:
    """The rival forgets the weights in the products of the factor's levels with the new response."""
    rng = np.random.default_rng(4)
    codes, group = rng.permutation(np.repeat(np.arange(6), 10)), np.repeat(np.arange(12), 5)
    frame = pd.DataFrame({"x": rng.normal(size=60), "f": codes.astype(str), "g": group})
    frame["w"] = rng.uniform(0.2, 5.0, 60) if weighted else 1.0
    mean = frame["x"] + codes + 1.5 * rng.normal(size=12)[group]
    first, second = (mean + rng.normal(size=60) / np.sqrt(frame["w"]) for _ in range(2))
    with computing(way):
        model = mf.lmm("y ~ x + f + (1 | g)", frame.assign(y=first), weights="w" if weighted else None)
        fit = model.fit(reml=False).refit(second.to_numpy())
    assert model.design.many
    X = np.column_stack([np.ones(60), frame["x"], codes[:, None] == np.arange(1, 6)])
    dense = DenseModel(second.to_numpy(), X, [(group, np.ones((60, 1)))], frame["w"].to_numpy(), exact=False)
    solution = dense.at(fit._fit.lam, reml=False)
    np.testing.assert_allclose(fit.params, solution.beta, rtol=1e-7, atol=1e-9)
    assert fit.sigma == pytest.approx(solution.sigma, rel=1e-8)
    assert fit.deviance == pytest.approx(solution.criterion, abs=1e-7)
    near = [dense.criterion([lam * factor for lam in fit._fit.lam], reml=False) for factor in (0.99, 1.01)]
    assert min(near) > fit.deviance
