"""Diagnostics of a fit.

* `diagnostics`: `Diagnostics`, the object behind `MixedResults.diagnostics`; principal components of random effects;
* `leverages`: leverages and variances of the rows;
* `residuals`: raw, Pearson, studentized, decorrelated and simulated residuals, and tests of them;
* `deletion/`: influence of single rows and of whole groups;
* `variance_shares`: R² and intraclass correlations;
* `group_fits`: least squares on the rows of each group.
"""

from __future__ import annotations

from .deletion.influence import Influence
from .diagnostics import Diagnostics

__all__ = ["Diagnostics", "Influence"]
