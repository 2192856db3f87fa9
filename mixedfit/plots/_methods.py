"""Functions of `mixedfit.plots` as methods of a fit: ``fit.plot()``, ``fit.plot.shrinkage()``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from ._bound import bound
from .style import PARAMETER_AXES, whole_figure

__all__ = ["Pictures"]


class Pictures(Hinted):
    """Pictures of one fit: ``fit.plot()`` draws an overview; the methods are functions of `mixedfit.plots`.

    Methods that draw on one axes take ``ax=`` and return it. ``fit.plot()``, `fitted_lines`, `qq_random_effects`,
    `within_group`, `matrix_pattern` and those of profiles make a figure and return it.
    """

    def __init__(self, results: Fitted) -> None:
        self._subject = results

    __call__ = bound(_residuals.overview)
    overview = bound(_residuals.overview)
    caterpillar = bound(_caterpillar.caterpillar)
    shrinkage = bound(_shrinkage.shrinkage)
    shrinkage_by_size = bound(_shrinkage.shrinkage_by_size)
    fitted_lines = bound(_fitted_lines.fitted_lines)
    spaghetti = bound(_fitted_lines.spaghetti)
    residuals_fitted = bound(_residuals.residuals_fitted)
    scale_location = bound(_residuals.scale_location)
    qq_residuals = bound(_residuals.qq_residuals)
    qq_random_effects = bound(_residuals.qq_random_effects)
    within_group = bound(_within_group.within_group)
    autocorrelation = bound(_serial.autocorrelation)
    variogram = bound(_serial.variogram)
    residual_correlation = bound(_serial.residual_correlation)
    matrix_pattern = bound(_matrix_pattern.matrix_pattern)
    means = bound(_means.means)
    effect = bound(_effect.effect)
    slopes = bound(_means.slopes)
    forest = bound(_forest.forest)

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
            return profile(fit_of(self._subject), parameters, report=shown.say)
