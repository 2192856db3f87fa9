"""Leaving out a case by subtracting its products equals leaving out its rows."""

from __future__ import annotations

import json
import warnings
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dense_diagnostics import DESIGNS, computing, dense, factors_of, fitted, frame
from paths import REFERENCE_FOLDER
from published import records

import mixedfit as mf
from mixedfit.diagnostics.deletion import local_refits, refits
from mixedfit.estimation.parameters import parameters_of, values_of

REFERENCE = json.loads((REFERENCE_FOLDER / "diagnostics.json").read_text(encoding="utf-8"))

CASES = [(name, group) for name in DESIGNS for group in ("rows", *factors_of(name))]


@pytest.mark.everyday(3)
@pytest.mark.parametrize(("name", "group"), [c for c in CASES if c[0] != "no fixed effects"])
def test_held_influence_must_be_that_of_gls_without_the_rows(name: str, group: str) -> None:
    fit, slow = fitted(name), dense(name)
    with computing(DESIGNS[name][2]):
        found = fit.diagnostics.influence(None if group == "rows" else group)
    scale = fit.sigma**2
    beta, phi = slow.gls(slow.everything)
    p = slow.p
    if group == "rows":
        codes = slow.everything
    else:
        block = next(b for b in fit._fit.design.blocks if b.name == group)
        codes = block.codes[slow.rows]
    checked = 0
    for i, code in enumerate(np.unique(codes)):
        row = found.table.iloc[i]
        assert row["rows"] == np.sum(codes == code)
        keep = np.flatnonzero(codes != code)
        if np.linalg.matrix_rank(slow.X[keep]) < slow.X.shape[1]:
            continue
        own, inner = slow.gls(keep)
        d = beta - own
        np.testing.assert_allclose(found.params.iloc[i], own, rtol=1e-8, atol=1e-9)
        assert row["cooks_distance"] == pytest.approx(
            d @ np.linalg.solve(phi, d) / p / scale, rel=1e-7, abs=1e-11
        )
        assert row["mdffits"] == pytest.approx(d @ np.linalg.solve(inner, d) / p / scale, rel=1e-7, abs=1e-11)
        assert row["covratio"] == pytest.approx(np.linalg.det(inner) / np.linalg.det(phi), rel=1e-8)
        assert row["covtrace"] == pytest.approx(abs(np.trace(np.linalg.solve(phi, inner)) - p), abs=1e-8)
        np.testing.assert_allclose(
            found.dfbetas.iloc[i], d / np.sqrt(scale * np.diag(inner)), rtol=1e-6, atol=1e-9
        )
        checked += 1
    assert checked >= 0.8 * len(found.table) > 0


def without(name: str, rows: Any) -> mf.MixedResults:
    """Return the fit of a design's data less some rows, from scratch."""
    formula, options, way = DESIGNS[name]
    table = frame("flat" if options.get("flat") else "")
    settings = {key: options[key] for key in ("reml", "sigma") if key in options}
    with computing(way), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, table.drop(index=rows), weights=options.get("weights")).fit(**settings)


SLOW_WAYS = ("dense", "frugal", "sparse")


@pytest.mark.everyday(5)
@pytest.mark.parametrize(
    ("name", "group"), [c for c in CASES if DESIGNS[c[0]][2] not in SLOW_WAYS or c[1] in ("g", "h")]
)
def test_refitted_influence_must_be_a_fit_without_the_rows(name: str, group: str) -> None:
    fit = fitted(name)
    with computing(DESIGNS[name][2]):
        found = fit.diagnostics.influence(None if group == "rows" else group, refit=True)
    labels = found.table.index if group == "rows" else found.table.index.astype(str)
    table = frame("")
    member = table.index if group == "rows" else table[group.split(":")].agg(":".join, axis=1).to_numpy()
    chosen = np.linspace(0, len(labels) - 1, min(len(labels), 6)).astype(int)
    for i in chosen:
        assert labels[i] not in found.reasons
        refit = without(name, table.index[member == labels[i]])
        names = found.params.columns
        np.testing.assert_allclose(found.params.iloc[i], refit.params[names], rtol=1e-6, atol=1e-7)
        theirs = values_of(refit._fit, [p for p in parameters_of(refit._fit) if p.kind != "fixed"])
        np.testing.assert_allclose(found.variances.iloc[i], theirs, rtol=2e-6, atol=1e-6)
        assert found.criterion.iloc[i] == pytest.approx(refit._fit.evaluation.value, rel=1e-8, abs=1e-6)


