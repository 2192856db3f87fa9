"""Structures of the residual covariance, for ``mf.lmm(..., residual=...)``.

Var(ε) = σ² D C D: C is a correlation matrix within groups of rows, D the diagonal matrix of SD multipliers. A product
such as ``AR1("time", "g") * VarIdent("arm")`` has a correlation and one or more variance functions.
"""

from __future__ import annotations

from typing import NoReturn

from .antedependence import AnteDependence
from .ar1 import AR1
from .arma import ARMA
from .car1 import CAR1
from .compound_symmetry import CompoundSymmetry
from .known_rows import Known
from .names import in_python
from .spatial import Exponential, Gaussian, Linear, Matern, RationalQuadratic, Spherical
from .structure import Product, ResidualStructure
from .toeplitz import Toeplitz
from .unstructured import Unstructured
from .variances import VarConstPower, VarExp, VarFixed, VarIdent, VarPower

__all__ = [
    "AR1",
    "ARMA",
    "CAR1",
    "AnteDependence",
    "CompoundSymmetry",
    "Exponential",
    "Gaussian",
    "Known",
    "Linear",
    "Matern",
    "Product",
    "RationalQuadratic",
    "ResidualStructure",
    "Spherical",
    "Toeplitz",
    "Unstructured",
    "VarConstPower",
    "VarExp",
    "VarFixed",
    "VarIdent",
    "VarPower",
]


def __getattr__(name: str) -> NoReturn:
    ours = {own.lower(): own for own in __all__}
    found = ours.get(name.lower()) or in_python(name)
    hint = f"; use {found}" if found else f"; it has {', '.join(__all__)}"
    raise AttributeError(f"mixedfit.residuals has no {name!r}{hint}.")
