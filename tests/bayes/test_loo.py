"""Leave-one-out and WAIC: against R's loo, ArviZ, exact predictive densities, and dense covariance matrices."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER
from scipy import stats
from scipy.special import ndtri

import mixedfit as mf
from mixedfit.bayes.criticism import elpd, loo
from mixedfit.bayes.criticism import group_density as marginal
from mixedfit.bayes.criticism.psis import khat_threshold, smoothed_weights, tail_length
from mixedfit.bayes.draws import row_density as rows

HERE = REFERENCE_FOLDER
R = json.loads((HERE / "loo.json").read_text())
ARVIZ = json.loads((HERE / "loo_arviz.json").read_text())
SHAPES = np.array([0.05, 0.3, 0.5, 0.7, 0.9, 1.2])


def matrix() -> np.ndarray:
    """Return the log-likelihoods of reference/loo.R, (8, 2500): six whose ratios are Pareto, two that are not."""
    u = (np.arange(1, 2501)[:, None] * 0.6180339887498949 + 0.1 * np.arange(8) + 0.01) % 1
    normal = -0.5 * (1.2 * ndtri(u[:, 6:]) + np.array([0.0, 1.0])) ** 2
    return np.hstack([np.log(u[:, :6]) * SHAPES - 1, normal]).T


@pytest.mark.parametrize(("key", "efficiency"), [("psis", 1.0), ("psis06", 0.6)])
def test_psis_must_equal_that_of_r(key: str, efficiency: float) -> None:
    found, penalty, khat, _ = loo._loo(matrix(), efficiency)
    np.testing.assert_allclose(found, R[key]["elpd"], rtol=1e-10)
    np.testing.assert_allclose(penalty, R[key]["p"], rtol=1e-8)
    np.testing.assert_allclose(khat, R[key]["khat"], rtol=1e-9)


def test_psis_must_equal_that_of_arviz() -> None:
    found, penalty, khat, _ = loo._loo(matrix(), 1.0)
    np.testing.assert_allclose(found, ARVIZ["elpd"], rtol=1e-10)
    np.testing.assert_allclose(khat, ARVIZ["khat"], rtol=1e-9)
    assert penalty.sum() == pytest.approx(ARVIZ["p"], rel=1e-10)


def test_waic_must_equal_that_of_r() -> None:
    found, penalty, _, _ = loo._waic(matrix())
    np.testing.assert_allclose(found, R["waic"]["elpd"], rtol=1e-10)
    np.testing.assert_allclose(penalty, R["waic"]["p"], rtol=1e-10)


def test_sums_and_standard_errors_must_be_those_of_r() -> None:
    found, penalty, khat, _ = loo._loo(matrix(), 1.0)
    index = pd.RangeIndex(8)
    series = [pd.Series(part, index=index) for part in (found, penalty, khat)]
    record = elpd.ExpectedDensity("loo", "row", *series, float("nan"), 2500, np.zeros(8))
    estimates = [[record.elpd, record.se], [record.p, record.p_se], [record.ic, record.ic_se]]
    np.testing.assert_allclose(estimates, R["psis"]["estimates"], rtol=1e-9)


def test_khat_must_find_the_shape_of_pareto_ratios() -> None:
    khat = smoothed_weights(-matrix()[1:6])[1]
    np.testing.assert_allclose(khat, SHAPES[1:], atol=0.12)


def test_weights_must_sum_to_one_and_keep_the_order_of_the_ratios() -> None:
    weights, _ = smoothed_weights(-matrix())
    np.testing.assert_allclose(np.exp(weights).sum(axis=1), 1.0)
    np.testing.assert_array_equal(np.argsort(weights[4]), np.argsort(-matrix()[4]))


def test_equal_ratios_must_have_no_shape_and_equal_weights() -> None:
    weights, khat = smoothed_weights(np.zeros((2, 400)))
    np.testing.assert_allclose(weights, -np.log(400))
    assert np.isinf(khat).all()


def test_thresholds_must_be_those_of_the_paper() -> None:
    assert khat_threshold(100) == pytest.approx(0.5)
    assert khat_threshold(2000) == pytest.approx(1 - 1 / np.log10(2000))
    assert khat_threshold(4000) == 0.7
    assert (tail_length(4000, 1.0), tail_length(100, 1.0)) == (190, 20)


# -- exact answers where the variances are known ---------------------------------------------------


TAU, SIGMA = 3.0, 1.9


@lru_cache
def known() -> mf.Posterior:
    pr = mf.priors
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    priors = {"fixed": pr.Normal([10.0, 0.0], [5.0, 4.0]), "Tray": pr.Known(TAU), "sigma": pr.Known(SIGMA)}
    return model.gibbs(priors, draws=5000, tune=50, seed=1)


def joint() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and covariance of all responses, and the trays' codes."""
    design = known().design
    z = np.eye(8)[design.blocks[0].codes]
    prior = np.diag([25.0, 16.0])
    cov = design.X @ prior @ design.X.T + TAU**2 * z @ z.T + SIGMA**2 * np.eye(design.n)
    return design.X @ np.array([10.0, 0.0]), cov, design.blocks[0].codes


