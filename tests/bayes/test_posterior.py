"""Posteriors: diagnostics against ArviZ, events, functions of parameters, predictions."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER
from scipy import stats

import mixedfit as mf
from mixedfit.bayes.draws import convergence

ARVIZ = json.loads((REFERENCE_FOLDER / "arviz.json").read_text())
"""ArviZ 0.23.4's az.rhat, az.ess, az.mcse and az.hdi of the chains below."""


def chains() -> np.ndarray:
    """Return four slowly mixing chains, one of them shifted and one spread, from a congruential generator."""
    state = np.arange(1, 5, dtype=np.int64) * 7919
    out, x = np.zeros((4, 257)), np.zeros(4)
    for t in range(257):
        state = (state * 1103515245 + 12345) % 2147483648
        u = (state + 0.5) / 2147483648
        x = 0.7 * x + np.log(u / (1 - u))
        out[:, t] = x
    out[3] *= 1.3
    out[2] += 0.4
    return out


CHAINS = {
    "slow": chains(),
    "heavy": np.sign(chains()) * np.exp(np.abs(chains())),
    "counts": np.round(chains()),
    "even": chains()[:, :200],
    "anti": chains() * np.where(np.arange(257) % 2, 1, -1),
}


@pytest.mark.parametrize("name", CHAINS)
def test_diagnostics_must_equal_arviz(name: str) -> None:
    draws, expected = CHAINS[name], ARVIZ[name]
    own = {
        "rhat": convergence.rhat(draws),
        "ess_bulk": convergence.ess_bulk(draws),
        "ess_tail": convergence.ess_tail(draws),
        "ess_mean": convergence.ess_mean(draws),
        "mcse_mean": convergence.mcse_mean(draws),
        "ess_q10": convergence.ess_quantile(draws, 0.1),
        "mcse_q10": convergence.mcse_quantile(draws, 0.1),
        "hdi": convergence.hpd(draws, 0.9),
    }
    for key, value in own.items():
        assert value == pytest.approx(expected[key], rel=1e-9), key


def test_constant_draws_must_have_no_effective_size() -> None:
    assert np.isnan(convergence.ess_bulk(np.ones((4, 100))))
    assert np.isnan(convergence.rhat(np.ones((4, 100))))


@pytest.fixture(scope="module")
def posterior() -> mf.Posterior:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).gibbs(seed=1)


def test_names_must_be_those_of_the_fit(posterior: mf.Posterior) -> None:
    fixed, variances = ["(Intercept)", "Days"], ["sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject"]
    assert list(posterior) == [*fixed, *variances, "sd_Days|Subject", "sigma"]
    assert list(posterior.summary().index) == list(posterior)
    assert posterior["Days"].shape == (4, 1000)
    with pytest.raises(mf.ModelError, match="Did you mean 'Days'"):
        posterior["days"]


def test_correlation_must_be_that_of_omega(posterior: mf.Posterior) -> None:
    omega = posterior.omega[0][2, 17]
    drawn = posterior["cor_Days.(Intercept)|Subject"][2, 17]
    assert drawn == pytest.approx(omega[0, 1] / np.sqrt(omega[0, 0] * omega[1, 1]), rel=1e-12)


def test_summary_must_give_the_shortest_interval_with_hpd(posterior: mf.Posterior) -> None:
    table = posterior.summary(interval="hpd", level=0.9)
    low, high = table.loc["sigma", ["hpd_lower", "hpd_upper"]]
    inside = np.mean((posterior["sigma"] >= low) & (posterior["sigma"] <= high))
    equal_tails = np.diff(np.quantile(posterior["sigma"], [0.05, 0.95]))[0]
    assert inside == pytest.approx(0.9, abs=0.001)
    assert high - low < equal_tails


def test_derived_quantity_must_be_computed_draw_by_draw(posterior: mf.Posterior) -> None:
    draws = posterior.derive("`Days`".replace("`", "") + " / sigma + 2 * log(sd_(Intercept)|Subject)")
    expected = posterior["Days"] / posterior["sigma"] + 2 * np.log(posterior["sd_(Intercept)|Subject"])
    assert np.allclose(draws.values[:, :, 0], expected)
    same = posterior.derive(lambda p: p["Days"] / p["sigma"], "standardised")
    assert same.names == ("standardised",)


def test_power_must_be_distinguished_from_the_power_in_a_name() -> None:
    model = mf.lmm("Reaction ~ Days + I(Days^2) + (1 | Subject)", mf.load_dataset("sleepstudy"))
    draws = model.gibbs(draws=20, tune=5, seed=1)
    top = draws.derive("-Days / (2 * I(Days^2)) + sigma^2").values[:, :, 0]
    assert np.allclose(top, -draws["Days"] / (2 * draws["I(Days^2)"]) + draws["sigma"] ** 2)


