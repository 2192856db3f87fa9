"""Correlations that fall with the distance of two rows: C_st = (1 − n) ρ(d_st/r) for s ≠ t, with range r and nugget n.

| structure | ρ(h) |
|---|---|
| Exponential | exp(−h) |
| Gaussian | exp(−h²) |
| Linear (one dimension) | 1 − h, 0 beyond 1 |
| RationalQuadratic | 1/(1 + h²) |
| Spherical | 1 − 1.5h + 0.5h³, 0 beyond 1 |
| Matern(nu) | h^ν K_ν(h) 2^(1 − ν)/Γ(ν) |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.options import check_one_of

from .car1 import RateLaw
from .correlation import CorrelationStructure
from .parts import CorrelationLaw, Layout, Natural
from .patterns import PatternRoot, Patterns

__all__ = ["Exponential", "Gaussian", "Linear", "Matern", "RationalQuadratic", "Spherical"]

METRICS = ("euclidean", "manhattan")


@dataclass(frozen=True)
class _Spatial(CorrelationStructure):
    coordinates: str | tuple[str, ...] = ()
    group: str | None = None
    nugget: bool = False
    metric: str = "euclidean"
    by: str | None = None
    kind: ClassVar[str] = "coordinates"

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.coordinates, list):
            object.__setattr__(self, "coordinates", tuple(self.coordinates))
        if not self.place:
            raise ModelError(f'{name} needs coordinates: one column, or several as ("x", "y").')
        super().__post_init__()
        if not isinstance(self.nugget, bool):
            raise ModelError(
                f"{name}: nugget is {self.nugget!r}; expected True, to estimate a nugget, or False. A nugget cannot be "
                "held at a value."
            )
        check_one_of(f"{name}: metric", self.metric, METRICS)

    @property
    def place(self) -> tuple[str, ...]:
        """The columns of the coordinates."""
        return (self.coordinates,) if isinstance(self.coordinates, str) else tuple(self.coordinates)

    def at(self, h: Array) -> Array:
        """Return ρ(h)."""
        raise NotImplementedError

    def fall(self, h: Array) -> Array:
        """Return −hρ'(h), the derivative of ρ(d/r) by log r."""
        raise NotImplementedError

    def law(self, layout: Layout) -> CorrelationLaw:
        """Return the correlations on a layout."""
        return SpatialLaw(self, layout)


@dataclass(frozen=True)
class Exponential(_Spatial):
    """cor = (1 − n) exp(−d/r) at distance d.

    Parameters
    ----------
    coordinates : str or tuple of str
        Columns with the coordinates (a date counts in days).
    group : str, optional
        As of `AR1`; rows of different groups are not correlated.
    nugget : bool
        Whether to estimate a nugget n: the share of the variance that nearby rows do not share.
    metric : {"euclidean", "manhattan"}
    by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(Exponential(("latitude", "longitude"), nugget=True))
    Exponential(coordinates=('latitude', 'longitude'), nugget=True)
    """

    formula: ClassVar[str] = "cor(d) = (1 - nugget) exp(-d/range)"

    def at(self, h: Array) -> Array:
        """Return exp(−h)."""
        return np.asarray(np.exp(-h))

    def fall(self, h: Array) -> Array:
        """Return h exp(−h)."""
        return np.asarray(h * np.exp(-h))

    def law(self, layout: Layout) -> CorrelationLaw:
        """Return the correlations on a layout: in one dimension without a nugget those of `CAR1`."""
        if len(self.place) == 1 and not self.nugget:
            return RateLaw(layout, as_range=True)
        return SpatialLaw(self, layout)


@dataclass(frozen=True)
class Gaussian(_Spatial):
    """cor = (1 − n) exp(−(d/r)²) at distance d; parameters as of `Exponential`.

    Examples
    --------
    >>> print(Gaussian("Time", "Rat"))
    Gaussian(coordinates='Time', group='Rat')
    """

    formula: ClassVar[str] = "cor(d) = (1 - nugget) exp(-(d/range)^2)"

    def at(self, h: Array) -> Array:
        """Return exp(−h²)."""
        return np.asarray(np.exp(-h * h))

    def fall(self, h: Array) -> Array:
        """Return 2h² exp(−h²)."""
        return np.asarray(2.0 * h * h * np.exp(-h * h))