def left_out(chosen: np.ndarray) -> float:
    """Return log p(y of some rows | y of all others), by conditioning a normal distribution."""
    mean, cov, _ = joint()
    y, rest = known().design.y, ~chosen
    gain = np.linalg.solve(cov[np.ix_(rest, rest)], cov[np.ix_(rest, chosen)]).T
    centre = mean[chosen] + gain @ (y[rest] - mean[rest])
    spread = cov[np.ix_(chosen, chosen)] - gain @ cov[np.ix_(rest, chosen)]
    return float(stats.multivariate_normal(centre, spread).logpdf(y[chosen]))


def test_loo_by_row_must_equal_exact_prediction_from_the_other_rows() -> None:
    n = known().design.n
    exact = np.array([left_out(np.arange(n) == i) for i in range(n)])
    found = known().loo()
    np.testing.assert_allclose(found.pointwise, exact, atol=0.02)
    assert abs(found.elpd - exact.sum()) < 4 * found.mcse < 0.2
    assert known().waic().elpd == pytest.approx(exact.sum(), abs=0.2)
    # the rival that does not leave the row out
    assert known().loo().elpd + found.p > exact.sum() + 3


def test_loo_by_group_must_equal_exact_prediction_from_the_other_groups() -> None:
    codes = joint()[2]
    exact = np.array([left_out(codes == j) for j in range(8)])
    found = known().loo(by="Tray")
    np.testing.assert_allclose(found.pointwise, exact, atol=0.06)
    assert abs(found.elpd - exact.sum()) < 5 * found.mcse < 0.2


# -- marginal density of a group ---------------------------------------------------------------------


def dense_group(posterior: mf.Posterior, block: int, level: int, draw: tuple[int, int]) -> float:
    """Return log p(y_j | β, Ω, σ, b of levels shared with other groups), with n × n matrices."""
    design = posterior.design
    here = design.blocks[block].codes == level
    beta, sigma = posterior.beta[draw], posterior.sigma[draw]
    mean = design.X[np.ix_(here, posterior.kept)] @ beta
    cov = np.diag(sigma**2 / (np.ones(design.n) if design.weights is None else design.weights)[here])
    for f, other in enumerate(design.blocks):
        for inner in np.unique(other.codes[here]):
            z = np.where((other.codes == inner)[:, None], other.z, 0.0)[here]
            if set(design.blocks[block].codes[other.codes == inner]) == {level}:
                cov += z @ posterior.omega[f][draw] @ z.T
            else:
                mean = mean + z @ posterior.effects[f][draw][inner]
    return float(stats.multivariate_normal(mean, cov).logpdf(design.y[here]))


@lru_cache
def small(name: str) -> mf.Posterior:
    rng = np.random.default_rng(5)
    n = 60
    data = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) % 6, "h": rng.integers(0, 5, n)})
    data["inner"] = rng.integers(0, 3, n)
    data["y"] = data["x"] + rng.normal(size=6)[data["g"]] + rng.normal(size=n)
    formulas = {
        "slopes": "y ~ x + (x | g)",
        "nested": "y ~ x + (1 | g/inner)",
        "crossed": "y ~ x + (x | g) + (1 | h)",
        "partly": "y ~ x + (1 | g) + (0 + x | g:inner) + (1 | h)",
    }
    weights = None if name == "slopes" else rng.uniform(0.3, 3.0, n)
    return mf.lmm(formulas[name], data, weights=weights).gibbs(draws=60, tune=50, chains=2, seed=1)


@pytest.mark.parametrize("name", ["slopes", "nested", "crossed", "partly"])
def test_density_of_a_group_must_equal_the_dense_one(name: str) -> None:
    posterior = small(name)
    for f, block in enumerate(posterior.design.blocks):
        found = marginal.group_log_densities(posterior, f)(slice(None))
        assert found.shape == (block.levels, 120)
        for level, draw in ((0, (0, 3)), (block.levels - 1, (1, 59)), (2, (1, 17))):
            expected = dense_group(posterior, f, level, draw)
            assert found[level].reshape(2, 60)[draw] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("by", [None, "g"])
