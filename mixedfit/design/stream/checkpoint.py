"""`Checkpoint`: what was read of a pass over a source, kept in a file from which the pass can go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from mixedfit.core.errors import DataError
from mixedfit.core.state_file import read_state, write_state
from mixedfit.formula.parse import ParsedFormula

from .digest import row_digest
from .in_parts import part_reader, parts_of
from .reader import BatchReader, RowCounts
from .scan import RowScanner, Scan

__all__ = ["Checkpoint", "scan_with_checkpoint"]

FORMAT = "mixedfit checkpoint 1"

INTERVAL = 5.0
"""Seconds between two writes of the file."""


class Checkpoint:
    """A file with the state of a pass, written every few seconds between two parts of the source.

    Parameters
    ----------
    path : str or Path
        If the file exists, the pass goes on from its state.
    parsed : ParsedFormula
    reader : BatchReader

    Raises
    ------
    DataError
        If the file is of another model or source, or the source's files have changed since.
    """

    def __init__(self, path: str | Path, parsed: ParsedFormula, reader: BatchReader) -> None:
        self.path, self.reader = Path(path), reader
        self.model = {
            "formula": parsed.source,
            "expand": parsed.expand,
            "columns": list(reader.source.columns),
            "weights": reader.weights,
            "offset": reader.offset,
            "missing": reader.missing,
            "batch_rows": reader.source.batch_rows,
        }
        self.files = reader.source.state_of_files()
        self.stored: dict[str, Any] = {}
        self.written = perf_counter()
        if self.path.exists():
            self.stored = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            stored = read_state(self.path)
        except DataError as error:
            raise DataError(f"checkpoint={str(self.path)!r}: {error} Give the name of a new file.") from None
        if stored.get("format") != FORMAT:
            raise DataError(f"{str(self.path)!r} is no checkpoint of mixedfit. Give the name of a new file.")
        different = [name for name, own in self.model.items() if stored["model"].get(name) != own]
        if different:
            raise DataError(
                f"the checkpoint {str(self.path)!r} is of another model: {different[0]} was "
                f"{stored['model'].get(different[0])!r} and is {self.model[different[0]]!r}. Give the name of a new "
                "file, or remove this one."
            )
        if stored["files"] != self.files:
            raise self.changed("its files have other sizes or times")
        return stored

    def changed(self, what: str) -> DataError:
        """Return the error for a source that has changed."""
        return DataError(
            f"{self.reader.source.name} has changed since the checkpoint {str(self.path)!r} was written: {what}. "
            "Remove the checkpoint to begin again."
        )

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state of a pass."""
        write_state(self.path, {"format": FORMAT, "model": self.model, "files": self.files, **state})
        self.written = perf_counter()

    def is_due(self) -> bool:
        """Return whether `INTERVAL` has passed since the file was written."""
        return perf_counter() - self.written >= INTERVAL

    def remove(self) -> None:
        """Remove the file when both passes are complete."""
        self.path.unlink(missing_ok=True)

    def readers(self, done: int, digest: int) -> Iterator[tuple[int, BatchReader]]:
        """Yield the numbers and readers of the parts from number `done` on.

        Earlier parts of files are not read; those of other sources are, to compare the sum of hashes of their rows
        with `digest`.

        Raises
        ------
        DataError
            If they are not the rows that had been read.
        """
        found, earlier = 0, 0
        for number, item in enumerate(parts_of(self.reader)):
            own = part_reader(self.reader, item)
            if number >= done:
                yield number, own
                continue
            earlier += 1
            if self.files:
                continue
            for frame in own.frames(RowCounts()):
                columns = (frame.columns[name] for name in own.names)
                found = (found + row_digest(columns, len(frame.index))) % 2**64
            if earlier == done and found != digest:
                raise self.changed("it yields other rows")
        if earlier < done:
            raise self.changed("it has fewer rows")


def scan_with_checkpoint(
    checkpoint: Checkpoint,
    parsed: ParsedFormula,
    reader: BatchReader,
    context: Mapping[str, Any],
    report: Callable[[RowCounts], None],
) -> Scan:
    """Return what the first pass over a source teaches, as `scan_rows` does, from the checkpoint's state on."""
    scanner, stored = RowScanner(parsed, reader, context), checkpoint.stored
    if stored:
        scanner.restore(stored["scanner"])
    if stored.get("pass") != "second":
        done = stored.get("parts", 0)
        for number, part in checkpoint.readers(done, scanner.digest):
            for frame in part.frames(scanner.counts, report):
                scanner.add(frame)
            if checkpoint.is_due():
                checkpoint.save({"pass": "first", "parts": number + 1, "scanner": scanner.state()})
        checkpoint.stored = {"pass": "second", "parts": 0, "scanner": scanner.state()}
        checkpoint.save(checkpoint.stored)
    return scanner.scan(parsed, reader.needed, context)
