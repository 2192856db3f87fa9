"""Slow, obvious counterparts of what the package computes: the n × n marginal density, written out.

y ~ N(Xβ, σ²V),  V = W⁻¹ + Σ_f Z_f (I ⊗ λ_f λ_fᵀ) Z_fᵀ,  Ω_f = σ² λ_f λ_fᵀ.

With `exact` the arithmetic is decimal with 60 digits, so that no conditioning of the data matters and a
difference quotient is a derivative; without it the same lines run in float64. Nothing here knows how the
package computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cached_property
from typing import Any

import numpy as np

ARITHMETIC = Context(prec=60)
"""Decimal arithmetic of the exact oracle."""

COLLINEAR = 1e-10
"""Share of a column's norm below which what earlier columns leave of it is nothing."""


@dataclass(frozen=True, eq=False)
class DenseModel:
    """The rows of a mixed model, as they enter the textbook density.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Response less offset.
    X : ndarray, shape (n, p)
    groups : sequence of (codes, z)
        For each grouping factor the level of each row, shape (n,), and the effects' columns, shape (n, k).
    weights : ndarray, shape (n,), or None
        Var(ε_i) = σ²/w_i; rows of weight 0 are not part of the density.
    exact : bool
        Decimal arithmetic.
    """

    y: Any
    X: Any
    groups: Sequence[tuple[Any, Any]]
    weights: Any = None
    exact: bool = True

    @cached_property
    def rows(self) -> Any:
        """Rows of positive weight."""
        return np.arange(len(self.y)) if self.weights is None else np.flatnonzero(np.asarray(self.weights))

    @cached_property
    def n(self) -> int:
        """Number of rows of positive weight."""
        return len(self.rows)

    @cached_property
    def kept(self) -> list[int]:
        """Columns of X that earlier columns, on the rows of positive weight, do not span."""
        with localcontext(ARITHMETIC):
            root = np.ones(self.n) if self.weights is None else np.sqrt(np.asarray(self.weights)[self.rows])
            return independent_columns(self.number(self.X)[self.rows] * self.number(root)[:, None])

    def number(self, values: Any) -> Any:
        """Return an array in the oracle's arithmetic."""
        return exactly(values) if self.exact else np.asarray(values, dtype=float)

    def marginal_covariance(self, lams: Sequence[Any]) -> Any:
        """Return V on the rows of positive weight, shape (n, n)."""
        weights = np.ones(self.n) if self.weights is None else np.asarray(self.weights)[self.rows]
        V = np.diag(1 / self.number(weights))
        for (codes, z), lam in zip(self.groups, lams, strict=True):
            codes = np.asarray(codes)[self.rows]
            spread = self.number(z)[self.rows] @ self.number(lam)
            V = V + np.where(codes[:, None] == codes[None, :], spread @ spread.T, self.number(0.0))
        return V

    def at(self, lams: Sequence[Any], *, reml: bool, sigma: float | None = None) -> DenseSolution:
        """Return the density and what follows from it at given λ, one (k, k) matrix a grouping factor."""
        return DenseSolution(self, list(lams), reml, sigma)

    def criterion(self, lams: Sequence[Any], *, reml: bool, sigma: float | None = None) -> float:
        """Return −2 log-likelihood, or its REML counterpart, profiled over β and, unless given, over σ."""
        return float(self.at(lams, reml=reml, sigma=sigma).criterion)


