"""Errors of predictions that own up to estimated variances, against n × n matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import t

import mixedfit as mf

MODELS = [
    ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    ("SeedlingWeight ~ Genotype + (1 | Tray)", "seedling_weight"),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    ("score ~ Machine + (Machine || Worker)", "Machines"),
]
NAMES = [name for _, name in MODELS]


class Dense:
    """A fit written out: Z over all effects, V's linear parameters (σ², Ω's elements) and their directions."""

    def __init__(self, fit: mf.MixedResults, name: str = "") -> None:
        design = fit._fit.design
        rows = np.arange(len(design.y))
        Z, self.directions, self.psi = [], [np.zeros((0, 0))], [fit.scale]
        sizes = [block.levels * block.k for block in design.blocks]
        starts = np.cumsum([0, *sizes])
        for f, block in enumerate(design.blocks):
            own = np.zeros((len(rows), block.levels, block.k))
            own[rows, block.codes] = block.z
            Z.append(own.reshape(len(rows), -1))
            omega = fit._fit.omega[f]
            for a in range(block.k):
                for b in range(a + 1):
                    if a != b and name == "Machines":
                        continue
                    unit = np.zeros((block.k, block.k))
                    unit[a, b] = unit[b, a] = 1.0
                    whole = np.zeros((starts[-1],) * 2)
                    here = slice(starts[f], starts[f + 1])
                    whole[here, here] = np.kron(np.eye(block.levels), unit)
                    self.directions.append(whole)
                    self.psi.append(omega[a, b])
        self.X, self.Z = design.X, np.hstack(Z)
        self.directions[0] = np.zeros((starts[-1],) * 2)
        self.psi = np.array(self.psi)

    def parts(self, psi: Any) -> tuple[Any, Any]:
        """Return V and the covariance of all effects."""
        G = sum(value * direction for value, direction in zip(psi, self.directions, strict=True))
        return psi[0] * np.eye(len(self.X)) + self.Z @ G @ self.Z.T, G

    def predictor(self, psi: Any) -> Any:
        """Return D with predictions Dy of the fit's own rows."""
        V, G = self.parts(psi)
        Vi = np.linalg.inv(V)
        beta = np.linalg.solve(self.X.T @ Vi @ self.X, self.X.T @ Vi)
        return self.X @ beta + self.Z @ G @ self.Z.T @ Vi @ (np.eye(len(V)) - self.X @ beta)

    def variance(self, psi: Any) -> Any:
        V, G = self.parts(psi)
        D = self.predictor(psi)
        own = self.Z @ G @ self.Z.T
        return np.diag(D @ V @ D.T - D @ own - own @ D.T + own)

    def information(self) -> Any:
        """Return the covariance of ψ̂: the inverse of its expected information under REML."""
        V, _ = self.parts(self.psi)
        Vi = np.linalg.inv(V)
        P = Vi - Vi @ self.X @ np.linalg.solve(self.X.T @ Vi @ self.X, self.X.T @ Vi)
        G = [np.eye(len(V)), *(self.Z @ d @ self.Z.T for d in self.directions[1:])]
        return np.linalg.inv(0.5 * np.array([[np.sum((P @ a) * (P @ b).T) for a in G] for b in G]))

    def added(self) -> Any:
        """Return 2 tr(W ∂DᵀV ∂D) of every row, derivatives of the predictor by central differences."""
        changes = []
        for i in range(len(self.psi)):
            step = 1e-4 * max(abs(self.psi[i]), 1e-2 * self.psi[0]) * np.eye(len(self.psi))[i]
            changes.append(
                (self.predictor(self.psi + step) - self.predictor(self.psi - step)) / (2 * step[i])
            )
        c, V = np.array(changes), self.parts(self.psi)[0]
        return 2.0 * np.einsum("ab,ain,nm,bim->i", self.information(), c, V, c, optimize=True)


