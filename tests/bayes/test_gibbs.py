"""The Gibbs sampler against dense algebra, integration over a grid, and the lecture note's Stan output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gibbs_oracle import GridPosterior, dense_z, grid_posterior, normal_posterior

import mixedfit as mf
from mixedfit.bayes import priors as pr
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.sampler import chain as chain_module
from mixedfit.bayes.sampler import run_length
from mixedfit.bayes.sampler.arrays import dense_products
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.kernels.gibbs.sweep import run_sweeps


def seedlings() -> mf.LinearMixedModel:
    return mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))


STAN = {"fixed": pr.Flat(), "Tray": pr.HalfCauchy(1), "sigma": pr.HalfCauchy(1)}


@pytest.fixture(scope="module")
def note() -> mf.Posterior:
    return seedlings().gibbs(STAN, draws=5000, seed=3)


def half_cauchy(scale: float):
    return lambda x: -np.log1p((x / scale) ** 2)


def one_way(model: mf.LinearMixedModel, log_tau, log_sigma, tau, sigma, **prior) -> GridPosterior:
    design = model.design
    block = design.blocks[0]
    Z = dense_z(block.codes, block.z, block.levels)
    return grid_posterior(design.y, design.X, Z, log_tau, log_sigma, tau=tau, sigma=sigma, **prior)


def close(draws: np.ndarray, expected: float, error: float = 0.0, times: float = 4.0) -> bool:
    """Whether a mean agrees with a number of its own Monte-Carlo error, by both errors."""
    return abs(draws.mean() - expected) < times * np.hypot(convergence.mcse_mean(draws), error)


# -- exact answers -----------------------------------------------------------------------------------


def test_posterior_must_equal_integration_over_a_grid_for_the_seedlings(note: mf.Posterior) -> None:
    exact = one_way(
        seedlings(),
        half_cauchy(1.0),
        half_cauchy(1.0),
        np.linspace(0.05, 40, 800),
        np.linspace(1.1, 3.5, 80),
    )
    tau, sigma, delta = note["sd_(Intercept)|Tray"], note["sigma"], note["GenotypeB"]
    assert close(tau, exact.mean("tau"))
    assert close(sigma, exact.mean("sigma"))
    assert close(delta, exact.contrast_mean(np.array([0.0, 1.0])))
    above = note.probability("GenotypeB > 0")
    assert abs(above.value - exact.contrast_above(np.array([0.0, 1.0]))) < 4 * above.mcse
    for p in (0.025, 0.5, 0.975):
        for name, draws in (("tau", tau), ("sigma", sigma)):
            error = convergence.mcse_quantile(draws, p)
            assert abs(np.quantile(draws, p) - exact.quantile(name, p)) < 4 * error + 0.005


PRIORS = {
    "inverse-gamma": (pr.InverseGamma(0.5, 1000.0), lambda t: -2.0 * np.log(t) - 1000.0 / t**2),
    "half-normal": (pr.HalfNormal(30), lambda t: -0.5 * (t / 30) ** 2),
    "exponential": (pr.Exponential(30), lambda t: -t / 30),
    "log-normal": (
        pr.LogNormal(30, 0.8),
        lambda t: -0.5 * (np.log(t / 30) / 0.8) ** 2 - np.log(t),
    ),
    "uniform": (pr.UniformSD(100), lambda t: np.where(t <= 100, 0.0, -np.inf)),
    "half-t": (pr.HalfT(3, 30), lambda t: -2.0 * np.log1p((t / 30) ** 2 / 3)),
}


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", PRIORS)
def test_posterior_must_equal_integration_for_every_prior_of_a_variance(name: str) -> None:
    prior, log_density = PRIORS[name]
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    priors = {"fixed": pr.Normal(1500, 50), "Batch": prior, "sigma": pr.Jeffreys()}
    posterior = model.gibbs(priors, draws=5000, seed=5)
    top = 100.0 if name == "uniform" else 400.0
    exact = one_way(
        model,
        log_density,
        lambda s: -np.log(s),
        np.linspace(0.25, top - 0.25, int(top / 0.5)),
        np.linspace(25, 110, 90),
        precision=np.array([[1 / 2500.0]]),
        mean=np.array([1500.0]),
    )
    assert close(posterior["sd_(Intercept)|Batch"], exact.mean("tau"))
    assert close(posterior["sigma"], exact.mean("sigma"))
    assert close(posterior["(Intercept)"], exact.contrast_mean(np.ones(1)))


def test_chain_must_move_where_the_variance_is_near_zero() -> None:
    """Dyestuff2's REML estimate is 0: draws of b given τ alone would keep τ near 0 for long."""
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2"))
    posterior = model.gibbs(
        {"fixed": pr.Flat(), "Batch": pr.HalfCauchy(1), "sigma": pr.Jeffreys()}, draws=4000, seed=2
    )
    tau = posterior["sd_(Intercept)|Batch"]
    exact = one_way(
        model, half_cauchy(1.0), lambda s: -np.log(s), np.linspace(0.005, 12, 1200), np.linspace(2, 8, 60)
    )
    assert close(tau, exact.mean("tau"))
    assert abs(np.quantile(tau, 0.1) - exact.quantile("tau", 0.1)) < 4 * convergence.mcse_quantile(tau, 0.1)
    assert convergence.ess_bulk(tau) > 0.1 * tau.size


