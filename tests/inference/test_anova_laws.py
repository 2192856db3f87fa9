"""What F tests by term must not depend on: order of terms, contrasts, levels, origin and unit, redundant columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import null_space, orth

import mixedfit as mf

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")

COLUMNS = ["df_num", "df_denom", "statistic", "p_value"]

CODINGS = (
    "C({}, contr.sum)",
    "C({}, contr.helmert)",
    "C({}, contr.poly)",
    "C({}, contr.SAS)",
    "C({}, contr.treatment(base='{}2'))",
)

MODELS: dict[str, tuple[str, ...]] = {
    "additive": ("a", "b", "x"),
    "crossed": ("a", "b", "a:b", "x"),
    "nested": ("b", "b:a", "x"),
    "three": ("a", "b", "e", "a:b", "a:e", "b:e", "a:b:e"),
    "spanned": ("u", "x", "a", "b"),
    "twice": ("x", "x2", "a", "b"),
    "thrice": ("x", "z", "xz", "a", "a:b", "b"),
    "same factor": ("a", "same", "b", "x"),
}
"""Terms; u is the number of the level of a, x2 = 2x − 1, xz = x + z, and same is a under other names."""


def data(seed: int, *, holes: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 150
    frame = pd.DataFrame({name: rng.integers(0, k, n) for name, k in (("a", 4), ("b", 3), ("e", 2))})
    if holes:
        frame = frame[~((frame["a"] == 1) & (frame["b"] == 2)) & ~((frame["a"] == 3) & (frame["b"] == 0))]
    n = len(frame)
    frame = frame.assign(g=rng.integers(0, 14, n), x=rng.normal(3, 2, n), z=rng.normal(size=n))
    frame = frame.assign(
        u=10.0 * frame["a"],
        x2=2 * frame["x"] - 1,
        xz=frame["x"] + frame["z"],
        same="s" + frame["a"].astype(str),
    )
    slopes = rng.normal(size=(14, 4)) @ np.diag([1.0, 1.5, 0.3, 0.6])
    frame["y"] = slopes[frame["g"], frame["a"]] + 0.4 * frame["b"] + 0.1 * frame["x"] + rng.normal(size=n)
    for name in "abe":
        frame[name] = name + (frame[name] + 1).astype(str)
    return frame.reset_index(drop=True)


def table(terms: Sequence[str], frame: pd.DataFrame, kind: Any, **options: Any) -> pd.DataFrame:
    # the random part keeps its coding, so that the variances stay the same to all digits
    fit = mf.lmm(f"y ~ {' + '.join(terms)} + (0 + u | g) + (1 | g)", frame).fit()
    return fit.anova(type=kind, **options).table[COLUMNS]


def agree(one: pd.DataFrame, other: pd.DataFrame, names: dict[str, str], columns: list[str]) -> None:
    for own, its in names.items():
        np.testing.assert_allclose(
            other.loc[its, columns].to_numpy(dtype=float),
            one.loc[own, columns].to_numpy(dtype=float),
            rtol=2e-5,
            atol=1e-12,
            err_msg=own,
        )


def plain(terms: Sequence[str]) -> dict[str, str]:
    return {term: term for term in terms}


CASES = [(m, kind, bool((i + kind) % 2)) for i, m in enumerate(MODELS) for kind in (2, 3)]


@pytest.mark.everyday(4)
@pytest.mark.parametrize(("model", "kind", "holes"), CASES)
def test_tests_must_be_the_same_when_terms_stand_in_another_order(model: str, kind: int, holes: bool) -> None:
    terms, frame = MODELS[model], data(1, holes=holes)
    one = table(terms, frame, kind)
    for seed in range(2):
        shuffled = [terms[i] for i in np.random.default_rng(seed).permutation(len(terms))]
        other = table(shuffled, frame, kind)
        turned = {":".join(sorted(name.split(":"))): name for name in other.index}
        agree(one, other, {t: turned[":".join(sorted(t.split(":")))] for t in terms}, COLUMNS)


@pytest.mark.everyday(2)
@pytest.mark.parametrize(("model", "kind", "holes"), CASES)
def test_tests_must_be_the_same_under_other_contrasts(model: str, kind: int, holes: bool) -> None:
    """Rival: Satterthwaite's df of type II by unit rows of the coefficients, as in lmerTest."""
    terms, frame = MODELS[model], data(2, holes=holes)
    one = table(terms, frame, kind)
    for i in (0, 2, 4):
        coded = {f: CODINGS[(i + j) % len(CODINGS)].format(f, f) for j, f in enumerate("abe")}
        names = {t: ":".join(coded.get(f, f) for f in t.split(":")) for t in terms}
        agree(one, table(list(names.values()), frame, kind), names, COLUMNS)


