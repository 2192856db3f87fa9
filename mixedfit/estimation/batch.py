"""Refits of one small design to many responses in compiled code, which lets other threads run.

A replicate is refitted here only if Newton's method converges inside the parameter space. The others, at the boundary
or not converged, are left to `estimate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.linalg import inverse
from mixedfit.covariance import BlockDiagonal
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.kernels.small_criterion import evaluate_small, solve_small
from mixedfit.kernels.small_search import REACHED, search_small
from mixedfit.likelihood.compiled import SmallModel, small_data
from mixedfit.likelihood.criterion import Criterion

from .boundary import SMALL
from .estimate import Control
from .fit import Fit
from .search import searchable_model, settings_of, slopes_of
from .starts import to_canonical

__all__ = ["Batch", "BatchSearch", "batch_search"]

NEGLIGIBLE = 1e-18
"""Newton decrement below which no last steps are taken, as in `estimate`."""

ZERO_RESIDUAL = 1e-17
"""Share of the response's variance below which the residual variance counts as 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Refits of a number of replicates, filled in one by one.

    Attributes
    ----------
    settled : ndarray of bool, shape (replicates,)
        Whether the replicate was refitted here; if not, the other arrays hold nothing.
    criterion, variance, scale : ndarray, shape (replicates,)
        Deviance or REML criterion; residual variance in units of the cross-products; scale of those units.
    x : ndarray, shape (replicates, n_theta)
        θ in the basis of the cross-products.
    centre, solution : ndarray, shape (replicates, p)
        Coefficients subtracted from y beforehand, and those of the remainder.
    factor : ndarray, shape (replicates, p, p)
        Lower Cholesky factor of X̃ᵀV⁻¹X̃.
    """

    settled: BoolArray
    criterion: Array
    variance: Array
    scale: Array
    x: Array
    centre: Array
    solution: Array
    factor: Array

    @classmethod
    def empty(cls, count: int, n_theta: int, p: int) -> Batch:
        """Return arrays for a number of replicates, none of them settled."""
        return cls(
            np.zeros(count, dtype=bool),
            np.empty(count),
            np.empty(count),
            np.empty(count),
            np.empty((count, n_theta)),
            np.empty((count, p)),
            np.empty((count, p)),
            np.empty((count, p, p)),
        )


@dataclass(frozen=True, eq=False)
class BatchSearch:
    """Refits of a fit's model to other cross-products in the same basis.

    Parameters
    ----------
    fit : Fit
    criterion : Criterion
        Of the fit, in the basis of the cross-products.
    model : SmallModel
    start : ndarray, shape (n_theta,)
    slopes : ndarray, shape (n_theta, k, k)
        ∂λ̃/∂θ, in the model's order.
    """

    fit: Fit
    criterion: Criterion
    model: SmallModel
    start: Array
    slopes: Array

    def empty(self, count: int) -> Batch:
        """Return arrays for a number of refits."""
        return Batch.empty(count, self.start.size, self.fit.cross.p)

    def refit(self, cross: CrossProducts, out: Batch, r: int) -> None:
        """Refit to other cross-products; fill in replicate r of `out` if the optimum is inside the parameter space."""
        c, model = self.criterion, self.model
        data, settings = small_data(cross), settings_of(replace(c, cross=cross), model)
        _, _, nu, held, _ = settings
        control = Control()
        x, numbers = self.start[model.places], np.full(4, np.inf)
        status = search_small(
            model.static,
            data,
            model.layout,
            settings,
            (control.tolerance, NEGLIGIBLE, control.max_evaluations),
            self.slopes,
            x,
            numbers,
            np.zeros((2, x.size, x.size)),
        )
        theta = model.design_order(x)
        inside = bool(np.all(theta[c.diagonal] > SMALL))
        if status != REACHED or not inside or not numbers[2] > ZERO_RESIDUAL * cross.n:
            return
        out.x[r], out.criterion[r], out.scale[r] = theta, numbers[0], cross.fixed.scale
        out.variance[r] = numbers[2] / nu if c.sigma is None else held
        out.centre[r] = cross.fixed.centre
        out.settled[r] = self._solve(data, x, out, r)

    def _solve(self, data: tuple[Any, ...], x: Array, out: Batch, r: int) -> bool:
        """Fill in the coefficients at the optimum; return whether they could be computed."""
        model, m, p = self.model, data[5].shape[0], self.fit.cross.p
        lams = np.zeros((len(model.layout), *self.slopes.shape[1:]))
        for f, (_, _, _, at, count) in enumerate(model.layout.tolist()):
            lams[f] = np.tensordot(x[at : at + count], self.slopes[at : at + count], 1)
        products, chol, solution = np.empty((m, m)), np.empty((m, m)), np.empty(m - 1)
        if not evaluate_small(model.static, data, model.layout, lams, products, chol, np.empty(3)):
            return False
        solve_small(model.layout, lams, chol, solution)
        out.solution[r] = solution[m - 1 - p :]
        out.factor[r] = np.tril(chol[m - 1 - p : -1, m - 1 - p : -1])
        return True

    def thetas(self, x: Array) -> Array:
        """Return θ in the formula's basis from θ in that of the cross-products, shape (replicates, n_theta)."""
        out = np.empty_like(x)
        c = self.criterion
        for structure, here, basis in zip(c.structures, c.slices, c.cross.basis, strict=True):
            roots = inverse(basis) @ np.einsum("ra,aij->rij", x[:, here], _slopes(structure))
            out[:, here] = _thetas_from_roots(structure, roots)
        return out

    def fixed_effects(self, batch: Batch, these: BoolArray) -> tuple[Array, Array]:
        """Return fixed effects and their standard errors of some replicates, NaN where dropped, (count, columns)."""
        fixed = self.fit.cross.fixed
        scale = batch.scale[these, None]
        beta, errors = np.full((2, scale.size, len(self.fit.coefficient_names)), np.nan)
        beta[:, fixed.kept] = batch.centre[these] + scale * (batch.solution[these] @ fixed.transform.T)
        factor = batch.factor[these]
        roots = np.linalg.solve(factor, np.broadcast_to(fixed.transform.T, factor.shape))
        spread = np.sqrt(np.einsum("rij,rij->rj", roots, roots))
        errors[:, fixed.kept] = scale * np.sqrt(batch.variance[these, None]) * spread
        return beta, errors


