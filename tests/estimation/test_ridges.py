"""Covariances that a design cannot tell apart: found, named, without standard errors; all others left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"id": np.repeat(np.arange(20), 6), "t": np.tile(np.arange(6.0), 20)})
    data["name"] = "P" + data["id"].astype(str)
    data["site"], data["plot"] = data["id"] // 4, data["id"]
    data["one"], data["k"], data["k2"] = "b1", 1.0, 2.0
    data["t2"], data["tk"] = 2 * data["t"] - 3.0, data["t"] + 1e6
    data["f"] = np.array(list("uvw"))[data["t"].astype(int) % 3]
    data["u"], data["v"], data["w"] = ((data["f"] == level) * 1.0 for level in "uvw")
    data["x"] = np.repeat(rng.standard_normal(20), 6)
    data["other"] = (np.arange(120) * 7) % 11
    data["y"] = rng.standard_normal(20)[data["id"]] * 1.5 + rng.standard_normal(120)
    return data


SAME = [
    ("(1 | id) + (1 | name)", {"(Intercept) | id", "(Intercept) | name"}),
    ("(1 | site/plot) + (1 | id)", {"(Intercept) | id", "(Intercept) | plot:site"}),
    ("(1 | id/one)", {"(Intercept) | id", "(Intercept) | one:id"}),
    ("(1 | id:name) + (1 | id)", {"(Intercept) | id:name", "(Intercept) | id"}),
    ("(1 | id) + (0 + k | id)", {"(Intercept) | id", "k | id"}),
    ("(1 | id) + (0 + k2 | name)", {"(Intercept) | id", "k2 | name"}),
    ("(k | id)", {"(Intercept) | id", "k | id"}),
    ("(t | id) + (0 + t2 | name)", {"(Intercept) | id", "t | id", "t2 | name"}),
    ("(t | id) + (1 | name)", {"(Intercept) | id", "(Intercept) | name"}),
    ("(0 + t + I(2 * t) | id)", {"t | id", "I(2 * t) | id"}),
    ("(t + t2 | id)", {"(Intercept) | id", "t | id", "t2 | id"}),
    (
        "(0 + f | id) + (f | name)",
        {"fu | id", "fv | id", "fw | id", "(Intercept) | name", "fv | name", "fw | name"},
    ),
    ("(0 + u | id) + (0 + v | id) + (0 + u | name)", {"u | id", "u | name"}),
    ("(1 | id) + (1 | other) + (1 | name)", {"(Intercept) | id", "(Intercept) | name"}),
    ("(0 + f | id) + (1 | id:f)", {"fu | id", "fv | id", "fw | id", "(Intercept) | id:f"}),
    ("(f | id) + (1 | id:f)", {"(Intercept) | id", "fv | id", "fw | id", "(Intercept) | id:f"}),
    ("(f || id) + (1 | id:f)", {"fu | id", "fv | id", "fw | id", "(Intercept) | id:f"}),
    ("(0 + u + v + w | id) + (1 | name:f)", {"u | id", "v | id", "w | id", "(Intercept) | name:f"}),
]

APART = [
    "(1 | id)",
    "(t | id)",
    "(t || id)",
    "(tk | id)",
    "(x | id)",
    "(1 | id) + (1 | site)",
    "(1 | id) + (1 | other)",
    "(1 | id) + (0 + t | name)",
    "(f | id)",
    "(f || id)",
    "(1 | id) + (0 + f || id)",
    "(1 | id) + (0 + u | id) + (0 + v | id)",
    "(1 | site/id)",
    "(1 | id/f)",
    "(u | id) + (1 | id:f)",
    "(t | id) + (1 | id:f)",
    "(tk | site) + (1 | id)",
]


@pytest.mark.everyday(7)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("random", "named"), SAME)
def test_terms_that_are_one_must_be_named_without_standard_errors(
    random: str, named: set[str], reml: bool
) -> None:
    fit = mf.lmm(f"y ~ t + {random}", frame()).fit(reml=reml)
    assert fit.convergence.status == "unidentified"
    listed = fit.convergence.message.split("each of them: ")[1].split(". Fixed")[0]
    assert set(listed.split(", ")) == named
    errors = np.sqrt(np.diag(fit.vcov_varpar()))
    names = fit.parameters("long").index[: errors.size]
    for name, error in zip(names, errors, strict=True):
        if name.startswith("sd_") and (
            name[3:].replace("|", " | ") in named or fit.parameters("long")[name] > 0
        ):
            assert np.isnan(error) == (name[3:].replace("|", " | ") in named)
    assert np.isfinite(errors[-1])  # of σ
    assert np.isfinite(fit.bse).all()


@pytest.mark.parametrize("random", APART)
def test_terms_that_differ_must_not_be_called_one(random: str) -> None:
    fit = mf.lmm(f"y ~ t + {random}", frame()).fit()
    assert fit.convergence.status in ("converged", "boundary")


def test_fit_must_be_that_of_one_of_the_terms() -> None:
    one = mf.lmm("y ~ t + (1 | id)", frame()).fit()
    both = mf.lmm("y ~ t + (1 | id) + (1 | name)", frame()).fit()
    assert "determine only the sum" in str(both.summary())
    assert both.reml_criterion == pytest.approx(one.reml_criterion, abs=1e-7)
    variances = both.varcorr["vcov"][:2]
    assert variances.sum() == pytest.approx(one.varcorr["vcov"][0], rel=1e-4)
    assert both.t_test("t").table["df"].iloc[0] == pytest.approx(
        one.t_test("t").table["df"].iloc[0], rel=1e-3
    )
    assert both.converged
    assert np.isnan(both.profile().conf_int().loc[".sig01"]).all()


def test_rows_of_weight_zero_must_not_tell_terms_apart() -> None:
    data = frame().assign(w=1.0)
    data.loc[5, "name"], data.loc[5, "w"] = "Q", 0.0
    assert (
        mf.lmm("y ~ t + (1 | id) + (1 | name)", data, weights="w").fit().convergence.status == "unidentified"
    )
    assert mf.lmm("y ~ t + (1 | id) + (1 | name)", data).fit().convergence.status != "unidentified"


def test_nested_factor_must_not_be_called_one_with_its_outer_factor_when_this_has_levels_without_weight() -> (
    None
):
    """`a` has 12 levels, 4 of them with weight, and `b` two levels in each of these. Rival: counts pairs only."""
    rng = np.random.default_rng(2)
    a, b = np.repeat(np.arange(12), 8), np.repeat(np.arange(24), 4)
    weights = (a < 4) * 1.0
    y = rng.normal(size=12)[a] + rng.normal(size=24)[b] + rng.normal(size=96)
    data = pd.DataFrame({"y": y, "a": a, "b": np.where(a < 4, b, 0), "w": weights})
    fit = mf.lmm("y ~ 1 + (1 | a) + (1 | b)", data, weights="w").fit()
    assert [block.name for block in fit._fit.design.blocks] == ["a", "b"]
    assert fit.convergence.status in ("converged", "boundary")


def visits() -> pd.DataFrame:
    """Return one row for each of 3 visits of 30 persons."""
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"id": np.repeat(np.arange(30), 3), "v": np.tile(list("pqr"), 30)})
    data["w"] = rng.choice([1.0, 4.0], 90)
    data["y"] = rng.normal(size=30)[data["id"]] + rng.normal(size=90) / np.sqrt(data["w"])
    return data


def test_weights_must_tell_an_effect_of_each_row_from_the_residual_when_they_differ() -> None:
    """Var(y) has τ²I from the effects and σ²/w from the residuals. Rival: looks at the effects alone."""
    formula = "y ~ 1 + homcs(0 + v | id)"
    equal = mf.lmm(formula, visits().assign(w=2.0), weights="w").fit()
    assert equal.convergence.status == "unidentified"
    assert mf.lmm(formula, visits(), weights="w").fit().convergence.status in ("converged", "boundary")


@pytest.mark.everyday(4)
@pytest.mark.filterwarnings("ignore::mixedfit.IdentifiabilityWarning", "ignore::mixedfit.ConvergenceWarning")
@pytest.mark.parametrize(
    ("random", "options"),
    [
        ("us(0 + visit | id)", {}),
        ("(0 + visit | id)", {"weights": "w"}),
        ("homcs(0 + visit | id)", {"missing": True}),
        ("cs(0 + visit | id)", {"visits": 2}),
        ("cs(0 + visit | id)", {}),
        ("diag(0 + visit | id) + (1 | name)", {"more": True}),
        pytest.param("us(0 + visit | id)", {"visits": 18}, marks=pytest.mark.slow),
        ("(h | id)", {}),
        ("(h | id) + (1 | site)", {}),
    ],
)
def test_verdict_must_be_the_same_when_rows_are_read_in_batches(random: str, options: dict[str, Any]) -> None:
    data = one_row_a_visit(options.get("visits", 4), options.get("missing", False))
    data["name"], data["h"], data["site"] = "P" + data["id"].astype(str), data["id"] % 2, data["id"] % 5
    if "more" in options:
        data["name"] = "P" + ((data["id"] * 7) % 40).astype(str)
    weights = options.get("weights")
    whole = mf.lmm(f"y ~ t + {random}", data, weights=weights).fit()
    half = len(data) // 2 + 1  # within a level
    fit = mf.lmm(f"y ~ t + {random}", [data[:half], data[half:]], weights=weights).fit()
    assert fit.convergence.status == whole.convergence.status
    assert fit.convergence.message.split(": ")[1:] == whole.convergence.message.split(": ")[1:]
    for one, other in zip(fit._fit.cross.unidentified, whole._fit.cross.unidentified, strict=True):
        assert np.array_equal(one, other)


def test_effects_as_many_as_rows_must_be_told_apart_in_batches_when_one_visit_has_two_rows() -> None:
    data = visits()
    more = pd.concat([data, data[-1:].assign(y=0.0)], ignore_index=True)
    fit = mf.lmm("y ~ 1 + homcs(0 + v | id)", [more[:60], more[60:]]).fit()
    assert fit.convergence.status in ("converged", "boundary")


def test_relationships_must_tell_factors_of_the_same_groups_apart_when_they_differ() -> None:
    """Animals with permanent effects, as `(1 | animal) + (1 | id)`: Ω₁A + Ω₂I. Rival: looks at the groups alone."""
    data = frame().assign(twin=lambda d: d["id"])
    near = np.exp(-np.abs(np.subtract.outer(np.arange(20), np.arange(20))) / 3.0)
    A, other = mf.Known(near, list(range(20))), mf.Known(near**2, list(range(20)))

    def status(known: dict[str, mf.Known]) -> str:
        return mf.lmm("y ~ t + (1 | id) + (1 | twin)", data, known=known).fit().convergence.status

    assert status({"id": A}) in ("converged", "boundary")
    assert status({"id": A, "twin": other}) in ("converged", "boundary")
    assert status({"id": A, "twin": mf.Known(near.copy(), list(range(20)))}) == "unidentified"


@pytest.mark.everyday(4)
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_equal_relationships_under_other_labels_must_be_a_verdict(seed: int, inverse: bool) -> None:
    """The same animals by number and by name; a matrix of other relations, or none, tells the factors apart."""
    rng = np.random.default_rng(seed)
    data, numbers = frame(), np.arange(20)
    names = np.array([f"animal {v}" for v in rng.permutation(20)])
    data["twin"] = names[data["id"]]
    near = np.exp(-np.abs(np.subtract.outer(numbers, numbers)) / 3.0)
    order = rng.permutation(20)

    def known(matrix: Any, labels: Any) -> mf.Known:
        given = np.linalg.inv(matrix) if inverse else matrix
        return mf.Known(given, list(labels), inverse=True) if inverse else mf.Known(given, list(labels))

    def status(known: dict[str, mf.Known]) -> str:
        return mf.lmm("y ~ t + (1 | id) + (1 | twin)", data, known=known).fit().convergence.status

    A = known(near, numbers.tolist())
    same = known(near[np.ix_(order, order)], names[order])
    assert status({"id": A, "twin": same}) == "unidentified"
    assert status({"id": A, "twin": known(near, names[order])}) in ("converged", "boundary")
    assert status({"id": A, "twin": known(np.eye(20), names)}) in ("converged", "boundary")
    assert status({"twin": known(np.eye(20), names)}) == "unidentified"


def items() -> pd.DataFrame:
    """Subjects by items, with factors and covariates that are the same in all rows of an item."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"s": np.repeat(np.arange(20), 24), "i": np.tile(np.arange(24), 20)})
    data["f"], data["t"] = np.where(data["i"] % 2 == 0, "hi", "lo"), np.array(list("abc"))[data["i"] % 3]
    data["h"], data["x"] = (data["f"] == "hi") * 1.0, rng.normal(size=24)[data["i"]]
    data["w"], data["y"] = rng.normal(size=480), rng.normal(size=20)[data["s"]] + rng.normal(size=480)
    data["y"] += rng.normal(size=24)[data["i"]] * (1.0 + data["h"])
    return data


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ("(f | i)", ["flo | i"]),
        ("(h | i)", ["h | i"]),
        ("(1 | s) + (f | i)", ["flo | i"]),
        ("(f || i)", ["(Intercept) | i", "fhi | i", "flo | i"]),
        ("(t | i)", ["tb | i", "tc | i"]),
        ("(f * w | i)", ["flo | i", "flo:w | i"]),
        ("(0 + f | i)", ["the correlation of fhi and flo | i"]),
        ("(C(f, contr.sum) | i)", ["(Intercept) | i", "| i"]),
    ],
)
def test_effects_that_do_not_vary_within_levels_must_be_a_verdict(terms: str, named: list[str]) -> None:
    """A factor between items has two variances, and `(f | item)` three parameters. Rival: looks at all rows at once."""
    fit = mf.lmm(f"y ~ f + w + {terms}", items()).fit()
    assert fit.convergence.status == "unidentified"
    assert all(name in fit.convergence.message for name in named)
    errors = fit.vcov_varpar()
    assert np.isnan(np.diag(errors)).any()
    assert np.isfinite(fit.bse).all()


