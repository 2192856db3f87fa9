"""`whole_file`: files that are complete or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when it is complete; after an error `path` is as it was.

    Parameters
    ----------
    path : str or Path
        A link is followed. What is no regular file, such as a pipe, is written directly.

    Raises
    ------
    OSError
        If the file cannot be written, as when the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with open(target, "wb") as file:
            yield file
        return
    part = target.with_name(f".{target.name[:100]}.{uuid4().hex[:12]}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            with suppress(OSError):
                os.chmod(part, target.stat().st_mode & 0o7777)
        os.replace(part, target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
