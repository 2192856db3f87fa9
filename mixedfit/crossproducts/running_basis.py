"""Bases that follow the rows: triangles of the columns, updated with each batch, and the bases that they give.

C holds the distinct columns of [1 X Z₁ Z₂ … y]. R of its QR factorisation is updated by that of [R; rows of a batch].
The products of earlier rows are in the basis of an earlier R. They are changed to the basis of the present R when the
two differ by more than `MOST_CHANGE`, so that rounding errors stay those of one pass in the final basis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.linalg import triangle, upper_inverse
from mixedfit.design.design import Design

from .basis import RANK_TOLERANCE, basis_of_effects, row_chunks

WEAK = 1e-4
"""Share of a column's length about its mean below which its residual on earlier columns is no unit for later rows."""

__all__ = ["ColumnPlaces", "RunningBasis"]

MOST_CHANGE = 8.0
"""Largest element of the change of basis, and of its inverse, that is left until the end."""


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPlaces:
    """Places of the columns of a design among the distinct columns C of [1 X Z₁ Z₂ … y].

    Attributes
    ----------
    fixed : tuple of int
    effects : tuple of tuple of int
    size : int
        Number of distinct columns; the last is y.
    """

    fixed: tuple[int, ...]
    effects: tuple[tuple[int, ...], ...]
    size: int

    @classmethod
    def of(cls, design: Design) -> ColumnPlaces:
        """Return the places of a design's columns."""
        by_name = _names_are_columns(design)
        known = {"(Intercept)": 0}
        count = 1

        def place(name: str) -> int:
            nonlocal count
            if name in known and (by_name or name == "(Intercept)"):
                return known[name]
            known[name] = count
            count += 1
            return known[name]

        fixed = tuple(place(name) for name in design.x_names)
        effects = tuple(tuple(place(name) for name in block.effects) for block in design.blocks)
        return cls(fixed, effects, count + 1)

    def columns(self, design: Design, rows: slice) -> Array:
        """Return C of some rows, shape (rows, size)."""
        out = np.ones((rows.stop - rows.start, self.size))
        out[:, list(self.fixed)] = design.X[rows]
        for block, places in zip(design.blocks, self.effects, strict=True):
            out[:, list(places)] = block.z[rows]
        out[:, -1] = design.y[rows]
        return out


def _names_are_columns(design: Design) -> bool:
    """Return whether columns of one name are equal: products of numbers and levels of factors of different names."""
    recipe = design.recipe
    if recipe is None or recipe.specs is not None:
        return False
    variables = recipe.variables.values()
    labels = [f"{v.name}{level}" for v in variables if v.levels is not None for level in v.levels]
    names = [*recipe.variables, *labels]
    return len(set(names)) == len(names)


