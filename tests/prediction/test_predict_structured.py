"""Degrees of freedom and Kenward–Roger errors of predictions with a residual structure, against n × n matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_data import animals

import mixedfit as mf

AR1, VarIdent = mf.residuals.AR1, mf.residuals.VarIdent
CASES: dict[str, Any] = {
    "series": ("y ~ x + (1 | g)", AR1("t", "g")),
    "levels": ("y ~ x + (x | g)", VarIdent("arm")),
    "both": ("y ~ x + (1 | g)", AR1("t", "g") * VarIdent("arm")),
}


def data() -> pd.DataFrame:
    """Return 16 groups of 5 rows."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"g": np.repeat(np.arange(16), 5), "t": np.tile(np.arange(5), 16), "x": rng.normal(size=80)}
    )
    frame["arm"] = np.where(frame["t"] % 2 == 0, "a", "b")
    C = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
    noise = (rng.normal(size=(16, 5)) @ C.T).ravel() * np.where(frame["arm"] == "b", 1.5, 1.0)
    b = rng.normal(size=(16, 2)) * [1.0, 1.2]
    return frame.assign(y=1.0 + b[frame["g"], 0] + (0.5 + b[frame["g"], 1]) * frame["x"] + noise)


class Dense:
    """A model written out in (elements of Ω, log σ², atanh φ, log ratio)."""

    def __init__(self, fit: mf.MixedResults, structure: Any, frame: pd.DataFrame) -> None:
        block = fit._fit.design.blocks[0]
        self.k, self.z, self.codes = block.k, block.z, block.codes
        self.frame, self.X, self.y = frame, fit._fit.design.X, fit._fit.design.y
        omega, x = fit._fit.omega[0], fit._fit.residual.x
        self.correlated = structure.correlation is not None
        self.levels = bool(structure.variances)
        own = [omega[a, b] for a in range(self.k) for b in range(a + 1)]
        self.psi = np.array([*own, 2 * np.log(fit.sigma), *x])

    def parts(self, psi: Any, z0: Any, group: int, arm: str) -> tuple[Any, Any, float, float]:
        """Return V, Cov(y, z₀b), Var(z₀b) and the residual variance of a row of an arm."""
        count = self.k * (self.k + 1) // 2
        omega = np.zeros((self.k, self.k))
        omega[np.tril_indices(self.k)] = psi[:count]
        omega = omega + np.tril(omega, -1).T
        rest = list(psi[count + 1 :])
        same = self.codes[:, None] == self.codes
        t = self.frame["t"].to_numpy()
        C = (
            np.where(same, np.tanh(rest.pop(0)) ** np.abs(t[:, None] - t), 0.0)
            if self.correlated
            else np.eye(t.size)
        )
        ratio = np.exp(rest.pop(0)) if self.levels else 1.0
        s = np.where(self.frame["arm"] == "b", ratio, 1.0) * np.exp(0.5 * psi[count])
        V = np.where(same, self.z @ omega @ self.z.T, 0.0) + C * np.outer(s, s)
        c = np.where(self.codes == group, self.z @ omega @ z0, 0.0)
        return V, c, float(z0 @ omega @ z0), float(np.exp(psi[count]) * (ratio**2 if arm == "b" else 1.0))

    def criterion(self, psi: Any) -> float:
        V = self.parts(psi, np.zeros(self.k), 0, "a")[0]
        Vi = np.linalg.inv(V)
        K = self.X.T @ Vi @ self.X
        P = Vi - Vi @ self.X @ np.linalg.solve(K, self.X.T @ Vi)
        return float(np.linalg.slogdet(V)[1] + np.linalg.slogdet(K)[1] + self.y @ P @ self.y)

    def predictor(self, psi: Any, x0: Any, z0: Any, group: int) -> Any:
        V, c, _, _ = self.parts(psi, z0, group, "a")
        U = np.linalg.solve(V, self.X)
        return np.linalg.solve(V, c) + U @ np.linalg.solve(self.X.T @ U, x0 - U.T @ c)

    def variance(self, psi: Any, x0: Any, z0: Any, group: int, arm: str = "") -> float:
        V, c, own, noise = self.parts(psi, z0, group, arm)
        a = self.predictor(psi, x0, z0, group)
        return float(a @ V @ a - 2 * a @ c + own + (noise if arm else 0.0))

    def covariance(self) -> Any:
        """Twice the inverse of the second derivative of the criterion."""
        h, m = 1e-3 * np.maximum(np.abs(self.psi), 0.3), self.psi.size
        H = np.zeros((m, m))
        for i in range(m):
            for j in range(m):
                for a in (1, -1):
                    for b in (1, -1):
                        H[i, j] += (
                            a * b * self.criterion(self.psi + a * h * np.eye(m)[i] + b * h * np.eye(m)[j])
                        )
                H[i, j] /= 4 * h[i] * h[j]
        return 2 * np.linalg.inv(H)

    def slopes(self, function: Any) -> Any:
        h = 1e-4 * np.maximum(np.abs(self.psi), 0.3)
        return np.array(
            [(function(self.psi + d) - function(self.psi - d)) / (2 * d.sum()) for d in np.diag(h)]
        )


