"""One model fitted to many responses: products with X and Z once, θ of each response in compiled code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtr

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ConvergenceWarning, DataError, ModelError, nearest, warn
from mixedfit.core.linalg import blas_threads
from mixedfit.core.options import check_one_of, threads_of
from mixedfit.core.progress import Progress
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.responses import Responder
from mixedfit.design.design import Design
from mixedfit.estimation.batch import BatchSearch, batch_search
from mixedfit.estimation.fit import Fit, criterion_of
from mixedfit.estimation.information import Information
from mixedfit.estimation.residual_support import refuse_residual
from mixedfit.tasks import Pool, check_executor, pool_of

from .bootstrap.blocks import Block, bundles, place_part
from .bootstrap.replicates import (
    FAILED,
    UNDONE,
    Replicates,
    blocks_of,
    count_reasons,
    refit_block,
    refit_one,
    run,
    stoppable,
)
from .bootstrap.sources import ResponseSample
from .emmeans.multiplicity import false_discovery
from .satterthwaite import satterthwaite_df

__all__ = ["ManyFits", "fit_many"]

Ddf: TypeAlias = Literal["satterthwaite", "residual", "normal"]


@dataclass(frozen=True, eq=False)
class ManyFits:
    """Fits of one model to many responses.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each response: "status" ("regular", "singular" for a variance of 0 or a correlation of ±1, "failed"),
        the REML criterion or deviance "criterion", "sigma", for each coefficient its estimate and, with the prefix
        ``"se_"``, its standard error, and θ, with the prefix ``"theta_"``; with ``ddf="satterthwaite"`` degrees of
        freedom with the prefix ``"df_"``. NaN where a fit failed.
    reasons : dict of str to int
        Reasons of failed fits with their counts.
    formula : str
    method : {"REML", "ML"}
    rows : int
        Number of rows of each fit.
    coefficients : tuple of str
    """

    table: pd.DataFrame
    reasons: dict[str, int]
    formula: str
    method: Literal["REML", "ML"]
    rows: int
    coefficients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = self.table["status"].value_counts()
        listed = ", ".join(f"{counts[s]} {s}" for s in ("regular", "singular", "failed") if s in counts)
        lines = [f"<ManyFits: {self.formula!r} by {self.method}, {len(self)} responses: {listed}>"]
        lines += [f"{count} failed: {reason}" for reason, count in self.reasons.items()]
        return "\n".join(lines)

    def tests(self, coefficient: str, *, df: float | Ddf | None = None) -> pd.DataFrame:
        """Return tests that a coefficient is 0, one for each response.

        Parameters
        ----------
        coefficient : str
        df : {"satterthwaite", "residual", "normal"} or float, optional
            Degrees of freedom of t: Satterthwaite's, if the fits have them (then the default); rows minus coefficients
            (otherwise the default); infinite; or a number. With few groups those of the rows are too many for
            coefficients that vary between groups.

        Returns
        -------
        pandas.DataFrame
            Columns estimate, std_error, statistic, df, p_value and q_value: p-values adjusted by the method of
            Benjamini & Hochberg (1995, J. R. Stat. Soc. B 57:289), over the responses that have one.

        Raises
        ------
        ModelError
            If there is no such coefficient, or df is not known.
        """
        if coefficient not in self.coefficients:
            listed = ", ".join(self.coefficients[:10])
            hint = nearest(coefficient, self.coefficients)
            raise ModelError(f"no coefficient {coefficient!r} (coefficients: {listed}). {hint}".rstrip())
        estimate = self.table[coefficient]
        error = self.table[f"se_{coefficient}"]
        statistic = estimate / error
        degrees = self._degrees(coefficient, df)
        size, finite = -np.abs(statistic.to_numpy()), np.isfinite(degrees)
        p = 2.0 * np.where(np.isinf(degrees), ndtr(size), stdtr(np.where(finite, degrees, np.nan), size))
        q = np.full(p.size, np.nan)
        known = np.isfinite(p)
        q[known] = false_discovery(p[known], "bh")
        columns = {"estimate": estimate, "std_error": error, "statistic": statistic, "df": degrees}
        return pd.DataFrame({**columns, "p_value": p, "q_value": q}, index=self.table.index)

    def _degrees(self, coefficient: str, df: Any) -> Array:
        own = f"df_{coefficient}"
        if df is None:
            df = "satterthwaite" if own in self.table else "residual"
        if isinstance(df, int | float | np.number) and not isinstance(df, bool | np.bool_) and df > 0:
            return np.full(len(self), float(df))
        check_one_of("df", df, get_args(Ddf))
        if df == "satterthwaite":
            if own not in self.table:
                raise ModelError(
                    "the fits have no degrees of freedom of Satterthwaite: fit_many(Y, ddf='satterthwaite')."
                )
            return self.table[own].to_numpy(dtype=float)
        return np.full(len(self), np.inf if df == "normal" else float(self.rows - len(self.coefficients)))


def fit_many(
    fit: Fit,
    Y: Any,
    *,
    ddf: Literal["satterthwaite"] | None = None,
    n_jobs: int = 1,
    progress: bool | None = None,
    executor: Any = None,
) -> ManyFits:
    """Return the fits of a model to many responses; see `LinearMixedModel.fit_many`.

    Parameters
    ----------
    fit : Fit
        Of the model to any response; its θ is the start.
    Y : pandas.DataFrame or array, shape (n, responses)
    ddf : {"satterthwaite"}, optional
    n_jobs : int
    progress : bool, optional
    executor : optional
        Dask client or `concurrent.futures.Executor` whose workers fit blocks of responses, in place of threads.
    """
    check_executor(executor)
    refuse_residual(fit.design, "fits to many responses are")
    if fit.design.absent is not None:
        raise ModelError(fit.design.absent.refusal)
    if ddf is not None:
        check_one_of("ddf", ddf, ("satterthwaite",))
    threads = threads_of(n_jobs)
    names, read = _columns(fit.design, Y)
    with blas_threads(1):
        task = _Fits(fit, ddf is not None, read)
    results = task.empty(len(names))

    def tick() -> None:
        if shown.wanted:
            shown.count(results.replicates.done().size, len(names), "responses")

    with Progress(progress) as shown:
        seed, rows = np.random.SeedSequence(0), fit.design.n  # nothing is drawn
        if executor is None:
            finished = run(task, results, len(names), rows=rows, seed=seed, n_jobs=threads, tick=tick)
        else:
            finished = _run_on_pool(pool_of(executor), task, results, blocks_of(len(names), rows, seed), tick)
    if not finished:
        for i in np.flatnonzero(results.replicates.status == UNDONE):
            results.replicates.fail(int(i), "interrupted")
    return _record(fit, names, results.replicates, None if ddf is None else results.degrees)


@dataclass(frozen=True, slots=True, eq=False)
class _Results:
    """Fits to some responses, and degrees of freedom of the coefficients, shape (responses, p) or (responses, 0)."""

    replicates: Replicates
    degrees: Array


class _Fits:
    """Fits of a model to blocks of responses, as `Task`.

    Parameters
    ----------
    fit : Fit
    ddf : bool
        Whether to compute degrees of freedom.
    read : callable or None
        Returns the responses of a range, shape (responses, n).
    """

    def __init__(self, fit: Fit, ddf: bool, read: Callable[[range], Array] | None) -> None:
        self.fit, self.ddf, self.read = fit, ddf, read
        self.responder, self.search = Responder(fit.cross, fit.design), batch_search(fit)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Fits, (self.fit, self.ddf, None)

    def empty(self, count: int) -> _Results:
        """Return a record for some responses."""
        width = len(self.fit.coefficient_names) if self.ddf else 0
        return _Results(Replicates.empty(count, self.fit, 0), np.full((count, width), np.nan))

    def fill(self, rng: np.random.Generator, these: range, out: _Results, stop: Callable[[], bool]) -> None:
        """Fit a range of responses."""
        assert self.read is not None
        self.fit_responses(self.read(these), these, out, stop)

    def fit_responses(self, y: Array, these: range, out: _Results, stop: Callable[[], bool]) -> None:
        """Fit responses, shape (responses, n), that have a range of places in the record."""
        fit, found = self.fit, out.replicates
        sample = _fit_block(fit, self.responder, self.search, y, these, found, stop)
        if self.ddf:
            for r, i in stoppable(these, stop):
                if found.status[i] != FAILED:
                    products = sample.cross_products(r)
                    out.degrees[i] = _satterthwaite(fit, sample.design(r), products, found.theta[i])


def _run_on_pool(
    pool: Pool, task: _Fits, out: _Results, blocks: Sequence[Block], tick: Callable[[], None]
) -> bool:
    """Fit all responses on the workers of a pool, to which those of a task are sent; return False on interrupt."""
    assert task.read is not None
    ranges = [range(part[0][1].start, part[-1][1].stop) for part in bundles(blocks)] if blocks else []
    size = len(blocks[0][1]) if blocks else 1
    try:
        for number, part in pool.mapped(_fit_part, task, ((size, task.read(own)) for own in ranges)):
            place_part(out.replicates, part.replicates, ranges[number].start)
            out.degrees[ranges[number].start : ranges[number].stop] = part.degrees
            tick()
    except KeyboardInterrupt:
        return False
    return True


def _fit_part(task: _Fits, number: int, item: tuple[int, Array]) -> _Results:
    size, y = item
    out = task.empty(len(y))
    for start in range(0, len(y), size):
        these = range(start, min(start + size, len(y)))
        task.fit_responses(y[these.start : these.stop], these, out, lambda: False)
    return out


def _satterthwaite(fit: Fit, design: Design, cross: CrossProducts, theta: Array) -> Array:
    """Return the degrees of freedom of a response's coefficients at θ, NaN where dropped, shape (p,)."""
    evaluation = criterion_of(design, cross, fit.reml, fit.held_sigma)(theta)
    own = Fit(design, cross, theta, fit.reml, fit.held_sigma, fit.convergence, evaluation)
    information, kept = Information(own), np.flatnonzero(fit.kept)
    out = np.full(fit.kept.size, np.nan)
    if not fit.design.blocks:  # the exact ones of least squares, as in the summary of one fit
        out[kept] = fit.nobs - kept.size
        return out
    out[kept] = [satterthwaite_df(information, row) for row in np.eye(kept.size)]
    return out