@pytest.mark.parametrize(
    "terms",
    [
        "(0 + f || i)",
        "(h || i)",
        "(x | i)",
        "(x || i)",
        "(0 + t || i)",
        "(w | i)",
        "(f | s)",
        "(t * w | s)",
        "(1 | s) + (x | i)",
    ],
)
def test_effects_that_tell_levels_apart_must_not_be_called_unidentified(terms: str) -> None:
    """A covariate with many values, and indicators in separate terms, have a variance each, even between groups."""
    fit = mf.lmm(f"y ~ f + w + {terms}", items()).fit()
    assert fit.convergence.status in ("converged", "boundary")


@pytest.mark.parametrize("origin", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("within", [0.0, 1e-3])
def test_a_little_variation_within_levels_must_tell_effects_apart_whatever_the_origin(
    within: float, origin: float
) -> None:
    data = items()
    data["h"] += within * np.random.default_rng(1).normal(size=len(data)) + origin
    fit = mf.lmm("y ~ w + (h | i)", data).fit()
    assert (fit.convergence.status == "unidentified") == (within == 0.0)


ONE_ROW_EACH = [
    ("us(0 + visit | id)", {}, np.eye(4)),
    ("(visit | id)", {}, None),
    ("diag(0 + visit | id)", {}, np.eye(4)),
    ("(1 | id) + diag(0 + visit | id)", {}, np.diag([0.0, 1, 1, 1, 1])),
    ("(0 + visit | id)", {"missing": True}, np.eye(4)),
    ("us(t | id)", {"visits": 2}, None),
    ("(0 + visit | id)", {"weights": "w"}, np.diag(1 / np.array([1.0, 2.0, 1.5, 0.5]))),
]


def one_row_a_visit(visits: int = 4, missing: bool = False, weights: str | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"id": np.repeat(np.arange(40), visits), "t": np.tile(np.arange(1.0, visits + 1), 40)}
    )
    data["visit"] = "v" + data["t"].astype(int).astype(str)
    data["w"] = data["t"].map({1.0: 1.0, 2.0: 2.0, 3.0: 1.5, 4.0: 0.5})
    data["y"] = rng.standard_normal(40)[data["id"]] + rng.standard_normal(len(data)) * np.sqrt(
        1.0 + data["t"]
    )
    return data[rng.random(len(data)) > 0.2] if missing else data


