"""Which priors were given instead of the defaults, as mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .placement import Placement
from .positive_priors import Gamma

__all__ = ["given_priors"]


def given_priors(priors: Mapping[str, Any] | None, placement: Placement) -> tuple[str, ...]:
    """Return the statements of the priors that were given, in the order fixed effects, variances, σ, ν.

    Parameters
    ----------
    priors : mapping of str to prior, or None
        Checked by `place_priors` and `place_shape`.
    placement : Placement
    """
    given = {str(key).strip(): prior for key, prior in (priors or {}).items()}
    units = [unit for unit in placement.units if unit.given]
    out = []
    for key, prior in given.items():
        stated = prior.about("β" if key == "fixed" else f"β[{key}]")
        if stated in placement.fixed:
            out.append(stated)
    out += [str(unit) for unit in units]
    typical = "σ₀²" if isinstance(given.get("sigma0"), Gamma) else "σ₀"
    symbols = {"sigma": "σ", "sigma0": typical, "nu0": "ν₀", "nu": "ν"}
    out += [prior.about(symbols[key]) for key, prior in given.items() if key in symbols]
    out += [prior.about(f"ν[{key[3:]}]") for key, prior in given.items() if key.startswith("nu|")]
    return tuple(out)
