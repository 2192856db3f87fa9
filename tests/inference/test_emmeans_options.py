"""Options of marginal means by closed forms and slow computations."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER
from r_reference import data_of, fitted

import mixedfit as mf
from mixedfit.inference.emmeans.families import contrast_weights
from mixedfit.inference.emmeans.multiplicity import Family, adjusted, critical, dunnett_tail, tukey_tail
from mixedfit.inference.emmeans.response_scale import response_scale

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")

FACTORIAL = "angle ~ recipe * temperature + (1 | recipe:replicate)"


@pytest.mark.parametrize(
    ("text", "specs", "by"),
    [
        ("~ recipe", "recipe", ()),
        ("~recipe|temperature", "recipe", "temperature"),
        ("~ recipe * temperature", ["recipe", "temperature"], ()),
        ("~ recipe:temperature", ["recipe", "temperature"], ()),
        ("~ temperature + recipe", ["temperature", "recipe"], ()),
        ("recipe | temperature", "recipe", "temperature"),
        ("~ `recipe` | factor(temperature)", "recipe", "temperature"),
        ("~ 1 | recipe", "~ 1", "recipe"),
    ],
)
def test_formulas_must_name_the_same_means_as_lists(text: str, specs: Any, by: Any) -> None:
    fit = fitted(FACTORIAL, "uneven")
    pd.testing.assert_frame_equal(fit.emmeans(text).table, fit.emmeans(specs, by=by).table)


def test_overall_mean_must_be_the_mean_of_all_cells() -> None:
    fit = fitted(FACTORIAL, "uneven")
    cells = fit.emmeans(["recipe", "temperature"]).table["estimate"]
    row = fit.emmeans("~ 1").table.iloc[0]
    assert row["estimate"] == pytest.approx(cells.mean(), rel=1e-10)
    assert row["1"] == "overall"


def test_formulas_that_cannot_be_read_must_say_what_to_write() -> None:
    fit = fitted(FACTORIAL, "uneven")
    for text, says in (
        ("pairwise ~ recipe | temperature", r"emmeans\('~ recipe \| temperature'\).contrasts\('pairwise'\)"),
        ("~ recipe | temperature | recipe", "expected a formula such as"),
        ("~ | recipe", "expected a formula such as"),
        ("~ recipe ^ temperature", r"cannot be read at '\^'"),
        ("~ recip", "Did you mean 'recipe'"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            fit.emmeans(text)


def nested_design(seed: int) -> pd.DataFrame:
    """Return rows of sites within regions, of unequal numbers, some cells of site and treatment missing a few rows."""
    rng = np.random.default_rng(seed)
    regions = [f"r{i}" for i in range(int(rng.integers(2, 5)))]
    rows = []
    for region in regions:
        for site in range(int(rng.integers(1, 5))):
            for treatment, block in product(["a", "b"], range(6)):
                rows.append((region, f"{region}s{site}", treatment, f"k{block}"))
    data = pd.DataFrame(rows, columns=["region", "site", "treatment", "block"])
    data = data[rng.random(len(data)) < 0.9].reset_index(drop=True)
    data["y"] = rng.normal(size=len(data)) + data["block"].map(lambda k: int(k[1:])) * 0.3
    return data


@pytest.mark.everyday(4)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fixed", ["region / site", "region + site", "region * treatment + site"])
def test_nested_means_must_average_the_levels_that_occur(seed: int, fixed: str) -> None:
    """The rivals: NaN for all, averages over combinations that do not occur, weights by the number of sites."""
    data = nested_design(seed)
    fit = mf.lmm(f"y ~ {fixed} + (1 | block)", data).fit()
    names = ["region", "site", *(["treatment"] if "treatment" in fixed else [])]
    cells = data[["region", "site"]].drop_duplicates()
    if "treatment" in fixed:
        cells = cells.merge(pd.DataFrame({"treatment": ["a", "b"]}), how="cross")
    cells = cells.assign(value=fit.predict(cells[names], re_form="none").to_numpy())
    expected = cells.groupby(["region", "site"], observed=True)["value"].mean().groupby("region").mean()
    means = fit.emmeans("region")
    assert means.table["estimate"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-8)
    one = data["site"].nunique() == data["region"].nunique()
    assert one or "Nested factors: site within region." in means.notes
    assert np.isfinite(means.contrasts().table["p_value"]).all()
    sites = fit.emmeans("site").table
    if not one:
        assert sorted(sites["site"]) == sorted(data["site"].unique())
        assert (sites["region"].astype(str) == sites["site"].astype(str).str[:2]).all()


def test_nesting_must_be_the_users_where_it_is_stated() -> None:
    data = nested_design(1)
    fit = mf.lmm("y ~ region + site + (1 | block)", data).fit()
    assert not any(note.startswith("Nested") for note in fit.emmeans("region", nesting=False).notes)
    found = fit.emmeans("region").table
    for stated in ({"site": ["region"]}, {"site": "region"}, "site %in% region"):
        pd.testing.assert_frame_equal(fit.emmeans("region", nesting=stated).table, found)
    with pytest.raises(mf.ModelError, match="Did you mean 'site'"):
        fit.emmeans("region", nesting={"sit": ["region"]})
    with pytest.raises(mf.ModelError, match="%in%"):
        fit.emmeans("region", nesting="site in region")


def test_letters_and_contrasts_must_serve_nested_families_of_unequal_size() -> None:
    fit = mf.lmm("y ~ region / site + (1 | block)", nested_design(1)).fit()
    means = fit.emmeans("~ site | region")
    sizes = means.table.groupby("region", observed=True).size()
    tests = means.contrasts().table.groupby("region", observed=True).size()
    assert tests.to_dict() == {r: k * (k - 1) // 2 for r, k in sizes.items() if k > 1}
    assert len(means.compact_letters()) == len(means.table)


@pytest.mark.parametrize("weights", ["proportional", "cells", "outer", "flat", [3, 1, 2, 0.5, 1, 1]])
def test_weights_must_be_those_of_the_rows(weights: Any) -> None:
    data = data_of("uneven")
    fit = fitted(FACTORIAL, "uneven")
    cells = fit.emmeans(["recipe", "temperature"]).table.pivot(
        index="recipe", columns="temperature", values="estimate"
    )
    counts = pd.crosstab(data["recipe"], data["temperature"]).to_numpy(float)
    share = {
        "proportional": counts.sum(axis=0) + 0 * counts,
        "outer": counts.sum(axis=0) + 0 * counts,
        "cells": counts,
        "flat": 1.0 * (counts > 0),
    }.get(str(weights), 0 * counts + (1 if isinstance(weights, str) else weights))
    expected = np.average(cells.to_numpy(), axis=1, weights=share)
    got = fit.emmeans("recipe", weights=weights)
    assert got.table["estimate"].to_numpy() == pytest.approx(expected, rel=1e-10)


def test_weights_must_be_joint_or_marginal_counts_when_two_factors_are_averaged_over() -> None:
    """Numbers are given with the first factor varying fastest, as R does. Rivals: the last; the other named scheme."""
    rng = np.random.default_rng(5)
    a, b = rng.choice(list("pq"), 300), rng.choice(list("rs"), 300)
    c = np.where(rng.random(300) < 0.5, b, rng.choice(list("stu"), 300))
    data = pd.DataFrame({"a": a, "b": b, "c": np.where(c == "r", "u", c), "g": np.arange(300) % 20})
    data["y"] = rng.normal(size=300) + (data.b == "r") * (data.c == "t") * 3 + (data.c == "u")
    fit = mf.lmm("y ~ a * b * c + (1 | g)", data).fit()
    table = fit.emmeans(["a", "b", "c"]).table.sort_values(["a", "b", "c"])
    cells = table["estimate"].to_numpy().reshape(2, 2, 3)
    counts = pd.crosstab(data["b"], data["c"]).to_numpy(float)
    shares = {
        "proportional": counts,
        "outer": np.outer(counts.sum(axis=1), counts.sum(axis=0)),
        (1, 2, 3, 4, 5, 6): np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]),
    }
    means = [np.average(cells.reshape(2, 6), axis=1, weights=share.ravel()) for share in shares.values()]
    for weights, expected in zip(shares, means, strict=True):
        got = fit.emmeans("a", weights=weights)  # type: ignore[arg-type]
        assert got.table["estimate"].to_numpy() == pytest.approx(expected, rel=1e-10)
    assert min(np.abs(means[0] - means[1]).max(), np.abs(means[0] - means[2]).max()) > 0.02


def test_cell_weighted_means_must_be_raw_means_where_the_model_has_all_cells() -> None:
    data = data_of("uneven")
    fit = mf.lmm("angle ~ recipe * temperature", data).fit()
    means = fit.emmeans("recipe", weights="cells").table["estimate"]
    expected = data.groupby("recipe", observed=True)["angle"].mean()
    assert means.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-10)


def test_wrong_weights_must_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fitted(FACTORIAL, "uneven")
    for weights, says in (
        ("cell", "Did you mean 'cells'"),
        ([1, 2], "2 numbers for 6 combinations"),
        ([0, 0, 0, 0, 0, 0], "finite numbers"),
        (3, "finite numbers"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            fit.emmeans("recipe", weights=weights)  # type: ignore[arg-type]
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    many = mf.lmm("angle ~ recipe + replicate + (1 | recipe:replicate)", data_of("cake")).fit()
    with pytest.raises(mf.ModelError, match="very many levels"):
        many.emmeans("recipe", weights="cells")


def test_loaded_fit_must_know_nesting_and_weights(tmp_path: Any) -> None:
    data = nested_design(5).assign(
        dose=lambda d: np.where(d.index % 3 == 0, 2.0, 0.5), n=lambda d: d.index % 4
    )
    fit = mf.lmm("y ~ region / site + dose + C(n) + (1 | block)", data).fit()
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    for ask in (
        lambda f: f.emmeans("region", weights="cells"),
        lambda f: f.emmeans("~ n | dose", weights="proportional"),
        lambda f: f.emmeans("site"),
    ):
        pd.testing.assert_frame_equal(ask(loaded).table, ask(fit).table, rtol=1e-7)


def test_file_of_an_earlier_version_must_say_that_it_has_no_cells() -> None:
    old = mf.load(REFERENCE_FOLDER / "saved" / "reml.npz")
    assert old._fit.design.recipe.cells is None
    with pytest.raises(mf.ModelError, match="this file does not hold"):
        old.emmeans("~ 1", weights="cells")


# -- slopes ----------------------------------------------------------------------------------------


@pytest.mark.everyday(6)
@pytest.mark.parametrize("shift", [0.0, 2000.0, 1e6, 1e7])
@pytest.mark.parametrize("scale", [1.0, 1e-5, 86_400.0])
def test_slopes_must_not_depend_on_the_origin_and_scale_with_the_unit(shift: float, scale: float) -> None:
    data = data_of("uneven")
    plain = (
        fitted("angle ~ recipe * temp + (1 | recipe:replicate)", "uneven").emtrends("recipe", "temp").table
    )
    moved = data.assign(temp=data["temp"] * scale + shift * scale)
    fit = mf.lmm("angle ~ recipe * temp + (1 | recipe:replicate)", moved).fit()
    table = fit.emtrends("recipe", "temp").table
    for column in ("estimate", "std_error"):
        assert table[column].to_numpy() * scale == pytest.approx(plain[column].to_numpy(), rel=1e-5)
    assert table["df"].to_numpy() == pytest.approx(plain["df"].to_numpy(), rel=1e-4)


def test_slopes_of_a_polynomial_must_be_its_derivative() -> None:
    data = data_of("uneven")
    fit = mf.lmm("angle ~ temp + I(temp**2) + I(temp**3) + (1 | recipe:replicate)", data).fit()
    at = np.array([180.0, 195.0, 220.0])
    slopes = fit.emtrends("temp", "temp", at={"temp": at}).table
    _, b1, b2, b3 = fit.params
    assert slopes["estimate"].to_numpy() == pytest.approx(b1 + 2 * b2 * at + 3 * b3 * at**2, rel=1e-6)
    gradient = np.column_stack([np.zeros(3), np.ones(3), 2 * at, 3 * at**2])
    errors = np.sqrt(np.diag(gradient @ fit.cov_params().to_numpy() @ gradient.T))
    assert slopes["std_error"].to_numpy() == pytest.approx(errors, rel=1e-5)


def test_slopes_must_be_estimable_when_cells_without_them_are_empty() -> None:
    """The rival: rounding errors of difference quotients as weights of the dropped interactions."""
    data = data_of("holes")
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("angle ~ recipe * temperature + hours + (1 | recipe:replicate)", _with_hours(data)).fit()
    slopes = fit.emtrends("recipe", "hours").table
    assert slopes["estimate"].to_numpy() == pytest.approx(np.full(3, fit.params["hours"]), rel=1e-9)
    assert slopes["std_error"].to_numpy() == pytest.approx(np.full(3, fit.bse["hours"]), rel=1e-9)


def _with_hours(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(hours=np.random.default_rng(1).gamma(2.0, 1.3, len(data)))


def test_slopes_of_what_is_no_number_must_be_refused() -> None:
    fit = fitted("angle ~ recipe * temp + (1 | recipe:replicate)", "uneven")
    with pytest.raises(mf.ModelError, match="not a numeric variable"):
        fit.emtrends("recipe", "recipe")
    with pytest.raises(mf.ModelError, match="Did you mean 'temp'"):
        fit.emtrends("recipe", "tmp")


# -- the response ----------------------------------------------------------------------------------

FORWARD = {
    "log(y)": np.log,
    "np.log(y)": np.log,
    "log2(y)": np.log2,
    "log10(y + 1)": lambda y: np.log10(y + 1),
    "log1p(y)": np.log1p,
    "2 * log(y) - 1": lambda y: 2 * np.log(y) - 1,
    "sqrt(y)": np.sqrt,
    "I(y ** 0.5)": np.sqrt,
    "y ^ (1/3)": np.cbrt,
    "1 / y": lambda y: 1 / y,
    "-1 / sqrt(y)": lambda y: -1 / np.sqrt(y),
    "arcsin(sqrt(y / 100))": lambda y: np.arcsin(np.sqrt(y / 100)),
    "exp(y / 10)": lambda y: np.exp(y / 10),
    "log(`my y`)": np.log,
    "sqrt(Q('my y'))": np.sqrt,
    "log(my.y)": np.log,
    "3 - y / 2": lambda y: 3 - y / 2,
    "arcsinh(y)": np.arcsinh,
}


@pytest.mark.parametrize("text", FORWARD)
def test_inverse_must_undo_the_left_side_with_three_derivatives(text: str) -> None:
    y = np.array([0.7, 3.0, 40.0])
    scale = response_scale(text)
    assert scale is not None
    eta = FORWARD[text](y)
    jet = scale.jet(eta)
    assert jet[0] == pytest.approx(y, rel=1e-12)
    step = 1e-5 * np.abs(eta)
    ahead, behind = scale.jet(eta + step), scale.jet(eta - step)
    for k in range(3):
        assert jet[k + 1] == pytest.approx((ahead[k] - behind[k]) / (2 * step), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("text", ["log(a / b)", "scale(y)", "log(p / (1 - p))", "y - x", "f(y)", "y ** 0"])
def test_left_side_that_has_no_known_inverse_must_be_refused(text: str) -> None:
    assert response_scale(text) is None


def test_response_that_cannot_be_transformed_back_must_be_said() -> None:
    data = data_of("cake").assign(other=2.0)
    fit = mf.lmm("log(angle / other) ~ recipe + (1 | recipe:replicate)", data).fit()
    with pytest.raises(mf.ModelError, match="cannot undo"):
        fit.emmeans("recipe", type="response")
    plain = fitted("angle ~ recipe + (1 | recipe:replicate)", "cake")
    pd.testing.assert_frame_equal(
        plain.emmeans("recipe", type="response").table, plain.emmeans("recipe").table
    )


def test_bias_adjustment_must_use_the_total_standard_deviation_unless_another_is_stated() -> None:
    fit = mf.lmm("log(angle) ~ recipe + (1 | recipe:replicate)", data_of("uneven")).fit()
    total = float(fit.varcorr["vcov"].sum())
    eta = fit.emmeans("recipe").table["estimate"].to_numpy()
    for sigma, variance in ((None, total), (0.4, 0.16)):
        table = fit.emmeans("recipe", type="response", bias_adjust=True, sigma=sigma).table
        assert table["estimate"].to_numpy() == pytest.approx(np.exp(eta) * (1 + variance / 2), rel=1e-10)
    with pytest.raises(mf.ModelError, match="standard deviation"):
        fit.emmeans("recipe", type="response", bias_adjust=True, sigma=-1.0)


def test_limits_of_a_decreasing_transformation_must_be_in_order() -> None:
    fit = mf.lmm("1 / angle ~ recipe + (1 | recipe:replicate)", data_of("uneven")).fit()
    link, response = (fit.emmeans("recipe", type=t).table for t in ("link", "response"))  # type: ignore[arg-type]
    assert response["lower"].to_numpy() == pytest.approx(1 / link["upper"].to_numpy(), rel=1e-12)
    assert response["upper"].to_numpy() == pytest.approx(1 / link["lower"].to_numpy(), rel=1e-12)


# -- families --------------------------------------------------------------------------------------


def closed_testing(p: np.ndarray) -> np.ndarray:
    """Return the largest p-value of Simes' test over all subsets that hold each hypothesis."""
    out = np.zeros(p.size)
    for size in range(1, p.size + 1):
        for subset in combinations(range(p.size), size):
            simes = float((size * np.sort(p[list(subset)]) / np.arange(1, size + 1)).min())
            out[list(subset)] = np.maximum(out[list(subset)], simes)
    return out


