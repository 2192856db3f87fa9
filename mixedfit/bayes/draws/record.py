"""Draws of the parameters and random effects of a posterior, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from mixedfit.bayes.priors.placement import Placement
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.lazy import lazy
from mixedfit.core.other_programs import Hinted
from mixedfit.design.design import Design
from mixedfit.estimation.parameters import Parameter, variance_parameters

from .expressions import parameter_named
from .scale_draws import ScaleDraws
from .structure_draws import StructureDraws

__all__ = ["PosteriorDraws", "factor_position"]


@dataclass(frozen=True, eq=False)
class PosteriorDraws(Hinted):
    """Draws of the parameters and random effects of a linear mixed model.

    ``draws["GenotypeB"]`` is an array of shape (chains, draws); names are the fixed effects',
    ``sd_(Intercept)|Tray``, ``cor_Days.(Intercept)|Subject`` and ``sigma``; where they are part of the model, ``nu``,
    ``nu|Tray``, and ``sigma[A]``, ``sigma0`` and ``nu0`` in place of ``sigma``; with a residual structure ``phi`` and
    ``ratio(B)``.

    Attributes
    ----------
    design : Design
        Response, X, and the blocks of random effects, in the order of `omega`.
    kept : ndarray of int64, shape (p,)
        Columns of X that have a coefficient, as positions in `design.x_names`; `dropped` names the others.
    priors : tuple of str
        Statements of the priors and of the error model.
    beta : ndarray, shape (chains, draws, p)
        Fixed effects in the order of `kept`; ``posterior["GenotypeB"]`` is one of them.
    sigma : ndarray, shape (chains, draws)
        Residual standard deviation, of a row of weight 1.
    omega : tuple of ndarray, shape (chains, draws, k, k)
        Covariance of one level's effects, one array for each grouping factor in the order of `design.blocks`, whose
        `effects` name rows and columns; in squared units of the response. `cov_re` has its mean, labelled.
    effects : tuple of ndarray, shape (chains, draws, levels, k)
        Draws of b, one array for each grouping factor in the same order; `random_effects` has them labelled. Empty if
        they were not kept.
    tune, thin : int
        Sweeps discarded at the start of each chain; sweeps for each draw.
    seconds : float
    acceptance : ndarray, shape (chains,), or None
        Share of accepted Metropolis steps of all covariances together, after tuning; the target is 0.2 to 0.4.
    without : callable or None
        Takes rows and a seed, and returns the posterior without these rows under the same priors.
    scales : ScaleDraws or None
        Draws of degrees of freedom and of σ by group, for models other than normal with one σ; also available as
        ``posterior[name]``. If σ differs by group, `sigma` is σ₀.
    held : frozenset of str
        Names of the parameters that are known.
    given : tuple of str
        Statements of the user's priors.
    ess_wanted : float or None
        Effective draws that `gibbs` was asked for; None if it was given a number of draws. `ess` has those reached.
    structure : StructureDraws or None
        Draws of the parameters of the residual structure `design.residual`; also available as ``posterior[name]``.
    placement : Placement or None
        The priors as values, for `log_evidence`; None if the draws were read from a file.
    limit : str
        What ended sampling early, such as "max_draws=10000"; empty if nothing did.
    """

    kind: ClassVar[Literal["posterior", "prior"]] = "posterior"

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
    without: Callable[[IntArray, object], PosteriorDraws] | None = None
    scales: ScaleDraws | None = None
    held: frozenset[str] = frozenset()
    given: tuple[str, ...] = ()
    ess_wanted: float | None = None
    limit: str = ""
    structure: StructureDraws | None = None
    placement: Placement | None = None

    @property
    def chains(self) -> int:
        """Number of chains."""
        return int(self.sigma.shape[0])

    @property
    def draws(self) -> int:
        """Number of draws of each chain."""
        return int(self.sigma.shape[1])

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X without a coefficient, because they depend linearly on the others."""
        kept = set(self.kept.tolist())
        return tuple(name for i, name in enumerate(self.design.x_names) if i not in kept)

    @lazy
    def _getters(self) -> dict[str, Callable[[], Array]]:
        """Functions that return the draws of each parameter, by name."""
        out: dict[str, Callable[[], Array]] = {}
        for i, column in enumerate(self.kept):
            out[self.design.x_names[column]] = partial(self.beta.__getitem__, (..., i))
        one_sigma = self.scales is None or self.scales.error_model.groups is None
        for parameter in variance_parameters(self.design, with_sigma=one_sigma):
            out[parameter.long_name] = partial(_variance_draws, self, parameter)
        for name, values in self.scales.by_name().items() if self.scales else ():
            out[name] = partial(np.asarray, values)
        if self.structure is not None:
            for i, name in enumerate(self.structure.names):
                out[name] = partial(self.structure.values.__getitem__, (..., i))
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
        return self._getters[self.name_of(name)]()

    def name_of(self, name: str) -> str:
        """Return the name of a parameter from its spelling: blanks and the order of a correlation do not count.

        Raises
        ------
        ModelError
            If there is no such parameter.
        """
        found = parameter_named(name, self.names)
        if found is None:
            raise ModelError(
                f"{name!r} is not a parameter (known: {', '.join(self.names)}). "
                f"{nearest(str(name), self.names)}".rstrip()
            )
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the getters, which are made again when needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_getters"}

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._getters

    def require_effects(self) -> None:
        """Raise a `ModelError` unless the draws of the random effects were kept."""
        if len(self.effects) < len(self.design.blocks):
            raise ModelError("the draws of the random effects were not kept; sample with keep_effects=True.")


def _variance_draws(draws: PosteriorDraws, parameter: Parameter) -> Array:
    """Return draws of a standard deviation or a correlation."""
    if parameter.kind == "sigma":
        return draws.sigma
    omega, a, b = draws.omega[parameter.block], parameter.first, parameter.second
    if parameter.kind == "sd":
        return np.asarray(np.sqrt(omega[:, :, a, a]))
    return np.asarray(omega[:, :, a, b] / np.sqrt(omega[:, :, a, a] * omega[:, :, b, b]))


def factor_position(design: Design, option: str, name: object) -> int:
    """Return the position in `design.blocks` of the grouping factor that an option names."""
    names = [block.name for block in design.blocks]
    if name not in names:
        raise ModelError(
            f"{option}={name!r} is not a grouping factor of the model ({', '.join(names) or 'it has none'}). "
            f"{nearest(str(name), names)}".rstrip()
        )
    return names.index(str(name))
