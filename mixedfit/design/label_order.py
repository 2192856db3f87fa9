"""The order of times that are written as text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pandas as pd

from mixedfit.core.errors import DataError, shown

__all__ = ["check_order"]

_DATE = re.compile(r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}")

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def check_order(what: Any, name: str, column: pd.Series[Any], *, text: bool) -> None:
    """Raise `DataError` if the order of labels is alphabetical and need not be that of time.

    It is that of time if each label has a number and these increase, as in "week 2" and "week 4", or if the labels are
    single letters. Categories in another order than the alphabet's were put in order.

    Parameters
    ----------
    what : object
        The structure whose times they are, for the message.
    name : str
    column : pandas.Series
    text : bool
        Whether the column was text, and no categories.
    """
    if not isinstance(column.dtype, pd.CategoricalDtype) or column.cat.ordered:
        return
    labels = [str(label) for label in column.cat.categories]
    if len(labels) < 3 or labels != sorted(labels):
        return
    if text and all(_DATE.fullmatch(label.strip()) for label in labels):
        raise DataError(
            f"{what}: column {name!r} holds dates as text, such as {shown(labels[0])}. Make them dates, which count in "
            f"days: data[{name!r}] = pd.to_datetime(data[{name!r}])."
        )
    found = [_NUMBER.search(label) for label in labels]
    numbers = [float(match.group()) for match in found if match]
    if len(numbers) == len(labels):
        if all(a < b for a, b in pairwise(numbers)):
            return
        at = next(i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1])
    elif all(len(label.strip()) == 1 for label in labels) or not text:
        return
    else:
        at = 1
    raise DataError(
        f"{what}: column {name!r} holds text, whose alphabetical order puts {shown(labels[at - 1])} before "
        f"{shown(labels[at])} (all: {', '.join(labels[:8])}). Give the order: data[{name!r}] = "
        f"pd.Categorical(data[{name!r}], categories=[...], ordered=True), or take numbers."
    )
