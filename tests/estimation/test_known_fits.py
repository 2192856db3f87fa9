"""Fits with known relationships between levels: the n × n density, laws, published animal models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_data import animals, pedigree_of
from known_oracle import model_of

import mixedfit as mf
from mixedfit.core.linalg import blas_threads
from mixedfit.estimation.effects import modes_of
from mixedfit.likelihood.by_rows import RowCriterion, rows_of
from mixedfit.likelihood.criterion import Criterion

FORMULAS = [
    "y ~ x + (1 | animal)",
    "y ~ x + (1 + x | animal)",
    "y ~ x + (1 + x || animal) + (1 | herd)",
    "y ~ x + (1 | animal) + (x | herd)",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with blas_threads(1):
        yield


def fit_of(formula: str, *, reml: bool = True, **options: Any) -> tuple[mf.MixedResults, Any]:
    """Return a fit with the relationships of the pedigree, and A in the order of its levels."""
    pedigree, frame, A = animals()
    known = mf.Known(A, pedigree.animal.tolist())
    return mf.lmm(formula, frame, known={"animal": known}, **options).fit(reml=reml), A


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_fit_must_have_the_dense_criterion_coefficients_and_blups(formula: str, reml: bool) -> None:
    """Rivals: levels taken as independent, and A_jj forgotten."""
    fit, A = fit_of(formula, reml=reml)
    dense = model_of(fit, {"animal": A})
    value = fit.reml_criterion if reml else fit.deviance
    assert value == pytest.approx(dense.criterion(reml), abs=1e-8)
    assert fit.params.to_numpy() == pytest.approx(dense.beta, rel=1e-9)
    assert fit.cov_params().to_numpy() == pytest.approx(dense.phi, rel=1e-8)
    for f, name in enumerate(fit.random_effects):
        assert fit.random_effects[name].to_numpy() == pytest.approx(dense.blups(f), rel=1e-7, abs=1e-9)
    unrelated = model_of(fit, {}).criterion(reml)
    assert abs(unrelated - value) > 0.1


def test_weights_must_enter_as_in_the_dense_model() -> None:
    fit, A = fit_of("y ~ x + (1 | animal) + (1 | herd)", weights="w")
    assert fit.reml_criterion == pytest.approx(model_of(fit, {"animal": A}).criterion(True), abs=1e-8)


@pytest.mark.everyday(5)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", [*FORMULAS, "y ~ x + cs(1 + x | animal) + (1 | herd)"])
def test_derivatives_must_be_those_of_differences(formula: str, reml: bool) -> None:
    criterion = fit_of(formula, reml=reml)[0]._fit.evaluation.criterion
    start = np.full(criterion.n_theta, 0.6) + 0.1 * np.arange(criterion.n_theta)
    steps = 1e-5 * np.eye(start.size)
    slopes = [(criterion(start + h).value - criterion(start - h).value) / 2e-5 for h in steps]
    assert criterion(start).gradient == pytest.approx(np.array(slopes), rel=1e-6, abs=1e-6)
    curvature = [(criterion(start + h).gradient - criterion(start - h).gradient) / 2e-5 for h in steps]
    assert criterion(start).exact_curvature == pytest.approx(np.array(curvature), rel=1e-6, abs=1e-5)


def test_slope_must_be_defined_at_a_variance_of_zero() -> None:
    """∂d/∂(λλᵀ) at λ = 0, where the gradient in θ vanishes; a nearby regular point has the same."""
    criterion = fit_of("y ~ x + (1 + x | animal)")[0]._fit.evaluation.criterion
    at_zero = criterion(np.zeros(3)).slope(0)
    lam = criterion.cross.basis[0]
    near = criterion(np.array([1e-3, 0.0, 1e-3]))
    change = 1e-6 * lam @ lam.T
    expected = near.value - criterion(np.zeros(3)).value
    assert np.sum(at_zero * change) == pytest.approx(expected, rel=1e-3)


def test_identity_must_be_the_ordinary_model() -> None:
    _, frame, _ = animals()
    levels = sorted(frame.animal.unique())
    for formula in ("y ~ x + (1 + x | animal) + (1 | herd)", "y ~ x + (1 | animal)"):
        plain = mf.lmm(formula, frame).fit()
        related = mf.lmm(formula, frame, known={"animal": mf.Known(np.eye(len(levels)), levels)}).fit()
        assert related.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-8)
        assert related.theta.to_numpy() == pytest.approx(plain.theta.to_numpy(), abs=1e-5)
        one, other = related.random_effects["animal"], plain.random_effects["animal"]
        assert one.loc[other.index].to_numpy() == pytest.approx(other.to_numpy(), abs=1e-5)


def test_order_labels_and_inverse_must_change_nothing() -> None:
    pedigree, frame, A = animals()
    formula = "y ~ x + (1 + x | animal) + (1 | herd)"
    first, _ = fit_of(formula)
    order = np.random.default_rng(3).permutation(len(A))
    labels = pedigree.animal.to_numpy()
    permuted = mf.Known(pd.DataFrame(A, labels, labels).iloc[order, order])
    inverse = mf.Known(np.linalg.inv(A), labels.tolist(), inverse=True)
    henderson = mf.Known.from_pedigree(pedigree.sample(frac=1.0, random_state=1))
    for known in (permuted, inverse, henderson):
        fit = mf.lmm(formula, frame, known={"animal": known}).fit()
        assert fit.reml_criterion == pytest.approx(first.reml_criterion, abs=1e-7)
        assert fit.theta.to_numpy() == pytest.approx(first.theta.to_numpy(), abs=1e-5)
        one = fit.random_effects["animal"].loc[labels].to_numpy()
        assert one == pytest.approx(first.random_effects["animal"].to_numpy(), abs=1e-5)
    renamed = frame.assign(animal="cow " + frame.animal)
    known = mf.Known(A, [f"cow {label}" for label in labels])
    fit = mf.lmm(formula, renamed, known={"animal": known}).fit()
    assert fit.reml_criterion == pytest.approx(first.reml_criterion, abs=1e-8)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_scale_of_the_matrix_must_divide_the_variance(scale: float) -> None:
    pedigree, frame, A = animals()
    fit, _ = fit_of("y ~ x + (1 | animal)")
    known = mf.Known(scale * A, pedigree.animal.tolist())
    other = mf.lmm("y ~ x + (1 | animal)", frame, known={"animal": known}).fit()
    assert other.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-7)
    assert scale * other.varcorr["vcov"][0] == pytest.approx(fit.varcorr["vcov"][0], rel=1e-4)


def test_levels_without_rows_must_have_blups_and_not_change_the_fit() -> None:
    pedigree, frame, A = animals()
    fit, _ = fit_of("y ~ x + (1 | animal)")
    used = pedigree.animal.isin(frame.animal).to_numpy()
    smaller = mf.Known(A[np.ix_(used, used)], pedigree.animal[used].tolist())
    without = mf.lmm("y ~ x + (1 | animal)", frame, known={"animal": smaller}).fit()
    assert 5 < used.sum() < len(A) - 5
    assert without.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-8)
    b = without.random_effects["animal"]["(Intercept)"].to_numpy()
    regression = A[np.ix_(~used, used)] @ np.linalg.solve(A[np.ix_(used, used)], b)
    own = fit.random_effects["animal"]["(Intercept)"].to_numpy()
    assert own[~used] == pytest.approx(regression, abs=1e-6)


MRODE_31 = {
    "pedigree": {
        "animal": [1, 2, 3, 4, 5, 6, 7, 8],
        "sire": [0, 0, 0, 1, 3, 1, 4, 3],
        "dam": [0, 0, 0, 0, 2, 2, 5, 6],
    },
    "data": {
        "calf": [4, 5, 6, 7, 8],
        "sex": ["male", "female", "female", "male", "male"],
        "wwg": [4.5, 2.9, 3.9, 3.5, 5.0],
    },
    "males, females": [4.358, 3.404],
    "animals": [0.098, -0.019, -0.041, -0.009, -0.186, 0.177, -0.249, 0.183],
}
"""Mrode (2005), Linear Models for the Prediction of Animal Breeding Values, 2nd ed., example 3.1: σ²_e/σ²_a = 2."""


def test_blups_at_a_known_ratio_must_be_mrodes() -> None:
    known = mf.Known.from_pedigree(MRODE_31["pedigree"])
    model = mf.lmm("wwg ~ 0 + sex + (1 | calf)", MRODE_31["data"], known={"calf": known})
    fit = model.fit(sigma=40.0**0.5)._fit
    evaluation = fit.evaluation.criterion(np.array([0.5**0.5]))
    modes = modes_of(fit.design, fit.cross, evaluation)[0][:, 0]
    assert modes == pytest.approx(MRODE_31["animals"], abs=5e-4)
    fixed = fit.cross.fixed
    beta = fixed.centre + fixed.scale * fixed.transform @ evaluation.solution[fit.cross.q_tail :]
    assert beta[::-1] == pytest.approx(MRODE_31["males, females"], abs=1e-3)


@pytest.mark.parametrize("formula", ["y ~ x + (1 + x | animal)", "y ~ x + (1 | animal) + (x | herd)"])
def test_criterion_by_rows_must_be_that_of_the_cross_products(formula: str) -> None:
    fit = fit_of(formula)[0]._fit
    rows = rows_of(fit.design, fit.cross)
    c = fit.evaluation.criterion
    assert rows is not None
    by_rows = RowCriterion(c.cross, c.structures, c.reml, canonical=True, rows=rows)
    plain = Criterion(c.cross, c.structures, c.reml, canonical=True)
    theta = np.full(c.n_theta, 0.7)
    one, other = by_rows(theta), plain(theta)
    assert one.value == pytest.approx(other.value, abs=1e-8)
    assert one.gradient == pytest.approx(other.gradient, rel=1e-7, abs=1e-8)
    for f in range(len(c.structures)):
        assert one.slope(f) == pytest.approx(other.slope(f), rel=1e-7, abs=1e-8)
    assert one.tail_factor() == pytest.approx(np.tril(other.tail.matrix), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("large", [False, True])
def test_residual_variance_of_zero_must_be_said(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heritability of 1: each animal has one row, and its effect reproduces it."""
    if large:
        monkeypatch.setattr("mixedfit.likelihood.by_rows.LARGEST", 0)
    pedigree = pedigree_of(60, founders=8, seed=1)
    known = mf.Known.from_pedigree(pedigree)
    b = np.linalg.cholesky(known.values) @ np.random.default_rng(1).normal(size=60)
    fit = mf.lmm("y ~ 1 + (1 | animal)", pedigree.assign(y=b), known={"animal": known}).fit()
    assert "the residual variance is 0" in fit.convergence.message
    assert fit.converged


