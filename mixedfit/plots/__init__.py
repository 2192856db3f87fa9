"""Pictures of a fit. Each function draws on `ax` and returns it, or returns a figure whose axes are labelled.

matplotlib is imported when a picture is drawn: ``pip install "mixedfit[plot]"``.
"""

from __future__ import annotations

from .both_effects import effects_of_both
from .checks import predictive_responses, predictive_statistics
from .comparison import fit_and_posterior
from .covariances import within_group, within_group_correlation, within_group_variance
from .door import Pictures
from .effects import shrinkage, shrinkage_by_size
from .groups import GroupFits, group_fits
from .implied import ImpliedCovariance, implied_covariance
from .levels import caterpillar
from .lines import fitted_lines, spaghetti
from .others import bootstrap_density, influence, matrix_pattern
from .profiles import profile_density, profile_pairs, profile_zeta
from .residuals import (
    overview,
    qq_random_effect,
    qq_random_effects,
    qq_residuals,
    residuals_fitted,
    scale_location,
)

__all__ = [
    "GroupFits",
    "ImpliedCovariance",
    "Pictures",
    "bootstrap_density",
    "caterpillar",
    "effects_of_both",
    "fit_and_posterior",
    "fitted_lines",
    "group_fits",
    "implied_covariance",
    "influence",
    "matrix_pattern",
    "overview",
    "predictive_responses",
    "predictive_statistics",
    "profile_density",
    "profile_pairs",
    "profile_zeta",
    "qq_random_effect",
    "qq_random_effects",
    "qq_residuals",
    "residuals_fitted",
    "scale_location",
    "shrinkage",
    "shrinkage_by_size",
    "spaghetti",
    "within_group",
    "within_group_correlation",
    "within_group_variance",
]
