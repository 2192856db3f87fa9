"""The base of correlations within groups of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .parts import CorrelationLaw, Layout
from .structure import Factor, check_column_name
from .variances import VarIdent

__all__ = ["CorrelationStructure"]


@dataclass(frozen=True)
class CorrelationStructure(Factor):
    """A correlation matrix within groups of rows."""

    role: ClassVar[str] = "correlation"
    kind: ClassVar[str] = "order"
    """What places rows within a group: "order" (whole numbers), "time" (numbers), "visit" (labels), "none"."""

    def __post_init__(self) -> None:
        name, needed = type(self).__name__, self.kind in ("time", "visit")
        argument = {"visit": "visit", "coordinates": "a coordinate"}.get(self.kind, "time")
        for column in self.place or ((None,) if needed else ()):
            check_column_name(name, argument, column, needed=self.kind != "order")
        check_column_name(name, "group", self.group_name, needed=False)
        check_column_name(name, "by", self.by_name, needed=False)

    @property
    def place(self) -> tuple[str, ...]:
        """Columns of time, visit or coordinates."""
        column: str | None = getattr(self, "visit", getattr(self, "time", None))
        return () if column is None else (column,)

    @property
    def group_name(self) -> str | None:
        """The grouping column as given, None for the default."""
        name: str | None = getattr(self, "group", None)
        return name

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Columns of the grouping: ``"a:b"`` has two."""
        name = self.group_name
        return () if name is None else tuple(part.strip() for part in name.split(":"))

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns of place, group and level."""
        return (*self.place, *self.group_columns, *(() if self.by_name is None else (self.by_name,)))

    @property
    def by_name(self) -> str | None:
        """The column whose levels have matrices of their own, None for one matrix."""
        name: str | None = getattr(self, "by", None)
        return name

    @property
    def factors(self) -> tuple[Any, ...]:
        """This correlation, with an SD for each level of `by`."""
        return (self,) if self.by_name is None else (self, VarIdent(self.by_name))

    def law(self, layout: Layout) -> CorrelationLaw:
        """Return the correlations as functions of parameters, for rows placed as `layout` says."""
        raise NotImplementedError