@dataclass(frozen=True)
class Linear(_Spatial):
    """cor = (1 − n)(1 − d/r) up to the distance r, 0 beyond; one dimension only; parameters as of `Exponential`.

    In two dimensions this law is no correlation: its matrix can have negative eigenvalues.

    Examples
    --------
    >>> print(Linear("Time", "Rat"))
    Linear(coordinates='Time', group='Rat')
    """

    formula: ClassVar[str] = "cor(d) = (1 - nugget) (1 - d/range) for d < range"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.place) > 1:
            raise ModelError(
                f"Linear has {len(self.place)} coordinates; the linear law is a correlation in one dimension only. "
                "Take Spherical, its like in up to three dimensions."
            )

    def at(self, h: Array) -> Array:
        """Return 1 − h, 0 beyond 1."""
        return np.maximum(1.0 - h, 0.0)

    def fall(self, h: Array) -> Array:
        """Return h, 0 beyond 1."""
        return np.where(h < 1.0, h, 0.0)


@dataclass(frozen=True)
class RationalQuadratic(_Spatial):
    """cor = (1 − n)/(1 + (d/r)²) at distance d; parameters as of `Exponential`.

    Examples
    --------
    >>> print(RationalQuadratic("Time", "Rat"))
    RationalQuadratic(coordinates='Time', group='Rat')
    """

    formula: ClassVar[str] = "cor(d) = (1 - nugget) / (1 + (d/range)^2)"

    def at(self, h: Array) -> Array:
        """Return 1/(1 + h²)."""
        return np.asarray(1.0 / (1.0 + h * h))

    def fall(self, h: Array) -> Array:
        """Return 2h²/(1 + h²)²."""
        return np.asarray(2.0 * h * h / (1.0 + h * h) ** 2)


@dataclass(frozen=True)
class Spherical(_Spatial):
    """cor = (1 − n)(1 − 1.5 d/r + 0.5 (d/r)³) up to the distance r, 0 beyond; parameters as of `Exponential`.

    Up to three dimensions.

    Examples
    --------
    >>> print(Spherical(("x", "y")))
    Spherical(coordinates=('x', 'y'))
    """

    formula: ClassVar[str] = "cor(d) = (1 - nugget) (1 - 1.5 d/range + 0.5 (d/range)^3) for d < range"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.place) > 3 or self.metric != "euclidean":
            raise ModelError(
                "Spherical is a correlation for Euclidean distances in up to three dimensions; take Exponential."
            )

    def at(self, h: Array) -> Array:
        """Return 1 − 1.5h + 0.5h³, 0 beyond 1."""
        inner = np.minimum(h, 1.0)
        return np.asarray(1.0 - 1.5 * inner + 0.5 * inner**3)

    def fall(self, h: Array) -> Array:
        """Return 1.5(h − h³), 0 beyond 1."""
        inner = np.minimum(h, 1.0)
        return np.asarray(1.5 * (inner - inner**3))


@dataclass(frozen=True)
class Matern(_Spatial):
    """cor = (1 − n) h^ν K_ν(h) 2^(1 − ν)/Γ(ν) with h = d/r; other parameters as of `Exponential`.

    Parameters
    ----------
    nu : float
        Smoothness ν: 0.5 is `Exponential`; the larger, the smoother.

    Examples
    --------
    >>> print(Matern(("x", "y"), nu=1.5))
    Matern(coordinates=('x', 'y'))
    """

    nu: float = 1.5
    formula: ClassVar[str] = "cor(h = d/range) = (1 - nugget) h^nu K_nu(h) 2^(1 - nu) / Gamma(nu)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.nu, bool) or not isinstance(self.nu, int | float) or not 0.0 < self.nu <= 50.0:
            raise ModelError(
                f"Matern: nu is {self.nu!r}; expected a number above 0, at most 50, such as 1.5."
            )

    def _bessel(self, h: Array, order: float) -> Array:
        inner = np.maximum(h, 1e-12)
        with np.errstate(over="ignore", invalid="ignore"):
            logs = self.nu * np.log(inner) + np.log(special.kve(order, inner)) - inner
        return np.asarray(np.exp(logs - (self.nu - 1.0) * np.log(2.0) - special.gammaln(self.nu)))

    def at(self, h: Array) -> Array:
        """Return ρ(h)."""
        return np.where(h < 1e-10, 1.0, self._bessel(h, self.nu))

    def fall(self, h: Array) -> Array:
        """Return h^(ν + 1) K_(ν − 1)(h) 2^(1 − ν)/Γ(ν)."""
        return np.where(h < 1e-10, 0.0, h * self._bessel(h, self.nu - 1.0))


