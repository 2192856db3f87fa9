"""Functions of `mixedfit.plots` as methods of what they draw."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["bound"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def bound(draw: Callable[Concatenate[Any, _P], _T]) -> Callable[Concatenate[Any, _P], _T]:
    """Return a function of a fit or a posterior as a method of an object that holds it as `_subject`.

    The docstring and the signature are those of the function less its first parameter.
    """

    @wraps(draw)
    def method(self: Any, /, *args: _P.args, **options: _P.kwargs) -> _T:
        return draw(self._subject, *args, **options)

    subject = next(iter(inspect.signature(draw).parameters))
    method.__doc__ = _without(inspect.getdoc(draw) or "", subject)
    return method


def _without(text: str, parameter: str) -> str:
    """Return a docstring without a parameter, and without the head of a list of parameters that is empty then.

    Examples
    --------
    >>> _without("Draw.\\n\\nParameters\\n----------\\nfit : Fit\\n    One.\\nax : Axes", "fit")
    'Draw.\\n\\nParameters\\n----------\\nax : Axes'
    >>> _without("Draw.\\n\\nParameters\\n----------\\nfit : Fit\\n\\nReturns\\n-------\\nAxes", "fit")
    'Draw.\\n\\nReturns\\n-------\\nAxes'
    """
    text = re.sub(rf"^{parameter} : .*\n(?: +.*\n)*", "", text, count=1, flags=re.MULTILINE)
    return text.replace("Parameters\n----------\n\n", "")