def test_probability_must_be_the_share_of_draws(posterior: mf.Posterior) -> None:
    event = posterior.probability("Days > 10 and (Intercept) < 255")
    assert event.value == np.mean((posterior["Days"] > 10) & (posterior["(Intercept)"] < 255))
    assert 0.004 < event.mcse < 0.02
    certain = posterior.probability("sigma > 0")
    assert (certain.value, 0 < certain.mcse < 0.001) == (1.0, True)


def test_names_must_not_depend_on_blanks_or_the_order_of_a_correlation() -> None:
    model = mf.lmm("Reaction ~ I(Days - 4) + (I(Days - 4) | Subject)", mf.load_dataset("sleepstudy"))
    drawn = model.gibbs(draws=20, tune=20, seed=1)
    slope, cor = "I(Days - 4)", "cor_I(Days - 4).(Intercept)|Subject"
    other = "cor_(Intercept).I(Days-4)|Subject"
    assert drawn.probability("I(Days-4)>10").value == drawn.probability(f"{slope} > 10").value
    assert np.array_equal(drawn.derive(f"2*{other}").values[:, :, 0], 2 * drawn[cor])
    assert drawn.hypothesis("I( Days -4 ) > 10")["difference"].iloc[0] == pytest.approx(
        drawn[slope].mean() - 10
    )
    assert drawn.conf_int(parameters=["I(Days-4)", other]).index.tolist() == [slope, cor]
    assert np.array_equal(drawn["I(Days-4)"], drawn[slope])
    with pytest.raises(mf.ModelError, match=r"Did you mean 'I\(Days - 4\)'"):
        drawn.probability("Days > 10")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("Dys > 0", "Did you mean 'Days'"),
        ("Days +", "cannot be read"),
        ("Days", "not a comparison"),
        ("__import__('os').system('true') > 0", "more than arithmetic"),
        ("Days.real > 0", "more than arithmetic"),
        ("[Days] > 0", "more than arithmetic"),
    ],
)
def test_event_that_cannot_be_read_must_be_refused(posterior: mf.Posterior, event: str, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        posterior.probability(event)


def test_level_must_choose_the_quantiles_unless_they_are_given(posterior: mf.Posterior) -> None:
    table = posterior.summary(level=0.9)
    limits = table[["5%", "95%"]].set_axis(["lower", "upper"], axis=1)
    pd.testing.assert_frame_equal(pd.DataFrame(limits), posterior.conf_int(0.9), rtol=1e-12)
    assert "10%" in posterior.summary(quantiles=(0.1,), level=0.9)
    assert posterior.derive("sigma").summary(level=0.8).columns[3:6].tolist() == ["10%", "50%", "90%"]


def test_summary_must_print_all_its_columns(posterior: mf.Posterior) -> None:
    text = str(posterior.summary())
    assert all(name in text for name in posterior.summary().columns)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("rhat", "draws", "says", "advice"),
    [
        (1.015, 50, "too few to tell", False),
        (1.3, 50, "have not mixed (R̂ up to 1.300", False),
        (1.015, 400, "have not mixed (R̂ up to 1.015", True),
        (1.01004, 400, "R̂ up to 1.01004, of", True),
    ],
)
def test_warning_of_rhat_must_not_blame_priors_when_draws_are_few(
    rhat: float, draws: int, says: str, advice: bool
) -> None:
    table = pd.DataFrame({"rhat": [1.0, rhat], "ess_bulk": 900.0, "ess_tail": 900.0}, index=["a", "b"])
    (text,) = convergence.convergence_warnings(table, "", 4, draws)
    assert says in text
    assert ("stronger prior" in text) == advice


def test_quantiles_must_have_their_own_monte_carlo_errors(posterior: mf.Posterior) -> None:
    draws = posterior.derive("Days")
    table = draws.quantiles((0.1, 0.9))
    assert table.loc[0.1, "quantile"] == np.quantile(posterior["Days"], 0.1)
    assert table.loc[0.9, "mcse"] == convergence.mcse_quantile(posterior["Days"], 0.9)
    rows = posterior.predict({"Days": [0.0, 1.0], "Subject": ["308", "308"]}, seed=1)
    both = rows.quantiles((0.25, 0.5, 0.75))
    assert both.loc[("row 1", 0.75), "quantile"] == np.quantile(rows.values[:, :, 1], 0.75)
    with pytest.raises(mf.ModelError, match="from 0 to 1"):
        draws.quantiles((95,))


