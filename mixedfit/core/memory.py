"""Free memory, and the warning where what is needed exceeds it."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import MemoryWarning, warn

__all__ = ["check_memory", "free_memory"]

SMALL = 1 << 28
"""Bytes below which nothing is checked: 256 MB."""

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limit of memory is, by control groups of version 2."""


def free_memory() -> int | None:
    """Return the number of bytes that are free, within the limit of a container; None if the system does not say."""
    known = [own for own in (_free_of_machine(), _free_of_container()) if own is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _free_of_container() -> int | None:
    try:
        limit = int((CGROUP / "memory.max").read_text())
        return max(limit - int((CGROUP / "memory.current").read_text()), 0)
    except (OSError, ValueError):  # "max" means no limit
        return None


def check_memory(needed: int, what: str, advice: str) -> None:
    """Warn if more bytes are needed than are free.

    Parameters
    ----------
    needed : int
    what : str
        What needs them, in words.
    advice : str
        What to do.
    """
    if needed < SMALL:
        return
    free = free_memory()
    if free is not None and needed > free:
        warn(
            f"{what} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free. The system may end "
            f"the process. {advice}",
            MemoryWarning,
        )
