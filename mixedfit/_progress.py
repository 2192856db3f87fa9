"""A line on the terminal for fits that take their time."""

from __future__ import annotations

import sys
from time import perf_counter
from types import TracebackType

__all__ = ["Progress"]

PATIENCE = 2.0
"""Seconds before anything is shown."""


class Progress:
    """Shows evaluations and the best criterion on standard error, if that is a terminal.

    Parameters
    ----------
    wanted : bool or None
        None: on a terminal only.
    """

    def __init__(self, wanted: bool | None = None) -> None:
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.begun = perf_counter()
        self.shown = False

    def __enter__(self) -> Progress:
        return self

    def update(self, evaluations: int, value: float) -> None:
        """Show the state of the search, once `PATIENCE` is over."""
        seconds = perf_counter() - self.begun
        if self.wanted and seconds > PATIENCE:
            self.shown = True
            sys.stderr.write(f"\r{evaluations:4d} evaluations, criterion {value:.4f}, {seconds:.0f} s ")
            sys.stderr.flush()

    def say(self, what: str) -> None:
        """Show in words what is being done, once `PATIENCE` is over."""
        seconds = perf_counter() - self.begun
        if self.wanted and seconds > PATIENCE:
            self.shown = True
            sys.stderr.write(f"\r{what}, {seconds:.0f} s \x1b[K")
            sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            sys.stderr.write("\n")
            sys.stderr.flush()
