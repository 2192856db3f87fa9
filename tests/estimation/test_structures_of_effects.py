"""Fits with covariance structures of random effects: criterion, estimates, special cases, and what follows a fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime, minimize

import mixedfit as mf
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.estimation.fit import Fit
from mixedfit.likelihood.criterion import Criterion

matplotlib.use("Agg")


def visits(groups: int = 30, times: int = 5, per: int = 2, seed: int = 0, rho: float = 0.7) -> pd.DataFrame:
    """Return rows with an autoregressive effect of time by group, `per` rows a time, some missing."""
    rng = np.random.default_rng(seed)
    lags = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    effects = rng.multivariate_normal(np.zeros(times), 4.0 * rho**lags, size=groups)
    frame = pd.DataFrame(
        [(g, t) for g in range(groups) for t in range(times) for _ in range(per)], columns=["g", "t"]
    )
    frame["x"] = rng.normal(size=len(frame))
    frame["y"] = 3.0 + 0.5 * frame.x + effects[frame.g, frame.t] + rng.normal(size=len(frame))
    return frame.drop(index=rng.choice(len(frame), len(frame) // 8, replace=False)).reset_index(drop=True)


def places(seed: int = 1, number: int = 12, groups: int = 8) -> pd.DataFrame:
    """Return rows at points of a plane with effects correlated by distance."""
    rng = np.random.default_rng(seed)
    points = np.round(rng.uniform(0, 4, size=(number, 2)), 2)
    away = np.linalg.norm(points[:, None] - points, axis=2)
    effects = rng.multivariate_normal(np.zeros(number), 4.0 * np.exp(-away / 1.5), size=groups)
    frame = pd.DataFrame([(g, i) for g in range(groups) for i in range(number)] * 2, columns=["g", "i"])
    frame["u"], frame["v"] = points[frame.i, 0], points[frame.i, 1]
    frame["y"] = effects[frame.g, frame.i] + rng.normal(size=len(frame))
    return frame


VISITS, PLACES = visits(), places()

FORMULAS = {
    "homdiag": ("y ~ x + homdiag(0 + factor(t) | g)", VISITS),
    "cs": ("y ~ x + cs(0 + factor(t) | g)", VISITS),
    "homcs": ("y ~ x + homcs(0 + factor(t) | g)", VISITS),
    "cs slope": ("y ~ x + cs(1 + x | g)", VISITS),
    "ar1": ("y ~ x + ar1(0 + t | g)", VISITS),
    "hetar1": ("y ~ x + hetar1(0 + t | g)", VISITS),
    "ar1 with intercept": ("y ~ x + (1 | g) + ar1(0 + t | g)", VISITS),
    "ar1 crossed": ("y ~ 1 + ar1(0 + t | g) + (1 | x3)", VISITS.assign(x3=np.arange(len(VISITS)) % 7)),
    "toep": ("y ~ x + toep(0 + t | g)", VISITS),
    "homtoep": ("y ~ x + homtoep(0 + t | g)", VISITS),
    "ou": ("y ~ x + ou(0 + t | g)", VISITS),
    "exp": ("y ~ 1 + exp(0 + u + v | g)", PLACES),
    "gau": ("y ~ 1 + gau(0 + u + v | g)", PLACES),
    "mat": ("y ~ 1 + mat(0 + u + v | g)", PLACES),
}


def fitted(formula: str, data: pd.DataFrame, **options: Any) -> mf.MixedResults:
    """Return a fit without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, data).fit(**options)


FITS: dict[str, mf.MixedResults] = {}


@pytest.fixture(params=list(FORMULAS))
def fit(request: pytest.FixtureRequest) -> mf.MixedResults:
    """A fit with every structure in turn, made once."""
    if request.param not in FITS:
        FITS[request.param] = fitted(*FORMULAS[request.param])
    return FITS[request.param]