FORMULAS = {
    "one factor": "y ~ x + (x | g)",
    "crossed": "y ~ x + (1 | g) + (x || h)",
    "two terms": "y ~ x + (1 | g) + (0 + x | g)",
}


def made(weighted: bool) -> tuple[pd.DataFrame, dict[str, object]]:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {"x": rng.standard_normal(60), "g": np.repeat(np.arange(12), 5), "h": np.tile(list("abcde"), 12)}
    )
    frame["y"] = 30 + 2 * frame["x"] + rng.standard_normal(12)[frame["g"]] + rng.standard_normal(60)
    options = {}
    if weighted:
        frame["w"], frame["o"] = rng.uniform(0.5, 2.0, 60), 5.0 * rng.standard_normal(60)
        options = {"weights": "w", "offset": "o"}
    return frame.assign(g=frame["g"].astype(str)), options


@pytest.mark.everyday(3)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
def test_effects_must_be_normal_with_the_dense_moments_when_variances_are_known(
    formula: str, weighted: bool
) -> None:
    frame, options = made(weighted)
    model = mf.lmm(formula, frame, **options)
    design = model.design
    priors = {b.name: pr.Diagonal(pr.Known(0.8)) if b.k > 1 else pr.Known(0.8) for b in design.blocks}
    priors |= {"sigma": pr.Known(1.2), "fixed": pr.Normal([20.0, 0.0], covariance=[[9.0, 1.0], [1.0, 4.0]])}
    posterior = model.gibbs(priors, draws=4000, tune=5, seed=1)
    Z = np.hstack([dense_z(b.codes, b.z, b.levels) for b in design.blocks])
    noise = 1.44 / (np.ones(60) if design.weights is None else design.weights)
    precision = np.linalg.inv([[9.0, 1.0], [1.0, 4.0]])
    mean, covariance = normal_posterior(
        design.y, design.X, Z, 0.64 * np.eye(Z.shape[1]), noise, precision, np.array([20.0, 0.0])
    )
    drawn = [posterior.beta.reshape(-1, 2)]
    drawn += [e.reshape(-1, e.shape[2] * e.shape[3]) for e in posterior.effects]
    values = np.hstack(drawn)
    sd = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(values.mean(axis=0) - mean) < 4.5 * sd / np.sqrt(len(values)))
    scaled = (values - mean) / sd
    correlation = covariance / np.outer(sd, sd)
    assert np.abs(scaled.T @ scaled / len(values) - correlation).max() < 0.07


def test_group_mean_must_have_the_printed_full_conditional_of_the_schools() -> None:
    """μ_j | … ~ N((n_j φ ȳ_j + φ_μ μ)/(n_j φ + φ_μ), 1/(n_j φ + φ_μ)) with μ, φ = 1/σ² and φ_μ = 1/τ² given."""
    data = mf.load_dataset("school_mathscore")
    model = mf.lmm("mathscore ~ 1 + (1 | school)", data)
    posterior = model.gibbs(
        {"fixed": pr.Normal(48, 1e-6), "school": pr.Known(5), "sigma": pr.Known(9)},
        draws=2000,
        tune=5,
        seed=4,
    )
    means = 48 + posterior.effects[0][:, :, :, 0].reshape(-1, 100)
    sizes = data.groupby("school", observed=True)["mathscore"].agg(["size", "mean"])
    sizes = sizes.loc[model.design.blocks[0].grouping.levels]
    precision = sizes["size"].to_numpy() / 81 + 1 / 25
    expected = (sizes["size"].to_numpy() / 81 * sizes["mean"].to_numpy() + 48 / 25) / precision
    error = 1 / np.sqrt(precision * len(means))
    assert np.all(np.abs(means.mean(axis=0) - expected) < 4.5 * error)
    assert np.allclose(means.var(axis=0) * precision, 1.0, atol=0.1)


