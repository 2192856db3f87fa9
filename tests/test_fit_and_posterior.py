"""A fit beside a posterior."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfit as mf


@pytest.fixture(scope="module")
def sleep() -> tuple[mf.MixedResults, mf.Posterior]:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    return model.fit(), model.gibbs(seed=1)


def test_table_must_hold_what_fit_and_posterior_say(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, posterior = sleep
    table = mf.compare(fit, posterior, level=0.9, methods=["wald", "profile"]).table
    assert list(table.index) == list(posterior.names)
    profile = fit.conf_int(0.9, "profile", names="long")
    assert table.loc["sigma", "profile_upper"] == profile.loc["sigma", "upper"]
    assert table.loc["Days", "std_error"] == fit.bse["Days"]
    sds = fit.varcorr["sdcor"].tolist()
    names = ["sd_(Intercept)|Subject", "sd_Days|Subject", "cor_Days.(Intercept)|Subject", "sigma"]
    assert np.allclose(table.loc[names, "estimate"], sds, rtol=1e-12)
    low, high = np.quantile(posterior["Days"], [0.05, 0.95])
    assert table.loc["Days", ["cred_lower", "cred_upper"]].tolist() == pytest.approx([low, high])


def test_printed_comparison_must_fit_a_screen_and_show_three_digits_of_the_sd(
    sleep: tuple[mf.MixedResults, mf.Posterior],
) -> None:
    fit, posterior = sleep
    lines = str(mf.compare(fit, posterior)).splitlines()
    assert max(map(len, lines)) <= 115
    row = next(line.split() for line in lines if line.startswith("Days"))
    assert row[1:3] == [f"{fit.params['Days']:.2f}", f"{fit.bse['Days']:.2f}"]
    assert row[8] == f"{posterior['Days'].std(ddof=1):.2f}"
    correlation = next(line.split() for line in lines if line.startswith("cor_"))
    assert len(correlation) == 1 + 1 + 2 + 4  # no standard error and no Wald interval


def test_blups_must_stand_beside_posterior_means(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, posterior = sleep
    table = mf.compare(fit, posterior, methods=[]).random_effects["Subject"]
    assert table.loc[("308", "Days"), "mode"] == fit.random_effects["Subject"].loc["308", "Days"]
    assert table.loc[("308", "Days"), "mean"] == posterior.random_effects["Subject"].mean.loc["308", "Days"]


def test_notes_must_say_that_wald_intervals_take_the_variances_as_known(
    sleep: tuple[mf.MixedResults, mf.Posterior],
) -> None:
    notes = mf.compare(*sleep, methods=[]).notes
    assert any(note.startswith("Days") and "as known" in note for note in notes)


def test_notes_must_explain_a_variance_estimated_at_zero() -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2"))
    side = mf.compare(model.fit(), model.gibbs(seed=1), methods=["profile"])
    assert any("the estimate is 0" in note for note in side.notes)
    assert "sd_(Intercept)|Batch" in str(side)


def test_other_data_must_be_refused(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, posterior = sleep
    other = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
    with pytest.raises(mf.ModelError, match="same model"):
        mf.compare(other, posterior)
    with pytest.raises(mf.ModelError, match="in this order"):
        mf.compare(posterior, fit)
    with pytest.raises(mf.ModelError, match="walt"):
        mf.compare(fit, posterior, methods=["walt"])
