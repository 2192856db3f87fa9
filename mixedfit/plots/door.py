"""Pictures as methods of a fit: ``fit.plot()``, ``fit.plot.shrinkage()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import covariances, effects, levels, lines, others, profiles, residuals

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = ["Pictures"]


class Pictures:
    """Pictures of one fit: called, four at once; its methods draw one each, with the arguments of `mixedfit.plots`.

    Those that draw on one axes take ``ax=`` and return it. Called itself, `fitted_lines`, `qq_random_effects`,
    `within_group`, `matrix_pattern` and those of profiles make a figure and return it.
    """

    def __init__(self, results: MixedResults) -> None:
        self._results = results

    def __call__(self, **options: Any) -> Any:
        """Draw the four that every fit deserves, and return the figure; see `plots.overview`."""
        return residuals.overview(self._results, **options)

    def caterpillar(self, *args: Any, **options: Any) -> Any:
        """Draw random effects with intervals; see `plots.caterpillar`."""
        return levels.caterpillar(self._results, *args, **options)

    def shrinkage(self, *args: Any, **options: Any) -> Any:
        """Draw least squares moved to the model's coefficients; see `plots.shrinkage`."""
        return effects.shrinkage(self._results, *args, **options)

    def shrinkage_by_size(self, *args: Any, **options: Any) -> Any:
        """Draw shrinkage against the size of groups; see `plots.shrinkage_by_size`."""
        return effects.shrinkage_by_size(self._results, *args, **options)

    def fitted_lines(self, *args: Any, **options: Any) -> Any:
        """Draw data and lines in a panel for each group; see `plots.fitted_lines`."""
        return lines.fitted_lines(self._results, *args, **options)

    def spaghetti(self, *args: Any, **options: Any) -> Any:
        """Draw all groups' lines over each other; see `plots.spaghetti`."""
        return lines.spaghetti(self._results, *args, **options)

    def residuals_fitted(self, *, ax: Any = None) -> Any:
        """Draw residuals against fitted values; see `plots.residuals_fitted`."""
        return residuals.residuals_fitted(self._results, ax=ax)

    def scale_location(self, *, ax: Any = None) -> Any:
        """Draw the residuals' spread against fitted values; see `plots.scale_location`."""
        return residuals.scale_location(self._results, ax=ax)

    def qq_residuals(self, *, ax: Any = None) -> Any:
        """Draw residuals against normal quantiles; see `plots.qq_residuals`."""
        return residuals.qq_residuals(self._results, ax=ax)

    def qq_random_effects(self, *args: Any, **options: Any) -> Any:
        """Draw random effects against normal quantiles; see `plots.qq_random_effects`."""
        return residuals.qq_random_effects(self._results, *args, **options)

    def within_group(self, *args: Any, **options: Any) -> Any:
        """Draw what random slopes imply within groups; see `plots.within_group`."""
        return covariances.within_group(self._results, *args, **options)

    def profile_zeta(self, parameters: Any = None, **options: Any) -> Any:
        """Profile, and draw ζ; see `plots.profile_zeta`."""
        return profiles.profile_zeta(self._results.profile(parameters), **options)

    def profile_density(self, parameters: Any = None, **options: Any) -> Any:
        """Profile, and draw densities; see `plots.profile_density`."""
        return profiles.profile_density(self._results.profile(parameters), **options)

    def profile_pairs(self, parameters: Any = None, **options: Any) -> Any:
        """Profile, and draw pairs of parameters; see `plots.profile_pairs`."""
        return profiles.profile_pairs(self._results.profile(), parameters, **options)

    def matrix_pattern(self, **options: Any) -> Any:
        """Draw where X, Z and the factor are not zero; see `plots.matrix_pattern`."""
        return others.matrix_pattern(self._results, **options)
