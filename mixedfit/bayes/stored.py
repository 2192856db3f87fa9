"""Posteriors on disk, as fits are: arrays and JSON text in one npz file, nothing that could be executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..storage import design_arrays, design_header, read_design, write_file
from .posterior import Posterior

__all__ = ["read_posterior", "write_posterior"]


def write_posterior(posterior: Posterior, path: str | Path) -> None:
    """Write the draws of a posterior and the numbers of its design; see `Posterior.save`."""
    if posterior.scales is not None or type(posterior) is not Posterior:
        raise ModelError(
            "only posteriors with normal residuals and effects and one σ can be saved yet; pickle this one, or keep "
            ".to_arviz()."
        )
    arrays = {**design_arrays(posterior.design), "beta": posterior.beta, "sigma": posterior.sigma}
    arrays["kept"] = posterior.kept
    if posterior.acceptance is not None:
        arrays["acceptance"] = posterior.acceptance
    arrays |= {f"omega{f}": omega for f, omega in enumerate(posterior.omega)}
    arrays |= {f"effects{f}": effects for f, effects in enumerate(posterior.effects)}
    header = {
        **design_header(posterior.design),
        "kind": "posterior",
        "priors": posterior.priors,
        "tune": posterior.tune,
        "thin": posterior.thin,
        "seconds": posterior.seconds,
        "held": sorted(posterior.held),
        "given": posterior.given,
    }
    write_file(path, header, arrays)


def read_posterior(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> Posterior:
    """Return the posterior that was written; it cannot be sampled again."""
    design = read_design(header, arrays)
    return Posterior(
        design=design,
        kept=arrays["kept"],
        priors=tuple(header["priors"]),
        beta=arrays["beta"],
        sigma=arrays["sigma"],
        omega=tuple(arrays[f"omega{f}"] for f in range(len(design.blocks))),
        effects=tuple(arrays[f"effects{f}"] for f in range(len(design.blocks)) if f"effects{f}" in arrays),
        tune=header["tune"],
        thin=header["thin"],
        seconds=header["seconds"],
        acceptance=arrays.get("acceptance"),
        held=frozenset(header["held"]),
        given=tuple(header["given"]),
    )
