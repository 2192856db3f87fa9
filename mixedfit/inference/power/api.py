"""Simulation of responses from assumed parameters, and the power of a test by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count, threads_of
from mixedfit.core.other_programs import hinted
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.covariance.residual import ResidualStructure
from mixedfit.formula.parse import Expand
from mixedfit.inference.bootstrap.replicates import count_reasons, warn_stopped
from mixedfit.inference.ddf import Ddf
from mixedfit.tasks import check_executor

from .power import SampleSize, SimulatedTests, SimulationSetting, draw_and_test, resized, sample_sizes
from .record import Power
from .sizes import arm_counts
from .study import drawn_table, read_parameters, study_of

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
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
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
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
) -> pd.DataFrame:
    """Return several responses."""


@hinted
def simulate_lmm(
    formula: str,
    data: Any,
    params: Any,
    *,
    n: int | None = None,
    seed: object = None,
    weights: Any = None,
    offset: Any = None,
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
) -> pd.Series[float] | pd.DataFrame:
    """Return responses drawn from a mixed model with assumed parameters, without a fit.

    Parameters
    ----------
    formula : str
        As for `lmm`. The response is ignored and need not be in the data; the left side may be missing. For
        ``"log(y) ~ …"`` the draws are of log(y).
    data : pandas or polars frame, pyarrow table or mapping of arrays
        Predictors and grouping factors; not changed.
    params : mapping, Series or fit
        Fixed effects by name, standard deviations as ``"sd_Days|Subject"``, correlations as
        ``"cor_Days.(Intercept)|Subject"`` (0 by default) and ``"sigma"``: the names of
        ``fit.conf_int(names="long")``, such as ``"phi"`` of a residual structure. Or, as in lme4, arrays
        ``"beta"`` and ``"theta"``, and ``"sigma"``.
    n : int, optional
        Number of draws; by default one, returned as a Series.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
    weights, offset, expand, context, residual
        As for `lmm`.

    Returns
    -------
    pandas.Series or pandas.DataFrame
        On the index of the data, NaN where a predictor is missing. The Series is named after the response; the table
        has columns sim_1, sim_2, ….

    Raises
    ------
    ModelError
        If a parameter is missing or unknown, or the values define no covariance matrix.

    Examples
    --------
    >>> import mixedfit as mf, pandas as pd
    >>> study = pd.DataFrame({"Subject": ["a", "b", "c", "d"] * 5, "Days": [d for d in range(5) for _ in range(4)]})
    >>> params = {"(Intercept)": 250, "Days": 10, "sd_(Intercept)|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    >>> study["Reaction"] = mf.simulate_lmm("Reaction ~ Days + (Days | Subject)", study, params, seed=1)
    >>> study.shape
    (20, 3)
    """
    check_count("n", 1 if n is None else n, 1)
    study = study_of(
        formula, data, weights=weights, offset=offset, expand=expand, context=context, residual=residual
    )
    rng = np.random.default_rng(seed_sequence(seed))
    drawn = read_parameters(study.design, params).draw(study.design, n or 1, rng)
    if study.design.offset is not None:
        drawn = drawn + study.design.offset
    table = drawn_table(study, drawn, [f"sim_{r + 1}" for r in range(n or 1)])
    return table if n is not None else table["sim_1"].rename(study.response)


@hinted
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
    expand: Expand = "levels",
    context: Mapping[str, Any] | None = None,
    residual: ResidualStructure | str | None = None,
    executor: Any = None,
) -> Power:
    """Return the power of a test of fixed effects for a design, by simulation.

    Responses are drawn from the model with the assumed parameters, the model is fitted to each, and the test is carried
    out. With a tested effect of 0 the result is the size of the test.

    Parameters
    ----------
    formula, data, params, weights, offset, expand, context, residual
        As for `simulate_lmm`; ``params`` may be a pilot fit, or ``{**fit.parameters(), "Days": 5}``.
    test : str, mapping, sequence or array
        A coefficient (``"Days"``), an equation (``"Days = 5"``), several of these (tested jointly by F), or the name
        of a term, such as a factor, for all its coefficients.
    alpha : float
        Level of the test.
    n : int
        Number of data sets for each sample size; 1,000 give the power to about ±0.03.
    ddf : {"satterthwaite", "kenward-roger", "residual", "normal"} or KenwardRoger, optional
        As in `MixedResults.t_test`.
    reml : bool
        Whether the model is fitted by REML.
    along : mapping of str to int or sequence of int, optional
        Numbers of levels of grouping columns, such as ``{"Subject": [10, 20, 40]}``. Levels of the data are copied,
        or evenly left out, with all their rows. Columns of the groups of the residual structure count too.
    within : mapping of str to int or sequence of int, optional
        Numbers of rows in each level, such as ``{"Subject": [5, 10]}``. Rows of a level are copied, or evenly left
        out. With `along`, every combination.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator, optional
        The same seed gives the same data, and fewer data sets are the first of more.
    n_jobs : int
        Threads; −1 for one a core.
    progress : bool, optional
        Whether to show progress after two seconds; by default on a terminal.
    executor : dask.distributed.Client or concurrent.futures.Executor, optional
        Whose workers draw and refit, in place of threads; the numbers are the same.

    Returns
    -------
    Power
        Prints as a table; ``.table`` holds the numbers, ``.p_values`` all p-values.

    Raises
    ------
    ModelError
        If a parameter or an option is not valid, or the design does not determine the test.

    Examples
    --------
    >>> import mixedfit as mf
    >>> params = {"(Intercept)": 250, "Days": 3, "sd_(Intercept)|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    >>> data, formula = mf.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)"
    >>> mf.power(formula, data, params, "Days", n=100, seed=1, along={"Subject": [18, 54]})
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
    threads = threads_of(n_jobs)
    check_executor(executor)
    check_count("n", n, 1)
    if not (isinstance(alpha, int | float) and 0.0 < alpha <= 0.5):
        raise ModelError(f"alpha is {alpha!r}; expected a level of tests between 0 and 0.5, such as 0.05.")
    study = study_of(
        formula, data, weights=weights, offset=offset, expand=expand, context=context, residual=residual
    )
    sizes = sample_sizes(study, along or {}, within or {})
    sequence = seed_sequence(seed)
    outcomes: list[SimulatedTests] = []
    arms: list[dict[str, str]] = []
    with Progress(progress) as shown:
        for number, size in enumerate(sizes):

            def tick(done: int, number: int = number) -> None:
                shown.count(number * n + done, n * len(sizes), "data sets")

            # one seed for all sizes would correlate their Monte-Carlo errors
            child = np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, number))
            try:
                changed = resized(study, size)
                setting = SimulationSetting.of(changed, params, test, ddf=ddf, reml=reml)
                outcome = draw_and_test(setting, n, seed=child, n_jobs=threads, tick=tick, executor=executor)
            except KeyboardInterrupt:
                if not outcomes:
                    raise
                warn_stopped(0, n)
                break
            arms.append(arm_counts(changed, size))
            outcomes.append(outcome)
            if not outcome.finished:
                warn_stopped(int(outcome.done.size), n)
                break
    columns = [_columns(size) for size in sizes]
    labels = [", ".join(f"{k} = {v}" for k, v in size.items()) or "p_value" for size in columns]
    begun = len(outcomes)
    return Power(
        table=pd.DataFrame(
            [
                {**o.row(size, alpha), **own}
                for size, own, o in zip(columns[:begun], arms, outcomes, strict=True)
            ]
        ),
        p_values=pd.DataFrame({k: o.p_values for k, o in zip(labels[:begun], outcomes, strict=True)}),
        estimates=pd.DataFrame({k: o.estimates for k, o in zip(labels[:begun], outcomes, strict=True)}),
        test=_test_text(test),
        formula=study.design.formula.source,
        alpha=float(alpha),
        method=setting.degrees.name,
        requested=n,
        reml=reml,
        seed=sequence.entropy,
        reasons=count_reasons(dict(enumerate(r for o in outcomes for r in o.reasons.values()))),
        left_out=tuple(labels[begun:]),
        residual="" if study.design.residual is None else str(study.design.residual.structure),
    )


def _test_text(test: Any) -> str:
    if isinstance(test, str):
        return test if "=" in test else f"{test} = 0"
    return str(test) if isinstance(test, Mapping | list | tuple) else "of a matrix of contrasts"


def _columns(size: SampleSize) -> dict[str, int]:
    """Return the numbers of a sample size under the column names of the table."""
    return {c if option == "along" else f"rows per {c}": count for (option, c), count in size.items()}