def dense(fit: Fit, omegas: Any, sigma: float, reml: bool) -> float:
    """Return the textbook's criterion −2 log N(y; Xβ̂, V) with the n × n matrix V written out."""
    design = fit.design
    V = sigma**2 * np.eye(design.n)
    for block, omega in zip(design.blocks, omegas, strict=True):
        V += (block.codes[:, None] == block.codes) * (block.z @ omega @ block.z.T)
    X, y = design.X, design.y
    W = np.linalg.solve(V, np.column_stack([X, y]))
    A = X.T @ W[:, :-1]
    beta = np.linalg.solve(A, X.T @ W[:, -1])
    r = y - X @ beta
    value = np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r) + design.n * np.log(2 * np.pi)
    if reml:
        value += np.linalg.slogdet(A)[1] - X.shape[1] * np.log(2 * np.pi)
    return float(value)


@pytest.mark.everyday(5)
@pytest.mark.parametrize("reml", [True, False])
def test_criterion_must_equal_the_density_written_out(fit: mf.MixedResults, reml: bool) -> None:
    own = fit._fit
    found = own.reml_criterion if reml else own.deviance
    sigma = own.criterion(reml)(own.theta).sigma
    omegas = [sigma**2 * lam @ lam.T for lam in own.lam]
    assert found == pytest.approx(dense(own, omegas, sigma, reml), abs=1e-8 * abs(found))


@pytest.mark.everyday(11)
@pytest.mark.parametrize("canonical", [True, False])
def test_gradient_and_curvature_must_equal_finite_differences(fit: mf.MixedResults, canonical: bool) -> None:
    """Away from the optimum, in both bases."""
    own = fit._fit
    criterion = Criterion(
        own.cross, tuple(b.structure for b in own.design.blocks), True, None, canonical=canonical
    )
    theta = own.theta + 0.1 * np.cos(np.arange(own.theta.size))
    point = criterion(theta)
    step = 1e-6
    gradients = [
        (criterion(theta + step * e).value - criterion(theta - step * e).value) / (2 * step)
        for e in np.eye(theta.size)
    ]
    np.testing.assert_allclose(point.gradient, gradients, rtol=1e-4, atol=1e-4)
    if point.exact_curvature is not None:
        change = np.array(
            [
                (criterion(theta + step * e).gradient - criterion(theta - step * e).gradient) / (2 * step)
                for e in np.eye(theta.size)
            ]
        )
        np.testing.assert_allclose(point.exact_curvature, change, rtol=1e-4, atol=1e-4)


@pytest.mark.everyday(3)
def test_estimates_must_be_a_minimum_of_the_density_written_out(fit: mf.MixedResults) -> None:
    """A derivative-free search of the dense criterion from the estimates finds nothing lower."""
    own = fit._fit
    assert fit.converged
    structures = [b.structure for b in own.design.blocks]

    def value(x: Any) -> float:
        sigma, theta = np.exp(x[-1]), x[:-1]
        lams = [s.factor(theta[h]) for s, h in zip(structures, own.design.theta_slices, strict=True)]
        return dense(own, [sigma**2 * lam @ lam.T for lam in lams], sigma, True)

    at = np.append(own.theta, np.log(own.sigma))
    options = {"maxfev": 60, "initial_simplex": np.vstack([at, at + 0.02 * np.eye(at.size)])}
    found = minimize(value, at, method="Nelder-Mead", options=options)
    assert found.fun > own.evaluation.value - 1e-7 * abs(own.evaluation.value)
    np.testing.assert_allclose(approx_fprime(at, value, 1e-7), 0.0, atol=2e-3)


@pytest.mark.everyday(5)
def test_fit_must_not_change_when_rows_and_groups_are_permuted(fit: mf.MixedResults) -> None:
    name = next(n for n, f in FITS.items() if f is fit)
    formula, data = FORMULAS[name]
    rng = np.random.default_rng(5)
    names = rng.permutation(data.g.nunique())
    shuffled = data.assign(g=names[data.g]).sample(frac=1.0, random_state=5)
    other = fitted(formula, shuffled)
    assert other.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-6)
    np.testing.assert_allclose(other.parameters(), fit.parameters(), rtol=1e-4)


