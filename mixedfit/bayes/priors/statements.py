"""Statements of priors, which notebooks show as a table."""

from __future__ import annotations

from mixedfit.core.notebook import NotebookTable
from mixedfit.core.tables import Table

__all__ = ["Statements", "prior_table"]


def prior_table(statements: tuple[str, ...], notes: tuple[str, ...] = ()) -> Table:
    """Return statements such as "σ ~ half-t(3, 0, 10)" as a table of parameters and their priors."""
    rows = []
    for text in statements:
        parameter, tilde, prior = text.partition(" ~ ")
        rows.append((parameter, prior) if tilde else ("", text))
    return Table("Priors", ("parameter", "prior"), tuple(rows), 2, notes)


class Statements(tuple[str, ...], NotebookTable):
    """The statements of all priors of a model."""

    __slots__ = ()

    def _notebook_tables(self) -> list[Table]:
        return [prior_table(tuple(self))]
