"""Common mistakes of new users of a posterior: weights, labels, keys, indexing, copies."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

SETTINGS = {"draws": 200, "tune": 100, "seed": 1}


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return mf.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def posterior(sleep: pd.DataFrame) -> mf.Posterior:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", sleep).gibbs(**SETTINGS)


# -- weights and offsets of further rows -------------------------------------------------------------


def test_noise_of_further_rows_must_shrink_with_the_root_of_their_weights(sleep: pd.DataFrame) -> None:
    """Var(ε) = σ²/w; the rival leaves w out."""
    data = sleep.assign(w=4.0)
    weighted = mf.lmm("Reaction ~ Days + (1 | Subject)", data, weights="w").gibbs(**SETTINGS)
    rows = data.iloc[[0] * 40].reset_index(drop=True)
    mean = weighted.predict(rows, kind="mean", seed=1).values
    for given in ("w", 4.0, np.full(40, 4.0)):
        noise = (weighted.predict(rows, weights=given, seed=1).values - mean) / weighted["sigma"][:, :, None]
        assert noise.std() == pytest.approx(0.5, rel=0.02)
    with pytest.raises(mf.ModelError, match="Give weights="):
        weighted.predict(rows)
    with pytest.raises(mf.DataError, match="weight of 0"):
        weighted.predict(rows, weights=0.0)


def test_offset_of_further_rows_must_be_added_where_that_of_the_fit_was_an_array(sleep: pd.DataFrame) -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", sleep, offset=np.full(len(sleep), 100.0))
    drawn = model.gibbs(**SETTINGS)
    shifted = drawn.predict(sleep[:3], kind="mean", offset=100.0, seed=1).values
    assert np.allclose(shifted - drawn.predict(sleep[:3], kind="mean", offset=0.0, seed=1).values, 100.0)


# -- labels of groups --------------------------------------------------------------------------------


def test_label_of_another_type_must_be_refused_and_not_become_a_new_group(posterior: mf.Posterior) -> None:
    with pytest.raises(mf.DataError, match="'308' of type str, and 308 here is of type int"):
        posterior.predict({"Days": [1.0, 1.0], "Subject": [0, 308]})


def test_label_of_another_type_must_be_refused_where_sigma_differs_by_it(sleep: pd.DataFrame) -> None:
    data = sleep.assign(half=np.where(sleep["Days"] < 5, "1", "2"))
    drawn = mf.lmm("Reaction ~ Days + (1 | Subject)", data).gibbs(**SETTINGS, sigma="by:half")
    with pytest.raises(mf.DataError, match=r"'half' .*'1' of type str"):
        drawn.predict({"Days": [1.0], "Subject": ["308"], "half": [1]})
    assert any(
        "half 3: not in the fit" in n
        for n in drawn.predict({"Days": [1.0], "Subject": ["308"], "half": [3]}).notes
    )


def test_new_groups_must_be_named_in_what_predict_prints(posterior: mf.Posterior) -> None:
    drawn = posterior.predict({"Days": [1.0, 1.0], "Subject": ["308", "new"]}, seed=1)
    assert drawn.notes == ("Subject 'new': not in the fit, drawn anew from the distribution of groups.",)
    assert "Note: Subject 'new'" in str(drawn)
    assert posterior.predict({"Days": [1.0], "Subject": ["308"]}, seed=1).notes == ()


# -- copies ------------------------------------------------------------------------------------------


def test_copy_of_a_posterior_must_equal_it(posterior: mf.Posterior, sleep: pd.DataFrame) -> None:
    posterior.summary()
    copy = pickle.loads(pickle.dumps(posterior))
    pd.testing.assert_frame_equal(copy.summary(), posterior.summary())
    rows = sleep[:3]
    assert np.array_equal(copy.predict(rows, seed=1).values, posterior.predict(rows, seed=1).values)
    assert len(copy.without(np.array([0]), 1)["sigma"]) == 4


@pytest.mark.parametrize(
    "options", [{"errors": mf.distributions.StudentT("estimate")}, {"sigma": "by:Subject"}]
)
def test_copy_of_a_posterior_with_scales_must_equal_it(
    sleep: pd.DataFrame, options: dict[str, object]
) -> None:
    drawn = mf.lmm("Reaction ~ Days + (1 | Subject)", sleep).gibbs(draws=20, tune=10, seed=1, **options)
    drawn.names  # noqa: B018 (a computed attribute must not prevent a copy)
    copy = pickle.loads(pickle.dumps(drawn))
    assert copy.names == drawn.names
    assert np.array_equal(
        copy["sigma0" if "sigma" in options else "nu"], drawn["sigma0" if "sigma" in options else "nu"]
    )


# -- draws and names -----------------------------------------------------------------------------------


def test_rows_must_be_found_by_their_labels_as_printed(posterior: mf.Posterior, sleep: pd.DataFrame) -> None:
    """The rival takes a whole number for a position, so that draws[1] is "row 20"."""
    rows = sleep.iloc[:3].set_axis([10, 20, 1])
    drawn = posterior.predict(rows, seed=1)
    assert drawn[1].names == ("row 1",)
    assert np.array_equal(drawn[1].values[:, :, 0], drawn.values[:, :, 2])
    assert drawn[[20, 1]].names == drawn[1:].names == drawn[[False, True, True]].names == ("row 20", "row 1")
    assert np.array_equal(drawn["row 20"].values, drawn[20].values)
    assert [one.names[0] for one in drawn] == list(drawn.names)
    with pytest.raises(mf.ModelError, match=r"0 is not among the rows' labels .*10, 20, 1.*by position"):
        drawn[0]
    with pytest.raises(mf.ModelError, match="5 is not among the draws"):
        posterior.derive("Days")[5]


def test_draws_must_be_computed_with_as_numbers_are(posterior: mf.Posterior, sleep: pd.DataFrame) -> None:
    drawn = posterior.predict(sleep[:2], seed=1)
    first, second = drawn.values[:, :, 0], drawn.values[:, :, 1]
    for made, expected, name in [
        (drawn[0] - 250, first - 250, "row 0 − 250"),
        (250 - drawn[0], 250 - first, "250 − row 0"),
        (drawn[0] + 1.5, first + 1.5, "row 0 + 1.5"),
        (2 * drawn[0], 2 * first, "2 × row 0"),
        (drawn[0] / drawn[1], first / second, "row 0 / row 1"),
        ((drawn[0] + drawn[1]) / 2, (first + second) / 2, "(row 0 + row 1) / 2"),
        (-drawn[0], -first, "−row 0"),
    ]:
        assert np.allclose(made.values[:, :, 0], expected)
        assert made.names == (name,)
    with pytest.raises(mf.ModelError, match="a str cannot"):
        drawn[0] - "x"
    with pytest.raises(mf.ModelError, match="do not match"):
        drawn[0] - mf.lmm("Reaction ~ 1 + (1 | Subject)", sleep).gibbs(draws=10, seed=1).derive("sigma")


def test_invalid_queries_must_raise_with_a_hint(posterior: mf.Posterior) -> None:
    for which in (["Days", "sigma"], slice(2), 0):
        with pytest.raises(mf.ModelError, match="one name at a time"):
            posterior[which]  # type: ignore[index]
    with pytest.raises(mf.ModelError, match="not a finite number"):
        posterior.derive("1/0")
    with pytest.raises(mf.ModelError, match="Did you mean 'Subject'"):
        posterior.random_effects["Subj"]
    with pytest.raises(mf.ModelError, match="'308' of type str"):
        posterior.random_effects["Subject"][308]
    with pytest.raises(mf.ModelError, match="not a comparison"):
        posterior.probability(lambda q: q["Days"])


def test_event_may_be_a_function_and_one_quantile_a_number(posterior: mf.Posterior) -> None:
    assert posterior.probability(lambda q: q["Days"] > 10).value == posterior.probability("Days > 10").value
    days = posterior.derive("Days")
    assert days.quantiles(0.5).equals(days.quantiles((0.5,)))


def test_no_rows_must_print_as_such(posterior: mf.Posterior, sleep: pd.DataFrame) -> None:
    drawn = posterior.predict(sleep.iloc[:0])
    assert str(drawn) == "no rows, no draws"
    assert len(drawn.summary()) == 0


# -- keys of priors ------------------------------------------------------------------------------------

HALF, WIDE = mf.priors.HalfNormal(11.0), mf.priors.HuangWand((13.0, 7.0))


@pytest.mark.parametrize(
    ("formula", "key", "prior", "statement"),
    [
        ("Reaction ~ Days + (Days | Subject)", "(1 + Days | Subject)", WIDE, "13"),
        ("Reaction ~ Days + (1 + Days | Subject)", "Days|Subject", WIDE, "13"),
        (
            "Reaction ~ Days + (0 + Days | Subject)",
            "(Days - 1 | Subject)",
            HALF,
            "τ[Days | Subject] ~ half-normal(11)",
        ),
        (
            "Reaction ~ Days + (Days || Subject)",
            "sd_Days | Subject",
            HALF,
            "τ[Days | Subject] ~ half-normal(11)",
        ),
        ("Reaction ~ Days + (Days || Subject)", "(1 + Days || Subject)", HALF, "half-normal(11)"),
        ("Reaction ~ Days + (1 | Subject:half)", "half:Subject", HALF, "half-normal(11)"),
        ("Reaction ~ Days + (1 | Subject:half)", "sd_(Intercept)|half:Subject", HALF, "half-normal(11)"),
    ],
)
def test_equivalent_key_must_be_accepted(
    sleep: pd.DataFrame, formula: str, key: str, prior: object, statement: str
) -> None:
    data = sleep.assign(half=np.where(sleep["Days"] < 5, "first", "second"))
    drawn = mf.lmm(formula, data).prior_predictive({key: prior}, draws=10, seed=1)
    assert any(statement in line for line in drawn.priors)


def test_two_keys_of_one_term_must_raise(sleep: pd.DataFrame) -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    with pytest.raises(mf.ModelError, match="are the same; give one prior"):
        model.prior_predictive({"Days | Subject": WIDE, "1 + Days | Subject": WIDE})


@pytest.mark.parametrize(
    ("key", "options", "message"),
    [
        ("sd_Days|Subject", {}, r"one prior: .*Give 'Subject' a mf.priors.LKJ\(1\).*HuangWand\(\(.*Diagonal"),
        ("sd_Dayz|Subject", {}, r"known: .*sd_Days\|Subject.*sigma0.*Did you mean 'sd_Days\|Subject'"),
        ("cor_Days.(Intercept)|Subject", {}, "a correlation has none of its own"),
        ("nu", {}, "the residuals are Normal, without degrees of freedom"),
        ("nu", {"errors": mf.distributions.StudentT(4)}, "4 degrees of freedom, held"),
        ("nu|Subject", {"random_effects": mf.distributions.Laplace()}, "effects of Subject are Laplace"),
        ("nu0", {}, "there is one σ"),
        ("sigma[308]", {}, "there is one σ: give 'sigma'"),
        ("sigma[308]", {"sigma": "by:Subject"}, "give 'sigma0', the typical σ"),
    ],
)
def test_prior_of_a_parameter_without_one_must_raise_with_the_reason(
    sleep: pd.DataFrame, key: str, options: dict[str, object], message: str
) -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    with pytest.raises(mf.ModelError, match=message):
        model.prior_predictive({key: HALF}, **options)


@pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")
def test_dropped_column_must_be_named_in_print_and_in_the_refusal_of_its_prior(sleep: pd.DataFrame) -> None:
    model = mf.lmm("Reaction ~ Days + Twice + (1 | Subject)", sleep.assign(Twice=2.0 * sleep["Days"]))
    drawn = model.gibbs(draws=20, tune=10, seed=1)
    assert drawn.dropped == ("Twice",)
    assert "Dropped, being determined by the others: Twice" in str(drawn)
    with pytest.raises(mf.ModelError, match="'Twice', whose column was dropped"):
        model.gibbs({"Twice": mf.priors.Normal(0, 1)})


# -- on disk -------------------------------------------------------------------------------------------


def test_posterior_from_a_file_must_equal_it(
    posterior: mf.Posterior, sleep: pd.DataFrame, tmp_path: Path
) -> None:
    posterior.save(tmp_path / "posterior.npz")
    read = mf.load(tmp_path / "posterior.npz")
    pd.testing.assert_frame_equal(read.summary(), posterior.summary())
    rows = {"Days": [1.0, 1.0], "Subject": ["308", "new"]}
    assert np.array_equal(read.predict(rows, seed=1).values, posterior.predict(rows, seed=1).values)
    assert read.loo().elpd == posterior.loo().elpd
    assert str(read) == str(posterior)
    with pytest.raises(mf.ModelError, match="cannot be sampled again"):
        read.loo(refit=True)


def test_posterior_without_correlations_and_effects_must_come_back_from_a_file(
    sleep: pd.DataFrame, tmp_path: Path
) -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    priors = {"Subject": mf.priors.Diagonal(mf.priors.HalfNormal(30.0), mf.priors.HalfNormal(10.0))}
    drawn = model.gibbs(priors, draws=50, tune=50, seed=1, keep_effects=False)
    drawn.save(tmp_path / "a.npz")
    read = mf.load(tmp_path / "a.npz")
    assert read.names == drawn.names
    assert np.array_equal(read["sd_Days|Subject"], drawn["sd_Days|Subject"])
    with pytest.raises(mf.ModelError, match="keep_effects"):
        read.predict(sleep[:1])


def test_saving_other_models_must_raise(sleep: pd.DataFrame, tmp_path: Path) -> None:
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", sleep)
    drawn = model.gibbs(draws=20, tune=10, seed=1, errors=mf.distributions.Laplace())
    with pytest.raises(mf.ModelError, match="pickle this one"):
        drawn.save(tmp_path / "a.npz")
    with pytest.raises(mf.ModelError, match="pickle this one"):
        model.prior_predictive(draws=20, seed=1).save(tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_one_level_of_group_coefficients_must_have_a_summary_and_stay_an_array() -> None:
    posterior = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).gibbs(
        draws=100, chains=2, seed=1
    )
    for draws in (posterior.group_coefs["Subject"], posterior.random_effects["Subject"]):
        own = draws["308"]
        plain = draws.values[:, :, draws.levels.get_loc("308")]
        assert isinstance(own, np.ndarray)
        np.testing.assert_array_equal(own, plain)
        pd.testing.assert_frame_equal(
            own.summary(level=0.9), draws.summary(level=0.9).loc["308"], check_names=False
        )
        np.testing.assert_array_equal(own["Days"], plain[:, :, 1])
        for made in (
            own * 2,
            own[..., 0],
            np.quantile(own, 0.5, axis=(0, 1)),
            own.mean(axis=0),
            np.stack([own, own]),
        ):
            assert type(made) is np.ndarray
        np.testing.assert_allclose(own.mean(axis=(0, 1)), plain.mean(axis=(0, 1)))
        assert type(pickle.loads(pickle.dumps(own))) is np.ndarray
        assert repr(own).startswith("Subject 308: 2 chains of 100 draws")
    with pytest.raises(mf.ModelError, match=r"'Day' is not an effect of Subject 308.*'Days'"):
        posterior.group_coefs["Subject"]["308"]["Day"]
