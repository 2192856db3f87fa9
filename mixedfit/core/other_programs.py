"""Names that users of R, statsmodels and samplers know, and the names of mixedfit that answer to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from inspect import unwrap
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import nearest

__all__ = [
    "ARGUMENTS",
    "ATTRIBUTES",
    "MODULE",
    "Hinted",
    "hinted",
    "name_hint",
    "names_for",
    "public_names",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_ANY_KEYWORD = 0x08
"""Bit of `co_flags` of functions that take any keyword."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "alleffects": ("emmeans",),
    "blup": ("random_effects",),
    "blups": ("random_effects",),
    "bootmer": ("bootstrap",),
    "bridge_sampler": ("log_evidence",),
    "bse_fe": ("bse",),
    "coef": ("params", "group_coefs"),
    "coefs": ("params", "tidy"),
    "coefficients": ("params", "tidy"),
    "compact_letters": ("emmeans",),
    "confint": ("conf_int",),
    "contrasts": ("emmeans", "t_test"),
    "cooks_distance": ("diagnostics.cooks_distance",),
    "df_residual": ("df_resid",),
    "difflsmeans": ("emmeans",),
    "drop1": ("anova",),
    "emmip": ("plot.means", "emmeans"),
    "extractaic": ("aic",),
    "fe_params": ("params",),
    "fitted": ("fittedvalues",),
    "fixef": ("params",),
    "fixed_effects": ("params",),
    "forest": ("plot.forest",),
    "forest_plot": ("plot.forest",),
    "get_prediction": ("predict",),
    "getme": ("theta", "varcorr", "params"),
    "ggeffect": ("plot.effect",),
    "ggemmeans": ("plot.means",),
    "ggpredict": ("plot.effect", "predict"),
    "glht": ("t_test", "emmeans"),
    "hat": ("diagnostics.leverages",),
    "hatvalues": ("diagnostics.leverages",),
    "icc": ("diagnostics.icc",),
    "influence": ("diagnostics.influence",),
    "interaction_plot": ("plot.means",),
    "intervals": ("conf_int",),
    "is_singular": ("singular",),
    "issingular": ("singular",),
    "linear_hypothesis": ("f_test",),
    "linearhypothesis": ("f_test",),
    "log_likelihood": ("llf",),
    "loglik": ("llf",),
    "loglike": ("llf",),
    "ls_means": ("emmeans",),
    "lsmeans": ("emmeans",),
    "marginal_likelihood": ("log_evidence",),
    "marginal_means": ("emmeans",),
    "n_groups": ("ngroups",),
    "normalized_resid": ("normalised_resid",),
    "pairs": ("contrasts", "emmeans"),
    "plot_diagnostics": ("plot",),
    "plot_model": ("plot.forest", "plot.effect"),
    "plot_predictions": ("plot.effect",),
    "plot_slopes": ("plot.slopes",),
    "post_hoc": ("emmeans",),
    "profile_re": ("profile",),
    "pvalues_fe": ("pvalues",),
    "qqnorm": ("plot.qq_residuals",),
    "r2": ("diagnostics.r_squared",),
    "ranef": ("random_effects",),
    "ranef_var": ("varcorr",),
    "refitml": ("refit",),
    "remlcrit": ("reml_criterion",),
    "repca": ("diagnostics.random_effects_pca",),
    "report": ("sentence", "summary"),
    "resid_pearson": ("scaled_resid",),
    "residuals": ("resid",),
    "rsquared": ("diagnostics.r_squared",),
    "rsquaredglmm": ("diagnostics.r_squared",),
    "rstudent": ("diagnostics.residuals",),
    "se": ("bse",),
    "se_fixef": ("bse",),
    "se_ranef": ("random_effects_cov",),
    "stderr": ("bse",),
    "std_errors": ("bse",),
    "test_terms": ("anova",),
    "to_dataframe": ("tidy",),
    "tstat": ("tvalues",),
    "variance_components": ("varcorr",),
    "varcomp": ("varcorr",),
    "vcomp": ("varcorr",),
    "vcov": ("cov_params",),
    "wald_test_terms": ("anova",),
    # of samplers
    "mcmc_acf": ("plot.chain_autocorrelation",),
    "mcmc_intervals": ("plot.intervals",),
    "mcmc_pairs": ("plot.pairs",),
    "mcmc_rank": ("plot.rank",),
    "mcmc_trace": ("plot.trace",),
    "plot_trace": ("plot.trace",),
    "plot_rank": ("plot.rank",),
    "plot_forest": ("plot.intervals", "plot.forest"),
    "plot_pair": ("plot.pairs",),
    "traceplot": ("plot.trace",),
    "dic": ("waic", "loo"),
    "draws_df": ("draws",),
    "ess_bulk": ("ess", "summary"),
    "ess_tail": ("ess", "summary"),
    "hdi": ("summary",),
    "inference_data": ("to_arviz",),
    "n_eff": ("ess",),
    "neff": ("ess",),
    "params": ("summary",),
    "posterior_interval": ("summary",),
    "posterior_predict": ("replicate",),
    "posterior_predictive": ("replicate",),
    "pp_check": ("check",),
    "pvalues": ("probability",),
    "ppc": ("check",),
    "sample": ("draws", "gibbs"),
    "sample_posterior_predictive": ("replicate",),
    "to_inference_data": ("to_arviz",),
    "to_inferencedata": ("to_arviz",),
}
"""Attributes of fits, models and posteriors elsewhere, in lower case with ``_`` for ``.``, and those of mixedfit."""