SAME = {
    "us as without a name": ("y ~ x + us(1 + x | g)", "y ~ x + (1 + x | g)"),
    "diag as two bars": ("y ~ x + diag(1 + x | g)", "y ~ x + (x || g)"),
    "cs of two effects is unstructured": ("y ~ x + cs(1 + x | g)", "y ~ x + (1 + x | g)"),
    "hom option of cs": ("y ~ x + cs(0 + factor(t) | g, hom=TRUE)", "y ~ x + homcs(0 + factor(t) | g)"),
    "hom option of ar1": ("y ~ x + ar1(0 + t | g, hom=False)", "y ~ x + hetar1(0 + t | g)"),
    "hom option of diag": ("y ~ x + diag(1 + x | g, hom=TRUE)", "y ~ x + homdiag(1 + x | g)"),
    "hom option of toep": ("y ~ x + toep(0 + t | g, hom=T)", "y ~ x + homtoep(0 + t | g)"),
    "homcs is an intercept and a crossing": (
        "y ~ x + homcs(0 + factor(t) | g)",
        "y ~ x + (1 | g) + (1 | g:ft)",
    ),
    "ou at integer times is ar1": ("y ~ x + ou(0 + t | g)", "y ~ x + ar1(0 + t | g)"),
    "exp on a line is ou": ("y ~ x + exp(0 + t | g)", "y ~ x + ou(0 + t | g)"),
    "numFactor": ("y ~ x + exp(0 + numFactor(t) | g)", "y ~ x + exp(0 + t | g)"),
    "factor at equal steps": ("y ~ x + ar1(0 + factor(t) | g)", "y ~ x + ar1(0 + t | g)"),
    "labels at equal steps": ("y ~ x + ar1(0 + ft | g)", "y ~ x + ar1(t | g)"),
    "times in other units": ("y ~ x + ar1(0 + weeks | g)", "y ~ x + ar1(t - 1 | g)"),
    "dates are days": ("y ~ x + ar1(0 + date | g)", "y ~ x + ar1(0 + t | g)"),
    "toep of two times is us": ("y ~ x + toep(0 + early | g)", "y ~ x + (0 + early_f | g)"),
}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("case", list(SAME))
def test_two_spellings_of_a_model_must_have_the_same_fit(case: str) -> None:
    data = VISITS.assign(
        ft="t" + VISITS.t.astype(str), weeks=7.0 * VISITS.t + 100.0, early=1 * (VISITS.t < 2)
    )
    data = data.assign(early_f="e" + data.early.astype(str))
    data = data.assign(date=pd.Timestamp("2024-02-27") + pd.to_timedelta(data.t, unit="D"))
    one, other = (fitted(formula, data) for formula in SAME[case])
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-6)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-5)
    np.testing.assert_allclose(one.df, other.df, rtol=1e-3)
    assert one.sigma == pytest.approx(other.sigma, rel=1e-5)


def test_lags_must_count_missing_times_when_times_are_numbers() -> None:
    """Without the rows at time 2, times 1 and 3 are two steps apart; by levels they are neighbours."""
    data = VISITS[VISITS.t != 2]
    full = fitted("y ~ x + ar1(0 + t | g)", data)._fit
    rho = full.lam[0] @ full.lam[0].T
    steps = np.array([0, 1, 3, 4])
    assert rho[1, 2] / rho[0, 0] == pytest.approx((rho[0, 1] / rho[0, 0]) ** 2)
    assert full.design.blocks[0].structure.parts[0].steps == tuple(steps)  # type: ignore[attr-defined]
    by_level = fitted("y ~ x + ar1(0 + factor(t) | g)", data)._fit
    assert abs(by_level.evaluation.value - full.evaluation.value) > 1e-3


