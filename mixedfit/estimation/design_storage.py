"""Designs and sums of rows as a JSON header and arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfit.core.arrays import Array
from mixedfit.core.json_index import pack_labels, unpack_index
from mixedfit.covariance import (
    STRUCTURES,
    BlockDiagonal,
    CovarianceStructure,
    Diagonal,
    ScaledCorrelation,
    Unstructured,
    structure_from,
    structure_record,
)
from mixedfit.covariance.known import Known
from mixedfit.crossproducts.summed import SummedRows
from mixedfit.design.absent import AbsentRows
from mixedfit.design.design import Design, ManyLevelFactor, RandomBlock
from mixedfit.design.excluded import Excluded
from mixedfit.design.grouping import Grouping
from mixedfit.design.recipe import pack, unpack
from mixedfit.formula.parse import parse_formula

__all__ = [
    "compact",
    "design_arrays",
    "design_header",
    "design_without_rows",
    "pack_summed",
    "read_design",
    "unpack_summed",
    "with_design",
]


def compact(values: Array) -> Array:
    """Return whole numbers of at least 0 in the smallest type that holds them, other numbers as they are."""
    high = values.max(initial=0)
    if not (values.size and values.min() >= 0 and high < 2**32 and bool(np.all(values == np.floor(values)))):
        return values
    return values.astype(np.min_scalar_type(int(high)))


def design_arrays(design: Design) -> dict[str, Any]:
    """Return the arrays of a design, by name."""
    arrays: dict[str, Any] = {"y": design.y, "X": design.X}
    if design.weights is not None:
        arrays["weights"] = design.weights
    if design.offset is not None:
        arrays["offset"] = design.offset
    if design.excluded is not None:
        arrays["rows_used"] = design.excluded.kept
    for f, block in enumerate(design.blocks):
        arrays[f"codes{f}"] = block.codes
        arrays[f"z{f}"] = block.z
        if block.known is not None:
            arrays |= _known_arrays(f, block.known)
    for f, factor in enumerate(design.many):
        arrays[f"many{f}"] = factor.grouping.codes
    return arrays


def design_header(design: Design) -> dict[str, Any]:
    """Return the part of a design that is stored as JSON: names and levels."""
    blocks = [
        {
            **_named(block.grouping),
            "parts": [_packed_levels(block.grouping, part) for part in block.grouping.parts],
            "effects": block.effects,
            "terms": [
                structure_record(part) if isinstance(part, ScaledCorrelation) else [part.invariance, part.k]
                for part in block.structure.parts
            ],
            "sources": block.sources,
            **_known_header(block.known),
        }
        for block in design.blocks
    ]
    many = [
        {
            **_named(f.grouping),
            "first": f.first,
            "names": f.names,
        }
        for f in design.many
    ]
    return {
        "formula": design.formula.source,
        "expand": design.formula.expand,
        "x_names": design.x_names,
        "index": _pack_rows(design.index),
        "dropped": design.dropped,
        "all_index": None if design.excluded is None else _pack_rows(design.excluded.index),
        "blocks": blocks,
        "many": many,
        "recipe": None if design.recipe is None else pack(design.recipe),
    }


def _known_header(known: Known | None) -> dict[str, Any]:
    if known is None:
        return {}
    own = {} if known.inbreeding is None else {"inbreeding": known.inbreeding.tolist()}
    return {"known": known.is_inverse, **own}


def _pack_rows(index: pd.Index[Any]) -> dict[str, Any]:
    return pack_labels("the labels of the rows", index, "Fit to data.reset_index(drop=True)")


def _named(grouping: Grouping) -> dict[str, Any]:
    return {"name": grouping.name, "levels": _packed_levels(grouping, grouping.levels)}


def _packed_levels(grouping: Grouping, levels: pd.Index[Any]) -> dict[str, Any]:
    what, advice = f"the levels of {grouping.name!r}", "Fit to data with text labels, .astype(str)"
    return pack_labels(what, levels, advice)


def _structure(record: Sequence[Any]) -> CovarianceStructure:
    if record[0] in STRUCTURES:
        return structure_from(record)
    return Unstructured(record[1]) if record[0] == "linear" else Diagonal(record[1])


def _known_arrays(f: int, known: Known) -> dict[str, Any]:
    """Return the arrays of the relationships of a block."""
    if not known.is_sparse:
        return {f"known{f}": known.given}
    own = known.given
    return {f"known{f}_{name}": getattr(own, name) for name in ("data", "indices", "indptr")}


def _known_matrix(f: int, arrays: Mapping[str, Array]) -> Any:
    """Return the matrix that `_known_arrays` stored, or None."""
    if f"known{f}_data" not in arrays:
        return arrays.get(f"known{f}")
    parts = tuple(arrays[f"known{f}_{name}"] for name in ("data", "indices", "indptr"))
    return sparse.csc_array(parts, shape=(parts[2].size - 1,) * 2)


def _block(stored: Mapping[str, Any], codes: Array, z: Array, known: Any) -> RandomBlock:
    parts = tuple(_structure(record) for record in stored["terms"])
    own = codes.astype(np.int64) if isinstance(codes, np.ndarray) else codes
    labels = tuple(map(unpack_index, stored.get("parts", ())))
    grouping = Grouping(stored["name"], own, unpack_index(stored["levels"]), labels)
    sizes, sources = tuple(p.k for p in parts), tuple(stored.get("sources", ()))
    related = None if known is None else Known(known, grouping.levels.tolist(), inverse=stored["known"])
    if related is not None and "inbreeding" in stored:
        related.inbreeding = pd.Series(stored["inbreeding"], index=grouping.levels, name="inbreeding")
    return RandomBlock(grouping, tuple(stored["effects"]), z, BlockDiagonal(parts), sizes, sources, related)


def _many(stored: Mapping[str, Any], codes: Array) -> ManyLevelFactor:
    grouping = Grouping(stored["name"], codes.astype(np.int64), unpack_index(stored["levels"]))
    return ManyLevelFactor(grouping, stored["first"], tuple(stored["names"]))


def pack_summed(summed: SummedRows) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the arrays of cross-products without rows."""
    design, pairs = summed.design, sparse.csr_array(sparse.triu(summed.pairs))
    header = design_header(design) | {
        "kind": "products",
        "summed": {
            "n": design.n,
            "count": summed.count,
            "rows": summed.rows,
            "digest": str(summed.digest),
            "log_weights": summed.log_weights,
            "weights": summed.weights,
            "offset": design.offset is not None,
            "parts": summed.parts,
        },
    }
    arrays: dict[str, Any] = {
        "plain": summed.plain,
        "own": summed.own,
        "U": summed.U,
        "sides": summed.sides,
        "border": summed.border,
    }
    arrays |= {"pairs": compact(pairs.data), "pairs_indptr": compact(pairs.indptr)}
    arrays["pairs_indices"] = compact(pairs.indices)
    arrays |= {f"P{f}": own for f, own in enumerate(summed.P)}
    arrays |= {f"used{f}": own for f, own in enumerate(summed.used)}
    return header, arrays


