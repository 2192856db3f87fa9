"""The posterior of the variance parameters with β and b integrated out, in unconstrained coordinates.

A standard deviation has the coordinate log τ, or logit(τ/u) under a uniform prior on (0, u); a covariance matrix the
log-Cholesky elements of `kernels.gibbs.collapsed`. σ comes next, then log λ of each t or Laplace prior of fixed
effects. Known ones have no coordinate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import special

from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.priors.mixtures import draw_precisions, log_precision_density
from mixedfit.bayes.priors.placement import Placement
from mixedfit.bayes.sampler import arrays
from mixedfit.bayes.sampler.arrays import Problem, sampling_problem
from mixedfit.bayes.sampler.fixed_mixtures import MixtureUpdate, mixture_update
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import blas_threads
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.kernels.gibbs import variances as kinds
from mixedfit.kernels.gibbs.marginal import log_densities, pack_all

from .constants import log_constant

__all__ = ["CollapsedPosterior", "collapsed_posterior", "placement_of", "proper_precision"]

_densities = cast(Callable[..., None], log_densities)
_pack = cast(Callable[..., bool], pack_all)


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluated:
    """What the kernel fills at each point, σ, the prior of β̃, and terms of log p(y, x) that the kernel leaves out."""

    values: Array
    priors: Array
    means: Array
    roots: Array
    sigma: Array
    fixed: tuple[Array, Array, Array]
    added: Array


@dataclass(frozen=True, slots=True, eq=False)
class CollapsedPosterior:
    """p(y | Ω, σ) p(Ω, σ) as a function of d unconstrained coordinates.

    Attributes
    ----------
    problem : Problem
        Cross-products and priors, in units of the response's scale.
    cross : CrossProducts
    order : list of int
        The design's blocks in the order of the sampler's factors.
    constant : float
        What is added to the kernel's values; NaN if a prior is improper.
    uppers : ndarray, shape (d,)
        log u of coordinates under a uniform prior, infinite for others.
    mixtures : MixtureUpdate or None
        The fixed effects' priors that are mixtures.
    """

    problem: Problem
    cross: CrossProducts
    order: list[int]
    constant: float
    uppers: Array
    mixtures: MixtureUpdate | None

    @property
    def _samples_sigma(self) -> bool:
        return self.problem.residual[0] != kinds.KNOWN

    @property
    def _places(self) -> tuple[int, int]:
        """Number of coordinates of Ω, and of Ω and σ."""
        both = self.uppers.size - (0 if self.mixtures is None else len(self.mixtures.priors))
        return both - self._samples_sigma, both

    def coordinates(self, posterior: PosteriorDraws, rng: np.random.Generator) -> Array:
        """Return the coordinates of the draws, shape (chains, draws, d); λ is drawn given β."""
        scale, shape = self.cross.fixed.scale, posterior.sigma.shape
        omegas = np.zeros((posterior.sigma.size, *self.problem.bases.shape))
        for i, f in enumerate(self.order):
            k = posterior.design.blocks[f].k
            omegas[:, i, :k, :k] = posterior.omega[f].reshape(-1, k, k) / scale**2
        x = np.empty((posterior.sigma.size, self.uppers.size))
        d, both = self._places
        phi = np.empty((len(x), d))
        if d and not _pack(omegas, self.problem.units, self.problem.bases, phi):
            raise ModelError("a drawn covariance matrix is not positive definite to the machine's accuracy.")
        x[:, :d] = phi
        if self._samples_sigma:
            x[:, d] = np.log(posterior.sigma.reshape(-1) / scale)
        if self.mixtures is not None:
            z = self.mixtures.standardised(self._reduced(posterior))
            for i, prior in enumerate(self.mixtures.priors):
                x[:, both + i] = np.log(draw_precisions(prior, z[:, i], rng))
        below = np.minimum(x - self.uppers, -1e-15)
        x = np.where(np.isfinite(self.uppers), below - np.log(-np.expm1(below)), x)
        return x.reshape(*shape, -1)

    def log_density(self, x: Array) -> Array:
        """Return log p(y, x) at points of shape (S, d), −∞ outside the support, shape (S,)."""
        found = self._evaluate(x, moments=False)
        return found.values + found.added + self.constant

    def moments(self, x: Array) -> tuple[Array, Array]:
        """Return mean, shape (S, p), and covariance, shape (S, p, p), of β given y and the point, in its own units."""
        found, fixed = self._evaluate(x, moments=True), self.cross.fixed
        inverses = np.linalg.solve(found.roots, np.eye(found.roots.shape[1])[None])  # L⁻¹
        half = fixed.scale * found.sigma[:, None, None] * (inverses @ fixed.transform.T)
        return fixed.centre + fixed.scale * found.means @ fixed.transform.T, half.swapaxes(1, 2) @ half

    def log_likelihood(self, posterior: PosteriorDraws, x: Array) -> Array:
        """Return log p(y | β, Ω, σ) of each draw up to a constant, with b integrated out, shape (S,).

        p(y | β, Ω, σ) = p(y | Ω, σ) p(β | y, Ω, σ)/p(β).

        Parameters
        ----------
        posterior : PosteriorDraws
        x : ndarray, shape (S, d)
            Its coordinates.
        """
        beta, found = self._reduced(posterior), self._evaluate(x, moments=True)
        z = np.einsum("sij,si->sj", found.roots, beta - found.means) / found.sigma[:, None]
        logdet = np.log(np.diagonal(found.roots, axis1=1, axis2=2)).sum(axis=1)
        logdet -= beta.shape[1] * np.log(found.sigma)
        precision, linear, constant = found.fixed
        quadratic = np.einsum("si,sij,sj->s", beta, np.broadcast_to(precision, found.roots.shape), beta)
        quadratic += constant - 2.0 * np.einsum("si,si->s", np.broadcast_to(linear, beta.shape), beta)
        marginal = found.values - found.priors
        return np.asarray(marginal + logdet - 0.5 * np.sum(z * z, axis=1) + 0.5 * quadratic)

    def _reduced(self, posterior: PosteriorDraws) -> Array:
        """Return the draws of β̃, β = centre + scale T β̃, shape (S, p)."""
        fixed = self.cross.fixed
        beta = posterior.beta.reshape(posterior.sigma.size, -1) - fixed.centre
        return np.asarray(np.linalg.solve(fixed.scale * fixed.transform, beta.T).T, dtype=float)

    def _evaluate(self, x: Array, *, moments: bool) -> _Evaluated:
        """Return densities, and the moments of β̃ if wanted, at points of shape (S, d)."""
        problem, count = self.problem, len(x)
        bounded = np.isfinite(self.uppers)
        phi = np.where(bounded, np.where(bounded, self.uppers, 0.0) + special.log_expit(x), x)
        p, kept = problem.fixed[1].size, count if moments else 0
        d, both = self._places
        known = np.log(problem.residual[1]) if not self._samples_sigma else 0.0
        log_sigmas = np.ascontiguousarray(phi[:, d]) if self._samples_sigma else np.full(count, known)
        fixed, added = self._prior(phi[:, both:])
        out = np.empty(count), np.empty(count), np.empty((kept, p)), np.empty((kept, p, p))
        _densities(
            np.ascontiguousarray(phi[:, :d]),
            log_sigmas,
            self._known_omega(),
            problem.first,
            problem.gram,
            fixed,
            problem.factors,
            problem.bases,
            problem.inverses,
            problem.units,
            problem.hyper,
            problem.matrices,
            problem.rows,
            problem.residual,
            *out,
        )
        jacobian = np.where(bounded, special.log_expit(-x), 0.0).sum(axis=1)
        return _Evaluated(*out, np.exp(log_sigmas), fixed, jacobian + added)

    def _prior(self, log_lam: Array) -> tuple[tuple[Array, Array, Array], Array | float]:
        """Return the prior of β̃ at each point as the kernel takes it, and what its log density adds to the constant."""
        precision, linear, constant = self.problem.fixed
        if self.mixtures is None:
            return (precision[None], linear[None], np.array([constant])), 0.0
        given = [self.mixtures.given(lam) for lam in np.exp(log_lam)]
        precisions = np.stack([own[0] for own in given])
        added = np.zeros(len(given))
        if np.linalg.slogdet(precision)[0] > 0:  # without it only moments and likelihoods are defined
            added += 0.5 * (np.linalg.slogdet(precisions)[1] - np.linalg.slogdet(precision)[1])
        for i, prior in enumerate(self.mixtures.priors):
            added = added + log_precision_density(prior, log_lam[:, i])
        return (precisions, np.stack([own[1] for own in given]), np.array([own[2] for own in given])), added

    def _known_omega(self) -> Array:
        """Return Ω, shape (factors, K, K), with the variances that are known and 0 for the others."""
        omega = np.zeros_like(self.problem.bases)
        for (f, at, _, kind), hyper in zip(self.problem.units.tolist(), self.problem.hyper, strict=True):
            if kind == kinds.KNOWN:
                omega[f, at, at] = hyper[0] ** 2
        return omega


def placement_of(posterior: PosteriorDraws, what: str) -> Placement:
    """Return the priors of a posterior whose variance parameters have a density without β and b.

    Raises
    ------
    ModelError
        If the draws are from the prior or a file, or the model is not normal with one σ.
    """
    if posterior.kind == "prior":
        raise ModelError(f"these are draws from the prior: {what} needs the posterior, from .gibbs().")
    if posterior.scales is not None or posterior.structure is not None:
        raise ModelError(
            f"{what} is for models with normal residuals and effects, one σ and independent residuals. Use loo() to "
            "compare this model with others."
        )
    if posterior.placement is None:
        raise ModelError(
            f"{what} needs the priors as values, and a posterior that was read from a file has their text only. "
            "Sample again by .gibbs(), or compute it before .save()."
        )
    return posterior.placement


def collapsed_posterior(posterior: PosteriorDraws, what: str) -> CollapsedPosterior:
    """Return the collapsed posterior of a model with normal residuals and effects and one σ.

    Raises
    ------
    ModelError
        As `placement_of`, or if the factors behind the largest have too many effects.
    """
    design, placement = posterior.design, placement_of(posterior, what)
    with blas_threads(1):
        cross = cross_products(design)
    if cross.q_random > arrays.LARGEST_TAIL:
        raise ModelError(
            f"the grouping factors behind the largest have {cross.q_random} effects; {what} integrates up to "
            f"{arrays.LARGEST_TAIL} out jointly. Use loo() to compare this model with others."
        )
    problem, order = sampling_problem(design, cross, placement)
    mixtures = mixture_update(cross, placement, problem)
    uppers = np.concatenate([_uppers(problem), np.full(len(placement.mixtures), np.inf)])
    return CollapsedPosterior(problem, cross, order, _constant(problem, cross), uppers, mixtures)


def proper_precision(placement: Placement) -> bool:
    """Return whether the prior of all fixed effects is proper."""
    precision = placement.precision
    if not precision.size:
        return True
    sizes = np.diag(precision)
    if np.any(sizes <= 0):
        return False
    root = 1.0 / np.sqrt(sizes)
    return bool(np.linalg.eigvalsh(root[:, None] * precision * root)[0] >= 1e-12)


def _uppers(problem: Problem) -> Array:
    """Return the logarithms of the upper limits of the coordinates, infinite without."""
    out: list[float] = []
    for (_, _, size, kind), hyper in zip(problem.units.tolist(), problem.hyper, strict=True):
        if kind != kinds.KNOWN:
            out += [np.log(hyper[1]) if kind == kinds.UNIFORM else np.inf] * (size * (size + 1) // 2)
    kind, _, upper = problem.residual
    if kind != kinds.KNOWN:
        out.append(float(np.log(upper)) if kind == kinds.UNIFORM else np.inf)
    return np.array(out)


def _constant(problem: Problem, cross: CrossProducts) -> float:
    """Return the terms of log p(y, x) that the kernel leaves out; NaN if a prior is improper."""
    n, p, precision = problem.rows, problem.fixed[1].size, problem.fixed[0]
    value = -0.5 * n * np.log(2.0 * np.pi) - n * np.log(cross.fixed.scale) + 0.5 * cross.log_weights
    if p:
        sign, logdet = np.linalg.slogdet(precision)
        value += 0.5 * logdet if sign > 0 else np.nan
    rows = zip(problem.units.tolist(), problem.hyper, problem.matrices, strict=True)
    for (f, at, size, kind), (first, second, _), matrix in rows:
        here = slice(at, at + size)
        width = 3 if kind == kinds.LKJ else size
        value += log_constant(kind, first, second, matrix[:size, :width])
        if (
            size > 1
        ):  # dΩ/dΛ = 2^k Π Λ_ii^(k−i), of which the kernel has the product, and Ω in the effects' own basis
            basis = problem.bases[f, here, here]
            value += size * np.log(2.0) - (size + 1.0) * np.linalg.slogdet(basis)[1]
    kind, first, second = problem.residual
    return float(value + log_constant(kind, first, second, np.zeros((1, 1))))
