"""Simulated coverage of intervals of several methods."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.model import coverage as module

FORMULA = "SeedlingWeight ~ Genotype + (1 | Tray)"
TRUTH = {"(Intercept)": 16.0, "GenotypeB": -4.0, "sd_(Intercept)|Tray": 3.0, "sigma": 2.0}


def seedlings() -> pd.DataFrame:
    return mf.load_dataset("seedling_weight")


@pytest.fixture(scope="module")
def found() -> mf.Coverage:
    methods = ["wald", "satterthwaite", "kenward-roger", "profile"]
    return mf.coverage(FORMULA, seedlings(), TRUTH, methods=methods, n=12, seed=3)


def intervals_of(found: mf.Coverage, data_set: int, method: str) -> pd.DataFrame:
    rows = found.intervals.query("data_set == @data_set and method == @method")
    return rows.set_index("parameter")[["lower", "upper"]]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("wald", {}),
        ("satterthwaite", {"ddf": "satterthwaite"}),
        ("kenward-roger", {"ddf": "kenward-roger"}),
        ("profile", {"method": "profile"}),
    ],
)
def test_intervals_must_be_those_of_a_fit_to_the_draw(
    found: mf.Coverage, method: str, options: dict[str, Any]
) -> None:
    for r in (0, 7):
        draw, _, _ = np.random.SeedSequence(3, spawn_key=(r,)).spawn(3)
        data = seedlings().assign(SeedlingWeight=mf.simulate_lmm(FORMULA, seedlings(), TRUTH, seed=draw))
        fit = mf.lmm(FORMULA, data).fit()
        mine = intervals_of(found, r, method)
        theirs = fit.conf_int(names="long", **options).loc[mine.index]
        np.testing.assert_allclose(mine, theirs, rtol=1e-10)


def test_table_must_count_the_intervals_around_the_truth(found: mf.Coverage) -> None:
    for row in found.table.itertuples():
        own = found.intervals[
            (found.intervals["method"] == row.method) & (found.intervals["parameter"] == row.parameter)
        ].dropna()
        inside = (own["lower"] <= TRUTH[row.parameter]) & (TRUTH[row.parameter] <= own["upper"])
        assert row.true == TRUTH[row.parameter]
        assert row.n == len(own)
        assert row.coverage == pytest.approx(inside.mean())
        assert row.width == pytest.approx((own["upper"] - own["lower"]).mean())


def test_methods_of_fixed_effects_must_have_no_rows_for_variances(found: mf.Coverage) -> None:
    rows = found.table.groupby("parameter")["method"].agg(list)
    assert rows["sigma"] == ["profile"]
    assert rows["GenotypeB"] == ["wald", "satterthwaite", "kenward-roger", "profile"]


def test_fewer_data_sets_must_be_the_first_of_more(found: mf.Coverage) -> None:
    fewer = mf.coverage(FORMULA, seedlings(), TRUTH, methods="wald", n=4, seed=3)
    for r in range(4):
        pd.testing.assert_frame_equal(intervals_of(fewer, r, "wald"), intervals_of(found, r, "wald"))


def test_credible_and_bootstrap_intervals_must_be_those_of_the_posterior_and_the_bootstrap() -> None:
    found = mf.coverage(
        FORMULA, seedlings(), TRUTH, methods=["bootstrap", "credible"], n=1, replicates=40, seed=5
    )
    draw, boot, post = np.random.SeedSequence(5, spawn_key=(0,)).spawn(3)
    data = seedlings().assign(SeedlingWeight=mf.simulate_lmm(FORMULA, seedlings(), TRUTH, seed=draw))
    model = mf.lmm(FORMULA, data)
    mine = intervals_of(found, 0, "bootstrap")
    drawn = model.fit().bootstrap(40, seed=boot, progress=False).conf_int(names="long")
    np.testing.assert_allclose(mine, drawn.loc[mine.index], rtol=1e-8)
    posterior = model.gibbs(**module.DRAWS, seed=post, n_jobs=1, progress=False)
    mine = intervals_of(found, 0, "credible")
    np.testing.assert_allclose(mine, posterior.conf_int().loc[mine.index], rtol=1e-8)


def test_methods_that_fail_must_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise mf.ModelError("no profile: for a test")

    monkeypatch.setattr(mf.MixedResults, "profile", fail)
    found = mf.coverage(FORMULA, seedlings(), TRUTH, methods=["wald", "profile"], n=3, seed=1)
    assert found.reasons == {"profile: no profile": 3}
    assert set(found.table.query("method == 'profile'")["n"]) == {0}
    assert set(found.table.query("method == 'wald'")["n"]) == {3}
    assert "12 intervals have no value and are left out (3 × profile: no profile)" in str(found)


@pytest.mark.parametrize("pool", [None, ThreadPoolExecutor(1)], ids=["here", "executor"])
def test_an_interrupt_must_keep_what_is_done(monkeypatch: pytest.MonkeyPatch, pool: Any) -> None:
    tasks = module.mapped

    def interrupted(*arguments: Any) -> Iterator[tuple[int, Any]]:
        yield from islice(tasks(*arguments), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "mapped", interrupted)
    with pytest.warns(mf.BootstrapWarning, match="stopped after 3 of 9 data sets"):
        found = mf.coverage(FORMULA, seedlings(), TRUTH, methods="wald", n=9, seed=1, executor=pool)
    assert set(found.table["n"]) == {3}
    assert "Stopped by an interrupt: 3 of 9 data sets." in str(found)


def test_a_fit_must_give_the_true_values() -> None:
    fit = mf.lmm(FORMULA, seedlings()).fit()
    found = mf.coverage(FORMULA, seedlings(), fit, methods="wald", parameters="GenotypeB", n=2, seed=1)
    assert found.table["true"].tolist() == [fit.params["GenotypeB"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["walt"]}, "methods has 'walt'; .* Did you mean 'wald'"),
        ({"methods": []}, "methods is empty"),
        ({"parameters": "GenotypeC"}, "'GenotypeC' is not a parameter; .* Did you mean 'GenotypeB'"),
        ({"n": 0}, "n is 0|n=0"),
        ({"level": 1.2}, "level"),
    ],
)
def test_bad_options_must_be_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        mf.coverage(FORMULA, seedlings(), TRUTH, **options)


def test_picture_must_show_every_method_and_the_nominal_level(found: mf.Coverage) -> None:
    figure = found.plot()
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(dict.fromkeys(found.table["parameter"]))
    last = figure.axes[-1]
    assert [t.get_text() for t in last.get_yticklabels()] == [
        "wald",
        "satterthwaite",
        "kenward-roger",
        "profile",
    ]
    rows = found.table.query("parameter == 'GenotypeB'")
    np.testing.assert_allclose(last.lines[-1].get_xdata(), rows["coverage"])
    with pytest.raises(mf.ModelError, match="ax is for one parameter"):
        found.plot(ax=last)


def test_html_must_have_a_row_for_each_parameter_and_method(found: mf.Coverage) -> None:
    assert found._repr_html_().count("<tr>") == 1 + len(found.table)


@pytest.mark.slow
def test_few_trays_must_make_wald_intervals_too_short() -> None:
    """Four trays a genotype: t quantiles with 6 degrees of freedom cover, normal ones do not."""
    found = mf.coverage(
        FORMULA,
        seedlings(),
        TRUTH,
        methods=["wald", "kenward-roger", "credible"],
        parameters="GenotypeB",
        n=1000,
        seed=1,
    )
    rows = found.table.set_index("method")
    assert rows.loc["wald", "upper"] < 0.93
    assert rows.loc["kenward-roger", "lower"] < 0.95 < rows.loc["kenward-roger", "upper"]
    assert rows.loc["credible", "lower"] > 0.92


@pytest.mark.slow
def test_the_lesson_must_state_the_coverage_of_a_thousand_experiments() -> None:
    """Wald and profile 90%, Kenward–Roger and credible 95%, as lesson 001 says."""
    methods = ["wald", "profile", "kenward-roger", "credible"]
    fit = mf.lmm(FORMULA, seedlings()).fit()
    found = mf.coverage(FORMULA, seedlings(), fit, methods=methods, parameters="GenotypeB", n=1000, seed=1)
    shares = found.table.set_index("method")["coverage"]
    assert shares.round(2)[methods].tolist() == [0.90, 0.90, 0.95, 0.95]
    widths = found.table.set_index("method")["width"]
    assert 0.9 * widths["kenward-roger"] < widths["credible"] < widths["kenward-roger"]