MODULE: dict[str, str] = {
    "bam": "lmm",
    "blmer": "lmm(...).gibbs()",
    "brm": "lmm(...).gibbs()",
    "data": "load_dataset",
    "datasets": "dataset_names",
    "get_rdataset": "load_dataset",
    "gls": "lmm(formula, data, residual=...)",
    "gibbs": "lmm(...).gibbs()",
    "lme": "lmm",
    "lmer": "lmm",
    "list_datasets": "dataset_names",
    "load_data": "load_dataset",
    "mcmcglmm": "lmm(...).gibbs()",
    "mixed": "lmm",
    "mixedlm": "lmm",
    "model": "lmm",
    "pbmodcomp": "parametric_bootstrap_test",
    "powersim": "power",
    "sample_data": "load_dataset",
    "read_csv": "read",
    "read_csv2": "read",
    "read_excel": "read",
    "read_table": "read",
    "readrds": "read",
    "read_rds": "read",
    "read_spss": "read",
    "read_stata": "read",
    "load_csv": "read",
    "stan_lmer": "lmm(...).gibbs()",
    "export_summs": "table",
    "modelsummary": "table",
    "stargazer": "table",
    "summary_col": "table",
    "tab_model": "table",
    "texreg": "table",
    "to_word": "to_docx",
    "ols": "lmm",
    "lm": "lmm",
}
"""Functions of other packages, in lower case, and those of `mixedfit`."""

_NORMAL_ONLY = "responses are normal here; there are no generalised models"

_FORMULA = 'write the random effects in the formula, as in "y ~ x + (1 + x | group)"'

_FIT = "give it to .fit(), as in lmm(formula, data).fit({})"

_GIBBS = "give it to .gibbs(), as in lmm(formula, data).gibbs({})"

_CONTRASTS = "contrasts of the means take it, as in fit.emmeans('a', by='b').contrasts({})"

