"""Draws from a posterior, by name and by group, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from .._lazy import lazy
from .._types import Array, IntArray
from ..design import Design
from ..errors import ModelError, nearest
from ..labels import check_level
from ..parameters import Parameter, variance_parameters
from .arviz import to_arviz
from .draws import (
    Draws,
    GroupDraws,
    Probability,
    check_interval,
    format_summary,
    probability_of,
    row_names,
    summarise,
)
from .expressions import evaluate
from .judged import Judged
from .predictive import predict
from .rows import row_log_density
from .scale_draws import ScaleDraws

__all__ = ["Posterior"]

MIXED = 1.01
"""R̂ up to which chains count as mixed; Vehtari et al. (2021)."""

ENOUGH = 100
"""Effective draws for each chain below which estimates of R̂ and of quantiles are not reliable; the same."""


@dataclass(frozen=True, eq=False)
class Posterior(Judged):
    """Draws from the posterior of a linear mixed model. Made by `LinearMixedModel.gibbs`.

    ``posterior["GenotypeB"]`` is an array of shape (chains, draws); names are the fixed effects',
    ``sd_(Intercept)|Tray``, ``cor_Days.(Intercept)|Subject`` and ``sigma``; where they are part of the model, ``nu``,
    ``nu|Tray``, and ``sigma[A]``, ``sigma0`` and ``nu0`` in place of ``sigma``.

    Attributes
    ----------
    design : Design
    kept : ndarray of int64, shape (p,)
        Columns of X that have a coefficient.
    priors : tuple of str
        Every prior, as mathematics.
    beta : ndarray, shape (chains, draws, p)
    sigma : ndarray, shape (chains, draws)
    omega : tuple of ndarray, shape (chains, draws, k, k)
        Covariance of one level's effects, for every grouping factor.
    effects : tuple of ndarray, shape (chains, draws, levels, k)
        Empty if they were not kept.
    tune, thin : int
        Sweeps thrown away at the start of every chain; sweeps for each draw.
    seconds : float
    acceptance : ndarray, shape (chains,), or None
        Share of steps that moved all covariances at once, after tuning; 0.2 to 0.4 is what they aim at.
    without : callable or None
        Takes rows and a seed, and samples the posterior without these rows under the same priors.
    scales : ScaleDraws or None
        Of a model that is not normal with one σ; `sigma` is σ₀ where σ differs by group.
    given : tuple of str
        Those of the priors that are not defaults.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    >>> posterior = model.gibbs(seed=1)
    >>> posterior["GenotypeB"].shape
    (4, 1000)
    >>> 0.05 < posterior.probability("GenotypeB > 0").value < 0.12
    True
    """

    design: Design
    kept: IntArray
    priors: tuple[str, ...]
    beta: Array
    sigma: Array
    omega: tuple[Array, ...]
    effects: tuple[Array, ...]
    tune: int
    thin: int
    seconds: float
    acceptance: Array | None = None
    without: Callable[[IntArray, object], Posterior] | None = None
    scales: ScaleDraws | None = None
    given: tuple[str, ...] = ()

    @property
    def chains(self) -> int:
        """Number of chains."""
        return int(self.sigma.shape[0])

    @property
    def draws(self) -> int:
        """Draws kept of every chain."""
        return int(self.sigma.shape[1])

    @lazy
    def _getters(self) -> dict[str, Callable[[], Array]]:
        """What gives the draws of every parameter, by name."""
        fixed = {self.design.x_names[c]: i for i, c in enumerate(self.kept)}
        out: dict[str, Callable[[], Array]] = {
            name: (lambda i=i: self.beta[:, :, i])  # type: ignore[misc]
            for name, i in fixed.items()
        }
        one = self.scales is None or self.scales.shape.groups is None
        for parameter in variance_parameters(self.design, with_sigma=one):
            out[parameter.long_name] = lambda p=parameter: self._variance(p)  # type: ignore[misc]
        for name, values in self.scales.by_name().items() if self.scales else ():
            out[name] = lambda v=values: v  # type: ignore[misc]
        return out

    def _variance(self, parameter: Parameter) -> Array:
        """Return draws of a standard deviation or a correlation."""
        if parameter.kind == "sigma":
            return self.sigma
        omega, a, b = self.omega[parameter.block], parameter.first, parameter.second
        if parameter.kind == "sd":
            return np.asarray(np.sqrt(omega[:, :, a, a]))
        return np.asarray(omega[:, :, a, b] / np.sqrt(omega[:, :, a, a] * omega[:, :, b, b]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters: fixed effects, standard deviations and correlations, σ."""
        return tuple(self._getters)

    def __getitem__(self, name: str) -> Array:
        """Return the draws of a parameter, shape (chains, draws)."""
        if name not in self._getters:
            raise ModelError(
                f"{name!r} is not a parameter (known: {', '.join(self.names)}). "
                f"{nearest(str(name), self.names)}".rstrip()
            )
        return self._getters[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._getters

    @property
    def cov_re(self) -> dict[str, pd.DataFrame]:
        """Posterior mean of Ω, the covariance matrix of one level's random effects, for every grouping factor.

        Of t and Laplace effects Ω is the squared scale, of which their covariance is a multiple.
        """
        return {
            block.name: pd.DataFrame(omega.mean(axis=(0, 1)), list(block.effects), list(block.effects))
            for block, omega in zip(self.design.blocks, self.omega, strict=True)
        }

    @lazy
    def random_effects(self) -> dict[str, GroupDraws]:
        """Draws of b for every grouping factor."""
        self._need_effects()
        return {
            block.name: GroupDraws(block.name, block.grouping.levels, block.effects, values)
            for block, values in zip(self.design.blocks, self.effects, strict=True)
        }

    @lazy
    def group_coefs(self) -> dict[str, GroupDraws]:
        """Draws of each group's coefficients, β + b, for every grouping factor; the counterpart of a fit's."""
        names = tuple(self.design.x_names[c] for c in self.kept)
        out = {}
        for name, own in self.random_effects.items():
            columns = names + tuple(effect for effect in own.effects if effect not in names)
            values = np.zeros((*own.values.shape[:3], len(columns)))
            values[..., : len(names)] = self.beta[:, :, None, :]
            values[..., [columns.index(effect) for effect in own.effects]] += own.values
            out[name] = GroupDraws(name, own.levels, columns, values)
        return out

    def _need_effects(self) -> None:
        if len(self.effects) < len(self.design.blocks):
            raise ModelError("the draws of the random effects were not kept; sample with keep_effects=True.")

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] = (0.025, 0.5, 0.975),
        interval: Literal["quantiles", "hpd"] = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return a table with a row for every parameter.

        Parameters
        ----------
        quantiles : tuple of float
        interval : {"quantiles", "hpd"}
            Whether to give quantiles or the shortest interval, hpd_lower to hpd_upper.
        level : float
            Probability inside the shortest interval.

        Returns
        -------
        pandas.DataFrame
            Mean, sd, mcse (the mean's Monte-Carlo standard error), quantiles or interval, rhat (rank-normalised
            split R̂), ess_bulk and ess_tail; Vehtari et al. (2021), Bayesian Analysis 16:667.
        """
        check_interval(interval, quantiles)
        check_level(level)
        rows = [summarise(self[name], quantiles, interval, level) for name in self.names]
        return pd.DataFrame(rows, index=pd.Index(self.names))

    def probability(self, event: str) -> Probability:
        """Return the posterior probability of an event, with its Monte-Carlo standard error.

        Parameters
        ----------
        event : str
            A comparison of parameters, such as ``"GenotypeB > 0"`` or ``"sd_(Intercept)|Tray > 2 * sigma"``;
            several may be joined by ``and`` and ``or``.
        """
        happened = np.asarray(evaluate(event, self.names, self.__getitem__))
        if happened.dtype != bool:
            raise ModelError(f"{event!r} is not a comparison; expected such as 'x > 0'.")
        return probability_of(event, np.broadcast_to(happened, self.sigma.shape))

    def derive(self, function: str | Callable[[Posterior], Array], name: str | None = None) -> Draws:
        """Return the draws of a function of the parameters.

        Parameters
        ----------
        function : str or callable
            An expression, such as ``"GenotypeB / sigma"``, or a function of the posterior that returns an array of
            shape (chains, draws).
        name : str, optional
        """
        if callable(function):
            values, label = np.asarray(function(self), dtype=float), name or "derived"
        else:
            values = np.asarray(evaluate(function, self.names, self.__getitem__), dtype=float)
            values, label = np.broadcast_to(values, self.sigma.shape), name or function
        if values.shape != self.sigma.shape:
            raise ModelError(
                f"the function gives shape {values.shape}; expected {self.sigma.shape}, one number a draw."
            )
        return Draws((label,), values[:, :, None])

    def predict(
        self, data: Any, *, kind: Literal["response", "mean"] = "response", seed: object = None
    ) -> Draws:
        """Return draws of the response, or of its mean, on further rows.

        Parameters
        ----------
        data : pandas or polars frame, pyarrow table or mapping of arrays
            The variables of the formula but the response. Rows of a group that was in the fit get that group's
            effects; rows of another group get effects drawn anew from N(0, Ω), or the t or Laplace distribution of
            the model, the same for all rows of one label. Where σ differs by group, the group's column is needed too;
            of a new group σ is drawn from the hierarchy.
        kind : {"response", "mean"}
            Whether to add the residual, ε ~ N(0, σ²) or the model's t or Laplace, drawn anew for every row.
        seed : int, SeedSequence, Generator or None

        Returns
        -------
        Draws
            One quantity a row, named by the rows' index; differences of two are ``d[0] - d[1]``.

        Raises
        ------
        DataError
            If a variable is missing or has a level that the fit did not have.
        """
        if kind not in ("response", "mean"):
            raise ModelError(f"kind={kind!r} is not known; expected 'response' or 'mean'.")
        self._need_effects()
        index, values = predict(
            self.design,
            self.kept,
            (self.beta, self.sigma, self.omega, self.effects, self.scales),
            data,
            kind,
            seed,
        )
        return Draws(row_names(index), values)

    def log_likelihood(self) -> Array:
        """Return log p(y_i | β, b, σ) of every draw and row of the fit, shape (chains, draws, n).

        Conditional on b; of t and Laplace residuals their own density.
        """
        self._need_effects()
        return row_log_density(self)

    def to_arviz(self, *, rows: bool = True, prior: Posterior | None = None, seed: object = None) -> Any:
        """Return the draws as an ArviZ DataTree (``pip install "mixedfit[bayes]"``).

        Parameters
        ----------
        rows : bool
            Whether to add, for the rows of the fit, the groups log_likelihood and posterior_predictive (the rows'
            replicated responses), which ArviZ's loo and plots of predictions need.
        prior : PriorPredictive, optional
            Draws from the prior, for the groups prior and prior_predictive.
        seed : int, SeedSequence, Generator or None
            Of the replicated responses.

        Returns
        -------
        xarray.DataTree
            Groups posterior (every parameter, and ``b|Tray`` with coordinates Tray and effect|Tray), sample_stats
            (acceptance_rate: each chain's share of accepted steps of all covariances at once), observed_data, and
            those of `rows` and `prior`.

        Raises
        ------
        ModelError
            If ArviZ is not installed, or the random effects were not kept.
        """
        if rows:
            self._need_effects()
        return to_arviz(self, rows=rows, seed=seed, prior=prior)

    @lazy
    def warnings(self) -> tuple[str, ...]:
        """What should be known before the numbers are read, in words; empty if all is well."""
        table = self.summary()
        out = []
        worst = table["rhat"].max()
        if worst > MIXED:
            out.append(
                f"the chains have not mixed (R̂ up to {worst:.3f}, of {table['rhat'].idxmax()}); draw more, or give "
                "a stronger prior."
            )
        least = table[["ess_bulk", "ess_tail"]].min(axis=1)
        if least.min() < ENOUGH * self.chains:
            out.append(
                f"{least.idxmin()} has {least.min():.0f} effective draws, fewer than {ENOUGH * self.chains}; draw more."
            )
        return tuple(out)

    def __str__(self) -> str:
        sampled = f"{self.chains} chains of {self.draws} draws"
        every = f", every {self.thin}th kept" if self.thin > 1 else ""
        lines = [
            "Linear mixed model, Gibbs sampler",
            f"Formula: {self.design.formula.source}",
            f"{sampled}{every} after {self.tune} of tuning, {self.seconds:.2g} s",
            "",
            "Priors:",
            *(f"  {statement}" for statement in self.priors),
            "",
            format_summary(self.summary()),
        ]
        groups = ", ".join(f"{block.name}, {block.levels}" for block in self.design.blocks)
        lines += ["", f"Rows: {self.design.n}" + (f"; groups: {groups}" if groups else "")]
        lines += [f"Warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    __repr__ = __str__
