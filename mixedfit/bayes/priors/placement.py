"""Placement of priors: the prior of each parameter of a design, from the user's mapping or by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, a_type
from mixedfit.covariance import BlockDiagonal
from mixedfit.covariance import Diagonal as DiagonalStructure
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.estimation.structures import refuse_structures

from . import (
    LKJ,
    Decov,
    Diagonal,
    HalfT,
    HuangWand,
    InverseWishart,
    Known,
    Prior,
    VariancePrior,
)
from .fixed_placement import CENTRED, Mixture, place_fixed, rounded, spread, symbol_of
from .keys import check_known, check_scopes, known_keys, term_keys, with_known_keys
from .variance import Gamma

__all__ = ["Placement", "Unit", "place_priors", "residual_scale", "without_correlations"]

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
        Prior precision of the coefficients of full rank; zeros where flat. Of mixtures, that at λ = 1.
    mean : ndarray, shape (p,)
    units : tuple of Unit
    sigma : VariancePrior
    mixtures : tuple of Mixture
        Directions of β whose prior is t or Laplace.
    """

    fixed: tuple[str, ...]
    precision: Array
    mean: Array
    units: tuple[Unit, ...]
    sigma: VariancePrior
    mixtures: tuple[Mixture, ...] = ()

    @property
    def relative(self) -> bool:
        """Whether priors of standard deviations are in units of σ."""
        return any(isinstance(unit.prior, Decov) for unit in self.units)

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
        fixed = [prior.about(symbol_of(key)) for key, prior in by_key.items()]
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
    used = {"fixed", "sigma", CENTRED, *names}
    y_scale = float(np.std(design.y))
    fixed = place_fixed(design, cross, names, by_key, y_scale)
    units = tuple(_units(design, by_key, used, y_scale))
    sigma = by_key.get("sigma", HalfT(DEFAULT_DF, residual_scale(design)))
    if not isinstance(sigma, VariancePrior):
        raise ModelError(
            f"the prior of 'sigma' is {sigma}; expected one of a standard deviation, such as HalfCauchy(1)."
        )
    dropped = [name for name in design.x_names if name not in names]
    check_known(known, dropped, set(by_key) - used)
    return Placement(fixed.statements, fixed.precision, fixed.mean, units, sigma, fixed.mixtures)


def _checked(priors: Mapping[str, Any] | None) -> dict[str, Prior]:
    """Return the mapping if all of its values are priors."""
    if priors is None:
        return {}
    if not isinstance(priors, Mapping):
        raise ModelError(
            f"priors is {a_type(priors)}; expected a mapping such as "
            "{'Tray': mf.priors.HalfCauchy(1), 'sigma': mf.priors.HalfCauchy(1)}."
        )
    for key, prior in priors.items():
        if not hasattr(prior, "about"):
            raise ModelError(
                f"the prior of {key!r} is {prior!r}; expected a value of mf.priors, such as mf.priors.HalfCauchy(1)."
            )
    return {str(key): prior for key, prior in priors.items()}


def residual_scale(design: Design) -> float:
    """Return the scale of the default priors of σ and σ₀: the SD of the response times the root of the mean weight.

    σ is the SD of a row of weight 1. The factor makes the posterior independent of the unit of the weights.
    """
    scale = rounded(float(np.std(design.y)))
    if design.weights is None:
        return scale
    return scale * float(np.sqrt(np.mean(design.weights[design.weights > 0])))


def _units(design: Design, by_key: Mapping[str, Prior], used: set[str], y_scale: float) -> Iterator[Unit]:
    """Yield the units of a design with their priors; add the keys of these to `used`."""
    for f, block in enumerate(design.blocks):
        check_scopes(design, block, by_key)
        for key, (part, _, here) in zip(term_keys(design, block), block.structure.slices(), strict=True):
            names = [f"sd_{effect}|{block.name}" for effect in block.effects[here]]
            used.update((key, block.name, *names))
            prior = by_key.get(key, by_key.get(block.name))
            scales = [rounded(y_scale / spread(column)) for column in block.z[:, here].T]
            correlated = part.invariance == "linear" and part.k > 1 and not isinstance(prior, Diagonal)
            if correlated:
                label = f"{', '.join(block.effects[here])} | {block.name}"
                given = {i: by_key[name] for i, name in enumerate(names) if name in by_key}
                if given and not isinstance(prior, LKJ):
                    raise _one_prior(block.name, key, names, scales)
                _refuse_two(prior, block.name if key not in by_key else key, names, by_key)
                matrix = HuangWand(tuple(scales)) if prior is None else _matrix_prior(prior, part.k, label)
                if isinstance(matrix, LKJ):
                    matrix = _with_sds(matrix, given, names, scales)
                yield Unit(f, here.start, part.k, label, matrix, prior is not None)
                continue
            _refuse_two(prior, block.name if key not in by_key else key, names, by_key)
            for i, (name, scale) in enumerate(zip(names, scales, strict=True)):
                label = f"{block.effects[here][i]} | {block.name}"
                default = (
                    HalfT(DEFAULT_DF, scale) if prior is None else _scalar_prior(prior, i, part.k, label)
                )
                own = by_key.get(name, default)
                if not isinstance(own, VariancePrior | Decov):
                    raise ModelError(f"the prior of {name!r} is {own}; expected one of a standard deviation.")
                yield Unit(f, here.start + i, 1, label, own, name in by_key or prior is not None)


