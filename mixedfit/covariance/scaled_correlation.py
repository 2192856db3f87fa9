"""Structures Σ = D C D: standard deviations times a correlation matrix with few parameters.

θ has the parameters of the search. Homogeneous: D = s I with one s, which may have either sign, so that s = 0 is inside
the search's space. Heterogeneous: D = diag(e^τ), since a negative standard deviation would leave the family. C is a
smooth function of unconstrained parameters also where it becomes singular: a correlation is the sine of its parameter,
and a search that ends at ±1 ends at a stationary point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import ModelError

from .jet import Jet, sine, variables

__all__ = ["LEAST_LOG_SD", "Natural", "ScaledCorrelation", "angle", "interval"]

LEAST_LOG_SD = -50.0
"""log of a relative standard deviation that counts as 0; where it is set, the standard deviation is exactly 0."""

SMALL_SD = 1e-3
"""Relative standard deviation below which 0 is tried, in units where effects have unit root mean square."""

SMALL_ANGLE = 1e-2
"""Distance of an angle from that of a correlation on its boundary, below which the boundary is tried."""


@dataclass(frozen=True, slots=True)
class Natural:
    """A natural parameter of a structure.

    Attributes
    ----------
    kind : {"sd", "correlation", "range", "decay", "smoothness"}
    name : str
        Suffix of its names: an effect, or the structure with a lag where it has several.
    words : str
        In words, such as "correlation at lag 1".
    lower, upper : float
        Bounds.
    effect : int
        Of a standard deviation: its effect, −1 for that of all effects; −1 for others.
    """

    kind: Literal["sd", "correlation", "range", "decay", "smoothness"]
    name: str
    words: str
    lower: float
    upper: float
    effect: int = -1


def angle(rho: float, low: float, high: float) -> float:
    """Return the θ with `interval` (θ) = ρ."""
    return float(np.arcsin(np.clip((2.0 * rho - low - high) / (high - low), -1.0, 1.0)))


def interval(theta: Jet, low: float, high: float) -> Jet:
    """Return (low + high)/2 + (high − low)/2 sin θ."""
    return sine(theta) * (0.5 * (high - low)) + 0.5 * (low + high)


@dataclass(frozen=True)
class ScaledCorrelation:
    """Base of the structures Σ = D C D; a structure defines the names, C and the natural parameters of C.

    Parameters
    ----------
    k : int
        Effects per level.
    homogeneous : bool
        Whether all effects have the same standard deviation.
    """

    k: int
    homogeneous: bool = True

    linear = False

    @property
    def name(self) -> str:
        """Name in formulas."""
        raise NotImplementedError

    @property
    def in_words(self) -> str:
        """The structure in words, such as "one variance and no correlation"."""
        raise NotImplementedError

    @property
    def _variances(self) -> str:
        return "one variance and " if self.homogeneous else ""

    @property
    def shown(self) -> tuple[Natural, ...]:
        """Natural parameters of C."""
        return ()

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k), of the parameters after the standard deviations."""
        raise NotImplementedError

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return the natural parameters of C."""
        raise NotImplementedError

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of given natural ones."""
        return []

    def correlation_starts(self) -> list[list[float]]:
        """Return values of the parameters of C from which a search may start, the most plausible first."""
        return [[]]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield position, value and words of parameters of C that are near a value on the boundary."""
        return iter(())

    @property
    def n_sd(self) -> int:
        """Number of standard deviations."""
        return 1 if self.homogeneous else self.k

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return self.n_sd + len(self.shown)

    @property
    def invariance(self) -> Literal["scale", "scales"]:
        """Changes of units under which the family is closed: a common one, or one for each effect."""
        return "scale" if self.homogeneous else "scales"

    @property
    def diagonal(self) -> tuple[int, ...]:
        """Positions in θ of the standard deviations."""
        return tuple(range(self.n_sd))

    @property
    def start(self) -> Array:
        """A θ with relative standard deviations 1."""
        return self.theta_of(np.ones(self.k), self.correlation_starts()[0])

    def theta_of(self, sds: Array, rest: Sequence[float]) -> Array:
        """Return θ of relative standard deviations, shape (k,), and the parameters of C."""
        if self.homogeneous:
            own = np.array([np.sqrt(np.mean(np.square(sds)))])
        else:
            own = np.log(np.maximum(sds, np.exp(LEAST_LOG_SD)))
        return np.concatenate([own, np.asarray(rest, dtype=float)])

    def deviations(self, theta: Array) -> Array:
        """Return the relative standard deviations, shape (k,)."""
        if self.homogeneous:
            return np.full(self.k, abs(float(theta[0])))
        own = np.asarray(theta[: self.k])
        return np.where(own > LEAST_LOG_SD, np.exp(np.minimum(own, 300.0)), 0.0)

    def _jet(self, theta: Array) -> Jet:
        made = self.correlation(variables(np.asarray(theta, dtype=float)[self.n_sd :]))
        m = len(self.shown)
        if made.value.shape == (self.k, self.k):
            return made
        return Jet(
            np.broadcast_to(made.value, (self.k, self.k)),
            np.broadcast_to(made.first, (m, self.k, self.k)),
            np.broadcast_to(made.second, (m, m, self.k, self.k)),
        )

    def covariance(self, theta: Array) -> Array:
        """Return Σ, shape (k, k)."""
        sds = self.deviations(theta)
        return np.asarray(sds[:, None] * self._jet(theta).value * sds)

    def factor(self, theta: Array) -> Array:
        """Return λ with λλᵀ = Σ, shape (k, k): D times the lower Cholesky factor of C, or another root where C is
        singular."""
        return np.asarray(self.deviations(theta)[:, None] * _root(self._jet(theta).value))

    def directions(self, theta: Array) -> Array:
        """Return ∂Σ/∂θ, shape (n_theta, k, k)."""
        sds, c = self.deviations(theta), self._jet(theta)
        scaled = sds[:, None] * sds
        out = np.empty((self.n_theta, self.k, self.k))
        if self.homogeneous:
            out[0] = 2.0 * float(theta[0]) * c.value
        else:
            out[: self.k] = 0.0
            at = np.arange(self.k)
            out[at, at, :] += scaled * c.value
            out[at, :, at] += scaled * c.value
        out[self.n_sd :] = scaled * c.first
        return out

    def curvature(self, theta: Array, slope: Array) -> Array:
        """Return Σ_ij slope_ij ∂²Σ_ij/∂θ∂θ, shape (n_theta, n_theta)."""
        sds, c = self.deviations(theta), self._jet(theta)
        weighted = slope * sds[:, None] * sds
        m, s = self.n_sd, self.n_sd
        out = np.zeros((self.n_theta, self.n_theta))
        out[m:, m:] = np.einsum("abij,ij->ab", c.second, weighted)
        if self.homogeneous:
            out[0, 0] = 2.0 * float(np.sum(slope * c.value))
            out[0, s:] = 2.0 * float(theta[0]) * np.einsum("aij,ij->a", c.first, slope)
        else:
            products = weighted * c.value
            out[:m, :m] = products + products.T + np.diag(products.sum(axis=0) + products.sum(axis=1))
            mixed = c.first * weighted
            out[:m, m:] = (mixed.sum(axis=1) + mixed.sum(axis=2)).T
        out[m:, :m] = out[:m, m:].T
        return out

    def bend(self, theta: Array, a: int, b: int) -> Array:
        """Return ∂²Σ/∂θ_a∂θ_b, shape (k, k)."""
        sds, c, m = self.deviations(theta), self._jet(theta), self.n_sd
        scaled = sds[:, None] * sds
        a, b = min(a, b), max(a, b)
        if a >= m:
            return np.asarray(scaled * c.second[a - m, b - m])
        own = c.value if b < m else c.first[b - m]
        if self.homogeneous:
            return np.asarray(2.0 * own * (1.0 if b < m else float(theta[0])))
        at = np.eye(self.k)
        shares = np.add.outer(at[a], at[a]) * (np.add.outer(at[b], at[b]) if b < m else 1.0)
        return np.asarray(scaled * own * shares)

    def change_units(self, theta: Array, basis: Array) -> Array:
        """Return θ of T Σ Tᵀ for a diagonal T = `basis`, with equal elements if the structure is homogeneous."""
        out = np.array(theta, dtype=float)
        scales = np.diag(basis)
        if self.homogeneous:
            out[0] *= scales[0]
        else:
            present = out[: self.k] > LEAST_LOG_SD
            out[: self.k][present] += np.log(np.abs(scales))[present]
        return out

    def unit_slopes(self, basis: Array) -> Array:
        """Return the derivative of each element of `change_units` in the same element of θ, shape (n_theta,)."""
        out = np.ones(self.n_theta)
        if self.homogeneous:
            out[0] = basis[0, 0]
        return out

    def scaling(self, theta: Array) -> Array:
        """Return c with Σ_a c_a ∂Σ/∂θ_a = Σ, shape (n_theta,)."""
        out = np.zeros(self.n_theta)
        out[: self.n_sd] = 0.5 * float(theta[0]) if self.homogeneous else 0.5
        return out

    def natural_parameters(self, effects: Sequence[str]) -> tuple[Natural, ...]:
        """Return the natural parameters in the order of θ: standard deviations, then those of C."""
        if self.homogeneous:
            own = [Natural("sd", self.name, f"SD of each effect ({self.name})", 0.0, np.inf)]
        else:
            own = [Natural("sd", e, f"SD of {e}", 0.0, np.inf, i) for i, e in enumerate(effects)]
        return (*own, *self.shown)

    def natural(self, theta: Array) -> tuple[Array, Array]:
        """Return the natural parameters, standard deviations relative, and their derivatives in θ.

        Returns
        -------
        values : ndarray, shape (n_theta,)
            NaN for a parameter of C if all standard deviations are 0.
        slopes : ndarray, shape (n_theta, n_theta)
        """
        theta = np.asarray(theta, dtype=float)
        sds, m = self.deviations(theta), self.n_sd
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rest = self.natural_of(variables(theta[m:]))
        values = np.concatenate([sds[:m], [float(j.value) for j in rest]])
        slopes = np.zeros((self.n_theta, self.n_theta))
        if self.homogeneous:
            slopes[0, 0] = 1.0 if theta[0] >= 0 else -1.0
        else:
            slopes[:m, :m] = np.diag(sds)
        for i, jet in enumerate(rest):
            slopes[m + i, m:] = jet.first
        if not np.any(sds > 0):
            values[m:] = np.nan
        return values, slopes

    def limits(self, theta: Array) -> Iterator[tuple[Array, str]]:
        """Yield θ with one parameter moved to a boundary that is near, and what that means in words."""
        theta = np.asarray(theta, dtype=float)
        sds = self.deviations(theta)
        for i in range(self.n_sd):
            if sds[i] <= SMALL_SD:
                out = theta.copy()
                out[i] = 0.0 if self.homogeneous else LEAST_LOG_SD
                yield out, "no variance" if self.homogeneous else "an effect without variance"
        for position, value, words in self.correlation_limits(theta[self.n_sd :]):
            out = theta.copy()
            out[self.n_sd + position] = value
            yield out, words

    def boundary_words(self, theta: Array) -> str:
        """Return what is on the boundary in words; empty inside the parameter space."""
        return "; ".join(
            dict.fromkeys(words for at, words in self.limits(theta) if np.array_equal(at, np.asarray(theta)))
        )

    def on_boundary(self, theta: Array) -> BoolArray:
        """Return which elements of θ are exactly on the boundary, shape (n_theta,)."""
        theta = np.asarray(theta, dtype=float)
        out = np.zeros(self.n_theta, dtype=bool)
        sds = self.deviations(theta)[: self.n_sd]
        out[: self.n_sd] = sds == 0.0
        if not np.any(sds > 0.0):
            out[:] = True
        for position, value, _ in self.correlation_limits(theta[self.n_sd :]):
            out[self.n_sd + position] |= theta[self.n_sd + position] == value
        return out

    def principal(self, theta: Array) -> Array:
        """Return θ of the same Σ with a non-negative standard deviation and the parameters of C in their main range."""
        out = np.array(theta, dtype=float)
        if self.homogeneous:
            out[0] = abs(out[0])
        out[self.n_sd :] = self.principal_correlation(out[self.n_sd :])
        return out

    def principal_correlation(self, theta: Array) -> Array:
        """Return the parameters of C in their main range."""
        return np.asarray(np.arcsin(np.sin(theta)))

    def starts(self, sds: Array) -> list[Array]:
        """Return points to start a search from, given moment estimates of the relative SDs, shape (k,)."""
        return [self.theta_of(sds, rest) for rest in self.correlation_starts()]

    def derivative(self, theta: Array) -> Array:
        """Raise `ModelError`: θ ↦ λ is not linear; see `directions`."""
        raise ModelError(f"not available with the covariance structure '{self.name}'.")

    def theta_from(self, cov: Array) -> Array:
        """Raise `ModelError`: a general covariance matrix is not of this form."""
        raise ModelError(f"not available with the covariance structure '{self.name}'.")

    def theta_from_root(self, root: Array) -> Array:
        """Raise `ModelError`: a general covariance matrix is not of this form."""
        raise ModelError(f"not available with the covariance structure '{self.name}'.")

    def names(self, effects: Sequence[str]) -> tuple[str, ...]:
        """Return names of θ, which are those of the natural parameters with the scale of the search."""
        scale = "" if self.homogeneous else "log."
        return tuple(
            f"{scale if p.kind == 'sd' else ''}{p.kind}.{p.name}" for p in self.natural_parameters(effects)
        )


def near_angles(theta: Array, low: str, high: str) -> Iterator[tuple[int, float, str]]:
    """Yield `ScaledCorrelation.correlation_limits` of parameters that are angles (`interval`)."""
    for i, t in enumerate(theta):
        turns = round((float(t) - 0.5 * np.pi) / np.pi)
        edge = 0.5 * np.pi + turns * np.pi
        if abs(t - edge) <= SMALL_ANGLE:
            yield i, edge, high if turns % 2 == 0 else low


def _root(c: Array) -> Array:
    """Return the lower Cholesky factor of a correlation matrix; a symmetric root where it is singular."""
    try:
        return np.asarray(np.linalg.cholesky(c), dtype=float)
    except np.linalg.LinAlgError:
        if not np.all(np.isfinite(c)):
            return np.full(c.shape, np.nan)
        values, vectors = np.linalg.eigh(c)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