@pytest.mark.everyday(3)
@pytest.mark.filterwarnings("ignore::mixedfit.IdentifiabilityWarning", "ignore::mixedfit.ConvergenceWarning")
@pytest.mark.parametrize(("random", "options", "along"), ONE_ROW_EACH)
def test_effects_of_each_row_must_be_named_with_the_residual_unless_sigma_is_held(
    random: str, options: dict[str, Any], along: Any
) -> None:
    """V is the same along E with ZEZᵀ = W⁻¹, written out; the rival reports the split as converged."""
    data = one_row_a_visit(**options)
    weights = options.get("weights")
    model = mf.lmm(f"y ~ t + {random}", data, weights=weights)
    fit = model.fit()
    assert fit.convergence.status == "unidentified"
    assert "residual. Fixed effects" in fit.convergence.message
    assert "fit(sigma=" in fit.convergence.message
    assert np.isnan(fit.vcov_varpar().loc[".sigma", ".sigma"])
    if along is not None:
        z = np.hstack([block.z for block in fit._fit.design.blocks])
        same = np.equal.outer(data["id"].to_numpy(), data["id"].to_numpy())
        inverse = np.diag(1.0 / data["w"]) if weights else np.eye(len(data))
        assert np.where(same, z @ along @ z.T, 0.0) == pytest.approx(inverse)
    held = model.fit(sigma=0.5 * fit.sigma)
    assert held.convergence.status != "unidentified"
    assert held.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-5)


