"""Tables for scripts: a data frame that prints all its columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from .format import TABLE_WIDTH

__all__ = ["PrintedFrame"]


class PrintedFrame(pd.DataFrame):
    """A data frame whose print has no hidden columns, in lines of at most `TABLE_WIDTH` characters where they fit.

    pandas leaves columns out of tables wider than 80 characters. What is computed from the frame is a plain one.

    Examples
    --------
    >>> print(PrintedFrame({f"column {i}": [0.123456789] for i in range(7)}))
       column 0  column 1  column 2  column 3  column 4  column 5  column 6
    0    0.1235    0.1235    0.1235    0.1235    0.1235    0.1235    0.1235
    """

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def __reduce__(self) -> Any:
        return pd.DataFrame(self).__reduce__()

    def __repr__(self) -> str:
        with pd.option_context(
            "display.width", TABLE_WIDTH, "display.max_columns", None, "display.precision", 4
        ):
            return super().__repr__()

    __str__ = __repr__
