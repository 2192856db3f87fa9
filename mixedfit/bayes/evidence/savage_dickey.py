"""Savage–Dickey density ratios: Bayes factors of values of fixed effects from the posterior of the larger model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfit.bayes.draws.convergence import ess_mean
from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.priors.mixtures import log_density
from mixedfit.bayes.priors.placement import Placement
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import number, probability_text
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.tables import Table, one_row
from mixedfit.inference.hypotheses.equations import read_equations

from .collapsed import collapsed_posterior, placement_of

__all__ = ["DensityRatio", "savage_dickey"]


@dataclass(frozen=True, eq=False)
class DensityRatio(NotebookTable):
    """The Bayes factor of a hypothesis about fixed effects, posterior density over prior density at its value.

    Attributes
    ----------
    hypothesis : str
    posterior_density, prior_density : float
        At the value.
    error : float
        Standard error of the logarithm of the ratio.
    """

    hypothesis: str
    posterior_density: float
    prior_density: float
    error: float

    @property
    def value(self) -> float:
        """Bayes factor of the hypothesis against the model in which the coefficients are free."""
        return self.posterior_density / self.prior_density

    @property
    def log(self) -> float:
        """Its natural logarithm."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.posterior_density) - np.log(self.prior_density))

    @property
    def probability(self) -> float:
        """Posterior probability of the hypothesis if it has prior probability 1/2."""
        return float(special.expit(self.log))

    def __float__(self) -> float:
        return self.value

    def _cells(self) -> dict[str, str]:
        return {
            "posterior density": number(self.posterior_density),
            "prior density": number(self.prior_density),
            "Bayes factor": number(self.value, 3),
            "error of log": f"{self.error:.1g}",
            "probability": probability_text(self.log),
        }

    def _tables(self) -> list[Table]:
        return [one_row(f"Savage–Dickey ratio of {self.hypothesis}", self._cells())]

    def __str__(self) -> str:
        cells = self._cells()
        return "\n".join(
            [
                f"Savage–Dickey ratio of {self.hypothesis}",
                f"Density at this value: posterior {cells['posterior density']}, prior {cells['prior density']}",
                f"Bayes factor for it: {cells['Bayes factor']} (logarithm {self.log:.3f}, standard error "
                f"{cells['error of log']})",
                f"Posterior probability at equal prior odds: {cells['probability']}",
            ]
        )

    __repr__ = __str__


def savage_dickey(posterior: PosteriorDraws, hypothesis: str) -> DensityRatio:
    """Return the Bayes factor of a hypothesis about fixed effects; see `Posterior.savage_dickey`.

    The posterior density is the mean over the draws of the normal density given Ω and σ, with b and the other
    coefficients integrated out.
    """
    if not isinstance(hypothesis, str):
        raise ModelError(f"the hypothesis is {hypothesis!r}; expected text such as 'x' or 'x = 1'.")
    placement = placement_of(posterior, "a Savage–Dickey ratio")
    names = [posterior.design.x_names[column] for column in posterior.kept]
    equations = read_equations(hypothesis, names)
    L, r = np.array([row for _, row, _ in equations]), np.array([side for *_, side in equations])
    label = ", ".join(text if "=" in text else f"{text} = 0" for text, *_ in equations)
    if np.linalg.matrix_rank(L) < len(L):
        raise ModelError(f"the equations of {label!r} depend on each other; leave out those that follow.")
    prior = _log_prior(placement, L, r, label)
    collapsed = collapsed_posterior(posterior, "a Savage–Dickey ratio")
    x = collapsed.coordinates(posterior, np.random.default_rng(0))
    means, covariances = collapsed.moments(x.reshape(posterior.sigma.size, x.shape[2]))
    logs = _normal_density(r - means @ L.T, L @ covariances @ L.T)
    top = float(logs.max())
    densities = np.exp(logs - top).reshape(posterior.sigma.shape)
    average = float(densities.mean())
    error = float(densities.std(ddof=1) / average / np.sqrt(ess_mean(densities)))
    at = np.exp(top) * average
    return DensityRatio(label, float(at), float(np.exp(prior)), 0.0 if np.isnan(error) else error)


def _normal_density(distance: Array, covariance: Array) -> Array:
    """Return log N(distance; 0, covariance) of each row, shape (S,)."""
    distance = np.broadcast_to(distance, (len(covariance), distance.shape[-1]))
    root = np.linalg.cholesky(covariance)
    z = np.linalg.solve(root, distance[:, :, None])[:, :, 0]
    logdet = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-0.5 * np.sum(z * z, axis=1) - logdet - 0.5 * z.shape[1] * np.log(2.0 * np.pi))


def _log_prior(placement: Placement, L: Array, r: Array, label: str) -> float:
    """Return the log prior density of Lβ at r.

    Raises
    ------
    ModelError
        If the prior of Lβ is flat, or involves several coefficients some of which have t or Laplace priors.
    """
    mean, covariance = _prior_moments(placement, L, label)
    mixed = [m for m in placement.mixtures if np.any(np.abs(L @ _covariance(placement) @ m.direction) > 0)]
    if not mixed:
        return float(_normal_density(r - mean, covariance[None])[0])
    own, factor = mixed[0], float(L[0] @ mixed[0].direction) / float(mixed[0].direction @ mixed[0].direction)
    if len(L) > 1 or len(mixed) > 1 or not np.allclose(L[0], factor * own.direction, atol=1e-12):
        raise ModelError(
            f"{label!r} involves coefficients with t, Cauchy or Laplace priors, whose joint prior density is not known "
            "in closed form. Test one coefficient at a time, or compare both models by mf.bayes_factor."
        )
    scale = abs(factor) * own.scale
    return log_density(own.prior, (r[0] - factor * own.mean) / scale) - float(np.log(scale))


def _covariance(placement: Placement) -> Array:
    """Return the prior covariance of β given λ = 1, 0 along flat directions."""
    sizes = np.diag(placement.precision)
    root = 1.0 / np.sqrt(np.where(sizes > 0, sizes, 1.0))
    scaled = np.linalg.pinv(root[:, None] * placement.precision * root, rcond=1e-12, hermitian=True)
    return np.asarray(root[:, None] * np.where(np.abs(scaled) > 1e-12, scaled, 0.0) * root)


def _prior_moments(placement: Placement, L: Array, label: str) -> tuple[Array, Array]:
    """Return mean and covariance of Lβ under the prior.

    Raises
    ------
    ModelError
        If the prior of Lβ is flat.
    """
    sizes = np.diag(placement.precision)
    root = 1.0 / np.sqrt(np.where(sizes > 0, sizes, 1.0))
    values, vectors = np.linalg.eigh(root[:, None] * placement.precision * root)
    flat = values < 1e-12
    scaled = (L * root) @ vectors
    if np.any(np.abs(scaled[:, flat]) > 1e-8 * np.linalg.norm(scaled, axis=1, keepdims=True)):
        raise ModelError(
            f"the prior of {label.split(' = ')[0]} is flat: its density at a value is 0 times a number that is not "
            "known, and so is the ratio. Give the coefficient a proper prior, such as mf.priors.Normal(0, sd), or "
            "leave the key out for the default."
        )
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=~flat)
    return L @ placement.mean, (scaled * inverse) @ scaled.T
