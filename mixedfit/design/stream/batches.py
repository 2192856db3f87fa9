"""The second pass over a source: a design of each batch, with the levels and transforms of all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, FormulaError
from mixedfit.design.design import Design, RandomBlock, add_offsets
from mixedfit.design.grouping import Grouping
from mixedfit.design.model_frame import ModelFrame
from mixedfit.design.model_matrix import CONTEXT, Matrices, check_finite, plain_matrices
from mixedfit.design.recipe.recipe import evaluate_spec
from mixedfit.formula.parse import random_key

from .checkpoint import Checkpoint
from .digest import row_digest
from .levels import ColumnCoder, GroupCoder
from .reader import BatchReader, RowCounts
from .scan import Scan

__all__ = ["SAME", "BatchDesigns", "Walked"]

SAME = "The source must yield the same rows each time: write them to a file first, or fix the seed of what makes them."


@dataclass(eq=False)
class Walked:
    """The rows walked so far: their numbers, the sum of their hashes, and whether a batch was checked."""

    counts: RowCounts = field(default_factory=RowCounts)
    digest: int = 0
    checked: bool = False


@dataclass(frozen=True, eq=False)
class BatchDesigns:
    """Makes the designs of batches.

    Attributes
    ----------
    design : Design
        Of all rows, without them.
    matrices : Matrices
        Of the skeleton of the rows, with the specifications of the parts.
    groups : tuple of (GroupCoder, tuple of str, tuple of str)
        Of each block: its codes, the columns of the grouping factor, and the keys of the parts of its effects.
    many : tuple of (GroupCoder, str)
        Of each many-level fixed factor: its codes and its column.
    labels : dict of str to ColumnCoder
        Columns of labels.
    scan : Scan
    reader : BatchReader
    context : mapping
    checkpoint : Checkpoint or None
    """

    design: Design
    matrices: Matrices
    groups: tuple[tuple[GroupCoder, tuple[str, ...], tuple[str, ...]], ...]
    many: tuple[tuple[GroupCoder, str], ...]
    labels: dict[str, ColumnCoder]
    scan: Scan
    reader: BatchReader
    context: Mapping[str, Any]
    checkpoint: Checkpoint | None = None

    def walk(self, report: Callable[[RowCounts], None] | None = None) -> Iterator[tuple[Design, ModelFrame]]:
        """Yield the design and the model frame of each batch.

        Raises
        ------
        DataError
            If the rows are not those of the first pass.
        """
        walked = Walked()
        yield from self.walk_part(self.reader, walked, report)
        self.check(walked)

    def walk_part(
        self, reader: BatchReader, walked: Walked, report: Callable[[RowCounts], None] | None = None
    ) -> Iterator[tuple[Design, ModelFrame]]:
        """Yield the design and the model frame of each batch of a part; add its rows to those walked."""
        for raw in reader.frames(walked.counts, report):
            frame = self._frame(raw)
            own = row_digest(self._read_columns(raw), len(raw.index))
            walked.digest = (walked.digest + own) % 2**64
            arrays = self._arrays(frame)
            if not walked.checked:
                self._check_rows_alone(frame, arrays)
                walked.checked = True
            yield self._design(frame, arrays), frame

    def check(self, walked: Walked) -> None:
        """Raise `DataError` if the rows are not those of the first pass."""
        first, counts = self.scan.counts, walked.counts
        if (counts.read, counts.dropped, walked.digest) != (first.read, first.dropped, self.scan.digest):
            what = (
                f"{first.read} rows in the first pass and {counts.read} in this one"
                if counts.read != first.read
                else "other values than in the first pass"
            )
            raise DataError(f"{self.reader.source.name} gave {what}. {SAME}")

    def _read_columns(self, raw: ModelFrame) -> Iterator[pd.Series[Any]]:
        return (raw.columns[name] for name in self.reader.names)

    def _frame(self, raw: ModelFrame) -> ModelFrame:
        """Return a batch with numbers in the type, and labels with the levels, of all rows."""
        columns = {}
        for name, column in raw.columns.items():
            scan = self.scan.columns[name]
            if bool(scan.labels) != isinstance(column.dtype, pd.CategoricalDtype):
                raise DataError(
                    f"column {name!r} holds another kind of values than in the first pass over the rows. The source "
                    "must yield the same rows each time."
                )
            if scan.labels:
                coder = self.labels[name]
                own: Any = pd.Categorical.from_codes(coder.codes(column), categories=coder.levels)
                columns[name] = pd.Series(own, index=column.index, name=name)
            else:
                columns[name] = scan.column(column.to_numpy(), column.index)
        return replace(raw, columns=columns)

    def _arrays(self, frame: ModelFrame) -> dict[str, Array]:
        """Return the matrix of each part of the formula."""
        values, n = self.matrices, len(frame.index)
        if values.specs is None:
            made = plain_matrices(values.formula, frame.columns, n)
            assert made is not None, "the same terms were products of numbers in the first pass"
            arrays = {key: array for key, (_, array) in made.items()}
        else:
            data = pd.DataFrame(frame.columns, copy=False)
            context = {**CONTEXT, **self.context}
            arrays = {
                key: evaluate_spec(spec, data, context, self.design.formula)
                for key, spec in values.specs.items()
            }
        if values.many and not values.many[0][1]:  # the levels span the intercept
            arrays["X"] = np.ascontiguousarray(arrays["X"][:, 1:])
        self._check(frame, arrays)
        return arrays

    def _check(self, frame: ModelFrame, arrays: Mapping[str, Array]) -> None:
        whats = {"y": "the response", "X": "a fixed-effect column", "Z": "a random effect's column"}
        for key, array in arrays.items():
            names = tuple(str(j) for j in range(array.shape[1]))
            if key == "X":
                names = self.design.x_names
            elif key in self.matrices.random:
                names = self.matrices.random[key][0]
            elif array.shape[1] == 1:
                names = (self.design.formula.response,) if key == "y" else ("offset",)
            check_finite(names, array, frame, whats.get(key[0], "an offset"))

    def _check_rows_alone(self, frame: ModelFrame, arrays: Mapping[str, Array]) -> None:
        """Raise `FormulaError` if the values of a row depend on the other rows of its batch."""
        n = len(frame.index)
        if self.matrices.specs is None or n < 2:
            return
        for rows in (slice(0, n // 2), slice(n // 2, n)):
            part = replace(
                frame,
                columns={name: column.iloc[rows] for name, column in frame.columns.items()},
                index=frame.index[rows],
            )
            for key, array in self._arrays(part).items():
                whole = arrays[key][rows]
                differ = np.abs(array - whole) > 1e-9 * np.maximum(np.abs(whole), 1.0)
                if differ.any():
                    spec = self.matrices.specs[key]
                    name = str(spec.column_names[int(np.flatnonzero(differ.any(axis=0))[0])])
                    raise FormulaError(
                        f"{name!r}: the value of a row depends on the other rows, such as a mean over all of them, "
                        "and rows are read in batches. Use center() or scale(), which learn from all rows, or compute "
                        "the column before.",
                        source=self.design.formula.source,
                    )

    def _design(self, frame: ModelFrame, arrays: Mapping[str, Array]) -> Design:
        """Return the design of a batch."""
        design = self.design
        X = arrays["X"]
        random = {
            key: X if key == random_key(design.formula.matrices.X) and not design.many else arrays[key]
            for _, _, keys in self.groups
            for key in keys
        }
        offsets = [array[:, 0] for key, array in arrays.items() if key.startswith("O")]
        offset = add_offsets(frame.offset, offsets)
        y = np.ascontiguousarray(arrays["y"][:, 0])
        blocks = tuple(self._block(block, frame, random, f) for f, block in enumerate(design.blocks))
        return replace(
            design,
            y=y if offset is None else y - offset,
            X=X,
            blocks=blocks,
            many=tuple(
                replace(factor, grouping=replace(factor.grouping, codes=coder.codes([frame.columns[name]])))
                for factor, (coder, name) in zip(design.many, self.many, strict=True)
            ),
            weights=frame.weights,
            offset=offset,
            index=frame.index,
            absent=None,
        )

    def _block(
        self, block: RandomBlock, frame: ModelFrame, random: Mapping[str, Array], f: int
    ) -> RandomBlock:
        coder, columns, keys = self.groups[f]
        codes = coder.codes([frame.columns[name] for name in columns])
        arrays = [random[key] for key in keys]
        z = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
        own = block.grouping
        return replace(block, grouping=Grouping(own.name, codes, own.levels, own.parts), z=z)