def batch_search(fit: Fit) -> BatchSearch | None:
    """Return the compiled search for refits of a fit, or None.

    None means that the model is not small or has fixed factors with many levels.
    """
    structures = tuple(block.structure for block in fit.design.blocks)
    criterion = Criterion(fit.cross, structures, fit.reml, fit.held_sigma, canonical=True)
    model = None if fit.design.many else searchable_model(criterion)
    if model is None:
        return None
    start = to_canonical(criterion, fit.theta)
    start[criterion.diagonal] = np.maximum(start[criterion.diagonal], 0.1)
    return BatchSearch(fit, criterion, model, start, slopes_of(criterion, model))


def _slopes(structure: BlockDiagonal) -> Array:
    """Return ∂λ/∂θ of a structure that is linear in θ."""
    return structure.derivative(np.zeros(structure.n_theta))


def _places(structure: BlockDiagonal) -> tuple[IntArray, IntArray]:
    """Return row and column of each θ in λ."""
    _, rows, columns = np.nonzero(_slopes(structure))
    return rows, columns


def _thetas_from_roots(structure: BlockDiagonal, roots: Array) -> Array:
    """Return θ with λλᵀ = root rootᵀ, the vectorised `theta_from_root`, shape (replicates, n_theta)."""
    lams = np.zeros_like(roots)
    for part, _, e in structure.slices():
        own = roots[:, e, :]
        if part.invariance == "linear":
            upper = np.linalg.qr(own.transpose(0, 2, 1), mode="r")
            signs = np.where(np.einsum("rii->ri", upper) < 0.0, -1.0, 1.0)
            lams[:, e, e] = (signs[:, :, None] * upper).transpose(0, 2, 1)
        else:
            at = np.arange(part.k)
            lams[:, e.start + at, e.start + at] = np.sqrt(np.sum(own * own, axis=2))
    rows, columns = _places(structure)
    return np.asarray(lams[:, rows, columns])
