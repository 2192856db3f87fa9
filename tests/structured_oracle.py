"""Slow counterpart of structures of random effects: ZΩZᵀ, n × n, from natural parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import mixedfit as mf

__all__ = ["natural_covariance"]


def correlation(name: str, rest: list[float], k: int, places: Any) -> Any:
    """Return the textbook's correlation matrix of a structure."""
    lags = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    if name == "homdiag":
        return np.eye(k)
    if name in ("cs", "homcs"):
        return np.where(lags == 0, 1.0, rest[0])
    if name in ("ar1", "hetar1"):
        return rest[0] ** lags
    if name in ("toep", "homtoep"):
        return np.array([1.0, *rest])[lags]
    assert name == "ou"
    return np.exp(-rest[0] * np.abs(np.subtract.outer(places, places)))


def natural_covariance(fit: mf.MixedResults, p: Mapping[str, float]) -> Any:
    """Return ZΩZᵀ from the values of the parameters ``.sig01``, …; terms have effects at the places 0, 1, …."""
    design, out, number = fit._fit.design, np.zeros((fit.nobs, fit.nobs)), 0
    values = [value for name, value in p.items() if str(name).startswith(".sig") and name != ".sigma"]
    for block in design.blocks:
        omega = np.zeros((block.k, block.k))
        for part, _, e in block.structure.slices():
            own = values[number : number + part.n_theta]
            number += part.n_theta
            k = part.k
            if part.linear:
                assert k == 1
                omega[e, e] = own[0] ** 2
                continue
            hom = part.name in ("homdiag", "homcs", "ar1", "homtoep", "ou")
            sds = np.full(k, own[0]) if hom else np.array(own[:k])
            c = correlation(part.name, own[1 if hom else k :], k, np.arange(k))
            omega[e, e] = np.outer(sds, sds) * c
        same = block.codes[:, None] == block.codes
        out += np.where(same, block.z @ omega @ block.z.T, 0.0)
    return out
