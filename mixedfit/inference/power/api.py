"""Studies before there are data: responses drawn from given parameters, and the power of a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import pandas as pd

from mixedfit.core.options import check_count, threads_of
from mixedfit.core.seeds import seed_sequence
from mixedfit.inference.ddf import Ddf

from .power import power_of
from .record import Power
from .study import drawn_table, plan_design, read_truth

__all__ = ["power", "simulate_lmm"]


@overload
def simulate_lmm(
    formula: str,
    data: Any,
    params: Any,
    *,
    n: None = None,
    seed: object = None,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
) -> pd.Series[float]:
    """Return one response."""


@overload
def simulate_lmm(
    formula: str,
    data: Any,
    params: Any,
    *,
    n: int,
    seed: object = None,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return several responses."""


def simulate_lmm(
    formula: str,
    data: Any,
    params: Any,
    *,
    n: int | None = None,
    seed: object = None,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
) -> pd.Series[float] | pd.DataFrame:
    """Return responses drawn from a mixed model with given parameters, without a fit.

    Parameters
    ----------
    formula : str
        As for `lmm`. The response need not be in the data, and is not looked at if it is; the left side may be
        missing. Of ``"log(y) ~ …"`` what is drawn is log(y).
    data : pandas or polars frame, pyarrow table or mapping of arrays
        Predictors and grouping factors; not changed.
    params : mapping, Series or fit
        Fixed effects under their names, standard deviations as ``"sd_Days|Subject"``, correlations as
        ``"cor_Days.(Intercept)|Subject"`` (0 unless given), ``"sigma"``; the names that ``fit.conf_int(names="long")``
        shows. Or, as in lme4, arrays ``"beta"`` and ``"theta"`` beside ``"sigma"``.
    n : int, optional
        Number of draws; one, returned as a Series, unless given.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
    weights, offset, context
        As for `lmm`.

    Returns
    -------
    pandas.Series or pandas.DataFrame
        On the index of the data, NaN where a predictor is missing. The Series is named after the response; the table
        has columns sim_1, sim_2, ….

    Raises
    ------
    ModelError
        If a parameter is missing or not known, or the values belong to no covariance.

    Examples
    --------
    >>> import mixedfit as mf, pandas as pd
    >>> plan = pd.DataFrame({"Subject": ["a", "b", "c", "d"] * 5, "Days": [d for d in range(5) for _ in range(4)]})
    >>> truth = {"(Intercept)": 250, "Days": 10, "sd_(Intercept)|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    >>> plan["Reaction"] = mf.simulate_lmm("Reaction ~ Days + (Days | Subject)", plan, truth, seed=1)
    >>> plan.shape
    (20, 3)
    """
    check_count("n", 1 if n is None else n, 1)
    plan = plan_design(formula, data, weights=weights, offset=offset, context=context)
    truth = read_truth(plan.design, params)
    rng = np.random.default_rng(seed_sequence(seed))
    drawn = truth.draw(plan.design, n or 1, rng)
    if plan.design.offset is not None:
        drawn = drawn + plan.design.offset
    table = drawn_table(plan, drawn, [f"sim_{r + 1}" for r in range(n or 1)])
    return table if n is not None else table["sim_1"].rename(plan.response)


def power(
    formula: str,
    data: Any,
    params: Any,
    test: Any,
    *,
    alpha: float = 0.05,
    n: int = 1000,
    ddf: Ddf | None = None,
    reml: bool = True,
    along: Mapping[str, Any] | None = None,
    within: Mapping[str, Any] | None = None,
    seed: object = None,
    n_jobs: int = 1,
    progress: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
) -> Power:
    """Return the power of a test of fixed effects for a design, by simulation.

    Responses are drawn from the model with the parameters given, the model is fitted to each, and the test carried
    out. With a tested effect of 0 the outcome is the size of the test.

    Parameters
    ----------
    formula, data, params, weights, offset, context
        As for `simulate_lmm`; ``params`` may be a pilot fit, or ``{**fit.parameters(), "Days": 5}``.
    test : str, mapping, sequence or array
        A coefficient (``"Days"``), an equation (``"Days = 5"``), several of these (tested together by F), or the name
        of a term, such as a factor's, for all its coefficients.
    alpha : float
        Level of the test.
    n : int
        Data sets drawn for each size of the study; 1,000 give the power to about ±0.03.
    ddf : {"satterthwaite", "kenward-roger", "residual", "normal"} or KenwardRoger, optional
        As in `MixedResults.t_test`.
    reml : bool
        Whether the model is fitted by REML.
    along : mapping of str to int or sequence of int, optional
        Numbers of levels of grouping columns, such as ``{"Subject": [10, 20, 40]}``: levels of the data are copied
        (or left out) with all their rows, in turn, to make that many.
    within : mapping of str to int or sequence of int, optional
        Numbers of rows in each level, such as ``{"Subject": [5, 10]}``: rows of a level are copied, or left out
        evenly. With `along`, every combination.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
        The same seed gives the same data, and fewer data sets are the first of more.
    n_jobs : int
        Threads; −1 for one a core.
    progress : bool, optional
        Whether to show progress of runs that take longer than two seconds; by default on a terminal.

    Returns
    -------
    Power
        Prints a table; ``.table`` holds it, ``.p_values`` all p-values.

    Raises
    ------
    ModelError
        If a parameter or an option is not valid, or the design does not determine the test.

    Examples
    --------
    >>> import mixedfit as mf
    >>> truth = {"(Intercept)": 250, "Days": 3, "sd_(Intercept)|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    >>> study = mf.load_dataset("sleepstudy")
    >>> mf.power("Reaction ~ Days + (Days | Subject)", study, truth, "Days", n=100, seed=1, along={"Subject": [18, 54]})
    Power of the test Days = 0 at level 0.05
    Reaction ~ Days + (Days | Subject)
    100 data sets drawn and refitted by REML; degrees of freedom: Satterthwaite
    <BLANKLINE>
    Subject rows power lower upper   n singular
         18  180 0.420 0.328 0.518 100        3
         54  540 0.910 0.838 0.952 100        0
    <BLANKLINE>
    lower, upper: 95% interval (Wilson) for what more data sets would show.
    singular: refits with a variance of 0 or a correlation of ±1; they count.
    """
    plan = plan_design(formula, data, weights=weights, offset=offset, context=context)
    return power_of(
        plan,
        params,
        test,
        alpha=alpha,
        n=n,
        ddf=ddf,
        reml=reml,
        seed=seed,
        along=along,
        within=within,
        n_jobs=threads_of(n_jobs),
        progress=progress,
    )
