"""A covariance matrix V of the residuals that is known up to σ², or exactly with σ held at 1.

Var(ε) = σ² V within groups of rows: C has the correlations of V, the multipliers are the roots of its diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, shown
from mixedfit.covariance.known import Known as Matrix

from .correlation import CorrelationStructure
from .parts import Layout, Natural
from .patterns import PatternRoot, Patterns
from .structure import VarianceStructure

__all__ = ["Known", "KnownVariances"]


@dataclass(frozen=True)
class Known(CorrelationStructure):
    """A known covariance matrix of the rows, Var(ε) = σ² V: correlated estimates in a meta-analysis.

    With ``.fit(sigma=1)`` V is the covariance itself. No parameter is estimated.

    Parameters
    ----------
    matrix : pandas.DataFrame or `mixedfit.Known`
        V, labelled by the values of `row`, positive definite.
    row : str
        Column with the label of each row.
    group : str, optional
        Grouping column within which rows are correlated, as of `AR1`: V has no covariance between its levels. Random
        terms have these groups, or larger ones.

    Examples
    --------
    >>> import pandas as pd
    >>> V = pd.DataFrame([[1.0, 0.3], [0.3, 2.0]], index=["a", "b"], columns=["a", "b"])
    >>> print(Known(V, "estimate", "study"))
    Known(2 rows, row='estimate', group='study')
    """

    matrix: Any = None
    row: str = ""
    group: str | None = None
    formula: ClassVar[str] = "covariance sigma^2 V of the rows, V known"
    kind: ClassVar[str] = "visit"

    def __post_init__(self) -> None:
        if not isinstance(self.matrix, Matrix):
            object.__setattr__(self, "matrix", Matrix(self.matrix))
        super().__post_init__()

    @property
    def place(self) -> tuple[str, ...]:
        """The column of the labels."""
        return (self.row,)

    @property
    def factors(self) -> tuple[Any, ...]:
        """The correlation, and the SDs of rows."""
        return (self, KnownVariances(self.matrix, self.row))

    def __str__(self) -> str:
        group = "" if self.group is None else f", group={self.group!r}"
        return f"Known({len(self.matrix)} rows, row={self.row!r}{group})"

    def law(self, layout: Layout) -> KnownLaw:
        """Return the correlations on a layout."""
        return KnownLaw(layout, self._values(layout), str(self))

    def _values(self, layout: Layout) -> Array:
        places = self.matrix.codes_of(self.row, pd.Index(list(layout.labels)))
        return np.asarray(self.matrix.values[np.ix_(places, places)])


@dataclass(frozen=True)
class KnownVariances(VarianceStructure):
    """SD multipliers of rows, √V_ii."""

    matrix: Any = None
    row: str = ""
    of_labels: ClassVar[bool] = True

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The column of the labels."""
        return (self.row,)

    def law(self, values: tuple[IntArray, Sequence[Any]]) -> KnownVarianceLaw:
        """Return the log SD multipliers of rows, given as codes and levels."""
        codes, levels = values
        places = self.matrix.codes_of(self.row, pd.Index(list(levels)))
        return KnownVarianceLaw(codes, levels, 0.5 * np.log(self.matrix.diagonal[places]))


class KnownVarianceLaw:
    """Logarithms of √V_ii, without parameters."""

    start = np.zeros(0)
    further_starts: tuple[Array, ...] = ()

    def __init__(self, codes: IntArray, levels: Sequence[Any], logs: Array) -> None:
        self.codes, self.levels, self.logs = codes, levels, logs

    def log_sd(self, x: Array) -> Array:
        """Return ½ log V_ii of each row."""
        return np.asarray(self.logs[self.codes])

    def slopes(self, x: Array) -> Array:
        """Return no derivatives, shape (n, 0)."""
        return np.zeros((self.codes.size, 0))

    def natural(self, x: Array) -> list[Natural]:
        """Return no parameters."""
        return []

    def further(self, values: IntArray, x: Array) -> Array:
        """Return the logarithms of other rows, NaN for a label that is not known (code −1)."""
        return np.append(self.logs, np.nan)[values]


class KnownLaw:
    """Correlations of V, without parameters.

    Parameters
    ----------
    layout : Layout
    values : ndarray, shape (labels, labels)
        V of the layout's labels.
    words : str
        The structure, for messages.
    """

    start = np.zeros(0)
    further_starts: tuple[Array, ...] = ()

    def __init__(self, layout: Layout, values: Array, words: str) -> None:
        self.layout = layout
        size = np.sqrt(np.diagonal(values))
        self.correlation = values / np.outer(size, size)
        self._check_groups(words)
        self.patterns = Patterns(layout, shift=False)

    def _check_groups(self, words: str) -> None:
        """Raise `ModelError` if V has covariances between rows of different groups."""
        codes = self.layout.place[:, 0].astype(np.int64)
        if np.unique(codes).size < codes.size:  # the same labels in several groups
            return
        group = np.repeat(np.arange(self.layout.sizes.size), self.layout.sizes)
        apart = group[:, None] != group
        found = np.argwhere(apart & (np.abs(self.correlation[np.ix_(codes, codes)]) > 1e-12))
        if len(found):
            one, other = (shown(self.layout.labels[codes[i]]) for i in found[0])
            raise ModelError(
                f"{words}: V has a covariance between rows {one} and {other}, which lie in different groups of "
                f"{self.layout.group_name!r}. Give a group= that holds all rows that vary together, and random terms "
                "of these groups or larger ones."
            )

    def root(self, x: Array) -> PatternRoot:
        """Return the factor."""
        codes = [own.places[:, :, 0].astype(np.int64) for own in self.patterns.classes]
        matrices = [self.correlation[c[:, :, None], c[:, None, :]] for c in codes]
        return PatternRoot(self.patterns, matrices, lambda k: np.zeros((0, *matrices[k].shape)))

    def natural(self, x: Array) -> list[Natural]:
        """Return no parameters."""
        return []

    def matrix(self, x: Array, place: Array) -> Array:
        """Return the correlations of the labels at `place`."""
        codes = place[:, 0].astype(np.int64)
        return np.asarray(self.correlation[np.ix_(codes, codes)])
