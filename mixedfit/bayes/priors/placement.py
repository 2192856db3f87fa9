"""Placement of priors: the prior of each parameter of a design, from the user's mapping or by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import inverse
from mixedfit.covariance import BlockDiagonal
from mixedfit.covariance import Diagonal as DiagonalStructure
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.estimation.structures import refuse_structures

from . import (
    Diagonal,
    FixedPrior,
    Flat,
    HalfT,
    HuangWand,
    InverseWishart,
    Known,
    Normal,
    Prior,
    VariancePrior,
)
from .keys import check_known, check_scopes, known_keys, term_keys, with_known_keys
from .variance import Gamma

__all__ = ["Placement", "Unit", "place_priors", "residual_scale", "without_correlations"]

WIDE = 2.5
"""Default prior SD of a slope, in SDs of the response per SD of the predictor."""

DEFAULT_DF = 3.0
"""Degrees of freedom of the default half-t; Gelman (2006) recommends a small number."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A variance, or a covariance matrix of correlated effects, with its prior.

    Attributes
    ----------
    block : int
        Index in `design.blocks`.
    start, size : int
        First effect within the block, and number of effects.
    label : str
        Such as ``(Intercept) | Tray``.
    prior : Prior
    from_user : bool
        Whether the user gave the prior; False for a default.
    """

    block: int
    start: int
    size: int
    label: str
    prior: Prior
    from_user: bool

    def __str__(self) -> str:
        return self.prior.about(f"{'τ' if self.size == 1 else 'Ω'}[{self.label}]")


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The prior of each parameter.

    Attributes
    ----------
    fixed : tuple of str
        Statements of the priors of the fixed effects.
    precision : ndarray, shape (p, p)
        Prior precision of the coefficients of full rank; zeros where flat.
    mean : ndarray, shape (p,)
    units : tuple of Unit
    sigma : VariancePrior
    """

    fixed: tuple[str, ...]
    precision: Array
    mean: Array
    units: tuple[Unit, ...]
    sigma: VariancePrior

    @property
    def statements(self) -> tuple[str, ...]:
        """The priors of fixed effects and covariances, one statement each."""
        return (*self.fixed, *(str(unit) for unit in self.units))

    def user_statements(self, priors: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Return the statements of the user's priors, in the order fixed effects, variances, σ, ν.

        Parameters
        ----------
        priors : mapping of str to prior, or None
            Checked by `place_priors` and `place_error_model`.
        """
        by_key = {str(key).strip(): prior for key, prior in (priors or {}).items()}
        fixed = [prior.about("β" if key == "fixed" else f"β[{key}]") for key, prior in by_key.items()]
        out = [text for text in fixed if text in self.fixed]
        out += [str(unit) for unit in self.units if unit.from_user]
        typical = "σ₀²" if isinstance(by_key.get("sigma0"), Gamma) else "σ₀"
        symbols = {"sigma": "σ", "sigma0": typical, "nu0": "ν₀", "nu": "ν"}
        out += [prior.about(symbols[key]) for key, prior in by_key.items() if key in symbols]
        out += [prior.about(f"ν[{key[3:]}]") for key, prior in by_key.items() if key.startswith("nu|")]
        return tuple(out)

    def known_names(self, design: Design) -> frozenset[str]:
        """Return the names of the standard deviations that are known."""
        units = [unit for unit in self.units if isinstance(unit.prior, Known)]
        blocks = [(design.blocks[unit.block], unit.start) for unit in units]
        names = {f"sd_{block.effects[start]}|{block.name}" for block, start in blocks}
        return frozenset(names | ({"sigma"} if isinstance(self.sigma, Known) else set()))


def place_priors(design: Design, cross: CrossProducts, priors: Mapping[str, Any] | None) -> Placement:
    """Return the prior of every parameter.

    Parameters
    ----------
    design : Design
    cross : CrossProducts
    priors : mapping of str to prior, optional
        Keys: "fixed" or a coefficient's name, a grouping factor, a term such as ``"(Days | Subject)"``, a standard
        deviation such as ``"sd_Days|Subject"``, and "sigma".

    Raises
    ------
    ModelError
        If a key is of no parameter of the model, or a prior does not fit its parameter.
    """
    refuse_structures(design, "priors and posterior draws", "Fit it by REML, or write (effects | group).")
    names = [design.x_names[i] for i in cross.fixed.kept]
    known = known_keys(design, names)
    by_key = with_known_keys(_checked(priors), known)
    used = {"fixed", "sigma", *names}
    y_scale = float(np.std(design.y))
    fixed, precision, mean = _fixed(design, cross, names, by_key, y_scale)
    units = tuple(_units(design, by_key, used, y_scale))
    sigma = by_key.get("sigma", HalfT(DEFAULT_DF, residual_scale(design)))
    if not isinstance(sigma, VariancePrior):
        raise ModelError(
            f"the prior of 'sigma' is {sigma}; expected one of a standard deviation, such as HalfCauchy(1)."
        )
    dropped = [name for name in design.x_names if name not in names]
    check_known(known, dropped, set(by_key) - used)
    return Placement(fixed, precision, mean, units, sigma)


def _checked(priors: Mapping[str, Any] | None) -> dict[str, Prior]:
    """Return the mapping if all of its values are priors."""
    if priors is None:
        return {}
    if not isinstance(priors, Mapping):
        raise ModelError(
            f"priors is a {type(priors).__name__}; expected a mapping such as "
            "{'Tray': mf.priors.HalfCauchy(1), 'sigma': mf.priors.HalfCauchy(1)}."
        )
    for key, prior in priors.items():
        if not hasattr(prior, "about"):
            raise ModelError(
                f"the prior of {key!r} is {prior!r}; expected a value of mf.priors, such as mf.priors.HalfCauchy(1)."
            )
    return {str(key): prior for key, prior in priors.items()}


def _rounded(value: float) -> float:
    """Return a number with three significant digits, so that statements of default priors are short."""
    return float(f"{value:.3g}")


def residual_scale(design: Design) -> float:
    """Return the scale of the default priors of σ and σ₀: the SD of the response times the root of the mean weight.

    σ is the SD of a row of weight 1. The factor makes the posterior independent of the unit of the weights.
    """
    scale = _rounded(float(np.std(design.y)))
    if design.weights is None:
        return scale
    return scale * float(np.sqrt(np.mean(design.weights[design.weights > 0])))


def _spread(column: Array) -> float:
    """Return the SD of a column; of a constant column its root mean square, or 1 if it is zero."""
    sd, size = float(np.std(column)), float(np.sqrt(np.mean(column**2)))
    return sd if sd > 1e-8 * size else size or 1.0


def _fixed(
    design: Design,
    cross: CrossProducts,
    names: list[str],
    by_key: Mapping[str, Prior],
    y_scale: float,
) -> tuple[tuple[str, ...], Array, Array]:
    """Return statements, prior precision and prior mean of the fixed effects."""
    priors: dict[str, FixedPrior] = {}
    for key in ("fixed", *names):
        prior = by_key.get(key)
        if isinstance(prior, Flat | Normal):
            priors[key] = prior
        elif prior is not None:
            raise ModelError(f"the prior of {key!r} is {prior}; expected Flat() or Normal(mean, sd).")
    joint = priors.pop("fixed", None)
    if joint is None:
        statements, precision, mean = _default_fixed(design, cross, names, set(priors), y_scale)
    else:
        statements = [] if len(priors) == len(names) else [joint.about("β")]
        precision, mean = _joint(joint, len(names))
    for name, prior in priors.items():
        i = names.index(name)
        _marginalise(precision, i)
        if isinstance(prior, Normal):
            if not prior.is_scalar:
                raise ModelError(f"the prior of {name!r} is {prior}; expected one mean and one sd.")
            mean[i], precision[i, i] = float(prior.mean), float(prior.sd) ** -2.0
        statements.append(prior.about(f"β[{name}]"))
    return tuple(statements), precision, mean


def _marginalise(precision: Array, i: int) -> None:
    """Integrate one coefficient out of a joint precision and leave it flat, in place."""
    rest = np.delete(np.arange(len(precision)), i)
    if precision[i, i] > 0:
        column = precision[rest, i].copy()
        precision[np.ix_(rest, rest)] -= np.outer(column, column) / precision[i, i]
    precision[i, :] = precision[:, i] = 0.0


def _joint(prior: FixedPrior, p: int) -> tuple[Array, Array]:
    """Return precision and mean of a joint prior of p coefficients."""
    if isinstance(prior, Flat):
        return np.zeros((p, p)), np.zeros(p)
    mean, covariance = prior.moments(p)
    return inverse(covariance), mean


def _default_fixed(
    design: Design, cross: CrossProducts, names: list[str], replaced: set[str], y_scale: float
) -> tuple[list[str], Array, Array]:
    """Return statements, precision and mean of the default: weak normal priors of the mean response and the slopes.

    With an intercept, slopes are N(0, (2.5 s_y/s_x)²), and the response at the columns' means is
    N(ȳ, (2.5 s_y)²). Without one, coefficients are N(m, (2.5 s_y/s_x)²), where Xm is the least-squares fit to ȳ.
    Coefficients in `replaced` have a prior of their own and are not stated.
    """
    X = design.X[:, cross.fixed.kept]
    if not names:
        return [], np.zeros((0, 0)), np.zeros(0)
    centre = _rounded(float(np.mean(design.y)))
    scales = np.array([_rounded(WIDE * y_scale / _spread(X[:, j])) for j in range(len(names))])
    directions, labels = np.eye(len(names)), [f"β[{name}]" for name in names]
    if "(Intercept)" in names:
        at = names.index("(Intercept)")
        directions[at] = X.mean(axis=0)
        scales[at] = _rounded(WIDE * y_scale)
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


def _units(design: Design, by_key: Mapping[str, Prior], used: set[str], y_scale: float) -> Iterator[Unit]:
    """Yield the units of a design with their priors; add the keys of these to `used`."""
    for f, block in enumerate(design.blocks):
        check_scopes(design, block, by_key)
        for key, (part, _, here) in zip(term_keys(design, block), block.structure.slices(), strict=True):
            names = [f"sd_{effect}|{block.name}" for effect in block.effects[here]]
            used.update((key, block.name, *names))
            prior = by_key.get(key, by_key.get(block.name))
            scales = [_rounded(y_scale / _spread(column)) for column in block.z[:, here].T]
            correlated = part.invariance == "linear" and part.k > 1 and not isinstance(prior, Diagonal)
            if correlated:
                label = f"{', '.join(block.effects[here])} | {block.name}"
                matrix = HuangWand(tuple(scales)) if prior is None else _matrix_prior(prior, part.k, label)
                if any(name in by_key for name in names):
                    raise _one_prior(block.name, key, names, scales)
                yield Unit(f, here.start, part.k, label, matrix, prior is not None)
                continue
            for i, (name, scale) in enumerate(zip(names, scales, strict=True)):
                label = f"{block.effects[here][i]} | {block.name}"
                default = (
                    HalfT(DEFAULT_DF, scale) if prior is None else _scalar_prior(prior, i, part.k, label)
                )
                own = by_key.get(name, default)
                if not isinstance(own, VariancePrior):
                    raise ModelError(f"the prior of {name!r} is {own}; expected one of a standard deviation.")
                yield Unit(f, here.start + i, 1, label, own, name in by_key or prior is not None)


def _one_prior(group: str, key: str, names: list[str], scales: list[float]) -> ModelError:
    """Return the error for a prior of one SD of correlated effects."""
    listed = ", ".join(f"{scale:g}" for scale in scales)
    return ModelError(
        f"the effects of {key!r} are correlated, and their covariance matrix has one prior: {', '.join(names)} cannot "
        f"have their own. Give {group!r} a mf.priors.HuangWand(({listed})), the scale of each SD's half-t, or a "
        f"mf.priors.InverseWishart; or, for no correlations, a mf.priors.Diagonal(...) of {len(names)} priors in this "
        "order."
    )


def _matrix_prior(prior: Prior, k: int, label: str) -> Prior:
    """Return a covariance prior if it fits k correlated effects."""
    if not isinstance(prior, HuangWand | InverseWishart):
        raise ModelError(
            f"the prior of {label} is {prior}, but its {k} effects are correlated and need a covariance matrix's: "
            "mf.priors.HuangWand(scale), mf.priors.InverseWishart(df, matrix), or, for no correlations, "
            "mf.priors.Diagonal(...)."
        )
    if isinstance(prior, HuangWand) and np.size(prior.scale) not in (1, k):
        raise ModelError(f"{label} has {k} effects; HuangWand has {np.size(prior.scale)} scales.")
    if isinstance(prior, InverseWishart) and prior.k != k:
        raise ModelError(f"{label} has {k} effects; InverseWishart has a matrix of {prior.k} rows.")
    return prior


def _scalar_prior(prior: Prior, i: int, k: int, label: str) -> VariancePrior:
    """Return the prior of the i-th of k uncorrelated effects."""
    if isinstance(prior, Diagonal):
        if len(prior.priors) not in (1, k):
            raise ModelError(f"the term of {label} has {k} effects; Diagonal has {len(prior.priors)} priors.")
        return prior.priors[i if len(prior.priors) > 1 else 0]
    if not isinstance(prior, VariancePrior):
        raise ModelError(
            f"the prior of {label} is {prior}; expected one of a standard deviation, such as HalfCauchy(1)."
        )
    return prior


def without_correlations(design: Design, units: tuple[Unit, ...]) -> Design:
    """Return the design with diagonal structures for the terms whose effects have separate priors."""
    blocks, changed = [], False
    for f, block in enumerate(design.blocks):
        single = {unit.start for unit in units if unit.block == f and unit.size == 1}
        parts = []
        for part, _, here in block.structure.slices():
            apart = part.k > 1 and part.invariance == "linear" and here.start in single
            parts.append(DiagonalStructure(part.k) if apart else part)
            changed = changed or apart
        blocks.append(replace(block, structure=BlockDiagonal(tuple(parts))))
    return replace(design, blocks=tuple(blocks)) if changed else design