def test_parameters_must_be_recovered_from_many_groups() -> None:
    fit = fitted("y ~ x + ar1(0 + t | g)", visits(groups=600, seed=4))
    intervals = fit.conf_int(0.999, delta=True, names="long")
    for name, truth in {"sd_ar1|g": 2.0, "cor_ar1|g": 0.7, "sigma": 1.0, "x": 0.5}.items():
        assert intervals.loc[name, "lower"] < truth < intervals.loc[name, "upper"]


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("z ~ 1 + ar1(0 + t | g)", "no variance"),
        ("c ~ 1 + ar1(0 + t | g)", "the same at all times"),
        ("c ~ 1 + ou(0 + t | g)", "range is infinite"),
        ("c ~ 1 + homcs(0 + factor(t) | g)", "correlation 1"),
        ("c ~ 1 + hetar1(0 + t | g)", ""),
    ],
)
def test_verdict_must_say_what_is_on_the_boundary(formula: str, words: str) -> None:
    """z: white noise with negative intraclass correlation; c: effects that are constant over time."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=len(VISITS))
    centred = noise - pd.Series(noise).groupby([VISITS.g, VISITS.t]).transform("mean").to_numpy()
    exact = 3.0 * rng.normal(size=30)[VISITS.g]
    fit = fitted(formula, VISITS.assign(z=centred, c=exact + centred))
    assert fit.converged
    if words:
        assert fit.convergence.status == "boundary"
        assert words in fit.convergence.message


def test_verdict_must_be_a_residual_variance_of_zero_when_the_structure_leaves_none() -> None:
    """A surface without noise: the effects at the points are the rows themselves."""
    data = PLACES.drop_duplicates(["g", "i"])
    smooth = data.assign(y=np.hypot(data.u, data.v) * (1.0 + data.g))
    fit = fitted("y ~ 1 + exp(0 + u + v | g)", smooth)
    assert fit.convergence.status == "boundary"
    assert "residual variance is 0" in fit.convergence.message


def test_verdict_must_say_that_the_range_runs_away() -> None:
    """A range 1,000 times the largest distance, and one within it."""
    structure: Any = fitted(*FORMULAS["exp"])._fit.design.blocks[0].structure.parts[0]
    far = structure.theta_of(np.ones(structure.k), structure.parameters(4000.0))
    near = structure.theta_of(np.ones(structure.k), structure.parameters(2.0))
    assert "far beyond the largest distance" in structure.boundary_words(far)
    assert not structure.boundary_words(near)


@pytest.fixture(scope="module")
def twins() -> tuple[mf.MixedResults, mf.MixedResults]:
    """The same model with an unstructured covariance and with a compound symmetry of two effects."""
    return fitted("y ~ x + (1 + x | g)", VISITS), fitted("y ~ x + cs(1 + x | g)", VISITS)


NEW = pd.DataFrame({"x": [0.5, -1.0], "g": [3, 999], "y": [0.0, 0.0]})

QUESTIONS: dict[str, Callable[[mf.MixedResults], Any]] = {
    "summary": lambda f: f.summary().coefficients,
    "kenward-roger": lambda f: f.summary(ddf="kenward-roger").coefficients,
    "anova": lambda f: (
        f.anova(ddf="kenward-roger").to_frame() if hasattr(f.anova(), "to_frame") else f.pvalues
    ),
    "emtrends": lambda f: f.emmeans("x").to_frame() if hasattr(f.emmeans("x"), "to_frame") else f.bse,
    "random effects": lambda f: f.random_effects["g"],
    "their covariances": lambda f: f.random_effects_cov["g"],
    "Ω": lambda f: f.cov_re["g"],
    "group coefficients": lambda f: f.group_coefs["g"],
    "blup covariances": lambda f: f.blup_cov("g"),
    "blup differences": lambda f: f.blup_differences("g"),
    "prediction": lambda f: f.predict(NEW, new_levels="marginal", interval="prediction"),
    "satterthwaite prediction": lambda f: f.predict(interval="confidence", ddf="satterthwaite"),
    "prediction covariance": lambda f: f.prediction_cov(NEW, new_levels="population"),
    "simulation": lambda f: f.simulate(3, seed=1),
    "new simulation": lambda f: f.simulate(3, seed=1, newdata=NEW, new_levels="marginal"),
    "simulate_lmm": lambda f: mf.simulate_lmm(f.formula, VISITS.drop(columns="y"), f, n=2, seed=1),
    "refit": lambda f: f.refit(VISITS.y + VISITS.x**2).bse,
    "glance": lambda f: f.glance(),
    "augment": lambda f: f.augment(),
    "influence": lambda f: f.diagnostics.influence("g").params,
    "influence by refits": lambda f: f.diagnostics.influence("g", refit=True).params,
    "leverages": lambda f: f.diagnostics.leverages,
    "scaled residuals": lambda f: f.diagnostics.scaled_residuals,
    "variance shares": lambda f: f.diagnostics.variance_shares,
    "only some effects": lambda f: f.predict(re_form="~ (1 | g)"),
}


@pytest.mark.everyday(8)
@pytest.mark.parametrize("question", list(QUESTIONS))
def test_answers_must_equal_those_of_the_unstructured_twin(
    twins: tuple[mf.MixedResults, mf.MixedResults], question: str
) -> None:
    """The rival, a structure read as a diagonal matrix, differs in the first digits."""
    one, other = (numbers(value(QUESTIONS[question], twin)) for twin in twins)
    assert one.size > 0
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def value(question: Callable[[mf.MixedResults], Any], fit: mf.MixedResults) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return question(fit)


def numbers(answer: Any) -> Any:
    if isinstance(answer, pd.DataFrame):
        return answer.select_dtypes("number").to_numpy(float).ravel()
    return np.asarray(answer, dtype=float).ravel()


ORDER = [0, 2, 1, 3, 4, 5]
"""Positions of the twin's parameters (SD, correlation, SD, σ, fixed) among SD, SD, correlation, σ, fixed."""


