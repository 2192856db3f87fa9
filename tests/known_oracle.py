"""Models with known relationships between levels, written out with n × n matrices in float64.

y ~ N(Xβ, V), V = σ²W⁻¹ + Σ_f Z_f (A_f ⊗ Ω_f) Z_fᵀ. Nothing here knows how the package computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import mixedfit as mf

__all__ = ["Factor", "RelatedModel", "model_of", "tabular_relationships"]


@dataclass(frozen=True, eq=False)
class Factor:
    """One grouping factor: level of each row, effects' columns (n, k), relationships (levels, levels), Ω (k, k)."""

    codes: Any
    z: Any
    A: Any
    omega: Any

    @property
    def Z(self) -> Any:  # noqa: N802
        """Columns of all levels' effects, shape (n, levels · k)."""
        n, k = self.z.shape
        out = np.zeros((n, len(self.A), k))
        out[np.arange(n), self.codes] = self.z
        return out.reshape(n, -1)

    @property
    def G(self) -> Any:  # noqa: N802
        """Covariance of all effects, A ⊗ Ω."""
        return np.kron(self.A, self.omega)

    def directions(self) -> list[Any]:
        """Return ∂(ZGZᵀ) in the elements of Ω's lower triangle, by rows."""
        out = []
        for a in range(len(self.omega)):
            for b in range(a + 1):
                unit = np.zeros_like(self.omega)
                unit[a, b] = unit[b, a] = 1.0
                out.append(self.Z @ np.kron(self.A, unit) @ self.Z.T)
        return out


@dataclass(frozen=True, eq=False)
class RelatedModel:
    """The marginal density at given covariance parameters."""

    y: Any
    X: Any
    factors: Sequence[Factor]
    sigma: float
    weights: Any = None

    @cached_property
    def R(self) -> Any:  # noqa: N802
        w = np.ones(len(self.y)) if self.weights is None else self.weights
        return np.diag(1.0 / w)

    @cached_property
    def V(self) -> Any:  # noqa: N802
        return self.sigma**2 * self.R + sum(f.Z @ f.G @ f.Z.T for f in self.factors)

    @cached_property
    def Vi(self) -> Any:  # noqa: N802
        return np.linalg.inv(self.V)

    @cached_property
    def phi(self) -> Any:
        return np.linalg.inv(self.X.T @ self.Vi @ self.X)

    @cached_property
    def beta(self) -> Any:
        return self.phi @ self.X.T @ self.Vi @ self.y

    @cached_property
    def P(self) -> Any:  # noqa: N802
        return self.Vi - self.Vi @ self.X @ self.phi @ self.X.T @ self.Vi

    def criterion(self, reml: bool) -> float:
        """−2 log-likelihood at these parameters, or of the residual contrasts in lme4's scale."""
        nu = len(self.y) - (self.X.shape[1] if reml else 0)
        value = np.linalg.slogdet(self.V)[1] + nu * np.log(2.0 * np.pi) + self.y @ self.P @ self.y
        return float(value - (np.linalg.slogdet(self.phi)[1] if reml else 0.0))

    def blups(self, f: int) -> Any:
        """BLUPs of all levels of a factor, shape (levels, k)."""
        factor = self.factors[f]
        return (factor.G @ factor.Z.T @ self.P @ self.y).reshape(len(factor.A), -1)

    def error_covariance(self, f: int) -> Any:
        """Cov(b̂ − b) of all effects of a factor."""
        factor = self.factors[f]
        return factor.G - factor.G @ factor.Z.T @ self.P @ factor.Z @ factor.G

    @cached_property
    def directions(self) -> list[Any]:
        """∂V in Ω's elements of all factors, then in σ²."""
        return [d for f in self.factors for d in f.directions()] + [self.R]

    def parameter_covariance(self, kind: str) -> Any:
        """Inverse of the REML information on Ω's elements and σ²: "observed" or "expected"."""
        G, P, y = self.directions, self.P, self.y
        traces = np.array([[np.sum((P @ a) * (P @ b).T) for b in G] for a in G])
        if kind == "expected":
            return np.linalg.inv(0.5 * traces)
        forms = np.array([[y @ P @ a @ P @ b @ P @ y for b in G] for a in G])
        return np.linalg.inv(forms - 0.5 * traces)

    def satterthwaite(self, j: int) -> float:
        """Degrees of freedom of β̂_j, 2v²/gᵀAg."""
        column = self.Vi @ self.X @ self.phi[:, j]
        g = np.array([column @ d @ column for d in self.directions])
        return float(2.0 * self.phi[j, j] ** 2 / (g @ self.parameter_covariance("observed") @ g))

    def kenward_roger(self) -> Any:
        """Adjusted covariance of β̂: Kenward & Roger (1997), V linear in its parameters."""
        W, phi, Vi, X = self.parameter_covariance("expected"), self.phi, self.Vi, self.X
        G = self.directions
        middle = np.zeros_like(phi)
        for i, a in enumerate(G):
            for j, b in enumerate(G):
                Q = X.T @ Vi @ a @ Vi @ b @ Vi @ X
                M = (X.T @ Vi @ a @ Vi @ X) @ phi @ (X.T @ Vi @ b @ Vi @ X)
                middle += W[i, j] * (Q - M)
        return phi + 2.0 * phi @ middle @ phi


def model_of(fit: mf.MixedResults, relationships: dict[str, Any]) -> RelatedModel:
    """Return the dense model at a fit's estimates; the matrices are in the order of the fit's levels."""
    record = fit._fit
    factors = [
        Factor(b.codes, b.z, relationships.get(b.name, np.eye(b.levels)), omega)
        for b, omega in zip(record.design.blocks, record.omega, strict=True)
    ]
    return RelatedModel(record.design.y, record.design.X, factors, record.sigma, record.design.weights)


def tabular_relationships(sires: Sequence[int], dams: Sequence[int]) -> Any:
    """Return A by the tabular method, for parents before their offspring, −1 if unknown (Emik & Terrill 1949)."""
    n = len(sires)
    A = np.zeros((n, n))
    for i, (s, d) in enumerate(zip(sires, dams, strict=True)):
        parents = [p for p in (s, d) if p >= 0]
        A[i, :i] = A[:i, i] = 0.5 * sum((A[p, :i] for p in parents), np.zeros(i))
        A[i, i] = 1.0 + (0.5 * A[s, d] if len(parents) == 2 else 0.0)
    return A
