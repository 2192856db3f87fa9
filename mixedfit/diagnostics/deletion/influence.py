"""Influence of rows or groups: the changes of the estimates when each is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.format import format_numbers, text_columns
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_one_of
from mixedfit.core.progress import Progress
from mixedfit.core.tables import Table, frame_table
from mixedfit.diagnostics.leverages import RowLeverages
from mixedfit.diagnostics.structured_rows import StructuredRows
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import Names, labels_of, parameters_of, values_of
from mixedfit.inference.bootstrap.replicates import Replicates, count_reasons, natural_values

from .level_cases import cases_by_level
from .refits import Report, held_levels, held_one_by_one, held_rows, refits
from .removal import DeletionEstimates, Measures, measures
from .sets import Sets, of_sets, union_cases
from .structured_cases import structured_cases

__all__ = ["Influence", "influence"]

SHOWN = 10
"""Number of cases that are printed."""

MEASURES = ("cooks_distance", "mdffits", "covratio", "covtrace")
"""Measures of influence, the columns of `Influence.table` after the number of rows."""

CHUNK = 2048
"""Number of rows whose matrices are held at a time."""


@dataclass(frozen=True, eq=False)
class Influence(NotebookTable):
    """Changes of the estimates when each case is deleted.

    Attributes
    ----------
    group : str or None
        Grouping factor whose levels are the cases; None: the rows.
    refit : bool
        Whether variance parameters were estimated again, or held at the estimates from all rows.
    table : pandas.DataFrame
        For each case: rows (its number of rows), cooks_distance, mdffits, covratio, covtrace. NaN if the remaining
        rows do not determine the model.
    dfbetas : pandas.DataFrame
        Estimate with all cases less estimate without the case, over the standard error without it, of each fixed
        effect.
    params : pandas.DataFrame
        Fixed effects without each case.
    variances : pandas.DataFrame
        Standard deviations, correlations and σ without each case.
    variance_changes : pandas.DataFrame
        Relative changes of standard deviations and σ, estimate without the case over estimate with all cases, less 1;
        differences of correlations and of parameters of the residual structure.
    criterion : pandas.Series
        Deviance or REML criterion without each case; NaN unless refitted.
    reasons : pandas.Series
        Why a case has no estimates, for the cases that have none.
    sets : bool
        Whether the cases are sets of rows or levels.

    Notes
    -----
    With δ = β̂ − β̂₍ᵢ₎ and C, C₍ᵢ₎ the estimated covariances of β̂ with all cases and without the case: Cook's distance
    δᵀC⁻¹δ/p, MDFFITS δᵀC₍ᵢ₎⁻¹δ/p, COVRATIO |C₍ᵢ₎|/|C|, COVTRACE |tr(C⁻¹C₍ᵢ₎) − p|. lme4 1.1 multiplies Cook's
    distances of `influence()` by (m − p)/m, m the number of cases, and takes dfbetas with the opposite sign.
    """

    group: str | None
    refit: bool
    table: pd.DataFrame
    dfbetas: pd.DataFrame
    params: pd.DataFrame
    variances: pd.DataFrame
    variance_changes: pd.DataFrame
    criterion: pd.Series[float]
    reasons: pd.Series[Any]
    sets: bool = False

    @property
    def cooks_distance(self) -> pd.Series[float]:
        """Cook's distance of every case."""
        return self.table["cooks_distance"]

    @property
    def mdffits(self) -> pd.Series[float]:
        """MDFFITS of every case."""
        return self.table["mdffits"]

    @property
    def covratio(self) -> pd.Series[float]:
        """COVRATIO of every case."""
        return self.table["covratio"]

    @property
    def covtrace(self) -> pd.Series[float]:
        """COVTRACE of every case."""
        return self.table["covtrace"]

    def top(self, n: int = SHOWN, by: str = "cooks_distance") -> pd.DataFrame:
        """Return the most influential cases.

        Parameters
        ----------
        n : int
        by : str
            Column of `table`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
        >>> fit.diagnostics.influence("Subject").top(2)["cooks_distance"].round(3)
        Subject
        309    0.149
        335    0.129
        Name: cooks_distance, dtype: float64
        """
        check_one_of("by", by, list(self.table.columns))
        return self.table.sort_values(by, ascending=False, kind="stable").head(n)

    def _notebook_tables(self) -> list[Table]:
        head, *_ = str(self).splitlines()
        counts = count_reasons(dict(enumerate(self.reasons)))
        notes = [f"{count} without estimates: {reason}." for reason, count in counts.items()]
        return [replace(frame_table(self.top(), head, ()), notes=tuple(notes))]

    def __str__(self) -> str:
        what = "row" if self.group is None else f"level of {self.group}"
        if self.sets:
            what = "set of rows" if self.group is None else f"set of levels of {self.group}"
        how = "variance parameters estimated anew" if self.refit else "variance parameters held"
        top = self.top()
        heads = [str(self.table.index.name or "row"), *self.table.columns]
        cells = [[str(label) for label in top.index], [str(count) for count in top["rows"]]]
        cells += [format_numbers(top[name].tolist(), 3) for name in heads[2:]]
        shown = f"The {len(top)} of {len(self.table)} with the largest Cook's distance:"
        lines = [f"Influence of each {what}, {how}. {shown}", "", *text_columns(heads, cells, 1)]
        if self.reasons.size:
            counts = count_reasons(dict(enumerate(self.reasons)))
            lines += ["", *(f"{count} without estimates: {reason}." for reason, count in counts.items())]
        return "\n".join(lines)

    __repr__ = __str__