ARGUMENTS: dict[str, tuple[str, str]] = {
    "adjust": ("", _CONTRASTS.format("adjust='holm'")),
    "cross_adjust": ("", _CONTRASTS.format("family='all'")),
    "p_adjust": ("", _CONTRASTS.format("adjust='holm'")),
    "p_adjust_method": ("", _CONTRASTS.format("adjust='holm'")),
    "padjust": ("", _CONTRASTS.format("adjust='holm'")),
    "alpha": ("level", ""),
    "allow_new_levels": ("new_levels", 'give new_levels="population" or "marginal" to predict'),
    "b": ("n", ""),
    "boot": ("n", ""),
    "burn": ("tune", ""),
    "burnin": ("tune", ""),
    "chains": ("chains", _GIBBS.format("chains=4")),
    "ci": ("level", "intervals are in conf_int(level)"),
    "ci_level": ("level", ""),
    "coding": ("", 'write the coding in the formula, as in "y ~ C(f, contr.sum) + (1 | g)"'),
    "conf_level": ("level", ""),
    "contrasts": ("", 'write the coding in the formula, as in "y ~ C(f, contr.sum) + (1 | g)"'),
    "control": ("control", _FIT.format("control=mixedfit.Control(...)")),
    "cores": ("n_jobs", "n_jobs of bootstrap and gibbs is the number of threads"),
    "corr": ("residual", ""),
    "correlation": ("residual", 'give lmm residual=mixedfit.residuals.AR1("time", "group") or its like'),
    "cov_struct": ("residual", ""),
    "df": ("ddf", ""),
    "dispformula": ("", 'give lmm residual=mixedfit.residuals.VarIdent("arm") or its like'),
    "draws": ("draws", _GIBBS.format("draws=1000")),
    "exog": ("newdata", "columns are named in the formula"),
    "exog_re": ("", _FORMULA),
    "endog": ("", "the response is named in the formula"),
    "family": ("", _NORMAL_ONLY),
    "fixed": ("formula", ""),
    "fun": ("statistic", ""),
    "groups": ("", _FORMULA),
    "group": ("", _FORMULA),
    "iter": ("draws", _GIBBS.format("draws=1000")),
    "n_iter": ("draws", _GIBBS.format("draws=1000")),
    "n_samples": ("draws", _GIBBS.format("draws=1000")),
    "niter": ("draws", _GIBBS.format("draws=1000")),
    "nsamples": ("draws", _GIBBS.format("draws=1000")),
    "link": ("", _NORMAL_ONLY),
    "lmer_df": ("ddf", ""),
    "maxiter": ("control", "give .fit() control=mixedfit.Control(...)"),
    "method": ("reml", _FIT.format("reml=True") + "; False is maximum likelihood"),
    "mode": ("method", ""),
    "model": ("formula", ""),
    "na_action": ("missing", 'give lmm missing="drop", "raise" or "exclude"'),
    "ncores": ("n_jobs", ""),
    "ncpus": ("n_jobs", ""),
    "nboot": ("n", ""),
    "new_data": ("newdata", ""),
    "nsim": ("n", ""),
    "nsims": ("n", ""),
    "num_samples": ("draws", _GIBBS.format("draws=1000")),
    "offset": ("offset", "give it to lmm, or write offset(x) in the formula"),
    "optimizer": ("control", "give .fit() control=mixedfit.Control(...)"),
    "parallel": ("n_jobs", ""),
    "params": ("parameters", ""),
    "parm": ("parameters", ""),
    "prior": ("priors", _GIBBS.format("priors={...}")),
    "priors": ("priors", _GIBBS.format("priors={...}")),
    "r": ("n", ""),
    "random": ("", _FORMULA),
    "random_seed": ("seed", ""),
    "random_state": ("seed", ""),
    "re_formula": ("re_form", _FORMULA),
    "reml": ("reml", _FIT.format("reml=False")),
    "rng": ("seed", ""),
    "samples": ("draws", ""),
    "repeated": ("", 'give lmm residual=mixedfit.residuals.Unstructured("visit", "patient") or its like'),
    "se_fit": ("se", ""),
    "sigma": ("sigma", _FIT.format("sigma=1.0")),
    "start": ("start", _FIT.format("start=...")),
    "subset": ("", "select the rows of the data before the call"),
    "test": ("ddf", ""),
    "typ": ("type", ""),
    "tune": ("tune", _GIBBS.format("tune=1000")),
    "use_re": ("re_form", ""),
    "var_weights": ("weights", ""),
    "vc_formula": ("", 'write variance components in the formula, as in "y ~ x + (1 | a) + (1 | a:b)"'),
    "verbose": ("progress", ""),
    "warmup": ("tune", _GIBBS.format("tune=1000")),
    "workers": ("n_jobs", ""),
    # of one method: its name, and the argument in brackets
    "check(by)": ("group", ""),
    "conf_int(method)": ("interval", ""),
    "drawn_lines(levels)": ("groups", ""),
    "fitted_lines(levels)": ("groups", ""),
    "predict(interval)": ("", "the draws have intervals: posterior.predict(data).summary(level=0.95)"),
    "predict(level)": ("", "the draws have intervals: posterior.predict(data).summary(level=0.95)"),
}
"""Arguments elsewhere, in lower case with ``_`` for ``.``; the argument here; what to do where there is none."""


def _key(name: str) -> str:
    return name.lower().replace(".", "_")


