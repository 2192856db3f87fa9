"""Power-scaling sensitivity: how the posterior changes as its prior or its likelihood is raised to a power α near 1.

Kallioinen, Paananen, Bürkner & Vehtari (2024), Stat. Comput. 34:57. The draws get weights p(θ)^(α−1) or
p(y | θ)^(α−1), with b integrated out, smoothed by PSIS; the change is the distance between weighted and unweighted
cumulative distributions.

A power of a density depends on its coordinates. Those of all priors here are the coefficients, the standard deviations
and the correlations, so that priors with the same distribution have the same sensitivity, however they are stated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfit.bayes.criticism.loo import relative_efficiency
from mixedfit.bayes.criticism.psis import khat_threshold, smoothed_weights
from mixedfit.bayes.draws.draws import listed
from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.evidence.collapsed import collapsed_posterior, placement_of
from mixedfit.bayes.priors import Decov, Known
from mixedfit.bayes.priors.mixtures import log_density
from mixedfit.bayes.priors.placement import Placement
from mixedfit.bayes.sampler.arrays import prior_numbers, unit_arrays
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.tables import Table, text_table
from mixedfit.kernels.gibbs import variances as kinds

__all__ = ["PowerScaling", "cumulative_distance", "log_prior", "power_scaling"]

SENSITIVE = 0.05
"""Sensitivity above which Kallioinen et al. (2024), section 3, look at a prior or a likelihood."""

STEP = 0.01
"""α is 1 + STEP and its inverse; Kallioinen et al. (2024), section 2.5."""

CONFLICT, DOMINATES = "potential prior-data conflict", "strong prior or weak likelihood"


@dataclass(frozen=True, eq=False)
class PowerScaling(NotebookTable):
    """Sensitivity of each parameter's posterior to its prior and its likelihood.

    Attributes
    ----------
    table : pandas.DataFrame
        For each parameter prior and likelihood, the change of the distribution for a doubling of log α, and diagnosis:
        "potential prior-data conflict" if both are above 0.05, "strong prior or weak likelihood" if that of the prior
        alone is.
    pareto_k : dict of str to float
        k̂ of the weights for the prior and the likelihood; above `threshold` they are not reliable.
    draws : int
    """

    table: pd.DataFrame
    pareto_k: dict[str, float]
    draws: int

    @property
    def threshold(self) -> float:
        """k̂ up to which the weights are reliable."""
        return khat_threshold(self.draws)

    def _cells(self) -> pd.DataFrame:
        cells = self.table.copy()
        for name in ("prior", "likelihood"):
            cells[name] = [f"{value:.3f}" for value in self.table[name]]
        return cells

    def _notes(self) -> list[str]:
        bad = [name for name, k in self.pareto_k.items() if k > self.threshold]
        notes = []
        if bad:
            notes.append(
                f"The Pareto k̂ of the {' and '.join(bad)} is above {self.threshold:.2f}: these columns are a guess."
            )
        flagged = self.table.index[self.table["diagnosis"] != ""]
        if len(flagged):
            notes.append(
                f"The prior matters for {listed(list(flagged), 5)}: look at it by model.sensitivity(...)."
            )
        return notes

    def _tables(self) -> list[Table]:
        return [text_table("Power-scaling sensitivity", self._cells(), self._notes())]

    def __str__(self) -> str:
        return "\n".join(["Power-scaling sensitivity", self._cells().to_string(), *wrapped(self._notes())])

    __repr__ = __str__


def power_scaling(posterior: PosteriorDraws, parameters: str | Iterable[str] | None) -> PowerScaling:
    """Return the sensitivity of parameters to prior and likelihood; see `Posterior.power_scaling`."""
    placement = placement_of(posterior, "power scaling")
    if posterior.sigma.size < 100:
        raise ModelError(f"power scaling needs at least 100 draws; there are {posterior.sigma.size}.")
    chosen = [parameters] if isinstance(parameters, str) else parameters
    wanted = [posterior.name_of(name) for name in chosen or posterior.names]
    names = [name for name in wanted if name not in posterior.held]
    values = np.stack([posterior[name].ravel() for name in names])
    collapsed = collapsed_posterior(posterior, "power scaling")
    x = collapsed.coordinates(posterior, np.random.default_rng(0))
    likelihood = collapsed.log_likelihood(posterior, x.reshape(posterior.sigma.size, x.shape[2]))
    efficiency = relative_efficiency(posterior)
    columns, khats = {}, {}
    for what, logs in (("prior", log_prior(posterior, placement)), ("likelihood", likelihood)):
        columns[what], khats[what] = _sensitivity(values, logs, efficiency)
    table = pd.DataFrame(columns, index=pd.Index(names, name="parameter"))
    high = table > SENSITIVE
    table["diagnosis"] = np.where(
        high["prior"] & high["likelihood"], CONFLICT, np.where(high["prior"], DOMINATES, "")
    )
    return PowerScaling(table, khats, posterior.sigma.size)


def _sensitivity(values: Array, logs: Array, efficiency: float) -> tuple[Array, float]:
    """Return the mean distance at both α for each log₂ α, shape (parameters,), and the larger k̂."""
    if np.ptp(logs) == 0.0:  # a flat prior: all powers are alike
        return np.zeros(len(values)), 0.0
    powers = np.array([STEP, 1.0 / (1.0 + STEP) - 1.0])
    weights, khat = smoothed_weights(powers[:, None] * logs, efficiency)
    distances = [[cumulative_distance(x, np.exp(w)) for x in values] for w in weights]
    finite = khat[np.isfinite(khat)]
    return np.mean(distances, axis=0) / np.log2(1.0 + STEP), float(finite.max(initial=0.0))


def cumulative_distance(x: Array, weights: Array) -> float:
    """Return the cumulative Jensen–Shannon distance of draws from the same draws with weights, between 0 and 1.

    With P and Q the distribution functions, the root of [CJS(P‖Q) + CJS(Q‖P)]/∫(P + Q), where CJS(P‖Q) =
    ∫P log₂(2P/(P + Q)) + ∫(Q − P)/(2 ln 2); Nguyen & Vreeken (2015), Kallioinen et al. (2024), section 2.4. The
    larger one of x and −x.

    Parameters
    ----------
    x, weights : ndarray, shape (draws,)
        The weights sum to 1.
    """
    order = np.argsort(x)
    steps = np.diff(x[order])
    P = np.arange(1, x.size) / x.size
    Q = np.minimum(np.cumsum(weights[order])[:-1], 1.0)
    # −x has the distribution functions 1 − P and 1 − Q
    return max(_distance(P, Q, steps), _distance(1.0 - P, 1.0 - Q, steps))


def _distance(P: Array, Q: Array, steps: Array) -> float:
    M = 0.5 * (P + Q)
    total = 2.0 * float(steps @ M)
    if total <= 0.0:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.where(P > 0, P * np.log2(P / M), 0.0) + np.where(Q > 0, Q * np.log2(Q / M), 0.0)
    return float(np.sqrt(max(float(steps @ both), 0.0) / total))


def log_prior(posterior: PosteriorDraws, placement: Placement) -> Array:
    """Return the log prior density of each draw up to a constant, shape (draws,).

    The density is that of β, σ and, for each Ω, of its standard deviations τ and correlations R: p(τ, R) =
    p(Ω) |∂Ω/∂(τ, R)| with |∂Ω/∂(τ, R)| = 2^k Π τ_i^k.
    """
    beta = posterior.beta.reshape(posterior.sigma.size, -1) - placement.mean
    value = -0.5 * np.einsum("si,ij,sj->s", beta, placement.precision, beta)
    for mixture in placement.mixtures:
        z = ((beta + placement.mean) @ mixture.direction - mixture.mean) / mixture.scale
        value += np.array([log_density(mixture.prior, own) for own in z]) + 0.5 * z * z
    order = list(range(len(posterior.design.blocks)))
    widest = max((block.k for block in posterior.design.blocks), default=1)
    for unit in placement.units:
        if isinstance(unit.prior, Known):
            continue
        here = slice(unit.start, unit.start + unit.size)
        omegas = posterior.omega[unit.block].reshape(
            posterior.sigma.size, *posterior.omega[unit.block].shape[2:]
        )
        rows, hyper, matrices = unit_arrays((unit,), order, widest, 1.0)
        own = np.ascontiguousarray(omegas[:, here, here])
        sigma = posterior.sigma.ravel()
        if isinstance(unit.prior, Decov):
            own, value = own / sigma[:, None, None] ** 2, value - unit.size * np.log(sigma)
        if unit.size == 1:
            value += _log_sd(unit.prior, np.sqrt(own[:, 0, 0]))
            continue
        density = [
            kinds.log_covariance_density(int(rows[0, 3]), float(hyper[0, 0]), matrices[0], omega, unit.size)
            for omega in own
        ]
        value += np.array(density) + 0.5 * unit.size * np.log(np.diagonal(own, axis1=1, axis2=2)).sum(axis=1)
    if not isinstance(placement.sigma, Known):
        value += _log_sd(placement.sigma, posterior.sigma.ravel())
    return np.asarray(value)


def _log_sd(prior: object, tau: Array) -> Array:
    """Return the log density of standard deviations."""
    numbers = prior_numbers(prior, 1.0)  # type: ignore[arg-type]
    return np.array([kinds.log_sd_density(*numbers, t) for t in tau])
