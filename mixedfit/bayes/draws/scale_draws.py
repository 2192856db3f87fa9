"""Draws of scale parameters of t and Laplace distributions and of residual SDs by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from mixedfit.bayes.distributions import Distribution, Laplace, StudentT, mixing_precisions
from mixedfit.bayes.model.error_model import Shape
from mixedfit.core.arrays import Array

__all__ = ["ScaleDraws", "log_density"]


@dataclass(frozen=True, slots=True, eq=False)
class ScaleDraws:
    """Draws of the scales of a model that is not normal with one σ.

    Attributes
    ----------
    shape : Shape
    nu : tuple of ndarray, shape (chains, draws)
        Degrees of freedom of the residuals, then of every grouping factor; read where the distribution is t.
    nu0, sigma0 : ndarray, shape (chains, draws)
        Of the hierarchy of residual variances; read where there are groups.
    sigmas : ndarray, shape (chains, draws, groups)
        Residual scale of every group.
    """

    shape: Shape
    nu: tuple[Array, ...]
    nu0: Array
    sigma0: Array
    sigmas: Array

    def by_name(self) -> dict[str, Array]:
        """Return the draws of every parameter by name: sigma[A] …, sigma0, nu0; nu, nu|Tray."""
        out: dict[str, Array] = {}
        shape = self.shape
        if shape.groups is not None:
            for g, level in enumerate(shape.groups.levels):
                out[f"sigma[{level}]"] = self.sigmas[:, :, g]
            out |= {"sigma0": self.sigma0, "nu0": self.nu0}
        names = ["nu", *(f"nu|{name}" for name in shape.names)]
        for name, distribution, values in zip(names, (shape.errors, *shape.effects), self.nu, strict=True):
            if isinstance(distribution, StudentT) and distribution.prior:
                out[name] = values
        return out

    def standard_noise(self, count: int, rng: np.random.Generator) -> Array:
        """Return residuals of scale 1 drawn anew, shape (chains, draws, count)."""
        size = (*self.nu0.shape, count)
        lam = mixing_precisions(self.shape.errors, self.nu[0][:, :, None], size, rng)
        return np.asarray(rng.standard_normal(size) / np.sqrt(lam))

    def effect_scale(self, f: int, count: int, rng: np.random.Generator) -> Array:
        """Return 1/√λ of new levels of a factor, shape (chains, draws, count)."""
        size = (*self.nu0.shape, count)
        return np.asarray(
            1.0 / np.sqrt(mixing_precisions(self.shape.effects[f], self.nu[f + 1][:, :, None], size, rng))
        )

    def new_row_sigma(self, data: Any, rng: np.random.Generator) -> Array:
        """Return σ_g of every row of other data; labels that the fit did not have draw one from the hierarchy."""
        assert self.shape.groups is not None
        codes, labels = self.shape.groups.codes_of(data)
        unseen, sigmas = codes < 0, self.sigmas
        if unseen.any():
            own, distinct = pd.factorize(labels[unseen])
            size = (*self.nu0.shape, len(distinct))
            half = np.broadcast_to(0.5 * self.nu0[:, :, None], size)
            new = self.sigma0[:, :, None] * np.sqrt(half / rng.standard_gamma(half))
            sigmas = np.concatenate([sigmas, new], axis=2)
            codes = codes.copy()
            codes[unseen] = self.sigmas.shape[2] + own
        return np.asarray(sigmas[:, :, codes])


def log_density(distribution: Distribution, nu: Array, z: Array) -> Array:
    """Return the logarithm of a distribution's density of scale 1; `nu` is broadcast to `z`."""
    if isinstance(distribution, Laplace):
        return np.asarray(-np.abs(z) - np.log(2.0))
    if isinstance(distribution, StudentT):
        constant = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(nu * np.pi)
        return np.asarray(constant - 0.5 * (nu + 1.0) * np.log1p(z * z / nu))
    return np.asarray(-0.5 * (z * z + np.log(2.0 * np.pi)))