def test_variance_of_zero_must_be_a_boundary_and_said() -> None:
    pedigree, frame, A = animals()
    noise = frame.assign(y=np.random.default_rng(2).normal(size=len(frame)))
    known = {"animal": mf.Known(A, pedigree.animal.tolist())}
    fit = mf.lmm("y ~ x + (1 | animal)", noise, known=known).fit()
    assert fit.singular
    assert "no variance between levels of animal" in fit.convergence.message
    assert fit.random_effects["animal"].to_numpy() == pytest.approx(0.0)


@contextmanager
def sparse_matrices() -> Iterator[None]:
    """Take sparse matrices for small models too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixedfit.crossproducts.related_pattern.SMALLEST", 0)
        patch.setattr("mixedfit.crossproducts.sparse_products.SMALLEST", 0)
        for name in ("DENSE_SHARE", "PAIRED_SHARE"):
            patch.setattr(f"mixedfit.crossproducts.sparse_products.{name}", 2.0)
        yield


@pytest.mark.everyday(3)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_sparse_and_dense_matrices_must_answer_alike(formula: str, reml: bool) -> None:
    """Criterion, derivatives, BLUPs with their errors, leverages, tests, refits."""
    pedigree, frame, _ = animals()
    known = {"animal": mf.Known.from_pedigree(pedigree)}
    dense = mf.lmm(formula, frame, known=known).fit(reml=reml)
    with sparse_matrices():
        fit = mf.lmm(formula, frame, known=known).fit(reml=reml)
        assert fit._fit.cross.sparse is not None
        assert dense._fit.cross.sparse is None
        theta = np.full(fit.theta.size, 0.7)
        one, other = (f._fit.evaluation.criterion(theta) for f in (fit, dense))
        assert one.value == pytest.approx(other.value, abs=1e-9)
        assert one.gradient == pytest.approx(other.gradient, rel=1e-8, abs=1e-9)
        assert one.curvature == pytest.approx(other.curvature, rel=1e-8, abs=1e-9)
        for answer in (
            lambda f: f.theta,
            lambda f: f.random_effects["animal"],
            lambda f: f.blup_cov("animal"),
            lambda f: f.diagnostics.leverages,
            lambda f: f.predict(frame.head(4).assign(animal="a0"), se=True),
            lambda f: f.summary(ddf="satterthwaite" if reml else "normal").coefficients,
            lambda f: f.summary(ddf="kenward-roger" if reml else "normal").coefficients,
            lambda f: copy.deepcopy(f).predict(se=True),
            lambda f: f.refit(frame["y"] + frame["x"] ** 2).params,
        ):
            own, others = (answer(f).to_numpy(dtype=float) for f in (fit, dense))
            assert own == pytest.approx(others, rel=1e-5, abs=1e-7)


def test_draws_with_a_sparse_root_must_have_the_covariance() -> None:
    pedigree, _, A = animals()
    known = mf.Known.from_pedigree(pedigree)
    assert known.root @ known.root.T == pytest.approx(A, abs=1e-10)
    assert known.diagonal == pytest.approx(np.diag(A))
    plain = mf.Known(known.given, known.labels.tolist(), inverse=True)
    assert plain.diagonal == pytest.approx(np.diag(A))
    assert plain.log_determinant == pytest.approx(np.linalg.slogdet(A)[1])


def test_pedigree_of_thousands_must_be_fitted_with_sparse_matrices() -> None:
    pedigree = pedigree_of(3000, founders=200, seed=2)
    known = mf.Known.from_pedigree(pedigree)
    rng = np.random.default_rng(2)
    animal = rng.integers(200, 3000, 4000)
    frame = pd.DataFrame({"animal": pedigree.animal.to_numpy()[animal], "herd": rng.integers(0, 40, 4000)})
    b = known.root_times(rng.normal(size=(3000, 1)))[:, 0]
    frame["y"] = 1.0 + b[animal] + 0.5 * rng.normal(size=40)[frame.herd] + rng.normal(size=4000)
    fit = mf.lmm("y ~ 1 + (1 | animal) + (1 | herd)", frame, known={"animal": known}).fit()
    assert fit._fit.cross.sparse is not None
    variances = fit.varcorr["vcov"].to_numpy()
    assert variances == pytest.approx([1.0, 0.25, 1.0], abs=0.25)
    assert np.corrcoef(fit.random_effects["animal"]["(Intercept)"], b)[0, 1] > 0.6


def test_dense_inverse_of_too_many_effects_must_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfit.crossproducts.related_pattern.LARGEST", 50)
    with pytest.raises(mf.ModelError, match=r"80 effects of levels with known relationships.*up to 50"):
        fit_of("y ~ x + (1 + x | animal)")


@pytest.mark.parametrize("way", [nullcontext, sparse_matrices])
def test_fixed_factor_of_many_levels_must_be_as_one_of_few(way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pedigree, frame, _ = animals()
    frame = frame.assign(herd=frame.herd.astype(str))
    known = {"animal": mf.Known.from_pedigree(pedigree)}
    few = mf.lmm("y ~ x + herd + (1 | animal)", frame, known=known).fit()
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 2)
    with way():
        many = mf.lmm("y ~ x + herd + (1 | animal)", frame, known=known).fit()
        assert many._fit.design.many
        for answer in (
            lambda f: f.theta,
            lambda f: f.bse[few.params.index],
            lambda f: f.diagnostics.leverages,
            lambda f: f.predict(se=True),
        ):
            own, other = (answer(f).to_numpy(dtype=float) for f in (many, few))
            assert own == pytest.approx(other, rel=1e-6, abs=1e-8)


@pytest.mark.slow
def test_reml_estimates_must_be_right_on_average() -> None:
    """The variances of 300 simulated herds of 300 animals; the rival that ignores relationships is below."""
    pedigree = pedigree_of(300, founders=40, seed=3)
    known = mf.Known.from_pedigree(pedigree)
    rng = np.random.default_rng(3)
    animal = rng.integers(40, 300, 500)
    labels = pedigree.animal.to_numpy()[animal]
    drawn = 1.5 * (known.root_times(rng.normal(size=(300, 300))))[animal] + rng.normal(size=(500, 300))
    frame = pd.DataFrame({"y": drawn[:, 0], "animal": labels})
    first = mf.lmm("y ~ 1 + (1 | animal)", frame, known={"animal": known}).fit()
    found = np.array([first.refit(y).varcorr["vcov"].to_numpy() for y in drawn.T])
    error = found.std(axis=0) / np.sqrt(300)
    assert np.all(np.abs(found.mean(axis=0) - [2.25, 1.0]) < 3.5 * error)
