"""The posterior of models with t or Laplace residuals or effects, in unconstrained coordinates, for bridge sampling.

The mixing variables are integrated out in closed form: residuals have their t or Laplace density, and so have the
effects of each level over the root of Ω, u = Λ⁻¹b with Ω = ΛΛᵀ lower triangular, whose density does not depend on Ω.
The coordinates are β; log τ of each variance, or log diagonal and rest of Λ of a covariance matrix; log σ; log ν of
each t distribution whose ν is estimated; and u of every level. Known parameters have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mixedfit.bayes.distributions import Distribution, Laplace, StudentT
from mixedfit.bayes.draws.counted_rows import on_counted_rows
from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.draws.row_density import log_likelihood, pieces, row_means, row_scale
from mixedfit.bayes.draws.scale_draws import ScaleDraws
from mixedfit.bayes.priors import LKJ, Known
from mixedfit.bayes.priors.mixtures import log_density as log_mixture_density
from mixedfit.bayes.priors.placement import Placement, Unit
from mixedfit.bayes.sampler.arrays import prior_numbers, unit_arrays
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.kernels.gibbs import variances as kinds

from .constants import log_constant

__all__ = ["HeavyTailedPosterior", "heavy_tailed_posterior"]

LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class HeavyTailedPosterior:
    """p(y | β, b, Ω, σ, ν) p(β, b, Ω, σ, ν) as a function of d unconstrained coordinates.

    Attributes
    ----------
    posterior : PosteriorDraws
        On the rows of positive weight.
    placement : Placement
    scales : ScaleDraws
    """

    posterior: PosteriorDraws
    placement: Placement
    scales: ScaleDraws

    @property
    def _estimated_nu(self) -> list[int]:
        """Positions in `scales.nu` of the degrees of freedom that are estimated."""
        model = self.scales.error_model
        both = enumerate((model.errors, *model.effects))
        return [i for i, own in both if isinstance(own, StudentT) and own.prior is not None]

    def coordinates(self) -> Array:
        """Return the coordinates of the draws, shape (chains, draws, d)."""
        own = self.posterior
        parts = [own.beta]
        for unit in self.placement.units:
            if not isinstance(unit.prior, Known):
                parts.append(_packed(np.asarray(np.linalg.cholesky(_of_unit(own.omega, unit)), dtype=float)))
        if not isinstance(self.placement.sigma, Known):
            parts.append(np.log(own.sigma)[:, :, None])
        parts += [np.log(self.scales.nu[i])[:, :, None] for i in self._estimated_nu]
        for omega, b in zip(own.omega, own.effects, strict=True):
            u = np.linalg.solve(np.linalg.cholesky(omega), b.swapaxes(-1, -2)).swapaxes(-1, -2)
            parts.append(u.reshape(*u.shape[:2], -1))
        return np.concatenate(parts, axis=2)

    def log_density(self, x: Array) -> Array:
        """Return log p(y, x) at points of shape (S, d), −∞ outside the support, shape (S,)."""
        own = self.posterior
        at = _Reader(x)
        beta = at.take(own.beta.shape[2])
        value = self._log_fixed(beta)
        roots = [np.zeros((len(x), block.k, block.k)) for block in own.design.blocks]
        for unit in self.placement.units:
            here = slice(unit.start, unit.start + unit.size)
            if isinstance(unit.prior, Known):
                roots[unit.block][:, here, here] = unit.prior.sd
                continue
            root, jacobian = _unpacked(at.take(unit.size * (unit.size + 1) // 2), unit.size)
            roots[unit.block][:, here, here] = root
            value += jacobian + _log_unit(unit, root @ root.swapaxes(1, 2))
        sigma = np.full(len(x), getattr(self.placement.sigma, "sd", 1.0))
        if not isinstance(self.placement.sigma, Known):
            log_sigma = at.take(1)[:, 0]
            sigma = np.exp(log_sigma)
            value += log_sigma + _log_sd(self.placement.sigma, sigma)
        scales, added = self._scales(at, len(x))
        value += added
        effects = []
        for f, (block, root) in enumerate(zip(own.design.blocks, roots, strict=True)):
            u = at.take(block.levels * block.k).reshape(len(x), block.levels, block.k)
            value += _log_standard(scales.error_model.effects[f], scales.nu[f + 1][0], u)
            effects.append(u @ root.swapaxes(1, 2))
        supported = np.isfinite(value)
        value[supported] += self._log_rows(beta, effects, sigma, scales)[supported]
        return value

    def _log_fixed(self, beta: Array) -> Array:
        """Return the log density of the prior of β."""
        placement, away = self.placement, beta - self.placement.mean
        value = np.full(len(beta), -0.5 * beta.shape[1] * LOG_2PI)
        if beta.shape[1]:
            value += 0.5 * np.linalg.slogdet(placement.precision)[1]
            value -= 0.5 * np.einsum("si,ij,sj->s", away, placement.precision, away)
        for mixture in placement.mixtures:
            z = (beta @ mixture.direction - mixture.mean) / mixture.scale
            own = np.array([log_mixture_density(mixture.prior, float(v)) for v in z])
            value += own + 0.5 * (z * z + LOG_2PI)
        return value

    def _scales(self, at: _Reader, count: int) -> tuple[ScaleDraws, Array]:
        """Return the scales at the points, and the log density of the coordinates of ν."""
        model = self.scales.error_model
        nu = [np.full((1, count), float(np.ravel(own)[0])) for own in self.scales.nu]
        added = np.zeros(count)
        for i in self._estimated_nu:
            distribution = (model.errors, *model.effects)[i]
            prior = getattr(distribution, "prior")  # noqa: B009 (mypy: a StudentT, by `_estimated_nu`)
            log_nu = at.take(1)[:, 0]
            nu[i] = np.exp(log_nu)[None]
            added += prior.shape * (np.log(prior.rate) + log_nu) - prior.rate * nu[i][0]
            added -= special.gammaln(prior.shape)
        return replace(self.scales, nu=tuple(nu)), added

    def _log_rows(self, beta: Array, effects: list[Array], sigma: Array, scales: ScaleDraws) -> Array:
        """Return log p(y | …) at the points, shape (S,)."""
        design, out = self.posterior.design, np.empty(len(beta))
        for here in pieces(len(beta), design.n):
            own = replace(scales, nu=tuple(nu[:, here] for nu in scales.nu))
            means = row_means(
                design, self.posterior.kept, beta[None, here], tuple(b[None, here] for b in effects)
            )
            scale = row_scale(design, sigma[None, here])
            out[here] = log_likelihood(design.observed, means, scale, own)[0].sum(axis=1)
        return out


class _Reader:
    """The coordinates of points, taken from left to right."""

    def __init__(self, x: Array) -> None:
        self.x, self.at = x, 0

    def take(self, count: int) -> Array:
        """Return the next coordinates, shape (S, count)."""
        self.at += count
        return self.x[:, self.at - count : self.at]


def heavy_tailed_posterior(posterior: PosteriorDraws) -> HeavyTailedPosterior:
    """Return the posterior of a model with t or Laplace distributions and one σ.

    Raises
    ------
    ModelError
        If σ differs by group, residuals have a structure, or the effects or the priors were not kept.
    """
    scales, placement = posterior.scales, posterior.placement
    if posterior.structure is not None or scales is None or scales.error_model.groups is not None:
        raise ModelError(
            "the marginal likelihood is for models with one σ and independent residuals. Use loo() to compare this "
            "model with others."
        )
    if placement is None:
        raise ModelError("the marginal likelihood needs the priors as values: sample again by .gibbs().")
    posterior.require_effects()
    counted = on_counted_rows(posterior)
    return HeavyTailedPosterior(counted, placement, counted.scales or scales)


def _of_unit(omegas: tuple[Array, ...], unit: Unit) -> Array:
    here = slice(unit.start, unit.start + unit.size)
    return omegas[unit.block][:, :, here, here]


def _triangle(k: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(k) for j in range(i + 1))


def _packed(root: Array) -> Array:
    """Return log diagonal and rest of lower triangles, row by row, in the last axis."""
    elements = [
        (np.log(root[..., i, i]) if i == j else root[..., i, j]) for i, j in _triangle(root.shape[-1])
    ]
    return np.stack(elements, axis=-1)


def _unpacked(x: Array, k: int) -> tuple[Array, Array]:
    """Return the triangles Λ, shape (S, k, k), and log |∂Ω/∂x|, or log |∂τ/∂x| of one effect, shape (S,)."""
    root, jacobian = np.zeros((len(x), k, k)), np.zeros(len(x))
    for at, (i, j) in enumerate(_triangle(k)):
        root[:, i, j] = np.exp(x[:, at]) if i == j else x[:, at]
        if i == j:  # |∂(ΛΛᵀ)/∂Λ| = 2^k Π Λ_ii^(k − i), i from 0
            jacobian += x[:, at] if k == 1 else (k - i + 1.0) * x[:, at] + np.log(2.0)
    return root, jacobian


def _log_unit(unit: Unit, omega: Array) -> Array:
    """Return the log density of τ of one effect, or of Ω of several."""
    if unit.size == 1:
        return _log_sd(unit.prior, np.sqrt(omega[:, 0, 0]))
    rows, hyper, matrices = unit_arrays((unit,), list(range(unit.block + 1)), unit.size, 1.0)
    kind, (first, second, _), size = int(rows[0, 3]), hyper[0].tolist(), unit.size
    width = 3 if isinstance(unit.prior, LKJ) else size
    constant = log_constant(kind, first, second, matrices[0][:size, :width])
    values = [kinds.log_covariance_density(kind, first, matrices[0], own, size) for own in omega]
    return np.array(values) + constant


def _log_sd(prior: object, tau: Array) -> Array:
    """Return the log density of standard deviations."""
    kind, first, second = prior_numbers(prior, 1.0)  # type: ignore[arg-type]
    values = [kinds.log_sd_density(kind, first, second, float(t)) for t in tau]
    return np.array(values) + log_constant(kind, first, second, np.zeros((1, 1)))


def _log_standard(distribution: Distribution, nu: Array, u: Array) -> Array:
    """Return the log density of effects of all levels with Ω = I, u of shape (S, levels, k) and ν of shape (S,).

    t: Γ((ν + k)/2)/(Γ(ν/2) (νπ)^(k/2)) (1 + q/ν)^(−(ν + k)/2) with q = uᵀu. Laplace: (2π)^(−k/2) q^(λ/2) K_λ(√q) with
    λ = 1 − k/2; Kotz, Kozubowski & Podgórski (2001), equation 5.2.2, at covariance 2I.
    """
    k, q = u.shape[2], np.sum(u * u, axis=2)
    if isinstance(distribution, StudentT):
        own = nu[:, None]
        constant = (
            special.gammaln(0.5 * (own + k)) - special.gammaln(0.5 * own) - 0.5 * k * np.log(own * np.pi)
        )
        return np.asarray(np.sum(constant - 0.5 * (own + k) * np.log1p(q / own), axis=1))
    if isinstance(distribution, Laplace):
        r, order = np.maximum(np.sqrt(q), 1e-150), 1.0 - 0.5 * k
        logs = order * np.log(r) + np.log(special.kve(order, r)) - r
        return np.asarray(np.sum(logs - 0.5 * k * LOG_2PI, axis=1))
    return np.asarray(-0.5 * np.sum(q + k * LOG_2PI, axis=1))