@pytest.mark.everyday(2)
@pytest.mark.parametrize(("model", "kind", "holes"), CASES)
def test_f_must_be_the_same_when_levels_have_other_names_and_another_order(
    model: str, kind: int, holes: bool
) -> None:
    terms, frame = MODELS[model], data(3, holes=holes)
    turned = frame.assign(**{f: frame[f].map(lambda v: "z" + str(9 - int(v[1:]))) for f in "abe"})
    for options, columns in (({}, ["df_num", "statistic"]), ({"ddf": "kenward-roger"}, COLUMNS)):
        one, other = table(terms, frame, kind, **options), table(terms, turned, kind, **options)
        agree(one, other, plain(terms), columns)


@pytest.mark.everyday(4)
@pytest.mark.parametrize(("model", "kind", "holes"), CASES)
def test_tests_must_be_the_same_when_covariates_have_another_origin_and_unit(
    model: str, kind: int, holes: bool
) -> None:
    terms, frame = MODELS[model], data(4, holes=holes)
    one = table(terms, frame, kind)
    for shift, scale in ((2000.0, 1.0), (0.0, 1e-5), (-3e4, 86400.0)):
        moved = frame.assign(x=(frame["x"] + shift) * scale, x2=(frame["x2"] - 7) * 3, z=frame["z"] * scale)
        moved["xz"] = moved["x"] + moved["z"]
        agree(one, table(terms, moved, kind), plain(terms), COLUMNS)


@pytest.mark.everyday(4)
@pytest.mark.parametrize(("model", "kind"), [(m, kind) for m in MODELS for kind in (2, 3)])
def test_tests_must_be_the_same_beside_columns_that_the_model_has_already(model: str, kind: int) -> None:
    """A sum of intercept and a factor's levels, or of covariates that are not in the term, changes no other term."""
    terms, frame = MODELS[model], data(5, holes=False)
    one = table(terms, frame, kind)
    more = frame.assign(zero=0.0, one=1.0)
    agree(one, table([*terms, "zero", "one"], more, kind), plain(terms), COLUMNS)


def indicator_columns(term: str, frame: pd.DataFrame) -> np.ndarray:
    """Return all indicators of a term's cells, times its covariates."""
    out = np.ones((len(frame), 1))
    for factor in term.split(":"):
        values = frame[factor]
        own = (
            values.to_numpy()[:, None]
            if values.dtype.kind == "f"
            else pd.get_dummies(values).to_numpy(dtype=float)
        )
        out = (out[:, :, None] * own[:, None, :]).reshape(len(frame), -1)
    return out


