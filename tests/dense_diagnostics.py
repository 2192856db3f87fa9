"""Diagnostics from n × n matrices, and small designs of every kind to compare them on.

V = W⁻¹ + Σ ZΛΛᵀZᵀ, P = V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹, all written out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from problems import computing as computing_small

import mixedfit as mf
from mixedfit.crossproducts import sparse_products as sparse_gram


@dataclass(frozen=True, eq=False)
class DenseDiagnostics:
    """The rows of positive weight of a fit, and what follows from its θ and σ by matrices over all of them."""

    fit: mf.MixedResults

    @property
    def _inner(self) -> Any:
        return self.fit._fit

    @cached_property
    def rows(self) -> Any:
        """Rows of positive weight."""
        weights = self._inner.design.weights
        return np.arange(self._inner.design.n) if weights is None else np.flatnonzero(weights)

    @cached_property
    def R(self) -> Any:  # noqa: N802
        """W⁻¹."""
        weights = self._inner.design.weights
        return np.eye(len(self.rows)) if weights is None else np.diag(1.0 / weights[self.rows])

    @cached_property
    def V(self) -> Any:  # noqa: N802
        """Marginal covariance over σ²."""
        V = self.R.copy()
        for block, lam in zip(self._inner.design.blocks, self._inner.lam, strict=True):
            spread = block.z[self.rows] @ lam
            codes = block.codes[self.rows]
            V += np.where(codes[:, None] == codes, spread @ spread.T, 0.0)
        return V

    @cached_property
    def X(self) -> Any:  # noqa: N802
        """Independent columns of the fixed part, many-level factors first."""
        design = self._inner.design
        parts = [np.zeros((design.n, 0))]
        for factor in design.many:
            indicators = np.eye(len(factor.grouping.levels))[factor.grouping.codes]
            parts.append(indicators[:, factor.first :])
        many = np.hstack(parts)[self.rows][:, self._kept_many]
        return np.hstack([many, design.X[self.rows][:, self._inner.cross.fixed.kept]])

    @cached_property
    def _kept_many(self) -> Any:
        return self._inner.kept[len(self._inner.design.x_names) :]

    @cached_property
    def p(self) -> int:
        """Columns of X proper, many-level factors apart."""
        return int(self._inner.cross.fixed.kept.size)

    def gls(self, keep: Any) -> tuple[Any, Any]:
        """Return β̂ and (XᵀV⁻¹X)⁻¹ on some of the rows, at the fit's θ, of the columns of X proper."""
        X, y = self.X[keep], self._inner.design.y[self.rows][keep]
        inverse = np.linalg.inv(self.V[np.ix_(keep, keep)])
        phi = np.linalg.inv(X.T @ inverse @ X)
        beta = phi @ (X.T @ inverse @ y)
        own = slice(X.shape[1] - self.p, None)
        return beta[own], phi[own, own]

    @cached_property
    def everything(self) -> Any:
        """All rows."""
        return np.arange(len(self.rows))

    @cached_property
    def P(self) -> Any:  # noqa: N802
        """V⁻¹ less its part in the span of X."""
        inverse = np.linalg.inv(self.V)
        left = inverse @ self.X
        return inverse - left @ np.linalg.solve(self.X.T @ left, left.T)

    @cached_property
    def hat(self) -> Any:
        """Hat matrix of Xβ̂ + Zb̂."""
        return np.eye(len(self.rows)) - self.R @ self.P

    @cached_property
    def fixed_hat(self) -> Any:
        """Hat matrix of Xβ̂."""
        return np.eye(len(self.rows)) - self.V @ self.P

    @cached_property
    def residuals(self) -> dict[str, Any]:
        """All six kinds."""
        y, sigma = self._inner.design.y[self.rows], self.fit.sigma
        marginal, conditional = self.V @ self.P @ y, self.R @ self.P @ y
        own = {"marginal": self.V @ self.P @ self.V, "conditional": self.R @ self.P @ self.R}
        out = {}
        for name, value, total in (("marginal", marginal, self.V), ("conditional", conditional, self.R)):
            out[name] = value
            out[f"{name}_pearson"] = value / np.sqrt(np.diag(total)) / sigma
            out[f"{name}_studentized"] = value / np.sqrt(np.diag(own[name])) / sigma
        return out


