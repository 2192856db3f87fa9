"""Monotone interpolation of a profile: ζ as a function of the parameter, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy

from .tracing import Point

__all__ = ["Curve"]


@dataclass(frozen=True, eq=False)
class Curve:
    """Piecewise cubic interpolation of ζ between the points of a profile, with their computed slopes.

    Slopes for which a cubic would not be monotone are reduced (Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17:238).

    Attributes
    ----------
    points : tuple of Point
        Points by ascending value, the estimate among them.
    low_end, high_end : float or None
        The end of the parameter's range, if ζ is constant between it and the first (last) point; else None.
    """

    points: tuple[Point, ...]
    low_end: float | None
    high_end: float | None

    @classmethod
    def through(cls, points: Sequence[Point], *, low_end: float | None, high_end: float | None) -> Curve:
        """Return the curve through points, without outer points at which ζ does not increase."""
        middle = next(i for i, p in enumerate(points) if p.zeta == 0.0)
        kept = [points[middle]]
        for p in points[middle + 1 :]:
            if p.zeta > kept[-1].zeta and p.value > kept[-1].value:
                kept.append(p)
        for p in reversed(points[:middle]):
            if p.zeta < kept[0].zeta and p.value < kept[0].value:
                kept.insert(0, p)
        return cls(tuple(kept), low_end, high_end)

    @lazy
    def _values(self) -> Array:
        return np.array([p.value for p in self.points])

    @lazy
    def _zetas(self) -> Array:
        return np.array([p.zeta for p in self.points])

    @lazy
    def _slopes(self) -> Array:
        """dζ/dψ at the points, within the bounds of a monotone cubic; unknown ones are means of adjacent secants."""
        slopes = np.array([p.slope for p in self.points])
        if slopes.size == 1:
            return slopes
        left, right = _secants(self._values, self._zetas)
        mean = 2.0 * left * right / (left + right)
        slopes = np.where(np.isfinite(slopes) & (slopes > 0), slopes, mean)
        return np.asarray(np.minimum(slopes, 3.0 * np.minimum(left, right)))

    def zeta(self, values: Array) -> Array:
        """Return ζ at values; NaN outside the points and the ends of the range."""
        out = _hermite(self._values, self._zetas, self._slopes, values)[0]
        if self.low_end is not None:
            out = np.where((values >= self.low_end) & (values < self._values[0]), self._zetas[0], out)
        if self.high_end is not None:
            out = np.where((values <= self.high_end) & (values > self._values[-1]), self._zetas[-1], out)
        return out

    def density(self, values: Array) -> Array:
        """Return φ(ζ) dζ/dψ at values; NaN outside the points."""
        zeta, slope = _hermite(self._values, self._zetas, self._slopes, values)
        return np.asarray(np.exp(-0.5 * zeta * zeta) / np.sqrt(2.0 * np.pi) * slope)

    def grid(self, count: int) -> Array:
        """Return `count` values from the first point to the last, equally spaced in ζ."""
        return self._inverse(np.linspace(self._zetas[0], self._zetas[-1], count))

    def _inverse(self, zetas: Array) -> Array:
        if self._zetas.size == 1:
            return np.full(zetas.shape, self._values[0])
        left, right = _secants(self._zetas, self._values)
        slopes = np.minimum(1.0 / self._slopes, 3.0 * np.minimum(left, right))
        return _hermite(self._zetas, self._values, slopes, zetas)[0]

    def limits(self, z: float) -> tuple[float, float]:
        """Return the values with ζ = −z and ζ = z; the end of the range if it comes first, NaN if points end before."""
        return self._limit(-z), self._limit(z)

    def _limit(self, z: float) -> float:
        """Return the value with ζ = z, by linear extrapolation if a point lies next to it."""
        near = self.points[int(np.argmin(np.abs(self._zetas - z)))]
        if abs(near.zeta - z) < 2e-4 and np.isfinite(near.slope) and near.slope > 0:
            return float(near.value + (z - near.zeta) / near.slope)
        if z < self._zetas[0]:
            return float("nan") if self.low_end is None else self.low_end
        if z > self._zetas[-1]:
            return float("nan") if self.high_end is None else self.high_end
        return float(self._inverse(np.array([z]))[0])


def _secants(x: Array, y: Array) -> tuple[Array, Array]:
    """Return the slopes of the secants to the left and to the right of each point; at the ends they are equal."""
    secants = np.diff(y) / np.diff(x)
    return np.concatenate([secants[:1], secants]), np.concatenate([secants, secants[-1:]])


def _hermite(x: Array, y: Array, slopes: Array, at: Array) -> tuple[Array, Array]:
    """Return the piecewise cubic with these values and slopes, and its derivative; NaN outside."""
    at = np.asarray(at, dtype=float)
    if x.size == 1:
        return np.where(at == x[0], y[0], np.nan), np.where(at == x[0], slopes[0], np.nan)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, x.size - 2)
    width = x[i + 1] - x[i]
    s = (at - x[i]) / width
    rise = y[i + 1] - y[i]
    a, b = slopes[i] * width, slopes[i + 1] * width
    value = y[i] + s * (a + s * (3.0 * rise - 2.0 * a - b + s * (a + b - 2.0 * rise)))
    slope = (a + s * (2.0 * (3.0 * rise - 2.0 * a - b) + 3.0 * s * (a + b - 2.0 * rise))) / width
    outside = (at < x[0]) | (at > x[-1])
    return np.where(outside, np.nan, value), np.where(outside, np.nan, slope)
