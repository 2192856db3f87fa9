"""Residual parameters at which one of them, on the scale for people, has a value."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from mixedfit.core.arrays import Array
from mixedfit.covariance.residual.model import ResidualModel

__all__ = ["HeldSurface"]

LONGEST = 60.0
"""Distance up to which x is moved to reach a value; parameters are logarithms and inverse hyperbolic tangents."""


class HeldSurface:
    """The x with g(x) = value for a natural parameter g, as a function of coordinates z that are one fewer.

    x = x₀ + Qz + t(z) q with q along the gradient of g at x₀, Q orthogonal to it, and t from g(x) = value. So
    ∂t/∂z = −Qᵀ∇g / qᵀ∇g. A parameter that is a function of one element of x has this element for q.

    Parameters
    ----------
    model : ResidualModel
    position : int
        Of the natural parameter.
    value : float
    near : ndarray, shape (parameters,)
        Moved along the gradient to x₀ on the surface.

    Raises
    ------
    FloatingPointError
        If the value is not reached.
    """

    def __init__(self, model: ResidualModel, position: int, value: float, near: Array) -> None:
        self.model, self.position, self.value = model, position, value
        self._along(near)
        self.origin = self._reached(near)
        self._along(self.origin)

    def _along(self, x: Array) -> None:
        slopes = self._slopes(x)
        length = float(np.linalg.norm(slopes))
        if not (np.isfinite(length) and length > 0.0):
            raise FloatingPointError("a residual parameter is at its limit")
        self.normal = np.where(np.abs(slopes) > 1e-7 * np.abs(slopes).max(), slopes, 0.0) / length
        self.normal /= np.linalg.norm(self.normal)
        complete = np.linalg.qr(np.column_stack([self.normal, np.eye(x.size)]))[0]
        self.across = np.asarray(complete[:, 1 : x.size])

    def _slopes(self, x: Array) -> Array:
        return np.asarray(self.model.natural_slopes(x)[self.position])

    def _gap(self, x: Array) -> float:
        return float(self.model.natural(x)[self.position].value) - self.value

    def _reached(self, x: Array) -> Array:
        """Return the point on the surface along q from x."""
        gap, end = self._gap(x), 0.0
        if gap == 0.0:
            return x
        sign, step = -np.sign(gap), 0.05
        while abs(end) < LONGEST:
            before, end = end, end + sign * step
            ahead = self._gap(x + end * self.normal)
            if np.isfinite(ahead) and ahead * gap <= 0.0:
                found = brentq(lambda t: self._gap(x + t * self.normal), before, end, xtol=1e-14, rtol=1e-14)
                return np.asarray(x + found * self.normal)
            step *= 2.0
        raise FloatingPointError("a residual parameter does not reach a value")

    def at(self, z: Array) -> Array:
        """Return x, shape (parameters,)."""
        return self._reached(self.origin + self.across @ z)

    def gradient(self, x: Array, slopes: Array) -> Array:
        """Return ∂d/∂z from ∂d/∂x."""
        own = self._slopes(x)
        return np.asarray(self.across.T @ (slopes - own * (self.normal @ slopes) / (self.normal @ own)))

    def slope(self, x: Array, slopes: Array) -> float:
        """Return ∂d/∂value from ∂d/∂x, at a minimum over z."""
        return float(self.normal @ slopes / (self.normal @ self._slopes(x)))