def _one_prior(group: str, key: str, names: list[str], scales: list[float]) -> ModelError:
    """Return the error for a prior of one SD of correlated effects."""
    listed = ", ".join(f"{scale:g}" for scale in scales)
    return ModelError(
        f"the effects of {key!r} are correlated, and their covariance matrix has one prior: {', '.join(names)} cannot "
        f"have their own. Give {group!r} a mf.priors.LKJ(1), with which they can, a mf.priors.HuangWand(({listed})), "
        "the scale of each SD's half-t, or a mf.priors.InverseWishart; or, for no correlations, a "
        f"mf.priors.Diagonal(...) of {len(names)} priors in this order."
    )


def _refuse_two(prior: Prior | None, key: str, names: list[str], by_key: Mapping[str, Prior]) -> None:
    """Raise if a prior lists one for each standard deviation, and one of these has its own key as well."""
    stated = prior.sds if isinstance(prior, LKJ) else prior.priors if isinstance(prior, Diagonal) else ()
    second = [name for name in names if name in by_key]
    if len(stated) > 1 and second:
        raise ModelError(
            f"{second[0]!r} has two priors: {by_key[second[0]]}, and that in {prior} of {key!r}. Give one, in the "
            f"order of the effects within {type(prior).__name__}, or by its own key"
            f"{' with LKJ(eta) alone' if isinstance(prior, LKJ) else ''}."
        )


def _with_sds(prior: LKJ, own: Mapping[int, Prior], names: list[str], scales: list[float]) -> LKJ:
    """Return an LKJ prior with a prior for each standard deviation: that of its key, of the LKJ, or the default."""
    sds: list[Any] = list(prior.sds) or [HalfT(DEFAULT_DF, scale) for scale in scales]
    sds = sds * len(names) if len(sds) == 1 else sds
    for i, value in own.items():
        if not isinstance(value, VariancePrior):
            raise ModelError(f"the prior of {names[i]!r} is {value}; expected one of a standard deviation.")
        sds[i] = value
    return LKJ(prior.eta, *sds)


def _matrix_prior(prior: Prior, k: int, label: str) -> Prior:
    """Return a covariance prior if it fits k correlated effects."""
    if not isinstance(prior, HuangWand | InverseWishart | LKJ | Decov):
        raise ModelError(
            f"the prior of {label} is {prior}, but its {k} effects are correlated and need a covariance matrix's: "
            "mf.priors.LKJ(2), mf.priors.HuangWand(scale), mf.priors.InverseWishart(df, matrix), or, for no "
            "correlations, mf.priors.Diagonal(...)."
        )
    if isinstance(prior, HuangWand) and np.size(prior.scale) not in (1, k):
        raise ModelError(f"{label} has {k} effects; HuangWand has {np.size(prior.scale)} scales.")
    if isinstance(prior, LKJ) and len(prior.sds) not in (0, 1, k):
        raise ModelError(f"{label} has {k} effects; LKJ has {len(prior.sds)} priors of standard deviations.")
    if isinstance(prior, InverseWishart) and prior.k != k:
        raise ModelError(f"{label} has {k} effects; InverseWishart has a matrix of {prior.k} rows.")
    return prior


def _scalar_prior(prior: Prior, i: int, k: int, label: str) -> VariancePrior | Decov:
    """Return the prior of the i-th of k uncorrelated effects."""
    if isinstance(prior, Diagonal):
        if len(prior.priors) not in (1, k):
            advice = (
                f" Give each standard deviation its own key: 'sd_{label.replace(' | ', '|')}'."
                if k == 1
                else ""
            )
            raise ModelError(
                f"the term of {label} has {k} effect{'s' * (k != 1)}; Diagonal has {len(prior.priors)} priors.{advice}"
            )
        return prior.priors[i if len(prior.priors) > 1 else 0]
    if not isinstance(prior, VariancePrior | Decov):
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
