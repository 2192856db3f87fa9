"""Empirical priors: the mean and spread of least-squares fits of the groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.design.design import Design

from .covariance import InverseWishart
from .fixed import Normal
from .variance import InverseGamma

__all__ = ["empirical"]


def empirical(model: Any) -> dict[str, Normal | InverseWishart | InverseGamma]:
    """Return priors with the mean and covariance of the groups' least-squares coefficients.

    β ~ N(θ̂, Σ̂) and Ω⁻¹ ~ Wishart(k + 1, Σ̂⁻¹) with θ̂ and Σ̂ the mean and covariance matrix of the groups'
    coefficients, and σ² ~ inverse-gamma(1, σ̂²) with σ̂² the variance pooled within groups. Each prior is worth about
    one group. The data are used twice, so that intervals are slightly too short. Hoff (2009), A First Course in
    Bayesian Statistical Methods, section 11.2 and exercise 11.2.

    Parameters
    ----------
    model : LinearMixedModel
        With one grouping factor, one term, and the same columns in the fixed part and left of the bar.

    Raises
    ------
    ModelError
        If the model is not of this kind, or too few groups have more rows than coefficients.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> for name, prior in empirical(model).items():
    ...     print(name, prior)
    fixed N((251.4, 10.47), [[838.3, -26.12], [-26.12, 43.01]])
    Subject inverse-Wishart(3, [[838.3, -26.12], [-26.12, 43.01]]⁻¹)
    sigma inverse-gamma(1, 524) for the variance
    """
    design: Design = model.design
    _check(design)
    block = design.blocks[0]
    coefficients, pooled = _group_fits(design)
    if len(coefficients) <= block.k:
        raise ModelError(
            f"{len(coefficients)} groups of {block.name!r} have more rows than coefficients; at least "
            f"{block.k + 1} are needed for a covariance matrix of {block.k}."
        )
    spread = np.atleast_2d(np.cov(coefficients.T))
    own: InverseWishart | InverseGamma = InverseWishart(block.k + 1, spread)
    if block.k == 1:  # the inverse-Wishart of one effect
        own = InverseGamma(1.0, float(spread[0, 0]) / 2)
    return {
        "fixed": Normal(coefficients.mean(axis=0), covariance=spread),
        block.name: own,
        "sigma": InverseGamma(1.0, pooled),
    }


def _check(design: Design) -> None:
    """Raise unless the design has one unweighted term with the columns of the fixed part."""
    if len(design.blocks) != 1 or len(design.blocks[0].structure.parts) != 1 or design.many:
        raise ModelError(
            "priors from the groups' fits need one grouping factor with one term, such as (x | g)."
        )
    if design.weights is not None:
        raise ModelError("priors from the groups' fits are for models without weights.")
    block = design.blocks[0]
    if block.effects != design.x_names:
        raise ModelError(
            f"the fixed effects are {', '.join(design.x_names)}, those of {block.name!r} {', '.join(block.effects)}; "
            "priors from the groups' fits need the same on both sides, as in y ~ x + (x | g)."
        )


def _group_fits(design: Design) -> tuple[Array, float]:
    """Return the coefficients of the groups with more rows than coefficients, and the pooled residual variance."""
    block = design.blocks[0]
    rows, squares, count = [], 0.0, 0
    for j in range(block.levels):
        here = block.codes == j
        X, y = design.X[here], design.y[here]
        if len(y) <= block.k or np.linalg.matrix_rank(X) < block.k:
            continue
        coefficients, rest = np.linalg.lstsq(X, y, rcond=None)[:2]
        rows.append(coefficients)
        squares += float(rest[0])
        count += len(y)
    if not count:
        raise ModelError(f"no group of {block.name!r} has more rows than coefficients ({block.k}).")
    return np.asarray(rows, dtype=float), squares / count