def test_hommel_must_be_the_closed_test_of_simes() -> None:
    rng = np.random.default_rng(4)
    for m in (1, 2, 3, 5, 8):
        for _ in range(8):
            t = rng.normal(size=m) * 2.5
            family = Family(m, np.eye(m))
            raw = adjusted(t, np.full(m, 11.0), "none", family)
            found = {
                how: adjusted(t, np.full(m, 11.0), how, family) for how in ("hommel", "hochberg", "holm")
            }  # type: ignore[arg-type]
            assert found["hommel"] == pytest.approx(closed_testing(raw), abs=1e-12)
            assert np.all(found["hommel"] <= found["hochberg"] + 1e-12)
            assert np.all(found["hochberg"] <= found["holm"] + 1e-12)


def test_adjust_none_must_adjust_nothing() -> None:
    means = fitted(FACTORIAL, "uneven").emmeans("recipe")
    pd.testing.assert_frame_equal(means.contrasts(adjust=None).table, means.contrasts(adjust="none").table)
    assert (means.contrasts().table["p_value"] > means.contrasts(adjust=None).table["p_value"]).all()


def test_reference_of_a_control_family_must_be_any_level() -> None:
    means = fitted(FACTORIAL, "uneven").emmeans("temperature")
    values = means.table["estimate"].to_numpy()
    made = means.contrasts("trt.vs.ctrl", ref="205").table
    assert made["contrast"].tolist() == [f"{t} - 205" for t in (175, 185, 195, 215, 225)]
    assert made["estimate"].to_numpy() == pytest.approx(np.delete(values, 3) - values[3], abs=1e-9)
    pd.testing.assert_frame_equal(means.contrasts("trt.vs.ctrl", ref=205).table, made)
    with pytest.raises(mf.ModelError, match="not one of the means"):
        means.contrasts("trt.vs.ctrl", ref="200")
    with pytest.raises(mf.ModelError, match=r"trt\.vs\.ctrl"):
        means.contrasts("pairwise", ref="205")