@pytest.mark.parametrize("case", CASES)
def test_errors_and_degrees_of_freedom_must_be_those_of_the_dense_model(case: str) -> None:
    formula, structure = CASES[case]
    frame = data()
    fit = mf.lmm(formula, frame, residual=structure).fit()
    dense = Dense(fit, structure, frame)
    W = dense.covariance()
    new = {"x": [0.4, -1.0], "g": [3, 7], "t": [9, 9], "arm": ["a", "b"]}
    options = {"interval": "prediction", "ddf": "satterthwaite"}
    mean, response = fit.predict(new, interval="confidence", ddf="satterthwaite"), fit.predict(new, **options)
    first = fit.predict(new, interval="confidence", ddf=mf.KenwardRoger(order=1))
    for i in range(2):
        x0 = np.array([1.0, new["x"][i]])
        z0, group = x0[: dense.k], new["g"][i]
        for table, arm in ((mean, ""), (response, new["arm"][i])):
            v = dense.variance(dense.psi, x0, z0, group, arm)
            g = dense.slopes(lambda psi, a=arm, x0=x0, z0=z0, j=group: dense.variance(psi, x0, z0, j, a))
            assert table["df"][i] == pytest.approx(2 * v * v / (g @ W @ g), rel=2e-3)
        assert mean["se"][i] ** 2 == pytest.approx(dense.variance(dense.psi, x0, z0, group), rel=1e-6)
        moves = dense.slopes(lambda psi, x0=x0, z0=z0, j=group: dense.predictor(psi, x0, z0, j))
        V = dense.parts(dense.psi, z0, group, "a")[0]
        added = 2 * np.sum(W * (moves @ V @ moves.T))
        assert first["se"][i] ** 2 - mean["se"][i] ** 2 == pytest.approx(added, rel=2e-3)


def test_mean_without_effects_must_be_the_contrast() -> None:
    """Kenward and Roger's error in SAS's second order, and degrees of freedom, of both routes."""
    frame = mf.load_dataset("Orthodont")
    frame["visit"] = frame["age"].astype(int).astype(str)
    for structure in (AR1("age", "Subject"), mf.residuals.Unstructured("visit", "Subject")):
        fit = mf.lmm("distance ~ age * Sex", frame, residual=structure).fit()
        row = {"age": [11.0], "Sex": ["Female"], "Subject": ["F01"], "visit": ["10"]}
        L = [1.0, 11.0, 1.0, 11.0]
        for ddf in ("satterthwaite", "kenward-roger"):
            found = fit.predict(row, interval="confidence", ddf=ddf, re_form="none").iloc[0]
            test = fit.t_test(L, ddf=ddf).table.iloc[0]
            assert found["se"] == pytest.approx(float(test["std_error"]), rel=1e-7)
            assert found["df"] == pytest.approx(float(test["df"]), rel=1e-6)


def test_noise_of_unstructured_visits_must_have_the_slope_of_their_variance() -> None:
    """Of a visit's response with no other uncertainty the degrees of freedom are those of its variance."""
    frame = mf.load_dataset("Orthodont")
    frame["visit"] = frame["age"].astype(int).astype(str)
    fit = mf.lmm("distance ~ visit", frame, residual=mf.residuals.Unstructured("visit", "Subject")).fit()
    found = fit.predict(
        {"visit": ["10"], "Subject": ["new"]}, interval="prediction", ddf="satterthwaite"
    ).iloc[0]
    assert found["df"] == pytest.approx(
        26.0, rel=1e-4
    )  # variance of one visit, balanced: n − 1, mean and response


def test_related_levels_must_have_the_errors_of_their_relatives() -> None:
    """With A the identity the answers are those of unrelated levels."""
    frame = animals()[1].assign(arm=lambda d: np.where(np.arange(len(d)) % 3 == 0, "a", "b"))
    labels = sorted(frame["animal"].unique())
    known = {"animal": mf.Known(np.eye(len(labels)), labels)}
    tables = [
        mf.lmm("y ~ x + (1 | animal)", frame, residual=VarIdent("arm"), **options)
        .fit()
        .predict({"x": [1.0], "arm": ["a"], "animal": [labels[4]]}, interval="prediction", ddf=ddf)
        for ddf in ("satterthwaite", "kenward-roger")
        for options in ({}, {"known": known})
    ]
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-4)
    np.testing.assert_allclose(tables[2], tables[3], rtol=1e-4)
