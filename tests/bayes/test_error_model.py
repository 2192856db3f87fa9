"""Models other than normal with one σ: exact answers, predictions, densities, names, invalid options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gibbs_oracle import dense_z
from scipy import special, stats

import mixedfit as mf
from mixedfit.bayes import distributions as ds
from mixedfit.bayes import priors as pr
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.model.error_model import place_error_model
from mixedfit.bayes.priors.placement import place_priors
from mixedfit.bayes.sampler.arrays import sampling_problem
from mixedfit.bayes.sampler.weighted_chain import weighted_rows
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.kernels.gibbs.mixtures import level_squares
from mixedfit.kernels.gibbs.weighted_sweep import refill, residuals


def close(draws: np.ndarray, expected: float, times: float = 4.0) -> bool:
    return abs(draws.mean() - expected) < times * convergence.mcse_mean(draws)


def sample() -> pd.DataFrame:
    """Return 24 rows in groups of unequal spread, with an outlier."""
    rng = np.random.default_rng(12)
    frame = pd.DataFrame({"g": np.repeat(list("abcd"), 6), "h": np.tile(list("uvw"), 8)})
    frame["x"], frame["w"] = rng.standard_normal(24), rng.uniform(0.5, 2.0, 24)
    frame["y"] = 3 + np.repeat([0.5, 0.5, 1.0, 2.5], 6) * rng.standard_normal(24)
    frame.loc[3, "y"] += 5
    return frame


# -- exact answers -----------------------------------------------------------------------------------


def on_a_grid(log_density: Any, *axes: np.ndarray) -> list[float]:
    """Return the mean of every coordinate of a density on a grid of equal steps."""
    points = np.meshgrid(*axes, indexing="ij")
    logs = log_density(*points)
    weights = np.exp(logs - special.logsumexp(logs))
    return [float(np.sum(weights * p)) for p in points]


@pytest.mark.everyday(1)
@pytest.mark.parametrize("errors", [ds.StudentT(3), ds.Laplace(), ds.StudentT("estimate")], ids=str)
@pytest.mark.parametrize("weights", [None, "w"])
def test_location_and_scale_must_equal_integration_over_a_grid(errors: Any, weights: str | None) -> None:
    frame = sample()
    priors = {"fixed": pr.Normal(0, 10), "sigma": pr.HalfNormal(3)}
    posterior = mf.lmm("y ~ 1", frame, weights=weights).gibbs(priors, draws=10_000, seed=1, errors=errors)
    y, root = frame["y"].to_numpy(), np.ones(24) if weights is None else np.sqrt(frame["w"].to_numpy())

    def density(mu: np.ndarray, s: np.ndarray, nu: np.ndarray) -> np.ndarray:
        z = root * (y - mu[..., None]) / s[..., None]
        law = stats.laplace() if isinstance(errors, ds.Laplace) else stats.t(nu[..., None])
        value = np.sum(law.logpdf(z), axis=-1) - 24 * np.log(s) - 0.5 * (mu / 10) ** 2 - 0.5 * (s / 3) ** 2
        return np.asarray(value + stats.gamma(2, scale=10).logpdf(nu))

    df = np.exp(np.linspace(-2.5, 5, 60)) if errors == ds.StudentT("estimate") else np.array([3.0])
    axes = np.linspace(1.5, 4.5, 61), np.linspace(0.1, 4.0, 61), df
    jacobian = np.log(df) if df.size > 1 else np.zeros(1)
    mu, sigma, nu = on_a_grid(lambda *p: density(*p) + jacobian, *axes)
    assert close(posterior["(Intercept)"], mu)
    assert close(posterior["sigma"], sigma)
    if df.size > 1:
        assert close(posterior["nu"], nu)


@pytest.mark.parametrize("prior", [pr.HalfNormal(2), pr.Gamma(1.5, 0.5), pr.HalfCauchy(1)], ids=str)
def test_hierarchy_of_variances_must_equal_integration_over_a_grid(prior: Any) -> None:
    """With the mean known, σ_g² is inverse gamma given ν₀ and σ₀, and its mean a mixture of theirs."""
    frame = sample()
    priors = {"fixed": pr.Normal(3, 1e-5), "nu0": pr.Gamma(3, 0.5), "sigma0": prior}
    posterior = mf.lmm("y ~ 1", frame).gibbs(priors, draws=10_000, seed=2, sigma="by:g")
    squares = ((frame["y"] - 3) ** 2).groupby(frame["g"]).sum().to_numpy()

    def density(log_nu: np.ndarray, log_s: np.ndarray) -> np.ndarray:
        nu, s = np.exp(log_nu), np.exp(log_s)
        own = stats.gamma(3, scale=2).logpdf(nu) + log_nu + log_s
        match prior:
            case pr.Gamma():
                own = own + stats.gamma(1.5, scale=2).logpdf(s**2) + log_s
            case pr.HalfNormal():
                own = own + stats.halfnorm(scale=2).logpdf(s)
            case _:
                own = own + stats.halfcauchy().logpdf(s)
        for ss in squares:
            a, b = nu / 2, nu * s**2 / 2
            own = (
                own
                + a * np.log(b)
                - special.gammaln(a)
                + special.gammaln(a + 3)
                - (a + 3) * np.log(b + ss / 2)
            )
        return np.asarray(own)

    grid = np.meshgrid(np.linspace(-3, 4.5, 150), np.linspace(-4, 4, 150), indexing="ij")
    logs = density(*grid)
    weights, nu, s = np.exp(logs - special.logsumexp(logs)), np.exp(grid[0]), np.exp(grid[1])
    assert close(posterior["nu0"], float(np.sum(weights * nu)))
    assert close(posterior["sigma0"], float(np.sum(weights * s)))
    for g, ss in zip("abcd", squares, strict=True):
        a, b = nu / 2 + 3, (nu * s**2 + ss) / 2
        mean = np.sqrt(b) * np.exp(special.gammaln(a - 0.5) - special.gammaln(a))
        assert close(posterior[f"sigma[{g}]"], float(np.sum(weights * mean)))


@pytest.mark.parametrize("shape", [ds.StudentT(3), ds.Laplace()], ids=str)
def test_effects_must_equal_integration_when_scales_are_known(shape: Any) -> None:
    """b_j | y has density p(b_j) N(ȳ_j; μ + b_j, σ²/n) with μ, τ and σ given."""
    frame = sample()
    priors = {"fixed": pr.Normal(2, 1e-5), "g": pr.Known(0.6), "sigma": pr.Known(1.5)}
    posterior = mf.lmm("y ~ 1 + (1 | g)", frame).gibbs(priors, draws=8000, seed=3, random_effects=shape)
    law = stats.laplace(scale=0.6) if isinstance(shape, ds.Laplace) else stats.t(3, scale=0.6)
    b = np.linspace(-8, 8, 8001)
    for j, mean in enumerate(frame.groupby("g")["y"].mean()):
        p = law.pdf(b) * stats.norm(2 + b, 1.5 / np.sqrt(6)).pdf(mean)
        assert close(posterior.effects[0][:, :, j, 0], float(b @ p / p.sum()))


@pytest.mark.parametrize("shape", [ds.StudentT(3), ds.Laplace()], ids=str)
def test_pairs_of_effects_must_equal_integration_when_scales_are_known(shape: Any) -> None:
    """Two effects per level share one λ: density K₀(√q)/(2π|Ω|^½) for Laplace, with q = bᵀΩ⁻¹b; Kotz et al. (2001)."""
    frame = sample()
    priors = {"fixed": pr.Normal(2, 1e-5), "sigma": pr.Known(1.5)}
    priors |= {"sd_(Intercept)|g": pr.Known(0.9), "sd_x|g": pr.Known(0.5)}
    model = mf.lmm("y ~ 1 + (x || g)", frame)
    posterior = model.gibbs(priors, draws=8000, seed=4, random_effects=shape)
    axis = np.linspace(-7, 7, 701) + 0.003  # not on the pole
    first, second = np.meshgrid(axis, 0.6 * axis, indexing="ij")
    q = (first / 0.9) ** 2 + (second / 0.5) ** 2
    prior = np.log(special.k0(np.sqrt(q))) if isinstance(shape, ds.Laplace) else -2.5 * np.log1p(q / 3)
    for j, (_, rows) in enumerate(frame.groupby("g")):
        logs = prior.copy()
        for y, x in zip(rows["y"], rows["x"], strict=True):
            logs -= 0.5 * ((y - 2 - first - second * x) / 1.5) ** 2
        p = np.exp(logs - special.logsumexp(logs))
        assert close(posterior.effects[0][:, :, j, 0], float(np.sum(p * first)))
        assert close(posterior.effects[0][:, :, j, 1], float(np.sum(p * second)))


# -- products ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + (x | g)", "y ~ x + (1 | g) + (x | h)"])
def test_weighted_products_must_be_the_dense_ones(formula: str) -> None:
    design = mf.lmm(formula, sample(), weights="w").design
    cross = cross_products(design)
    options = {"errors": ds.Laplace(), "random_effects": ds.Laplace(), "sigma": "common"}
    shape, _ = place_error_model(design, None, data=None, **options)
    problem, order = sampling_problem(design, cross, place_priors(design, cross, None))
    rows = weighted_rows(design, cross, shape, problem, order)
    rng, levels = np.random.default_rng(1), problem.blocks.shape[0]
    precisions, lam = rng.uniform(0.2, 5.0, 24), rng.uniform(0.2, 5.0, levels)
    room = tuple(np.zeros_like(rows.rows[i]) for i in (1, 3, 6))
    refill(rows.rows, precisions, lam, problem.factors, room, problem.first, problem.gram, problem.blocks)
    root = np.sqrt(precisions * sample()["w"].to_numpy())[:, None]
    fixed = cross.fixed
    y = (design.y - design.X @ fixed.centre) / fixed.scale
    border = root * np.column_stack([design.X @ fixed.transform, y])
    parts, effects, at = [], np.zeros((levels, problem.blocks.shape[1])), 0
    for f in order:
        block = design.blocks[f]
        own = lam[at : at + block.levels]
        z = block.z @ np.linalg.inv(cross.basis[f]) / np.sqrt(own[block.codes])[:, None]
        parts.append(root * dense_z(block.codes, z, block.levels))
        effects[at : at + block.levels, : block.k] = rng.standard_normal((block.levels, block.k))
        at += block.levels
    tail = np.hstack([*parts[1:], border])
    assert np.allclose(problem.gram, tail.T @ tail)
    if parts:
        k = design.blocks[order[0]].k
        dense = np.zeros((parts[0].shape[1], tail.shape[1]))
        for j in range(design.blocks[order[0]].levels):
            here = slice(j * k, (j + 1) * k)
            assert np.allclose(problem.first[0][j], (parts[0].T @ parts[0])[here, here])
            cells = slice(problem.first[1][j], problem.first[1][j + 1])
            dense[here, problem.first[2][cells]] = problem.first[3][cells].T
            dense[here, -border.shape[1] :] = problem.first[4][j]
        assert np.allclose(dense, parts[0].T @ tail)
    coefficients = rng.standard_normal(tail.shape[1] - 1)
    rest = np.empty(24)
    residuals(rows.rows, problem.factors, effects, coefficients, rest)
    expected = border[:, -1] - border[:, :-1] @ coefficients[coefficients.size - fixed.kept.size :]
    at = 0
    for f, part in zip(order, parts, strict=True):
        block = design.blocks[f]
        scaled = np.sqrt(lam[at : at + block.levels])[:, None] * effects[at : at + block.levels, : block.k]
        expected -= part @ scaled.ravel()
        at += block.levels
    assert np.allclose(rest, expected / np.sqrt(precisions))


def test_squared_lengths_of_effects_must_be_in_units_of_their_covariance() -> None:
    factors = np.array([[0, -1, 5, 3]])
    units = np.array([[0, 0, 2, 8], [0, 2, 1, 2]])
    rng = np.random.default_rng(2)
    bases = np.array([[[2.0, 0.5, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 0.3]]])
    omega = np.array([[[1.2, 0.3, 0.0], [0.3, 0.8, 0.0], [0.0, 0.0, 0.5]]])
    effects, out = rng.standard_normal((5, 3)), np.empty(5)
    assert level_squares(0, factors, units, bases, omega, effects, out)
    b = effects @ np.linalg.inv(bases[0]).T
    assert np.allclose(out, np.einsum("ja,ab,jb->j", b, np.linalg.inv(omega[0]), b))


# -- what a posterior says ---------------------------------------------------------------------------


def test_names_and_priors_must_be_those_of_the_model() -> None:
    posterior = mf.lmm("y ~ 1 + (x | h)", sample()).gibbs(
        {"nu|h": pr.Gamma(3, 0.2), "nu0": pr.Gamma(4, 0.5)},
        draws=20,
        tune=20,
        seed=1,
        errors=ds.StudentT("estimate"),
        random_effects={"h": ds.StudentT("estimate")},
        sigma="by:g",
    )
    groups = tuple(f"sigma[{g}]" for g in "abcd")
    assert posterior.names[-8:] == (*groups, "sigma0", "nu0", "nu", "nu|h")
    assert "sigma" not in posterior.names
    assert posterior.priors[-5:] == (
        "ε ~ t_ν(0, σ²[g]), ν ~ gamma(2, 0.1)",
        "1/σ²[g] ~ gamma(ν₀/2, ν₀σ₀²/2)",
        "b[h] ~ t_ν(0, Ω), ν[h] ~ gamma(3, 0.2)",
        "ν₀ ~ gamma(4, 0.5)",
        "σ₀ ~ half-normal(1.77)",
    )
    assert 0 <= posterior.probability("sigma[d] > sigma[a] and nu > 1").value <= 1
    assert posterior.random_effects["h"].values.shape == (4, 20, 3, 2)


def test_draws_must_depend_on_the_seed_alone_when_rows_are_weighted() -> None:
    model = mf.lmm("y ~ x + (1 | h)", sample())
    options: dict[str, Any] = {"errors": ds.StudentT("estimate"), "sigma": "by:g", "draws": 50, "tune": 20}
    first, again = model.gibbs(seed=8, n_jobs=1, **options), model.gibbs(seed=8, n_jobs=4, **options)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_log_likelihood_must_be_the_density_of_the_residuals_distribution() -> None:
    frame = sample()
    model = mf.lmm("y ~ x + (1 | h)", frame, weights="w")
    for errors in (ds.StudentT("estimate"), ds.Laplace(), ds.Normal()):
        posterior = model.gibbs(draws=5, tune=5, chains=1, seed=1, errors=errors, sigma="by:g")
        codes = frame["h"].map({"u": 0, "v": 1, "w": 2}).to_numpy()
        for i in range(5):
            mean = posterior.beta[0, i] @ model.design.X.T + posterior.effects[0][0, i, codes, 0]
            sigma = np.array([posterior[f"sigma[{g}]"][0, i] for g in frame["g"]]) / np.sqrt(frame["w"])
            match errors:
                case ds.Laplace():
                    law = stats.laplace(mean, sigma)
                case ds.StudentT():
                    law = stats.t(posterior["nu"][0, i], mean, sigma)
                case _:
                    law = stats.norm(mean, sigma)
            assert np.allclose(posterior.log_likelihood()[0, i], law.logpdf(frame["y"]))


def test_new_rows_must_have_the_residuals_of_their_group_and_distribution() -> None:
    """Quantiles of y − Xβ over its scale: t₃'s; a new group's scale is the hierarchy's."""
    model = mf.lmm("y ~ 1", sample())
    priors = {"nu0": pr.Gamma(50, 10)}
    posterior = model.gibbs(priors, draws=5000, seed=1, errors=ds.StudentT(3), sigma="by:g")
    new = (
        posterior.predict({"g": ["a", "d", "new", "new"]}, seed=2).values
        - posterior["(Intercept)"][:, :, None]
    )
    for i, g in enumerate("ad"):
        z = (new[:, :, i] / posterior[f"sigma[{g}]"]).ravel()
        assert stats.kstest(z, stats.t(3).cdf).pvalue > 1e-3
    rng = np.random.default_rng(3)
    nu0 = posterior["nu0"].ravel()
    scale = 1 / np.sqrt(rng.gamma(nu0 / 2, 2 / nu0))
    z = scale * rng.standard_t(3, nu0.size)
    assert stats.ks_2samp((new[:, :, 2] / posterior["sigma0"]).ravel(), z).pvalue > 1e-3
    sizes = np.log(np.abs(new[:, :, 2:])).reshape(-1, 2)
    assert np.corrcoef(sizes.T)[0, 1] > 0.1  # rows of one new group share its σ
    assert np.all(
        posterior.predict({"g": ["a"]}, kind="mean", seed=1).values[:, :, 0] == posterior["(Intercept)"]
    )


