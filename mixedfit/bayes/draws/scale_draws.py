"""Draws of degrees of freedom and of residual standard deviations by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln

from mixedfit.bayes.distributions import Distribution, Laplace, StudentT, mixing_precisions
from mixedfit.bayes.model.error_model import ErrorModel
from mixedfit.core.arrays import AnyArray, Array, IntArray

__all__ = ["ScaleDraws", "group_sigmas", "log_density", "new_effects"]


@dataclass(frozen=True, slots=True, eq=False)
class ScaleDraws:
    """Draws of the additional parameters of a model other than normal with one σ.

    Attributes
    ----------
    error_model : ErrorModel
    nu : tuple of ndarray, shape (chains, draws)
        Degrees of freedom of the residuals, then of each grouping factor; used for t distributions only.
    nu0, sigma0 : ndarray, shape (chains, draws)
        Parameters of the distribution of the residual variances; used if there are residual groups.
    sigmas : ndarray, shape (chains, draws, groups)
        Residual scale of each group.
    """

    error_model: ErrorModel
    nu: tuple[Array, ...]
    nu0: Array
    sigma0: Array
    sigmas: Array

    def by_name(self) -> dict[str, Array]:
        """Return the draws of every parameter by name: sigma[A] …, sigma0, nu0; nu, nu|Tray."""
        out: dict[str, Array] = {}
        error_model = self.error_model
        if error_model.groups is not None:
            out |= {
                f"sigma[{level}]": self.sigmas[:, :, g] for g, level in enumerate(error_model.groups.levels)
            }
            out |= {"sigma0": self.sigma0, "nu0": self.nu0}
        names = ["nu", *(f"nu|{name}" for name in error_model.names)]
        for name, distribution, values in zip(
            names, (error_model.errors, *error_model.effects), self.nu, strict=True
        ):
            if isinstance(distribution, StudentT) and distribution.prior:
                out[name] = values
        return out

    def standard_noise(self, count: int, rng: np.random.Generator) -> Array:
        """Return new draws of residuals with scale 1, shape (chains, draws, count)."""
        size = (*self.nu0.shape, count)
        lam = mixing_precisions(self.error_model.errors, self.nu[0][:, :, None], size, rng)
        return np.asarray(rng.standard_normal(size) / np.sqrt(lam))

    def effect_scale(self, f: int, count: int, rng: np.random.Generator) -> Array:
        """Return 1/√λ of new levels of a factor, shape (chains, draws, count)."""
        size = (*self.nu0.shape, count)
        lam = mixing_precisions(self.error_model.effects[f], self.nu[f + 1][:, :, None], size, rng)
        return np.asarray(1.0 / np.sqrt(lam))

    def row_sigma(self, codes: IntArray, labels: AnyArray, rng: np.random.Generator) -> Array:
        """Return σ_g of new rows, shape (chains, draws, rows); σ_g of a group that was not in the fit is drawn.

        Parameters
        ----------
        codes, labels : ndarray, shape (rows,)
            Group of each row, −1 if it was not in the fit, and its label.
        """
        unseen, sigmas = codes < 0, self.sigmas
        if unseen.any():
            own, distinct = pd.factorize(labels[unseen])
            sigmas = np.concatenate([sigmas, group_sigmas(self.nu0, self.sigma0, len(distinct), rng)], axis=2)
            codes = codes.copy()
            codes[unseen] = self.sigmas.shape[2] + own
        return np.asarray(sigmas[:, :, codes])


def group_sigmas(nu0: Array, sigma0: Array, groups: int, rng: np.random.Generator) -> Array:
    """Return draws of σ_g of new groups, 1/σ_g² ~ gamma(ν₀/2, ν₀σ₀²/2), shape (…, groups)."""
    half = np.broadcast_to(0.5 * nu0[..., None], (*nu0.shape, groups))
    return np.asarray(sigma0[..., None] * np.sqrt(half / rng.standard_gamma(half)))


def new_effects(
    omega: Array, f: int, levels: int, rng: np.random.Generator, scales: ScaleDraws | None
) -> Array:
    """Return draws of the effects of new levels of a factor, shape (chains, draws, levels, k).

    b ~ N(0, Ω), or the t or Laplace distribution of `scales`.
    """
    noise = rng.standard_normal((*omega.shape[:2], levels, omega.shape[-1]))
    if scales is not None:
        noise *= scales.effect_scale(f, levels, rng)[:, :, :, None]
    return np.asarray(noise @ np.linalg.cholesky(omega).swapaxes(-1, -2))


def log_density(distribution: Distribution, nu: Array, z: Array) -> Array:
    """Return the log density of a distribution with scale 1; `nu` is broadcast to `z`."""
    if isinstance(distribution, Laplace):
        return np.asarray(-np.abs(z) - np.log(2.0))
    if isinstance(distribution, StudentT):
        constant = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(nu * np.pi)
        return np.asarray(constant - 0.5 * (nu + 1.0) * np.log1p(z * z / nu))
    return np.asarray(-0.5 * (z * z + np.log(2.0 * np.pi)))
