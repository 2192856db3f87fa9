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

_ELSEWHERE = {
    "corar1": "AR1",
    "corcar1": "CAR1",
    "corarma": "ARMA",
    "corcompsymm": "CompoundSymmetry",
    "corsymm": "Unstructured",
    "corexp": "Exponential",
    "corgaus": "Gaussian",
    "corlin": "Linear",
    "corratio": "RationalQuadratic",
    "corspher": "Spherical",
    "cs": "CompoundSymmetry",
    "csh": 'CompoundSymmetry("group") * VarIdent("visit")',
    "un": "Unstructured",
    "us": "Unstructured",
    "toep": "Toeplitz",
    "toeph": 'Toeplitz("visit", "group") * VarIdent("visit")',
    "arh": 'AR1("visit", "group") * VarIdent("visit")',
    "ar1h": 'AR1("visit", "group") * VarIdent("visit")',
    "ante": "AnteDependence",
    "adh": "AnteDependence",
    "varcomb": "VarIdent(...) * VarPower(...)",
}
"""Names in nlme, mmrm and SAS, in small letters."""


def __getattr__(name: str) -> NoReturn:
    ours = {own.lower(): own for own in __all__}
    found = ours.get(name.lower()) or _ELSEWHERE.get(name.lower())
    hint = f"; use {found}" if found else f"; it has {', '.join(__all__)}"
    raise AttributeError(f"mixedfit.residuals has no {name!r}{hint}.")