@pytest.mark.everyday(3)
@pytest.mark.filterwarnings("ignore::mixedfit.IdentifiabilityWarning")
@pytest.mark.parametrize(
    ("random", "options"),
    [
        ("(0 + visit | id)", {"weights": "u"}),
        ("(t | id)", {}),
        ("diag(0 + visit | id)", {"twice": True}),
        ("ar1(0 + visit | id)", {}),
        ("(1 | id)", {"visits": 2}),
    ],
)
def test_effects_must_be_told_from_the_residual_where_no_sum_is_the_same(
    random: str, options: dict[str, Any]
) -> None:
    data = one_row_a_visit(options.get("visits", 4))
    data["u"] = np.random.default_rng(0).uniform(0.5, 2.0, len(data))
    if "twice" in options:
        data = pd.concat(
            [data, data.assign(y=data["y"] + np.random.default_rng(1).standard_normal(len(data)))]
        )
    fit = mf.lmm(f"y ~ t + {random}", data, weights=options.get("weights")).fit()
    assert fit.convergence.status != "unidentified"


@pytest.mark.everyday(5)
@pytest.mark.parametrize(
    "random",
    [
        "(0 + f | id) + (1 | id:f)",
        "(f | id) + (0 + t | id:f)",
        "(f * g | id) + (1 | id:f)",
        "(f | id) + (1 | id:f) + (1 | id:g)",
        "(g | id) + (1 | id:f)",
        "(t | id) + (1 | id:g)",
        "(1 | id) + (0 + g || id) + (1 | id:g)",
    ],
)
@pytest.mark.parametrize("shift", [0.0, 2000.0])
@pytest.mark.filterwarnings("ignore::mixedfit.IdentifiabilityWarning")
def test_elements_between_nested_factors_must_be_those_of_the_dense_null_space(
    random: str, shift: float
) -> None:
    """An element is identified if it is 0 in every combination of the derivatives of V that is 0."""
    data = frame().assign(g=lambda own: np.where(own["t"] < 3, "p", "q"), t=lambda own: own["t"] + shift)
    data = data[data.index % 17 != 3]
    fit = mf.lmm(f"y ~ 1 + {random}", data)
    design = fit.design
    derivatives, places = [np.eye(len(data)).ravel()], [(-1, 0, 0)]  # of the residual variance
    for b, block in enumerate(design.blocks):
        z = block.z / np.linalg.norm(block.z, axis=0)
        same = block.codes[:, None] == block.codes
        for part, _, here in block.structure.slices():
            for i in range(here.start, here.stop):
                for j in range(here.start, i + 1 if part.invariance == "linear" else here.start):
                    derivatives.append(((z[:, [i]] @ z[:, [j]].T + z[:, [j]] @ z[:, [i]].T) * same).ravel())
                    places.append((b, i, j))
                if part.invariance != "linear":
                    derivatives.append((z[:, [i]] @ z[:, [i]].T * same).ravel())
                    places.append((b, i, i))
    matrix = np.array(derivatives) / np.linalg.norm(derivatives, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    null = np.linalg.norm(left[:, values < 1e-12 * values[0]], axis=1)
    expected = {place for place, size in zip(places, null, strict=True) if size > 1e-5 and place[0] >= 0}
    found = fit.fit()._fit.cross.unidentified
    own = {(b, i, j) for b, elements in enumerate(found) for i, j in np.argwhere(np.tril(elements)).tolist()}
    if shift:  # the formula's basis mixes an intercept and a covariate far from its origin
        assert {b for b, _, _ in own} == {b for b, _, _ in expected}
    else:
        assert own == expected


@pytest.mark.parametrize(("visits", "status"), [(2, "unidentified"), (3, None)])
def test_range_and_smoothness_must_not_be_identified_when_there_is_one_distance(
    visits: int, status: str | None
) -> None:
    data = frame().assign(t=lambda d: d["t"] % visits)
    convergence = mf.lmm("y ~ 1 + mat(0 + t | id)", data).fit().convergence
    assert (convergence.status == "unidentified") == (status == "unidentified")
    assert ("mat(… | id) has more parameters" in convergence.message) == (status == "unidentified")