@dataclass(frozen=True, eq=False)
class DenseSolution:
    """The density of a dense model at given λ and, if held fixed, σ.

    Attributes
    ----------
    model : DenseModel
    lams : list of ndarray, shape (k, k)
    reml : bool
    held_sigma : float or None
    """

    model: DenseModel
    lams: list[Any]
    reml: bool
    held_sigma: float | None

    @cached_property
    def _whitened(self) -> tuple[Any, Any, Any]:
        """L with LLᵀ = V, and L⁻¹X and L⁻¹y."""
        model = self.model
        with localcontext(ARITHMETIC):
            L = cholesky(model.marginal_covariance(self.lams))
            X = model.number(model.X)[model.rows][:, model.kept]
            y = model.number(model.y)[model.rows]
            return L, forward_solve(L, X), forward_solve(L, y[:, None])[:, 0]

    @cached_property
    def _gls(self) -> tuple[Any, Any, Any]:
        """Root of XᵀV⁻¹X, generalised least-squares β and residual sum of squares rᵀV⁻¹r."""
        _, X, y = self._whitened
        with localcontext(ARITHMETIC):
            root = cholesky(X.T @ X)
            beta = backward_solve(root, forward_solve(root, (X.T @ y)[:, None]))[:, 0]
            rest = y - X @ beta
            return root, beta, rest @ rest

    @cached_property
    def nu(self) -> int:
        """Degrees of freedom of the residual sum of squares: n, or n − p under REML."""
        return self.model.n - (len(self.model.kept) if self.reml else 0)

    @cached_property
    def scale(self) -> Any:
        """σ², in the oracle's arithmetic."""
        with localcontext(ARITHMETIC):
            if self.held_sigma is not None:
                return self.model.number(self.held_sigma) ** 2
            return self._gls[2] / self.nu

    @cached_property
    def criterion(self) -> Any:
        """−2 log N(y; Xβ̂, σ²V), or log|XᵀV⁻¹X| + log|V| + (n − p) log 2πσ² + rᵀV⁻¹r/σ² under REML.

        Bates, Mächler, Bolker & Walker (2015), equations 34 and 41, before any algebra.
        """
        with localcontext(ARITHMETIC):
            two_pi = self.model.number(2) * self.model.number(np.pi)
            value = log_determinant(self._whitened[0]) + self._gls[2] / self.scale
            value += self.nu * logarithm(two_pi * self.scale)
            return value + log_determinant(self._gls[0]) if self.reml else value

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(float(self.scale)))

    @property
    def beta(self) -> Any:
        """GLS estimate (XᵀV⁻¹X)⁻¹XᵀV⁻¹y, NaN for columns that earlier ones span, shape (p,)."""
        out = np.full(self.model.X.shape[1], np.nan)
        out[self.model.kept] = as_floats(self._gls[1])
        return out

    @property
    def beta_covariance(self) -> Any:
        """σ²(XᵀV⁻¹X)⁻¹, NaN where dropped, shape (p, p)."""
        p, kept = self.model.X.shape[1], self.model.kept
        out = np.full((p, p), np.nan)
        with localcontext(ARITHMETIC):
            root = self._gls[0]
            inverse = backward_solve(root, forward_solve(root, self.model.number(np.eye(len(kept)))))
            out[np.ix_(kept, kept)] = as_floats(self.scale * inverse)
        return out

    @cached_property
    def _crossed(self) -> list[Any]:
        """L⁻¹Z of every factor, shape (n, levels, k)."""
        out = []
        for codes, z in self.model.groups:
            codes, z = np.asarray(codes), np.asarray(z)
            columns = np.zeros((len(z), int(codes.max()) + 1, z.shape[1]))
            columns[np.arange(len(z)), codes] = z
            flat = self.model.number(columns.reshape(len(z), -1))[self.model.rows]
            with localcontext(ARITHMETIC):
                out.append(forward_solve(self._whitened[0], flat).reshape(self.model.n, *columns.shape[1:]))
        return out

    @cached_property
    def random_effects(self) -> list[Any]:
        """BLUPs λλᵀZ_jᵀV⁻¹(y − Xβ̂) of every factor, shape (levels, k)."""
        _, X, y = self._whitened
        with localcontext(ARITHMETIC):
            rest = y - X @ self._gls[1]
            return [
                as_floats(np.tensordot(rest, Z, axes=(0, 0)) @ self._relative_covariance(f))
                for f, Z in enumerate(self._crossed)
            ]

    @cached_property
    def random_effects_covariance(self) -> list[Any]:
        """Var(b_j | y) = σ²(λλᵀ − λλᵀZ_jᵀV⁻¹Z_jλλᵀ) at known β, shape (levels, k, k)."""
        out = []
        with localcontext(ARITHMETIC):
            for f, Z in enumerate(self._crossed):
                omega = self._relative_covariance(f)
                levels = [omega - omega @ (Z[:, j].T @ Z[:, j]) @ omega for j in range(Z.shape[1])]
                out.append(as_floats(self.scale * np.array(levels)))
        return out

    def _relative_covariance(self, f: int) -> Any:
        lam = self.model.number(self.lams[f])
        return lam @ lam.T

    @property
    def fitted(self) -> Any:
        """Xβ̂ + Zb on all rows, without offset, shape (n,)."""
        out = self.model.X[:, self.model.kept] @ self.beta[self.model.kept]
        for (codes, z), b in zip(self.model.groups, self.random_effects, strict=True):
            out = out + np.sum(z * b[codes], axis=1)
        return out