def test_parameters_must_equal_those_of_the_unstructured_twin(twins: Any) -> None:
    one, other = twins
    np.testing.assert_allclose(other.parameters().iloc[ORDER], one.parameters(), rtol=1e-5)


def test_kenward_roger_must_equal_that_of_the_linear_parametrisation() -> None:
    """V is a linear function of the variances of an intercept and a crossing, the same model.

    The rival, W of the parameters of the search with second derivatives left in, differs.
    """
    data = VISITS.assign(ft="t" + VISITS.t.astype(str))
    one = fitted("y ~ x + homcs(0 + ft | g)", data).summary(ddf="kenward-roger")
    other = fitted("y ~ x + (1 | g) + (1 | g:ft)", data).summary(ddf="kenward-roger")
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-4)
    assert "first order" in str(one)
    assert "first order" not in str(other)


def test_dates_must_be_read_in_new_rows() -> None:
    data = VISITS.assign(date=pd.Timestamp("2024-02-27") + pd.to_timedelta(VISITS.t, unit="D"))
    fit = fitted("y ~ x + ar1(0 + date | g)", data)
    np.testing.assert_allclose(fit.predict(data), fit.fittedvalues, rtol=1e-10)


def test_rows_at_times_not_in_the_fit_must_be_refused() -> None:
    fit = fitted(*FORMULAS["ar1"])
    with pytest.raises(mf.DataError, match="did not have"):
        fit.predict(pd.DataFrame({"x": [0.0], "g": [1], "t": [17]}))


@pytest.mark.parametrize("scale", ["sd", "variance"])
def test_covariance_of_parameters_must_equal_that_of_the_twin(twins: Any, scale: Any) -> None:
    one, other = (twin.vcov_varpar(scale=scale) for twin in twins)
    keep = [0, 1, 3] if scale == "variance" else [0, 1, 2, 3]  # a covariance is not a correlation
    own = [[0, 2, 3], [0, 1, 3]] if scale == "variance" else [keep, [0, 2, 1, 3]]
    np.testing.assert_allclose(
        other.to_numpy()[np.ix_(own[1], own[1])], one.to_numpy()[np.ix_(own[0], own[0])], rtol=1e-4, atol=1e-6
    )


def test_wald_intervals_must_equal_those_of_the_twin(twins: Any) -> None:
    one, other = (twin.conf_int(delta=True) for twin in twins)
    np.testing.assert_allclose(other.iloc[ORDER], one, rtol=1e-4)


def test_profile_must_equal_that_of_the_twin(twins: Any) -> None:
    one, other = (twin.conf_int(method="profile") for twin in twins)
    np.testing.assert_allclose(other.iloc[ORDER], one, rtol=1e-4, atol=1e-6)


