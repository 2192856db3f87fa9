"""Sources of bootstrap data: the fitted model, resampled residuals, or resampled cases.

A source draws a block of replicates at once; the sample returns the cross-products of each replicate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import solve_triangular

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_one_of
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.responses import Responder, Responses
from mixedfit.design.design import Design, RandomBlock
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.known_support import refuse_known
from mixedfit.estimation.simulate import colour_of, residual_scale, response_from, simulate_response

from .cases import cases_source

__all__ = [
    "ParametricSource",
    "ResidualSource",
    "ResponseSample",
    "Sample",
    "Source",
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
    """A method of drawing replicates."""

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """Return a block of `count` replicates."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ResponseSample:
    """New responses for the rows of the fit.

    Attributes
    ----------
    original : Design
    y : ndarray, shape (replicates, rows)
        Responses minus offset.
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
        """Return the design of the fit with the response of one replicate."""
        return self.original.with_response(self.y[r])


@dataclass(frozen=True, eq=False)
class StructuredSample:
    """Responses of a model with a residual structure, whose cross-products depend on its parameters.

    Attributes
    ----------
    original : Design
    y : ndarray, shape (replicates, rows)
        Responses minus offset.
    """

    original: Design
    y: Array

    def cross_products(self, r: int) -> CrossProducts:
        """Not defined: rows are whitened anew in each refit."""
        raise NotImplementedError

    def design(self, r: int) -> Design:
        """Return the design of the fit with the response of one replicate."""
        return self.original.with_response(self.y[r])


class StructuredSource:
    """y* from the fitted marginal distribution of a model with a residual structure.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit

    def draw(self, rng: np.random.Generator, count: int) -> StructuredSample:
        """Return a block of responses."""
        y = simulate_response(self.fit, count, rng, offset=False).T
        return StructuredSample(self.fit.design, y)


class ParametricSource:
    """y* from the fitted marginal distribution, with random effects and residuals drawn.

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
    """y* from resampled BLUPs and residuals, both rescaled to the estimated variances.

    BLUPs vary less than the effects. They are replaced by û* = û A with AᵀSA = Ω̂, S the covariance of û. Those of
    related levels are made independent before, L⁻¹û with LLᵀ the relationships, and related again when drawn.
    Carpenter, Goldstein & Rasbash (2003), J. R. Stat. Soc. C 52:431, section 3.2.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.responder = None if fit.residual is not None else Responder(fit.cross, fit.design)
        self.scale, self.colour = residual_scale(fit), colour_of(fit)
        counted = fit.design.counted
        residuals = (fit.response - fit.fitted)[counted] / self.scale[counted]
        if fit.residual is not None:  # independent ones, by the residual structure
            residuals = fit.residual.root.whiten(residuals[:, None])[:, 0]
        residuals -= residuals.mean()
        self.residuals = residuals / np.sqrt(np.mean(residuals**2))
        self.effects = [
            reflated(_exchangeable(block, modes, counted), omega)
            for block, modes, omega in zip(fit.design.blocks, fit.modes, fit.omega, strict=True)
        ]

    def draw(self, rng: np.random.Generator, count: int) -> ResponseSample | StructuredSample:
        """Return a block of responses, drawn one replicate after the other: a smaller block has the same first ones."""
        effects = [np.empty((count, b.levels, b.k)) for b in self.fit.design.blocks]
        residuals = np.empty((count, self.scale.size))
        for r in range(count):
            for pool, out in zip(self.effects, effects, strict=True):
                out[r] = pool[rng.integers(len(pool), size=out.shape[1])]
            for block, out in zip(self.fit.design.blocks, effects, strict=True):
                if block.known is not None:
                    out[r] = block.known.root_times(out[r])
            residuals[r] = self.residuals[rng.integers(self.residuals.size, size=self.scale.size)]
        if self.colour is not None:
            residuals = self.colour(residuals)
        y = response_from(self.fit, effects, residuals * self.scale)
        if self.responder is None:
            return StructuredSample(self.fit.design, y)
        return ResponseSample(self.fit.design, y, self.responder.products(y))


def _exchangeable(block: RandomBlock, modes: Array, counted: BoolArray) -> Array:
    """Return BLUPs that are exchangeable: of the levels with rows, or of related levels L⁻¹û with LLᵀ = A."""
    if block.known is None:
        return modes[np.unique(block.codes[counted])]
    return np.asarray(solve_triangular(block.known.root, modes, lower=True))


def reflated(modes: Array, omega: Array) -> Array:
    """Return centred BLUPs, shape (levels, k), transformed so that their covariance is Ω.

    By Cholesky factors as in Carpenter et al. (2003), equation 9; by eigenvectors if a matrix is singular.
    """
    centred = modes - modes.mean(axis=0)
    covariance = centred.T @ centred / len(centred)
    try:
        left, right = np.linalg.cholesky(covariance), np.linalg.cholesky(omega)
        if np.all(np.diag(left) > 1e-7 * np.sqrt(np.diag(covariance))):
            return np.asarray(centred @ np.linalg.solve(left.T, right.T))
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(covariance)
    targets, axes = np.linalg.eigh(omega)
    last = slice(len(values) - min(_rank(values), _rank(targets)), None)
    coordinates = centred @ vectors[:, last] / np.sqrt(values[last])
    return np.asarray(coordinates @ (axes[:, last] * np.sqrt(targets[last])).T)


def _rank(eigenvalues: Array) -> int:
    return int(np.sum(eigenvalues > 1e-10 * max(float(eigenvalues[-1]), 1e-300)))


def source_of(fit: Fit, kind: str, resample: str | None, *, rows_wanted: bool) -> Source:
    """Return the source of a type of bootstrap.

    Parameters
    ----------
    fit : Fit
    kind : {"parametric", "residual", "cases"}
    resample : str or None
        Grouping factor whose levels "cases" draws; by default the outermost.
    rows_wanted : bool
        Whether replicates must be complete designs, with rows.

    Raises
    ------
    ModelError
        If `kind` or `resample` is unknown, or factors are crossed.
    """
    check_one_of("type", kind, ("parametric", "residual", "cases"))
    if resample is not None and kind != "cases":
        raise ModelError(
            f"resample={resample!r} names the groups that type='cases' draws; it has no use here."
        )
    if kind == "parametric":
        return ParametricSource(fit) if fit.residual is None else StructuredSource(fit)
    if kind == "residual":
        return ResidualSource(fit)
    refuse_known(
        fit.design,
        "the bootstrap of type 'cases' is",
        "Related levels are not exchangeable: a sample of them with replacement has other relationships. Take "
        'type="parametric", or type="residual", which resamples effects made independent by the relationships.',
    )
    return cases_source(fit, resample, rows_wanted=rows_wanted)
