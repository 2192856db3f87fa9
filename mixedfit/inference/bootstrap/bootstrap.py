"""The bootstrap: refits of a model to data drawn from its fit or resampled from its data.

Efron & Tibshirani (1993), An Introduction to the Bootstrap; Davison & Hinkley (1997), Bootstrap Methods and their
Application; for mixed models van der Leeden, Meijer & Busing (2008), in Handbook of Multilevel Analysis, chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.errors import BootstrapWarning, warn
from mixedfit.core.linalg import blas_threads
from mixedfit.core.options import check_count, threads_of
from mixedfit.core.seeds import seed_sequence
from mixedfit.estimation.batch import batch_search
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import parameters_of, values_of
from mixedfit.tasks import check_executor

from .cases import RowSource
from .jackknife import Jackknife
from .record import Bootstrap
from .replicates import (
    FAILED,
    SINGULAR,
    UNDONE,
    Replicates,
    count_reasons,
    natural_values,
    refit_block,
    refit_one,
    run_with_progress,
    stoppable,
)
from .sources import source_of
from .statistic import Statistic

__all__ = ["Bootstrap", "BootstrapType", "bootstrap"]

BootstrapType = Literal["parametric", "residual", "cases"]


def bootstrap(
    fit: Fit,
    n: int = 1000,
    *,
    type: BootstrapType = "parametric",
    statistic: Callable[[Fit], object] | None = None,
    seed: object = None,
    n_jobs: int = 1,
    progress: bool | None = None,
    resample: str | None = None,
    executor: Any = None,
) -> Bootstrap:
    """Return the estimates of refits to n data sets that are drawn from a fit, or resampled.

    Parameters
    ----------
    fit : Fit
    n : int
        Number of replicates.
    type : {"parametric", "residual", "cases"}
        Draw random effects and residuals from the fitted normal distributions; resample the BLUPs and residuals,
        rescaled to the estimated variances; or resample whole levels of the outermost grouping factor.
    statistic : callable, optional
        Fit → number, array or Series.
    seed : int, SeedSequence, Generator or None
    n_jobs : int
        Number of threads; −1 for one a core. Results do not depend on it.
    progress : bool, optional
        Whether to show progress; by default on a terminal.
    resample : str, optional
        Grouping factor whose levels "cases" resamples.
    executor : optional
        Dask client or `concurrent.futures.Executor` whose workers do the refits, in place of threads.

    Raises
    ------
    ModelError
        If an option is invalid, or the statistic raises on the fit itself or changes its length.
    """
    check_count("n", n, 1)
    threads = threads_of(n_jobs)
    check_executor(executor)
    sequence = seed_sequence(seed)
    own = None if statistic is None else Statistic(statistic, fit)
    with blas_threads(1):
        task = _Refits(fit, type, resample, own)
    replicates = task.empty(n)
    run_with_progress(
        task,
        replicates,
        n,
        rows=fit.design.n,
        seed=sequence,
        n_jobs=threads,
        progress=progress,
        done=lambda: replicates.done().size,
        executor=executor,
    )
    outcome = _record(fit, type, replicates, own, sequence)
    _warn_of_failures(outcome)
    return outcome


class _Refits:
    """Refits to data of one type of bootstrap, as `Task`.

    Parameters
    ----------
    fit : Fit
    kind : {"parametric", "residual", "cases"}
    resample : str or None
    statistic : Statistic or None
    """

    def __init__(self, fit: Fit, kind: str, resample: str | None, statistic: Statistic | None) -> None:
        self.arguments = (fit, kind, resample, statistic)
        self.fit, self.statistic = fit, statistic
        self.source = source_of(fit, kind, resample, rows_wanted=statistic is not None)
        whole = statistic is not None or fit.residual is not None or isinstance(self.source, RowSource)
        self.search = None if whole else batch_search(fit)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Refits, self.arguments

    def empty(self, count: int) -> Replicates:
        """Return a record for some replicates."""
        return Replicates.empty(
            count, self.fit, 0 if self.statistic is None else self.statistic.estimate.size
        )

    def fill(self, rng: np.random.Generator, these: range, out: Replicates, stop: Callable[[], bool]) -> None:
        """Fill in a range of replicates."""
        sample = self.source.draw(rng, len(these))
        if self.search is not None:
            refit_block(self.search, sample, these, out, stop)
        for r, i in stoppable(these, stop):
            if out.status[i] == UNDONE:
                refit_one(self.fit, sample, r, i, out, statistic=self.statistic, stop=stop)


def _record(
    fit: Fit, kind: str, replicates: Replicates, own: Statistic | None, seed: np.random.SeedSequence
) -> Bootstrap:
    """Return the completed replicates as labelled tables."""
    parameters = parameters_of(fit)
    done = replicates.done()
    index = pd.Index(done, name="replicate")
    structures = [
        (block.structure, here)
        for block, here in zip(fit.design.blocks, fit.design.theta_slices, strict=True)
    ]
    values = np.hstack([natural_values(parameters, structures, replicates), replicates.statistic])[done]
    names = [p.name for p in parameters]
    extra = [] if own is None else [n if n not in names else f"statistic.{n}" for n in own.names]
    estimates = np.concatenate([values_of(fit, parameters), [] if own is None else own.estimate])
    return Bootstrap(
        type=kind,
        requested=replicates.status.size,
        seed=seed.entropy,
        estimates=pd.Series(estimates, index=pd.Index(names + extra), name="estimate"),
        replicates=pd.DataFrame(values, index=index, columns=names + extra),
        criterion=pd.Series(replicates.criterion[done], index=index, name="criterion"),
        sigma=pd.Series(replicates.sigma[done], index=index, name="sigma"),
        theta=pd.DataFrame(replicates.theta[done], index=index, columns=list(fit.design.theta_names)),
        std_errors=pd.DataFrame(replicates.errors[done], index=index, columns=list(fit.coefficient_names)),
        singular=pd.Series(replicates.status[done] == SINGULAR, index=index, name="singular"),
        failed=pd.Series(replicates.status[done] == FAILED, index=index, name="failed"),
        reasons=count_reasons(replicates.reasons),
        undefined=count_reasons(replicates.undefined),
        jackknife=Jackknife(fit, own),
    )


def _warn_of_failures(outcome: Bootstrap) -> None:
    failed = int(outcome.failed.sum())
    if failed > 0.05 * outcome.n:
        reason, count = next(iter(outcome.reasons.items()))
        warn(
            f"{failed} of {outcome.n} replicates failed ({count} times: {reason}) and are left out. The others are not "
            "a random sample, and intervals may be too short.",
            BootstrapWarning,
        )
    undefined = sum(outcome.undefined.values())
    if undefined > 0.05 * outcome.n:
        reason, count = next(iter(outcome.undefined.items()))
        warn(
            f"the statistic is not defined in {undefined} of {outcome.n} replicates ({count} times: {reason}) and is "
            "summarised over the others. The parameters of the model keep these replicates.",
            BootstrapWarning,
        )
