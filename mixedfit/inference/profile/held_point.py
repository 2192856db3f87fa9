"""The criterion at one point of the free parameters, with one element of θ̃ a function of log σ² or held."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.likelihood.criterion import Evaluation
from mixedfit.likelihood.dense_tail import LARGE_TAIL

__all__ = ["HeldPoint"]


class HeldPoint:
    """A point of a search without one element of θ̃, by the chain rule through θ̃_a(s), s = log σ².

    Parameters
    ----------
    evaluation : Evaluation
        At the whole θ̃ and σ.
    at : int or None
        Position of the element that is not free; None if all are.
    with_s : bool
        Whether s is the last of the free parameters; else σ is held.
    slopes : (float, float)
        First and second derivative of the element in s.
    """

    def __init__(
        self, evaluation: Evaluation, at: int | None, with_s: bool, slopes: tuple[float, float]
    ) -> None:
        self.evaluation, self.at, self.with_s, self.slopes = evaluation, at, with_s, slopes
        self.value = evaluation.value

    def _contract(self, whole: Array) -> Array:
        """Return derivatives in the free parameters from those in (θ̃, s), along the last axis."""
        if self.at is None:
            return whole
        out = np.concatenate([whole[..., : self.at], whole[..., self.at + 1 :]], axis=-1)
        if self.with_s:
            out[..., -1] += self.slopes[0] * whole[..., self.at]
        return out

    @lazy
    def gradient(self) -> Array:
        """∂d/∂(free parameters)."""
        inner, tail = self.evaluation.gradient, self.evaluation.tail
        if self.with_s:
            inner = np.append(inner, self.evaluation.criterion.nu - tail.prss / self.evaluation.sigma_squared)
        return self._contract(inner)

    def _second(self, inner: Array) -> Array:
        whole = inner
        if self.with_s:
            size = inner.shape[0]
            whole = np.empty((size + 1, size + 1))
            whole[:size, :size] = inner
            whole[:size, size] = whole[size, :size] = self.evaluation.along
            whole[size, size] = self.evaluation.tail.prss / self.evaluation.sigma_squared
        out = self._contract(self._contract(whole).T)
        if self.with_s and self.at is not None:
            out[-1, -1] += self.slopes[1] * self.evaluation.gradient[self.at]
        return out

    @lazy
    def curvature(self) -> Array:
        """Average-information approximation to the second derivatives."""
        return self._second(self.evaluation.curvature)

    @lazy
    def exact_curvature(self) -> Array | None:
        """Second derivatives; None where they are expensive."""
        exact = self.evaluation.exact_curvature
        return None if exact is None else self._second(exact)

    def discard(self) -> None:
        """Compute the derivatives, then free large matrices."""
        if self.evaluation.tail.size > LARGE_TAIL:
            _ = self.gradient, self.curvature, self.exact_curvature
            self.evaluation.discard()
