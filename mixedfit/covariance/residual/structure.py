"""What a user writes: one residual structure, or a product of a correlation and variance functions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from mixedfit.core.errors import ModelError, a_type

from .parts import VarianceLaw

__all__ = ["Factor", "Product", "ResidualStructure", "VarianceStructure", "check_column_name"]


def check_column_name(structure: str, argument: str, value: object, *, needed: bool = True) -> None:
    """Raise `ModelError` unless an argument is the name of a column (or None, if it is not needed)."""
    if isinstance(value, str) and "|" in value:
        place, _, group = (part.strip(" ~") for part in value.partition("|"))
        raise ModelError(
            f'{structure}: {argument} is {value!r}; write the columns apart: {structure}("{place}", "{group}").'
        )
    if (value is None and not needed) or (isinstance(value, str) and value):
        return
    raise ModelError(
        f"{structure}: {argument} is {value!r}; expected the name of a column, as text"
        f"{'' if needed else ', or None'}."
    )


@dataclass(frozen=True)
class ResidualStructure:
    """A structure of the residual covariance; immutable, prints as a formula."""

    formula: ClassVar[str] = ""
    """The matrix, as text: what the printout says."""

    @property
    def factors(self) -> tuple[Any, ...]:
        """The structures whose product this is."""
        raise NotImplementedError

    @property
    def _given(self) -> tuple[Any, ...]:
        """The structures as the user wrote them."""
        return (self,)

    @property
    def correlation(self) -> Any:
        """The correlation within groups, if there is one."""
        return next((f for f in self.factors if f.role == "correlation"), None)

    @property
    def variances(self) -> tuple[VarianceStructure, ...]:
        """The variance functions."""
        return tuple(f for f in self.factors if f.role == "variance")

    def written(self, factor: object) -> str:
        """Return the part that the user wrote which has a factor, such as an unstructured one with SDs of visits."""
        return str(next((part for part in self._given if factor in part.factors), factor))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the structure needs."""
        return tuple(dict.fromkeys(name for factor in self.factors for name in factor.own_columns))

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Names of the columns of which only the labels count: visits, levels and groups that are no times."""
        own = self.correlation
        counted = set() if own is None or own.kind == "visit" else set(own.place)
        counted |= {
            name for f in self.variances if type(f).__name__ != "VarIdent" for name in f.own_columns[:1]
        }
        return tuple(name for name in self.columns if name not in counted)

    def __mul__(self, other: object) -> Product:
        if not isinstance(other, ResidualStructure):
            raise ModelError(
                f"{self} * {other!r}: the second factor is {a_type(other)}; expected another residual "
                'structure, such as AR1("time", "g") * VarIdent("arm").'
            )
        return Product((*self._given, *other._given))

    def __add__(self, other: object) -> Product:
        raise ModelError(
            f"{self} + {other}: structures are multiplied, as a correlation and variances are: {self} * {other}."
        )

    def __str__(self) -> str:
        given = ", ".join(
            f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default
        )
        return f"{type(self).__name__}({given})"

    def describe(self) -> str:
        """Return the formula of the matrix, in words and symbols."""
        return "; ".join(f"{part}: {part.formula}" for part in self._given)


@dataclass(frozen=True)
class Factor(ResidualStructure):
    """A correlation or a variance function."""

    role: ClassVar[str] = "variance"

    @property
    def factors(self) -> tuple[Any, ...]:
        """This structure alone."""
        return (self,)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Names of the columns that this factor needs."""
        raise NotImplementedError


@dataclass(frozen=True)
class VarianceStructure(Factor):
    """Multipliers of the residual SD."""

    def law(self, values: Any) -> VarianceLaw:
        """Return the log SD multipliers as functions of parameters, for the rows' values of the column."""
        raise NotImplementedError


@dataclass(frozen=True)
class Product(ResidualStructure):
    """D C D for one correlation C and any number of variance functions, whose multipliers D multiply.

    Attributes
    ----------
    parts : tuple of structures
    """

    parts: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        correlations = [str(p) for p in self.parts if p.role == "correlation"]
        if len(correlations) > 1:
            raise ModelError(
                f"a residual structure has one correlation at most; this product has {len(correlations)}: "
                f"{' and '.join(correlations)}."
            )
        free = [p for p in self.parts if getattr(p, "has_variances", False)]
        idents = [str(p) for p in self.parts if type(p).__name__ == "VarIdent"]
        if free and idents and idents[0] == f"VarIdent(by={free[0].own_columns[0]!r})":
            raise ModelError(
                f"{free[0]} has a variance for each visit already; leave {idents[0]} out, or give homogeneous=True."
            )

    @property
    def _given(self) -> tuple[Any, ...]:
        return self.parts

    @property
    def factors(self) -> tuple[Any, ...]:
        """The factors of the product; an unstructured one, and one with matrices by level, have two."""
        given = [set(part.own_columns) for part in self.parts if type(part).__name__ == "VarIdent"]
        out: list[Any] = []
        for part in self.parts:
            own = part.factors
            by = getattr(part, "by_name", None)
            if by is not None and any(by in columns for columns in given):
                own = own[:1]
            out += own
        return tuple(out)

    def __str__(self) -> str:
        return " * ".join(str(p) for p in self.parts)