def fitted(name: str) -> mf.MixedResults:
    formula = {n: f for f, n in MODELS}[name]
    return mf.lmm(formula, mf.load_dataset(name)).fit()


@pytest.mark.parametrize("name", NAMES)
def test_error_must_have_twice_the_spread_of_the_predictor_as_variances_vary(name: str) -> None:
    fit = fitted(name)
    dense = Dense(fit, name)
    table = fit.predict(se=True, ddf="kenward-roger")
    np.testing.assert_allclose(fit.predict(se=True)["se"] ** 2, dense.variance(dense.psi), rtol=1e-6)
    np.testing.assert_allclose(table["se"] ** 2, dense.variance(dense.psi) + dense.added(), rtol=1e-6)
    assert np.all(table["se"] > 1.001 * fit.predict(se=True)["se"])


@pytest.mark.parametrize("kind", ["expected", "observed"])
@pytest.mark.parametrize("name", NAMES)
def test_errors_of_population_means_must_be_those_of_their_t_tests(name: str, kind: Any) -> None:
    fit, method = fitted(name), mf.KenwardRoger(kind)
    table = fit.predict(re_form="none", interval="confidence", ddf=method)
    rows = np.unique(fit._fit.design.X, axis=0, return_index=True)[1]
    tests = fit.t_test(fit._fit.design.X[rows], ddf=method).table
    np.testing.assert_allclose(table["se"].iloc[rows], tests["std_error"], rtol=1e-7)
    np.testing.assert_allclose(table["df"].iloc[rows], tests["df"], rtol=1e-6)
    np.testing.assert_allclose(table["lower"].iloc[rows], tests["lower"], rtol=1e-6)


def test_intervals_for_responses_must_add_the_residual_to_the_larger_error() -> None:
    fit = fitted("sleepstudy")
    new: Any = {"Days": [3.0, 3.0], "Subject": ["308", "new"]}
    options: dict[str, Any] = {"new_levels": "marginal", "ddf": "kenward-roger"}
    mean = fit.predict(new, interval="confidence", **options)
    response = fit.predict(new, interval="prediction", **options)
    half = (response["upper"] - response["mean"]).to_numpy()
    expected = t.ppf(0.975, response["df"]) * np.sqrt(mean["se"] ** 2 + fit.scale)
    np.testing.assert_allclose(half, expected, rtol=1e-12)
    assert np.all(response["df"] > mean["df"])


def test_a_variance_of_zero_must_count_as_known() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()
    plain = fit.predict(interval="prediction", ddf="satterthwaite")
    table = fit.predict(interval="prediction", ddf="kenward-roger")
    np.testing.assert_allclose(table["se"], plain["se"], rtol=1e-4)
    np.testing.assert_allclose(table["upper"], plain["upper"], rtol=0.02)


def test_a_known_residual_must_have_no_error() -> None:
    """Var(θ̂) is that of Ω alone: the error of a mean feels the variance between groups only."""
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    fit = model.fit(sigma=1.9)
    dense = Dense(fit)
    V, _ = dense.parts(dense.psi)
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ dense.X @ np.linalg.solve(dense.X.T @ Vi @ dense.X, dense.X.T @ Vi)
    B = dense.Z @ dense.Z.T
    information = 0.5 * np.sum((P @ B) * (P @ B).T)
    step = 1e-4 * dense.psi * [0.0, 1.0]
    change = (dense.predictor(dense.psi + step) - dense.predictor(dense.psi - step)) / (2 * step[1])
    added = 2.0 / information * np.diag(change @ V @ change.T)
    table = fit.predict(se=True, ddf="kenward-roger")
    np.testing.assert_allclose(table["se"] ** 2, dense.variance(dense.psi) + added, rtol=1e-7)


def test_fits_by_maximum_likelihood_must_be_refused() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit(reml=False)
    with pytest.raises(mf.ModelError, match="Kenward-Roger adjusts REML"):
        fit.predict(se=True, ddf="kenward-roger")