@pytest.mark.slow
def test_tail_must_have_the_same_products_when_it_is_kept_sparse() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"a": np.arange(2700) // 3, "b": np.arange(2700) // 6, "y": rng.standard_normal(2700)}
    )
    design = mf.lmm("y ~ 1 + (1 | a) + (1 | b)", frame).design
    cross = cross_products(design)
    assert cross.sparse is not None
    Z = dense_z(design.blocks[1].codes, design.blocks[1].z / cross.basis[1], 450)
    gram = dense_products(cross)
    assert np.allclose(gram[:450, :450], Z.T @ Z)
    y = (design.y - cross.fixed.centre[0] * design.X[:, 0]) / cross.fixed.scale
    assert np.allclose(gram[-1, :450], Z.T @ y)
    assert np.isclose(gram[-1, -1], y @ y)


# -- the lecture note --------------------------------------------------------------------------------

TRAYS = {1: (-4.89, 0.04), 2: (2.65, 0.04), 4: (3.61, 0.05), 5: (1.26, 0.05), 6: (-1.57, 0.05)} | {
    7: (3.16, 0.05),
    8: (-2.52, 0.05),
}


def test_means_must_agree_with_the_notes_stan_output(note: mf.Posterior) -> None:
    """Niemi (2017), seedlings: printed means with their Monte-Carlo errors (0.005 more for rounding)."""
    printed = {"(Intercept)": (15.24, 0.045), "(Intercept) + GenotypeB": (11.64, 0.055)}
    printed |= {"GenotypeB": (-3.60, 0.075), "sigma": (1.90, 0.009), "sd_(Intercept)|Tray": (3.56, 0.035)}
    for name, (value, error) in printed.items():
        assert close(note.derive(name).values[:, :, 0], value, error, 3.0), name
    trays = note.random_effects["Tray"]
    labels = {str(level): level for level in trays.levels}
    for tray, (value, error) in TRAYS.items():
        assert close(trays[labels[str(tray)]], value, error + 0.005, 3.0), tray


def test_quantiles_must_agree_with_the_notes_stan_output(note: mf.Posterior) -> None:
    printed = {
        ("sigma", 0.25): (1.76, 0.01),
        ("sigma", 0.5): (1.88, 0.01),
        ("sigma", 0.75): (2.01, 0.01),
        ("sd_(Intercept)|Tray", 0.025): (2.00, 0.04),
        ("sd_(Intercept)|Tray", 0.5): (3.32, 0.04),
        ("sd_(Intercept)|Tray", 0.975): (6.59, 0.2),
        ("GenotypeB", 0.025): (-9.411, 0.274),
        ("GenotypeB", 0.5): (-3.597, 0.072),
        ("GenotypeB", 0.975): (1.675, 0.257),
    }
    for (name, p), (value, error) in printed.items():
        own = convergence.mcse_quantile(note[name], p)
        assert abs(np.quantile(note[name], p) - value) < 3 * np.hypot(own, error), (name, p)


def test_probabilities_must_agree_with_the_note(note: mf.Posterior) -> None:
    above = note.probability("GenotypeB > 0")
    assert abs(above.value - 0.07875) < 3 * np.hypot(above.mcse, 0.00756)
    rows = note.predict({"Genotype": ["A", "B"], "Tray": ["new", "new"]}, seed=1)
    difference = rows[1] - rows[0]
    pair = difference.probability("> 0")
    assert abs(pair.value - 0.16275) < 3 * np.hypot(pair.mcse, 0.0071)
    for p, value, error in [(0.025, -11.731, 0.256), (0.5, -3.478, 0.0925), (0.975, 3.718, 0.160)]:
        drawn = difference.values[:, :, 0]
        own = convergence.mcse_quantile(drawn, p)
        assert abs(np.quantile(drawn, p) - value) < 3 * np.hypot(own, error)


