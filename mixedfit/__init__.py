"""mixedfit: linear mixed models from lme4 formulas, by REML and maximum likelihood."""

from __future__ import annotations

from . import plots
from .adapters import for_marginaleffects
from .bayes import distributions, priors
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
    PredictionWarning,
    PriorWarning,
    RankWarning,
    SamplingWarning,
)
from .estimate import Control
from .fit_and_posterior import Comparison, compare  # not the room of that name
from .html_report import report
from .inference.kenward_roger import KenwardRoger
from .lmm import LinearMixedModel, lmm
from .markup import to_html, to_latex, to_markdown
from .results import MixedResults, load
from .side_by_side import ModelComparison, compare_models
from .studies import power, simulate_lmm
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
    "ModelComparison",
    "ModelError",
    "Posterior",
    "PredictionWarning",
    "PriorWarning",
    "RankWarning",
    "SamplingWarning",
    "anova",
    "compare",
    "compare_models",
    "dataset_names",
    "distributions",
    "for_marginaleffects",
    "lmm",
    "load",
    "load_dataset",
    "parametric_bootstrap_test",
    "plots",
    "power",
    "priors",
    "report",
    "simulate_lmm",
    "to_html",
    "to_latex",
    "to_markdown",
]

__version__ = "0.1.0"
