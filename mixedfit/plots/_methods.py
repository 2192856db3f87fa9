"""Functions of `mixedfit.plots` as methods of a fit: ``fit.plot()``, ``fit.plot.shrinkage()``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from mixedfit.core.other_programs import Hinted
from mixedfit.core.progress import Progress
from mixedfit.estimation.fit import Fitted, fit_of
from mixedfit.inference.profile.profile import Profile, profile

from . import (
    _caterpillar,
    _effect,
    _fitted_lines,
    _forest,
    _matrix_pattern,
    _means,
    _profiles,
    _residuals,
    _serial,
    _shrinkage,
    _within_group,
)
from .style import PARAMETER_AXES, whole_figure

__all__ = ["Pictures"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _method(draw: Callable[Concatenate[Fitted, _P], _T]) -> Callable[Concatenate[Pictures, _P], _T]:
    """Return a function of a fit as a method of `Pictures`, with its docstring and signature less the fit."""

    @wraps(draw)
    def method(self: Pictures, /, *args: _P.args, **options: _P.kwargs) -> _T:
        return draw(self._results, *args, **options)

    text = inspect.getdoc(draw) or ""
    alone = "Parameters\n----------\nresults : MixedResults\n\n"
    method.__doc__ = text.replace(alone, "").replace("results : MixedResults\n", "")
    return method


class Pictures(Hinted):
    """Pictures of one fit: ``fit.plot()`` draws an overview; the methods are functions of `mixedfit.plots`.

    Methods that draw on one axes take ``ax=`` and return it. ``fit.plot()``, `fitted_lines`, `qq_random_effects`,
    `within_group`, `matrix_pattern` and those of profiles make a figure and return it.
    """

    def __init__(self, results: Fitted) -> None:
        self._results = results

    __call__ = _method(_residuals.overview)
    overview = _method(_residuals.overview)
    caterpillar = _method(_caterpillar.caterpillar)
    shrinkage = _method(_shrinkage.shrinkage)
    shrinkage_by_size = _method(_shrinkage.shrinkage_by_size)
    fitted_lines = _method(_fitted_lines.fitted_lines)
    spaghetti = _method(_fitted_lines.spaghetti)
    residuals_fitted = _method(_residuals.residuals_fitted)
    scale_location = _method(_residuals.scale_location)
    qq_residuals = _method(_residuals.qq_residuals)
    qq_random_effects = _method(_residuals.qq_random_effects)
    within_group = _method(_within_group.within_group)
    autocorrelation = _method(_serial.autocorrelation)
    variogram = _method(_serial.variogram)
    residual_correlation = _method(_serial.residual_correlation)
    matrix_pattern = _method(_matrix_pattern.matrix_pattern)
    means = _method(_means.means)
    effect = _method(_effect.effect)
    slopes = _method(_means.slopes)
    forest = _method(_forest.forest)

    @whole_figure(PARAMETER_AXES)
    def profile_zeta(
        self, parameters: Any = None, *, levels: Sequence[float] = _profiles.LEVELS, columns: int = 3
    ) -> Any:
        """Profile parameters and draw ζ. See `plots.profile_zeta`."""
        return _profiles.profile_zeta(self._profile(parameters), levels=levels, columns=columns)

    @whole_figure(PARAMETER_AXES)
    def profile_density(self, parameters: Any = None, *, level: float = 0.95, columns: int = 3) -> Any:
        """Profile parameters and draw the implied densities. See `plots.profile_density`."""
        return _profiles.profile_density(self._profile(parameters), level=level, columns=columns)

    @whole_figure(PARAMETER_AXES)
    def profile_pairs(
        self, parameters: Sequence[str] | None = None, *, levels: Sequence[float] = _profiles.PAIR_LEVELS
    ) -> Any:
        """Profile all parameters and draw pairs of `parameters`. See `plots.profile_pairs`."""
        return _profiles.profile_pairs(self._profile(None), parameters, levels=levels)

    def _profile(self, parameters: Any) -> Profile:
        with Progress(None) as shown:
            return profile(fit_of(self._results), parameters, report=shown.say)