def test_summary_of_groups_must_have_the_requested_quantiles(posterior: mf.Posterior) -> None:
    own = posterior.random_effects["Subject"]
    table = own.summary(quantiles=(0.25, 0.75))
    assert table.loc[("308", "Days"), "75%"] == np.quantile(own["308"][:, :, 1], 0.75)
    assert "2.5%" not in table


def test_coefficients_of_groups_must_be_fixed_effects_and_own_effects_together() -> None:
    model = mf.lmm("Reaction ~ Days + (0 + I(Days^2) | Subject)", mf.load_dataset("sleepstudy"))
    posterior = model.gibbs(draws=50, tune=50, seed=1)
    coefs = posterior.group_coefs["Subject"]
    assert coefs.effects == tuple(model.fit().group_coefs["Subject"].columns)
    own = posterior.random_effects["Subject"]["309"]
    assert np.array_equal(coefs["309"][:, :, 1], posterior["Days"])
    assert np.array_equal(coefs["309"][:, :, 2], own)


def test_covariance_of_effects_must_be_labelled_and_averaged_over_the_draws(posterior: mf.Posterior) -> None:
    mean = posterior.cov_re["Subject"]
    covariance = posterior.derive("cor_Days.(Intercept)|Subject * sd_Days|Subject * sd_(Intercept)|Subject")
    assert mean.loc["Days", "(Intercept)"] == pytest.approx(covariance.values.mean(), rel=1e-10)
    assert mean.loc["Days", "Days"] == pytest.approx((posterior["sd_Days|Subject"] ** 2).mean(), rel=1e-10)


def test_coefficients_of_groups_must_be_near_those_of_the_fit(posterior: mf.Posterior) -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    coefs, own = posterior.group_coefs["Subject"], posterior.random_effects["Subject"]
    assert np.allclose(coefs["310"], posterior.beta + own["310"])
    gap = (coefs.mean - fit.group_coefs["Subject"]) / coefs.sd
    assert np.abs(gap.to_numpy()).max() < 0.3


def test_prediction_in_a_known_group_must_use_its_effects(posterior: mf.Posterior) -> None:
    rows = pd.DataFrame({"Days": [3.0], "Subject": ["308"]})
    mean = posterior.predict(rows, kind="mean", seed=1)
    b = posterior.random_effects["Subject"]["308"]
    expected = posterior["(Intercept)"] + 3 * posterior["Days"] + b[:, :, 0] + 3 * b[:, :, 1]
    assert np.allclose(mean.values[:, :, 0], expected)
    response = posterior.predict(rows, seed=1)
    noise = (response.values - mean.values)[:, :, 0] / posterior["sigma"]
    assert stats.kstest(noise.reshape(-1), "norm").pvalue > 1e-3


def test_prediction_in_a_new_group_must_have_its_marginal_variance(posterior: mf.Posterior) -> None:
    rows = pd.DataFrame({"Days": [0.0, 4.0, 4.0], "Subject": ["new", "new", "other"]})
    mean = posterior.predict(rows, kind="mean", seed=1).values
    fixed = posterior["(Intercept)"][:, :, None] + posterior["Days"][:, :, None] * np.array([0.0, 4.0, 4.0])
    omega = posterior.omega[0]
    sd = np.sqrt(omega[:, :, 0, 0] + 8 * omega[:, :, 0, 1] + 16 * omega[:, :, 1, 1])
    z = (mean - fixed)[:, :, 1:] / sd[:, :, None]
    for j in range(2):
        assert stats.kstest(z[:, :, j].reshape(-1), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z[:, :, 0].reshape(-1), z[:, :, 1].reshape(-1))[0, 1]) < 0.06
    same = np.corrcoef((mean - fixed)[:, :, 0].reshape(-1), (mean - fixed)[:, :, 1].reshape(-1))[0, 1]
    assert same > 0.5


def test_rows_with_missing_values_must_be_refused(posterior: mf.Posterior) -> None:
    with pytest.raises(mf.DataError, match="missing"):
        posterior.predict(pd.DataFrame({"Days": [np.nan], "Subject": ["308"]}))


def test_difference_of_rows_must_be_taken_draw_by_draw(posterior: mf.Posterior) -> None:
    rows = posterior.predict(pd.DataFrame({"Days": [0.0, 1.0], "Subject": ["308", "308"]}), kind="mean")
    difference = rows[1] - rows[0]
    assert difference.names == ("row 1 − row 0",)
    assert np.allclose(difference.values, rows.values[:, :, [1]] - rows.values[:, :, [0]])


def test_printout_must_say_model_priors_and_numbers(posterior: mf.Posterior) -> None:
    text = str(posterior)
    for part in (
        "Reaction ~ Days + (Days | Subject)",
        "4 chains of 1000 draws",
        "half-t(3, 56.2)",
        "ess_bulk",
    ):
        assert part in text


