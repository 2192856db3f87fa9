"""mixedfit: linear mixed models from lme4 formulas, by REML and maximum likelihood."""

from __future__ import annotations

from . import plots
from .adapters import for_marginaleffects
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
    RankWarning,
)
from .estimate import Control
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
    "PredictionWarning",
    "RankWarning",
    "anova",
    "compare_models",
    "dataset_names",
    "for_marginaleffects",
    "lmm",
    "load",
    "load_dataset",
    "parametric_bootstrap_test",
    "plots",
    "power",
    "report",
    "simulate_lmm",
    "to_html",
    "to_latex",
    "to_markdown",
]

__version__ = "0.1.0"
