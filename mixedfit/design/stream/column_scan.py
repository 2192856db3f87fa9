"""What one column of a source has, learnt batch by batch: kind, levels, mean and range."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray
from mixedfit.core.errors import DataError
from mixedfit.design.recipe.variables import Variable

from .distinct import SeenNumbers

__all__ = ["ColumnScan"]


class ColumnScan:
    """Levels, mean, range and squared deviations of a column, updated with each batch.

    Parameters
    ----------
    name : str
    source : str
        What the rows are read from, for messages.
    distinct : bool
        Whether to keep the distinct values of a column of numbers.
    """

    def __init__(self, name: str, source: str, *, distinct: bool) -> None:
        self.name, self.source, self.distinct = name, source, distinct
        self.dtype: np.dtype[Any] | None = None
        self.labels: bool | None = None
        self.text = False
        self.order: pd.Index[Any] | None = None
        self.mixed = False
        self.parts: list[Any] = []
        self.seen: SeenNumbers | None = None
        self.known: set[Any] = set()
        self.counts: pd.Series[Any] | None = None
        self.low, self.high = np.inf, -np.inf
        self.sums: list[float] = []
        self.count, self.mean, self.deviations = 0, 0.0, 0.0
        self.ends: set[Any] | None = set()
        self.first: Any = None

    @property
    def values(self) -> Any:
        """Distinct labels or numbers in order of appearance; None before the first batch."""
        if len(self.parts) > 1:
            self.parts = [np.concatenate(self.parts)]
        return self.parts[0] if self.parts else None

    @values.setter
    def values(self, values: Any) -> None:
        self.parts, self.seen = [values], None

    def add(self, column: pd.Series[Any], given: pd.Series[Any], *, appended: bool) -> None:
        """Learn from the complete rows of a batch.

        Parameters
        ----------
        column, given : pandas.Series
            The column as numbers, booleans or categories, and as it was read.
        appended : bool
            Whether categories that differ between batches keep the order of appearance; otherwise they are sorted.
        """
        if not len(column):
            return
        if self.first is None:
            self.first = column.iloc[0]
        labels = isinstance(column.dtype, pd.CategoricalDtype)
        if self.labels not in (None, labels):
            raise self._kinds("labels" if labels else "numbers", "numbers" if labels else "labels")
        self.labels = labels
        if labels:
            self._add_labels(column, given, appended)
        else:
            self._add_numbers(column.to_numpy())

    def _kinds(self, new: str, old: str) -> DataError:
        return DataError(
            f"{self.source}: column {self.name!r} holds {new} in one batch and {old} in earlier ones. Give the "
            "column one type: in a Parquet file, or by a function that reads frames with dtype=."
        )

    def _add_labels(self, column: pd.Series[Any], given: pd.Series[Any], appended: bool) -> None:
        used = column.cat.categories
        if isinstance(given.dtype, pd.CategoricalDtype):
            self._add_order(given.dtype.categories, appended)
        else:
            self.text = True
        new = [label for label in used.tolist() if label not in self.known]
        if new:
            own_labels = pd.Index(new, dtype=used.dtype)
            self.values = own_labels if self.values is None else self.values.append(own_labels)
            self.known.update(new)
        if self.text:
            own = column.value_counts()
            own.index = pd.Index(own.index.astype(used.dtype))
            self.counts = own if self.counts is None else self.counts.add(own, fill_value=0)

    def _add_order(self, order: pd.Index[Any], appended: bool) -> None:
        if self.order is None:
            self.order = order
        elif not self.order.equals(order):
            self.mixed |= not appended
            self.order = _united(self.order, order)

    def _add_numbers(self, values: AnyArray) -> None:
        boolean = values.dtype.kind == "b"
        if self.dtype is not None and boolean != (self.dtype.kind == "b"):
            raise self._kinds(*(("True and False", "numbers") if boolean else ("numbers", "True and False")))
        self.dtype = values.dtype if self.dtype is None else np.result_type(self.dtype, values.dtype)
        low, high = values.min(), values.max()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self._add_ends(values, low, high)
        own = float(values.sum(dtype=np.float64))
        self.sums.append(own)
        mean = own / values.size
        with np.errstate(invalid="ignore"):  # infinite values are refused by the second pass
            centred = values - mean
        total = self.count + values.size
        step = mean - self.mean
        self.deviations += float(centred @ centred) + step**2 * self.count * values.size / total
        self.mean += step * values.size / total
        self.count = total
        if self.distinct:
            self.seen = self.seen or SeenNumbers(self.values)
            new = self.seen.new(values)
            if new.size:
                self.parts.append(new)

    def _add_ends(self, values: AnyArray, low: Any, high: Any) -> None:
        """Keep the values of a column that has at most two."""
        if self.ends is None:
            return
        few = values[:20]
        if bool(((few == low) | (few == high)).all()) and bool(((values == low) | (values == high)).all()):
            self.ends |= {low, high}
            if len(self.ends) <= 2:
                return
        self.ends = None

    def merged(self, other: ColumnScan, *, appended: bool) -> ColumnScan:
        """Return what both have learnt, of the rows of this one and then those of the other; neither is changed.

        Raises
        ------
        DataError
            If the kinds differ.
        """
        if self.first is None or other.first is None:
            return other if self.first is None else self
        if self.labels != other.labels:
            raise self._kinds(*(("labels", "numbers") if other.labels else ("numbers", "labels")))
        out = copy.copy(self)
        out.parts, out.seen = list(self.parts), None
        if self.labels:
            out._merge_labels(other, appended)
        else:
            out._merge_numbers(other)
        return out

    def _merge_labels(self, other: ColumnScan, appended: bool) -> None:
        if other.order is not None:
            self._add_order(other.order, appended)
        self.mixed |= other.mixed
        self.text |= other.text
        new = [label for label in other.values.tolist() if label not in self.known]
        if new:
            self.values = self.values.append(pd.Index(new, dtype=other.values.dtype))
            self.known = self.known | set(new)
        if other.counts is not None:
            known = self.counts
            self.counts = other.counts if known is None else known.add(other.counts, fill_value=0)

    def _merge_numbers(self, other: ColumnScan) -> None:
        assert self.dtype is not None
        assert other.dtype is not None
        boolean = other.dtype.kind == "b"
        if boolean != (self.dtype.kind == "b"):
            raise self._kinds(*(("True and False", "numbers") if boolean else ("numbers", "True and False")))
        self.dtype = np.result_type(self.dtype, other.dtype)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        both = None if self.ends is None or other.ends is None else self.ends | other.ends
        self.ends = both if both is not None and len(both) <= 2 else None
        self.sums = [*self.sums, *other.sums]
        total, step = self.count + other.count, other.mean - self.mean
        self.deviations += other.deviations + step**2 * self.count * other.count / total
        self.mean += step * other.count / total
        self.count = total
        if self.distinct:
            self.values = pd.unique(np.concatenate([self.values, other.values]))

    def state(self) -> dict[str, Any]:
        """Return what was learnt, for a file."""
        _ = self.values  # one array
        constant = ("name", "source", "distinct", "known", "seen")
        return {name: value for name, value in self.__dict__.items() if name not in constant}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what was learnt from a file."""
        self.__dict__.update(state)
        self.seen = None
        self.known = set(self.values.tolist()) if self.labels else set()

    def column(self, values: AnyArray, index: pd.Index[Any] | None = None) -> pd.Series[Any]:
        """Return numbers in the type of all batches."""
        return pd.Series(values.astype(self.dtype, copy=False), index=index, name=self.name)

    @property
    def distinct_values(self) -> AnyArray:
        """Distinct values of a column of numbers, sorted."""
        return np.sort(self.values)

    @property
    def categories(self) -> pd.Index[Any]:
        """Levels of a column of labels, in the order that a frame with all rows has."""
        if self.order is not None and not self.mixed and not self.text:
            used = set(self.values)
            ordered: pd.Index[Any] = pd.Index([v for v in self.order if v in used], dtype=self.order.dtype)
            return ordered
        levels: pd.Index[Any] = pd.Series(self.values).astype("category").cat.categories
        return levels

    @property
    def deviation(self) -> float:
        """Standard deviation with divisor n − 1."""
        return math.sqrt(self.deviations / (self.count - 1)) if self.count > 1 else math.nan

    def variable(self) -> Variable:
        """Return the summary of the column on all rows."""
        nothing = math.nan
        if self.labels:
            return Variable(self.name, "label", self.categories, nothing, nothing, nothing, False)
        mean = math.fsum(self.sums) / self.count
        assert self.dtype is not None
        if self.dtype.kind == "b":
            return Variable(self.name, "boolean", None, mean, 0.0, 1.0, True)
        two = self.ends is not None
        return Variable(self.name, "number", None, mean, self.low, self.high, two)

    def cycled(self, places: Sequence[int] | AnyArray) -> pd.Series[Any]:
        """Return the levels or distinct values at some places, or the first value as often."""
        if self.labels:
            codes = np.asarray(places) % len(self.categories)
            return pd.Series(pd.Categorical.from_codes(codes, categories=self.categories), name=self.name)
        if self.distinct:
            return self.column(self.distinct_values[np.asarray(places) % len(self.values)])
        return self.column(np.full(len(places), self.first))


def _united(one: pd.Index[Any], other: pd.Index[Any]) -> pd.Index[Any]:
    new = other[~other.isin(one)]
    return one.append(new) if len(new) else one