def test_new_levels_must_have_effects_of_their_distribution() -> None:
    model = mf.lmm("y ~ 1 + (1 | g)", sample())
    for shape, law in ((ds.StudentT(3), stats.t(3)), (ds.Laplace(), stats.laplace())):
        posterior = model.gibbs(draws=2000, seed=1, random_effects=shape)
        row = posterior.predict({"g": ["new"]}, kind="mean", seed=2).values[:, :, 0]
        z = (row - posterior["(Intercept)"]) / posterior["sd_(Intercept)|g"]
        assert stats.kstest(z.ravel(), law.cdf).pvalue > 1e-3


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
def test_fit_beside_such_a_posterior_must_say_that_it_is_normal() -> None:
    model = mf.lmm("y ~ 1 + (1 | h)", sample())
    posterior = model.gibbs(draws=100, seed=1, errors=ds.Laplace(), sigma="by:g")
    side = mf.compare(model.fit(), posterior, methods=["wald"])
    assert np.isnan(side.table.loc["sigma[a]", "estimate"])
    assert any("normal with one σ" in note and "Laplace(0, σ²[g])" in note for note in side.notes)


def test_groups_may_be_any_columns() -> None:
    frame = sample().assign(k=np.repeat([f"k{i}" for i in range(12)], 2), n=np.repeat([1, 2], 12))
    model = mf.lmm("y ~ 1 + (1 | g:h)", frame)
    assert len(model.gibbs(draws=20, tune=20, seed=1, sigma="by:k").names) == 2 + 12 + 2
    assert "sigma[a:u]" in model.gibbs(draws=20, tune=20, seed=1, sigma="by:g:h")
    assert "sigma[2]" in model.gibbs(draws=20, tune=20, seed=1, sigma="by:n")
    with_gaps = frame.assign(y=frame["y"].mask(frame.index == 5), k=frame["k"].where(frame.index != 5))
    with pytest.warns(mf.MissingRowsWarning):
        short = mf.lmm("y ~ 1 + (1 | h)", with_gaps)
    assert short.gibbs(draws=20, tune=20, seed=1, sigma="by:k").effects[0].shape[2] == 3


