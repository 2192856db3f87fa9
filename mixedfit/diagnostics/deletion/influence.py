"""Influence: what the estimates become when a row, or a whole group, is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.format import format_numbers, text_columns
from mixedfit.core.progress import Progress
from mixedfit.diagnostics.leverages import RowLeverages
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import Names, parameters_of, values_of
from mixedfit.inference.bootstrap.replicates import Replicates, count_reasons, natural_values

from .refits import cases_by_level, held_levels, held_one_by_one, held_rows, refits
from .removal import Deleted, Measures, measures

__all__ = ["Influence", "influence"]

SHOWN = 10
"""Cases that are printed."""

CHUNK = 2048
"""Rows whose matrices are held at a time."""


@dataclass(frozen=True, eq=False)
class Influence:
    """What leaving out each case does to the estimates.

    Attributes
    ----------
    group : str or None
        Grouping factor whose levels are the cases; None: the rows.
    refit : bool
        Whether variance parameters were estimated anew, or held at the estimates from all rows.
    table : pandas.DataFrame
        A row a case: rows (how many it has), cooks_distance, mdffits, covratio, covtrace. NaN where what is left
        does not determine the model.
    dfbetas : pandas.DataFrame
        Change of each fixed effect, estimate with all cases less estimate without, over the standard error without.
    params : pandas.DataFrame
        Fixed effects without each case.
    variances : pandas.DataFrame
        Standard deviations, correlations and σ without each case, under lme4's names.
    variance_changes : pandas.DataFrame
        The same over the estimates with all cases, less 1; correlations: the difference.
    criterion : pandas.Series
        Deviance or REML criterion without each case; NaN unless refitted.
    reasons : pandas.Series
        Why a case has no estimates, by case; empty where all have.

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
        if by not in self.table:
            known = list(self.table.columns)
            raise ModelError(
                f"by={by!r} is not a measure of influence; expected one of {', '.join(known)}. "
                f"{nearest(str(by), known)}"
            )
        return self.table.sort_values(by, ascending=False, kind="stable").head(n)

    def __str__(self) -> str:
        what = "row" if self.group is None else f"level of {self.group}"
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
    rows: RowLeverages, group: str | None, *, refit: bool, names: Names, progress: bool | None
) -> Influence:
    """Return the influence of each row or of each level of a grouping factor.

    Parameters
    ----------
    rows : RowLeverages
        Of the fit.
    group : str or None
    refit : bool
    names : {"lme4", "long", "words"}
    progress : bool, optional

    Raises
    ------
    ModelError
        If the model has no such grouping factor.
    """
    fit = rows.fit
    labels, cases = _cases(rows, group)
    with Progress(progress) as shown:

        def say(done: int, total: int) -> None:
            shown.count(done, total, "rows" if group is None else f"levels of {group}")

        if group is None and not refit:
            parts = [(d, measures(fit, d)) for d in _row_chunks(rows)]
        else:
            deleted = _deleted(rows, group, cases, refit, say)
            parts = [(deleted, measures(fit, deleted))]
    return _record(fit, group, refit, labels, [case.size for case in cases], parts, names)


def _cases(rows: RowLeverages, group: str | None) -> tuple[pd.Index[Any], list[IntArray]]:
    """Return labels and rows of the cases; rows of weight 0 belong to none."""
    fit = rows.fit
    counted = np.flatnonzero(rows.counted)
    if group is None:
        return fit.design.index[counted], list(counted[:, None])
    known = [block.name for block in fit.design.blocks]
    if group not in known:
        have = f"grouping factors: {', '.join(known)}" if known else "it has no random effects"
        raise ModelError(
            f"{group!r} is not a grouping factor of the model ({have}); expected one of them, or None for the "
            f"influence of single rows. {nearest(str(group), known)}".rstrip()
        )
    block = fit.design.blocks[known.index(group)]
    codes = block.codes[counted]
    order = np.argsort(codes, kind="stable")
    ordered = counted[order]
    bounds = [0, *(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), codes.size]
    cases = [ordered[a:b] for a, b in pairwise(bounds)]
    return block.grouping.levels[np.unique(codes)].rename(group), cases


