"""AR1, CAR1 and their products with VarIdent in the sampler: exact posteriors, dense formulas, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from residual_oracle import residual_covariance
from scipy import stats

import mixedfit as mf
from mixedfit.bayes.draws.structured_residuals import coloured, new_residuals

pr = mf.priors
AR1, CAR1, VarIdent = mf.residuals.AR1, mf.residuals.CAR1, mf.residuals.VarIdent
HALF = pr.HalfNormal(1)


def series(times: Any = (0, 1, 2, 4, 5, 8)) -> pd.DataFrame:
    """Return two series with gaps, rows in random order, and a covariate."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat(["a", "b"], len(times)), "t": [*times, *times]})
    frame["arm"] = np.where(frame["t"] % 2 == 0, "A", "B")
    frame["x"], frame["w"] = rng.standard_normal(len(frame)), rng.uniform(0.5, 2.0, len(frame))
    frame["y"] = 0.5 * frame["x"] + np.repeat([0.6, -0.6], len(times)) + rng.standard_normal(len(frame))
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)


def grid_moments(
    y: Any, V: np.ndarray, log_prior: np.ndarray, *axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return means and SDs of parameters on a grid, given Var(y) at its points, shape (…, n, n), and the log prior."""
    root = np.linalg.cholesky(V)
    white = np.linalg.solve(root, np.broadcast_to(y[:, None], (*V.shape[:-1], 1)))[..., 0]
    logs = log_prior - 0.5 * (white**2).sum(-1) - np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
    p = np.exp(logs - logs.max())
    p /= p.sum()
    means, sds = [], []
    for i, axis in enumerate(axes):
        own = p.sum(axis=1 - i)
        means.append(own @ axis)
        sds.append(np.sqrt(own @ axis**2 - (own @ axis) ** 2))
    return np.array(means), np.array(sds)


def check_moments(posterior: Any, names: list[str], means: np.ndarray, sds: np.ndarray) -> None:
    """Compare posterior moments with exact ones, within four Monte-Carlo errors."""
    table = posterior.summary().loc[names]
    assert np.all(np.abs(table["mean"] - means) < 4 * table["mcse"]), (table, means)
    np.testing.assert_allclose(table["sd"], sds, rtol=5 / np.sqrt(2 * table["ess_bulk"].min()))


def test_posterior_of_phi_and_sigma_must_be_that_of_quadrature() -> None:
    """A random intercept of known SD and σ with a half-normal prior; a sampler without log|R| would have φ near 1."""
    frame = series()
    priors = {"fixed": pr.Normal(0, 1), "g": pr.Known(0.7), "sigma": HALF}
    model = mf.lmm("y ~ x + (1 | g)", frame, residual=AR1("t", "g"))
    posterior = model.gibbs(priors, draws=800, tune=200, chains=2, seed=1)
    t, X = frame["t"].to_numpy(float), np.column_stack([np.ones(len(frame)), frame["x"]])
    same, lags = frame["g"].to_numpy()[:, None] == frame["g"].to_numpy(), np.abs(t[:, None] - t)
    phi, sigma = np.linspace(-0.9875, 0.9875, 80), np.linspace(0.02, 3.5, 70)
    C = np.where(same, phi[:, None, None] ** lags, 0.0)
    V = X @ X.T + 0.49 * same + sigma[:, None, None] ** 2 * C[:, None]
    means, sds = grid_moments(frame["y"].to_numpy(), V, -0.5 * sigma**2, phi, sigma)
    check_moments(posterior, ["phi", "sigma"], means, sds)


def test_posterior_of_phi_and_ratio_must_be_that_of_quadrature() -> None:
    """CAR1 times VarIdent with weights and priors of the user's, σ known; the prior of x would shift both."""
    frame = series((0.0, 0.3, 1.5, 2.0, 4.1, 4.2))
    frame["arm"] = np.where(frame.index % 2 == 0, "A", "B")
    priors = {
        "fixed": pr.Normal(0, 1),
        "sigma": pr.Known(0.9),
        "phi": pr.Beta(2, 2),
        "ratio": pr.LogNormal(1, 0.5),
    }
    model = mf.lmm("y ~ x", frame, residual=CAR1("t", "g") * VarIdent("arm"), weights="w")
    posterior = model.gibbs(priors, draws=800, tune=200, chains=2, seed=1)
    X = np.column_stack([np.ones(len(frame)), frame["x"]])
    t, w = frame["t"].to_numpy(float), frame["w"].to_numpy()
    same, lags = frame["g"].to_numpy()[:, None] == frame["g"].to_numpy(), np.abs(t[:, None] - t)
    phi, ratio = np.linspace(0.0125, 0.9875, 60), np.linspace(0.05, 4.5, 90)
    s = np.where(frame["arm"].to_numpy() == "B", ratio[:, None], 1.0) / np.sqrt(w)
    C = np.where(same, phi[:, None, None] ** lags, 0.0)
    V = X @ X.T + 0.81 * C[:, None] * (s[:, :, None] * s[:, None])
    log_prior = np.log(phi * (1 - phi))[:, None] + stats.lognorm(0.5).logpdf(ratio)
    means, sds = grid_moments(frame["y"].to_numpy(), V, log_prior, phi, ratio)
    check_moments(posterior, ["phi", "ratio(B)"], means, sds)
    assert posterior.priors[-2:] == (
        "φ ~ beta(2, 2)",
        "ratio ~ log-normal(median 1, SD of the logarithm 0.5)",
    )


def short(structure: Any, formula: str = "y ~ x + (1 | g)", **options: Any) -> tuple[Any, Any]:
    """Return the model and a posterior of a few draws."""
    model = mf.lmm(formula, series(), residual=structure, **options)
    return model, model.gibbs(draws=4, tune=10, chains=2, seed=1)


def dense(model: Any, posterior: Any, chain: int, draw: int, frame: pd.DataFrame) -> np.ndarray:
    """Return σ²R of the rows of a frame at one draw."""
    p = {name: posterior[name][chain, draw] for name in posterior.structure.names}
    return posterior.sigma[chain, draw] ** 2 * residual_covariance(
        model.design.residual.structure, frame, "g", p
    )


class Given:
    """A generator whose normal numbers are given."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def standard_normal(self, shape: Any) -> np.ndarray:
        return np.broadcast_to(self.values, shape).copy()


@pytest.mark.parametrize("structure", [AR1("t", "g"), AR1("t", "g") * VarIdent("arm"), CAR1("t", "g")])
def test_residuals_of_new_rows_must_have_the_dense_conditional_distribution(structure: Any) -> None:
    frame = series()
    model, posterior = short(structure)
    new = pd.DataFrame({"t": [9, 3, 6, 2, 7], "g": ["a", "a", "b", "new", "b"], "arm": list("ABABA")})
    scale, index = np.array([1.0, 0.5, 1.0, 2.0, 1.0]), pd.RangeIndex(5)

    def drawn(noise: Any) -> np.ndarray:
        return new_residuals(posterior, new, scale, index, Given(noise))  # type: ignore[arg-type]

    centre = drawn(np.zeros(5))
    columns = np.stack([drawn(own) - centre for own in np.eye(5)], axis=-1)
    rest = model.design.y - posterior.beta @ model.design.X.T
    rest -= posterior.effects[0][:, :, model.design.blocks[0].codes, 0]
    both = pd.concat([frame, new], ignore_index=True)
    for c, d in [(0, 0), (1, 3)]:
        V = dense(model, posterior, c, d, both)
        n, s = len(frame), scale[:, None]
        solved = np.linalg.solve(V[:n, :n], V[:n, n:])
        np.testing.assert_allclose(centre[c, d], scale * (solved.T @ rest[c, d]), rtol=1e-8, atol=1e-10)
        expected = s * (V[n:, n:] - V[n:, :n] @ solved) * scale
        np.testing.assert_allclose(columns[c, d] @ columns[c, d].T, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("structure", [AR1("t", "g") * VarIdent("arm"), CAR1("t", "g")])
def test_log_likelihood_must_be_that_of_each_row_given_all_others(structure: Any) -> None:
    frame = series()
    model, posterior = short(structure, weights="w")
    found, root = posterior.log_likelihood(), np.sqrt(frame["w"].to_numpy())
    mean = posterior.beta @ model.design.X.T + posterior.effects[0][:, :, model.design.blocks[0].codes, 0]
    for c, d in [(0, 0), (1, 3)]:
        V = dense(model, posterior, c, d, frame) / np.outer(root, root)
        for i in (0, 5, 11):
            others = np.delete(np.arange(12), i)
            solved = np.linalg.solve(V[np.ix_(others, others)], V[others, i])
            centre = mean[c, d, i] + solved @ (model.design.y - mean[c, d])[others]
            law = stats.norm(centre, np.sqrt(V[i, i] - V[i, others] @ solved))
            assert found[c, d, i] == pytest.approx(law.logpdf(model.design.y[i]), rel=1e-9)


def test_replicates_must_have_the_covariance_of_the_structure() -> None:
    model, posterior = short(AR1("t", "g") * VarIdent("arm"), weights="w")
    columns = np.stack([coloured(posterior, np.broadcast_to(own, (2, 4, 12))) for own in np.eye(12)], axis=-1)
    root = np.sqrt(series()["w"].to_numpy())
    expected = dense(model, posterior, 1, 2, series()) / np.outer(root, root)
    np.testing.assert_allclose(columns[1, 2] @ columns[1, 2].T, expected, rtol=1e-9, atol=1e-12)


def test_posterior_must_answer_as_others_do(tmp_path: Path) -> None:
    model, _ = short(AR1("t", "g"))
    posterior = model.gibbs(draws=60, tune=50, chains=2, seed=1)
    assert posterior.names[-2:] == ("sigma", "phi")
    assert 0 <= posterior.probability("phi > 0.2").value <= 1
    assert np.isfinite(posterior.loo().elpd)
    assert posterior.replicate(5, groups="new", seed=1).shape == (5, 12)
    assert posterior.check("sd", draws=20, seed=1).table.shape[0] == 1
    rows = {"x": [0.0, 0.0], "t": [10, 3], "g": ["a", "zz"]}
    assert np.isfinite(posterior.predict(rows, seed=1).values).all()
    posterior.save(tmp_path / "p.npz")
    again = mf.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(again["phi"], posterior["phi"])
    np.testing.assert_array_equal(again.predict(rows, seed=1).values, posterior.predict(rows, seed=1).values)
    np.testing.assert_allclose(again.log_likelihood(), posterior.log_likelihood(), rtol=1e-12)
    same = model.gibbs(draws=60, tune=50, chains=2, seed=1, n_jobs=1)
    np.testing.assert_array_equal(same["phi"], posterior["phi"])


@pytest.mark.filterwarnings("ignore::mixedfit.ConvergenceWarning", "ignore::mixedfit.SamplingWarning")
def test_comparison_with_the_fit_must_have_the_parameters_of_the_structure() -> None:
    """The ages are two years apart, so that the sign of φ is not determined: its default prior is above 0."""
    data = mf.load_dataset("Orthodont")
    model = mf.lmm("distance ~ age * Sex", data, residual=AR1("age", "Subject"))
    posterior = model.gibbs(draws=150, tune=100, chains=2, seed=1)
    side = mf.compare(model.fit(), posterior, methods=["wald"])
    row = side.table.loc["phi"]
    assert posterior.priors[-1] == "φ ~ U(0, 1)"
    assert row["post_mean"] == pytest.approx(row["estimate"], abs=0.05)
    other = mf.lmm("distance ~ age * Sex", data, residual=mf.residuals.CompoundSymmetry("Subject")).fit()
    with pytest.raises(mf.ModelError, match="posterior of another residual model"):
        mf.compare(other, posterior)
    with pytest.raises(mf.ModelError, match="fit of another residual model"):
        mf.compare(mf.lmm("distance ~ age * Sex", data).fit(), posterior)


def test_prior_draws_must_be_those_of_the_priors() -> None:
    model, _ = short(AR1("t", "g") * VarIdent("arm"))
    prior = model.prior_predictive({"phi": pr.Beta(4, 2)}, draws=2000, seed=1)
    assert stats.kstest(0.5 * (prior["phi"].ravel() + 1), stats.beta(4, 2).cdf).pvalue > 1e-3
    assert stats.kstest(np.log(prior["ratio(B)"].ravel()), "norm").pvalue > 1e-3
    assert prior.replicate(5, seed=2).shape == (5, 12)


def test_what_is_not_sampled_must_be_refused_in_words() -> None:
    frame = series()
    model = mf.lmm("y ~ x + (1 | g)", frame, residual=AR1("t", "g"))
    posterior = model.gibbs(draws=60, tune=10, chains=2, seed=1)
    cases = {
        "one σ": lambda: model.gibbs(errors=mf.distributions.StudentT(4)),
        "expected Uniform": lambda: model.gibbs({"phi": pr.HalfNormal(1)}),
        "expected LogNormal": lambda: mf.lmm("y ~ x", frame, residual=AR1("t", "g") * VarIdent("arm")).gibbs(
            {"ratio": pr.Uniform(0, 1)}
        ),
        "range of a correlation": lambda: pr.Uniform(0, 2),
        "AR1, CAR1 and": lambda: mf.lmm("y ~ x", frame, residual=mf.residuals.ARMA(1, 1, "t", "g")).gibbs(),
        r"loo\(by='g'\) is not": lambda: posterior.loo(by="g"),
        "waic": lambda: posterior.waic(),
        "has the time of a row": lambda: posterior.predict({"x": [0.0], "t": [2], "g": ["a"]}),
        "at the same time": lambda: posterior.predict({"x": [0.0, 0.0], "t": [9, 9], "g": ["a", "a"]}),
        "with a residual structure": lambda: mf.lmm("y ~ x", frame).gibbs({"phi": pr.Uniform()}),
        "which has one σ": lambda: model.gibbs(sigma="by:arm"),
    }
    for words, call in cases.items():
        with pytest.raises(mf.MixedfitError, match=words):
            call()