def test_profile_must_not_depend_on_how_the_correlation_is_measured() -> None:
    """ou at integer times: κ = −log ρ, so that the limits change places."""
    series = fitted(*FORMULAS["ar1"]).conf_int(method="profile", names="long")
    decay = fitted(*FORMULAS["ou"]).conf_int(method="profile", names="long")
    np.testing.assert_allclose(
        np.exp(-decay.loc["decay_ou|g"].to_numpy()[::-1]), series.loc["cor_ar1|g"], rtol=1e-4
    )
    np.testing.assert_allclose(decay.loc["sd_ou|g"], series.loc["sd_ar1|g"], rtol=1e-4)


@pytest.mark.parametrize("name", ["cor_ar1|g", "sd_ar1|g"])
def test_profile_limit_must_be_where_the_density_written_out_has_fallen_enough(name: str) -> None:
    """At the limit the deviance, minimised over the others without derivatives, is χ²₁'s quantile above its minimum."""
    fit = fitted(*FORMULAS["ar1"], reml=False)
    own = fit._fit
    limit = float(fit.conf_int(method="profile", names="long").loc[name, "upper"])
    times = VISITS.t.to_numpy()
    lags = np.abs(times[:, None] - times)
    same = own.design.blocks[0].codes[:, None] == own.design.blocks[0].codes

    def deviance(x: Any) -> float:
        sd, rho = (limit, np.tanh(x[0])) if name == "sd_ar1|g" else (np.exp(x[0]), limit)
        V = same * sd**2 * rho**lags + np.exp(2 * x[1]) * np.eye(own.design.n)
        X, y = own.design.X, own.design.y
        W = np.linalg.solve(V, np.column_stack([X, y]))
        r = y - X @ np.linalg.solve(X.T @ W[:, :-1], X.T @ W[:, -1])
        return float(np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r) + own.design.n * np.log(2 * np.pi))

    found = minimize(deviance, [0.6, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9})
    assert found.fun - fit.deviance == pytest.approx(3.841459, abs=1e-3)


def test_profile_must_include_the_boundary_when_the_estimate_lies_on_it() -> None:
    fit = fitted(*FORMULAS["ar1 with intercept"])
    assert fit.parameters().iloc[0] == 0.0
    lower, upper = fit.conf_int(method="profile").loc[".sig01"]
    assert lower == 0.0
    assert 0.3 < upper < 3.0


def test_bootstrap_must_equal_that_of_the_twin(twins: Any) -> None:
    one, other = (twin.bootstrap(12, seed=3).replicates for twin in twins)
    np.testing.assert_allclose(other.iloc[:, ORDER], one, rtol=2e-3, atol=2e-3)


def test_removal_of_the_term_must_remove_the_whole_structure(twins: Any) -> None:
    table = twins[1].ranova()
    alone = fitted("y ~ x", VISITS)
    text = str(table)
    assert "cs(1 + x) | g" in text
    assert f"{alone.llf:.2f}" in text