def gradient(function: Callable[[Any], Any], theta: Any, step: str = "1e-15") -> Any:
    """Return central differences of a function of exact numbers, shape of θ; their error is of order step²."""
    with localcontext(ARITHMETIC):
        h, theta = Decimal(step), exactly(theta)
        out = []
        for i in range(len(theta)):
            move = np.array([h if j == i else Decimal(0) for j in range(len(theta))], dtype=object)
            out.append((function(theta + move) - function(theta - move)) / (2 * h))
        return as_floats(np.array(out, dtype=object))


def curvature_along(function: Callable[[Any], Any], theta: Any, direction: Any, step: str = "1e-12") -> float:
    """Return the second derivative of a function of exact numbers along a direction."""
    with localcontext(ARITHMETIC):
        h, theta = Decimal(step), exactly(theta)
        move = h * exactly(direction)
        return float((function(theta + move) - 2 * function(theta) + function(theta - move)) / (h * h))


def exactly(values: Any) -> Any:
    """Return numbers as decimals, digit for digit, as an object array (or a scalar)."""
    array = np.asarray(values)
    if array.dtype == object:
        return array
    if array.ndim == 0:
        return Decimal(array.item())
    flat = np.empty(array.size, dtype=object)
    flat[:] = [Decimal(v) for v in array.reshape(-1).tolist()]
    return flat.reshape(array.shape)


def as_floats(values: Any) -> Any:
    """Return an array of decimals or floats as float64."""
    return np.asarray(values).astype(float)


def logarithm(value: Any) -> Any:
    """Return log x of a positive number."""
    return value.ln() if isinstance(value, Decimal) else np.log(value)


def log_determinant(L: Any) -> Any:
    """Return log|LLᵀ| of a triangular L."""
    diagonal = np.diag(L)
    if L.dtype != object:
        return 2.0 * np.sum(np.log(diagonal))
    product = Decimal(1)
    for element in diagonal:
        product *= element
    return 2 * product.ln()


def cholesky(A: Any) -> Any:
    """Return the lower-triangular L with LLᵀ = A."""
    if A.dtype != object:
        return np.linalg.cholesky(A)
    L = np.full(A.shape, Decimal(0), dtype=object)
    for j in range(len(A)):
        for i in range(j, len(A)):
            rest = A[i, j] - sum(L[i, :j] * L[j, :j], Decimal(0))
            L[i, j] = rest.sqrt() if i == j else rest / L[j, j]
    return L


def forward_solve(L: Any, B: Any) -> Any:
    """Return L⁻¹B of a lower-triangular L; B has shape (n, any)."""
    out = np.array(B)
    for i in range(len(L)):
        out[i] = (out[i] - L[i, :i] @ out[:i]) / L[i, i] if i else out[i] / L[i, i]
    return out


def backward_solve(L: Any, B: Any) -> Any:
    """Return L⁻ᵀB of a lower-triangular L; B has shape (n, any)."""
    out = np.array(B)
    for i in reversed(range(len(L))):
        later = L[i + 1 :, i]
        out[i] = (out[i] - later @ out[i + 1 :]) / L[i, i] if len(later) else out[i] / L[i, i]
    return out


def independent_columns(X: Any) -> list[int]:
    """Return the columns that earlier ones do not span, by Gram-Schmidt, each projection done twice."""
    kept: list[int] = []
    basis: list[Any] = []
    for j in range(X.shape[1]):
        rest = X[:, j]
        for unit in [*basis, *basis]:
            rest = rest - unit * (unit @ rest)
        length, norm = np.sqrt(rest @ rest), np.sqrt(X[:, j] @ X[:, j])
        if float(length) > COLLINEAR * float(norm):
            kept.append(j)
            basis.append(rest / length)
    return kept
