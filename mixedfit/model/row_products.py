"""`RowProducts`: cross-products of rows that stay where they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixedfit.core.arrays import Array
from mixedfit.crossproducts.summed import SummedRows
from mixedfit.estimation import design_storage, storage

__all__ = ["RowProducts", "read_products"]


class RowProducts:
    """Cross-products of the rows of a model, without the rows.

    Made by `LinearMixedModel.cross_products`. They hold the number of rows, the columns' names, the levels of all
    factors, and sums: over all rows, and for each level of a grouping factor. **The sums of a level with one row are
    that row**, and those of few rows say much of them.
    """

    def __init__(self, summed: SummedRows) -> None:
        self._summed = summed

    def __repr__(self) -> str:
        own = self._summed
        parts = f", {own.parts} parts" if own.parts > 1 else ""
        return f"<RowProducts: {self.formula!r}, {own.rows} rows{parts}>"

    @property
    def formula(self) -> str:
        """The formula as written."""
        return self._summed.design.formula.source

    @property
    def smallest_groups(self) -> dict[str, int]:
        """Lowest number of rows of a level of each grouping factor whose effects have an intercept.

        With weights, the lowest sum of weights, rounded down.
        """
        own, out, at = self._summed, {}, 0
        pairs, _, _ = own.in_basis(own.U, own.P)  # Z̃P = Z
        diagonal = pairs.diagonal()
        for block, used in zip(own.design.blocks, own.used, strict=True):
            if "(Intercept)" in block.effects:
                j = block.effects.index("(Intercept)")
                sizes = diagonal[at : at + block.levels * block.k].reshape(-1, block.k)[:, j]
                out[block.name] = int(sizes[used].min(initial=sizes.max()) + 1e-6)
            at += block.levels * block.k
        return out

    def save(self, path: str | Path) -> None:
        """Write the cross-products to a file that holds numbers and text only (npz).

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        DataError
            If labels cannot be stored, or the file cannot be written.
        ModelError
            If the formula calls functions that a formula from a file may not call.
        """
        storage.write_file(path, *design_storage.pack_summed(self._summed))


def read_products(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> RowProducts:
    """Return the cross-products in a file that `RowProducts.save` wrote."""
    return RowProducts(design_storage.unpack_summed(header, arrays))