def test_interaction_contrasts_must_be_differences_of_differences() -> None:
    means = fitted(FACTORIAL, "uneven").emmeans("~ recipe * temperature")
    cells = means.table.pivot(index="temperature", columns="recipe", values="estimate").to_numpy()
    made = means.contrasts(interaction={"recipe": "pairwise", "temperature": "consec"}).table
    steps = np.diff(cells, axis=0)
    expected = [s[i] - s[j] for s in steps for i, j in ((0, 1), (0, 2), (1, 2))]
    assert made["estimate"].to_numpy() == pytest.approx(np.array(expected), abs=1e-9)
    assert made["contrast"][0] == "A - B : 185 - 175"
    with pytest.raises(mf.ModelError, match="3 families for 2 variables"):
        means.contrasts(interaction=["pairwise", "consec", "poly"])


# -- effect sizes ----------------------------------------------------------------------------------


def test_effect_sizes_of_a_linear_model_must_be_cohens_d() -> None:
    data = data_of("uneven")
    fit = mf.lmm("angle ~ recipe", data).fit()
    groups = [g.to_numpy() for _, g in data.groupby("recipe", observed=True)["angle"]]
    pooled = np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(data) - 3))
    made = fit.emmeans("recipe").effect_sizes(sigma="residual")
    d = (groups[0].mean() - groups[1].mean()) / pooled
    error = np.sqrt(1 / groups[0].size + 1 / groups[1].size + d**2 / (2 * (len(data) - 3)))
    assert made.table["estimate"][0] == pytest.approx(d, rel=1e-8)
    assert made.table["std_error"][0] == pytest.approx(error, rel=1e-6)
    assert any("the residual standard deviation" in note for note in made.notes)