class SpatialLaw:
    """r = u eˣ with u the median distance; n = 1/(1 + e⁻ʸ).

    Parameters
    ----------
    structure : structure with `at` and `fall`
    layout : Layout
    """

    def __init__(self, structure: Any, layout: Layout) -> None:
        self.structure, self.layout = structure, layout
        self.patterns = Patterns(layout, shift=True)
        self.distances = [self._distances(own.places) for own in self.patterns.classes]
        apart = np.concatenate([d[d > 0] for d in self.distances])
        if apart.size == 0:
            raise ModelError(
                f"{structure}: no group has rows at two places; there is no correlation to estimate."
            )
        self.unit, self.shortest, self.farthest = (
            float(np.median(apart)),
            float(apart.min()),
            float(apart.max()),
        )
        self._check_places(apart)
        ranges, nuggets = ((-1.5, -0.5, 0.5), (-1.5, 0.5)) if structure.nugget else ((-1.5, -0.5, 0.5), ())
        grid = [np.array([r, *n]) for r in ranges for n in ([[v] for v in nuggets] or [[]])]
        self.start, self.further_starts = grid[0], grid[1:]

    def _distances(self, places: Array) -> Array:
        apart = places[:, :, None, :] - places[:, None, :, :]
        if self.structure.metric == "manhattan":
            return np.asarray(np.abs(apart).sum(axis=-1))
        return np.asarray(np.sqrt((apart**2).sum(axis=-1)))

    def _check_places(self, apart: Array) -> None:
        """Raise an error if two rows of a group have the same place and there is no nugget."""
        if self.structure.nugget:
            return
        for own, distances in zip(self.patterns.classes, self.distances, strict=True):
            m = distances.shape[1]
            same = (distances == 0) & ~np.eye(m, dtype=bool)
            if same.any():
                pattern, i, j = (int(v[0]) for v in np.nonzero(same))
                rows = own.rows[own.ends[pattern]][[i, j]]
                names = ", ".join(self.structure.place)
                raise DataError(
                    f"{self.structure}: rows {int(self.layout.order[rows[0]])} and {int(self.layout.order[rows[1]])} "
                    f"of a group have the same {names}, so that their residuals would be equal. Give nugget=True."
                )

    def _values(self, x: Array, distances: Array) -> tuple[Array, list[Array]]:
        """Return C and ∂C/∂x for distances whose 0s are on the diagonal or of rows at one place."""
        h = distances / (self.unit * np.exp(x[0]))
        off = ~np.broadcast_to(np.eye(h.shape[-1], dtype=bool), h.shape)
        nugget = 1.0 / (1.0 + np.exp(-x[1])) if x.size > 1 else 0.0
        plain = self.structure.at(h)
        value = np.where(off, (1.0 - nugget) * plain, 1.0)
        slopes = [np.where(off, (1.0 - nugget) * self.structure.fall(h), 0.0)]
        if x.size > 1:
            slopes.append(np.where(off, -nugget * (1.0 - nugget) * plain, 0.0))
        return value, slopes

    def root(self, x: Array) -> PatternRoot:
        """Return the factor at x."""
        both = [self._values(x, d) for d in self.distances]
        return PatternRoot(self.patterns, [value for value, _ in both], lambda k: np.array(both[k][1]))

    def natural(self, x: Array) -> list[Natural]:
        """Return range and nugget."""
        size = self.unit * float(np.exp(x[0]))
        near = float(self.structure.at(np.array([self.shortest / size]))[0])
        out = [Natural("range", size, 0.0, np.inf, 20.0 * self.farthest, nearest=near)]
        if x.size > 1:
            out.append(Natural("nugget", 1.0 / (1.0 + float(np.exp(-x[1]))), 0.0, 1.0))
        return out

    def matrix(self, x: Array, place: Array) -> Array:
        """Return the correlations of rows at given places."""
        return np.asarray(self._values(x, self._distances(place[None]))[0][0])
