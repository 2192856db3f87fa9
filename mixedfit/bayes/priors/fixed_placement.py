"""Placement of the priors of fixed effects: precision, mean, and directions with a t or Laplace prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design

from .fixed import FixedPrior, Flat, Normal, ScaleMixture
from .keys import CENTRED

__all__ = ["CENTRED", "FixedPlacement", "Mixture", "place_fixed", "rounded", "spread", "symbol_of"]

WIDE = 2.5
"""Default prior SD of a slope, in SDs of the response per SD of the predictor."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A direction d of β with a scale mixture of normals for its prior: dᵀβ | λ ~ N(mean, scale²/λ).

    Attributes
    ----------
    direction : ndarray, shape (p,)
    mean, scale : float
    prior : ScaleMixture
        The distribution of λ.
    """

    direction: Array
    mean: float
    scale: float
    prior: ScaleMixture


@dataclass(frozen=True, slots=True, eq=False)
class FixedPlacement:
    """Priors of the fixed effects.

    Attributes
    ----------
    statements : tuple of str
    precision, mean : ndarray, shapes (p, p) and (p,)
        With all λ = 1; zeros where flat.
    mixtures : tuple of Mixture
    """

    statements: tuple[str, ...]
    precision: Array
    mean: Array
    mixtures: tuple[Mixture, ...]


def rounded(value: float) -> float:
    """Return a number with three significant digits, so that statements of default priors are short."""
    return float(f"{value:.3g}")


def spread(column: Array) -> float:
    """Return the SD of a column; of a constant column its root mean square, or 1 if it is zero."""
    sd, size = float(np.std(column)), float(np.sqrt(np.mean(column**2)))
    return sd if sd > 1e-8 * size else size or 1.0


def symbol_of(key: str) -> str:
    """Return the symbol of a key of the fixed effects in statements."""
    if key == CENTRED:
        return "β[(Intercept)] + Σ β x̄"
    return "β" if key == "fixed" else f"β[{key}]"


def place_fixed(
    design: Design, cross: CrossProducts, names: list[str], by_key: Mapping[str, Any], y_scale: float
) -> FixedPlacement:
    """Return the priors of the fixed effects of full rank, by the keys of the user's mapping or by default.

    Raises
    ------
    ModelError
        If a prior is not of fixed effects, has numbers for other coefficients, or two are about the same.
    """
    priors: dict[str, FixedPrior] = {}
    for key in ("fixed", CENTRED, *names):
        prior = by_key.get(key)
        if isinstance(prior, get_args(FixedPrior)):
            priors[key] = prior
        elif prior is not None:
            raise ModelError(
                f"the prior of {key!r} is {prior}; expected Flat(), Normal(mean, sd), StudentT(df, mean, scale), "
                "Cauchy(mean, scale) or Laplace(mean, scale)."
            )
    _check_centred(priors, names)
    joint, centred = priors.pop("fixed", None), priors.pop(CENTRED, None)
    X, mixtures = design.X[:, cross.fixed.kept], list[Mixture]()
    if joint is None:
        replaced = set(priors) | ({"(Intercept)"} if centred is not None else set())
        statements, precision, mean = _default(X, design.y, names, replaced, y_scale)
    else:
        statements = [] if len(priors) + (centred is not None) == len(names) else [joint.about("β")]
        precision, mean = _joint(joint, len(names))
        if isinstance(joint, ScaleMixture):
            mixtures = _mixtures(joint, np.eye(len(names)))
    if not priors and centred is None:
        return FixedPlacement(tuple(statements), precision, mean, tuple(mixtures))
    linear = precision @ mean
    for name in [*priors, *(["(Intercept)"] if centred is not None else [])]:
        i = names.index(name)
        mixtures = [m for m in mixtures if m.direction[i] == 0.0]
        linear = _marginalise(precision, linear, i)
    for name, prior in priors.items():
        direction = np.eye(len(names))[names.index(name)]
        mixtures += _add(precision, linear, prior, direction, name)
        statements.append(prior.about(f"β[{name}]"))
    if centred is not None:
        mixtures += _add(precision, linear, centred, X.mean(axis=0), CENTRED)
        statements.append(centred.about(symbol_of(CENTRED)))
    return FixedPlacement(tuple(statements), precision, _mean_of(precision, linear), tuple(mixtures))


def _check_centred(priors: Mapping[str, FixedPrior], names: list[str]) -> None:
    """Raise if both intercepts have priors, or there is none."""
    if CENTRED not in priors:
        return
    if "(Intercept)" not in names:
        raise ModelError(f"a prior is given for {CENTRED!r}, and the model has no intercept.")
    if "(Intercept)" in priors:
        raise ModelError(
            f"'(Intercept)' and {CENTRED!r} are the mean response at 0 and at the means of the predictors; give one "
            "prior."
        )


def _add(precision: Array, linear: Array, prior: FixedPrior, direction: Array, key: str) -> list[Mixture]:
    """Add one prior of dᵀβ to precision and precision × mean, in place; return its mixture, if it is one."""
    if isinstance(prior, Flat):
        return []
    if not prior.is_scalar:
        one = "mean and one sd" if isinstance(prior, Normal) else "mean and one scale"
        raise ModelError(f"the prior of {key!r} is {prior}; expected one {one}.")
    scale = float(prior.sd if isinstance(prior, Normal) else prior.scale)
    precision += np.outer(direction, direction) / scale**2
    linear += direction * float(prior.mean) / scale**2
    return [Mixture(direction, float(prior.mean), scale, prior)] if isinstance(prior, ScaleMixture) else []


def _marginalise(precision: Array, linear: Array, i: int) -> Array:
    """Integrate one coefficient out of a joint precision and leave it flat, in place; return precision × mean."""
    linear = linear.copy()
    rest = np.delete(np.arange(len(precision)), i)
    if precision[i, i] > 0:
        column = precision[rest, i].copy()
        precision[np.ix_(rest, rest)] -= np.outer(column, column) / precision[i, i]
        linear[rest] -= column * linear[i] / precision[i, i]
    precision[i, :] = precision[:, i] = 0.0
    linear[i] = 0.0
    return linear


def _mean_of(precision: Array, linear: Array) -> Array:
    """Return a mean with precision × mean = linear, 0 along flat directions."""
    sizes = np.diag(precision)
    root = 1.0 / np.sqrt(np.where(sizes > 0, sizes, 1.0))
    scaled = root[:, None] * precision * root
    return np.asarray(root * (np.linalg.pinv(scaled, rcond=1e-12, hermitian=True) @ (root * linear)))


def _joint(prior: FixedPrior, p: int) -> tuple[Array, Array]:
    """Return precision and mean of a joint prior of p coefficients."""
    if isinstance(prior, Flat):
        return np.zeros((p, p)), np.zeros(p)
    mean, covariance = prior.moments(p)
    return inverse(covariance), mean


def _mixtures(prior: ScaleMixture, directions: Array) -> list[Mixture]:
    """Return the mixtures of independent coefficients."""
    mean, covariance = prior.moments(len(directions))
    scales = np.sqrt(np.diag(covariance))
    return [Mixture(d, float(m), float(s), prior) for d, m, s in zip(directions, mean, scales, strict=True)]


def _default(
    X: Array, y: Array, names: list[str], replaced: set[str], y_scale: float
) -> tuple[list[str], Array, Array]:
    """Return statements, precision and mean of the default: weak normal priors of the mean response and the slopes.

    With an intercept, slopes are N(0, (2.5 s_y/s_x)²), and the response at the columns' means is
    N(ȳ, (2.5 s_y)²). Without one, coefficients are N(m, (2.5 s_y/s_x)²), where Xm is the least-squares fit to ȳ.
    Coefficients in `replaced` have a prior of their own and are not stated.
    """
    if not names:
        return [], np.zeros((0, 0)), np.zeros(0)
    centre = rounded(float(np.mean(y)))
    scales = np.array([rounded(WIDE * y_scale / spread(X[:, j])) for j in range(len(names))])
    directions, labels = np.eye(len(names)), [f"β[{name}]" for name in names]
    if "(Intercept)" in names:
        at = names.index("(Intercept)")
        directions[at] = X.mean(axis=0)
        scales[at] = rounded(WIDE * y_scale)
        mean = np.zeros(len(names))
        mean[at] = centre
        labels[at] += " + Σ β x̄" if len(names) > 1 else ""
    else:
        mean = np.asarray(np.linalg.lstsq(X, np.full(len(X), centre), rcond=None)[0], dtype=float)
    statements = [
        Normal(float(m), float(s)).about(label)
        for name, label, m, s in zip(names, labels, mean, scales, strict=True)
        if name not in replaced
    ]
    weighted = directions / scales[:, None]
    centres = np.asarray(np.linalg.solve(directions, mean), dtype=float)
    return statements, weighted.T @ weighted, centres
