"""Models from cross-products of rows in several places equal those of the rows in one frame."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def rows(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {
            "x": rng.normal(5, 2, n) + np.repeat([0, 10, 30], n // 3),
            "f": rng.choice(["a", "b", "c"], n),
            "g": rng.integers(0, 30, n) + 100,
            "h": rng.choice(list("pqrs"), n),
            "w": rng.uniform(0.5, 2, n),
            "o": rng.normal(size=n),
            "site": np.repeat(["A", "B", "C"], n // 3),
        }
    )
    frame["f"] = frame["f"].where(frame["site"] != "A", frame["f"].replace("c", "a"))
    frame["g"] += np.where(frame["site"] == "B", 15, 0)
    frame["z"] = np.array(list("abcd"))[np.arange(n) % 4]  # crossed with h, with as many levels
    frame["y"] = frame["x"] / 3 + rng.normal(size=60)[frame["g"] - 100] + rng.normal(size=n)
    return frame


def sites() -> list[pd.DataFrame]:
    return [part for _, part in rows().groupby("site")]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same_fit(found: mf.MixedResults, expected: mf.MixedResults) -> None:
    """Assert that two fits have the same estimates, errors, criterion, verdict and random effects."""
    assert found.convergence.status == expected.convergence.status
    assert found.varcorr["grp"].tolist() == expected.varcorr["grp"].tolist()
    assert found.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-7)
    np.testing.assert_allclose(found.varcorr["vcov"], expected.varcorr["vcov"], rtol=1e-5, atol=1e-8)
    assert list(found.params.index) == list(expected.params.index)
    for group, effects in expected.random_effects.items():
        assert found.random_effects[group].index.tolist() == effects.index.tolist()
        np.testing.assert_allclose(found.random_effects[group], effects, atol=1e-6)


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 | g)",
        "y ~ x + I(x * 2) + (x | g) + (1 | h)",
        "y ~ 1 + (1 | h/g)",
        "y ~ x",
        "y ~ x + (0 + x | g) + (1 | g)",
        "y ~ x + (1 | z) + (1 | h)",
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_must_be_that_of_all_rows(formula: str, weighted: bool, tmp_path: Path) -> None:
    """Levels differ between sites; x lies in another range at each. One site is a frame, one a source, one a file."""
    options = {"weights": "w", "offset": "o"} if weighted else {}
    one, two, three = sites()
    mf.lmm(formula, three, **options).cross_products().save(tmp_path / "three.npz")
    parts = [
        mf.lmm(formula, one, **options).cross_products(),
        mf.lmm(formula, [two[:20], two[20:]], **options).cross_products(),
        tmp_path / "three.npz",
    ]
    found, expected = mf.lmm_from(parts).fit(), mf.lmm(formula, rows(), **options).fit()
    same_fit(found, expected)
    new = rows()[:6]
    np.testing.assert_allclose(found.predict(new), expected.predict(new), rtol=1e-8)
    table, whole = (fit.anova(type=2).table.select_dtypes("number") for fit in (found, expected))
    np.testing.assert_allclose(table, whole, rtol=1e-5)


def test_sums_of_sums_must_be_the_sum(tmp_path: Path) -> None:
    """A fit that was saved without rows is no part; a model of parts is."""
    formula = "y ~ x + (x | g)"
    one, two, three = (mf.lmm(formula, part).cross_products() for part in sites())
    both = mf.lmm_from([one, two]).cross_products()
    same_fit(mf.lmm_from([both, three]).fit(), mf.lmm(formula, rows()).fit())


@pytest.mark.everyday(2)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ scale(x) + f + (scale(x) | g)",
        "y ~ center(x) * site + (1 | h)",
        "y ~ C(site) + f + (1 | g) + (f | h)",
        "y ~ x + (1 | site) + (1 | g:h)",
        "y ~ bs(x, knots=[5, 15], Boundary_knots=[-10, 60]) + (1 | g)",
    ],
)
def test_fit_must_be_that_of_all_rows_after_an_agreement(formula: str, tmp_path: Path) -> None:
    """Each site lacks levels of f or site, and has another mean and SD of x; a site has one level of `site`."""
    parts = sites()
    for i, part in enumerate(parts):
        mf.site_recipe(formula, part).save(tmp_path / f"{i}.json")
    mf.agree([tmp_path / f"{i}.json" for i in range(3)]).save(tmp_path / "agreed.json")
    products = [mf.lmm(formula, part, recipe=tmp_path / "agreed.json").cross_products() for part in parts]
    same_fit(mf.lmm_from(products).fit(), mf.lmm(formula, rows()).fit())


def uneven() -> list[pd.DataFrame]:
    """Return sites of 40, 80 and 120 rows, with missing values, and a level whose rows have a weight at one site only.

    `two` has two values at each site, and three at all of them; `k` is a factor beside `f`.
    """
    frame, rng = rows(), np.random.default_rng(3)
    frame["two"], frame["k"] = rng.choice([0.0, 1.0], 240), rng.choice(list("uvw"), 240)
    frame.loc[120:, "two"] *= 2
    frame.loc[[3, 50, 51, 200], "x"] = np.nan
    frame["w"] = np.where(frame.index < 120, 1.0, 4.0)
    frame.loc[[0, 1, 130, 131], "g"] = 999
    frame.loc[[60, 61, 130, 131], "w"] = 0.0
    return [frame[:40], frame[40:120], frame[120:]]


@pytest.mark.parametrize("fixed", ["x + f * k", "f + two"])
def test_answers_must_count_the_rows_of_all_sites_when_these_differ_in_size(fixed: str) -> None:
    """Rivals: means of the sites' means, cells and dropped rows of one site, two values for three."""
    formula = f"y ~ {fixed} + (1 | h)"
    recipe = mf.agree([mf.site_recipe(formula, part, weights="w") for part in uneven()])
    parts = [mf.lmm(formula, part, recipe=recipe, weights="w").cross_products() for part in uneven()]
    found, expected = mf.lmm_from(parts).fit(), mf.lmm(formula, pd.concat(uneven()), weights="w").fit()
    same_fit(found, expected)
    ways = [{}] if "two" in fixed else [{}, {"weights": "outer"}, {"weights": "cells"}]
    for options in ways:
        ours, theirs = (fit.emmeans("f", **options).table for fit in (found, expected))  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)
    assert str(found.summary()).splitlines()[-2:] == str(expected.summary()).splitlines()[-2:]
    assert found._fit.design.dropped == (0 if "two" in fixed else 4)
    names = ("low", "high", "mean", "two_valued")
    recipes = [fit._fit.design.recipe for fit in (found, expected)]
    for name in expected._fit.design.recipe.variables:  # type: ignore[union-attr]
        ours, theirs = ([getattr(r.variables[name], part) for part in names] for r in recipes)  # type: ignore[union-attr]
        assert ours == pytest.approx(theirs, nan_ok=True), name


