"""`Fit`, the record of a fitted model in bare arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, a_type
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.likelihood.criterion import Criterion, Evaluation

from .chart import Chart, chart_at
from .convergence import Convergence
from .effects import modes_of
from .whitening import Whitened

__all__ = ["Fit", "Fitted", "HasFit", "criterion_of", "fit_of"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model in bare arrays.

    Attributes
    ----------
    design : Design
    cross : CrossProducts
    theta : ndarray, shape (n_theta,)
        Relative covariance parameters, ordered and named by the design.
    reml : bool
    held_sigma : float or None
        Residual standard deviation if it was held fixed.
    convergence : Convergence
    evaluation : Evaluation
        The criterion at θ.
    timing : mapping of str to float
        Seconds spent on each stage, the number of starts of the search, and how many reached the optimum.
    residual : Whitened or None
        Parameters of the residual structure, and the whitened rows whose cross-products `cross` has.
    quantiles : tuple of float, length 5, or None
        Least, quartiles and greatest of the scaled residuals, of a fit that was saved without its rows.
    answers : dict of str to ndarray
        Small results that take long to compute; filled when they are asked for, and saved with the fit.
    """

    design: Design
    cross: CrossProducts
    theta: Array
    reml: bool
    held_sigma: float | None
    convergence: Convergence
    evaluation: Evaluation
    timing: Mapping[str, float] = field(default_factory=dict)
    residual: Whitened | None = None
    quantiles: tuple[float, ...] | None = None
    answers: dict[str, Array] = field(init=False, repr=False, default_factory=dict)

    def remembered(self, name: str, compute: Callable[[], Array]) -> Array:
        """Return an answer, computed once."""
        if name not in self.answers:
            self.answers[name] = compute()
        return self.answers[name]

    @property
    def working(self) -> Design:
        """The rows whose cross-products `cross` has: whitened ones, with a residual structure."""
        return self.design if self.residual is None else self.residual.design

    def criterion(self, reml: bool) -> Criterion:
        """Return the deviance or REML criterion as a function of θ."""
        return criterion_of(self.design, self.cross, reml, self.held_sigma)

    @lazy
    def deviance(self) -> float:
        """−2 log-likelihood at θ (σ profiled unless held fixed)."""
        return self.evaluation.value if not self.reml else self.criterion(False)(self.theta).value

    @lazy
    def reml_criterion(self) -> float:
        """−2 log-likelihood of the residual contrasts at θ."""
        return self.evaluation.value if self.reml else self.criterion(True)(self.theta).value

    @lazy
    def sigma(self) -> float:
        """Residual standard deviation, in units of y."""
        return self.evaluation.sigma

    @lazy
    def lam(self) -> tuple[Array, ...]:
        """λ of every block, shape (k, k) each."""
        return tuple(
            block.structure.factor(self.theta[here])
            for block, here in zip(self.design.blocks, self.design.theta_slices, strict=True)
        )

    @lazy
    def chart(self) -> Chart:
        """Well-conditioned coordinates of all λ̃ at the fit."""
        criterion = self.evaluation.criterion
        lams = [np.array(lam) for lam in self.evaluation.tail.lams]
        structures = [block.structure for block in self.design.blocks]
        thetas = [self.theta[here] for here in self.design.theta_slices]
        return chart_at(lams, criterion.derivatives(self.theta), self.cross.basis, structures, thetas)

    @lazy
    def omega(self) -> tuple[Array, ...]:
        """Ω = σ²λλᵀ of every block, shape (k, k) each, in units of y²."""
        return tuple(self.sigma**2 * lam @ lam.T for lam in self.lam)

    @lazy
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of all fixed effects, many-level factors last."""
        return (*self.design.x_names, *(name for factor in self.design.many for name in factor.names))

    @lazy
    def coefficient_index(self) -> pd.Index[str]:
        """`coefficient_names` as a pandas index."""
        return pd.Index(self.coefficient_names)

    @lazy
    def kept(self) -> Array:
        """Whether each fixed effect is estimated (the others were dropped for rank), shape (p,), bool."""
        kept = np.zeros(len(self.design.x_names), dtype=bool)
        kept[self.cross.fixed.kept] = True
        parts = [kept]
        for factor, columns in zip(self.design.many, self._many_kept, strict=True):
            parts.append(np.isin(np.arange(len(factor.names)), columns))
        return np.concatenate(parts)

    @property
    def _many_kept(self) -> tuple[IntArray, ...]:
        span = self.cross.fixed.span
        return () if span is None else span.kept

    @lazy
    def _many_columns(self) -> IntArray:
        """Positions of the many-level factors' estimated columns among all coefficients."""
        return np.flatnonzero(self.kept)[self.cross.fixed.kept.size :]

    @lazy
    def beta(self) -> Array:
        """Fixed effects, NaN where dropped, shape (p,), in units of y per unit of x."""
        cross, fixed = self.cross, self.cross.fixed
        solution = self.evaluation.solution
        beta = np.full(len(self.coefficient_names), np.nan)
        beta[fixed.kept] = fixed.centre + fixed.scale * (fixed.transform @ solution[cross.q_tail :])
        own = fixed.levels + fixed.scale * solution[cross.q_random : cross.q_tail]
        beta[self._many_columns] = own - fixed.within @ beta[fixed.kept]
        return beta

    @lazy
    def inner_root(self) -> Array:
        """R with RᵀR = (XᵀV⁻¹X)⁻¹ of the columns of X in the basis of the cross-products, shape (p, p).

        Combinations whose variance is many decades smaller than that of their parts keep their digits in it.
        """
        many = self.cross.q_tail - self.cross.q_random
        if many:
            return np.asarray(np.linalg.cholesky(self.inner_covariance[many:, many:]).T)
        return self.evaluation.tail.fixed_root()

    @lazy
    def inner_covariance(self) -> Array:
        """(XᵀV⁻¹X)⁻¹ over all fixed columns in the basis of the cross-products, many-level factors first."""
        if self.cross.q_tail > self.cross.q_random:
            return self.evaluation.tail.fixed_covariance()
        return np.asarray(self.inner_root.T @ self.inner_root)

    def inner_covariance_of(self, contrasts: Array) -> Array:
        """Return L (XᵀV⁻¹X)⁻¹ Lᵀ of contrasts of all fixed columns in the basis of the cross-products, (q, q)."""
        if self.cross.q_tail > self.cross.q_random:
            return np.asarray(contrasts @ self.inner_covariance @ contrasts.T)
        own = self.inner_root @ contrasts.T
        return np.asarray(own.T @ own)

    @lazy
    def beta_covariance(self) -> Array:
        """Covariance of the estimated fixed effects, NaN where dropped, shape (p, p)."""
        cross, T = self.cross, self.cross.fixed.transform
        p, many = len(self.coefficient_names), cross.q_tail - cross.q_random
        out = np.full((p, p), np.nan)
        x, m, within = cross.fixed.kept, self._many_columns, cross.fixed.within
        if many == 0:
            out[np.ix_(x, x)] = self.inner_covariance_of(T)
            return self.sigma**2 * out
        inner = self.inner_covariance
        own, side = T @ inner[many:, many:] @ T.T, inner[:many, many:] @ T.T
        out[np.ix_(x, x)] = own
        out[np.ix_(m, x)] = side - within @ own
        out[np.ix_(m, m)] = inner[:many, :many] - side @ within.T - within @ side.T + within @ own @ within.T
        out[np.ix_(x, m)] = out[np.ix_(m, x)].T
        return self.sigma**2 * out

    def inner_contrasts(self, contrasts: Array) -> Array:
        """Return contrasts of the estimated coefficients in the basis of the cross-products, shape (q, any).

        In the order of `inner_covariance`. A shift of a covariate's origin leaves them alone, where L and the
        covariance of β̂ grow with it and cancel.

        Parameters
        ----------
        contrasts : ndarray, shape (q, p)
            Rows of L; what they have in dropped columns is left out.
        """
        fixed = self.cross.fixed
        many = contrasts[:, self._many_columns]
        own = contrasts[:, fixed.kept] - many @ fixed.within
        return np.hstack([many, own @ fixed.transform])

    @lazy
    def modes(self) -> tuple[Array, ...]:
        """Conditional modes b (BLUPs) of every block, shape (levels, k) each, in units of y per unit of z."""
        return modes_of(self.design, self.cross, self.evaluation)

    @lazy
    def mode_covariance(self) -> tuple[Array, ...]:
        """Var(b | y) at known β, θ, σ, of every block: shape (levels, k, k) each.

        σ² Λ (ΛᵀZᵀZΛ + I)⁻¹ Λᵀ, its diagonal blocks; Bates et al. (2015), equation 58.
        """
        out = []
        with blas_threads(1):
            for f, basis in enumerate(self.cross.basis):
                root = inverse(basis)
                out.append(self.sigma**2 * (root @ self.evaluation.tail.mode_blocks(f) @ root.T))
            self.evaluation.tail.release()
        return tuple(out)

    @property
    def fixed_part(self) -> Array:
        """Xβ plus offset on the rows kept, shape (n,)."""
        return self._fixed_part if self.design.absent is None else self.by_rows(self.fixed_part_of)

    @property
    def fitted(self) -> Array:
        """Xβ + Zb plus offset on the rows kept, shape (n,)."""
        return self._fitted if self.design.absent is None else self.by_rows(self.fitted_of)

    @lazy
    def _fixed_part(self) -> Array:
        return self.fixed_part_of(self.design)

    @lazy
    def _fitted(self) -> Array:
        return self.fitted_of(self.design)

    @property
    def response(self) -> Array:
        """The observed response, offset included, shape (n,)."""
        return self.by_rows(lambda rows: rows.observed)

    def by_rows(self, values: Callable[[Design], Array]) -> Array:
        """Return a value for each row; rows that are not in memory are read.

        Raises
        ------
        ModelError
            If they cannot be read again.
        """
        absent = self.design.absent
        if absent is None:
            return values(self.design)
        if absent.read is None:
            raise ModelError(absent.refusal)
        return np.concatenate([values(batch) for batch in absent.read()])

    def fixed_part_of(self, rows: Design) -> Array:
        """Return Xβ plus offset on the rows of a design of the same model, shape (n,)."""
        kept = self.cross.fixed.kept
        out = rows.X[:, kept] @ self.beta[kept]
        at = len(rows.x_names)
        for factor in rows.many:
            own = np.nan_to_num(self.beta[at : at + len(factor.names)])  # dropped columns: 0
            effects = np.concatenate([np.zeros(factor.first), own])
            out += effects[factor.grouping.codes]
            at += len(factor.names)
        return out if rows.offset is None else out + rows.offset

    def fitted_of(self, rows: Design) -> Array:
        """Return Xβ + Zb plus offset on the rows of a design of the same model, shape (n,)."""
        out = np.array(self.fixed_part if rows is self.design else self.fixed_part_of(rows))
        for block, modes in zip(rows.blocks, self.modes, strict=True):
            out += np.einsum("ik,ik->i", block.z, modes[block.codes])
        return out

    @lazy
    def n_parameters(self) -> int:
        """Number of parameters for information criteria: fixed effects, θ, residual ones, and σ unless held."""
        own = 0 if self.residual is None else self.residual.model.n_parameters
        return self.cross.p_total + self.design.n_theta + own + (self.held_sigma is None)

    @property
    def formula(self) -> str:
        """The formula as written."""
        return self.design.formula.source

    @property
    def nobs(self) -> int:
        """Number of rows in the likelihood: complete and with a positive weight."""
        return self.cross.n

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of every grouping factor."""
        return {block.name: block.levels for block in self.design.blocks}

    @property
    def df_resid(self) -> int:
        """Number of rows minus number of parameters (fixed effects, θ and σ)."""
        return self.nobs - self.n_parameters

    @property
    def llf(self) -> float:
        """The maximised log-likelihood; the restricted one under REML."""
        return -0.5 * self.evaluation.value

    @property
    def aic(self) -> float:
        """Akaike's criterion, −2 llf + 2k with k parameters."""
        return -2.0 * self.llf + 2.0 * self.n_parameters

    @property
    def aicc(self) -> float:
        """`aic` corrected for few rows; see `MixedResults.aicc`."""
        k, n = self.n_parameters, self.nobs
        return self.aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")

    @property
    def bic(self) -> float:
        """Schwarz's criterion, −2 llf + log(n) k with k parameters."""
        return -2.0 * self.llf + float(np.log(self.nobs)) * self.n_parameters


class HasFit(Protocol):
    """An object with a `Fit`, such as `MixedResults`."""

    @property
    def _fit(self) -> Fit: ...


Fitted: TypeAlias = Fit | HasFit
"""A `Fit`, or an object that has one: the argument type of functions of a fitted model."""


def fit_of(fitted: Fitted, function: str = "this") -> Fit:
    """Return the `Fit` of a fitted model; `function` is the caller's name in the error message.

    Raises
    ------
    ModelError
        If the argument is not a fitted model.
    """
    if isinstance(fitted, Fit):
        return fitted
    fit = getattr(fitted, "_fit", None)
    if not isinstance(fit, Fit):
        raise ModelError(f"{function} was given {a_type(fitted)}; expected a fit: model.fit().")
    return fit


def criterion_of(design: Design, cross: CrossProducts, reml: bool, sigma: float | None) -> Criterion:
    """Return a design's deviance or REML criterion as a function of θ."""
    return Criterion(cross, tuple(block.structure for block in design.blocks), reml, sigma)
