"""Draws from a posterior, by name and by group, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from .._lazy import lazy
from .._types import Array, IntArray
from ..design import Design
from ..errors import ModelError, nearest
from ..labels import check_level
from ..parameters import variance_parameters
from .arviz import to_arviz
from .asked import derived, event_of, stuck_of, variance_draws
from .convergence import what_to_know
from .draws import (
    Draws,
    Probability,
    check_interval,
    format_summary,
    row_names,
    summarise,
)
from .group_draws import ByFactor, GroupDraws, with_fixed
from .judged import Judged
from .predictive import Further, predict
from .rows import row_log_density
from .scale_draws import ScaleDraws

__all__ = ["Posterior"]


@dataclass(frozen=True, eq=False)
class Posterior(Judged):
    """Draws from the posterior of a linear mixed model. Made by `LinearMixedModel.gibbs`.

    ``posterior["GenotypeB"]`` is an array of shape (chains, draws); names are the fixed effects',
    ``sd_(Intercept)|Tray``, ``cor_Days.(Intercept)|Subject`` and ``sigma``; where they are part of the model, ``nu``,
    ``nu|Tray``, and ``sigma[A]``, ``sigma0`` and ``nu0`` in place of ``sigma``.

    Attributes
    ----------
    design : Design
        The numbers of the model: response, X, and the blocks of random effects, in the order of `omega`.
    kept : ndarray of int64, shape (p,)
        Columns of X that have a coefficient, as positions in `design.x_names`; `dropped` names the others.
    priors : tuple of str
        Every prior, as mathematics.
    beta : ndarray, shape (chains, draws, p)
        Fixed effects in the order of `kept`; ``posterior["GenotypeB"]`` is one of them.
    sigma : ndarray, shape (chains, draws)
        Residual standard deviation, of a row of weight 1.
    omega : tuple of ndarray, shape (chains, draws, k, k)
        Covariance of one level's effects, one array for every grouping factor in the order of `design.blocks`, whose
        `effects` name rows and columns; in squared units of the response. `cov_re` has its mean, labelled.
    effects : tuple of ndarray, shape (chains, draws, levels, k)
        Draws of b, one array for every grouping factor in the same order; `random_effects` has them labelled. Empty if
        they were not kept.
    tune, thin : int
        Sweeps thrown away at the start of every chain; sweeps for each draw.
    seconds : float
    acceptance : ndarray, shape (chains,), or None
        Share of steps that moved all covariances at once, after tuning; 0.2 to 0.4 is what they aim at.
    without : callable or None
        Takes rows and a seed, and samples the posterior without these rows under the same priors.
    scales : ScaleDraws or None
        What else is drawn where the model is not normal with one σ: degrees of freedom and the σ of every group; all
        are in ``posterior[name]`` too. `sigma` is σ₀ where σ differs by group.
    held : frozenset of str
        Names of the parameters that are known.
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
    held: frozenset[str] = frozenset()
    given: tuple[str, ...] = ()

    @property
    def chains(self) -> int:
        """Number of chains."""
        return int(self.sigma.shape[0])

    @property
    def draws(self) -> int:
        """Draws kept of every chain."""
        return int(self.sigma.shape[1])

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X without a coefficient, because the others determine them."""
        return tuple(name for i, name in enumerate(self.design.x_names) if i not in set(self.kept.tolist()))

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
            out[parameter.long_name] = lambda p=parameter: variance_draws(self, p)  # type: ignore[misc]
        for name, values in self.scales.by_name().items() if self.scales else ():
            out[name] = lambda v=values: v  # type: ignore[misc]
        return out

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters: fixed effects, standard deviations and correlations, σ."""
        return tuple(self._getters)

    def __getitem__(self, name: str) -> Array:
        """Return the draws of a parameter, shape (chains, draws)."""
        if not isinstance(name, str):
            raise ModelError(
                f"{name!r} is not the name of a parameter; give one name at a time, such as {self.names[-1]!r}. "
                "summary().loc[[…]] shows several, and .derive() computes with them."
            )
        if name not in self._getters:
            raise ModelError(
                f"{name!r} is not a parameter (known: {', '.join(self.names)}). "
                f"{nearest(str(name), self.names)}".rstrip()
            )
        return self._getters[name]()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is found again when asked for, such as functions made on the way."""
        return {name: value for name, value in self.__dict__.items() if name != "_getters"}

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
        return ByFactor(
            (block.name, GroupDraws(block.name, block.grouping.levels, block.effects, values))
            for block, values in zip(self.design.blocks, self.effects, strict=True)
        )

    @lazy
    def group_coefs(self) -> dict[str, GroupDraws]:
        """Draws of each group's coefficients, β + b, for every grouping factor; the counterpart of a fit's."""
        names = tuple(self.design.x_names[c] for c in self.kept)
        return ByFactor(
            (name, with_fixed(own, names, self.beta)) for name, own in self.random_effects.items()
        )

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

    def probability(self, event: str | Callable[[Posterior], Any], name: str | None = None) -> Probability:
        """Return the posterior probability of an event, with its Monte-Carlo standard error.

        Parameters
        ----------
        event : str or callable
            A comparison of parameters, such as ``"GenotypeB > 0"`` or ``"sd_(Intercept)|Tray > 2 * sigma"``;
            several may be joined by ``and`` and ``or``. Or a function of the posterior that returns true or false
            for each draw, shape (chains, draws).
        name : str, optional
            Of the event, in print.
        """
        return event_of(self, event, name)

    def derive(self, function: str | Callable[[Posterior], Array], name: str | None = None) -> Draws:
        """Return the draws of a function of the parameters.

        Parameters
        ----------
        function : str or callable
            An expression, such as ``"GenotypeB / sigma"``, or a function of the posterior that returns an array of
            shape (chains, draws).
        name : str, optional
        """
        return derived(self, function, name)

    def predict(
        self,
        data: Any,
        *,
        kind: Literal["response", "mean"] = "response",
        weights: Any = None,
        offset: Any = None,
        seed: object = None,
    ) -> Draws:
        """Return draws of the response, or of its mean, on further rows.

        Parameters
        ----------
        data : pandas or polars frame, pyarrow table or mapping of arrays
            The variables of the formula but the response. Rows of a group that was in the fit get that group's
            effects; rows of another group get effects drawn anew from N(0, Ω), or the t or Laplace distribution of
            the model, the same for all rows of one label; the printout names such labels. Where σ differs by group,
            the group's column is needed too; of a new group σ is drawn from the hierarchy.
        kind : {"response", "mean"}
            Whether to add the residual, ε ~ N(0, σ²/w) or the model's t or Laplace, drawn anew for every row.
        weights : str, number or array, optional
            A column, one number a row, or one for all: w of the rows. Needed for responses if the fit has weights.
        offset : str, number or array, optional
            Of the rows, if the offset of the fit was an array.
        seed : int, SeedSequence, Generator or None

        Returns
        -------
        Draws
            One quantity a row, named by the rows' index; differences of two are ``d[0] - d[1]``.

        Raises
        ------
        DataError
            If a variable is missing or has a level that the fit did not have, or a group's label is one of the fit's
            but for its type, such as 308 for '308'.
        ModelError
            If the fit has weights and those of the rows are not given.
        """
        if kind not in ("response", "mean"):
            raise ModelError(f"kind={kind!r} is not known; expected 'response' or 'mean'.")
        self._need_effects()
        parts = self.beta, self.sigma, self.omega, self.effects, self.scales
        index, values, notes = predict(
            self.design, self.kept, parts, Further(data, kind, weights, offset), seed
        )
        return Draws(row_names(index), values, index, notes)

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

    def save(self, path: str | Path) -> None:
        """Write the draws, and the data of the model, to a file that holds numbers and text only (npz).

        What is read again by `mixedfit.load` answers everything but ``loo(refit=True)``, which samples again.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ModelError
            If the model is not normal with one σ.
        """
        from .stored import write_posterior

        write_posterior(self, path)

    @lazy
    def _stuck(self) -> str:
        return stuck_of(self)

    @lazy
    def warnings(self) -> tuple[str, ...]:
        """What should be known before the numbers are read, in words; empty if all is well."""
        return what_to_know(self.summary(), self._stuck, self.chains)

    def __str__(self) -> str:
        sampled = f"{self.chains} chain{'s' if self.chains > 1 else ''} of {self.draws} draws"
        every = f", 1 of every {self.thin} sweeps," if self.thin > 1 else ""
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
        if self.dropped:
            lines.append(f"Dropped, being determined by the others: {', '.join(self.dropped)}")
        lines += [f"Warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    __repr__ = __str__
