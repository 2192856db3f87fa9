"""`Tree`: pairwise reduction whose shape depends on the numbers of the results only, not on when they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Tree"]


class Tree:
    """Reduction of numbered results: 0 with 1, 2 with 3, then these with each other.

    Parameters
    ----------
    combine : callable
        (left, right) → their combination; it may not change them.
    """

    def __init__(self, combine: Callable[[Any, Any], Any]) -> None:
        self.combine = combine
        self.nodes: dict[tuple[int, int], Any] = {}

    def add(self, number: int, value: Any) -> None:
        """Add the result with a number, once."""
        level = 0
        while (level, number ^ 1) in self.nodes:
            other = self.nodes.pop((level, number ^ 1))
            value = self.combine(other, value) if number & 1 else self.combine(value, other)
            level, number = level + 1, number >> 1
        self.nodes[level, number] = value

    def result(self) -> Any:
        """Return the combination of all results in the order of their numbers; None if there are none."""
        rest = sorted(self.nodes, key=lambda node: node[1] << node[0])
        if not rest:
            return None
        out = self.nodes[rest[-1]]
        for node in reversed(rest[:-1]):
            out = self.combine(self.nodes[node], out)
        return out