def test_totals_must_be_those_of_all_rows_when_levels_have_weight_at_one_site_only(tmp_path: Path) -> None:
    """They decide on identifiability and on which fits have the same rows. Rivals: those of the first or last site."""
    formula = "y ~ x + (1 | h) + (1 | g)"
    parts = [mf.lmm(formula, part, weights="w").cross_products() for part in uneven()]
    parts[1].save(tmp_path / "two.npz")
    parts[2] = mf.lmm_from(parts[2:]).cross_products()
    model = mf.lmm_from([parts[0], tmp_path / "two.npz", parts[2]])
    model.fit().save(tmp_path / "fit.npz", rows=False)
    streamed = mf.lmm(formula, uneven(), weights="w")
    for design in (model.design, mf.load(tmp_path / "fit.npz")._fit.design):
        assert design.absent is not None
        assert streamed.design.absent is not None
        found, expected = design.absent.known_totals(), streamed.design.absent.known_totals()
        for name in ("rows", "counted", "levels", "digest", "equal_weights"):
            assert getattr(found, name) == getattr(expected, name), name
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-12)
        np.testing.assert_array_equal(found.same, expected.same)
    model.cross_products().save(tmp_path / "all.npz")
    assert repr(mf.lmm_from([tmp_path / "all.npz"]).cross_products()).endswith("236 rows, 3 parts>")


def test_part_with_fewer_rows_than_coefficients_must_be_usable() -> None:
    formula = "y ~ x * f + (1 | g)"
    parts = [rows()[:3], rows()[3:]]
    recipe = mf.agree([mf.site_recipe(formula, part) for part in parts])
    products = [mf.lmm(formula, part, recipe=recipe).cross_products() for part in parts]
    same_fit(mf.lmm_from(products).fit(), mf.lmm(formula, rows()).fit())
    with pytest.raises(mf.ModelError, match="3 rows cannot determine"):
        mf.lmm(formula, parts[0], recipe=recipe).fit()