def test_genotypes_must_be_pulled_together_when_their_own_mean_is_learnt(note: mf.Posterior) -> None:
    """The note's first extension, γ_g ~ N(μ, σ_γ²): the genotypes are a random factor, their difference shrinks."""
    model = mf.lmm("SeedlingWeight ~ 1 + (1 | Genotype) + (1 | Tray)", mf.load_dataset("seedling_weight"))
    posterior = model.gibbs(STAN | {"Genotype": pr.HalfCauchy(1)}, draws=4000, seed=2)
    genotypes = posterior.random_effects["Genotype"]
    difference = genotypes["B"] - genotypes["A"]
    flat = note["GenotypeB"]
    assert flat.mean() < difference.mean() - 5 * convergence.mcse_mean(difference)
    assert difference.mean() < 0
    assert difference.std() < flat.std()


# -- how it runs -------------------------------------------------------------------------------------


def test_draws_must_depend_on_the_seed_alone() -> None:
    model = seedlings()
    first = model.gibbs(draws=50, tune=20, seed=8, n_jobs=1)
    again = model.gibbs(draws=50, tune=20, seed=8, n_jobs=4)
    other = model.gibbs(draws=50, tune=20, seed=9)
    assert np.array_equal(first.sigma, again.sigma)
    assert np.array_equal(first.effects[0], again.effects[0])
    assert not np.array_equal(first.sigma, other.sigma)
    assert np.unique(first.sigma[:, 0]).size == 4


def test_thinned_draws_must_be_every_nth_of_the_chain() -> None:
    model = seedlings()
    every = model.gibbs(draws=60, tune=20, seed=8)
    third = model.gibbs(draws=20, tune=20, thin=3, seed=8)
    assert np.array_equal(every.sigma[:, 2::3], third.sigma)


@pytest.mark.parametrize("jobs", [None, 1])
def test_interrupt_must_keep_draws_of_every_chain(monkeypatch: pytest.MonkeyPatch, jobs: int | None) -> None:
    """Chains advance in turn: one after another, an interrupt on one core would leave some without draws."""
    looks = iter(range(1_000_000))

    def interrupted(*_: object) -> None:
        if next(looks) > 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_length.Progress, "count", interrupted)
    with pytest.warns(mf.SamplingWarning, match="stopped after"):
        posterior = seedlings().gibbs(
            draws=5_000_000, tune=0, chains=3, n_jobs=jobs, seed=1, keep_effects=False
        )
    assert posterior.chains == 3
    assert 4 <= posterior.draws < 5_000_000
    assert np.all(posterior.sigma > 0)


@pytest.mark.parametrize(
    "prior", [pr.UniformSD(20), pr.UniformSD(10), pr.HalfNormal(0.5), pr.Exponential(0.5)]
)
def test_chains_must_mix_under_a_prior_of_sigma_far_from_the_data(prior: pr.VariancePrior) -> None:
    """With a uniform prior whose bound is below the likelihood, the posterior of σ is concentrated near the bound."""
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    posterior = model.gibbs({"sigma": prior}, draws=500, tune=300, seed=1)
    assert posterior.summary()["rhat"].max() < 1.02
    if isinstance(prior, pr.UniformSD):
        assert 0.98 * prior.upper < posterior.sigma.mean() < posterior.sigma.max() <= prior.upper


def test_parameter_that_did_not_move_must_be_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "_run", lambda *arguments: _frozen(*arguments))
    with pytest.warns(mf.SamplingWarning, match="sigma did not move"):
        posterior = seedlings().gibbs(draws=20, tune=5, seed=1, chains=2)
    assert any("sigma did not move" in text for text in posterior.warnings)


def _frozen(*arguments: Any) -> int:
    """A sampler whose σ² stays where it is."""
    out, places = arguments[-4], arguments[-3]
    ran = run_sweeps(*arguments)
    out[1][places[places >= 0]] = 1.0
    return int(ran)


def test_known_parameters_must_not_be_warned_about() -> None:
    priors = {"sigma": pr.Known(2), "Tray": pr.Known(3)}
    posterior = seedlings().gibbs(priors, draws=100, tune=100, seed=1)
    assert posterior.held == {"sigma", "sd_(Intercept)|Tray"}
    assert not any("move" in text for text in posterior.warnings)


@pytest.mark.parametrize("sigma", ["common", "by:period"])
def test_posterior_must_not_depend_on_the_unit_of_the_weights(shared_data: Path, sigma: str) -> None:
    """σ is the SD at weight 1, and with weights 10,000 times as large 100 times as large; so is its default prior."""
    frame = pd.read_csv(shared_data / "cbpp.csv")
    frame["period"] = "p" + frame["period"].astype(str)
    frame["p"], frame["large"] = frame["incidence"] / frame["size"], 1e4 * frame["size"]
    one, other = (
        mf.lmm("p ~ period + (1 | herd)", frame, weights=name).gibbs(draws=50, tune=50, seed=1, sigma=sigma)
        for name in ("size", "large")
    )
    for name in one:
        times = 100 if name.startswith("sigma") else 1
        np.testing.assert_allclose(other[name], times * one[name], rtol=1e-6, err_msg=name)


