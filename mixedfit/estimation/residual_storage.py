"""Residual structures in files: the structure as names and options, the columns that it needs, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError
from mixedfit.core.json_index import pack_index, pack_labels, unpack_index
from mixedfit.covariance import residual as structures
from mixedfit.covariance.known import Known
from mixedfit.covariance.residual import Product, ResidualStructure
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.design.frames import DATES
from mixedfit.design.model_frame import ModelFrame
from mixedfit.design.residual_rows import bind_residual, with_fitted
from mixedfit.design.residual_ties import with_ties

from .whitening import Whitened, raw_design, whitened_rows

__all__ = ["pack_residual", "pack_structure", "unpack_residual", "unpack_structure"]


def pack_residual(residual: Whitened | None) -> tuple[dict[str, Any] | None, dict[str, Array]]:
    """Return the JSON values and the arrays of a residual structure; None and no arrays without one."""
    if residual is None:
        return None, {}
    header, arrays = pack_structure(residual.model)
    return header, {"residual_x": residual.x, **arrays}


def pack_structure(model: ResidualModel) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the JSON values and the arrays of a residual structure without its parameters."""
    arrays: dict[str, Array] = {}
    columns: dict[str, Any] = {}
    for number, name in enumerate(model.columns):
        column = model.columns[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            values: Any = np.asarray(column.cat.codes)
            columns[name] = pack_index(column.cat.categories)
        else:
            values, columns[name] = column.to_numpy(), column.attrs.get(DATES)
        arrays[f"residual{number}"] = values
    for factor, law in zip(model.structure.variances, model.variances, strict=True):
        if getattr(factor, "of_fitted", False):
            arrays["residual_fitted"] = law.values  # type: ignore[attr-defined]
    parts = [_packed(part) for part in getattr(model.structure, "parts", (model.structure,))]
    return {"parts": parts, "columns": columns}, arrays


def _packed(part: ResidualStructure) -> dict[str, Any]:
    return {
        "name": type(part).__name__,
        "options": {f.name: _option(getattr(part, f.name)) for f in fields(part)},
    }


def _option(value: Any) -> Any:
    """Return an option as JSON values; a known matrix as labels and rows."""
    if not isinstance(value, Known):
        return value
    labels = pack_labels("the labels of V", value.labels, "Take text labels")
    return {"labels": labels, "values": value.values.tolist()}


def _read_option(stored: Any) -> Any:
    if isinstance(stored, dict):
        return Known(np.array(stored["values"]), unpack_index(stored["labels"]).tolist())
    return tuple(stored) if isinstance(stored, list) else stored


def _structure(stored: Mapping[str, Any]) -> ResidualStructure:
    """Return the structure of JSON values; only the names of structures are known.

    Raises
    ------
    DataError
        If a name is not that of a structure.
    """
    parts = []
    for part in stored["parts"]:
        if part["name"] not in structures.__all__ or part["name"] in ("Product", "ResidualStructure"):
            raise DataError(
                f"the file has a residual structure {part['name']!r} that this version does not know."
            )
        options = {k: _read_option(v) for k, v in part["options"].items()}
        parts.append(getattr(structures, part["name"])(**options))
    made: ResidualStructure = parts[0] if len(parts) == 1 else Product(tuple(parts))
    return made


def unpack_residual(
    stored: Mapping[str, Any], arrays: Mapping[str, Any], design: Design
) -> tuple[Design, Whitened, CrossProducts]:
    """Return the design with its residual structure, the residual part of the fit, and the whitened cross-products."""
    model = unpack_structure(stored, arrays, design)
    design = replace(design, residual=model)
    log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
    x = arrays["residual_x"]
    white, cross = whitened_rows(raw_design(design), model.root(x), log_weights)
    return design, Whitened(x, model, white), cross


def unpack_structure(stored: Mapping[str, Any], arrays: Mapping[str, Any], design: Design) -> ResidualModel:
    """Return a residual structure on the rows of a design."""
    columns: dict[str, pd.Series[Any]] = {}
    for number, (name, levels) in enumerate(stored["columns"].items()):
        values = arrays[f"residual{number}"]
        plain = levels in (None, "dates", "instants")
        column = values if plain else pd.Categorical.from_codes(values, unpack_index(levels))
        columns[name] = pd.Series(column, index=design.index)
        columns[name].attrs.update({DATES: levels} if plain and levels else {})
    frame = ModelFrame(columns, design.index, design.weights, None, 0)
    groupings = [block.grouping for block in design.blocks]
    model = bind_residual(_structure(stored), frame, groupings, design.n)
    if "residual_fitted" in arrays:
        model = with_fitted(model, arrays["residual_fitted"])
    return with_ties(model, design.blocks, design.weights, design.X)