def simulated(levels: int, rows: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    x = rng.normal(size=g.size)
    noise = rng.normal(size=g.size)
    y = 1 + x + rng.normal(size=levels)[g] + 0.5 * rng.normal(size=levels)[g] * x + noise
    return pd.DataFrame({"y": y, "x": x, "g": g, "w": rng.choice([0.5, 1.0, 2.0], g.size)})


@pytest.mark.everyday(4)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)", "y ~ x + (x || g)"])
@pytest.mark.parametrize("group", ["g", None])
def test_case_deletion_must_equal_a_refit_to_1e8(formula: str, reml: bool, group: str | None) -> None:
    table = simulated(250, 4)
    fit = mf.lmm(formula, table, weights="w").fit(reml=reml)
    found = fit.diagnostics.influence(group, refit=True)
    assert not found.reasons.size
    worst = found.table["cooks_distance"].to_numpy().argsort()[[-1, -2, 300 if group is None else 30]]
    for i in worst:
        label = found.table.index[i]
        less = table[table["g"] != label] if group else table.drop(index=label)
        refit = mf.lmm(formula, less, weights="w").fit(reml=reml, start=fit.theta.to_numpy())
        np.testing.assert_allclose(found.params.iloc[i], refit.params, rtol=1e-8)
        theirs = values_of(refit._fit, [p for p in parameters_of(refit._fit) if p.kind != "fixed"])
        np.testing.assert_allclose(found.variances.iloc[i], theirs, rtol=1e-8, atol=1e-8)
        assert found.criterion.iloc[i] == pytest.approx(refit._fit.evaluation.value, rel=1e-11)
        # the rival: variance parameters held
        held = fit.diagnostics.influence(group).params.iloc[i]
        assert np.abs(found.params.iloc[i] / held - 1).max() > 1e-7


