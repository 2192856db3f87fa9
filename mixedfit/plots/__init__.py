"""Pictures of fits. Each function draws on `ax` and returns it, or returns a figure whose axes are labelled.

matplotlib is imported when a picture is drawn: ``pip install "mixedfit[plot]"``.

- ``_residuals``: residuals against fitted values, Q–Q plots, the overview
- ``_serial``: autocorrelations, semivariogram and correlation matrix of residuals
- ``_caterpillar``, ``_shrinkage``: random effects of every level, and least squares of each group
- ``_fitted_lines``, ``_x_axis``: lines of groups along a variable of the formula
- ``_within_group``: variance and correlation that random slopes imply
- ``_means``, ``_effect``, ``_forest``, ``_cells``: marginal means and slopes, predictions, fixed effects
- ``_profiles``, ``_bootstrap``: uncertainty of parameters
- ``_coverage``, ``_calibration``: coverage of intervals, and ranks of simulation-based calibration
- ``_fit_and_posterior``, ``_prior_and_posterior``, ``_predictive_check``, ``_drawn_groups``,
  ``_credible_bands``, ``_group_effects``: posteriors
- ``_chains``, ``_posterior``, ``_parameters``: chains, densities, intervals and pairs of parameters of a posterior
- ``_influence``, ``_matrix_pattern``: influence of rows and groups; nonzero entries of X, Z and the factor
- ``_methods``, ``_posterior_methods``: ``fit.plot``, ``posterior.plot``; ``style``, ``_text``: axes, colours and text
"""

from __future__ import annotations

from types import FunctionType

from mixedfit.core.other_programs import hinted
from mixedfit.diagnostics.group_fits import GroupFits, group_fits

from ._bootstrap import bootstrap_density
from ._calibration import calibration
from ._caterpillar import caterpillar
from ._chains import chain_autocorrelation, rank, trace
from ._coverage import coverage
from ._credible_bands import credible_bands
from ._drawn_groups import drawn_lines, predictive_groups
from ._effect import effect
from ._fit_and_posterior import effects_of_both, fit_and_posterior
from ._fitted_lines import fitted_lines, spaghetti
from ._forest import forest
from ._group_effects import group_effects
from ._influence import influence
from ._matrix_pattern import matrix_pattern
from ._means import means, slopes
from ._methods import Pictures
from ._posterior import density, intervals, pairs
from ._posterior_methods import PosteriorPictures
from ._predictive_check import predictive_responses, predictive_statistics
from ._prior_and_posterior import prior_and_posterior
from ._profiles import profile_density, profile_pairs, profile_zeta
from ._residuals import (
    overview,
    qq_random_effect,
    qq_random_effects,
    qq_residuals,
    residuals_fitted,
    scale_location,
)
from ._serial import autocorrelation, residual_correlation, variogram
from ._shrinkage import shrinkage, shrinkage_by_size
from ._within_group import (
    ImpliedCovariance,
    implied_covariance,
    within_group,
    within_group_correlation,
    within_group_variance,
)

__all__ = [
    "GroupFits",
    "ImpliedCovariance",
    "Pictures",
    "PosteriorPictures",
    "autocorrelation",
    "bootstrap_density",
    "calibration",
    "caterpillar",
    "chain_autocorrelation",
    "coverage",
    "credible_bands",
    "density",
    "drawn_lines",
    "effect",
    "effects_of_both",
    "fit_and_posterior",
    "fitted_lines",
    "forest",
    "group_effects",
    "group_fits",
    "implied_covariance",
    "influence",
    "intervals",
    "matrix_pattern",
    "means",
    "overview",
    "pairs",
    "predictive_groups",
    "predictive_responses",
    "predictive_statistics",
    "prior_and_posterior",
    "profile_density",
    "profile_pairs",
    "profile_zeta",
    "qq_random_effect",
    "qq_random_effects",
    "qq_residuals",
    "rank",
    "residual_correlation",
    "residuals_fitted",
    "scale_location",
    "shrinkage",
    "shrinkage_by_size",
    "slopes",
    "spaghetti",
    "trace",
    "variogram",
    "within_group",
    "within_group_correlation",
    "within_group_variance",
]

for _name in __all__:
    if isinstance(globals()[_name], FunctionType):
        globals()[_name] = hinted(globals()[_name])
