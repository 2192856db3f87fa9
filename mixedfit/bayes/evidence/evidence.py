"""The log marginal likelihood of a model under its priors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.priors import Jeffreys, UniformSD
from mixedfit.bayes.priors.placement import Placement
from mixedfit.core.errors import ModelError
from mixedfit.core.format import count_noun, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_one_of
from mixedfit.core.seeds import generator
from mixedfit.core.tables import Table, one_row
from mixedfit.design.design import Design

from .bridge import bridge_estimate
from .collapsed import CollapsedPosterior, collapsed_posterior, placement_of, proper_precision
from .heavy_tails import heavy_tailed_posterior
from .quadrature import log_integral

__all__ = ["Evidence", "Method", "log_evidence"]

Method = Literal["auto", "quadrature", "bridge"]

WORDS = {"exact": "in closed form", "quadrature": "by quadrature", "bridge": "by bridge sampling"}

IMPRECISE = 0.2
"""Error of a log evidence above which the printout advises more draws: a fifth of the evidence itself."""


@dataclass(frozen=True, eq=False)
class Evidence(NotebookTable):
    """The log marginal likelihood of a model, log p(y) = log ∫ p(y | parameters) p(parameters), with its error.

    Attributes
    ----------
    value : float
        Natural logarithm, in units of the response: of all n rows together.
    error : float
        Bound of the error of quadrature, or standard error of bridge sampling.
    method : {"exact", "quadrature", "bridge"}
    parameters : int
        Number of variance parameters (and scales λ of t and Laplace priors) that were integrated out numerically; all
        else was integrated out exactly. With t or Laplace residuals or effects, all parameters and effects.
    draws : int
        Draws used by bridge sampling; 0 otherwise.
    priors : tuple of str
    design : Design
        Whose rows `bayes_factor` compares.
    with_effects : bool
        Whether `parameters` counts all parameters and effects.
    """

    value: float
    error: float
    method: Literal["exact", "quadrature", "bridge"]
    parameters: int
    draws: int
    priors: tuple[str, ...]
    design: Design = field(repr=False)
    with_effects: bool = False

    @property
    def formula(self) -> str:
        """Formula of the model."""
        return self.design.formula.source

    @property
    def _how(self) -> str:
        if self.method == "exact":
            return "in closed form"
        word = "parameter" if self.with_effects else "variance parameter"
        over = f"over {count_noun(self.parameters, word)}{', effects included,' if self.with_effects else ''}"
        if self.method == "quadrature":
            return f"by quadrature {over}, error below {max(self.error, 1e-9):.0e}"
        return f"by bridge sampling {over} from {self.draws:,} draws, standard error {self.error:.2g}"

    def _notes(self) -> list[str]:
        if self.error > IMPRECISE or np.isnan(self.error):
            return ["The error is large: sample more draws."]
        return []

    def _tables(self) -> list[Table]:
        cells = {"log marginal likelihood": f"{self.value:.4f}", "error": f"{self.error:.2g}"}
        return [one_row(f"Evidence of {self.formula}", cells, [f"{self._how[0].upper()}{self._how[1:]}."])]

    def __str__(self) -> str:
        digits = 6 if self.method != "bridge" else 3
        lines = [f"Log marginal likelihood: {self.value:.{digits}f}", f"Formula: {self.formula}"]
        return "\n".join([*lines, *wrapped([f"Computed {self._how}.", *self._notes()])])

    __repr__ = __str__


def log_evidence(posterior: PosteriorDraws, method: Method, seed: object) -> Evidence:
    """Return the log marginal likelihood of a posterior's model; see `Posterior.log_evidence`."""
    check_one_of("method", method, ("auto", "quadrature", "bridge"))
    if posterior.scales is not None and posterior.kind == "posterior":
        return _of_heavy_tails(posterior, method, seed)
    refuse_improper(placement_of(posterior, "the marginal likelihood"))
    collapsed = collapsed_posterior(posterior, "the marginal likelihood")
    d = collapsed.uppers.size
    if method == "quadrature" and d > 2:
        raise ModelError(
            f"quadrature is for up to 2 variance parameters; the model has {d}. Use method='bridge'."
        )
    used = "exact" if d == 0 else "bridge" if method == "bridge" or d > 2 else "quadrature"
    value, error = _integral(collapsed, posterior, used, seed)
    draws = posterior.sigma.size if used == "bridge" else 0
    return Evidence(value, error, used, d, draws, posterior.priors, posterior.design)  # type: ignore[arg-type]


def _of_heavy_tails(posterior: PosteriorDraws, method: Method, seed: object) -> Evidence:
    """Return the evidence of a model with t or Laplace distributions, by bridge sampling over all parameters."""
    joint = heavy_tailed_posterior(posterior)
    refuse_improper(joint.placement)
    if method == "quadrature":
        raise ModelError("quadrature is for models with normal residuals and effects. Use method='bridge'.")
    x = joint.coordinates()
    value, error = bridge_estimate(joint.log_density, x, generator(seed))
    return Evidence(
        value,
        error,
        "bridge",
        x.shape[2],
        posterior.sigma.size,
        posterior.priors,
        posterior.design,
        with_effects=True,
    )


def _integral(
    collapsed: CollapsedPosterior, posterior: PosteriorDraws, used: str, seed: object
) -> tuple[float, float]:
    """Return the log integral of the collapsed posterior and its error."""
    rng = generator(seed)
    x = collapsed.coordinates(posterior, rng)
    if used == "exact":
        return float(collapsed.log_density(x[0, :1])[0]), 0.0
    if used == "bridge":
        return bridge_estimate(collapsed.log_density, x, rng)
    points = x.reshape(-1, x.shape[2])
    width = np.clip(points.std(axis=0), 1e-4, 3.0)
    return log_integral(collapsed.log_density, np.median(points, axis=0), width)


def refuse_improper(placement: Placement) -> None:
    """Raise if a prior is improper, because the marginal likelihood has an arbitrary factor then.

    Raises
    ------
    ModelError
    """
    found = [unit.prior.about(f"τ[{unit.label}]") for unit in placement.units if _is_improper(unit.prior)]
    if _is_improper(placement.sigma):
        found.append(placement.sigma.about("σ"))
    instead = "such as mf.priors.HalfCauchy(scale) or mf.priors.UniformSD(upper)"
    if not proper_precision(placement):
        found = [text for text in placement.fixed if "∝" in text] or ["p(β) ∝ 1"]
        instead = "such as mf.priors.Normal(mean, sd), or leave the key out for the default"
    if found:
        raise ModelError(
            f"the prior {found[0]} is improper: it is known up to a factor only, and so would be the marginal "
            f"likelihood and every Bayes factor. Give a proper prior, {instead}."
        )


def _is_improper(prior: object) -> bool:
    return isinstance(prior, Jeffreys) or (isinstance(prior, UniformSD) and bool(np.isinf(prior.upper)))
