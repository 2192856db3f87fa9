"""Where bootstrap data come from: drawn from the fitted model, from its residuals, or from whole groups of rows.

Each source draws a block of replicates at once and hands out their cross-products one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.responses import Responder, Responses
from mixedfit.design.design import Design
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.simulate import residual_scale, response_from, simulate_response

from .cases import cases_source

__all__ = [
    "ParametricSource",
    "ResidualSource",
    "ResponseSample",
    "Sample",
    "Source",
    "counted_rows",
    "source_of",
]


class Sample(Protocol):
    """A block of replicates."""

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate."""
        ...

    def design(self, r: int) -> Design:
        """Return the design of one replicate."""
        ...


class Source(Protocol):
    """Draws replicates."""

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """Return a block of `count` replicates."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ResponseSample:
    """New responses on the rows of the fit.

    Attributes
    ----------
    original : Design
    y : ndarray, shape (replicates, rows)
        Responses less offset.
    responses : Responses
    """

    original: Design
    y: Array
    responses: Responses

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate."""
        if self.responses.scale[r] == 0.0:
            raise ModelError("the fixed effects reproduce the drawn response exactly")
        return self.responses.cross_products(r)

    def design(self, r: int) -> Design:
        """Return the fit's design with one replicate's response."""
        return self.original.with_response(self.y[r])


class ParametricSource:
    """y* from the fitted marginal distribution: random effects and residuals drawn, never predicted.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.responder = Responder(fit.cross, fit.design)

    def draw(self, rng: np.random.Generator, count: int) -> ResponseSample:
        """Return a block of responses."""
        y = simulate_response(self.fit, count, rng, offset=False).T
        return ResponseSample(self.fit.design, y, self.responder.products(y))


class ResidualSource:
    """y* from resampled BLUPs and residuals, both reflated to the estimated variances.

    BLUPs vary less than the effects they predict; û* = û A with AᵀSA = Ω̂, S their own covariance, repairs that.
    Carpenter, Goldstein & Rasbash (2003), J. R. Stat. Soc. C 52:431, section 3.2.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.responder = Responder(fit.cross, fit.design)
        weights = fit.design.weights
        counted = np.ones(fit.design.n, dtype=bool) if weights is None else weights > 0
        scale = residual_scale(fit)
        residuals = ((fit.response - fit.fitted)[counted]) / scale[counted]
        residuals -= residuals.mean()
        self.scale = scale
        self.residuals = residuals / np.sqrt(np.mean(residuals**2))
        self.effects = [
            reflated(modes[np.unique(block.codes[counted])], omega)
            for block, modes, omega in zip(fit.design.blocks, fit.modes, fit.omega, strict=True)
        ]

    def draw(self, rng: np.random.Generator, count: int) -> ResponseSample:
        """Return a block of responses; replicate by replicate, so that fewer of them are the first of more."""
        effects = [np.empty((count, b.levels, b.k)) for b in self.fit.design.blocks]
        residuals = np.empty((count, self.scale.size))
        for r in range(count):
            for pool, out in zip(self.effects, effects, strict=True):
                out[r] = pool[rng.integers(len(pool), size=out.shape[1])]
            residuals[r] = self.residuals[rng.integers(self.residuals.size, size=self.scale.size)]
        y = response_from(self.fit, effects, residuals * self.scale)
        return ResponseSample(self.fit.design, y, self.responder.products(y))


def reflated(modes: Array, omega: Array) -> Array:
    """Return centred BLUPs, shape (levels, k), turned so that their own covariance is Ω.

    Cholesky factors as in Carpenter et al. (2003), equation 9; eigenvectors where a matrix has no full rank.
    """
    centred = modes - modes.mean(axis=0)
    own = centred.T @ centred / len(centred)
    try:
        left, right = np.linalg.cholesky(own), np.linalg.cholesky(omega)
        if np.all(np.diag(left) > 1e-7 * np.sqrt(np.diag(own))):
            return np.asarray(centred @ np.linalg.solve(left.T, right.T))
    except np.linalg.LinAlgError:
        pass
    rank = min(_rank(own), _rank(omega))
    values, vectors = np.linalg.eigh(own)
    wanted, axes = np.linalg.eigh(omega)
    last = slice(len(values) - rank, None)
    coordinates = centred @ vectors[:, last] / np.sqrt(values[last])
    return np.asarray(coordinates @ (axes[:, last] * np.sqrt(wanted[last])).T)


def _rank(matrix: Array) -> int:
    values = np.linalg.eigvalsh(matrix)
    return int(np.sum(values > 1e-10 * max(float(values[-1]), 1e-300)))


def source_of(fit: Fit, kind: str, resample: str | None, *, rows_wanted: bool) -> Source:
    """Return the source of a type of bootstrap.

    Parameters
    ----------
    fit : Fit
    kind : {"parametric", "residual", "cases"}
    resample : str or None
        Grouping factor whose levels are drawn by "cases"; by default the outermost.
    rows_wanted : bool
        Whether replicates must be complete designs, with rows.

    Raises
    ------
    ModelError
        If `kind` or `resample` is not known, or no factor contains the others.
    """
    known = ("parametric", "residual", "cases")
    if kind not in known:
        raise ModelError(
            f"type={kind!r} is not a bootstrap; expected one of {', '.join(map(repr, known))}. "
            f"{nearest(str(kind), known)}"
        )
    if resample is not None and kind != "cases":
        raise ModelError(
            f"resample={resample!r} names the groups that type='cases' draws; it has no use here."
        )
    if kind == "parametric":
        return ParametricSource(fit)
    if kind == "residual":
        return ResidualSource(fit)
    return cases_source(fit, resample, rows_wanted=rows_wanted)


def counted_rows(design: Design) -> BoolArray:
    """Return which rows count, shape (rows,)."""
    return np.ones(design.n, dtype=bool) if design.weights is None else np.asarray(design.weights > 0)
