"""Checks that the posterior is proper.

A joint distribution can be improper although all full conditionals are proper; Hobert & Casella (1996), J. Am. Stat.
Assoc. 91:1461, and Gelman (2006), Bayesian Analysis 1:515, section 2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, PriorWarning, warn
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design, check_identifiable

from . import InverseGamma, Jeffreys, Known, Prior, UniformSD
from .placement import Placement, Unit

__all__ = ["check_levels", "check_proper"]

VAGUE = 0.05
"""ErrorModel and scale below which an inverse gamma is close to its improper limit."""

FEW = 5
"""Number of groups up to which a uniform prior on τ causes a warning; Gelman (2006): "reasonable when J > 5"."""


def check_proper(design: Design, cross: CrossProducts, placement: Placement) -> None:
    """Raise if a prior of a variance between groups makes the posterior improper; warn if it nearly does.

    Raises
    ------
    ModelError
        For p(τ²) ∝ 1/τ², and for an unbounded uniform prior on τ with too few groups.
    """
    for unit in placement.units:
        prior = unit.prior
        if isinstance(prior, Jeffreys):
            raise ModelError(
                f"the prior p(τ²) ∝ 1/τ² for {unit.label} makes the posterior improper: the data cannot refute that "
                "τ² is 0, where the prior has infinite mass (every full conditional would be proper all the same). "
                "Use UniformSD(), p(τ²) ∝ 1/τ, with more than 5 groups, or HalfCauchy(scale)."
            )
        if isinstance(prior, InverseGamma) and _is_vague(prior, design, unit):
            warn(
                f"inverse-gamma({prior.shape:g}, {prior.scale:g}) for the variance of {unit.label} is nearly "
                "p(τ²) ∝ 1/τ², whose posterior is improper: the answer near τ = 0 depends on these small numbers and "
                "piles up there as they go to 0. Use UniformSD() or HalfCauchy(scale).",
                PriorWarning,
            )
        if isinstance(prior, UniformSD) and np.isinf(prior.upper):
            _check_uniform(design, cross, placement, unit)


def check_levels(design: Design, placement: Placement, *, sigma_from_user: bool) -> None:
    """Raise if a factor has a level for every row, unless σ is known or the user gave both SDs proper priors.

    Raises
    ------
    ModelError
        As `design.check_identifiable`.
    """
    sigma = placement.sigma
    if isinstance(sigma, Known):
        return
    proper_sigma = sigma_from_user and _is_proper(sigma)
    checked = {u.block for u in placement.units if not (proper_sigma and u.from_user and _is_proper(u.prior))}
    for f, block in enumerate(design.blocks):
        if f not in checked and block.levels == design.n:
            warn(
                f"{block.name!r} has a level for every row: the data tell the sum of its variance and σ², and the "
                "priors alone how it is split.",
                PriorWarning,
            )
    blocks = tuple(b for f, b in enumerate(design.blocks) if f in checked or b.levels < design.n)
    check_identifiable(replace(design, blocks=blocks), None)


def _is_proper(prior: Prior) -> bool:
    return prior.upper < np.inf if isinstance(prior, UniformSD) else not isinstance(prior, Jeffreys)


def _is_vague(prior: InverseGamma, design: Design, unit: Unit) -> bool:
    """Return whether an inverse gamma is nearly 1/τ² relative to the variance of the response."""
    size = float(np.mean(design.blocks[unit.block].z[:, unit.start] ** 2)) or 1.0
    return prior.shape < VAGUE and prior.scale * size < VAGUE * max(float(np.var(design.y)), 1e-300)


def _check_uniform(design: Design, cross: CrossProducts, placement: Placement, unit: Unit) -> None:
    """Raise if p(τ) ∝ 1 is improper: the likelihood falls as τ^−(J − r), r flat directions between J groups."""
    block = design.blocks[unit.block]
    flat = _flat_directions(design, cross, placement, unit)
    if block.levels - flat <= 1:
        raise ModelError(
            f"the uniform prior on the SD of {unit.label} makes the posterior improper: with {block.levels} groups and "
            f"{flat} flat fixed effects between them the likelihood does not fall off for large τ "
            "(an unknown mean needs at least 3 groups). Use UniformSD(upper), or HalfCauchy(scale)."
        )
    if block.levels <= FEW:
        warn(
            f"{block.name!r} has {block.levels} groups: p(τ) ∝ 1 is usually reasonable with more than {FEW}; with "
            "fewer its long tail decides. Consider HalfCauchy(scale).",
            PriorWarning,
        )


def _flat_directions(design: Design, cross: CrossProducts, placement: Placement, unit: Unit) -> int:
    """Return the number of fixed-effect directions with a flat prior in the span of the unit's columns."""
    X = design.X[:, cross.fixed.kept]
    if not X.shape[1]:
        return 0
    values, vectors = np.linalg.eigh(placement.precision)
    flat = X @ vectors[:, values <= 1e-12 * max(float(values[-1]), 1e-300)]
    block = design.blocks[unit.block]
    z = block.z[:, unit.start]
    norms = np.asarray(np.bincount(block.codes, z * z, block.levels), dtype=float)
    rest = flat - np.asarray(z[:, None]) * _slopes(block.codes, z, flat, norms)
    size = float(np.sqrt(np.sum(flat**2))) or 1.0
    return int(flat.shape[1]) - int(np.sum(np.linalg.svd(rest, compute_uv=False) > 1e-8 * size))


def _slopes(codes: IntArray, z: Array, columns: Array, norms: Array) -> Array:
    """Return the slope of every column on z within each row's group, shape of `columns`."""
    safe = np.where(norms > 0, norms, 1.0)
    out = np.empty_like(columns)
    for j, column in enumerate(columns.T):
        out[:, j] = (np.bincount(codes, z * column, norms.size) / safe)[codes]
    return out