def _fit_block(
    fit: Fit,
    responder: Responder,
    search: BatchSearch | None,
    y: Array,
    these: range,
    out: Replicates,
    stop: Callable[[], bool],
) -> ResponseSample:
    """Fit the responses of a block, shape (block, n), store the results, and return the block."""
    finite = np.asarray(np.isfinite(y).all(axis=1))
    y[~finite] = 0.0
    if fit.design.offset is not None:
        y = y - fit.design.offset
    sample = _Sample(fit.design, y, responder.products(y))
    if search is not None:
        refit_block(search, sample, these, out, stop)
    for r, i in stoppable(these, stop):
        if out.status[i] == UNDONE and finite[r]:
            refit_one(fit, sample, r, i, out, stop=stop)
    for bad in np.flatnonzero(~finite):
        out.fail(these[int(bad)], "the response has missing or infinite values")
    return sample


class _Sample(ResponseSample):
    """Responses of a block."""

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one response."""
        if self.responses.scale[r] == 0.0:
            raise ModelError("the fixed effects reproduce the response exactly, or it is constant")
        return self.responses.cross_products(r)


def _columns(design: Design, Y: Any) -> tuple[pd.Index[Any], Callable[[range], Array]]:
    """Return the names of responses, and a function that reads some of them, shape (responses, n).

    Raises
    ------
    DataError
        If Y has another number of rows than the model, or is not numbers.
    """
    if isinstance(Y, pd.DataFrame):
        frame = _aligned(design, Y)

        def read_frame(these: range) -> Array:
            part = frame.iloc[:, these.start : these.stop]
            try:
                return np.array(part.to_numpy(dtype=np.float64, na_value=np.nan).T, order="C")
            except (TypeError, ValueError):
                column = next(c for c in part if not pd.api.types.is_numeric_dtype(part[c]))
                raise DataError(
                    f"the response {column!r} is not numbers. Convert it or leave it out."
                ) from None

        return frame.columns, read_frame
    matrix = Y if hasattr(Y, "shape") else np.asarray(Y)
    if len(matrix.shape) != 2 or matrix.shape[0] != design.n:
        raise DataError(
            f"Y has shape {tuple(matrix.shape)}; expected {design.n} rows, those of the fit, and a column for each "
            f"response{', such as Y.T' if tuple(matrix.shape[1:]) == (design.n,) else ''}."
        )
    if np.dtype(matrix.dtype).kind not in "iufb":
        raise DataError(f"Y is of type {matrix.dtype}; expected numbers.")
    return pd.RangeIndex(matrix.shape[1], name="response"), lambda these: np.array(
        np.asarray(matrix[:, these.start : these.stop]).T, dtype=np.float64, order="C"
    )


def _aligned(design: Design, Y: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a frame of responses that the model uses, matched by index."""
    if Y.index.equals(design.index):
        return Y
    if not (Y.index.is_unique and design.index.isin(Y.index).all()):
        raise DataError(
            f"the index of Y is not that of the data ({design.n} rows in the fit, {len(Y)} in Y). Give Y the data's "
            "index, or an array with the rows of the fit."
        )
    return Y.loc[design.index]


def _record(fit: Fit, names: pd.Index[Any], results: Replicates, degrees: Array | None) -> ManyFits:
    words = np.array(["regular", "regular", "singular", "failed"], dtype=object)
    columns: dict[str, Any] = {
        "status": words[results.status],
        "criterion": results.criterion,
        "sigma": results.sigma,
    }
    for j, name in enumerate(fit.coefficient_names):
        columns[name] = results.beta[:, j]
        columns[f"se_{name}"] = results.errors[:, j]
        if degrees is not None:
            columns[f"df_{name}"] = degrees[:, j]
    for j, name in enumerate(fit.design.theta_names):
        columns[f"theta_{name}"] = results.theta[:, j]
    reasons = count_reasons(results.reasons)
    if failed := int(np.sum(results.status == FAILED)):
        reason, count = next(iter(reasons.items()))
        warn(
            f"{failed} of {len(names)} fits failed ({count} times: {reason}); their rows of the table are missing.",
            ConvergenceWarning,
        )
    return ManyFits(
        pd.DataFrame(columns, index=names),
        reasons,
        fit.formula,
        "REML" if fit.reml else "ML",
        fit.nobs,
        fit.coefficient_names,
    )
