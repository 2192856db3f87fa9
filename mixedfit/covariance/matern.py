"""Matérn spatial correlation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from mixedfit.core.arrays import Array

from .jet import Jet, exponential
from .scaled_correlation import Natural
from .spatial import Spatial

__all__ = ["Matern"]

NODES = 400
"""Nodes of the trapezoidal rule for K_ν: its error falls exponentially with their number."""


@dataclass(frozen=True)
class Matern(Spatial):
    """Σ_ij = s² 2^{1−ν}/Γ(ν) x^ν K_ν(x), x = d_ij/r, with range r and smoothness ν.

    Matérn (1960), in the parameters of Rasmussen & Williams' (2006, equation 4.14) without their √(2ν), as in glmmTMB.
    ν = ½ is the exponential law. The parameters of the search are log r and log ν.

    Parameters
    ----------
    k : int
    homogeneous : bool
    points : tuple of tuple of float
        Coordinates of the k points.

    Examples
    --------
    >>> structure = Matern(2, points=((0.0, 0.0), (3.0, 4.0)))
    >>> round(float(structure.covariance([1.0, 0.0, np.log(0.5)])[0, 1]), 6)
    0.367879
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "mat"

    @property
    def in_words(self) -> str:
        """In words."""
        return "one variance and Matérn correlations of distance"

    @property
    def shown(self) -> tuple[Natural, ...]:
        """r and ν."""
        return (
            Natural("range", self.name, f"range of the correlation ({self.name})", 0.0, float("inf")),
            Natural(
                "smoothness", self.name, f"smoothness of the correlation ({self.name})", 0.0, float("inf")
            ),
        )

    def relative_range(self, theta: Array) -> float:
        """Return the range of parameters of C, in units of `unit`."""
        return float(np.exp(min(float(theta[0]), 300.0)))

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k)."""
        log_range, log_nu = float(theta[0].value), float(theta[1].value)
        apart = self.distances > 0
        x = self.distances[apart] * np.exp(-np.clip(log_range, -200.0, 200.0))
        values, first, second = _log_matern(x, float(np.exp(np.clip(log_nu, -50.0, 50.0))))
        value = np.ones((self.k, self.k))
        slopes, bends = np.zeros((2, self.k, self.k)), np.zeros((2, 2, self.k, self.k))
        own = np.exp(values)
        value[apart] = own
        for a in range(2):
            slopes[a][apart] = own * first[a]
            for b in range(2):
                bends[a, b][apart] = own * (second[a][b] + first[a] * first[b])
        return Jet(value, slopes, bends)

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return r and ν."""
        return [exponential(theta[0]) * self.unit, exponential(theta[1])]

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of r and ν."""
        return [float(np.log(natural[0] / self.unit)), float(np.log(natural[1]))]

    def principal_correlation(self, theta: Array) -> Array:
        """Return the parameters of C, which are unique."""
        return theta

    def correlation_starts(self) -> list[list[float]]:
        """Return starts with ranges from a fifth of the median distance to twice it and smoothness ½ and 3⁄2."""
        return [[0.0, -0.7], [-1.6, -0.7], [-0.7, 0.4], [0.7, -0.7]]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield nothing: no value of a parameter is on the boundary; a range may run away."""
        return iter(())


def _log_matern(x: Array, nu: float) -> tuple[Array, list[Array], list[list[Array]]]:
    """Return log c at x > 0 with first and second derivatives in (log r, log ν).

    K_ν(x) = ∫₀^∞ e^{−x cosh t} cosh νt dt and its derivatives under the integral (DLMF 10.32.9), by the trapezoidal
    rule from 0 to where the integrand is below rounding; e^{x} and the largest exponent are taken out.
    """
    t, step = _nodes(float(x.min()), nu)
    weights = np.full(t.size, step)
    weights[0] *= 0.5
    exponent = -np.multiply.outer(x, np.cosh(t) - 1.0) + np.abs(nu * t)
    top = exponent.max(axis=1, keepdims=True)
    base = np.exp(exponent - top) * weights
    even, odd = 0.5 * (1.0 + np.exp(-2.0 * nu * t)), 0.5 * (1.0 - np.exp(-2.0 * nu * t))
    k = base @ even
    by_x, by_nu = -(base @ (even * np.cosh(t))) / k, (base @ (odd * t)) / k
    by_xx, by_nunu = (base @ (even * np.cosh(t) ** 2)) / k, (base @ (even * t * t)) / k
    by_xnu = -(base @ (odd * t * np.cosh(t))) / k
    value = (1.0 - nu) * np.log(2.0) - gammaln(nu) + nu * np.log(x) + np.log(k) + top[:, 0] - x
    gx, gn = nu / x + by_x, -np.log(2.0) - digamma(nu) + np.log(x) + by_nu
    hxx = -nu / x**2 + by_xx - by_x**2
    hnn = -polygamma(1, nu) + by_nunu - by_nu**2
    hxn = 1.0 / x + by_xnu - by_x * by_nu
    # x = d e^{−log r}: ∂x/∂log r = −x; ν = e^{log ν}
    first = [-x * gx, nu * gn]
    mixed = -x * nu * hxn
    second = [[x * x * hxx + x * gx, mixed], [mixed, nu * nu * hnn + nu * gn]]
    return value, first, second


def _nodes(least: float, nu: float) -> tuple[Array, float]:
    """Return nodes from 0 to where x cosh t − νt exceeds its least value by 40 for the smallest x."""
    centre = float(np.arcsinh(nu / least))
    end = max(2.0, centre)
    low = least * (np.cosh(centre) - 1.0) - nu * centre
    while least * (np.cosh(end) - 1.0) - nu * end < low + 40.0 and end < 700.0:
        end *= 1.1
    return np.linspace(0.0, end, NODES), end / (NODES - 1)