def test_elpd_must_not_depend_on_the_size_of_pieces(by: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small("crossed").loo(by=by)
    for module in (rows, marginal):
        monkeypatch.setattr(module, "PIECE", 1000)
    np.testing.assert_allclose(small("crossed").loo(by=by).pointwise, whole.pointwise, rtol=1e-12)


def test_log_density_of_some_rows_must_be_that_of_all() -> None:
    whole = small("crossed").log_likelihood()
    np.testing.assert_array_equal(rows.row_log_density(small("crossed"), slice(7, 20)), whole[:, :, 7:20])


def test_offset_must_count() -> None:
    data = mf.load_dataset("Dyestuff")
    moved = data.assign(Yield=data["Yield"] + 100.0, shift=100.0)
    own = mf.lmm("Yield ~ 1 + (1 | Batch)", data).gibbs(seed=1)
    other = mf.lmm("Yield ~ 1 + (1 | Batch)", moved, offset="shift").gibbs(seed=1)
    for by in (None, "Batch"):
        assert other.loo(by=by).elpd == pytest.approx(own.loo(by=by).elpd, rel=1e-9)


# -- what a user sees --------------------------------------------------------------------------------


@lru_cache
def sleep(formula: str) -> mf.Posterior:
    return mf.lmm(formula, mf.load_dataset("sleepstudy")).gibbs(seed=1)


def test_pointwise_must_stand_on_the_index_of_the_data() -> None:
    data = mf.load_dataset("Dyestuff")
    data.index = pd.Index([f"run {i}" for i in range(30)])
    data.loc["run 3", "Yield"] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        model = mf.lmm("Yield ~ 1 + (1 | Batch)", data)
    found = model.gibbs(draws=100, seed=1).loo()
    assert list(found.pointwise.index) == [f"run {i}" for i in range(30) if i != 3]
    assert found.pareto_k.index.equals(found.pointwise.index)
    assert list(model.gibbs(draws=100, seed=1).loo(by="Batch").pointwise.index) == list("ABCDEF")


def test_difference_must_take_its_error_from_the_pairs() -> None:
    a, b = sleep("Reaction ~ Days + (Days | Subject)").loo(), sleep("Reaction ~ Days + (1 | Subject)").loo()
    found = a - b
    each = a.pointwise - b.pointwise
    assert found.elpd == pytest.approx(a.elpd - b.elpd)
    assert found.se == pytest.approx(np.sqrt(180) * each.std(ddof=1))
    assert "The first predicts better" in str(found)
    assert "equally well" in str(a - a)


def test_printout_must_name_unreliable_estimates() -> None:
    found = sleep("Reaction ~ Days + (Days | Subject)").loo()
    assert found.high.index[0] == found.pareto_k.idxmax()
    assert np.isnan(found.mcse)
    text = str(found)
    assert f"{found.high.size} of 180 rows" in text
    assert f"{found.elpd:.1f}" in text
    assert f"({found.high.index[0]}, " in text
    good = str(known().loo(by="Tray"))
    assert "can be trusted" in good
    assert "Monte-Carlo error" in good
    assert "of Tray" in good


Case = tuple[Any, str]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda p: p.loo(by="subject"), "Did you mean 'Subject'"),
        (lambda p: p.waic(by="Days"), "not a grouping factor"),
        (lambda p: p.loo(efficiency=0), "effective draws"),
        (lambda p: p.loo() - p.waic(), "of a kind"),
        (lambda p: p.loo() - known().loo(), "different data"),
    ],
)
def test_invalid_comparisons_must_raise(ask: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        ask(sleep("Reaction ~ Days + (1 | Subject)"))


def test_lacking_draws_must_be_refused() -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    with pytest.raises(mf.ModelError, match="at least 100 draws"):
        model.gibbs(draws=20, tune=10, seed=1).loo()
    lean = model.gibbs(draws=100, tune=10, seed=1, keep_effects=False)
    with pytest.raises(mf.ModelError, match="keep_effects=True"):
        lean.loo()
    assert len(lean.loo(by="Subject").pointwise) == 18


# -- t and Laplace, and variances by group -------------------------------------------------------------


@lru_cache
def tailed(**options: Any) -> mf.Posterior:
    data = mf.load_dataset("sleepstudy")
    return mf.lmm("Reaction ~ Days + (Days | Subject)", data).gibbs(seed=1, **options)


def test_loo_of_t_residuals_must_use_their_density() -> None:
    posterior = tailed(errors=mf.distributions.StudentT(4))
    design, draw, row = posterior.design, (2, 77), 57
    b = posterior.effects[0][draw][design.blocks[0].codes[row]]
    mean = design.X[row] @ posterior.beta[draw] + design.blocks[0].z[row] @ b
    expected = stats.t(4, mean, posterior.sigma[draw]).logpdf(design.y[row])
    assert rows.row_log_density(posterior, slice(57, 58))[draw][0] == pytest.approx(expected, rel=1e-12)
    # the study has a few outlying days
    assert "The first predicts better" in str(posterior.loo() - tailed().loo())


def test_loo_with_variances_by_group_must_use_the_rows_own() -> None:
    posterior = tailed(sigma="by:Subject")
    assert posterior.scales is not None
    level = str(mf.load_dataset("sleepstudy")["Subject"].iloc[57])
    scale = posterior[f"sigma[{level}]"][1, 40]
    design, draw = posterior.design, (1, 40)
    b = posterior.effects[0][draw][design.blocks[0].codes[57]]
    mean = design.X[57] @ posterior.beta[draw] + design.blocks[0].z[57] @ b
    expected = stats.norm(mean, scale).logpdf(design.y[57])
    assert rows.row_log_density(posterior, slice(50, 60))[draw][7] == pytest.approx(expected, rel=1e-12)
    for ask in (posterior.loo, posterior.waic):
        with pytest.raises(mf.ModelError, match="normal with one σ"):
            ask(by="Subject")


# -- sampled again -------------------------------------------------------------------------------------


@pytest.mark.everyday(1)
@pytest.mark.parametrize("by", [None, "Tray"])
def test_refits_must_equal_exact_prediction(by: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loo, "khat_threshold", lambda draws: 0.2 if by is None else -1.0)
    codes = joint()[2] if by else np.arange(known().design.n)
    found = known().loo(by=by, refit=True)
    again = [list(found.pointwise.index).index(label) for label in found.refitted]
    assert len(again) == (8 if by else (known().loo().pareto_k > 0.2).sum())
    exact = [left_out(codes == unit) for unit in again]
    np.testing.assert_allclose(found.pointwise.iloc[again], exact, atol=0.04)
    assert found.pareto_k.iloc[again].isna().all()
    assert found.high.empty
    plain = known().loo(by=by)
    np.testing.assert_allclose(found.pointwise + found.penalty, plain.pointwise + plain.penalty)
    if by:
        assert abs(found.elpd - sum(exact)) < 4 * found.mcse < 0.15


def test_refits_must_keep_weights_priors_and_distributions() -> None:
    data = mf.load_dataset("sleepstudy").assign(w=np.linspace(0.5, 2.0, 180))
    prior = {"sigma": mf.priors.HalfCauchy(3), "Subject": mf.priors.Diagonal(mf.priors.HalfNormal(20))}
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", data, weights="w")
    posterior = model.gibbs(prior, draws=60, seed=1, errors=mf.distributions.Laplace())
    assert posterior.without is not None
    other = posterior.without(np.array([7, 9]), 1)
    assert other.priors == posterior.priors
    assert np.flatnonzero(other.design.weights == 0).tolist() == [7, 9]
    assert other.draws == 60
    text = " ".join(str(sleep("Reaction ~ Days + (Days | Subject)").loo(refit=True)).split())
    assert "predicted by sampling without" in text
    assert "Monte-Carlo error" in text


def test_row_without_which_a_coefficient_is_lost_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = mf.load_dataset("Dyestuff").assign(odd=np.where(np.arange(30) == 4, "b", "a"))
    monkeypatch.setattr(loo, "khat_threshold", lambda draws: -1.0)
    with pytest.raises(mf.ModelError, match="without row 4 not all coefficients"):
        mf.lmm("Yield ~ odd + (1 | Batch)", data).gibbs(draws=50, tune=50, seed=1).loo(refit=True)


def test_difference_must_name_unreliable_rows_and_their_share() -> None:
    data = mf.load_dataset("sleepstudy")
    a, b = (
        mf.lmm(formula, data).gibbs(seed=1).loo()
        for formula in ("Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)")
    )
    both = sorted({*a.high.index, *b.high.index})
    assert both
    share = (a.pointwise - b.pointwise)[both].sum()
    text = " ".join(str(a - b).split())
    named = ", ".join(map(str, both))
    assert f"Not reliable in one or both: {len(both)} of 180 rows ({named}), which add {share:.1f}" in text


def test_monte_carlo_variance_must_be_inversely_proportional_to_the_effective_draws() -> None:
    """Of 200 draws the 40 largest weights are smoothed at any efficiency up to 1, so that all else is the same."""
    rng = np.random.default_rng(1)
    model = mf.lmm("y ~ 1 + (1 | g)", {"y": rng.normal(size=60), "g": np.repeat(np.arange(6), 10)})
    posterior = model.gibbs(chains=2, draws=100, tune=50, seed=2)
    whole, half = (posterior.loo(efficiency=share) for share in (1.0, 0.5))
    assert np.isfinite(whole.mcse)
    assert half.elpd == pytest.approx(whole.elpd, rel=1e-12)
    assert half.mcse == pytest.approx(np.sqrt(2.0) * whole.mcse, rel=1e-9)
