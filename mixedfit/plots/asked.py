"""What is said where `ax=` is given to a function that makes a figure, or is not axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

from ..errors import ModelError

__all__ = ["check_axes", "check_count", "whole_figure"]

P = ParamSpec("P")
T = TypeVar("T")


def whole_figure(instead: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator of functions that make a figure of their own: `ax=` is refused in words, with what to do."""

    def decorate(draw: Callable[P, T]) -> Callable[P, T]:
        @wraps(draw)
        def wrapped(*args: P.args, **options: P.kwargs) -> T:
            if "ax" in options:
                raise ModelError(
                    f"{draw.__name__} takes no ax=: it makes a figure of its own and returns it. {instead}".rstrip()
                    + "."
                )
            return draw(*args, **options)

        return wrapped

    return decorate


def check_count(name: str, count: int, expected: str = "a whole number of at least 1") -> int:
    """Return a number of things to draw.

    Raises
    ------
    ModelError
        If it is not a whole number of at least 1.
    """
    if not isinstance(count, Integral) or count < 1:
        raise ModelError(f"{name}={count!r}; expected {expected}.")
    return int(count)


def check_axes(ax: Any) -> Any:
    """Return axes.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if hasattr(ax, "transAxes") and hasattr(ax, "scatter"):
        return ax
    advice = "give one of them, such as axes[0]" if hasattr(ax, "__len__") else "make some by plt.subplots()"
    if hasattr(ax, "add_subplot"):
        advice = "it is a figure; give one of its axes, such as figure.axes[0]"
    raise ModelError(f"ax={ax!r} is not an Axes of matplotlib; {advice}.")
