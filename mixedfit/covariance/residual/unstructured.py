"""Unstructured covariance of visits: a correlation for each pair, and an SD for each visit.

    1    ρ₁₂  ρ₁₃
    ρ₁₂  1    ρ₂₃
    ρ₁₃  ρ₂₃  1

times the SDs σ, σr₂, σr₃. A group without some visits has the submatrix of those that it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixedfit.core.arrays import Array

from .correlation import CorrelationStructure
from .parts import Layout, Natural
from .patterns import PatternRoot, Patterns
from .variances import VarIdent

__all__ = ["Unstructured"]


@dataclass(frozen=True)
class Unstructured(CorrelationStructure):
    """A correlation for each pair of visits and an SD for each visit: the model of mmrm, SAS's type=UN.

    Parameters
    ----------
    visit : str
        Column of the visits; categories in their order, other values sorted. σ is the SD of the first.
    group : str, optional
        As of `AR1`.
    homogeneous : bool
        Whether all visits have the same SD.
    by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(Unstructured("AVISIT", "USUBJID"))
    Unstructured(visit='AVISIT', group='USUBJID')
    """

    visit: str = ""
    group: str | None = None
    homogeneous: bool = False
    by: str | None = None
    formula: ClassVar[str] = "a correlation for each pair of visits"
    kind: ClassVar[str] = "visit"

    @property
    def has_variances(self) -> bool:
        """Whether each visit has its own SD."""
        return not self.homogeneous

    @property
    def factors(self) -> tuple[Any, ...]:
        """The correlation, and the SDs of visits."""
        if self.homogeneous:
            return super().factors
        return (self, VarIdent(self.visit if self.by is None else f"{self.by}:{self.visit}"))

    def law(self, layout: Layout) -> UnstructuredLaw:
        """Return the correlations on a layout."""
        return UnstructuredLaw(layout)


class UnstructuredLaw:
    """C = UUᵀ, row i of U being (x_i1, …, x_i,i−1, 1) over its length."""

    further_starts: tuple[Array, ...] = ()

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.visits = len(layout.labels)
        self.pairs = [(i, j) for i in range(1, self.visits) for j in range(i)]
        self.start = np.zeros(len(self.pairs))
        self.patterns = Patterns(layout, shift=False)

    def _unit_rows(self, x: Array) -> tuple[Array, Array]:
        """Return U, and the lengths of its rows before division."""
        rows = np.eye(self.visits)
        for value, (i, j) in zip(x, self.pairs, strict=True):
            rows[i, j] = value
        lengths = np.linalg.norm(rows, axis=1)
        return rows / lengths[:, None], lengths

    def _whole(self, x: Array) -> Array:
        unit, _ = self._unit_rows(x)
        return np.asarray(unit @ unit.T)

    def _slopes(self, x: Array) -> Array:
        unit, lengths = self._unit_rows(x)
        out = np.zeros((len(self.pairs), self.visits, self.visits))
        for a, (i, j) in enumerate(self.pairs):
            change = -unit[i] * unit[i, j]
            change[j] += 1.0
            out[a, i] = unit @ (change / lengths[i])
            out[a, :, i] = out[a, i]
            out[a, i, i] = 0.0
        return out

    def start_from(self, correlation: Array) -> Array:
        """Return x of a correlation matrix, shape (visits, visits), positive definite."""
        root = np.linalg.cholesky(correlation)
        return np.array([root[i, j] / root[i, i] for i, j in self.pairs])

    def root(self, x: Array) -> PatternRoot:
        """Return the factor at x."""
        whole, codes = self._whole(x), [own.places[:, :, 0].astype(np.int64) for own in self.patterns.classes]
        matrices = [whole[c[:, :, None], c[:, None, :]] for c in codes]
        slopes = self._slopes(x)
        return PatternRoot(
            self.patterns, matrices, lambda k: slopes[:, codes[k][:, :, None], codes[k][:, None, :]]
        )

    def natural(self, x: Array) -> list[Natural]:
        """Return the correlations, visit by visit."""
        whole, labels = self._whole(x), self.layout.labels
        return [
            Natural(f"cor({labels[j]},{labels[i]})", float(whole[i, j]), -1.0, 1.0)
            for j in range(self.visits)
            for i in range(j + 1, self.visits)
        ]

    def matrix(self, x: Array, place: Array) -> Array:
        """Return the submatrix of the visits at `place`."""
        codes = place[:, 0].astype(np.int64)
        return self._whole(x)[np.ix_(codes, codes)]
