"""Mixed autoregression and moving average of orders p and q.

ε_t = φ₁ε_{t−1} + … + φ_pε_{t−p} + e_t + θ₁e_{t−1} + … + θ_qe_{t−q}, stationary and invertible; C_st is its
autocorrelation at |s − t|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.options import check_count

from .correlation import CorrelationStructure
from .parts import Layout, Natural
from .toeplitz import LagLaw, from_partials

__all__ = ["ARMA"]


@dataclass(frozen=True)
class ARMA(CorrelationStructure):
    """Autoregression of order p with a moving average of order q, for times in whole numbers.

    Parameters
    ----------
    p, q : int
        At least one of them above 0. The signs of θ are those of R: e_t + θe_{t−1}.
    time, group, by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(ARMA(1, 1, group="Mare"))
    ARMA(p=1, q=1, group='Mare')
    """

    p: int = 0
    q: int = 0
    time: str | None = None
    group: str | None = None
    by: str | None = None
    formula: ClassVar[str] = "autocorrelation of e_t = sum phi_i e_(t-i) + a_t + sum theta_j a_(t-j)"

    def __post_init__(self) -> None:
        for name in ("p", "q"):
            check_count(f"ARMA: {name}", getattr(self, name), 0)
        if self.p + self.q == 0:
            raise ModelError("ARMA(0, 0) has no correlation; give p or q above 0, such as ARMA(1, 1).")
        super().__post_init__()

    def law(self, layout: Layout) -> ARMALaw:
        """Return the correlations on a layout."""
        return ARMALaw(layout, self.p, self.q)


class ARMALaw(LagLaw):
    """Partial autocorrelations tanh x of φ, and of −θ."""

    def __init__(self, layout: Layout, p: int, q: int) -> None:
        gaps = layout.gaps[layout.gaps > 0]
        if gaps.size and gaps.min() > 1:
            raise DataError(
                f"ARMA({p}, {q}): times are at least {gaps.min():g} apart, so that no two rows of a group are "
                "neighbours. Number the times 1, 2, 3, …, or leave time out to take the order of rows."
            )
        super().__init__(layout, p + q)
        self.p, self.q = p, q
        self.start = np.concatenate([np.full(p, 0.2), np.full(q, -0.1)])
        self.further_starts = (np.concatenate([np.full(p, 0.7), np.full(q, 0.3)]),) if p and q else ()

    def coefficients(self, x: Any) -> tuple[Any, Any]:
        """Return φ and θ."""
        partial = np.tanh(x)
        return from_partials(partial[: self.p]), -from_partials(partial[self.p :])

    def by_lag(self, x: Any, last: int) -> Any:
        """Return the autocorrelations, from the equations of Yule and Walker with the moving average on the right."""
        phi, theta = self.coefficients(x)
        size = max(self.p, self.q) + 1
        psi = np.zeros(self.q + 1, dtype=phi.dtype)
        one = np.concatenate([[1.0], theta])
        for k in range(self.q + 1):
            own = one[k] + sum(phi[i] * psi[k - 1 - i] for i in range(min(self.p, k)))
            psi[k] = own
        left = np.zeros((size, size), dtype=phi.dtype)
        right = np.zeros(size, dtype=phi.dtype)
        for k in range(size):
            left[k, k] += 1.0
            for i in range(self.p):
                left[k, abs(k - 1 - i)] -= phi[i]
            right[k] = sum(one[j] * psi[j - k] for j in range(k, self.q + 1))
        gamma = np.zeros(max(last + 1, size), dtype=phi.dtype)
        gamma[:size] = np.linalg.solve(left, right)
        for k in range(size, last + 1):
            gamma[k] = phi @ gamma[k - 1 : k - 1 - self.p : -1] if self.p < k else phi @ gamma[k - 1 :: -1]
        return gamma[: last + 1] / gamma[0]

    def natural(self, x: Array) -> list[Natural]:
        """Return φ and θ."""
        phi, theta = self.coefficients(x)
        named = [("phi", i, v) for i, v in enumerate(phi, 1)] + [
            ("theta", i, v) for i, v in enumerate(theta, 1)
        ]
        return [Natural(f"{name}{i}", float(v), -np.inf, np.inf) for name, i, v in named]