def test_numbers_with_many_values_must_be_warned_about_unless_they_are_groups_or_categories() -> None:
    frame = sample().assign(days=np.repeat(np.arange(8), 3))
    frame["day"] = frame["days"].astype("category")
    options: dict[str, Any] = {"draws": 10, "tune": 5, "seed": 1}
    with pytest.warns(mf.GroupingWarning, match="'days' holds numbers, and each of its 8 values gets a σ"):
        mf.lmm("y ~ 1 + (1 | h)", frame).gibbs(sigma="by:days", **options)
    mf.lmm("y ~ 1 + (1 | h)", frame).gibbs(sigma="by:day", **options)
    mf.lmm("y ~ 1 + (1 | days)", frame).gibbs(sigma="by:days", **options)


def test_rows_of_weight_zero_must_not_count() -> None:
    frame = sample()
    heavy = pd.concat([frame.assign(w=1.0), frame.head(8).assign(y=1e3, w=0.0)], ignore_index=True)
    options: dict[str, Any] = {"errors": ds.Laplace(), "sigma": "by:g", "draws": 200, "seed": 1}
    priors = {"fixed": pr.Normal(0, 10), "sigma0": pr.HalfNormal(2), "h": pr.HalfNormal(1)}
    short = mf.lmm("y ~ 1 + (1 | h)", frame, weights=np.ones(24)).gibbs(priors, **options)
    whole = mf.lmm("y ~ 1 + (1 | h)", heavy, weights="w").gibbs(priors, **options)
    assert np.allclose(short["sigma[a]"], whole["sigma[a]"], rtol=1e-6)