def products(formula: str = "y ~ x + (1 | g)", part: int = 0, **options: Any) -> mf.RowProducts:
    return mf.lmm(formula, sites()[part], **options).cross_products()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: [products(), products("y ~ 1 + (1 | g)")], "different formulas"),
        (lambda: [products(), products(weights="w")], "differ in weights"),
        (lambda: [products(), products(offset="o")], "differ in the offset"),
        (lambda: [products("y ~ f + (1 | g)", i) for i in range(2)], r"in one only: fc\).*mf.agree"),
        (
            lambda: [products("y ~ scale(x) + (1 | g)", i) for i in range(2)],
            r"states of scale\(x\).*mf.agree",
        ),
        (lambda: [products("y ~ x + (f | g)", i) for i in range(2)], "different random effects of 'g'"),
        (lambda: [], "at least one"),
        (lambda: [3], "is no cross-products"),
        (lambda: ["absent.npz"], "no file"),
        (lambda: [products("scale(y) ~ x + (1 | g)")], "learns from the rows"),
        (lambda: [products(residual=mf.residuals.VarIdent("f"))], "no cross-products without its rows"),
    ],
)
def test_parts_of_different_models_must_be_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(mf.MixedfitError, match=words):
        mf.lmm_from(make())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda one, two: mf.agree([mf.site_recipe("y ~ x", one), mf.site_recipe("y ~ f", two)]),
            "one model",
        ),
        (
            lambda one, two: mf.agree([mf.site_recipe("y ~ ns(x, 3)", p) for p in (one, two)]),
            "give knots=",
        ),
        (
            lambda one, two: mf.agree(
                [mf.site_recipe("y ~ f", one), mf.site_recipe("y ~ f", two.assign(f=1))]
            ),
            "one type",
        ),
        (lambda one, two: mf.lmm("y ~ f", two, recipe=mf.site_recipe("y ~ f", one)), "'c', which the recipe"),
        (
            lambda one, two: mf.lmm("y ~ x", two, recipe=mf.site_recipe("y ~ f", one)),
            "the recipe is of 'y ~ f'",
        ),
        (lambda one, two: mf.lmm("y ~ x", two, recipe=3), "result of mixedfit.agree"),
        (lambda one, two: mf.agree([]), "at least one"),
    ],
)
def test_recipe_of_another_model_must_be_refused(make: Callable[[Any, Any], Any], words: str) -> None:
    with pytest.raises(mf.MixedfitError, match=words):
        make(*sites()[:2])


@pytest.mark.parametrize(
    "content", ["", "{}", '{"format": "other"}', '{"format": "mixedfit recipe 1"}', "[1]"]
)
def test_damaged_recipe_must_be_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(content, encoding="utf-8")
    with pytest.raises(mf.DataError, match=r"recipe\.json"):
        mf.lmm("y ~ x", rows(), recipe=tmp_path / "recipe.json")


def test_files_must_hold_no_rows(tmp_path: Path) -> None:
    """No array has as many numbers as there are rows, no label of a row is in the header, nothing is pickled."""
    frame = rows().set_index(pd.Index([f"patient {i}" for i in range(240)]))
    model = mf.lmm("y ~ x + (x | h)", frame)
    model.cross_products().save(tmp_path / "products.npz")
    model.fit().save(tmp_path / "fit.npz", rows=False)
    mf.site_recipe("y ~ x + (x | h)", frame).save(tmp_path / "recipe.json")
    for name in ("products.npz", "fit.npz"):
        with np.load(tmp_path / name, allow_pickle=False) as file:
            text = file["header"].tobytes().decode()
            assert all(file[array].size < 100 for array in file.files if array != "header")
        assert "patient" not in text
        assert len(json.loads(text)["blocks"][0]["levels"]["values"]) == 4
    assert "patient" not in (tmp_path / "recipe.json").read_text(encoding="utf-8")


def test_smallest_groups_must_say_how_few_rows_a_level_has() -> None:
    frame = rows()
    counts = frame["h"].value_counts()
    assert mf.lmm("y ~ x + (x | h)", frame).cross_products().smallest_groups == {"h": counts.min()}


def test_smallest_groups_must_include_a_level_of_little_weight() -> None:
    """Three rows of weight 0.1 sum up to 0.3, rounded down 0. Rivals: such a level is left out; unused ones count."""
    frame = rows()[["y", "x", "h"]].assign(w=1.0)
    few = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": 0.0, "h": "z", "w": 0.1})
    none = few.assign(h="n", w=0.0)
    model = mf.lmm("y ~ x + (1 | h)", pd.concat([frame, few, none], ignore_index=True), weights="w")
    assert model.cross_products().smallest_groups == {"h": 0}
    model = mf.lmm("y ~ x + (1 | h)", pd.concat([frame, none], ignore_index=True), weights="w")
    assert model.cross_products().smallest_groups == {"h": frame["h"].value_counts().min()}


