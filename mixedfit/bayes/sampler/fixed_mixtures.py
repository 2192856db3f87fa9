"""Update of the fixed effects' priors that are scale mixtures of normals: λ given β, and the normal prior given λ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfit.bayes.priors.fixed import ScaleMixture
from mixedfit.bayes.priors.mixtures import draw_precisions
from mixedfit.bayes.priors.placement import Placement
from mixedfit.core.arrays import Array
from mixedfit.crossproducts.crossprod import CrossProducts

from .arrays import Problem

__all__ = ["MixtureUpdate", "mixture_update"]


@dataclass(frozen=True, slots=True, eq=False)
class MixtureUpdate:
    """The mixtures in the basis of the cross-products: z = slopes β̃ − centres are their standardised values.

    Attributes
    ----------
    priors : tuple of ScaleMixture
    slopes : ndarray, shape (mixtures, p)
    centres : ndarray, shape (mixtures,)
    base : tuple
        Precision, precision × mean and meanᵀ precision mean of the rest of the prior.
    """

    priors: tuple[ScaleMixture, ...]
    slopes: Array
    centres: Array
    base: tuple[Array, Array, float]

    def standardised(self, beta: Array) -> Array:
        """Return z of each mixture at β̃, shape (…, mixtures)."""
        return np.asarray(beta @ self.slopes.T - self.centres)

    def given(self, lam: Array) -> tuple[Array, Array, float]:
        """Return the prior of β̃ given λ, shape (mixtures,), as `Problem.fixed` has it."""
        weighted, (precision, linear, constant) = lam[:, None] * self.slopes, self.base
        return (
            precision + weighted.T @ self.slopes,
            linear + self.centres @ weighted,
            float(constant + lam @ self.centres**2),
        )

    def drawn(self, coefficients: Array, rng: np.random.Generator) -> tuple[Array, Array, float]:
        """Return the prior of β̃ given new λ, which are drawn given the last p coefficients."""
        z = self.standardised(coefficients[coefficients.size - self.slopes.shape[1] :])
        lam = [float(draw_precisions(prior, z[i], rng)) for i, prior in enumerate(self.priors)]
        return self.given(np.array(lam))


def mixture_update(cross: CrossProducts, placement: Placement, problem: Problem) -> MixtureUpdate | None:
    """Return the update of a model's mixtures; None without."""
    mixtures = placement.mixtures
    if not mixtures:
        return None
    fixed = cross.fixed
    directions = np.stack([m.direction / m.scale for m in mixtures])
    centres = np.array([m.mean / m.scale for m in mixtures]) - directions @ fixed.centre
    slopes = fixed.scale * directions @ fixed.transform
    precision, linear, constant = problem.fixed
    base = (
        precision - slopes.T @ slopes,
        linear - centres @ slopes,
        float(constant - centres @ centres),
    )
    return MixtureUpdate(tuple(m.prior for m in mixtures), slopes, centres, base)
