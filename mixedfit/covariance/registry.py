"""Structures by the name that they have in formulas and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .autoregressive import Autoregressive
from .compound_symmetry import CompoundSymmetry
from .contract import CovarianceStructure
from .diagonal import Diagonal
from .exponential import Exponential
from .gaussian import Gaussian
from .homogeneous_diagonal import HomogeneousDiagonal
from .matern import Matern
from .ornstein_uhlenbeck import OrnsteinUhlenbeck
from .toeplitz import Toeplitz
from .unstructured import Unstructured

__all__ = ["STRUCTURES", "structure_from", "structure_record"]

Places = Sequence[Any]

STRUCTURES: dict[str, Callable[[int, Places], CovarianceStructure]] = {
    "us": lambda k, places: Unstructured(k),
    "diag": lambda k, places: Diagonal(k),
    "homdiag": lambda k, places: HomogeneousDiagonal(k),
    "cs": lambda k, places: CompoundSymmetry(k, False),
    "homcs": lambda k, places: CompoundSymmetry(k, True),
    "ar1": lambda k, places: Autoregressive(k, True, tuple(int(t) for t in places)),
    "hetar1": lambda k, places: Autoregressive(k, False, tuple(int(t) for t in places)),
    "toep": lambda k, places: Toeplitz(k, False),
    "homtoep": lambda k, places: Toeplitz(k, True),
    "ou": lambda k, places: OrnsteinUhlenbeck(k, True, _points(places)),
    "exp": lambda k, places: Exponential(k, True, _points(places)),
    "gau": lambda k, places: Gaussian(k, True, _points(places)),
    "mat": lambda k, places: Matern(k, True, _points(places)),
}
"""Name → function of the number of effects and their places (integer times, or coordinates) that builds it."""


def _points(places: Places) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(c) for c in point) for point in places)


def structure_record(structure: CovarianceStructure) -> list[Any]:
    """Return name, number of effects and places of a structure, as JSON values."""
    places: Places = getattr(structure, "steps", ()) or getattr(structure, "points", ())
    return [structure.name, structure.k, [list(p) if isinstance(p, tuple) else p for p in places]]


def structure_from(record: Sequence[Any]) -> CovarianceStructure:
    """Return the structure of a record written by `structure_record`."""
    name, k, *places = record
    return STRUCTURES[name](int(k), places[0] if places else ())
