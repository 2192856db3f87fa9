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
    """Assert that two fits have the same estimates, errors, criterion and random effects."""
    assert found.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-7)
    np.testing.assert_allclose(found.varcorr["vcov"], expected.varcorr["vcov"], rtol=1e-5, atol=1e-8)
    assert list(found.params.index) == list(expected.params.index)
    for group, effects in expected.random_effects.items():
        assert found.random_effects[group].index.tolist() == effects.index.tolist()
        np.testing.assert_allclose(found.random_effects[group], effects, atol=1e-6)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 | g)",
        "y ~ x + I(x * 2) + (x | g) + (1 | h)",
        "y ~ 1 + (1 | h/g)",
        "y ~ x",
        "y ~ x + (0 + x | g) + (1 | g)",
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