@pytest.mark.parametrize("other", ["", " + (1 | g)"])
def test_sums_must_be_refused_when_they_would_lose_known_relationships(other: str, tmp_path: Path) -> None:
    """Rival: a file whose fit has independent levels, and so other estimates."""
    known = {"h": mf.Known(0.5 * np.eye(4) + 0.5, list("pqrs"))}
    model = mf.lmm(f"y ~ x + (1 | h){other}", rows(), known=known)
    with pytest.raises(mf.ModelError, match="'h' has known relationships"):
        model.fit().save(tmp_path / "fit.npz", rows=False)
    with pytest.raises(mf.ModelError, match="'h' has known relationships"):
        model.cross_products()
    assert not (tmp_path / "fit.npz").exists()
    model.fit().save(tmp_path / "fit.npz")
    assert mf.load(tmp_path / "fit.npz").reml_criterion == pytest.approx(model.fit().reml_criterion, abs=1e-9)


@pytest.mark.everyday(3)
@pytest.mark.parametrize("formula", ["y ~ x * f + (x | g) + (1 | h)", "y ~ x", "y ~ scale(x) + (1 | g:h)"])
@pytest.mark.parametrize("streamed", [False, True])
def test_fit_saved_without_rows_must_answer(formula: str, streamed: bool, tmp_path: Path) -> None:
    frame = rows()
    fit = mf.lmm(formula, [frame[:99], frame[99:]] if streamed else frame, weights="w").fit()
    fit.save(tmp_path / "small.npz", rows=False)
    again = mf.load(tmp_path / "small.npz")
    same_fit(again, fit)
    new = frame[:5].assign(g=[100, 101, 100, 131, 145])
    for options in ({}, {"interval": "prediction", "weights": 1}):
        found, expected = (f.predict(new, new_levels="population", **options) for f in (again, fit))
        np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert str(again.summary()).split("Converged")[0] == str(fit.summary()).split("Converged")[0]
    with pytest.raises(mf.ModelError, match="saved without them"):
        _ = again.resid
    with pytest.raises(mf.ModelError, match="rows=False"):
        again.save(tmp_path / "again.npz")
    again.save(tmp_path / "again.npz", rows=False)
    same_fit(mf.load(tmp_path / "again.npz"), fit)


def test_summary_of_merged_rows_must_have_no_residuals() -> None:
    """Rival: a row of NA."""
    text = str(mf.lmm_from([products(part=0), products(part=1)]).fit().summary())
    assert "residuals" not in text
    assert "NA" not in text


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g) + (1 | h)",
        "y ~ x + (1 + I(x + 1000) | g)",
        "y ~ f + (0 + f | g)",
        "y ~ x + (1 | g)",
        "y ~ x + (1 | g) + (0 + x | g) + (f | h)",
    ],
)
def test_tests_of_random_terms_must_be_those_of_all_rows(formula: str) -> None:
    """Models with fewer effects come from the sums of the larger one. Rival: raw products, which lose digits."""
    recipe = mf.agree([mf.site_recipe(formula, part) for part in sites()])
    parts = [mf.lmm(formula, part, recipe=recipe).cross_products() for part in sites()]
    found, expected = mf.lmm_from(parts).fit().ranova().table, mf.lmm(formula, rows()).fit().ranova().table
    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("written", [False, True])
def test_site_that_is_given_twice_must_be_refused(written: bool, tmp_path: Path) -> None:
    """The rival counts its rows twice; it gives standard errors that are too small."""
    formula = "y ~ x + (x | g)"
    one, two, three = sites()
    again = mf.lmm(formula, one.sample(frac=1, random_state=1), batch_rows=17).cross_products()
    parts: list[Any] = [mf.lmm(formula, part).cross_products() for part in (one, two, three)]
    parts.append(again)
    if written:
        for i, part in enumerate(parts):
            part.save(tmp_path / f"{i}.npz")
        parts = [tmp_path / f"{i}.npz" for i in range(4)]
    with pytest.raises(mf.ModelError, match=r"parts 1 and 4 are of the same 80 rows.*Give each part once"):
        mf.lmm_from(parts)
    assert mf.lmm_from(parts[:3]).fit().nobs == 240


def test_sites_with_equal_responses_must_not_be_taken_for_one() -> None:
    """Rows that differ in a predictor or a level only, and a few rows that are equal by chance."""
    formula, one = "y ~ x + (1 | g)", sites()[0]
    others = [one.assign(g=one["g"] + 500), one.assign(x=one["x"] + 1e-3 * one["o"])]
    assert mf.lmm_from([mf.lmm(formula, part).cross_products() for part in (one, *others)]).fit().nobs == 240
    few = pd.DataFrame({"y": [1.0, 2, 3, 1], "g": [1, 1, 2, 2]})
    recipe = mf.agree([mf.site_recipe("y ~ 1 + (1 | g)", few)])
    parts = [mf.lmm("y ~ 1 + (1 | g)", few, recipe=recipe).cross_products() for _ in range(2)]
    assert mf.lmm_from(parts).fit().nobs == 8
