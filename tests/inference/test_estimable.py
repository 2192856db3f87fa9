"""Contrasts of models without full rank: estimability, values and notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from r_reference import data_of, fitted

import mixedfit as mf

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")

HOLES = "angle ~ recipe * temperature + (1 | recipe:replicate)"


def holes() -> mf.MixedResults:
    """A fit without any row of recipe B at 205 degrees."""
    return fitted(HOLES, "holes")


def test_contrast_of_an_empty_cell_must_be_nan_and_named() -> None:
    test = holes().t_test(["recipeB:temperature205", "recipeB + recipeB:temperature205", "recipeB"])
    assert np.isnan(test.table.iloc[:2].to_numpy()).all()
    assert np.isfinite(test.table.iloc[2].to_numpy()).all()
    assert "Not estimable" in test.notes[0]
    assert test.notes[0].endswith("recipeB:temperature205; recipeB + recipeB:temperature205.")
    assert "dropped for rank: recipeB:temperature205" in str(test)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "residual", "normal"])
def test_estimable_contrast_with_a_dropped_column_must_have_its_value(ddf: Any) -> None:
    data = data_of("uneven").assign(fahrenheit=lambda t: 1.8 * t["temp"] + 32)
    both = mf.lmm("angle ~ temp + fahrenheit + (1 | recipe:replicate)", data).fit()
    one = mf.lmm("angle ~ temp + (1 | recipe:replicate)", data).fit()
    # one degree of temp is 1.8 of fahrenheit: only temp + 1.8 fahrenheit (per degree) is determined
    ours = both.t_test({"temp": 1.0, "fahrenheit": 1.8}, ddf=ddf).table.iloc[0]
    assert ours.to_numpy() == pytest.approx(one.t_test("temp", ddf=ddf).table.iloc[0].to_numpy(), rel=1e-6)
    mean = both.t_test({"(Intercept)": 1.0, "temp": 200.0, "fahrenheit": 392.0}, ddf=ddf).table.iloc[0]
    at_200 = one.t_test({"(Intercept)": 1.0, "temp": 200.0}, ddf=ddf).table.iloc[0]
    assert mean.to_numpy() == pytest.approx(at_200.to_numpy(), rel=1e-6)
    assert both.f_test({"temp": 1.0, "fahrenheit": 1.8}, ddf=ddf).p_value == pytest.approx(ours["p_value"])


def test_single_coefficient_must_have_the_value_of_the_summary_and_say_on_what_it_depends() -> None:
    data = data_of("uneven").assign(double=lambda t: 2.0 * t["temp"])
    fit = mf.lmm("angle ~ temp + double + (1 | recipe:replicate)", data).fit()
    test = fit.t_test("temp")
    assert test.table.loc["temp", "estimate"] == fit.params["temp"]
    assert "With dropped coefficients at 0: temp" in str(test)
    with pytest.raises(mf.ModelError, match=r"(?s)Not estimable.*double.*temp"):
        fit.f_test("temp")
    assert np.isnan(fit.t_test("temp - double").table["estimate"].iloc[0])


def test_full_rank_must_have_no_notes() -> None:
    assert fitted(HOLES, "uneven").t_test("recipeB:temperature205").notes == ()


def test_wald_test_must_be_f_or_chi_square() -> None:
    fit = fitted(HOLES, "uneven")
    what = ["recipeB:temperature205", "recipeC"]
    f = fit.f_test(what)
    wald = fit.wald_test(what)
    assert (wald.distribution, wald.statistic, wald.p_value) == ("F", f.statistic, f.p_value)
    assert (wald.df, wald.df_denom) == (f.df_num, f.df_denom)
    chi2 = fit.wald_test(what, use_f=False)
    L = np.zeros((2, fit.params.size))
    L[[0, 1], [fit.params.index.get_loc(name) for name in what]] = 1.0
    gap = L @ fit.params.to_numpy()
    expected = gap @ np.linalg.solve(L @ fit.cov_params().to_numpy() @ L.T, gap)
    assert (chi2.distribution, chi2.df, chi2.df_denom) == ("chi2", 2, np.inf)
    assert chi2.statistic == pytest.approx(expected, rel=1e-10)
    assert chi2.p_value == pytest.approx(np.exp(-expected / 2), rel=1e-9)  # two degrees of freedom
    for same in ("recipeB:temperature205 = 0, recipeC", [{name: 2} for name in what], L):
        assert fit.wald_test(same, use_f=False).statistic == pytest.approx(expected)


def test_contradicting_or_wrong_hypotheses_must_be_refused() -> None:
    fit = holes()
    for bad, says in (
        (["recipeC = 1", "recipeC = 2"], "contradict"),
        ("0 * recipeC", "all 0"),
        (np.ones((1, 3)), "18 columns"),
        ("recipeD", "Did you mean"),
        ("recipeB:temperature205, recipeC", "Not estimable"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            fit.wald_test(bad)


def nested() -> Any:
    """Stores within regions, where regions are sums of stores."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {"place": rng.integers(0, 30, 600), "x": rng.normal(size=600), "g": rng.integers(0, 40, 600)}
    )
    data["region"] = np.array(list("abc"))[data["place"] // 10]
    data["store"] = data["place"].map("s{:02d}".format)
    data["f"] = rng.choice(list("pq"), 600)
    return data.assign(y=rng.normal(size=600) + rng.normal(size=40)[data["g"]])


@pytest.mark.parametrize("many", [False, True])
def test_nested_factor_must_leave_differences_of_the_outer_one_undetermined(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 20)
    fit = mf.lmm("y ~ region + f + store + x + (1 | g)", nested()).fit()
    assert bool(fit._fit.design.many) is many
    assert fit.emmeans("region", nesting=False).contrasts().table["estimate"].isna().all()
    if not many:  # over the stores that occur in each region
        assert fit.emmeans("region").contrasts().table["estimate"].notna().all()
    inner = mf.lmm("y ~ f + store + x + (1 | g)", nested()).fit()
    columns = ["estimate", "std_error"]
    means = [r.emmeans("f", ddf="normal").table[columns].to_numpy() for r in (fit, inner)]
    assert means[0] == pytest.approx(means[1], rel=1e-5)
    ours, theirs = (r.anova(ddf="residual").table.loc["f", "statistic"] for r in (fit, inner))
    assert ours == pytest.approx(theirs, rel=1e-6)
    if many:
        assert "region: not estimable" in str(fit.anova())


def test_many_level_columns_must_have_neither_df_nor_p_nor_limits_but_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    fit = mf.lmm("angle ~ temp + replicate + (1 | recipe:replicate)", data_of("cake")).fit()
    test = fit.t_test(["replicate2 - replicate3", "temp"])
    assert test.table.iloc[0].isna().tolist() == [False, False, True, False, True, True, True]
    assert test.table.iloc[1].notna().all()
    assert "not known where levels of 'replicate' enter" in test.notes[0]
    assert np.isfinite(fit.t_test("replicate2 - replicate3", ddf="residual").table.to_numpy()).all()
    table = fit.anova()
    row = str(table).splitlines()[3].split()
    assert (row[0], row[4], row[6]) == ("replicate", "NA", "NA")
    assert "not known where levels of 'replicate' enter" in table.notes[0]
    assert max(map(len, str(table).splitlines())) <= 90
    known = fit.anova(ddf="normal")
    assert "Inf" in str(known)
    assert not known.notes
