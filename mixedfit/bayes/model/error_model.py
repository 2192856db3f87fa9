"""Distributions of residuals and effects, residual variances by group, and their priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixedfit.bayes.distributions import Distribution, Laplace, Normal, StudentT
from mixedfit.bayes.priors.placement import residual_scale
from mixedfit.bayes.priors.variance import Gamma, HalfNormal, VariancePrior
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.design import Design

from .residual_groups import ResidualGroups, residual_groups

__all__ = ["Shape", "place_shape"]

NU0 = Gamma(2.0, 0.1)
"""Default prior of ν₀, how alike the variances of groups are: that of a t distribution's degrees of freedom."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Distributions of residuals and effects.

    Attributes
    ----------
    errors : Distribution
    effects : tuple of Distribution
        One for each of `design.blocks`.
    names : tuple of str
        Of the grouping factors.
    sizes : tuple of int
        Effects per level of each.
    groups : ResidualGroups or None
        Levels with a residual variance of their own.
    nu0 : Gamma
        Prior of ν₀.
    sigma0 : VariancePrior or Gamma
        Prior of σ₀, or of σ₀².
    """

    errors: Distribution
    effects: tuple[Distribution, ...]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    groups: ResidualGroups | None
    nu0: Gamma
    sigma0: VariancePrior | Gamma

    @property
    def is_ordinary(self) -> bool:
        """Whether everything is normal with one σ."""
        return self.groups is None and all(isinstance(d, Normal) for d in (self.errors, *self.effects))

    @property
    def differences(self) -> tuple[str, ...]:
        """Differences from normal errors and effects with one σ, as mathematics."""
        out = []
        by = None if self.groups is None else f"σ²[{self.groups.name}]"
        if by or not isinstance(self.errors, Normal):
            out.append(self.errors.about("ε", by or "σ²"))
        if by:
            out.append(f"1/{by} ~ gamma(ν₀/2, ν₀σ₀²/2)")
        for name, k, distribution in zip(self.names, self.sizes, self.effects, strict=True):
            if not isinstance(distribution, Normal):
                out.append(distribution.about(f"b[{name}]", "Ω" if k > 1 else "τ²", f"ν[{name}]"))
        return tuple(out)

    def statements(self, sigma: VariancePrior) -> tuple[str, ...]:
        """Return the priors of σ and ν, and the `differences`; `sigma` is the prior of a common σ."""
        if self.groups is None:
            return (sigma.about("σ"), *self.differences)
        typical = "σ₀²" if isinstance(self.sigma0, Gamma) else "σ₀"
        return (*self.differences, self.nu0.about("ν₀"), self.sigma0.about(typical))


def place_shape(
    design: Design,
    priors: Mapping[str, Any] | None,
    *,
    errors: Any,
    random_effects: Any,
    sigma: Any,
    data: Any,
) -> tuple[Shape, Mapping[str, Any] | None]:
    """Return the error model (t, Laplace, σ by group), and the priors of all other parameters.

    Raises
    ------
    ModelError
        If a distribution, a factor, a column or a prior is not what it must be.
    """
    names = tuple(block.name for block in design.blocks)
    shape_of_errors = _distribution("errors", errors)
    effects = _by_factor(names, random_effects)
    groups = residual_groups(design, sigma, data)
    given = dict(priors) if isinstance(priors, Mapping) else {}
    shape_of_errors = _with_prior("nu", shape_of_errors, given)
    effects = tuple(_with_prior(f"nu|{n}", d, given) for n, d in zip(names, effects, strict=True))
    nu0: Any = NU0
    sigma0: Any = HalfNormal(residual_scale(design) or 1.0)
    if groups is not None:
        if "sigma" in given:
            raise ModelError(
                f"a prior is given for 'sigma', but σ differs by {groups.name}: give 'sigma0', the typical σ, a prior "
                "of a standard deviation (or Gamma(a, b) for its square), and 'nu0', how alike they are, a Gamma."
            )
        nu0 = _gamma("nu0", given.pop("nu0", nu0))
        sigma0 = given.pop("sigma0", sigma0)
        if not isinstance(sigma0, VariancePrior | Gamma):
            raise ModelError(
                f"the prior of 'sigma0' is {sigma0}; expected one of a standard deviation, such as HalfNormal(1), or "
                "Gamma(a, b) for its square."
            )
    _refuse_others(given, shape_of_errors, dict(zip(names, effects, strict=True)), groups)
    sizes = tuple(block.k for block in design.blocks)
    shape = Shape(shape_of_errors, effects, names, sizes, groups, nu0, sigma0)
    return shape, given if isinstance(priors, Mapping) else priors


def _refuse_others(
    given: Mapping[str, Any],
    errors: Distribution,
    effects: Mapping[str, Distribution],
    groups: ResidualGroups | None,
) -> None:
    """Refuse priors of ν, ν₀ and σ₀ where the model has none, and of a single group's σ."""
    about = {"nu": ("the residuals", "errors", errors)}
    about |= {f"nu|{n}": (f"the effects of {n}", "random_effects", d) for n, d in effects.items()}
    for key, (what, option, distribution) in about.items():
        if key in given:
            why = f"{what} are {type(distribution).__name__}, without degrees of freedom"
            if isinstance(distribution, StudentT):
                why = f"{what} have {distribution.df} degrees of freedom, held"
            raise ModelError(
                f"a prior is given for {key!r}, but {why}; take {option}=mf.distributions.StudentT('estimate')."
            )
    for key in given:
        if groups is None and key in ("nu0", "sigma0"):
            raise ModelError(
                f"a prior is given for {key!r}, but there is one σ, whose key is 'sigma'; σ by group is sigma='by:g'."
            )
        if str(key).startswith("sigma["):
            advice = (
                "there is one σ: give 'sigma' a prior"
                if groups is None
                else f"the σ of {groups.name} come from one distribution: give 'sigma0', the typical σ, and 'nu0', how "
                "alike they are, a prior"
            )
            raise ModelError(f"a prior is given for {key!r}, but {advice}.")


def _distribution(what: str, value: Any) -> Distribution:
    if isinstance(value, type) and issubclass(value, Normal | StudentT | Laplace):
        value = value()
    if not isinstance(value, Normal | StudentT | Laplace):
        raise ModelError(
            f"{what} is {value!r}; expected a value of mf.distributions: Normal(), StudentT(df) or Laplace()."
        )
    return value


def _by_factor(names: tuple[str, ...], given: Any) -> tuple[Distribution, ...]:
    """Return the distribution of every grouping factor's effects."""
    if not isinstance(given, Mapping):
        one = _distribution("random_effects", given)
        return (one,) * len(names)
    for name in given:
        if name not in names:
            raise ModelError(
                f"random_effects has {name!r}, which is not a grouping factor (known: {', '.join(names)}). "
                f"{nearest(str(name), names)}".rstrip()
            )
    return tuple(_distribution(f"random_effects[{n!r}]", given.get(n, Normal())) for n in names)


def _with_prior(key: str, distribution: Distribution, given: dict[str, Any]) -> Distribution:
    """Return a distribution with the prior of ν that the mapping of priors has for it, which is taken out."""
    if key not in given or not (isinstance(distribution, StudentT) and distribution.prior):
        return distribution
    return StudentT(_gamma(key, given.pop(key)))


def _gamma(key: str, prior: Any) -> Gamma:
    if not isinstance(prior, Gamma):
        raise ModelError(f"the prior of {key!r} is {prior}; expected mf.priors.Gamma(shape, rate).")
    return prior
