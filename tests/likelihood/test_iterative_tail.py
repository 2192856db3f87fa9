"""Conjugate gradients give what a factorisation gives: exactly where they solve, within the stated error elsewhere."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixedfit as mf
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.crossproducts.tail_pairs import Solver
from mixedfit.design.design import Design
from mixedfit.estimation.monte_carlo import theta_errors
from mixedfit.likelihood.conjugate_gradients import logarithms, solve
from mixedfit.likelihood.criterion import Criterion, Evaluation
from mixedfit.likelihood.iterative_tail import IterativeTail

FORMULAS = {
    "crossed": "y ~ x + (1 | u) + (1 | i)",
    "slopes": "y ~ x + z + (x | u) + (x + z | i)",
    "three factors": "y ~ x + (1 | u) + (x | i) + (1 | c)",
    "uncorrelated": "y ~ x + (x || u) + (x || i)",
    "nested": "y ~ x + (1 | c/i)",
    "without fixed effects": "y ~ 0 + (1 | u) + (1 | i)",
}


def rows(n: int = 900, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(2, 1, n), "z": rng.normal(size=n), "w": rng.uniform(0.5, 2, n)})
    frame["u"], frame["c"] = rng.integers(0, 120, n), rng.integers(0, 9, n)
    frame["i"] = (40 * rng.random(n) ** 2).astype(int)
    effects = rng.normal(size=(120, 2)) @ np.array([[1.0, 0.3], [0.0, 0.4]])
    frame["y"] = effects[frame["u"], 0] + effects[frame["u"], 1] * frame["x"] + rng.normal(size=n)
    frame["y"] += 0.7 * rng.normal(size=40)[frame["i"]] + 0.3 * rng.normal(size=9)[frame["c"]]
    return frame


def evaluations(
    formula: str, theta: Any = None, *, reml: bool = True, probes: int = 400, **options: Any
) -> tuple[Evaluation, Evaluation]:
    """Return the criterion with a factorisation and without, at θ, by default somewhere."""
    design: Design = mf.lmm(formula, rows(), **options).design
    structures = tuple(block.structure for block in design.blocks)
    out = []
    for kind in ("exact", "iterative"):
        cross = cross_products(design, Solver(kind, probes))  # type: ignore[arg-type]
        criterion = Criterion(cross, structures, reml)
        own = np.random.default_rng(5).uniform(0.2, 0.9, criterion.n_theta) if theta is None else theta
        out.append(criterion(np.asarray(own, dtype=float)))
    assert isinstance(out[1].tail, IterativeTail)
    return out[0], out[1]


@pytest.mark.everyday(4)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_solutions_must_be_those_of_the_factorisation(name: str, reml: bool) -> None:
    exact, found = evaluations(FORMULAS[name], reml=reml, probes=2, weights="w")
    np.testing.assert_allclose(found.solution, exact.solution, rtol=1e-7, atol=1e-9)
    assert found.tail.prss == pytest.approx(exact.tail.prss, rel=1e-9)
    assert found.tail.logdet_fixed == pytest.approx(exact.tail.logdet_fixed, abs=1e-7)
    for own, expected in zip(found.scores, exact.scores, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-6)
    np.testing.assert_allclose(found.tail.fixed_covariance(), exact.tail.fixed_covariance(), rtol=1e-7)
    np.testing.assert_allclose(found._quadratic, exact._quadratic, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.along, exact.along, rtol=1e-6, atol=1e-7)


@pytest.mark.everyday(4)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_estimates_from_probes_must_be_within_their_errors(name: str, reml: bool) -> None:
    exact, found = evaluations(FORMULAS[name], reml=reml)
    tail = found.tail
    assert isinstance(tail, IterativeTail)
    assert abs(found.value - exact.value) < 4.5 * tail.logdet_error + 1e-6
    derivatives = found.criterion.derivatives(found.theta)
    probes = np.concatenate(
        [2.0 * np.einsum("aij,tij->ta", d, tail.trace_errors(f)) for f, d in enumerate(derivatives)], axis=1
    )
    error = np.sqrt(np.sum(probes**2, axis=0) / (len(probes) * (len(probes) - 1)))
    assert np.all(np.abs(found.gradient - exact.gradient) < 4.5 * error + 1e-6)
    assert np.all(error < 0.05 * np.abs(exact.gradient).max())


@pytest.mark.parametrize("theta", [[0.0, 0.8], [0.8, 0.0], [0.0, 0.0]])
def test_variances_of_zero_must_be_evaluated(theta: list[float]) -> None:
    exact, found = evaluations(FORMULAS["crossed"], theta)
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=0.05, atol=0.5)
    for f in range(2):
        np.testing.assert_allclose(found.slope(f), exact.slope(f), rtol=0.05, atol=0.5)
    assert found.value == pytest.approx(exact.value, abs=2.0)


def test_more_probes_must_have_smaller_errors() -> None:
    few, many = (evaluations(FORMULAS["crossed"], probes=t)[1].tail.logdet_error for t in (50, 800))
    assert 2.5 < few / many < 6.0


def test_fit_that_did_not_converge_must_advise_more_probes() -> None:
    """Of an exact fit the message has no probes; the summary of a converged fit with a large error advises them too."""
    control = mf.Control(solver="iterative", probes=5, max_evaluations=1)
    model = mf.lmm(FORMULAS["crossed"], rows())
    with pytest.warns(mf.ConvergenceWarning, match=r"probes=20, which halves the Monte-Carlo error of 5"):
        model.fit(control=control)
    with pytest.warns(mf.ConvergenceWarning, match=r"Raise Control\(max_evaluations"):
        model.fit(control=mf.Control(max_evaluations=1))
    fit = model.fit(control=mf.Control(solver="iterative", probes=2))
    assert ("probes=8" in str(fit.summary())) == (fit.timing["estimate_error"] > 0.25)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    formula=st.sampled_from(sorted(FORMULAS.values())),
    reml=st.booleans(),
    weighted=st.booleans(),
)
def test_fits_must_agree_within_the_stated_error(seed: int, formula: str, reml: bool, weighted: bool) -> None:
    """A law: exact and iterative fits differ by at most what the iterative one says of itself."""
    frame = rows(500, seed)
    model = mf.lmm(formula, frame, weights="w" if weighted else None)
    exact = model.fit(reml=reml, control=mf.Control(solver="exact"))
    with warnings.catch_warnings():  # a variance near 0, whose gradient is smaller than the probes' errors
        warnings.simplefilter("ignore", mf.ConvergenceWarning)
        found = model.fit(reml=reml, control=mf.Control(solver="iterative", probes=60))
    assert found.convergence.decrement < 0.1
    if exact.convergence.status != "converged" or found.convergence.status != "converged":
        return
    evaluation = found._fit.evaluation
    error = np.sqrt(np.diag(theta_errors(evaluation)))
    assert np.all(np.abs(found._fit.theta - exact._fit.theta) < 6.0 * error + 1e-4)
    at = exact._fit.criterion(reml)(found._fit.theta).value
    assert abs(evaluation.value - at) < 6.0 * found.timing["criterion_error"] + 1e-6
    np.testing.assert_allclose(found.bse, exact.bse, rtol=0.05)
    np.testing.assert_allclose(
        found.params, exact.params, atol=0.1 * float(exact.bse.max()) if len(exact.bse) else 0
    )


def test_fit_must_answer_what_needs_no_factorisation() -> None:
    frame = rows()
    control = mf.Control(solver="iterative")
    fit = mf.lmm(FORMULAS["crossed"], frame).fit(control=control)
    exact = mf.lmm(FORMULAS["crossed"], frame).fit()
    text = str(fit.summary())
    assert "conjugate gradients with 20 random probes" in text
    assert "Monte-Carlo error of the criterion" in text
    np.testing.assert_allclose(
        fit.summary().coefficients["df"], exact.summary().coefficients["df"], rtol=0.03
    )
    np.testing.assert_allclose(fit.random_effects["i"], exact.random_effects["i"], atol=0.02)
    np.testing.assert_allclose(fit.predict(frame[:5]), exact.predict(frame[:5]), atol=0.02)
    assert {"probes", "criterion_error", "estimate_error"} <= set(fit.timing)
    assert "probes" not in exact.timing
    for asked in (
        lambda: fit.predict(frame[:5], se=True),
        lambda: fit.anova(ddf="kenward-roger"),
        lambda: fit.plot.caterpillar("i"),
    ):
        with pytest.raises(mf.ModelError, match="conjugate gradients"):
            asked()


def test_same_fit_must_come_out_each_time() -> None:
    control = mf.Control(solver="iterative")
    one, two = (mf.lmm(FORMULAS["slopes"], rows()).fit(control=control) for _ in range(2))
    np.testing.assert_array_equal(one._fit.theta, two._fit.theta)


@pytest.mark.parametrize(
    ("formula", "words"),
    [("y ~ x + (1 | u)", "one grouping factor"), ("y ~ x + m + (1 | u) + (1 | i)", "many levels")],
)
def test_solver_that_is_not_available_must_be_refused(formula: str, words: str) -> None:
    frame = rows().assign(m=[f"m{j % 250}" for j in range(900)])
    with pytest.raises(mf.ModelError, match=words):
        mf.lmm(formula, frame).fit(control=mf.Control(solver="iterative"))


@pytest.mark.parametrize("options", [{"probes": 1}, {"probes": 2.5}, {"solver": "cg"}])
def test_wrong_settings_must_be_refused(options: dict[str, Any]) -> None:
    with pytest.raises(mf.MixedfitError, match=r"probes|solver"):
        mf.Control(**options)


def test_large_tails_must_be_iterative_from_frames_and_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    from mixedfit.crossproducts import product_sums, tail_pairs

    monkeypatch.setattr(tail_pairs, "LARGEST_DENSE", 30)
    monkeypatch.setattr(product_sums, "SMALLEST", 20)
    frame = rows()
    whole = mf.lmm(FORMULAS["slopes"], frame).fit()
    streamed = mf.lmm(FORMULAS["slopes"], [frame[:400], frame[400:]]).fit()
    assert whole.timing["probes"] == streamed.timing["probes"] == 20
    np.testing.assert_allclose(streamed.params, whole.params, rtol=1e-6)
    more = mf.lmm(FORMULAS["slopes"], [frame[:400], frame[400:]]).fit(control=mf.Control(probes=40))
    assert more.timing["probes"] == 40
    exact = mf.lmm(FORMULAS["slopes"], frame).fit(control=mf.Control(solver="exact"))
    assert "probes" not in exact.timing
    with pytest.raises(mf.ModelError, match="read in batches"):
        mf.lmm(FORMULAS["slopes"], [frame[:400], frame[400:]]).fit(control=mf.Control(solver="exact"))


def test_conjugate_gradients_must_solve_and_give_logarithms_of_quadratic_forms() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(30, 30))
    matrix = root @ root.T + np.diag(rng.uniform(1, 5, 30))
    scale = np.sqrt(np.diag(matrix))
    signs = 2.0 * rng.integers(0, 2, (30, 4)) - 1.0
    right = np.column_stack([scale[:, None] * signs, np.zeros(30)])
    found = solve(lambda v: matrix @ v, lambda v: v / scale[:, None] ** 2, right, 1e-12)
    np.testing.assert_allclose(found.x, np.linalg.solve(matrix, right), atol=1e-8)
    assert found.converged
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    expected = np.einsum("k,kt->t", np.log(values), (vectors.T @ signs) ** 2)
    np.testing.assert_allclose(logarithms(found, np.full(5, 30.0))[:4], expected, rtol=1e-6)


def test_products_of_the_tail_must_be_those_of_dense_matrices() -> None:
    design = mf.lmm(FORMULAS["three factors"], rows(), weights="w").design
    dense, apart = (cross_products(design, Solver(kind)) for kind in ("exact", "iterative"))  # type: ignore[arg-type]
    q = dense.q_tail
    assert apart.pairs is not None
    gram = dense.gram if dense.sparse is None else dense.as_dense().gram
    whole = np.tril(gram) + np.tril(gram, -1).T
    np.testing.assert_allclose(apart.pairs.pairs.toarray(), whole[:q, :q], atol=1e-9)
    np.testing.assert_allclose(apart.pairs.sides, whole[:q, q:], atol=1e-9)
    assert replace(apart, pairs=None).q_tail == q
