"""Deleting several rows or levels at once equals fits without their rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from dense_diagnostics import DESIGNS, computing, dense, factors_of, fitted, frame

import mixedfit as mf

NAMED = [name for name in DESIGNS if name != "no fixed effects"]


def sets_of(labels: list[Any]) -> dict[str, list[Any]]:
    rng = np.random.default_rng(len(labels))
    return {
        f"set {i}": [labels[j] for j in rng.choice(len(labels), size=2 + i, replace=False)] for i in range(2)
    }


@pytest.mark.everyday(19)
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("what", ["rows", "levels"])
def test_held_influence_of_sets_must_be_that_of_gls_without_all_their_rows(name: str, what: str) -> None:
    """The rivals: sums of single deletions, and the last case of the set alone."""
    fit, slow = fitted(name), dense(name)
    group = None if what == "rows" else (factors_of(name) or [None])[0]
    if what == "levels" and group is None:
        pytest.skip("no grouping factor")
    with computing(DESIGNS[name][2]):
        single = fit.diagnostics.influence(group)
        sets = sets_of(list(single.table.index))
        found = fit.diagnostics.influence(group, sets=sets)
    counted = fit._fit.design.index[slow.rows]
    if group is None:
        labels = counted
    else:
        block = next(b for b in fit._fit.design.blocks if b.name == group)
        labels = block.grouping.levels[block.codes[slow.rows]]
    beta, phi = slow.gls(slow.everything)
    for label, members in sets.items():
        gone = labels.isin(members)
        keep = np.flatnonzero(~gone)
        if np.linalg.matrix_rank(slow.X[keep]) < slow.X.shape[1]:
            assert label in found.reasons.index
            continue
        own, _ = slow.gls(keep)
        d = beta - own
        row = found.table.loc[label]
        assert row["rows"] == gone.sum()
        np.testing.assert_allclose(found.params.loc[label], own, rtol=1e-7, atol=1e-8)
        expected = d @ np.linalg.solve(phi, d) / slow.p / fit.sigma**2
        assert row["cooks_distance"] == pytest.approx(expected, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("name", [n for n in NAMED if DESIGNS[n][2] not in ("dense", "frugal", "sparse")][:5])
def test_refitted_influence_of_sets_must_be_a_fit_without_their_rows(name: str) -> None:
    formula, options, way = DESIGNS[name]
    table = frame("flat" if options.get("flat") else "")
    fit = fitted(name)
    with computing(way):
        labels = list(fit.diagnostics.influence().table.index)
        sets = sets_of(labels)
        found = fit.diagnostics.influence(sets=sets, refit=True)
        settings = {key: options[key] for key in ("reml", "sigma") if key in options}
        for label, members in sets.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = mf.lmm(formula, table.drop(index=members), weights=options.get("weights"))
                slow = model.fit(**settings)
            np.testing.assert_allclose(
                found.params.loc[label],
                slow.params.dropna(),
                rtol=1e-5,
                atol=1e-6 * np.abs(slow.params).max(),
            )


def test_sets_of_one_must_be_single_deletions() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    single = fit.diagnostics.influence("Subject", refit=True)
    found = fit.diagnostics.influence("Subject", sets=[["309"], ["335"]], refit=True)
    for column in ("cooks_distance", "mdffits", "covratio"):
        assert found.table[column].to_numpy() == pytest.approx(
            single.table.loc[["309", "335"], column].to_numpy(), rel=1e-5
        )
    both = fit.diagnostics.influence("Subject", sets=[["309", "335"]])
    assert both.table.index.tolist() == ["309, 335"]
    assert "Influence of each set of levels of Subject" in str(both)


def test_sets_that_are_not_cases_must_be_refused() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    for sets, says in (
        ([], "at least one set"),
        ([[]], "empty"),
        (["309", "335"], "a list of labels for each set"),
        ([["309", "3351"]], "'3351' is not a level of 'Subject'"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            fit.diagnostics.influence("Subject", sets=sets)  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="999 is not a row"):
        fit.diagnostics.influence(sets=[[1, 999]])
