"""Laws of every residual structure: one checker, run over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from residual_oracle import residual_covariance

import mixedfit as mf

R = mf.residuals


def visits(seed: int = 1, groups: int = 16) -> pd.DataFrame:
    """Return rows of groups that miss some of five visits, in random order, with coordinates and covariates."""
    rng = np.random.default_rng(seed)
    rows = [(g, t) for g in range(groups) for t in range(1, 6) if rng.random() > 0.3 or t <= 2]
    frame = pd.DataFrame(rows, columns=["g", "t"])
    n = len(frame)
    frame["visit"] = frame["t"].map(lambda t: f"v{t}")
    frame["when"] = frame["t"] + rng.uniform(0, 0.8, n)
    frame["x"], frame["z"] = rng.uniform(0, 10, n), rng.uniform(0, 3, n)
    frame["arm"] = np.where(frame["g"] % 2 == 0, "a", "b")
    frame["v"] = rng.uniform(0.5, 4, n)
    frame["y"] = rng.normal(size=n)
    return frame.sample(frac=1.0, random_state=seed).reset_index(drop=True)


CORRELATIONS: dict[str, Any] = {
    "AR1": R.AR1("t", "g"),
    "CAR1": R.CAR1("when", "g"),
    "CompoundSymmetry": R.CompoundSymmetry("g"),
    "Unstructured": R.Unstructured("visit", "g"),
    "Unstructured, one SD": R.Unstructured("visit", "g", homogeneous=True),
    "Toeplitz": R.Toeplitz("visit", "g"),
    "AnteDependence": R.AnteDependence("visit", "g"),
    "AR2": R.ARMA(2, 0, "t", "g"),
    "MA1": R.ARMA(0, 1, "t", "g"),
    "MA2": R.ARMA(0, 2, "t", "g"),
    "ARMA11": R.ARMA(1, 1, "t", "g"),
    "ARMA23": R.ARMA(2, 3, "t", "g"),
    "Exponential, one dimension": R.Exponential("when", "g"),
    "Exponential": R.Exponential(("x", "z"), "g"),
    "Exponential, nugget": R.Exponential(("x", "z"), "g", nugget=True),
    "Exponential, Manhattan": R.Exponential(("x", "z"), "g", metric="manhattan"),
    "Gaussian, nugget": R.Gaussian(("x", "z"), "g", nugget=True),
    "Linear": R.Linear("when", "g"),
    "RationalQuadratic": R.RationalQuadratic("when", "g"),
    "Spherical, nugget": R.Spherical(("x", "z"), "g", nugget=True),
    "Spherical, all rows": R.Spherical(("x", "z")),
    "Matern 0.5": R.Matern(("x", "z"), "g", nu=0.5),
    "Matern 1.5": R.Matern(("x", "z"), "g", nu=1.5),
    "Matern 2.2, nugget": R.Matern("when", "g", nugget=True, nu=2.2),
}
V = np.array([[2.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 3.0]])
V = np.block([[V, np.full((3, 2), 0.1)], [np.full((2, 3), 0.1), np.eye(2) * 0.7]])
CORRELATIONS["Known"] = R.Known(pd.DataFrame(V, *[[f"v{t}" for t in range(1, 6)]] * 2), "visit", "g")
VARIANCES: dict[str, Any] = {
    "VarIdent": R.VarIdent("arm"),
    "VarPower": R.VarPower("v"),
    "VarConstPower": R.VarConstPower("v"),
    "VarExp": R.VarExp("v"),
    "VarFixed": R.VarFixed("v"),
    "VarPower by arm": R.VarPower("v", by="arm"),
    "VarConstPower by arm": R.VarConstPower("v", by="arm"),
}
PRODUCTS: dict[str, Any] = {
    "Known VarIdent": CORRELATIONS["Known"] * R.VarIdent("arm"),
    "AR1 VarIdent": R.AR1("t", "g") * R.VarIdent("visit"),
    "CAR1 VarPower VarIdent": R.CAR1("when", "g") * R.VarPower("v") * R.VarIdent("arm"),
    "CompoundSymmetry VarExp": R.CompoundSymmetry("g") * R.VarExp("v"),
    "Toeplitz VarConstPower": R.VarConstPower("v") * R.Toeplitz("visit", "g"),
}
BY_ARM: dict[str, Any] = {
    "AR1 by arm": R.AR1("t", "g", by="arm"),
    "CompoundSymmetry by arm": R.CompoundSymmetry("g", by="arm"),
    "Unstructured by arm": R.Unstructured("visit", "g", by="arm"),
    "Toeplitz by arm": R.Toeplitz("visit", "g", by="arm") * R.VarIdent("arm:visit"),
    "AnteDependence by arm": R.AnteDependence("visit", "g", by="arm"),
    "Gaussian by arm": R.Gaussian(("x", "z"), "g", nugget=True, by="arm") * R.VarPower("v"),
}
CASES = BY_ARM | CORRELATIONS | VARIANCES | PRODUCTS


@pytest.fixture(params=list(CASES))
def structure(request: pytest.FixtureRequest) -> Any:
    """Every structure in turn."""
    return CASES[request.param]


def bound(structure: Any, data: pd.DataFrame | None = None) -> Any:
    """Return the structure on the rows of the data."""
    data = visits() if data is None else data
    model = mf.lmm("y ~ 1", data, residual=structure).design.residual
    assert model is not None
    return model


def somewhere(model: Any, seed: int = 3) -> Any:
    """Return parameters away from their start."""
    return model.start + np.random.default_rng(seed).uniform(-0.5, 0.5, model.start.size)


def dense(structure: Any, model: Any, x: Any, data: pd.DataFrame) -> Any:
    parameters = {p.name: float(p.value) for p in model.natural(x)}
    own = structure.correlation
    return residual_covariance(structure, data, None if own is None else own.group_name, parameters)


@pytest.mark.everyday(15)
def test_matrix_must_be_the_textbooks(structure: Any) -> None:
    data = visits()
    model = bound(structure, data)
    x = somewhere(model)
    found = model.matrix(x, np.arange(len(data)))
    np.testing.assert_allclose(found, dense(structure, model, x, data), rtol=1e-9, atol=1e-12)


def test_matrix_must_be_positive_definite_anywhere(structure: Any) -> None:
    data = visits()
    model = bound(structure, data)
    for seed in range(5):
        x = model.start + np.random.default_rng(seed).normal(size=model.start.size)
        assert np.linalg.eigvalsh(model.matrix(x, np.arange(len(data)))).min() > 0


@pytest.mark.everyday(15)
def test_whitening_must_be_an_inverse_root_of_the_textbooks_matrix(structure: Any) -> None:
    data = visits()
    model = bound(structure, data)
    x = somewhere(model)
    matrix = dense(structure, model, x, data)
    W = model.root(x).whiten(np.eye(len(data)))
    np.testing.assert_allclose(W @ matrix @ W.T, np.eye(len(data)), atol=1e-8)
    assert model.root(x).logdet == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-9, abs=1e-9)


@pytest.mark.everyday(15)
def test_back_and_colour_must_be_transpose_and_inverse_of_whitening(structure: Any) -> None:
    model = bound(structure)
    root = model.root(somewhere(model))
    eye = np.eye(len(visits()))
    W = root.whiten(eye)
    np.testing.assert_allclose(root.back(eye), W.T, atol=1e-10)
    np.testing.assert_allclose(root.colour(W), eye, atol=1e-9)


def test_slope_must_equal_a_difference_quotient(structure: Any) -> None:
    model = bound(structure)
    x, rows = somewhere(model), np.random.default_rng(5).normal(size=(len(visits()), 3))

    def value(at: Any) -> float:
        root = model.root(at)
        return float(root.logdet + np.sum(root.whiten(rows) ** 2))

    found = model.root(x).slope(rows)
    for a in range(x.size):
        h = 1e-5 * np.eye(x.size)[a]
        assert found[a] == pytest.approx((value(x + h) - value(x - h)) / 2e-5, rel=1e-5, abs=1e-5)


@pytest.mark.everyday(30)
@pytest.mark.parametrize("free_sigma", [True, False])
def test_information_must_be_that_of_the_dense_matrix(structure: Any, free_sigma: bool) -> None:
    """½ the expected second derivative: tr(R⁻¹R_aR⁻¹R_b), with σ² as a further parameter eliminated."""
    model = bound(structure)
    x, rows = somewhere(model), np.arange(len(visits()))
    inverse = np.linalg.inv(model.matrix(x, rows))
    slopes = [np.eye(len(rows))] if free_sigma else []
    for a in range(x.size):
        h = 1e-5 * np.eye(x.size)[a]
        slopes.append(inverse @ (model.matrix(x + h, rows) - model.matrix(x - h, rows)) / 2e-5)
    whole = np.array([[np.sum(s * t.T) for t in slopes] for s in slopes]).reshape(2 * (len(slopes),))
    if free_sigma:
        whole = whole[1:, 1:] - np.outer(whole[1:, 0], whole[0, 1:]) / whole[0, 0]
    found = model.root(x).information(free_sigma)
    np.testing.assert_allclose(found, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.everyday(15)
def test_permuted_rows_must_have_the_permuted_matrix(structure: Any) -> None:
    data = visits()
    order = np.random.default_rng(2).permutation(len(data))
    model, moved = bound(structure, data), bound(structure, data.iloc[order])
    x, rows = somewhere(model), np.arange(len(data))
    first = model.matrix(x, rows)[np.ix_(order, order)]
    np.testing.assert_allclose(moved.matrix(x, rows), first, rtol=1e-9, atol=1e-12)
    assert moved.root(x).logdet == pytest.approx(model.root(x).logdet, rel=1e-12)


def test_natural_parameters_must_lie_within_their_limits(structure: Any) -> None:
    model = bound(structure)
    for seed in range(5):
        for p in model.natural(model.start + 2 * np.random.default_rng(seed).normal(size=model.start.size)):
            assert p.lower < p.value < p.upper


def test_printed_structure_must_evaluate_to_itself(structure: Any) -> None:
    if "Known" in str(structure):
        pytest.skip("its matrix is not printed")
    names = {name: getattr(R, name) for name in R.__all__}
    assert eval(str(structure), names) == structure


def test_times_must_count_gaps_not_rows() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "t": [1, 4, 1, 2], "g": [0, 0, 1, 1]})
    model = bound(R.AR1("t", "g"), data)
    phi = model.natural(model.start)[0].value
    assert model.matrix(model.start, np.array([0, 1]))[0, 1] == pytest.approx(phi**3)


def test_dates_must_count_days() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "g": [0, 0, 1, 1]})
    data["t"] = pd.to_datetime(["2026-01-01", "2026-01-04", "2026-02-01", "2026-02-02"])
    model = bound(R.AR1("t", "g"), data)
    phi = model.natural(model.start)[0].value
    assert model.matrix(model.start, np.array([0, 1]))[0, 1] == pytest.approx(phi**3)


def test_ordered_categories_must_be_times_in_their_order() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "g": [0, 0, 1, 1]})
    data["t"] = pd.Categorical(
        ["late", "early", "early", "middle"], ["early", "middle", "late"], ordered=True
    )
    model = bound(R.AR1("t", "g"), data)
    phi = model.natural(model.start)[0].value
    assert model.matrix(model.start, np.array([0, 1]))[0, 1] == pytest.approx(phi**2)


def test_negative_autoregression_must_alternate_over_even_and_odd_lags() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, 5.0], "t": [1, 2, 4, 5, 9], "g": 0})
    model = bound(R.AR1("t", "g"), data)
    matrix = model.matrix(np.array([-0.7]), np.arange(5))
    W = model.root(np.array([-0.7])).whiten(np.eye(5))
    np.testing.assert_allclose(W @ matrix @ W.T, np.eye(5), atol=1e-12)
    assert matrix[0, 1] < 0 < matrix[1, 2]


@pytest.mark.parametrize("x", [0.0, 1e-9, -1e-9])
def test_autoregression_at_zero_must_be_independent_residuals(x: float) -> None:
    data = visits()
    model = bound(R.AR1("t", "g"), data)
    np.testing.assert_allclose(
        model.matrix(np.array([x]), np.arange(len(data))), np.eye(len(data)), atol=1e-8
    )
    assert model.root(np.array([x])).logdet == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.isfinite(model.root(np.array([x])).slope(np.eye(len(data)))))


# -- wrong use ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: R.AR1(3), "expected the name of a column"),
        (lambda: R.CAR1(None, "g"), "expected the name of a column"),
        (lambda: R.ARMA(0, 0), "give p or q above 0"),
        (lambda: R.ARMA(-1, 1), "whole number"),
        (lambda: R.Linear(("x", "y")), "one dimension only"),
        (lambda: R.Spherical(("x", "y"), metric="manhattan"), "Euclidean"),
        (lambda: R.Exponential(("x", "y"), metric="taxi"), "manhattan"),
        (lambda: R.Exponential(()), "needs coordinates"),
        (lambda: R.Matern("x", nu=0), "above 0"),
        (lambda: R.AR1("t") * R.CAR1("t"), "one correlation at most"),
        (lambda: R.AR1("t") * "arm", "expected another residual structure"),
        (lambda: R.Unstructured("v", "g") * R.VarIdent("v"), "a variance for each visit already"),
    ],
)
def test_structure_must_refuse_wrong_arguments_in_words(make: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        make()
