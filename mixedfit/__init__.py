"""mixedfit: linear mixed models from lme4 formulas, by REML and maximum likelihood."""

from __future__ import annotations

from .bayes import priors
from .bayes.posterior import Posterior
from .compare import anova, parametric_bootstrap_test
from .datasets import dataset_names, load_dataset
from .errors import (
    BootstrapWarning,
    ConvergenceWarning,
    DataError,
    FormulaError,
    GroupingWarning,
    IdentifiabilityWarning,
    MissingRowsWarning,
    MixedfitError,
    ModelError,
    PriorWarning,
    RankWarning,
    SamplingWarning,
)
from .estimate import Control
from .inference.kenward_roger import KenwardRoger
from .lmm import LinearMixedModel, lmm
from .results import MixedResults, load
from .side_by_side import Comparison, compare  # after the room of the same name
from .verdict import Convergence

__all__ = [
    "BootstrapWarning",
    "Comparison",
    "Control",
    "Convergence",
    "ConvergenceWarning",
    "DataError",
    "FormulaError",
    "GroupingWarning",
    "IdentifiabilityWarning",
    "KenwardRoger",
    "LinearMixedModel",
    "MissingRowsWarning",
    "MixedResults",
    "MixedfitError",
    "ModelError",
    "Posterior",
    "PriorWarning",
    "RankWarning",
    "SamplingWarning",
    "anova",
    "compare",
    "dataset_names",
    "lmm",
    "load",
    "load_dataset",
    "parametric_bootstrap_test",
    "priors",
]

__version__ = "0.1.0"
