"""Names of residual structures in nlme, mmrm, glmmTMB and SAS, and the structures of mixedfit that they are."""

from __future__ import annotations

__all__ = ["HETEROGENEOUS", "OTHER_NAMES", "in_python"]

OTHER_NAMES = {
    "ad": "AnteDependence",
    "adh": "AnteDependence",
    "ante": "AnteDependence",
    "ar": "AR1",
    "ar1h": "AR1",
    "arh": "AR1",
    "corar1": "AR1",
    "corarma": "ARMA",
    "corcar1": "CAR1",
    "corcompsymm": "CompoundSymmetry",
    "corexp": "Exponential",
    "corgaus": "Gaussian",
    "corlin": "Linear",
    "corratio": "RationalQuadratic",
    "corspher": "Spherical",
    "corsymm": "Unstructured",
    "cs": "CompoundSymmetry",
    "csh": "CompoundSymmetry",
    "hetar1": "AR1",
    "homcs": "CompoundSymmetry",
    "homtoep": "Toeplitz",
    "ou": "CAR1",
    "sp_exp": "Exponential",
    "toep": "Toeplitz",
    "toeph": "Toeplitz",
    "un": "Unstructured",
    "us": "Unstructured",
}
"""Names in small letters. ``cs`` and ``toep`` are mmrm's and SAS's, with one SD; glmmTMB's have one for each visit."""

HETEROGENEOUS = ("adh", "ante", "ar1h", "arh", "csh", "hetar1", "toeph")
"""Names that stand for a correlation times an SD for each visit."""


def in_python(name: str) -> str | None:
    """Return what to write for a name of another program, or None.

    Examples
    --------
    >>> in_python("toeph"), in_python("corAR1"), in_python("corABC")
    ('Toeplitz("visit", "group") * VarIdent("visit")', 'AR1', None)
    """
    key = name.lower()
    if key == "varcomb":
        return "VarIdent(...) * VarPower(...)"
    ours = OTHER_NAMES.get(key)
    if ours is None or key not in HETEROGENEOUS:
        return ours
    arguments = '"group"' if ours == "CompoundSymmetry" else '"visit", "group"'
    return f'{ours}({arguments}) * VarIdent("visit")'
