"""A program that fits from a folder with a checkpoint, slowly, and prints the file of each part it reads.

Arguments: folder, checkpoint. Tests interrupt it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import mixedfit as mf
from mixedfit.design.stream import checkpoint, pieces

FORMULA = "y ~ f + center(x):f + (x | g) + (1 | h) + (1 | g:h)"


def slowly(self: pieces.ParquetRows, names: Sequence[str]) -> Iterator[Any]:
    """Yield the tables of a part after a while."""
    print(self.pieces[0][0], flush=True)
    time.sleep(0.05)
    yield from read(self, names)


read = pieces.ParquetRows.__call__

if __name__ == "__main__":
    pieces.ParquetRows.__call__ = slowly  # type: ignore[method-assign]
    checkpoint.INTERVAL = 0.0
    fit = mf.lmm(FORMULA, sys.argv[1], batch_rows=40, checkpoint=sys.argv[2]).fit()
    print("done", flush=True)
