"""Error models: distributions of residuals and effects, residual variances by group, and their priors."""

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

__all__ = ["ErrorModel", "place_error_model"]

NU0 = Gamma(2.0, 0.1)
"""Default prior of ν₀, the same as that of the degrees of freedom of a t distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class ErrorModel:
    """Distributions of residuals and effects.

    Attributes
    ----------
    errors : Distribution
    effects : tuple of Distribution
        One for each of `design.blocks`.
    names : tuple of str
        Names of the grouping factors.
    sizes : tuple of int
        Effects per level of each grouping factor.
    groups : ResidualGroups or None
        Groups with separate residual variances.
    nu0 : Gamma
        Prior of ν₀, the similarity of the variances of groups.
    sigma0 : VariancePrior or Gamma
        Prior of σ₀, the typical σ, or of σ₀².
    """

    errors: Distribution
    effects: tuple[Distribution, ...]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    groups: ResidualGroups | None
    nu0: Gamma
    sigma0: VariancePrior | Gamma

    @property
    def is_normal(self) -> bool:
        """Whether residuals and effects are normal with one σ."""
        return self.groups is None and all(isinstance(d, Normal) for d in (self.errors, *self.effects))

    @property
    def differences(self) -> tuple[str, ...]:
        """Statements of the differences from a model with normal residuals and effects and one σ."""
        out = []
        variance = "σ²" if self.groups is None else f"σ²[{self.groups.name}]"
        if self.groups is not None or not isinstance(self.errors, Normal):
            out.append(self.errors.about("ε", variance))
        if self.groups is not None:
            out.append(f"1/{variance} ~ gamma(ν₀/2, ν₀σ₀²/2)")
        for name, k, distribution in zip(self.names, self.sizes, self.effects, strict=True):
            if not isinstance(distribution, Normal):
                out.append(distribution.about(f"b[{name}]", "Ω" if k > 1 else "τ²", f"ν[{name}]"))
        return tuple(out)

    def statements(self, sigma: VariancePrior) -> tuple[str, ...]:
        """Return `differences` with the priors of σ, ν₀ and σ₀; `sigma` is the prior of a common σ."""
        if self.groups is None:
            return (sigma.about("σ"), *self.differences)
        typical = "σ₀²" if isinstance(self.sigma0, Gamma) else "σ₀"
        return (*self.differences, self.nu0.about("ν₀"), self.sigma0.about(typical))


def place_error_model(
    design: Design,
    priors: Mapping[str, Any] | None,
    *,
    errors: Any,
    random_effects: Any,
    sigma: Any,
    data: Any,
) -> tuple[ErrorModel, Mapping[str, Any] | None]:
    """Return the error model, and the priors of all other parameters.

    Raises
    ------
    ModelError
        If a distribution, a factor, a column or a prior is not valid.
    """
    names = tuple(block.name for block in design.blocks)
    residuals = _distribution("errors", errors)
    effects = _by_factor(names, random_effects)
    groups = residual_groups(design, sigma, data)
    others = dict(priors) if isinstance(priors, Mapping) else {}
    residuals = _with_prior("nu", residuals, others)
    effects = tuple(_with_prior(f"nu|{n}", d, others) for n, d in zip(names, effects, strict=True))
    nu0: Any = NU0
    sigma0: Any = HalfNormal(residual_scale(design) or 1.0)
    if groups is not None:
        if "sigma" in others:
            raise ModelError(
                f"a prior is given for 'sigma', but σ differs by {groups.name}: give 'sigma0', the typical σ, a prior "
                "of a standard deviation (or Gamma(a, b) for its square), and 'nu0', how alike they are, a Gamma."
            )
        nu0 = _gamma("nu0", others.pop("nu0", nu0))
        sigma0 = others.pop("sigma0", sigma0)
        if not isinstance(sigma0, VariancePrior | Gamma):
            raise ModelError(
                f"the prior of 'sigma0' is {sigma0}; expected one of a standard deviation, such as HalfNormal(1), or "
                "Gamma(a, b) for its square."
            )
    _check_others(others, residuals, dict(zip(names, effects, strict=True)), groups)
    sizes = tuple(block.k for block in design.blocks)
    error_model = ErrorModel(residuals, effects, names, sizes, groups, nu0, sigma0)
    return error_model, others if isinstance(priors, Mapping) else priors


def _check_others(
    priors: Mapping[str, Any],
    errors: Distribution,
    effects: Mapping[str, Distribution],
    groups: ResidualGroups | None,
) -> None:
    """Raise if there is a prior of ν, ν₀ or σ₀ that the model does not have, or of the σ of a single group."""
    subjects = {"nu": ("the residuals", "errors", errors)}
    subjects |= {f"nu|{n}": (f"the effects of {n}", "random_effects", d) for n, d in effects.items()}
    for key, (subject, option, distribution) in subjects.items():
        if key in priors:
            why = f"{subject} are {type(distribution).__name__}, without degrees of freedom"
            if isinstance(distribution, StudentT):
                why = f"{subject} have {distribution.df} degrees of freedom, held"
            raise ModelError(
                f"a prior is given for {key!r}, but {why}; take {option}=mf.distributions.StudentT('estimate')."
            )
    for key in priors:
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


def _distribution(name: str, value: Any) -> Distribution:
    """Return an option as a distribution; a class stands for its default value."""
    if isinstance(value, type) and issubclass(value, Normal | StudentT | Laplace):
        value = value()
    if not isinstance(value, Normal | StudentT | Laplace):
        raise ModelError(
            f"{name} is {value!r}; expected a value of mf.distributions: Normal(), StudentT(df) or Laplace()."
        )
    return value


def _by_factor(names: tuple[str, ...], option: Any) -> tuple[Distribution, ...]:
    """Return the distribution of the effects of each grouping factor."""
    if not isinstance(option, Mapping):
        return (_distribution("random_effects", option),) * len(names)
    for name in option:
        if name not in names:
            raise ModelError(
                f"random_effects has {name!r}, which is not a grouping factor (known: {', '.join(names)}). "
                f"{nearest(str(name), names)}".rstrip()
            )
    return tuple(_distribution(f"random_effects[{n!r}]", option.get(n, Normal())) for n in names)


def _with_prior(key: str, distribution: Distribution, priors: dict[str, Any]) -> Distribution:
    """Return a distribution with the prior of ν in `priors`, and remove that prior from them."""
    if key not in priors or not (isinstance(distribution, StudentT) and distribution.prior):
        return distribution
    return StudentT(_gamma(key, priors.pop(key)))


def _gamma(key: str, prior: Any) -> Gamma:
    """Return a prior if it is a gamma distribution."""
    if not isinstance(prior, Gamma):
        raise ModelError(f"the prior of {key!r} is {prior}; expected mf.priors.Gamma(shape, rate).")
    return prior