@pytest.mark.everyday(2)
@pytest.mark.parametrize(("formula", "levels"), [("y ~ x + (1 | g)", 120), ("y ~ x + (x | g)", 400)])
@pytest.mark.parametrize("reml", [True, False])
def test_local_refits_must_serve_every_level_and_give_what_single_searches_give(
    formula: str, levels: int, reml: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = mf.lmm(formula, simulated(levels, 5), weights="w").fit(reml=reml)
    with monkeypatch.context() as patch:
        patch.setattr(refits, "_refit", pytest.fail)  # no case is left to a search of its own
        local = fit.diagnostics.influence("g", refit=True)
    monkeypatch.setattr(local_refits, "DEGREES", {})
    single = fit.diagnostics.influence("g", refit=True)
    np.testing.assert_allclose(local.params, single.params, rtol=1e-9)
    np.testing.assert_allclose(local.variances, single.variances, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(local.table, single.table, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(local.criterion, single.criterion, rtol=1e-12)
    # the rival: variance parameters held
    assert np.abs(local.variances / fit.diagnostics.influence("g").variances - 1).to_numpy().max() > 1e-3


@pytest.mark.parametrize("name", ["crossed", "nested", "slopes of ML"])
def test_compiled_searches_must_give_what_single_ones_give(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_refits, "DEGREES", {})
    single = fitted(name).diagnostics.influence("g", refit=True)
    monkeypatch.setattr(refits, "COMPILED_FROM", 0)
    compiled = fitted(name).diagnostics.influence("g", refit=True)
    np.testing.assert_allclose(compiled.variances, single.variances, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(compiled.table, single.table, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(compiled.criterion, single.criterion, rtol=1e-10)


def test_cases_of_one_label_must_stay_apart() -> None:
    table = frame("")
    table.index = pd.Index(["same"] * len(table))
    table["one"] = [1.0, *[0.0] * (len(table) - 1)]
    found = mf.lmm("y ~ x + one + (1 | g)", table).fit().diagnostics.influence()
    assert len(found.table) == len(table)
    assert found.table["cooks_distance"].isna().sum() == 1
    assert list(found.reasons) == ["fixed effects not estimable"]


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)"])
def test_influence_of_1000_groups_must_cost_less_than_20_fits(formula: str) -> None:
    table = simulated(1000, 10)
    model = mf.lmm(formula, table)
    fit = model.fit()
    fit.diagnostics.influence("g", refit=True)
    ratios = []
    for _ in range(5):
        begun = perf_counter()
        for _ in range(3):
            fit = mf.lmm(formula, table).fit()
        full = (perf_counter() - begun) / 3
        begun = perf_counter()
        found = fit.diagnostics.influence("g", refit=True)
        ratios.append((perf_counter() - begun) / full)
    assert not found.reasons.size
    assert min(ratios) < 20


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    ("name", "group"), [(n, g) for n, r in REFERENCE["models"].items() for g in r["influence"]]
)
def test_refitted_influence_must_be_that_of_lme4(name: str, group: str) -> None:
    record = REFERENCE["models"][name]
    expected = record["influence"][group]
    table = mf.load_dataset(record["data"])
    fit = mf.lmm(record["formula"], table).fit(reml=record["reml"])
    found = fit.diagnostics.influence(None if group == "case" else group, refit=True)
    assert not found.reasons.size
    if group != "case":
        order = [str(case) for case in expected["cases"]]
        assert sorted(order) == sorted(found.table.index.astype(str))
        place = [list(found.table.index.astype(str)).index(case) for case in order]
    else:
        place = list(range(len(table)))
    ours = found.table.iloc[place]

    def wanted(key: str) -> Any:
        return np.array(expected[key]).reshape(len(place), -1)

    np.testing.assert_allclose(found.criterion.iloc[place], expected["criterion"], rtol=1e-8)
    np.testing.assert_allclose(found.params.iloc[place], wanted("fixef"), rtol=1e-7)
    np.testing.assert_allclose(found.variances.iloc[place], wanted("vc"), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(ours["cooks_distance"], expected["cooks"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(ours["mdffits"], expected["mdffits"], rtol=2e-5, atol=1e-8)
    np.testing.assert_allclose(ours["covratio"], expected["covratio"], rtol=1e-5)
    np.testing.assert_allclose(ours["covtrace"], expected["covtrace"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.dfbetas.iloc[place], wanted("dfbetas"), rtol=2e-5, atol=1e-7)


@pytest.mark.skipif(not records(), reason="the collection of published results is not at hand")
def test_case_deletion_must_be_the_published_one() -> None:
    expected = records()["lme4-sleepstudy-influence-reml"]["expected"]
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
    rows, groups = (fit.diagnostics.influence(group, refit=True) for group in (None, "Subject"))
    np.testing.assert_allclose(rows.params.iloc[0], expected["beta_without_row1"], rtol=1e-6)
    # lme4 1.1's distances have a factor (m − p)/m, m the number of cases
    for found, key in ((rows, "cooks_case_deletion_first2"), (groups, "cooks_subject_first2")):
        m = len(found.table)
        ours = found.table["cooks_distance"][:2] * (m - 2) / m
        np.testing.assert_allclose(ours, expected[key], rtol=1e-6)
        if (
            found is rows
        ):  # the rival: variance parameters held. The design is balanced: β̂ without a subject is the same
            held = fit.diagnostics.influence().table["cooks_distance"][:2] * (m - 2) / m
            assert np.all(np.abs(held / np.array(expected[key]) - 1) > 1e-4)


def test_case_without_which_nothing_can_be_estimated_must_say_why() -> None:
    table = frame("")
    table["only"] = (table["g"] == "g3") * 1.0
    fit = mf.lmm("y ~ x + only + (1 | g)", table).fit()
    for refit in (False, True):
        found = fit.diagnostics.influence("g", refit=refit)
        assert dict(found.reasons) == {"g3": "fixed effects not estimable"}
        assert found.table.drop(columns="rows").loc["g3"].isna().all()
        assert found.table.drop(index="g3").notna().all(axis=None)
        assert "1 without estimates: fixed effects not estimable." in str(found)


def test_factor_must_be_refused_where_the_model_has_no_such_one() -> None:
    with pytest.raises(
        mf.ModelError, match=r"'Subjct' is not a grouping factor.*Subject.*Did you mean 'Subject'\?"
    ):
        mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit().diagnostics.influence(
            "Subjct"
        )
    with pytest.raises(mf.ModelError, match="no random effects"):
        fitted("no random effects").diagnostics.influence("g")
    with pytest.raises(mf.ModelError, match=r"Did you mean 'mdffits'\?"):
        fitted("slopes").diagnostics.influence("g").top(2, by="mdfits")


def test_influence_must_print_the_cases_that_matter_most() -> None:
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
    text = str(fit.diagnostics.influence("Subject"))
    lines = text.split("\n")
    assert lines[0].startswith("Influence of each level of Subject, variance parameters held. The 10 of 18")
    assert lines[3].split()[0] == "335"
    assert len(lines) == 13


def test_measures_of_influence_must_be_at_hand_by_name() -> None:
    found = (
        mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit().diagnostics.influence("Batch")
    )
    for name in ("cooks_distance", "mdffits", "covratio", "covtrace"):
        assert getattr(found, name).equals(found.table[name])
