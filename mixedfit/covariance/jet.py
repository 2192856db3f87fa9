"""Second-order Taylor coefficients: values with exact first and second derivatives in a few parameters.

Griewank & Walther (2008), Evaluating Derivatives, chapter 13 (forward propagation). A structure writes its textbook
matrix once, with `Jet`s for its parameters, and has exact derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array

__all__ = ["Jet", "cosine", "exponential", "sine", "variables"]


@dataclass(frozen=True, eq=False)
class Jet:
    """An array f(θ) with its derivatives in θ.

    Attributes
    ----------
    value : ndarray, shape (…)
    first : ndarray, shape (m, …)
        ∂f/∂θ_a.
    second : ndarray, shape (m, m, …)
        ∂²f/∂θ_a∂θ_b.
    """

    value: Array
    first: Array
    second: Array

    __array_ufunc__ = None  # numpy arrays leave operators with a Jet to the Jet

    def __add__(self, other: Any) -> Jet:
        if isinstance(other, Jet):
            return Jet(self.value + other.value, self.first + other.first, self.second + other.second)
        value = self.value + np.asarray(other, dtype=float)
        shape = value.shape
        m = len(self.first)
        return Jet(value, _spread(self.first, (m,), shape), _spread(self.second, (m, m), shape))

    __radd__ = __add__

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            other = np.asarray(other, dtype=float)
            return Jet(self.value * other, _times(self.first, other, 1), _times(self.second, other, 2))
        first = _times(self.first, other.value, 1) + _times(other.first, self.value, 1)
        m, shape = len(first), first.shape[1:]
        one, two = _spread(self.first, (m,), shape), _spread(other.first, (m,), shape)
        cross = one[:, None] * two[None]
        second = _times(self.second, other.value, 2) + _times(other.second, self.value, 2)
        return Jet(self.value * other.value, first, second + cross + cross.swapaxes(0, 1))

    __rmul__ = __mul__

    def __neg__(self) -> Jet:
        return Jet(-self.value, -self.first, -self.second)

    def __sub__(self, other: Any) -> Jet:
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Jet:
        return self.__neg__().__add__(other)

    def __truediv__(self, other: Any) -> Jet:
        return self.__mul__(1.0 / np.asarray(other, dtype=float))

    def __rtruediv__(self, other: Any) -> Jet:
        inverse = self.apply(1.0 / self.value, -1.0 / self.value**2, 2.0 / self.value**3)
        return inverse.__mul__(other)

    def power(self, exponents: Any) -> Jet:
        """Return the jet to constant non-negative integer powers, with 0⁰ = 1."""
        e, x = np.asarray(exponents, dtype=float), self.value
        slope = e * x ** np.maximum(e - 1.0, 0.0)
        bend = e * (e - 1.0) * x ** np.maximum(e - 2.0, 0.0)
        return self.apply(x**e, slope, bend)

    def apply(self, value: Any, slope: Any, bend: Any) -> Jet:
        """Return g of the jet, given g, g′ and g″ at its value (chain rule); they may have a larger shape."""
        value, slope, bend = (np.asarray(v, dtype=float) for v in (value, slope, bend))
        outer = self.first[:, None] * self.first[None]
        return Jet(
            value, _times(self.first, slope, 1), _times(outer, bend, 2) + _times(self.second, slope, 2)
        )


def _spread(array: Array, lead: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Return derivatives broadcast to the shape of a value."""
    own = array.shape[len(lead) :]
    padded = array.reshape(*lead, *(1,) * (len(shape) - len(own)), *own)
    return np.broadcast_to(padded, (*lead, *shape))


def _times(array: Array, factor: Any, lead: int) -> Array:
    """Return derivatives with `lead` leading axes times an array with the shape of a value."""
    factor = np.asarray(factor)
    shape = np.broadcast_shapes(array.shape[lead:], factor.shape)
    return np.asarray(_spread(array, array.shape[:lead], shape) * factor)


def variables(theta: Array) -> list[Jet]:
    """Return each element of θ as a jet in all of θ."""
    m = len(theta)
    return [Jet(np.asarray(float(t)), np.eye(m)[i], np.zeros((m, m))) for i, t in enumerate(theta)]


def exponential(x: Jet) -> Jet:
    """Return eˣ."""
    value = np.exp(x.value)
    return x.apply(value, value, value)


def sine(x: Jet) -> Jet:
    """Return sin x."""
    value = np.sin(x.value)
    return x.apply(value, np.cos(x.value), -value)


def cosine(x: Jet) -> Jet:
    """Return cos x."""
    value = np.cos(x.value)
    return x.apply(value, -np.sin(x.value), -value)
