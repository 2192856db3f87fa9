"""mixedfit: linear mixed models from lme4 formulas, by REML and maximum likelihood.

Public names are imported on first use, so that a fit does not wait for the import of plots, reports and the sampler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__ as __version__

if TYPE_CHECKING:
    from . import plots
    from .bayes import distributions, priors
    from .bayes.calibration.record import Calibration
    from .bayes.evidence.bayes_factor import BayesFactor, bayes_factor
    from .bayes.evidence.evidence import Evidence
    from .bayes.posterior import Posterior
    from .core.datasets import dataset_names, load_dataset
    from .core.errors import (
        BootstrapWarning,
        ConvergenceWarning,
        DataError,
        FormulaError,
        FormulaWarning,
        GroupingWarning,
        IdentifiabilityWarning,
        MemoryWarning,
        MissingRowsWarning,
        MixedfitError,
        ModelError,
        PredictionWarning,
        PriorWarning,
        RankWarning,
        ReadingWarning,
        SamplingWarning,
    )
    from .core.reading.files import read
    from .covariance import residual as residuals
    from .covariance.known import Known
    from .design.stream.agreement import SiteRecipe
    from .estimation.convergence import Convergence
    from .estimation.estimate import Control
    from .inference.kenward_roger import KenwardRoger
    from .inference.many_responses import ManyFits
    from .inference.power.api import power, simulate_lmm
    from .model.coverage import coverage
    from .model.coverage_table import Coverage
    from .model.fit_and_posterior import Comparison, compare
    from .model.likelihood_ratio import anova, parametric_bootstrap_test
    from .model.lmm import LinearMixedModel, lmm
    from .model.report import report
    from .model.results import MixedResults, load
    from .model.row_products import RowProducts
    from .model.sites import agree, lmm_from, site_recipe
    from .reporting.compare_models import ModelComparison, compare_models
    from .reporting.marginaleffects import for_marginaleffects
    from .reporting.markup import to_docx, to_html, to_latex, to_markdown
    from .reporting.model_table import ModelTable, table

__all__ = [
    "BayesFactor",
    "BootstrapWarning",
    "Calibration",
    "Comparison",
    "Control",
    "Convergence",
    "ConvergenceWarning",
    "Coverage",
    "DataError",
    "Evidence",
    "FormulaError",
    "FormulaWarning",
    "GroupingWarning",
    "IdentifiabilityWarning",
    "KenwardRoger",
    "Known",
    "LinearMixedModel",
    "ManyFits",
    "MemoryWarning",
    "MissingRowsWarning",
    "MixedResults",
    "MixedfitError",
    "ModelComparison",
    "ModelError",
    "ModelTable",
    "Posterior",
    "PredictionWarning",
    "PriorWarning",
    "RankWarning",
    "ReadingWarning",
    "RowProducts",
    "SamplingWarning",
    "SiteRecipe",
    "agree",
    "anova",
    "bayes_factor",
    "compare",
    "compare_models",
    "coverage",
    "dataset_names",
    "distributions",
    "for_marginaleffects",
    "lmm",
    "lmm_from",
    "load",
    "load_dataset",
    "parametric_bootstrap_test",
    "plots",
    "power",
    "priors",
    "read",
    "report",
    "residuals",
    "simulate_lmm",
    "site_recipe",
    "table",
    "to_docx",
    "to_html",
    "to_latex",
    "to_markdown",
]

_MODULES = {
    "plots": "plots",
    "BayesFactor": "bayes.evidence.bayes_factor",
    "BootstrapWarning": "core.errors",
    "Comparison": "model.fit_and_posterior",
    "Control": "estimation.estimate",
    "Convergence": "estimation.convergence",
    "ConvergenceWarning": "core.errors",
    "Calibration": "bayes.calibration.record",
    "Coverage": "model.coverage_table",
    "DataError": "core.errors",
    "Evidence": "bayes.evidence.evidence",
    "FormulaError": "core.errors",
    "FormulaWarning": "core.errors",
    "GroupingWarning": "core.errors",
    "IdentifiabilityWarning": "core.errors",
    "KenwardRoger": "inference.kenward_roger",
    "Known": "covariance.known",
    "LinearMixedModel": "model.lmm",
    "ManyFits": "inference.many_responses",
    "MemoryWarning": "core.errors",
    "MissingRowsWarning": "core.errors",
    "MixedResults": "model.results",
    "MixedfitError": "core.errors",
    "ModelComparison": "reporting.compare_models",
    "ModelError": "core.errors",
    "ModelTable": "reporting.model_table",
    "Posterior": "bayes.posterior",
    "PredictionWarning": "core.errors",
    "PriorWarning": "core.errors",
    "RankWarning": "core.errors",
    "ReadingWarning": "core.errors",
    "RowProducts": "model.row_products",
    "SamplingWarning": "core.errors",
    "SiteRecipe": "design.stream.agreement",
    "agree": "model.sites",
    "anova": "model.likelihood_ratio",
    "bayes_factor": "bayes.evidence.bayes_factor",
    "compare": "model.fit_and_posterior",
    "compare_models": "reporting.compare_models",
    "coverage": "model.coverage",
    "dataset_names": "core.datasets",
    "distributions": "bayes.distributions",
    "for_marginaleffects": "reporting.marginaleffects",
    "lmm": "model.lmm",
    "lmm_from": "model.sites",
    "load": "model.results",
    "load_dataset": "core.datasets",
    "parametric_bootstrap_test": "model.likelihood_ratio",
    "power": "inference.power.api",
    "priors": "bayes.priors",
    "read": "core.reading.files",
    "report": "model.report",
    "residuals": "covariance.residual",
    "simulate_lmm": "inference.power.api",
    "site_recipe": "model.sites",
    "table": "reporting.model_table",
    "to_docx": "reporting.markup",
    "to_html": "reporting.markup",
    "to_latex": "reporting.markup",
    "to_markdown": "reporting.markup",
}
"""Where each public name is defined."""

_PUBLIC_MODULES = {"distributions", "plots", "priors", "residuals"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(_unknown(name))
    module = import_module(f"{__name__}.{_MODULES[name]}")
    value = module if name in _PUBLIC_MODULES else getattr(module, name)
    globals()[name] = value
    return value


def _unknown(name: str) -> str:
    """Return the message that the package has no such name, with the one to use."""
    if name.startswith("_"):
        return f"module {__name__!r} has no attribute {name!r}"
    from .core.other_programs import MODULE, name_hint, names_for
    from .model.lmm import LinearMixedModel
    from .model.results import MixedResults

    own = [public for public in __all__ if public.lower() == name.lower()] or MODULE.get(name.lower(), [])
    ours = [own] if isinstance(own, str) else own
    if not ours:
        owners = {"lmm(...)": LinearMixedModel, "lmm(...).fit()": MixedResults}
        ours = [f"{text}.{found}" for text, owner in owners.items() for found in names_for(owner, name)][:1]
    return name_hint(__name__, name, ours, __all__)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
