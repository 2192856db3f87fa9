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


def to_arviz(posterior: Posterior, *, rows: bool, seed: object) -> Any:
    """Return an ArviZ DataTree; see `Posterior.to_arviz`."""
    try:
        from arviz_base import from_dict
    except ImportError:
        raise ModelError('ArviZ is not installed; install it with: pip install "mixedfit[bayes]".') from None
    design = posterior.design
    groups: dict[str, dict[str, Array]] = {"posterior": {name: posterior[name] for name in posterior.names}}
    coords: dict[str, Any] = {"row": np.asarray(design.index)}
    dims: dict[str, list[str]] = {}
    for block, values in zip(design.blocks, posterior.effects, strict=False):
        name = f"b|{block.name}"
        groups["posterior"][name] = values
        coords[block.name], coords[f"effect|{block.name}"] = (
            np.asarray(block.grouping.levels),
            list(block.effects),
        )
        dims[name] = [block.name, f"effect|{block.name}"]
    response = design.y if design.offset is None else design.y + design.offset
    label = design.formula.response
    dims[label] = ["row"]
    groups["observed_data"] = {label: response}
    if rows:
        means = row_means(design, posterior.kept, posterior.beta, posterior.effects)
        scale = row_scale(design, posterior.sigma)
        noise = residual_draws(means.shape, scale, generator(seed))
        groups["log_likelihood"] = {label: log_likelihood(response, means, scale)}
        groups["posterior_predictive"] = {label: means + noise}
    return from_dict(groups, coords=coords, dims=dims)
