"""Results by grouping factor: a mapping whose unknown names raise an error with the known ones."""

from __future__ import annotations

from typing import TypeVar

from .errors import ModelError, nearest

__all__ = ["ByFactor", "UnknownFactorError"]

_T = TypeVar("_T")


class UnknownFactorError(ModelError, KeyError):
    """A name is not one of the grouping factors; a `KeyError` too, as of any mapping."""

    __str__ = Exception.__str__


class ByFactor(dict[str, _T]):
    """Results by grouping factor; an unknown name raises an error with a hint, a `KeyError` and a `ModelError`.

    Examples
    --------
    >>> ByFactor({"rat": 1})["Rat"]
    Traceback (most recent call last):
    mixedfit.core.by_factor.UnknownFactorError: 'Rat' is not a grouping factor (known: rat). Did you mean 'rat'?
    """

    def __missing__(self, name: object) -> _T:
        raise UnknownFactorError(
            f"{name!r} is not a grouping factor (known: {', '.join(self)}). {nearest(str(name), self)}".rstrip()
        )
