"""Tests between fits: likelihood-ratio table, parametric bootstrap test."""

from __future__ import annotations

from typing import Any

from mixedfit.core.errors import ModelError, a_type
from mixedfit.core.other_programs import hinted
from mixedfit.estimation.fit import Fit
from mixedfit.inference.bootstrap import model_test
from mixedfit.inference.bootstrap.model_test import ParametricBootstrapTest
from mixedfit.inference.likelihood_ratio.tests import LikelihoodRatioTable, likelihood_ratio

from .results import MixedResults

__all__ = ["anova", "parametric_bootstrap_test"]


@hinted
def anova(*fits: MixedResults, refit: bool = True) -> LikelihoodRatioTable:
    """Return the likelihood-ratio tests of nested models.

    Where a model does not contain the one before it, there is no p-value and a note says what it lacks.

    Parameters
    ----------
    *fits : MixedResults
        At least two, on the same rows and response; they are ordered by their number of parameters.
    refit : bool
        Whether REML fits are refitted by maximum likelihood first, as they must be where fixed effects differ.

    Raises
    ------
    ModelError
        If the models cannot be compared.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> small = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    >>> large = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> table = mf.anova(small, large).table
    >>> table["chisq"].round(3).tolist()[1], table["df"].tolist()[1]
    (42.139, 2.0)
    """
    return likelihood_ratio([_fit_of(fit) for fit in fits], refit=refit)


def _fit_of(fit: object) -> Fit:
    if isinstance(fit, MixedResults):
        return fit._fit
    advice = " Call its .fit() first." if callable(getattr(fit, "fit", None)) else ""
    raise ModelError(f"{a_type(fit)} is no fitted model; expected what .fit() returns.{advice}")


@hinted
def parametric_bootstrap_test(
    fit0: MixedResults,
    fit1: MixedResults,
    n: int = 1000,
    *,
    seed: object = None,
    n_jobs: int = 1,
    progress: bool | None = None,
    executor: Any = None,
) -> ParametricBootstrapTest:
    """Return the likelihood-ratio test of `fit0` against the larger `fit1` by simulation from `fit0`.

    Data are drawn n times from the null model and both models are refitted to each; the p-value is
    (1 + number of statistics at least as large as the one observed) / (n + 1). It holds where chi-squares do not: in
    small samples and where a variance of 0 is tested. Halekoh & Højsgaard (2014), J. Stat. Softw. 59(9).

    Parameters
    ----------
    fit0, fit1 : MixedResults
        Null model, and a larger one that contains it, on the same rows and response. REML fits are compared by REML if
        their fixed effects are the same and refitted by maximum likelihood otherwise.
    n : int
        Replicates.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
        The same seed gives the same numbers, whatever `n_jobs`.
    n_jobs : int
        Threads; −1 for one a core. They pay where a refit takes milliseconds of compiled code.
    progress : bool, optional
        Whether to show progress of runs that take longer than two seconds; by default on a terminal.
    executor : dask.distributed.Client or concurrent.futures.Executor, optional
        Whose workers do the refits, in place of threads; the numbers are the same.

    Raises
    ------
    ModelError
        If the models cannot be compared, or `fit0` is not the smaller one.

    Examples
    --------
    >>> import mixedfit as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> small = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    >>> large = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    >>> test = mf.parametric_bootstrap_test(small, large, n=99, seed=1)
    >>> round(test.statistic, 2), test.p_value
    (42.84, 0.01)
    """
    return model_test.parametric_bootstrap_test(
        _fit_of(fit0), _fit_of(fit1), n=n, seed=seed, n_jobs=n_jobs, progress=progress, executor=executor
    )