def public_names(owner: type) -> list[str]:
    """Return the attributes of a class and the fields of its records, without private ones."""
    return [name for name in {**dict.fromkeys(dir(owner)), **_fields(owner)} if not name.startswith("_")]


def _fields(owner: type) -> dict[str, Any]:
    return dict(getattr(owner, "__dataclass_fields__", {}))


def names_for(owner: type, name: str) -> list[str]:
    """Return the attributes of a class that answer to a name of another program.

    Examples
    --------
    >>> class Fit:
    ...     params = 0
    >>> names_for(Fit, "fixef"), names_for(Fit, "Params"), names_for(Fit, "VarCorr")
    (['params'], ['params'], [])
    """
    known = public_names(owner)
    same = [own for own in known if own.lower() == _key(name)]
    return same or [text for text in ATTRIBUTES.get(_key(name), ()) if text.split(".")[0] in known]


def name_hint(owner: str, name: str, ours: Iterable[str], known: Iterable[str]) -> str:
    """Return the message that an object has no such name, with the one to use.

    Examples
    --------
    >>> name_hint("MixedResults", "VarCorr", ["varcorr"], [])
    "MixedResults has no 'VarCorr'; use 'varcorr'"
    """
    use = " or ".join(map(repr, ours))
    hint = f"; use {use}" if use else f". {nearest(name, known)}".rstrip()
    return f"{owner} has no {name!r}{hint}"


class Hinted:
    """Base of public classes: unknown attributes and keywords raise errors that name those of mixedfit."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in list(vars(cls).items()):
            if isinstance(value, FunctionType) and not name.startswith("_"):
                setattr(cls, name, hinted(value))

    if not TYPE_CHECKING:  # a type checker would take every attribute for known

        def __getattr__(self, name: str) -> Any:
            owner = type(self)
            if name.startswith("_"):
                raise AttributeError(f"{owner.__name__!r} object has no attribute {name!r}")
            if hasattr(owner, name):  # a property failed: once more, for its own error
                return object.__getattribute__(self, name)
            raise AttributeError(name_hint(owner.__name__, name, names_for(owner, name), public_names(owner)))


def hinted(function: _F) -> _F:
    """Return a function that refuses an unknown keyword with the one to use.

    Raises
    ------
    TypeError
        When the function is called with a keyword that it does not have.

    Examples
    --------
    >>> @hinted
    ... def fit(reml=True): ...
    >>> fit(REML=False)
    Traceback (most recent call last):
    TypeError: fit() has no argument 'REML'; use 'reml'.
    """
    code: CodeType | None = getattr(unwrap(function), "__code__", None)
    if code is None or code.co_flags & _ANY_KEYWORD or hasattr(function, "hints"):
        return function
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    own, said = frozenset((*names, *getattr(function, "own_errors", ()))), _keyword_hint

    def checked(*args: Any, **keywords: Any) -> Any:
        if not keywords.keys() <= own:
            unknown = [name for name in keywords if name not in own]
            raise TypeError(said(function, unknown[0], names, owner=args[0] if args else None))
        return function(*args, **keywords)

    # with the globals of the function, so that doctest finds its examples
    scope: dict[str, Any] = function.__globals__
    made: Any = FunctionType(checked.__code__, scope, function.__name__, None, checked.__closure__)
    update_wrapper(made, function)
    made.hints = True  # copied by `functools.wraps`
    return made  # type: ignore[no-any-return]


def _keyword_hint(function: Any, unknown: str, names: Sequence[str], owner: Any = None) -> str:
    """Return the message that a function has no such argument, with what to do; `owner` has it, if it is a method."""
    key, called = _key(unknown), function.__qualname__
    ours, advice = ARGUMENTS.get(f"{function.__name__}({key})", ARGUMENTS.get(key, ("", "")))
    if (
        names[:1] == ("self",) and owner is not None
    ):  # the class that users see, not the one that has the method
        called = f"{type(owner).__name__}.{function.__name__}"
    said = f"{called}() has no argument {unknown!r}"
    use = next((name for name in names if name.lower() == _key(unknown)), ours if ours in names else "")
    if use:
        return f"{said}; use {use!r}."
    if advice:
        return f"{said}; {advice}."
    own = [name for name in names if name != "self"]
    return f"{said}. {nearest(unknown, own) or 'It takes ' + (', '.join(own) or 'none') + '.'}"