def unpack_summed(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> SummedRows:
    """Return the cross-products stored in a header and arrays."""
    own = header["summed"]
    n = int(own["n"])
    given = {"weights": own["weights"] is not None, "offset": bool(own["offset"])}
    design = _design_of(header, arrays, n, AbsentRows("a file has their cross-products only."), given)
    count = len(design.blocks)
    return SummedRows(
        design=design,
        plain=arrays["plain"],
        own=arrays["own"],
        count=int(own["count"]),
        U=arrays["U"],
        P=tuple(arrays[f"P{f}"] for f in range(count)),
        pairs=_pairs(arrays, len(arrays["sides"])),
        sides=arrays["sides"],
        border=arrays["border"],
        rows=int(own["rows"]),
        digest=int(own["digest"]),
        log_weights=float(own["log_weights"]),
        weights=None if own["weights"] is None else tuple(own["weights"]),
        used=tuple(arrays[f"used{f}"].astype(bool) for f in range(count)),
        parts=int(own["parts"]),
    )


def with_design(
    header: Mapping[str, Any], arrays: Mapping[str, Any], design: Design
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a header and arrays with what predictions need of a design, for `design_without_rows`."""
    known = [
        _known_arrays(f, block.known) for f, block in enumerate(design.blocks) if block.known is not None
    ]
    own = design_header(design) | {"n": design.n, **header}
    return own, {**arrays, **{name: array for part in known for name, array in part.items()}}


def design_without_rows(header: Mapping[str, Any], arrays: Mapping[str, Array], where: str) -> Design:
    """Return the design that `with_design` stored; a message about its rows says where they are."""
    return _design_of(header, arrays, int(header["n"]), AbsentRows(where), {})


def _design_of(
    header: Mapping[str, Any],
    arrays: Mapping[str, Array],
    n: int,
    absent: AbsentRows,
    given: Mapping[str, bool],
) -> Design:
    """Return the design of a header, with placeholders for what has a value for each row."""
    stand_ins: dict[str, Any] = {"y": absent.array(n), "X": absent.array(n, len(header["x_names"]))}
    stand_ins |= {name: absent.array(n) for name, present in given.items() if present}
    for f, block in enumerate(header["blocks"]):
        stand_ins |= {f"codes{f}": absent.array(n), f"z{f}": absent.array(n, len(block["effects"]))}
    stand_ins |= {f"many{f}": np.zeros(0, np.int64) for f in range(len(header["many"]))}
    known = {name: array for name, array in arrays.items() if name.startswith("known")}
    return replace(read_design(header, {**known, **stand_ins}), absent=absent)


def _pairs(arrays: Mapping[str, Array], q: int) -> sparse.csr_array:
    """Return the products of all pairs of effects, of which a file has those above the diagonal and on it."""
    data = np.asarray(arrays["pairs"], dtype=np.float64)
    if "pairs_row" in arrays:  # a file of an earlier version has all
        return sparse.csr_array((data, (arrays["pairs_row"], arrays["pairs_column"])), shape=(q, q))
    places = (arrays["pairs_indices"].astype(np.int64), arrays["pairs_indptr"].astype(np.int64))
    upper = sparse.csr_array((data, *places), shape=(q, q))
    return sparse.csr_array(upper + sparse.triu(upper, 1).T)


def read_design(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Design:
    """Return the design stored in a header and arrays."""
    blocks = [
        _block(b, arrays[f"codes{f}"], arrays[f"z{f}"], _known_matrix(f, arrays))
        for f, b in enumerate(header["blocks"])
    ]
    many = [_many(m, arrays[f"many{f}"]) for f, m in enumerate(header["many"])]
    parsed = parse_formula(header["formula"], expand=header.get("expand", "levels"))
    x_names = tuple(header["x_names"])
    recipe = unpack(
        header.get("recipe"),
        parsed,
        x_names,
        blocks=[(block.name, block.grouping.levels) for block in blocks],
        many=[(f.grouping.name, f.grouping.levels, f.first) for f in many],
    )
    return Design(
        formula=parsed,
        y=arrays["y"],
        X=arrays["X"],
        x_names=x_names,
        blocks=tuple(blocks),
        many=tuple(many),
        weights=arrays.get("weights"),
        offset=arrays.get("offset"),
        index=unpack_index(header["index"]),
        dropped=header["dropped"],
        recipe=recipe,
        excluded=Excluded(unpack_index(header["all_index"]), arrays["rows_used"].astype(np.int64))
        if "rows_used" in arrays
        else None,
    )
