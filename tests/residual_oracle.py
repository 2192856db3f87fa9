"""Slow counterparts of residual structures: textbook matrices from natural parameters, and the n × n density.

Nothing here knows how the package computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import gamma, kv

import mixedfit as mf

__all__ = ["dense_criterion", "residual_covariance", "textbook"]


def arma_correlations(phi: Any, theta: Any, lags: int) -> Any:
    """Return autocorrelations from 4,000 terms of the moving average of infinite order."""
    psi = np.zeros(4000)
    one = [1.0, *theta]
    for k in range(psi.size):
        psi[k] = (one[k] if k < len(one) else 0.0) + sum(
            phi[i] * psi[k - 1 - i] for i in range(min(len(phi), k))
        )
    covariances = np.array([psi[: psi.size - k] @ psi[k:] for k in range(lags + 1)])
    return covariances / covariances[0]


def matern(h: Any, nu: float) -> Any:
    inner = np.where(h > 0, h, 1.0)
    return np.where(h > 0, inner**nu * kv(nu, inner) * 2 ** (1 - nu) / gamma(nu), 1.0)


LAWS: dict[str, Callable[[Any], Any]] = {
    "Exponential": lambda h: np.exp(-h),
    "Gaussian": lambda h: np.exp(-(h**2)),
    "Linear": lambda h: np.maximum(1 - h, 0),
    "RationalQuadratic": lambda h: 1 / (1 + h**2),
    "Spherical": lambda h: np.where(h < 1, 1 - 1.5 * h + 0.5 * h**3, 0),
}


def textbook(structure: Any, p: Mapping[str, float], one: Any, other: Any, labels: list[str]) -> float:
    """Return the correlation of two different rows of a group from natural parameters p; rows are mappings."""
    name = type(structure).__name__
    if name == "CompoundSymmetry":
        return p["rho"]
    if name == "Known":
        V, i, j = structure.matrix.covariance, one[structure.row], other[structure.row]
        return float(V.loc[i, j] / np.sqrt(V.loc[i, i] * V.loc[j, j]))
    if name in ("AR1", "CAR1"):
        return float(p["phi"] ** abs(one[structure.time] - other[structure.time]))
    if name == "ARMA":
        phi = [p[f"phi{i}"] for i in range(1, structure.p + 1)]
        theta = [p[f"theta{i}"] for i in range(1, structure.q + 1)]
        lag = int(abs(one[structure.time] - other[structure.time]))
        return float(arma_correlations(phi, theta, lag)[lag])
    if name in ("Unstructured", "Toeplitz", "AnteDependence"):
        i, j = sorted(labels.index(str(row[structure.visit])) for row in (one, other))
        if name == "Toeplitz":
            return p[f"rho{j - i}"]
        if name == "Unstructured":
            return p[f"cor({labels[i]},{labels[j]})"]
        return float(np.prod([p[f"cor({labels[r]},{labels[r + 1]})"] for r in range(i, j)]))
    apart = np.array([one[c] - other[c] for c in structure.place])
    distance = np.abs(apart).sum() if structure.metric == "manhattan" else np.sqrt((apart**2).sum())
    h = distance / p["range"]
    value = matern(h, structure.nu) if name == "Matern" else LAWS[name](h)
    return float((1 - p.get("nugget", 0.0)) * value)


def of_level(structure: Any, p: Mapping[str, float], row: Any) -> Mapping[str, float]:
    """Return the parameters of a row's level of `by`."""
    if getattr(structure, "by", None) is None:
        return p
    end = f"[{row[structure.by]}]"
    return {name.removesuffix(end): value for name, value in p.items() if name.endswith(end)}


def multiplier(structure: Any, p: Mapping[str, float], row: Any, baseline: str) -> float:
    """Return the SD multiplier of a row for one variance function."""
    name = type(structure).__name__
    if name == "VarIdent":
        level = ":".join(str(row[column]) for column in structure.own_columns)
        return 1.0 if level == baseline else p[f"ratio({level})"]
    if name == "KnownVariances":
        label = row[structure.row]
        return float(np.sqrt(structure.matrix.covariance.loc[label, label]))
    v = row[structure.of]
    values = {
        "VarPower": lambda: abs(v) ** p["power"],
        "VarConstPower": lambda: p["const"] + abs(v) ** p["power"],
        "VarExp": lambda: np.exp(p["expon"] * v),
        "VarFixed": lambda: np.sqrt(v),
    }
    return float(values[name]())


def residual_covariance(structure: Any, data: Any, group: str | None, p: Mapping[str, float]) -> Any:
    """Return R of the rows of a frame in units of σ², shape (n, n), from natural parameters."""
    rows = data.to_dict("records")
    out = np.eye(len(rows))
    own = structure.correlation
    if own is not None:
        labels: list[str] = []
        if own.kind == "visit":
            labels = [str(v) for v in sorted(data[own.place[0]].unique())]
        for a, one in enumerate(rows):
            for b, other in enumerate(rows[:a]):
                if group is None or one[group] == other[group]:
                    out[a, b] = out[b, a] = textbook(own, of_level(own, p, one), one, other, labels)
    for factor in structure.variances:
        baseline = ""
        if type(factor).__name__ == "VarIdent":
            baseline = min(
                ":".join(map(str, key)) for key in data[list(factor.own_columns)].to_numpy().tolist()
            )
        by = factor if getattr(factor, "by", None) and type(factor).__name__ != "VarIdent" else None
        own_p = [p if by is None else of_level(by, p, row) for row in rows]
        s = np.array([multiplier(factor, q, row, baseline) for q, row in zip(own_p, rows, strict=True)])
        out = out * np.outer(s, s)
    return out


def dense_criterion(fit: mf.MixedResults, R: Any) -> float:
    """Return the deviance or REML criterion of a fit at its variances, written out with n × n matrices."""
    design = fit._fit.design
    V = np.asarray(R, dtype=float)
    if design.weights is not None:
        V = V / np.sqrt(np.outer(design.weights, design.weights))
    for block, omega in zip(design.blocks, fit._fit.omega, strict=True):
        same = block.codes[:, None] == block.codes
        V = V + np.where(same, block.z @ omega @ block.z.T, 0.0) / fit.sigma**2
    X = design.X[:, np.flatnonzero(fit._fit.kept)]
    root = np.linalg.cholesky(V)
    Xw, yw = np.linalg.solve(root, X), np.linalg.solve(root, design.y)
    _, rss = np.linalg.lstsq(Xw, yw, rcond=None)[:2]
    n, p = X.shape
    nu = n - p if fit.reml else n
    s2 = float(rss[0]) / nu
    value = 2 * np.log(np.diag(root)).sum() + nu * (1 + np.log(2 * np.pi * s2))
    if fit.reml:
        value += np.linalg.slogdet(Xw.T @ Xw)[1]
    return float(value)