def test_all_cores_must_be_asked_for_by_minus_one_and_other_numbers_refused() -> None:
    options = {"draws": 10, "tune": 5, "seed": 1}
    assert np.array_equal(
        seedlings().gibbs(n_jobs=-1, **options).sigma, seedlings().gibbs(n_jobs=1, **options).sigma
    )
    for wrong in (0, -2, 1.5, True):
        with pytest.raises(
            mf.ModelError, match=r"n_jobs is .*; expected a whole number of at least 1, or -1"
        ):
            seedlings().gibbs(n_jobs=wrong, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"chains": 1}, "1 chain of 60 draws after 5 of tuning"),
        ({"chains": 2, "thin": 3}, "2 chains of 60 draws, 1 of every 3 sweeps, after 5 of tuning"),
    ],
)
def test_printed_posterior_must_count_its_chains_and_draws(options: dict[str, int], text: str) -> None:
    assert text in str(seedlings().gibbs(draws=60, tune=5, seed=1, **options))


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
def test_level_for_every_row_must_be_sampled_under_proper_priors_that_are_given() -> None:
    """The data determine only τ² + σ²; integration over a grid shows how the priors split it."""
    y = np.random.default_rng(1).normal(0, 2, 12)
    model = mf.lmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": np.arange(12), "y": y}))
    priors = {"fixed": pr.Flat(), "g": pr.HalfNormal(1)}
    for more in ({}, {"sigma": pr.Jeffreys()}, {"sigma": pr.UniformSD()}):
        with pytest.raises(mf.ModelError, match="as many levels as there are rows"):
            model.gibbs(priors | more)
    with pytest.warns(mf.PriorWarning, match="the priors alone how it is split"):
        posterior = model.gibbs(priors | {"sigma": pr.HalfNormal(0.5)}, draws=5000, seed=1)
    grids = np.linspace(0.005, 6, 240), np.linspace(0.02, 3, 150)
    exact = one_way(model, lambda t: -(t**2) / 2, lambda s: -2 * s**2, *grids)
    assert close(posterior["sd_(Intercept)|g"], exact.mean("tau"))
    assert close(posterior.sigma, exact.mean("sigma"))


def test_few_effective_draws_must_warn_with_the_number_of_draws_needed() -> None:
    posterior = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).gibbs(
        draws=25, tune=100, seed=1
    )
    text = posterior.warnings[-1]
    table = posterior.summary()[["ess_bulk", "ess_tail"]].min(axis=1)
    needed = convergence.draws_needed(25, table.min(), 400)
    assert needed > 25 * 400 / table.min()
    assert f"draws={needed}" in text
    assert ("Diagonal" in text) == ("|" in table.idxmin())


def test_prior_must_stay_when_rows_with_large_weights_are_left_out() -> None:
    frame = mf.load_dataset("seedling_weight")
    frame["w"] = np.where(frame["Tray"] == frame["Tray"].iloc[0], 100.0, 1.0)
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", frame, weights="w")
    posterior = model.gibbs(draws=20, tune=5, seed=1)
    assert posterior.without is not None
    assert posterior.without(np.flatnonzero(frame["w"] > 1), 1).priors == posterior.priors


def test_data_must_not_change_and_effects_may_be_left_out() -> None:
    frame = mf.load_dataset("seedling_weight")
    before = frame.copy()
    posterior = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", frame).gibbs(
        draws=20, tune=5, seed=1, keep_effects=False
    )
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(mf.ModelError, match="keep_effects"):
        _ = posterior.random_effects


def test_linear_model_must_be_sampled_without_groups() -> None:
    """Flat prior and Jeffreys: β is t with n − p degrees of freedom about least squares."""
    frame, _ = made(False)
    posterior = mf.lmm("y ~ x", frame).gibbs({"fixed": pr.Flat(), "sigma": pr.Jeffreys()}, draws=4000, seed=1)
    X = np.column_stack([np.ones(60), frame["x"]])
    beta, rss = np.linalg.lstsq(X, frame["y"], rcond=None)[:2]
    assert close(posterior["x"], beta[1])
    variance = posterior.derive("sigma^2").values[:, :, 0]
    assert close(variance, float(rss[0]) / (58 - 2))
