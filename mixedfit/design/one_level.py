"""Refusal of factors with one level, whose contrasts and whose variance between levels do not exist."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from mixedfit.core.errors import ModelError, shown
from mixedfit.formula.parse import ParsedFormula

from .model_frame import ModelFrame, missing_values
from .wrong_values import listed_counts

__all__ = ["OneLevelError", "check_coded_columns", "one_level_factor", "one_level_grouping"]

_CALLED = re.compile(r"C\(\s*(?:Q\(\s*['\"](.+?)['\"]\s*\)|`(.+?)`|([^\W\d][\w.]*))\s*[,)]")

LISTED = 5
"""Most levels that a message lists."""


class OneLevelError(ModelError):
    """A factor of a formula takes one value in the rows used.

    Parameters
    ----------
    expression : str
        The factor as the formula writes it, such as ``C(B, contr.sum)``.
    level : object
        Its value.
    """

    def __init__(self, expression: str, level: Any) -> None:
        super().__init__(expression)
        self.expression = expression
        self.level = level


def check_coded_columns(parsed: ParsedFormula, frame: ModelFrame) -> None:
    """Refuse columns of labels with one level among the variables of fixed and random effects.

    Raises
    ------
    ModelError
        With the level, and the missing values that cost the others.
    """
    for part in parsed.matrices._to_dict().values():
        for term in part:
            for factor in term.factors:
                column = frame.columns.get(factor.expr) if factor.eval_method.value == "lookup" else None
                if column is None or not isinstance(column.dtype, pd.CategoricalDtype):
                    continue
                levels = frame.grouping(factor.expr).levels
                if len(levels) < 2:
                    raise one_level_factor(OneLevelError(factor.expr, levels[0]), frame)


def one_level_factor(found: OneLevelError, frame: ModelFrame) -> ModelError:
    """Return the error for a factor of fixed effects or left of a bar."""
    called = _CALLED.match(found.expression)
    name = next(filter(None, called.groups())) if called else found.expression
    return ModelError(
        f"factor {name!r} has one level, {shown(found.level)}, in the {len(frame.index)} rows used, so that "
        f"nothing can be compared.{_lost(name, frame)} Remove it from the formula."
    )


def one_level_grouping(name: str, columns: tuple[str, ...], level: Any, frame: ModelFrame) -> ModelError:
    """Return the error for a grouping factor."""
    lost = next(filter(None, (_lost(column, frame) for column in columns)), "")
    return ModelError(
        f"grouping factor {name!r} has one level, {shown(level)}, in the {len(frame.index)} rows used; a variance "
        f"between levels needs at least two.{lost} Remove the term, or check that the column is the right one."
    )


def _lost(name: str, frame: ModelFrame) -> str:
    """Return the sentence on the rows with other levels that missing values cost; empty if there are none."""
    whole = frame.whole.get(name)
    if whole is None or not frame.dropped:
        return ""
    kept = frame.columns[name].iloc[0]
    others = ((whole.astype(object) != kept) & whole.notna()).to_numpy(dtype=bool)
    if not others.any():
        return ""
    levels = [shown(level) for level in pd.unique(whole[others].astype(object))]
    listed = ", ".join(levels[:LISTED]) + (", …" if len(levels) > LISTED else "")
    counts = {
        column: int(missing[others].sum())
        for column, values in frame.whole.items()
        if (missing := missing_values(values)) is not None and missing[others].any()
    }
    where = f" (by column: {listed_counts(counts)})" if counts else ""
    return (
        f" The {int(others.sum())} rows with its other levels ({listed}) were left out for missing values{where}: "
        "complete or leave out what is missing to keep them."
    )