def _row_chunks(rows: RowLeverages) -> list[Deleted]:
    counted = np.flatnonzero(rows.counted)
    return [held_rows(rows, counted[at : at + CHUNK]) for at in range(0, counted.size, CHUNK)]


def _deleted(
    rows: RowLeverages, group: str | None, cases: Sequence[IntArray], refit: bool, say: Any
) -> Deleted:
    fit = rows.fit
    own = cases_by_level(fit, rows, group is None, np.flatnonzero(rows.counted))
    if refit:
        return refits(fit, cases, own, say)
    if own is not None:
        return held_levels(own)
    return held_one_by_one(fit, cases, say)


def _record(
    fit: Fit,
    group: str | None,
    refit: bool,
    labels: pd.Index[Any],
    sizes: Sequence[int],
    parts: Sequence[tuple[Deleted, Measures]],
    names: Names,
) -> Influence:
    """Label what was computed."""
    found = [m for _, m in parts]
    table = {"rows": np.array(sizes, np.int64)}
    for name, attribute in (
        ("cooks_distance", "cooks"),
        ("mdffits",) * 2,
        ("covratio",) * 2,
        ("covtrace",) * 2,
    ):
        table[name] = np.concatenate([getattr(m, attribute) for m in found])
    change = np.concatenate([m.change for m in found])
    errors = np.concatenate([m.errors for m in found])
    kept = fit.cross.fixed.kept
    columns = [fit.design.x_names[i] for i in kept]
    varying = [p for p in parameters_of(fit) if p.kind != "fixed"]
    heads = [{"lme4": p.name, "long": p.long_name, "words": p.words}[names] for p in varying]
    values = np.concatenate([_natural(fit, d, varying) for d, _ in parts])
    estimates = values_of(fit, varying)
    failed: list[tuple[int, str]] = []
    at = 0
    for d, _ in parts:
        failed += [(at + i, reason) for i, reason in sorted(d.reasons.items())]
        at += d.variance.size
    criterion = np.concatenate([d.criterion for d, _ in parts])
    return Influence(
        group=group,
        refit=refit,
        table=pd.DataFrame(table, index=labels),
        dfbetas=pd.DataFrame(change / errors, index=labels, columns=columns),
        params=pd.DataFrame(fit.beta[kept] - change, index=labels, columns=columns),
        variances=pd.DataFrame(values, index=labels, columns=heads),
        variance_changes=pd.DataFrame(
            _relative(values, estimates, [p.kind for p in varying]), index=labels, columns=heads
        ),
        criterion=pd.Series(criterion, index=labels, name="criterion"),
        reasons=pd.Series(
            [reason for _, reason in failed], labels[[i for i, _ in failed]], name="reason", dtype=object
        ),
    )


def _natural(fit: Fit, deleted: Deleted, varying: Sequence[Any]) -> Array:
    """Return standard deviations, correlations and σ without each case."""
    out = Replicates.empty(deleted.variance.size, fit, 0)
    out.sigma[:] = np.sqrt(deleted.variance) * fit.cross.fixed.scale
    out.theta[:] = deleted.theta
    structures = [
        (block.structure, here)
        for block, here in zip(fit.design.blocks, fit.design.theta_slices, strict=True)
    ]
    return natural_values(varying, structures, out)


def _relative(values: Array, estimates: Array, kinds: Sequence[str]) -> Array:
    """Return values over estimates less 1, NaN where the estimate is 0; differences of correlations."""
    out = np.full_like(values, np.nan)
    for i, kind in enumerate(kinds):
        if kind == "correlation":
            out[:, i] = values[:, i] - estimates[i]
        elif estimates[i] > 0:
            out[:, i] = values[:, i] / estimates[i] - 1.0
    return out
