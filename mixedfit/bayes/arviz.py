"""A posterior in the shape that ArviZ reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import Array
from ..errors import ModelError
from .rows import log_likelihood, residual_draws, row_means, row_scale
from .seeds import generator

if TYPE_CHECKING:
    from .posterior import Posterior

__all__ = ["to_arviz"]

Groups = dict[str, dict[str, Array]]


def to_arviz(posterior: Posterior, *, rows: bool, seed: object, prior: Posterior | None = None) -> Any:
    """Return an ArviZ DataTree; see `Posterior.to_arviz`."""
    try:
        from arviz_base import from_dict
    except ImportError:
        raise ModelError('ArviZ is not installed; install it with: pip install "mixedfit[bayes]".') from None
    design = posterior.design
    response = design.y if design.offset is None else design.y + design.offset
    label = design.formula.response
    rng = generator(seed)
    kind = posterior._kind
    groups: Groups = {kind: _drawn(posterior), "observed_data": {label: response}}
    if posterior.acceptance is not None:
        shares = np.repeat(posterior.acceptance[:, None], posterior.draws, axis=1)
        groups["sample_stats"] = {"acceptance_rate": shares}
    if rows:
        groups |= _of_rows(posterior, label, response, rng)
    if prior is not None:
        _check_prior(posterior, prior)
        groups["prior"] = _drawn(prior)
        if rows:
            groups |= _of_rows(prior, label, response, rng)
    coords, dims = _coordinates(posterior, label)
    return from_dict(groups, coords=coords, dims=dims)


def _drawn(posterior: Posterior) -> dict[str, Array]:
    """Return draws of every parameter, and of b of every grouping factor."""
    out = {name: posterior[name] for name in posterior.names}
    for block, values in zip(posterior.design.blocks, posterior.effects, strict=False):
        out[f"b|{block.name}"] = values
    return out


def _of_rows(posterior: Posterior, label: str, response: Array, rng: np.random.Generator) -> Groups:
    """Return replicated responses, and of a posterior the log-likelihood of every row."""
    means = row_means(posterior.design, posterior.kept, posterior.beta, posterior.effects)
    scales = posterior.scales
    scale = row_scale(posterior.design, posterior.sigma, scales)
    noise = residual_draws(means.shape, scale, rng, scales)
    out = {f"{posterior._kind}_predictive": {label: means + noise}}
    if posterior._kind == "posterior":
        out["log_likelihood"] = {label: log_likelihood(response, means, scale, scales)}
    return out


def _coordinates(posterior: Posterior, label: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the labels of rows, levels and effects, and the dimensions of what has them."""
    design = posterior.design
    coords: dict[str, Any] = {"row": np.asarray(design.index)}
    dims: dict[str, list[str]] = {label: ["row"]}
    for block in design.blocks:
        coords[block.name] = np.asarray(block.grouping.levels)
        coords[f"effect|{block.name}"] = list(block.effects)
        dims[f"b|{block.name}"] = [block.name, f"effect|{block.name}"]
    return coords, dims


def _check_prior(posterior: Posterior, prior: Posterior) -> None:
    same = prior._kind == "prior" and prior.design.formula.source == posterior.design.formula.source
    if not same or not np.array_equal(prior.design.y, posterior.design.y):
        raise ModelError(
            "prior must be draws from the prior of the same model and data, from model.prior_predictive(...)."
        )