# -- what is refused ---------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "option": ({"sigma": "g"}, "expected 'common' or 'by:g'"),
    "column": ({"sigma": "by:gg"}, "no column 'gg'.*Did you mean 'g'"),
    "one level": ({"sigma": "by:one"}, "one level"),
    "response": ({"sigma": "by:y"}, "'y' is the response"),
    "one row a level": ({"sigma": "by:row"}, "24 levels in 24 rows, 24 of them with one row.*StudentT"),
    "errors": ({"errors": "t"}, "expected a value of mf.distributions"),
    "errors of a prior": ({"errors": pr.Normal(0, 1)}, "expected a value of mf.distributions"),
    "factor": ({"random_effects": {"gg": ds.Laplace()}}, "not a grouping factor.*Did you mean 'g'"),
    "effects": ({"random_effects": {"g": 4}}, "expected a value of mf.distributions"),
    "sigma beside groups": ({"priors": {"sigma": pr.HalfNormal(1)}, "sigma": "by:g"}, "give 'sigma0'"),
    "sigma0": ({"priors": {"sigma0": pr.Flat()}, "sigma": "by:g"}, "standard deviation"),
    "nu0": ({"priors": {"nu0": pr.HalfNormal(1)}, "sigma": "by:g"}, "Gamma"),
    "nu without t": (
        {"priors": {"nu": pr.Gamma(2, 0.1)}},
        "without degrees of freedom",
    ),
    "nu0 without groups": (
        {"priors": {"nu0": pr.Gamma(2, 0.1)}},
        "there is one σ",
    ),
    "gamma for τ": ({"priors": {"g": pr.Gamma(2, 0.1)}}, "standard deviation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_option_must_raise_with_the_reason(name: str) -> None:
    options, message = REFUSED[name]
    model = mf.lmm("y ~ x + (1 | g)", sample().assign(one="a", row=np.arange(24)))
    with pytest.raises(mf.ModelError, match=message):
        model.gibbs(draws=10, tune=0, **options)


@pytest.mark.parametrize("df", [0, -2.0, np.nan, "many", None, True])
def test_degrees_of_freedom_must_be_positive(df: Any) -> None:
    with pytest.raises(mf.ModelError, match="df is"):
        ds.StudentT(df)


def test_missing_group_must_be_refused_where_a_residual_needs_it() -> None:
    frame = sample()
    frame["k"] = frame["g"].mask(frame.index == 2)
    model = mf.lmm("y ~ 1", frame)
    with pytest.raises(mf.DataError, match="'k' is missing in 1 of the rows"):
        model.gibbs(sigma="by:k")
    posterior = mf.lmm("y ~ 1", sample()).gibbs(sigma="by:g", draws=10, tune=5, seed=1)
    with pytest.raises(mf.DataError, match="missing in 1 row, whose"):
        posterior.predict({"g": ["a", None]}, seed=1)
    with pytest.raises(mf.DataError, match="no column 'g'"):
        posterior.predict({"x": [1.0]}, seed=1)


# -- VarIdent ------------------------------------------------------------------------------------------------------


def arms() -> pd.DataFrame:
    """Return 3 × 80 rows with SDs 1, 2 and 0.5."""
    rng = np.random.default_rng(8)
    arm = np.repeat(["a", "b", "c"], 80)
    sd = np.repeat([1.0, 2.0, 0.5], 80)
    return pd.DataFrame({"arm": arm, "x": rng.normal(size=240), "y": 3 + sd * rng.normal(size=240)})


def test_var_ident_must_be_sampled_as_sigma_by_level() -> None:
    model = mf.lmm("y ~ x", arms(), residual=mf.residuals.VarIdent("arm"))
    posterior = model.gibbs(draws=2000, seed=1)
    same = mf.lmm("y ~ x", arms()).gibbs(draws=2000, seed=1, sigma="by:arm")
    np.testing.assert_array_equal(posterior["sigma[b]"], same["sigma[b]"])
    fit = model.fit()
    ratio = np.median(posterior["sigma[b]"] / posterior["sigma[a]"])
    expected, se = (
        fit.residual_params.estimate["ratio(b)"],
        np.sqrt(2 / 160) * 2,
    )  # SE of a ratio of SDs of 80 rows each
    assert abs(ratio - expected) < 0.3 * se
    np.testing.assert_allclose(posterior["x"].std(), fit.bse["x"], rtol=0.15)
    assert model.prior_predictive(draws=5, seed=1).replicate(5, seed=2).shape == (5, 240)


def test_structures_that_are_not_sampled_must_be_refused_in_words() -> None:
    frame = arms().assign(t=np.tile(np.arange(80), 3))
    series = mf.lmm("y ~ x", frame, residual=mf.residuals.AR1("t", "arm") * mf.residuals.VarExp("x"))
    with pytest.raises(mf.ModelError, match="and VarIdent, an SD for each level of a column"):
        series.gibbs()
    with pytest.raises(mf.ModelError, match="prior predictive draws are not available yet"):
        series.prior_predictive()
    with pytest.raises(mf.ModelError, match="an SD for each level already"):
        mf.lmm("y ~ x", frame, residual=mf.residuals.VarIdent("arm")).gibbs(sigma="by:arm")