class RunningBasis:
    """R of the columns so far, and the basis of X, y and each Z that it gives.

    Parameters
    ----------
    design : Design
    places : ColumnPlaces
    weighted : bool
        Whether rows have weights.
    """

    def __init__(self, design: Design, places: ColumnPlaces, *, weighted: bool) -> None:
        self.design, self.places, self.weighted = design, places, weighted
        self.plain = np.zeros((0, places.size))
        self.own = self.plain
        self.count = 0
        self.border = np.zeros((0, 0))
        self.effects: tuple[Array, ...] = ()

    def add(self, batch: Design, root_weights: Array | None) -> None:
        """Update the triangles with the rows of a batch."""
        for rows in row_chunks(batch.n):
            columns = self.places.columns(batch, rows)
            if root_weights is None:
                self.plain = triangle(np.concatenate([self.plain, columns]))
                self.count += columns.shape[0]
                continue
            root = root_weights[rows]
            self.own = triangle(np.concatenate([self.own, columns * root[:, None]]))
            self.plain = triangle(np.concatenate([self.plain, columns[root > 0]]))
            self.count += int(np.count_nonzero(root))
        if not self.weighted:
            self.own = self.plain

    def joined(self, other: RunningBasis) -> RunningBasis:
        """Return the triangles of the rows of both, with the basis that they give; neither is changed."""
        out = RunningBasis(self.design, self.places, weighted=self.weighted)
        out.plain = triangle(np.concatenate([self.plain, other.plain]))
        out.own = triangle(np.concatenate([self.own, other.own])) if self.weighted else out.plain
        out.count = self.count + other.count
        out.border, out.effects = out.fresh_border(), out.fresh_effects()
        return out

    def border_triangle(self) -> tuple[Array, Array]:
        """Return R of the weighted [X y], and the norms of its columns."""
        columns = self.own[:, [*self.places.fixed, self.places.size - 1]]
        with np.errstate(over="ignore"):
            return triangle(columns), np.linalg.norm(columns, axis=0)

    def effect_triangle(self, f: int) -> Array:
        """Return R of the weighted columns of a block, shape (any, k)."""
        return self.own[:, list(self.places.effects[f])]

    def fresh_border(self) -> Array:
        """Return U, upper triangular, with [X y] = [X̃ ỹ] U; linearly dependent columns get a unit of their own."""
        upper, norms = self.border_triangle()
        size = norms.size
        root = np.zeros((size, size))
        root[: upper.shape[0]] = upper[:size]
        start = int(self.places.fixed[:1] == (0,))  # columns after an intercept count about their means
        about = np.linalg.norm(root[start:], axis=0)
        unit = np.where(about > RANK_TOLERANCE * norms, about, norms)
        unit = np.where(unit > 0, unit, np.sqrt(max(self.count, 1)))
        weak = np.abs(np.diag(root)) <= WEAK * unit
        weak[:start] = norms[:start] == 0.0
        root[np.diag_indices(size)] = np.where(weak, unit, np.diag(root))
        return np.asarray(np.triu(root) / np.sqrt(max(self.count, 1)))

    def fresh_effects(self) -> tuple[Array, ...]:
        """Return P, upper triangular, with Z = Z̃P for each block."""
        return tuple(
            basis_of_effects(block, self.effect_triangle(f), max(self.count, 1))
            for f, block in enumerate(self.design.blocks)
        )

    def inverse_border(self) -> Array:
        """Return T with [X̃ ỹ] = [X y] T of the basis in use, shape (p + 1, p + 1)."""
        return upper_inverse(self.border)

    def renew(self) -> tuple[Array, tuple[Array, ...]] | None:
        """Take the present basis if it differs much from the one in use; return the changes, or None.

        Returns
        -------
        border : ndarray, shape (p + 1, p + 1)
            M with [X̃ ỹ] (new) = [X̃ ỹ] (old) M.
        effects : tuple of ndarray, shape (k, k) each
        """
        border, effects = self.fresh_border(), self.fresh_effects()
        if not self.border.size:
            self.border, self.effects = border, effects
            return None
        pairs = [(self.border, border), *zip(self.effects, effects, strict=True)]
        if all(_is_near(old, new) for old, new in pairs):
            return None
        changes = self.changes(upper_inverse(border), effects)
        self.border, self.effects = border, effects
        return changes

    def changes(self, border: Array, effects: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """Return the changes from the basis in use to another.

        Parameters
        ----------
        border : ndarray, shape (p + 1, any)
            T with [X̃ ỹ] = [X y] T; it may have fewer columns.
        effects : tuple of ndarray, shape (k, k) each
            P with Z = Z̃P, upper triangular.
        """
        own = [old @ upper_inverse(new) for old, new in zip(self.effects, effects, strict=True)]
        return self.border @ border, tuple(own)


def _is_near(old: Array, new: Array) -> bool:
    change, back = old @ upper_inverse(new), new @ upper_inverse(old)
    return bool(max(np.abs(change).max(initial=0.0), np.abs(back).max(initial=0.0)) <= MOST_CHANGE)