def influence(
    rows: RowLeverages | StructuredRows,
    group: str | None,
    *,
    sets: Sets | None = None,
    refit: bool,
    names: Names,
    progress: bool | None,
) -> Influence:
    """See `Diagnostics.influence`."""
    labels, cases = _cases(rows, group)
    if sets is not None:
        labels, cases = union_cases(labels, cases, sets, group)
    with Progress(progress) as shown:

        def report(done: int, total: int) -> None:
            what = "rows" if group is None else f"levels of {group}"
            shown.count(done, total, what if sets is None else "sets")

        if isinstance(rows, StructuredRows):
            found = iter([structured_cases(rows, cases, refit, report)])
        elif sets is None:
            found = _estimates(rows, group, cases, refit, report)
        else:
            found = iter([of_sets(rows.fit, cases, refit, report)])
        parts = [(d, measures(rows.fit, d)) for d in found]
    table = pd.DataFrame({"rows": [case.size for case in cases]}, index=labels)
    return replace(_record(rows.fit, group, refit, table, parts, names), sets=sets is not None)


def _cases(rows: RowLeverages | StructuredRows, group: str | None) -> tuple[pd.Index[Any], list[IntArray]]:
    """Return labels and rows of the cases; rows of weight 0 belong to no case."""
    fit = rows.fit
    counted = np.flatnonzero(rows.counted)
    if group is None:
        return fit.design.index[counted], list(counted[:, None])
    known = {block.name: (block.codes, block.grouping.levels) for block in fit.design.blocks}
    residual = fit.design.residual
    if residual is not None and residual.layout is not None and residual.layout.group_name:
        known.setdefault(residual.layout.group_name, (residual.groups, pd.Index(residual.layout.groups)))
    if group not in known:
        have = f"grouping factors: {', '.join(known)}" if known else "it has no random effects"
        raise ModelError(
            f"{group!r} is not a grouping factor of the model ({have}); expected one of them, or None for the "
            f"influence of single rows. {nearest(str(group), known)}".rstrip()
        )
    codes, levels = known[group][0][counted], known[group][1]
    order = np.argsort(codes, kind="stable")
    ordered = counted[order]
    bounds = [0, *(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), codes.size]
    cases = [ordered[a:b] for a, b in pairwise(bounds)]
    return levels[np.unique(codes)].rename(group), cases


def _estimates(
    rows: RowLeverages, group: str | None, cases: Sequence[IntArray], refit: bool, report: Report
) -> Iterator[DeletionEstimates]:
    """Yield the estimates without each case, in chunks of cases."""
    if group is None and not refit:
        counted = np.flatnonzero(rows.counted)
        yield from (held_rows(rows, counted[at : at + CHUNK]) for at in range(0, counted.size, CHUNK))
        return
    by_level = cases_by_level(rows, by_row=group is None)
    if refit:
        yield refits(rows.fit, cases, by_level, report)
    elif by_level is not None:
        yield held_levels(by_level)
    else:
        yield held_one_by_one(rows.fit, cases, report)


def _record(
    fit: Fit,
    group: str | None,
    refit: bool,
    table: pd.DataFrame,
    parts: Sequence[tuple[DeletionEstimates, Measures]],
    names: Names,
) -> Influence:
    """Return labelled tables of estimates and measures, which come in chunks of cases."""
    found = {
        name: np.concatenate([getattr(m, name) for _, m in parts]) for name in (*MEASURES, "change", "errors")
    }
    labels, kept = table.index, fit.cross.fixed.kept
    columns = [fit.design.x_names[i] for i in kept]
    varying = [p for p in parameters_of(fit) if p.kind != "fixed"]
    heads = labels_of(varying, names)
    values = np.concatenate([_natural(fit, d, varying) for d, _ in parts])
    changes = _relative(values, values_of(fit, varying), [p.kind for p in varying])
    starts = np.cumsum([0, *(d.variance.size for d, _ in parts)])
    failed = {
        at + i: reason
        for at, (d, _) in zip(starts, parts, strict=False)
        for i, reason in sorted(d.reasons.items())
    }
    criterion = np.concatenate([d.criterion for d, _ in parts])
    return Influence(
        group=group,
        refit=refit,
        table=table.assign(**{name: found[name] for name in MEASURES}),
        dfbetas=pd.DataFrame(found["change"] / found["errors"], index=labels, columns=columns),
        params=pd.DataFrame(fit.beta[kept] - found["change"], index=labels, columns=columns),
        variances=pd.DataFrame(values, index=labels, columns=heads),
        variance_changes=pd.DataFrame(changes, index=labels, columns=heads),
        criterion=pd.Series(criterion, index=labels, name="criterion"),
        reasons=pd.Series(list(failed.values()), labels[list(failed)], name="reason", dtype=object),
    )


def _natural(fit: Fit, deleted: DeletionEstimates, varying: Sequence[Any]) -> Array:
    """Return standard deviations, correlations and σ without each case."""
    out = Replicates.empty(deleted.variance.size, fit, 0)
    out.sigma[:] = np.sqrt(deleted.variance) * fit.cross.fixed.scale
    out.theta[:], out.residual[:] = deleted.theta, deleted.residual
    structures = [block.structure for block in fit.design.blocks]
    return natural_values(varying, list(zip(structures, fit.design.theta_slices, strict=True)), out)


def _relative(values: Array, estimates: Array, kinds: Sequence[str]) -> Array:
    """Return values over estimates less 1, NaN where the estimate is 0; differences for correlations and x."""
    correlation = np.array([kind in ("correlation", "residual") for kind in kinds], dtype=bool)
    scale = np.where(correlation, 1.0, np.where(estimates > 0, estimates, np.nan))
    return np.asarray(values / scale - np.where(correlation, estimates, 1.0))
