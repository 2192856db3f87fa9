"""Export of a posterior: npz files of arrays and JSON text, which hold no code, and ArviZ trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.seeds import generator
from mixedfit.estimation.design_storage import design_arrays, design_header
from mixedfit.estimation.residual_storage import pack_structure
from mixedfit.estimation.storage import write_file

from .counted_rows import on_counted_rows
from .record import PosteriorDraws
from .row_density import replicated_residuals, row_log_density, row_means

__all__ = ["to_arviz", "write_posterior"]


def write_posterior(posterior: PosteriorDraws, path: str | Path) -> None:
    """Write the draws of a posterior and the numbers of its design; see `Posterior.save`."""
    arrays = {**design_arrays(posterior.design), "beta": posterior.beta, "sigma": posterior.sigma}
    arrays["kept"] = posterior.kept
    if posterior.acceptance is not None:
        arrays["acceptance"] = posterior.acceptance
    arrays |= {f"omega{f}": omega for f, omega in enumerate(posterior.omega)}
    arrays |= {f"effects{f}": effects for f, effects in enumerate(posterior.effects)}
    packed: dict[str, Any] = {}
    if posterior.structure is not None and posterior.design.residual is not None:
        packed["residual"], own = pack_structure(posterior.design.residual)
        arrays |= {
            **own,
            "structure_x": posterior.structure.x,
            "structure_values": posterior.structure.values,
        }
    header = {
        **packed,
        **design_header(posterior.design),
        "kind": "posterior",
        "priors": posterior.priors,
        "tune": posterior.tune,
        "thin": posterior.thin,
        "seconds": posterior.seconds,
        "held": sorted(posterior.held),
        "given": posterior.given,
        "ess": posterior.ess_wanted,
        "limit": posterior.limit,
    }
    write_file(path, header, arrays)


Groups = dict[str, dict[str, Array]]


def to_arviz(
    posterior: PosteriorDraws, *, rows: bool, seed: object, prior: PosteriorDraws | None = None
) -> Any:
    """Return an ArviZ DataTree; see `Posterior.to_arviz`."""
    try:
        from arviz_base import from_dict
    except ImportError:
        raise ModelError(
            "to_arviz needs the package arviz-base, a part of ArviZ 1.0 and later (an older arviz does not have it). "
            'Install it with: pip install "mixedfit[bayes]", or pip install arviz-base.'
        ) from None
    counted = on_counted_rows(posterior)
    label, response = posterior.design.formula.response, counted.design.observed
    rng = generator(seed)
    groups: Groups = {posterior.kind: _parameter_draws(posterior), "observed_data": {label: response}}
    if posterior.acceptance is not None:
        shares = np.repeat(posterior.acceptance[:, None], posterior.draws, axis=1)
        groups["sample_stats"] = {"acceptance_rate": shares}
    if rows:
        groups |= _row_draws(counted, label, rng)
    if prior is not None:
        _check_prior(posterior, prior)
        groups["prior"] = _parameter_draws(prior)
        if rows:
            groups |= _row_draws(on_counted_rows(prior), label, rng)
    coords, dims = _coordinates(posterior, label)
    coords["row"] = np.asarray(counted.design.index)
    return from_dict(groups, coords=coords, dims=dims)


def _parameter_draws(posterior: PosteriorDraws) -> dict[str, Array]:
    """Return the draws of each parameter, and of b of each grouping factor."""
    out = {name: posterior[name] for name in posterior.names}
    for block, values in zip(posterior.design.blocks, posterior.effects, strict=False):
        out[f"b|{block.name}"] = values
    return out


def _row_draws(posterior: PosteriorDraws, label: str, rng: np.random.Generator) -> Groups:
    """Return replicated responses, and for a posterior the log-likelihood of each row."""
    means = row_means(posterior.design, posterior.kept, posterior.beta, posterior.effects)
    noise = replicated_residuals(posterior, means.shape, rng, posterior.scales)
    out = {f"{posterior.kind}_predictive": {label: means + noise}}
    if posterior.kind == "posterior":
        out["log_likelihood"] = {label: row_log_density(posterior)}
    return out


def _coordinates(posterior: PosteriorDraws, label: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the labels of levels and effects, and the names of the dimensions of each variable."""
    design = posterior.design
    coords: dict[str, Any] = {}
    dims: dict[str, list[str]] = {label: ["row"]}
    for block in design.blocks:
        coords[block.name] = np.asarray(block.grouping.levels)
        coords[f"effect|{block.name}"] = list(block.effects)
        dims[f"b|{block.name}"] = [block.name, f"effect|{block.name}"]
    return coords, dims


def _check_prior(posterior: PosteriorDraws, prior: PosteriorDraws) -> None:
    """Raise unless `prior` has draws from the prior of the same model and data."""
    same = prior.kind == "prior" and prior.design.formula.source == posterior.design.formula.source
    if not same or not np.array_equal(prior.design.y, posterior.design.y):
        raise ModelError(
            "prior must be draws from the prior of the same model and data, from model.prior_predictive(...)."
        )
