"""Fixed effects and conditional modes from an evaluation of the criterion, in the units of the design."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.linalg import inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.likelihood.criterion import Evaluation
from mixedfit.likelihood.first_factor import modes

__all__ = ["coefficients_of", "modes_of"]


def coefficients_of(cross: CrossProducts, evaluation: Evaluation) -> Array:
    """Return β̂ of the columns of X kept, shape (p,), less what many-level factors take."""
    fixed = cross.fixed
    return np.asarray(fixed.centre + fixed.scale * (fixed.transform @ evaluation.solution[cross.q_tail :]))


def modes_of(design: Design, cross: CrossProducts, evaluation: Evaluation) -> tuple[Array, ...]:
    """Return the conditional modes b (BLUPs) of every block, shape (levels, k) each, in units of y per unit of z."""
    out = []
    for f, block in enumerate(design.blocks):
        if f == cross.first_block:
            inner = modes(cross, evaluation.tail.lams[f], evaluation.solution)
        else:
            place = cross.place(f)
            inner = evaluation.solution[place.offset : place.stop].reshape(block.levels, block.k)
        out.append(cross.fixed.scale * inner @ inverse(cross.basis[f]).T)
    return tuple(out)