def test_effect_sizes_must_say_which_standard_deviation_they_use() -> None:
    fit = mf.lmm("distance ~ age * Sex + (age | Subject)", data_of("orthodont")).fit()
    means = fit.emmeans("Sex")
    z = np.column_stack([np.ones(len(data_of("orthodont"))), data_of("orthodont")["age"]])
    omega = fit.cov_re["Subject"].to_numpy()
    total = np.sqrt(np.mean(np.einsum("ij,jk,ik->i", z, omega, z)) + fit.scale)
    difference = means.contrasts(adjust=None).table["estimate"]
    made = means.effect_sizes()
    assert made.table["estimate"].to_numpy() == pytest.approx((difference / total).to_numpy(), rel=1e-10)
    assert "total standard deviation" in str(made)
    for wrong in ("pooled", -1.0, 0):
        with pytest.raises(mf.ModelError, match="sigma"):
            means.effect_sizes(sigma=wrong)  # type: ignore[arg-type]


def test_partial_effect_sizes_must_be_ratios_of_sums_of_squares_in_a_linear_model() -> None:
    data = data_of("cake")
    fit = mf.lmm("angle ~ recipe * temperature", data).fit()
    table = fit.anova()
    sizes = table.effect_sizes()
    error = float((fit.resid**2).sum())
    mse = error / fit.f_test("recipeB").df_denom
    squares, df = table.table["sum_sq"], table.table["df_num"]
    assert sizes["partial_eta_sq"].to_numpy() == pytest.approx(
        (squares / (squares + error)).to_numpy(), rel=1e-9
    )
    epsilon = (squares - df * mse) / (squares + error)
    assert sizes["partial_epsilon_sq"].to_numpy() == pytest.approx(
        np.maximum(epsilon, 0).to_numpy(), rel=1e-9
    )
    one = mf.lmm("angle ~ temperature", data).fit()
    table = one.anova().table.iloc[0]
    mse = table["sum_sq"] / table["statistic"] / table["df_num"]
    whole = float(((data["angle"] - data["angle"].mean()) ** 2).sum())
    omega = (table["sum_sq"] - table["df_num"] * mse) / (whole + mse)
    assert one.anova().effect_sizes()["partial_omega_sq"].iloc[0] == pytest.approx(omega, rel=1e-9)
    assert fit.anova(ddf="normal").effect_sizes().isna().all(axis=None)


