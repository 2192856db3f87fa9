"""Draws of one or several quantities, with summaries, probabilities and arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, a_type
from mixedfit.core.format import TABLE_WIDTH
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level, check_one_of
from mixedfit.core.printed_frame import PrintedFrame
from mixedfit.core.tables import Table, text_table

from . import convergence
from .expressions import evaluate
from .summaries import summarise

__all__ = [
    "INTERVALS",
    "Draws",
    "Probability",
    "format_summary",
    "listed",
    "probability_of",
    "row_names",
    "summary_table",
]


INTERVALS = ("quantiles", "hpd", "hdi")
"""Kinds of intervals of a summary; "hdi" is another name of "hpd"."""


def summary_table(
    draws: Array, index: pd.Index[Any], *, quantiles: tuple[float, ...] | None, interval: str, level: float
) -> pd.DataFrame:
    """Return a summary of draws, shape (chains, draws, quantities), with a row for each; see `Posterior.summary`."""
    check_one_of("interval", interval, INTERVALS)
    level = check_level(level)
    if quantiles is None:
        quantiles = (round(0.5 - 0.5 * level, 12), 0.5, round(0.5 + 0.5 * level, 12))
    _check_probabilities(quantiles)
    if not len(index):
        return pd.DataFrame(index=index)
    return SummaryFrame(summarise(draws, quantiles, interval, level), index=index)


@dataclass(frozen=True, slots=True)
class Probability:
    """A posterior probability with its Monte-Carlo standard error.

    Attributes
    ----------
    event : str
    value, mcse : float
    """

    event: str
    value: float
    mcse: float

    def __str__(self) -> str:
        return f"P({self.event} | y) = {self.value:.4f} (Monte-Carlo error {self.mcse:.4f})"

    __repr__ = __str__

    def __float__(self) -> float:
        return self.value


def probability_of(event: str, happened: Array) -> Probability:
    """Return the share of draws, shape (chains, draws), in which an event happened, with its error.

    If the event happened in all draws or in none, the error is 1/(draws + 2).
    """
    values = happened.astype(float)
    if np.ptp(values) == 0.0:
        return Probability(event, float(values.flat[0]), 1.0 / (values.size + 2))
    return Probability(event, float(values.mean()), convergence.mcse_mean(values))


@dataclass(frozen=True, eq=False)
class Draws(NotebookTable):
    """Draws of one or several quantities, such as functions of parameters or predictions.

    Attributes
    ----------
    names : tuple of str
        One for each quantity.
    values : ndarray, shape (chains, draws, quantities)
    labels : pandas.Index or None
        Labels of the rows, if the quantities are predictions.
    notes : tuple of str
        Remarks on the quantities, such as groups that were not in the fit.

    Examples
    --------
    Quantities are selected by the labels of their rows or by their printed names; slices go by position. Arithmetic
    with numbers and with other draws is done draw by draw.

    >>> import mixedfit as mf
    >>> model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    >>> batches = model.gibbs(seed=1).predict({"Batch": ["A", "B", "C"]}, kind="mean", seed=1)
    >>> (batches[1] - batches[0]).names, batches["row 2"].names, batches[:2].names
    (('row 1 − row 0',), ('row 2',), ('row 0', 'row 1'))
    >>> ((batches[0] - 1500) / 10).names
    ('(row 0 − 1500) / 10',)
    """

    names: tuple[str, ...]
    values: Array
    labels: pd.Index[Any] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Draws]:
        return (self._at([i]) for i in range(len(self.names)))

    def __getitem__(self, which: Any) -> Draws:
        """Return the quantities of a label or name, of a list of these, of a mask, or of a slice of positions.

        Without labels, a whole number is a position.
        """
        if isinstance(which, slice):
            return self._at(list(range(len(self.names)))[which])
        if isinstance(which, list | tuple | np.ndarray | pd.Index):
            return self._at(self._listed_positions(which))
        return self._at(self._positions(which))

    def _listed_positions(self, which: Any) -> list[int]:
        """Return the positions that a list of labels, or a mask, selects."""
        mask = np.asarray(which)
        if mask.dtype == bool:
            if mask.shape != (len(self.names),):
                raise ModelError(f"the mask has shape {mask.shape}; expected ({len(self.names)},).")
            return np.flatnonzero(mask).tolist()
        return [i for one in which for i in self._positions(one)]

    def _positions(self, which: Any) -> list[int]:
        """Return the positions of a label or a name."""
        found: list[int] = []
        if self.labels is not None:
            found = [i for i, label in enumerate(self.labels) if label == which]
        elif isinstance(which, int | np.integer) and -len(self.names) <= which < len(self.names):
            found = [int(which)]
        found = found or [i for i, name in enumerate(self.names) if name == which]
        if not found:
            kind, known, advice = "draws", self.names, ""
            if self.labels is not None:
                kind, known = "rows' labels", tuple(map(repr, self.labels))
                advice = "; draws[a:b] goes by position" if isinstance(which, int) else ""
            shown = listed(known, 20) or "there are none"
            raise ModelError(f"{which!r} is not among the {kind} ({shown}){advice}.")
        return found

    def _at(self, positions: list[int]) -> Draws:
        labels = None if self.labels is None else self.labels[positions]
        names = tuple(self.names[i] for i in positions)
        return Draws(names, self.values[:, :, positions], labels, self.notes)

    def __sub__(self, other: Any) -> Draws:
        """Return differences, draw by draw."""
        return combined(self, "−", other)

    def __add__(self, other: Any) -> Draws:
        """Return sums, draw by draw."""
        return combined(self, "+", other)

    def __mul__(self, other: Any) -> Draws:
        """Return products, draw by draw."""
        return combined(self, "×", other)

    def __truediv__(self, other: Any) -> Draws:
        """Return ratios, draw by draw."""
        return combined(self, "/", other)

    def __rsub__(self, other: Any) -> Draws:
        return combined(other, "−", self)

    def __radd__(self, other: Any) -> Draws:
        return combined(other, "+", self)

    def __rmul__(self, other: Any) -> Draws:
        return combined(other, "×", self)

    def __rtruediv__(self, other: Any) -> Draws:
        return combined(other, "/", self)

    def __neg__(self) -> Draws:
        return replace(self, names=tuple(f"−{_bracketed(name)}" for name in self.names), values=-self.values)

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] | None = None,
        interval: str = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return a summary with a row for each quantity; options as in `Posterior.summary`."""
        index = pd.Index(self.names, dtype=None if self.names else object)
        return summary_table(self.values, index, quantiles=quantiles, interval=interval, level=level)

    def quantiles(self, probabilities: Sequence[float] | float = (0.025, 0.5, 0.975)) -> pd.DataFrame:
        """Return quantiles with their Monte-Carlo standard errors, columns quantile and mcse.

        Rows are the probabilities; with several quantities, (quantity, probability).

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
        >>> mean = model.gibbs(seed=1).derive("(Intercept)")
        >>> bool((mean.quantiles()["mcse"] < 3).all())
        True
        """
        if isinstance(probabilities, int | float):
            probabilities = (probabilities,)
        _check_probabilities(tuple(probabilities))
        rows = [
            (float(np.quantile(values, p)), convergence.mcse_quantile(values, p))
            for values in np.moveaxis(self.values, 2, 0)
            for p in probabilities
        ]
        index: pd.Index[Any] = pd.Index(probabilities, name="probability")
        if len(self.names) > 1:
            index = pd.MultiIndex.from_product([self.names, probabilities], names=["quantity", "probability"])
        return pd.DataFrame(rows, index=index, columns=["quantile", "mcse"])

    def probability(self, event: str = "> 0") -> Probability:
        """Return the probability that a quantity satisfies a comparison, such as ``"> 0"``."""
        if len(self.names) != 1:
            raise ModelError("there are several quantities; choose one, such as draws[0].probability('> 0').")
        happened = evaluate(f"_x {event}", ["_x"], lambda _: self.values[:, :, 0])
        if np.asarray(happened).dtype != bool:
            raise ModelError(f"{event!r} is not a comparison; expected such as '> 0'.")
        return probability_of(f"{self.names[0]} {event}", happened)

    def _tables(self) -> list[Table]:
        if not self.names:
            return [Table("no rows, no draws", ("",), ())]
        chains, draws, _ = self.values.shape
        text, rest = summary_cells(self.summary())
        head = f"{chains} chain{'s' * (chains != 1)} of {draws} draws"
        return [text_table(head, text, [*([rest] if rest else []), *self.notes])]

    def __str__(self) -> str:
        if not self.names:
            return "no rows, no draws"
        chains, draws, _ = self.values.shape
        return "\n".join(
            [
                f"{chains} chain{'s' * (chains != 1)} of {draws} draws",
                format_summary(self.summary()),
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    __repr__ = __str__


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "−": operator.sub,
    "×": operator.mul,
    "/": operator.truediv,
}


def combined(first: Any, sign: str, second: Any) -> Draws:
    """Return the result of an operation on draws and draws, or draws and a number, draw by draw.

    Raises
    ------
    ModelError
        If the quantities or the draws do not match, or one operand is neither draws nor a number.
    """
    sides = []
    for side in (first, second):
        if isinstance(side, Draws):
            sides.append((tuple(_bracketed(name) for name in side.names), side.values))
        elif isinstance(side, int | float | np.number) and not isinstance(side, bool):
            sides.append(((f"{side:g}",), np.full((1, 1, 1), float(side))))
        else:
            raise ModelError(
                f"draws {sign} {a_type(side)} cannot be computed; expected a number or other draws."
            )
    (left, a), (right, b) = sides
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise ModelError(
            f"there are {len(left)} quantities and {len(right)}; choose as many of both, or one."
        )
    if a.shape[:2] != b.shape[:2] and (1, 1) not in (a.shape[:2], b.shape[:2]):
        raise ModelError(
            f"{a.shape[0]} chains of {a.shape[1]} draws do not match {b.shape[0]} of {b.shape[1]}; take both from one "
            "posterior."
        )
    count = max(len(left), len(right)) if min(len(left), len(right)) else 0
    pairs = zip(
        left * (count if len(left) == 1 else 1), right * (count if len(right) == 1 else 1), strict=True
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(_OPERATIONS[sign](a, b))
    notes = [note for side in (first, second) if isinstance(side, Draws) for note in side.notes]
    return Draws(tuple(f"{x} {sign} {y}" for x, y in pairs), values, notes=tuple(dict.fromkeys(notes)))


def _bracketed(name: str) -> str:
    """Return a name in brackets if it is the result of an operation."""
    return f"({name})" if any(f" {sign} " in name for sign in _OPERATIONS) else name


def _check_probabilities(quantiles: tuple[float, ...]) -> None:
    """Raise unless all are numbers from 0 to 1."""
    if not all(isinstance(p, int | float) and 0.0 <= p <= 1.0 for p in quantiles):
        raise ModelError(f"quantiles are {quantiles!r}; expected numbers from 0 to 1.")


def row_names(index: pd.Index[Any]) -> tuple[str, ...]:
    """Return names of rows: their labels, or "row 3" for labels that are not text."""
    return tuple(label if isinstance(label, str) else f"row {label}" for label in index)


def listed(texts: Sequence[str], most: int) -> str:
    """Return the first `most` texts, joined by commas, and their number if there are more."""
    return ", ".join(texts[:most]) + (f", … ({len(texts)})" if len(texts) > most else "")


SHOWN = 8
"""Number of residual standard deviations of groups in a printed summary."""


def summary_cells(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return a summary as text with the digits that the Monte-Carlo error supports, and a note on rows left out.

    At most `SHOWN` of σ_g are kept.
    """
    left_out = [name for name in table.index if str(name).startswith("sigma[")][SHOWN:]
    text = summary_text(table.drop(index=left_out))
    return text, f"… and {len(left_out)} more of sigma[…]: summary() has them all" if left_out else ""


def summary_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a summary as text with the digits that the Monte-Carlo error supports."""
    numbers = [c for c in table.columns if c not in ("rhat", "ess_bulk", "ess_tail")]
    text = pd.DataFrame(index=table.index)
    decimals = np.clip(1 - np.floor(np.log10(table["mcse"].fillna(1.0).clip(lower=1e-12))), 0, 12).astype(int)
    for column in numbers:
        text[column] = [f"{v:.{d}f}" for v, d in zip(table[column], decimals, strict=True)]
    text["rhat"] = [f"{v:.3f}" for v in table["rhat"]]
    for column in ("ess_bulk", "ess_tail"):
        text[column] = [f"{v:.0f}" for v in table[column]]
    return text


ACCURACY = ("mcse", "rhat", "ess_bulk", "ess_tail")
"""Columns of a summary on the accuracy of the draws."""


class SummaryFrame(PrintedFrame):
    """A summary that prints all its columns, with the digits that the Monte-Carlo error supports.

    What does not fit into the width of a line (pandas' option display.width) comes in two tables: mean, SD and
    interval; then the accuracy of the draws.
    """

    def __repr__(self) -> str:
        if len(self) > pd.get_option("display.max_rows"):
            return super().__repr__()
        text, width = summary_text(self), pd.get_option("display.width") or TABLE_WIDTH
        whole = text.to_string()
        if max(map(len, whole.splitlines())) <= width:
            return whole
        parts = [text.drop(columns=list(ACCURACY)), text[list(ACCURACY)]]
        return "\n\n".join(part.to_string(line_width=width) for part in parts)

    __str__ = __repr__


def format_summary(table: pd.DataFrame) -> str:
    """Return a summary as printed text."""
    text, rest = summary_cells(table)
    return text.to_string() + (f"\n{rest}" if rest else "")