@contextmanager
def computing(way: str) -> Iterator[None]:
    """Let small data go the ways of large ones, crossed factors through the sparse factor too."""
    share = 1e9 if way == "sparse" else sparse_gram.PAIRED_SHARE
    with computing_small(way), patch.object(sparse_gram, "PAIRED_SHARE", share):
        yield


def frame(kind: str) -> pd.DataFrame:
    """Return 60 unbalanced rows with two factors, the second crossed or nested, and real effects unless "flat"."""
    rng = np.random.default_rng(20)
    n = 60
    g = np.concatenate([np.arange(9), rng.integers(0, 9, n - 9)])
    h = rng.integers(0, 5, n)
    x = rng.normal(size=n)
    noise = rng.normal(size=n)
    if kind == "flat":  # group means of the noise taken off: no variance between groups is left
        noise -= (np.bincount(g, noise) / np.bincount(g))[g]
        y = 2.0 + x + noise
    else:
        y = 2 + x + 1.5 * rng.normal(size=9)[g] + rng.normal(size=9)[g] * x + rng.normal(size=5)[h] + noise
    table = pd.DataFrame({"y": y, "x": x, "x2": 2.0 * x, "off": rng.normal(size=n)})
    table["g"], table["h"] = [f"g{c}" for c in g], [f"h{c}" for c in h]
    table["w"] = rng.choice([0.5, 1.0, 2.0], n)
    table["w0"] = np.where(np.arange(n) % 13 == 5, 0.0, table["w"])
    table["m"] = [f"m{c}" for c in rng.integers(0, 5, n)]
    table.index = pd.Index([f"row {i}" for i in range(n)])
    return table


DESIGNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "slopes": ("y ~ x + (x | g)", {}, "compiled"),
    "slopes of ML": ("y ~ x + (x || g)", {"reml": False}, "compiled"),
    "slopes, dense": ("y ~ x + (x | g)", {}, "dense"),
    "crossed": ("y ~ x + (x | g) + (1 | h)", {}, "compiled"),
    "crossed, frugal": ("y ~ x + (x | g) + (1 | h)", {}, "frugal"),
    "nested": ("y ~ x + (1 | g/h)", {}, "compiled"),
    "nested, sparse": ("y ~ x + (x | g) + (1 | g:h)", {}, "sparse"),
    "weights": ("y ~ x + (x | g)", {"weights": "w"}, "compiled"),
    "weights of zero": ("y ~ x + (1 | g) + (1 | h)", {"weights": "w0"}, "compiled"),
    "one factor, weights of zero": ("y ~ x + (1 | g)", {"weights": "w0"}, "compiled"),
    "rank-deficient": ("y ~ x + x2 + (1 | g)", {}, "compiled"),
    "singular": ("y ~ x + (x | g)", {"flat": True}, "compiled"),
    "offset": ("y ~ x + offset(off) + (1 | g)", {}, "compiled"),
    "sigma held": ("y ~ x + (1 | g)", {"sigma": 1.2}, "compiled"),
    "no fixed effects": ("y ~ 0 + (1 | g)", {}, "compiled"),
    "no random effects": ("y ~ x + h", {}, "compiled"),
    "many levels": ("y ~ x + m + (1 | g)", {}, "compiled"),
    "many levels, crossed": ("y ~ x + m + (1 | g) + (1 | h)", {}, "frugal"),
    "many levels, sparse": ("y ~ x + m + (1 | g) + (1 | h)", {}, "sparse"),
    "many levels alone": ("y ~ x + m", {}, "compiled"),
}
"""Formula, options, and the way that the numbers are computed (`problems.WAYS`)."""


def factors_of(name: str) -> list[str]:
    """Return the grouping factors of a design."""
    found = re.findall(r"\| ([\w:/]+)\)", DESIGNS[name][0])
    return [factor for text in found for factor in (["g", "h:g"] if text == "g/h" else [text])]


@lru_cache
def fitted(name: str) -> mf.MixedResults:
    """Return the fit of one of the designs."""
    formula, options, way = DESIGNS[name]
    table = frame("flat" if options.get("flat") else "")
    settings = {key: options[key] for key in ("reml", "sigma") if key in options}
    with computing(way), warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.RankWarning)
        return mf.lmm(formula, table, weights=options.get("weights")).fit(**settings)


@lru_cache
def dense(name: str) -> DenseDiagnostics:
    """Return the slow counterpart of the diagnostics of a design."""
    return DenseDiagnostics(fitted(name))
