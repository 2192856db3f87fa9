"""Results by grouping factor: a mapping whose unknown names raise an error with the known ones."""

from __future__ import annotations

from typing import TypeVar

from .errors import ModelError, nearest

__all__ = ["ByFactor"]

_T = TypeVar("_T")


class ByFactor(dict[str, _T]):
    """Results by grouping factor; an unknown name raises a `ModelError` with a hint.

    Examples
    --------
    >>> ByFactor({"rat": 1})["Rat"]
    Traceback (most recent call last):
    mixedfit.ModelError: 'Rat' is not a grouping factor (known: rat). Did you mean 'rat'?
    """

    def __missing__(self, name: object) -> _T:
        raise ModelError(
            f"{name!r} is not a grouping factor (known: {', '.join(self)}). {nearest(str(name), self)}".rstrip()
        )