def test_joint_tests_must_be_type_iii_tests_where_no_cell_is_empty() -> None:
    fit = fitted(FACTORIAL, "uneven")
    joint, anova = fit.joint_tests().table.set_index("term"), fit.anova().table
    for column in ("df_num", "df_denom", "statistic", "p_value"):
        assert joint[column].to_numpy() == pytest.approx(anova[column].to_numpy(), rel=1e-5)


def test_joint_tests_must_refuse_what_leaves_nothing() -> None:
    fit = fitted(FACTORIAL, "uneven")
    with pytest.raises(mf.ModelError, match="no variables left"):
        fit.joint_tests(by=["recipe", "temperature"])
    with pytest.raises(mf.ModelError, match="Did you mean"):
        fit.joint_tests(by="recip")


@pytest.mark.everyday(3)
@pytest.mark.parametrize("df", [7.0, 40.0, np.inf])
@pytest.mark.parametrize("method", ["pairwise", "eff", "consec"])
def test_mvt_must_be_exact_when_contrasts_are_linearly_dependent(method: str, df: float) -> None:
    """Against simulation; independent means of unequal precision. Tukey's formula would be that of equal ones."""
    weights = contrast_weights(method, [f"m{i}" for i in range(4)])[1]
    spread = weights * np.array([1.0, 0.6, 1.4, 0.8])
    correlations = spread @ spread.T
    sizes = np.sqrt(np.diag(correlations))
    correlations /= np.outer(sizes, sizes)
    rng = np.random.default_rng(5)
    draws = np.abs((spread / sizes[:, None]) @ rng.normal(size=(4, 400_000))).max(axis=0)
    if np.isfinite(df):
        draws /= np.sqrt(rng.chisquare(df, size=draws.size) / df)
    for statistic in (0.5, 1.7, 2.6):
        assert dunnett_tail(statistic, correlations, df) == pytest.approx(
            np.mean(draws > statistic), abs=2.5e-3
        )
    family = Family(4, correlations)
    assert critical(df, 0.95, "mvt", family) == pytest.approx(np.quantile(draws, 0.95), abs=0.015)


def test_mvt_must_be_tukey_when_means_are_independent_and_equally_precise() -> None:
    weights = contrast_weights("pairwise", list("abcd"))[1]
    correlations = weights @ weights.T / 2.0
    for statistic, df in ((1.3, 12.0), (2.9, 12.0), (4.5, 30.0), (2.4, np.inf)):
        assert dunnett_tail(statistic, correlations, df) == pytest.approx(
            tukey_tail(statistic, 4, df), rel=3e-4
        )