@pytest.mark.everyday(5)
def test_saved_fit_must_have_the_same_parameters(fit: mf.MixedResults, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.npz")
    again = mf.load(tmp_path / "fit.npz")
    np.testing.assert_array_equal(again.parameters(), fit.parameters())
    np.testing.assert_allclose(again.cov_re["g"], fit.cov_re["g"], rtol=1e-12)
    assert str(again.summary()) == str(fit.summary())


def test_every_table_must_be_made(fit: mf.MixedResults) -> None:
    assert len(fit.parameters()) == len(fit.conf_int(delta=True))
    assert "NaN" not in str(fit.summary())
    assert len(fit.tidy()) >= len(fit.params)
    assert "g" in str(mf.compare_models(fit))
    finite = np.isfinite(np.diag(fit.vcov_varpar()))
    assert finite.all() == (fit.convergence.status == "converged")


def test_predictions_must_equal_the_best_linear_ones_written_out(fit: mf.MixedResults) -> None:
    """Henderson's formula ΩZᵀV⁻¹(y − Xβ̂) with the n × n matrix."""
    own = fit._fit
    design = own.design
    V = own.sigma**2 * np.eye(design.n)
    for block, omega in zip(design.blocks, own.omega, strict=True):
        V += (block.codes[:, None] == block.codes) * (block.z @ omega @ block.z.T)
    weighted = np.linalg.solve(V, design.y - design.X @ own.beta)
    for block, omega, modes in zip(design.blocks, own.omega, own.modes, strict=True):
        expected = np.zeros_like(modes)
        np.add.at(expected, block.codes, block.z * weighted[:, None])
        np.testing.assert_allclose(modes, expected @ omega, rtol=1e-6, atol=1e-8)


def test_degrees_of_freedom_must_equal_satterthwaites_formula_written_out() -> None:
    """df = 2v²/gᵀAg with derivatives by differences in (log s, ρ, log σ)."""
    fit = fitted("y ~ x + ar1(0 + t | g)", VISITS)
    own = fit._fit
    design, block = own.design, own.design.blocks[0]
    same, lags = (
        block.codes[:, None] == block.codes,
        np.abs(np.subtract.outer(VISITS.t.to_numpy(), VISITS.t.to_numpy())),
    )

    def parts(p: Any) -> tuple[float, Any]:
        V = same * np.exp(2 * p[0]) * p[1] ** lags + np.exp(2 * p[2]) * np.eye(design.n)
        X, Vi = design.X, np.linalg.inv(V)
        A = X.T @ Vi @ X
        r = design.y - X @ np.linalg.solve(A, X.T @ Vi @ design.y)
        criterion = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + r @ Vi @ r
        return float(criterion), np.diag(np.linalg.inv(A))

    p = fit.parameters()
    at = np.array([np.log(p["sd_ar1|g"]), p["cor_ar1|g"], np.log(p["sigma"])])
    h, e = 1e-4, np.eye(3)
    hessian = np.array(
        [
            [
                (parts(at + h * a + h * b)[0] - parts(at + h * a - h * b)[0] - parts(at - h * a + h * b)[0]
                 + parts(at - h * a - h * b)[0]) / (4 * h * h)
                for b in e
            ]
            for a in e
        ]
    )  # fmt: skip
    slopes = np.array([(parts(at + h * a)[1] - parts(at - h * a)[1]) / (2 * h) for a in e])
    spread = np.einsum("ai,ab,bi->i", slopes, 2.0 * np.linalg.inv(hessian), slopes)
    np.testing.assert_allclose(fit.df, 2.0 * parts(at)[1] ** 2 / spread, rtol=1e-3)


REFUSED: dict[str, Callable[[mf.MixedResults], Any]] = {
    "cholesky scale": lambda f: f.vcov_varpar(scale="cholesky"),
    "observed information": lambda f: f.summary(ddf=mf.KenwardRoger(information="observed")),
    "Kenward-Roger predictions": lambda f: f.predict(interval="confidence", ddf="kenward-roger"),
    "posterior": lambda f: mf.lmm(f.formula, VISITS).gibbs(draws=10, tune=5),
    "prior predictions": lambda f: mf.lmm(f.formula, VISITS).prior_predictive(),
}


@pytest.mark.parametrize("question", list(REFUSED))
def test_what_does_not_work_must_be_refused_by_name(question: str) -> None:
    fit = fitted(*FORMULAS["ar1"])
    with pytest.raises(mf.ModelError, match=r"covariance structure ar1\("):
        REFUSED[question](fit)


WRONG = {
    "one time a group": ("y ~ ar1(0 + t | row)", "is not identified: no level of 'row' has rows at two"),
    "constant time": ("y ~ ar1(0 + one | g)", "has one level"),
    "off the grid": ("y ~ ar1(0 + root | g)", "times on a grid"),
    "unequal steps": ("y ~ toep(0 + odd | g)", "equally spaced times"),
    "labels without numbers": ("y ~ ou(0 + word | g)", "has the label 'a'"),
    "two columns of times": ("y ~ ar1(0 + t + x | g)", "one column of times"),
    "intercept inside": ("y ~ ar1(1 + t | g)", "one column of times"),
    "unknown name": ("y ~ arl(0 + t | g)", "Did you mean 'ar1'"),
    "two bars": ("y ~ cs(x || g)", "one bar"),
    "one effect": ("y ~ cs(1 | g)", "has one effect"),
    "unknown option": ("y ~ cs(x | g, homo=TRUE)", "not an option of cs"),
    "option without meaning": ("y ~ us(x | g, hom=TRUE)", "It has none"),
    "missing column": ("y ~ ar1(0 + time | g)", "no column 'time'"),
    "multiplied": ("y ~ x * ar1(0 + t | g)", "only be added"),
    "same effect twice": ("y ~ cs(1 + x | g) + (1 | g)", "stands in two terms"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_structures_must_be_refused_with_the_reason(case: str) -> None:
    formula, words = WRONG[case]
    data = VISITS.assign(
        row=np.arange(len(VISITS)),
        one=1,
        odd=VISITS.t**2,
        root=np.sqrt(VISITS.t + 1.0),
        word=np.array(list("abcde"))[VISITS.t],
    )
    with pytest.raises(mf.MixedfitError) as caught:
        fitted(formula, data)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["homcs", "homdiag", "homtoep"])
def test_structure_must_be_reported_when_the_residual_variance_is_part_of_it(name: str) -> None:
    """One row a group and time: s²(1 − ρ) and σ² have the same effect."""
    data = VISITS.drop_duplicates(["g", "t"])
    fit = fitted(f"y ~ x + {name}(0 + {'t' if name == 'homtoep' else 'factor(t)'} | g)", data)
    assert fit.convergence.status == "unidentified"
    assert "residual" in fit.convergence.message
    assert fit.conf_int(delta=True).loc[[".sig01", ".sigma"]].isna().all(axis=None)


def test_structure_of_one_large_group_must_be_fitted() -> None:
    fit = fitted("y ~ 1 + exp(0 + u + v | all)", PLACES.assign(all=1))
    assert fit.converged
    assert fit.ngroups == {"all": 1}


def test_ordinary_formulas_must_keep_their_structures() -> None:
    design = mf.lmm("y ~ x + (1 + x | g) + (0 + factor(t) || g)", VISITS).fit()._fit.design
    assert all(part.linear for block in design.blocks for part in block.structure.parts)
    assert cross_products(design).n == len(VISITS)


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    ("smaller", "larger", "nested"),
    [
        ("ar1(0 + t | g)", "hetar1(0 + t | g)", True),
        ("ar1(0 + t | g)", "homtoep(0 + t | g)", True),
        ("homcs(0 + ft | g)", "us(0 + ft | g)", True),
        ("(1 | g)", "ar1(0 + t | g)", True),
        ("ar1(0 + t | g)", "homcs(0 + factor(t) | g)", False),
        ("homtoep(0 + t | g)", "hetar1(0 + t | g)", False),
        ("(1 | g)", "homdiag(0 + factor(t) | g)", False),
    ],
)
def test_comparison_must_know_which_structure_is_a_case_of_another(
    smaller: str, larger: str, nested: bool
) -> None:
    data = VISITS.assign(ft="t" + VISITS.t.astype(str))
    one, other = (fitted(f"y ~ x + {term}", data, reml=False) for term in (smaller, larger))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = str(mf.anova(one, other))
        except mf.ModelError as error:
            text = str(error)
    told = "nested" in text or any("nested" in str(w.message) for w in caught)
    assert told != nested


def test_natural_parameters_must_simulate_the_structure_they_name() -> None:
    frame = visits(groups=2000, per=1, seed=9).drop(columns="y")
    params = {"(Intercept)": 0.0, "x": 0.0, "sd_ar1|g": 2.0, "cor_ar1|g": 0.6, "sigma": 0.5}
    drawn = mf.simulate_lmm("y ~ x + ar1(0 + t | g)", frame, params, n=1, seed=2).iloc[:, 0]
    wide = frame.assign(y=drawn.to_numpy()).pivot(index="g", columns="t", values="y")
    expected = 4.0 * 0.6 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))) + 0.25 * np.eye(5)
    np.testing.assert_allclose(wide.cov(), expected, atol=0.35)


@pytest.mark.usefixtures("undrawn")
def test_report_must_say_the_structure_in_words(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    mf.report(fitted(*FORMULAS["ar1"]), path, profile=False)
    assert "autoregression of order 1" in path.read_text()
