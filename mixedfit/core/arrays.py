"""Type aliases of arrays, for annotations."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
"""A float64 array; docstrings of records and functions state its shape."""

IntArray: TypeAlias = NDArray[np.int64]
"""An int64 array: codes, indices, row pointers."""

BoolArray: TypeAlias = NDArray[np.bool_]
"""A boolean array."""

AnyArray: TypeAlias = NDArray[Any]
"""An array of any type."""
