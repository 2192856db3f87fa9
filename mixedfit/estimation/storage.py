"""Fits on disk: arrays and JSON text in one npz file, which holds no executable content."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.whole_file import whole_file
from mixedfit.crossproducts.summed import products_of, settled_design, sum_rows

from .answers import packed_answers
from .convergence import Convergence
from .design_storage import design_arrays, design_header, pack_summed, read_design, unpack_summed
from .fit import Fit, criterion_of
from .information import Information
from .residual_quantiles import residual_quartiles
from .residual_storage import pack_residual, unpack_residual

__all__ = ["Rebuild", "read", "write", "write_file"]

FORMAT = "mixedfit 1"

QUICK_TAIL = 500
"""Effects behind the first factor up to which answers are computed for a file."""

Rebuild: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


def write(fit: Fit, path: str | Path, *, rows: bool = True) -> None:
    """Write a fit to a file: its design, or with `rows` false the cross-products in place of the rows.

    Raises
    ------
    ModelError
        If the rows are not in memory and are to be written.
    """
    if not rows:
        summed = sum_rows(fit.design)
        header, arrays = pack_summed(summed)
        header |= {**_outcome(fit), "kind": "fit", "quantiles": residual_quartiles(fit).tolist()}
        write_file(path, header, {**arrays, "theta": fit.theta, **_answers(fit, rows=False)})
        return
    if fit.design.absent is not None:
        raise ModelError(
            f"{fit.design.absent.refusal} To save the fit without them: fit.save(path, rows=False)."
        )
    residual, arrays = pack_residual(fit.residual)
    header = _header(fit) | ({} if residual is None else {"residual": residual})
    write_file(path, header, {**design_arrays(fit.design), "theta": fit.theta, **arrays, **_answers(fit)})


def _answers(fit: Fit, *, rows: bool = True) -> dict[str, Array]:
    """Return a fit's answers as arrays of a file.

    Without rows these hold what was, or now is, computed from them, unless that takes long.
    """
    if not rows and fit.design.blocks and fit.cross.q_tail <= QUICK_TAIL:
        _ = Information(fit).parameter_covariance
    return {f"answer_{name}": own for name, own in packed_answers(fit).items()}


def write_file(path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write a JSON header and arrays to a file; a file that was there stays until the new one is complete."""
    text = np.frombuffer(json.dumps({"format": FORMAT, **header}).encode(), dtype=np.uint8)
    arrays = {**arrays, "header": text}
    objects = [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]
    if objects:  # numpy would pickle them
        raise DataError(f"cannot write {str(path)!r}: {objects[0]!r} holds Python objects, expected numbers.")
    try:
        with whole_file(path) as file:
            _write_arrays(file, arrays)
    except (OSError, TypeError) as error:
        raise DataError(f"cannot write {str(path)!r}: {error}") from None


def _write_arrays(file: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write an npz file, as `numpy.savez_compressed` with the quickest compression."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def _header(fit: Fit) -> dict[str, Any]:
    """Return the part of a fit that is stored as JSON: names, levels, options, convergence."""
    return {**design_header(fit.design), **_outcome(fit)}


def _outcome(fit: Fit) -> dict[str, Any]:
    """Return the options and the convergence of a fit."""
    return {
        "reml": fit.reml,
        "sigma": fit.held_sigma,
        "convergence": asdict(fit.convergence),
        "timing": dict(fit.timing),
    }


def read(path: str | Path, others: Mapping[str, Rebuild] | None = None) -> Any:
    """Return the fit in a file written by `write`, or the object of another kind that the header names.

    Parameters
    ----------
    path : str or Path
    others : mapping of str to callable, optional
        For each other kind, a function of header and arrays that returns the object.

    Raises
    ------
    DataError
        If the file does not exist, is of another format, or is damaged.
    """
    try:
        with open(path, "rb") as source, np.load(source, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays["header"].tobytes().decode())
        if header["format"] != FORMAT:
            raise DataError(
                f"{path}: format {header['format']!r} is not known; this version reads {FORMAT!r}."
            )
        kind = header.get("kind", "fit")
        return _rebuild(header, arrays) if kind == "fit" else (others or {})[kind](header, arrays)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {str(path)!r}.") from None
    except (KeyError, ValueError, zipfile.BadZipFile, EOFError, OSError, TypeError, IndexError) as error:
        reason = "" if "pickle" in str(error) else f" ({error})"
        raise DataError(f"{path} is not a fit saved by mixedfit, or is damaged{reason}.") from None


def _rebuild(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Fit:
    if "summed" in header:
        design = settled_design(unpack_summed(header, arrays), "the file of the fit was saved without them.")
    else:
        design = read_design(header, arrays)
    residual = None
    if "residual" in header:
        design, residual, cross = unpack_residual(header["residual"], arrays, design)
    else:
        cross = products_of(design)
    convergence = dict(header["convergence"])
    convergence["singular"] = tuple(convergence["singular"])
    theta = arrays["theta"]
    evaluation = criterion_of(design, cross, header["reml"], header["sigma"])(theta)
    fit = Fit(
        design,
        cross,
        theta,
        header["reml"],
        header["sigma"],
        Convergence(**convergence),
        evaluation,
        header["timing"],
        residual,
        tuple(header["quantiles"]) if "quantiles" in header else None,
    )
    own = {
        name.removeprefix("answer_"): array for name, array in arrays.items() if name.startswith("answer_")
    }
    fit.answers.update(own)
    return fit