def dense_f(terms: Sequence[str], frame: pd.DataFrame, kind: int, term: str) -> tuple[float, float]:
    """Return numerator df and F of a term by projections in the space of the rows, with all indicators."""

    def contains(other: str) -> bool:
        one, two = set(term.split(":")), set(other.split(":"))
        return one < two and not any(frame[f].dtype.kind == "f" for f in two - one)

    def outside(of: Callable[[str], bool]) -> np.ndarray:
        kept = [indicator_columns(t, frame) for t in terms if of(t)]
        return np.hstack([np.ones((len(frame), 1)), *kept])

    def above_free(of: Callable[[str], bool]) -> np.ndarray:
        whole = orth(np.hstack([outside(lambda t: True)]), rcond=1e-9)
        return whole @ null_space(orth(outside(of), rcond=1e-9).T @ whole, rcond=1e-9)

    fit = mf.lmm(f"y ~ {' + '.join(terms)} + (0 + u | g) + (1 | g)", frame).fit()
    A = above_free(lambda t: t != term and not contains(t))
    above = [t for t in terms if contains(t)]
    if kind == 2 and above:
        rest = orth(outside(lambda t: t != term and not contains(t)), rcond=1e-9)
        own = indicator_columns(term, frame)
        A = orth(own - rest @ (rest.T @ own), rcond=1e-9)
    if kind == 3 and above:
        D = np.hstack([indicator_columns(t, frame) for t in terms])
        B = np.hstack(
            [
                above_free(
                    lambda t, u=u: (
                        not (set(u.split(":")) <= set(t.split(":")))
                        or any(frame[f].dtype.kind == "f" for f in set(t.split(":")) - set(u.split(":")))
                    )
                )
                for u in above
            ]
        )
        if B.size:
            A = A @ null_space((D.T @ B).T @ (D.T @ A), rcond=1e-9)
    if not A.shape[1]:
        return 0.0, np.nan
    kept = fit.params.notna().to_numpy()
    L = A.T @ fit._fit.design.X[:, kept]
    beta, cov = fit.params.to_numpy()[kept], fit.cov_params().to_numpy()[np.ix_(kept, kept)]
    gap = L @ beta
    return float(len(L)), float(gap @ np.linalg.solve(L @ cov @ L.T, gap)) / len(L)


@pytest.mark.everyday(4)
@pytest.mark.parametrize(("model", "kind", "holes"), CASES)
def test_f_must_be_that_of_projections_of_the_rows(model: str, kind: int, holes: bool) -> None:
    terms, frame = MODELS[model], data(6, holes=holes)
    ours = table(terms, frame, kind)
    for term in terms:
        rank, statistic = dense_f(terms, frame, kind, term)
        assert ours.loc[term, "df_num"] == rank, term
        assert ours.loc[term, "statistic"] == pytest.approx(statistic, rel=1e-5, nan_ok=True), term


def test_covariate_that_a_factor_spans_must_not_be_tested_and_the_factor_only_beyond_it() -> None:
    """The cakes: F values of 59.8, 36.5 and 96.0 were the rivals, by order and contrasts."""
    cake = mf.load_dataset("cake")
    alone = mf.lmm("angle ~ recipe + temperature + (1 | recipe:replicate)", cake).fit()
    levels = np.array([175.0, 185, 195, 205, 215, 225])
    bends = null_space(np.vstack([np.ones(6), levels])).T
    L = np.hstack([np.zeros((4, 3)), bends[:, 1:]])
    expected = alone.f_test(L, ddf="kenward-roger")
    for fixed in (
        "temp + recipe + temperature",
        "recipe + temperature + temp",
        "C(temperature, contr.sum) + temp + recipe",
    ):
        fit = mf.lmm(f"angle ~ {fixed} + (1 | recipe:replicate)", cake).fit()
        for kind in (2, 3):
            found = fit.anova(type=kind, ddf="kenward-roger")  # type: ignore[arg-type]
            name = next(t for t in found.table.index if "temperature" in t)
            assert np.isnan(found.table.loc["temp", "statistic"])
            assert any("temp: not estimable" in note for note in found.notes)
            assert any(f"{name}: other terms span a part" in note for note in found.notes)
            row = found.table.loc[name]
            assert row["df_num"] == 4
            assert row["statistic"] == pytest.approx(expected.statistic, rel=1e-6)
            assert row["df_denom"] == pytest.approx(expected.df_denom, rel=1e-6)
