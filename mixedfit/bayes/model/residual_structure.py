"""Residual structures that are sampled: parameters of AR1 and CAR1, with VarIdent or without, and their priors.

The sampler moves the unconstrained parameters x of `ResidualModel`; priors are those of the natural parameters:

| parameter | of x | log |slope| |
|---|---|---|
| φ of AR1 | tanh x | log(1 − φ²) |
| φ of CAR1, u the usual gap | exp(−eˣ/u) | x − log u − eˣ/u |
| ratio of VarIdent | eˣ | x |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mixedfit.bayes.priors.residual import Beta, ResidualPrior, Uniform, draw_values, log_density
from mixedfit.bayes.priors.variance import Gamma, LogNormal
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.design.design import Design

from .error_model import ErrorModel

__all__ = ["ResidualPriors", "check_sampled", "place_residual_priors"]

RATIO = LogNormal(1.0, 1.0)
"""Default prior of a ratio of standard deviations: 95% between 1/7 and 7."""

Kind = Literal["AR1", "CAR1", "VarIdent"]

VAR_IDENT: Kind = "VarIdent"


@dataclass(frozen=True, slots=True, eq=False)
class ResidualPriors:
    """Parameters of a residual structure with their priors, in the order of x.

    Attributes
    ----------
    names : tuple of str
        Such as ``phi`` and ``ratio(B)``.
    kinds : tuple of {"AR1", "CAR1", "VarIdent"}
    priors : tuple of Uniform, Beta, LogNormal or Gamma
    unit : float
        u of CAR1.
    given : tuple of str
        Statements of the user's priors.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    priors: tuple[ResidualPrior, ...]
    unit: float
    given: tuple[str, ...] = ()

    @property
    def statements(self) -> tuple[str, ...]:
        """The priors, one statement each; equal ones of several ratios are one."""
        return tuple(
            dict.fromkeys(
                _statement(kind, prior, name)
                for kind, prior, name in zip(self.kinds, self.priors, self._stated, strict=True)
            )
        )

    @property
    def _stated(self) -> list[str]:
        """Names as statements have them: "ratio" where all ratios have one prior."""
        ratios = {p for k, p in zip(self.kinds, self.priors, strict=True) if k == "VarIdent"}
        return [
            "ratio" if k == "VarIdent" and len(ratios) == 1 else n
            for k, n in zip(self.kinds, self.names, strict=True)
        ]

    def natural(self, x: Array) -> Array:
        """Return natural parameters, shape (…, parameters), of unconstrained ones of the same shape."""
        out = np.empty_like(x)
        for i, kind in enumerate(self.kinds):
            own = x[..., i]
            match kind:
                case "AR1":
                    out[..., i] = np.tanh(own)
                case "CAR1":
                    out[..., i] = np.exp(-np.exp(own) / self.unit)
                case "VarIdent":
                    out[..., i] = np.exp(own)
        return out

    def unconstrained(self, values: Array) -> Array:
        """Return x of natural parameters, shape (…, parameters)."""
        out = np.empty_like(values)
        for i, kind in enumerate(self.kinds):
            own = values[..., i]
            match kind:
                case "AR1":
                    out[..., i] = np.arctanh(own)
                case "CAR1":
                    out[..., i] = np.log(-self.unit * np.log(own))
                case "VarIdent":
                    out[..., i] = np.log(own)
        return out

    def log_prior(self, x: Array) -> float:
        """Return the log density of x, up to a constant."""
        values, total = self.natural(x), 0.0
        for kind, prior, own, value in zip(self.kinds, self.priors, x.tolist(), values.tolist(), strict=True):
            total += log_density(prior, value, _lower(kind))
            match kind:
                case "AR1":
                    total += float(np.log1p(-value * value)) if abs(value) < 1.0 else -np.inf
                case "CAR1":
                    total += own - float(np.exp(own)) / self.unit
                case "VarIdent":
                    total += own
        return total

    def draw(self, size: int, rng: np.random.Generator) -> Array:
        """Return draws of x from the prior, shape (size, parameters)."""
        drawn = [draw_values(p, _lower(k), size, rng) for k, p in zip(self.kinds, self.priors, strict=True)]
        return self.unconstrained(np.stack(drawn, axis=1))


