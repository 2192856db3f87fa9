"""Cross-products of a model with one fixed effect held at a value.

Holding β_j at a value replaces y by y − x_j β_j and removes x_j from X. This is a linear map of the columns of the
border [X y], so the new cross-products follow from the old ones, without a pass over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.linalg import symmetric

from .crossprod import CrossProducts

__all__ = ["HeldCoefficient", "held_coefficient", "rebordered"]


def rebordered(cross: CrossProducts, columns: Array) -> CrossProducts:
    """Return cross-products with the border [X̃ ỹ] multiplied by `columns`, shape (p + 1, p' + 1).

    The last of the new columns is the response. `fixed` is unchanged, and so are the units.
    """
    width = cross.p + 1
    border = cross.gram[-width:, -width:]
    corner = columns.T @ symmetric(border) @ columns
    sparse, pairs = cross.sparse, cross.pairs
    if pairs is not None:
        gram, pairs = corner, replace(pairs, sides=np.ascontiguousarray(pairs.sides @ columns))
    elif sparse is None:
        q = cross.gram.shape[0] - width
        gram = np.zeros((q + columns.shape[1],) * 2)
        gram[:q, :q] = cross.gram[:q, :q]
        gram[q:, :q] = columns.T @ cross.gram[q:, :q]
        gram[q:, q:] = corner
    else:
        gram = corner
        sparse = replace(sparse, sides=np.ascontiguousarray(sparse.sides @ columns))
    first = replace(cross.first, border=np.ascontiguousarray(cross.first.border @ columns))
    return replace(cross, p=columns.shape[1] - 1, gram=gram, sparse=sparse, pairs=pairs, first=first)


@dataclass(frozen=True, slots=True, eq=False)
class HeldCoefficient:
    """A model with one fixed effect held at a value.

    Attributes
    ----------
    cross : CrossProducts
        Cross-products of the model with one column of X fewer.
    base : ndarray, shape (p,)
    free : ndarray, shape (p, p − 1)
        With coefficients δ of this model, those of X̃ of the whole model are ``base + free @ δ``.
    """

    cross: CrossProducts
    base: Array
    free: Array


def held_coefficient(cross: CrossProducts, position: int, value: float) -> HeldCoefficient:
    """Return the model with one fixed effect held at a value.

    Parameters
    ----------
    cross : CrossProducts
    position : int
        Position among the linearly independent columns of X.
    value : float
        In units of y per unit of x.

    Notes
    -----
    β = centre + scale T γ, so β_j = value is vᵀγ = r with v = Tᵀe_j: γ = v r / vᵀv + Q δ, Q orthogonal to v.
    """
    fixed = cross.fixed
    v = fixed.transform[position]
    gap = (value - fixed.centre[position]) / fixed.scale
    base = v * (gap / float(v @ v))
    complete = np.linalg.qr(np.column_stack([v, np.eye(v.size)]))[0]
    free = complete[:, 1:]
    columns = np.zeros((v.size + 1, v.size))
    columns[:-1, :-1] = free
    columns[:-1, -1] = -base
    columns[-1, -1] = 1.0
    return HeldCoefficient(rebordered(cross, columns), base, free)
