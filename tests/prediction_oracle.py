"""Best linear unbiased predictions written out with n × n matrices, and what they get wrong.

τ = x₀β + z₀b, y ~ N(Xβ, V), c = Cov(z₀b, y). GLS β̂ and the BLUP give τ̂ = x₀β̂ + cV⁻¹(y − Xβ̂), and
Var(τ̂ − τ) = Var(z₀b) − cV⁻¹cᵀ + (x₀ − cV⁻¹X)(XᵀV⁻¹X)⁻¹(x₀ − cV⁻¹X)ᵀ (Goldberger 1962, J. Am. Stat. Assoc. 57:369).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from oracles import DenseModel


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted.

    Attributes
    ----------
    X : ndarray, shape (rows, p)
    groups : sequence of (codes, z)
        As of a `DenseModel`; a code of −1 is a level that the data do not have.
    """

    X: Any
    groups: Sequence[tuple[Any, Any]]


def predicted(
    model: DenseModel, omegas: Sequence[Any], sigma: float, target: Target, *, marginal: bool
) -> tuple[Any, Any]:
    """Return the predictions and the covariance matrix of their errors, at given Ω and σ.

    Parameters
    ----------
    model : DenseModel
        In float64.
    omegas : sequence of ndarray, shape (k, k)
    sigma : float
    target : Target
    marginal : bool
        Whether levels that the data do not have vary (each row's apart from other rows'), or have effects 0.
    """
    rows, kept = model.rows, model.kept
    V = sigma**2 * model.marginal_covariance([np.linalg.cholesky(o + 0.0) / sigma for o in omegas])
    X, y = model.X[rows][:, kept], model.y[rows]
    c, own = np.zeros((len(target.X), len(rows))), np.zeros((len(target.X),) * 2)
    for (codes, z), (codes0, z0), omega in zip(model.groups, target.groups, omegas, strict=True):
        spread = z0 @ omega
        c += np.where(codes0[:, None] == np.asarray(codes)[rows], spread @ z[rows].T, 0.0)
        both = np.where(codes0[:, None] == codes0, spread @ z0.T, 0.0)
        unseen = np.diag(np.diag(both)) if marginal else np.zeros_like(both)
        own += np.where(codes0[:, None] < 0, unseen, both)
    Vi = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ Vi @ X) if kept else np.zeros((0, 0))
    beta = phi @ X.T @ Vi @ y
    gap = target.X[:, kept] - c @ Vi @ X
    return target.X[:, kept] @ beta + c @ Vi @ (y - X @ beta), own - c @ Vi @ c.T + gap @ phi @ gap.T