def test_printout_must_warn_when_there_are_too_few_draws() -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    assert "fewer than 400" in str(model.gibbs(draws=20, tune=10, seed=1))


def test_posterior_means_must_be_near_the_blups_under_weak_priors(posterior: mf.Posterior) -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    means, modes = posterior.random_effects["Subject"].mean, fit.random_effects["Subject"]
    sds = posterior.random_effects["Subject"].sd
    assert np.abs((means - modes) / sds).to_numpy().max() < 0.3


def test_arviz_must_get_named_coordinates_and_rows() -> None:
    pytest.importorskip("arviz_base")
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    posterior = model.gibbs(draws=200, seed=1)
    tree = posterior.to_arviz(seed=1)
    assert {"posterior", "log_likelihood", "posterior_predictive", "observed_data"} <= set(tree.children)
    effects = tree["posterior"]["b|Tray"]
    assert effects.dims == ("chain", "draw", "Tray", "effect|Tray")
    assert np.array_equal(effects.sel(Tray=effects["Tray"][2])[:, :, 0], posterior.effects[0][:, :, 2, 0])
    assert tree["log_likelihood"]["SeedlingWeight"].shape == (4, 200, 56)
    shares = tree["sample_stats"]["acceptance_rate"]
    assert shares.dims == ("chain", "draw")
    np.testing.assert_array_equal(shares[:, 7], posterior.acceptance)


def test_arviz_must_get_the_prior_if_it_is_passed() -> None:
    pytest.importorskip("arviz_base")
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    posterior, prior = model.gibbs(draws=50, seed=1), model.prior_predictive(draws=70, seed=1)
    tree = posterior.to_arviz(prior=prior, seed=1)
    np.testing.assert_array_equal(tree["prior"]["GenotypeB"], prior["GenotypeB"])
    assert tree["prior"]["b|Tray"].dims == ("chain", "draw", "Tray", "effect|Tray")
    assert tree["prior_predictive"]["SeedlingWeight"].shape == (1, 70, 56)
    assert tree["posterior_predictive"]["SeedlingWeight"].dims == ("chain", "draw", "row")
    alone = prior.to_arviz()
    assert {"prior", "prior_predictive", "observed_data"} == set(alone.children)
    with pytest.raises(mf.ModelError, match="prior_predictive"):
        posterior.to_arviz(prior=posterior)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_loo_of_arviz_must_be_ours() -> None:
    pytest.importorskip("xarray_einstats")  # without it arviz_stats has no loo
    stats_of = pytest.importorskip("arviz_stats")
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    posterior = model.gibbs(draws=625, seed=1)  # 2,500 draws: both smooth a tail of 150
    found = stats_of.loo(posterior.to_arviz(seed=1), reff=1.0, pointwise=True)
    own = posterior.loo(efficiency=1.0)
    np.testing.assert_allclose(own.pointwise, found.elpd_i.values, rtol=1e-10)
    np.testing.assert_allclose(own.pareto_k, found.pareto_k.values, rtol=1e-8)


def test_share_of_accepted_steps_must_be_known_for_each_chain(posterior: mf.Posterior) -> None:
    assert posterior.acceptance is not None
    assert posterior.acceptance.shape == (4,)
    assert np.all((posterior.acceptance > 0.1) & (posterior.acceptance < 0.6))  # 0.3 is aimed at
    known = {"Subject": mf.priors.Known(30.0), "sigma": mf.priors.Known(30.0)}
    still = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).gibbs(
        known, draws=20, tune=5, seed=1
    )
    assert still.acceptance is not None
    assert np.isnan(still.acceptance).all()


def test_log_likelihood_must_be_normal_about_the_groups_means(posterior: mf.Posterior) -> None:
    design = posterior.design
    row, draw = 57, (1, 40)
    b = posterior.effects[0][draw][design.blocks[0].codes[row]]
    mean = design.X[row] @ posterior.beta[draw] + design.blocks[0].z[row] @ b
    expected = stats.norm(mean, posterior.sigma[draw]).logpdf(design.y[row])
    assert posterior.log_likelihood()[draw][row] == pytest.approx(expected, rel=1e-12)


def test_printout_must_not_list_hundreds_of_residual_standard_deviations() -> None:
    model = mf.lmm("mathscore ~ 1 + (1 | school)", mf.load_dataset("school_mathscore"))
    posterior = model.gibbs(draws=20, tune=5, seed=1, sigma="by:school")
    text = str(posterior)
    assert sum(line.startswith("sigma[") for line in text.splitlines()) == 8
    assert "92 more of sigma[…]" in text
    assert "nu0" in text
    assert len(posterior.summary()) == 104