def _lowest(model: ResidualModel, kind: Kind) -> float:
    """Return the lower limit of the default prior of φ: 0 also if all gaps are even, as φ and −φ are then the same."""
    assert model.layout is not None
    gaps = model.layout.gaps[~model.layout.opens]
    return 0.0 if kind == "AR1" and np.all(gaps % 2.0 == 0.0) else _lower(kind)


def _lower(kind: Kind) -> float:
    return -1.0 if kind == "AR1" else 0.0


def _statement(kind: Kind, prior: ResidualPrior, name: str) -> str:
    """Return a prior as a statement."""
    symbol = "φ" if name == "phi" else name
    return prior.about(f"({symbol} + 1)/2" if kind == "AR1" and isinstance(prior, Beta) else symbol)


def check_sampled(model: ResidualModel, what: str) -> None:
    """Raise `ModelError` unless a structure is AR1 or CAR1, or its product with VarIdent.

    Parameters
    ----------
    model : ResidualModel
    what : str
        What is not available for other structures, such as "the sampler is".
    """
    own = model.structure.correlation
    variances = [type(factor).__name__ for factor in model.structure.variances]
    sampled = type(own).__name__ in ("AR1", "CAR1") and own.by_name is None
    if not (sampled and set(variances) <= {"VarIdent"}):
        raise ModelError(
            f"{what} not available yet for models with a residual structure such as {model.structure}. AR1, CAR1 and "
            "their products with VarIdent are sampled, and VarIdent, an SD for each level of a column; fit() has the "
            "other structures."
        )


def place_residual_priors(
    design: Design, error_model: ErrorModel, priors: Mapping[str, Any] | None
) -> tuple[ResidualPriors | None, Mapping[str, Any] | None]:
    """Return the priors of the parameters of the residual structure, and the priors of all other parameters.

    Parameters
    ----------
    design : Design
    error_model : ErrorModel
    priors : mapping of str to prior, or None
        Keys here are ``phi``, ``ratio`` for all ratios, and ``ratio(B)`` for one.

    Raises
    ------
    ModelError
        If the structure is not sampled, errors or effects are not normal, or a prior does not fit its parameter.
    """
    model = design.residual
    if model is None:
        return None, priors
    check_sampled(model, "the sampler is")
    if not error_model.is_normal:
        raise ModelError(
            f"{model.structure} is sampled with normal residuals and effects and one σ; here are "
            f"{'; '.join(error_model.differences)}. Leave out either."
        )
    names = tuple(p.name for p in model.natural(model.start))
    first: Kind = "AR1" if type(model.structure.correlation).__name__ == "AR1" else "CAR1"
    kinds: tuple[Kind, ...] = (first, *([VAR_IDENT] * (len(names) - 1)))
    others = {str(k).strip(): p for k, p in priors.items()} if isinstance(priors, Mapping) else {}
    used, chosen = set(), []
    for name, kind in zip(names, kinds, strict=True):
        default: ResidualPrior = RATIO if kind == "VarIdent" else Uniform(_lowest(model, kind), 1.0)
        key = next((k for k in (name, name.split("(")[0]) if k in others), None)
        chosen.append(default if key is None else _checked(name, kind, others[key]))
        used |= {k for k in (name, name.split("(")[0]) if k in others}
    given = [
        _statement(k, p, n)
        for n, k, p in zip(names, kinds, chosen, strict=True)
        if {n, n.split("(")[0]} & used
    ]
    rest = {k: p for k, p in others.items() if k not in used}
    unit = float(getattr(model.correlation, "unit", 1.0))
    return ResidualPriors(names, kinds, tuple(chosen), unit, tuple(given)), rest if used else priors


def _checked(name: str, kind: Kind, prior: Any) -> ResidualPrior:
    """Return a prior if it is one of such a parameter."""
    if kind == "VarIdent":
        if not isinstance(prior, LogNormal | Gamma):
            raise ModelError(
                f"the prior of {name!r} is {prior}; expected LogNormal(median, log_sd) or Gamma(shape, rate), of a "
                "ratio of standard deviations."
            )
        return prior
    if not isinstance(prior, Uniform | Beta):
        raise ModelError(f"the prior of {name!r} is {prior}; expected Uniform(lower, upper) or Beta(a, b).")
    if isinstance(prior, Uniform) and kind == "CAR1" and prior.lower < 0.0:
        if prior.upper <= 0.0:
            raise ModelError(f"the prior of {name!r} is {prior}; φ of CAR1 lies between 0 and 1.")
        return Uniform(0.0, prior.upper)
    return prior
