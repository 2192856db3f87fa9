"""Progress line in the terminal."""

from __future__ import annotations

import sys
from time import perf_counter
from types import TracebackType

__all__ = ["Progress"]

PATIENCE = 2.0
"""Seconds before the line is shown."""

INTERVAL = 0.1
"""Seconds between two updates of the line."""


class Progress:
    """One line on standard error that is overwritten at each update.

    Parameters
    ----------
    wanted : bool or None
        Whether to show it; None shows it if standard error is a terminal.
    """

    def __init__(self, wanted: bool | None = None) -> None:
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.begun = perf_counter()
        self.last = 0.0
        self.shown = ""

    def __enter__(self) -> Progress:
        return self

    def update(self, evaluations: int, value: float) -> None:
        """Show the number of evaluations of an optimiser and the criterion."""
        if self.due():
            self._write(f"{evaluations:4d} evaluations, criterion {value:.4f}, {self.last:.0f} s ")

    def count(self, done: int, total: int, what: str) -> None:
        """Show the completed part of a known amount of work, and the time to go."""
        if self.due():
            left = self.last * (total - done) / done if done else float("nan")
            rest = f", about {left:.0f} s to go" if done else ""
            self._write(f"{done} of {total} {what}, {self.last:.0f} s{rest} ")

    def due(self) -> bool:
        """Return whether to write the line: `PATIENCE` has passed, and `INTERVAL` since the last update."""
        seconds = perf_counter() - self.begun
        if not self.wanted or seconds <= PATIENCE or (self.shown and seconds - self.last < INTERVAL):
            return False
        self.last = seconds
        return True

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(len(self.shown)))
        sys.stderr.flush()
        self.shown = text

    def say(self, what: str) -> None:
        """Show the current step."""
        if self.due():
            self._write(f"{what}, {self.last:.0f} s ")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            sys.stderr.write("\n")
            sys.stderr.flush()
