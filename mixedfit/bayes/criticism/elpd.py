"""Estimates of the expected log predictive density (elpd), and differences of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.tables import Table, one_row

from .psis import khat_threshold

__all__ = ["ElpdDifference", "ExpectedDensity"]

LARGE_PENALTY = 0.4
"""Variance of a log density above which WAIC is not reliable; Vehtari, Gelman & Gabry (2017), section 2.2."""

SMALL = 4.0
"""Difference of elpd below which models predict alike; Sivula, Magnusson, Matamoros & Vehtari (2020)."""

MANY = 10
"""Refits above which K-fold cross-validation is the cheaper remedy."""

FEW = 100
"""Rows or groups below which the standard error of a difference is too small; Sivula et al. (2020)."""


class _Sum(NotebookTable):
    """Sum over rows or groups, with its standard error."""

    unit: str
    pointwise: pd.Series[float]

    @property
    def elpd(self) -> float:
        """Expected log predictive density, or the difference of two."""
        return float(self.pointwise.sum())

    @property
    def se(self) -> float:
        """Standard error of elpd, √(n Var(elpd_i)); Vehtari, Gelman & Gabry (2017), equations 23 and 24."""
        return _standard_error(self.pointwise)

    @property
    def _units(self) -> str:
        """The units in the plural, for texts."""
        return "rows" if self.unit == "row" else f"groups of {self.unit}"


@dataclass(frozen=True, eq=False)
class ExpectedDensity(_Sum):
    """An estimate of elpd, the expected log predictive density of new data: Σ log p(y_i | y without i).

    ``a - b`` is the difference of two posteriors of the same data, with its standard error.

    Attributes
    ----------
    method : {"loo", "waic", "kfold"}
    unit : str
        The unit that is left out: "row", or a grouping factor.
    pointwise : pandas.Series
        elpd of each row or group.
    penalty : pandas.Series
        Log density of each row or group under the full posterior, less its elpd; the sum is p.
    pareto_k : pandas.Series
        k̂ of each row or group, loo only: above `threshold` its elpd is not reliable.
    mcse : float
        Monte-Carlo standard error of elpd, loo only; NaN if a k̂ is too high.
    draws : int
    response : ndarray, shape (n,)
    refitted : tuple
        Labels of the rows or groups that were predicted from a posterior sampled without them; their k̂ is NaN.
    folds : pandas.Series of int, optional
        Part of the data that each row or group is in, kfold only.
    """

    method: Literal["loo", "waic", "kfold"]
    unit: str
    pointwise: pd.Series[float]
    penalty: pd.Series[float]
    pareto_k: pd.Series[float]
    mcse: float
    draws: int
    response: Array = field(repr=False)
    refitted: tuple[Any, ...] = ()
    folds: pd.Series[int] | None = None

    @property
    def p(self) -> float:
        """Effective number of parameters, p_loo or p_waic."""
        return float(self.penalty.sum())

    @property
    def p_se(self) -> float:
        """Standard error of p."""
        return _standard_error(self.penalty)

    @property
    def ic(self) -> float:
        """−2 elpd, on the scale of deviance and AIC: looic or WAIC."""
        return -2.0 * self.elpd

    @property
    def ic_se(self) -> float:
        """Standard error of −2 elpd."""
        return 2.0 * self.se

    @property
    def threshold(self) -> float:
        """k̂ up to which estimates are reliable with this number of draws."""
        return khat_threshold(self.draws)

    @property
    def high(self) -> pd.Series[float]:
        """k̂ (or penalty, if WAIC) of the rows or groups whose estimate is not reliable, in decreasing order."""
        values = self.penalty if self.method == "waic" else self.pareto_k
        return values[self._unreliable].sort_values(ascending=False)

    @property
    def _unreliable(self) -> pd.Series[bool]:
        """Whether the estimate of each row or group is not reliable."""
        return self.penalty > LARGE_PENALTY if self.method == "waic" else self.pareto_k > self.threshold

    def __sub__(self, other: ExpectedDensity) -> ElpdDifference:
        """Return the difference of elpd from another posterior of the same data."""
        if not isinstance(other, ExpectedDensity):
            return NotImplemented
        if (self.method, self.unit) != (other.method, other.unit):
            raise ModelError(
                f"one is {self.method} by {self.unit}, the other {other.method} by {other.unit}; compare two of a kind."
            )
        same = self.pointwise.index.equals(other.pointwise.index) and np.array_equal(
            self.response, other.response
        )
        if not same:
            raise ModelError(
                f"the posteriors are of different data ({self.response.size} and {other.response.size} rows); their "
                "predictive densities can only be compared on the same responses."
            )
        return ElpdDifference(
            self.unit,
            self.pointwise - other.pointwise,
            self._unreliable | other._unreliable,
        )

    def _content(self) -> tuple[str, list[tuple[str, float, float]]]:
        """Return the title, and rows of label, estimate and standard error."""
        name = {"loo": "PSIS leave-one-out", "waic": "WAIC", "kfold": "K-fold"}[self.method]
        left_out = "one row at a time" if self.unit == "row" else f"one group of {self.unit} at a time"
        if self.folds is not None:
            left_out = f"{self.folds.nunique()} parts of the {self._units}, left out in turn"
        index = {"loo": "looic", "waic": "waic", "kfold": "kfoldic"}[self.method]
        return (
            f"{name}: {left_out}, {self.pointwise.size:,} in all; {self.draws:,} draws",
            [
                (f"elpd_{self.method}", self.elpd, self.se),
                (f"p_{self.method}", self.p, self.p_se),
                (index, self.ic, self.ic_se),
            ],
        )

    def _tables(self) -> list[Table]:
        head, rows = self._content()
        cells = tuple((label, f"{value:.1f}", f"{error:.1f}") for label, value, error in rows)
        text = self._reliability()
        return [Table(head, ("", "estimate", "SE"), cells, 1, (text,) if text else ())]

    def __str__(self) -> str:
        head, rows = self._content()
        lines = [
            head,
            f"{'':<10}{'estimate':>12}{'SE':>10}",
            *(f"{label:<10}{value:>12.1f}{error:>10.1f}" for label, value, error in rows),
        ]
        if np.isfinite(self.mcse):
            lines.append(f"Monte-Carlo error of elpd_loo: {self.mcse:.2g}")
        return "\n".join([*lines, *wrapped([text] if (text := self._reliability()) else [])])

    __repr__ = __str__

    def _reliability(self) -> str:
        """Return a sentence on the reliability of the estimate; empty for WAIC without large penalties."""
        count, total = self.high.size, self.pointwise.size
        share = f"{count:,} of {total:,} {self._units}"
        if self.method == "waic":
            if not count:
                return ""
            return (
                f"{share} have a penalty above {LARGE_PENALTY:g} ({_first(self.high.index)}): WAIC is not reliable "
                "here; use loo()."
            )
        if self.method == "kfold":
            return "Each part was predicted by sampling without it: the estimate can be trusted."
        top, refitted = f"{self.threshold:.2f}", self.refitted
        if refitted:
            return (
                f"{len(refitted):,} of {total:,} {self._units} ({_first(refitted)}) had a Pareto k̂ above {top}, and "
                f"{'was' if len(refitted) == 1 else 'were'} predicted by sampling without: the estimate can be trusted."
            )
        if not count:
            return f"All {total:,} Pareto k̂ are at most {top}: the estimate can be trusted."
        verb, whose, them = ("has a", "its", "it") if count == 1 else ("have a", "their", "them")
        return (
            f"{share} {verb} Pareto k̂ above {top}, up to {self.pareto_k.max():.2f} ({_first(self.high.index)}): "
            f"{whose} elpd is a guess, mostly too high; refit=True samples again without {them}"
            f"{'; kfold(10) takes ten refits for all' if count > MANY else ''}."
        )


@dataclass(frozen=True, eq=False)
class ElpdDifference(_Sum):
    """The difference of elpd of two posteriors, positive if the first predicts better.

    Attributes
    ----------
    unit : str
    pointwise : pandas.Series
        Difference of each row or group.
    doubtful : pandas.Series of bool
        Whether the estimate of each row or group is not reliable in one of the two or both.
    """

    unit: str
    pointwise: pd.Series[float]
    doubtful: pd.Series[bool]

    def _tables(self) -> list[Table]:
        cells = {"elpd": f"{self.elpd:.1f}", "SE": f"{self.se:.1f}"}
        return [one_row("Difference of elpd", cells, str(self).splitlines()[1:])]

    def __str__(self) -> str:
        size, error = abs(self.elpd), self.se
        line = f"difference of elpd: {self.elpd:.1f} (SE {error:.1f})"
        better = "the first" if self.elpd > 0 else "the second"
        if size < SMALL:
            words = f"less than {SMALL:g}: the two predict about equally well."
        elif size < 2.0 * error:
            words = f"{better} seems to predict better, but by less than two standard errors."
        else:
            words = f"{better} predicts better, by {size / error:.1f} standard errors."
        lines = [line, words[0].upper() + words[1:]]
        if self.pointwise.size < FEW:
            lines.append(f"With {self.pointwise.size} {self._units} the standard error is rather too small.")
        if self.doubtful.any():
            part = self.pointwise[self.doubtful]
            lines += wrapped(
                [
                    f"Not reliable in one or both: {part.size:,} of {self.pointwise.size:,} {self._units} "
                    f"({_first(part.index)}), which {'adds' if part.size == 1 else 'add'} {part.sum():.1f} to the "
                    "difference."
                ]
            )
        return "\n".join(lines)

    __repr__ = __str__


def _first(labels: Sequence[Any] | pd.Index[Any]) -> str:
    """Return the first five labels, with an ellipsis if there are more."""
    return ", ".join(map(str, labels[:5])) + (" …" if len(labels) > 5 else "")


def _standard_error(values: pd.Series[Any]) -> float:
    """Return the standard error of a sum of independent values."""
    return float(np.sqrt(values.size * values.var(ddof=1)))
