"""Rows that are not in memory: what stands for their arrays, and the sums over them that answers need.

The rows of a model from a file or from cross-products are not kept. `AbsentRows` has what is known of them;
`AbsentArray` stands for an array with a row each and refuses, in words, to be computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import ModelError

__all__ = ["AbsentArray", "AbsentRows", "RowTotals"]

ADVICE = (
    "Estimates, tests, intervals, random effects, means and predictions of further rows need no rows. For the rest fit "
    "the model to a frame with the rows, or with a sample of them."
)


def refusal(where: str) -> str:
    """Return the message for what needs rows that are not in memory."""
    return f"the rows of this model are not in memory: {where} {ADVICE}"


class AbsentArray:
    """Stands for an array with an element or row for each row of the data; it has a shape and no values.

    Parameters
    ----------
    shape : tuple of int
    where : str
        What the rows are in, and what to do to have them.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, shape: tuple[int, ...], where: str) -> None:
        self.shape = shape
        self.where = where

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def columns(self, count: int) -> AbsentArray:
        """Return what stands for some columns of a matrix."""
        return AbsentArray((self.shape[0], count), self.where)

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return AbsentArray, (self.shape, self.where)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise ModelError(refusal(self.where))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    __array__ = __array_ufunc__ = __array_function__ = __getitem__ = __iter__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __eq__ = __ne__ = _refuse
    __hash__ = object.__hash__
    __matmul__ = __rmatmul__ = __neg__ = __gt__ = __ge__ = __lt__ = __le__ = _refuse


@dataclass(frozen=True, slots=True, eq=False)
class RowTotals:
    """Sums over the rows that answers need beside the cross-products.

    Attributes
    ----------
    rows, counted : int
        Number of complete rows, and of those with a positive weight.
    columns : ndarray, shape (c, c)
        R with RᵀR = CᵀC for the distinct columns C of [1 X Z₁ Z₂ … y] on the counted rows, without weights.
    fixed : tuple of int
        Places of the columns of X in C.
    effects : tuple of tuple of int
        Places of the columns of each block's Z in C.
    weights : tuple of float, or None
        Lowest and highest positive weight, Σ w and Σ 1/w; None without weights.
    levels : tuple of int
        Number of levels of each block with a counted row.
    same : ndarray of bool, shape (blocks, blocks)
        Whether two blocks divide the counted rows into the same groups.
    digest : int
        Sum over the rows of a hash of response and weight; equal for the same rows in another order.
    """

    rows: int
    counted: int
    columns: Array
    fixed: tuple[int, ...]
    effects: tuple[tuple[int, ...], ...]
    weights: tuple[float, float, float, float] | None
    levels: tuple[int, ...]
    same: BoolArray
    digest: int

    @property
    def equal_weights(self) -> bool:
        """Whether all positive weights are equal."""
        return self.weights is None or self.weights[0] == self.weights[1]


@dataclass(eq=False)
class AbsentRows:
    """What is known of rows that are not in memory.

    Attributes
    ----------
    where : str
        What they are in, in words, and what to do to have them.
    totals : RowTotals or None
        None until they have been summed.
    products : CrossProducts or None
        Their cross-products, None until they have been summed.
    summed : SummedRows or None
        The cross-products in a form that can be saved and merged, if they came in it.
    read : callable or None
        Returns an iterator of designs of one batch of rows each; None if the rows cannot be read again.
    """

    where: str
    totals: RowTotals | None = None
    products: Any = None
    summed: Any = None
    read: Callable[[], Iterator[Any]] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, without the function that reads the rows."""
        return {**self.__dict__, "read": None}

    @property
    def refusal(self) -> str:
        """The message for what needs the rows."""
        return refusal(self.where)

    def derived(self, change: Callable[[Any], Any]) -> AbsentRows:
        """Return the rows of a design that a function makes of each batch of this one's."""
        read = self.read
        if read is None:
            return AbsentRows(self.where)
        return AbsentRows(self.where, read=lambda: (change(batch) for batch in read()))

    def array(self, *shape: int) -> Any:
        """Return what stands for an array of the rows."""
        return AbsentArray(shape, self.where)

    def known_totals(self) -> RowTotals:
        """Return the sums over the rows."""
        if self.totals is None:
            raise ModelError(self.refusal)
        return self.totals
