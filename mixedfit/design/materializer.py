"""formulaic's materializer, for formulas in which a function and a column have the same name.

In ``C(C)`` the first C is a function and the second a column. formulaic looks up both in one namespace, columns first.
Here a name before a bracket or a dot is looked up among functions first.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import numpy as np
import pandas as pd
from formulaic.materializers.pandas import PandasMaterializer, override
from formulaic.materializers.types import FactorValues
from formulaic.parser.types import Factor
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_eval

from .one_level import OneLevelError

__all__ = ["Materializer", "separate_calls"]

PREFIX = "_function_"
"""Prefix of called names that are also columns; it does not appear in names of columns of X."""

_CALLED = re.compile(
    r"""`[^`]*`|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?<![\w.])(?P<name>[^\W\d]\w*)(?=\s*[.(])""", re.DOTALL
)


def separate_calls(expression: str, names: Container[str]) -> str:
    """Return an expression with `PREFIX` added to each of `names` that is followed by a bracket or a dot.

    Examples
    --------
    >>> separate_calls("C(C, contr.treatment('C(')) + x", {"C"})
    "_function_C(C, contr.treatment('C(')) + x"
    """

    def replaced(found: re.Match[str]) -> str:
        return PREFIX + found.group() if found["name"] and found["name"] in names else found.group()

    return _CALLED.sub(replaced, expression)


class Materializer(PandasMaterializer):  # type: ignore[misc]
    """formulaic's materializer of pandas frames, for ``Formula.get_model_matrix(materializer=)``."""

    REGISTER_NAME = "mixedfit"
    REGISTER_INPUTS = ()

    @override  # type: ignore[untyped-decorator]
    def _init(self) -> None:
        super()._init()
        functions = {**TRANSFORMS, **self.context}
        self.shared = {name: functions[name] for name in functions if name in self.data_context}

    @override  # type: ignore[untyped-decorator]
    def _evaluate(self, expr: str, metadata: Any, spec: Any) -> Any:
        text = separate_calls(expr, self.shared)
        if text == expr:
            made, used = super()._evaluate(expr, metadata, spec)
            return _numbered(made), used
        variables: set[Any] = set()
        context = self.layered_context.with_layers({PREFIX + name: f for name, f in self.shared.items()})
        made = stateful_eval(text, context, {text: metadata}, spec.transform_state, spec, variables=variables)
        return _numbered(made), variables

    @override  # type: ignore[untyped-decorator]
    def _encode_evaled_factor(
        self, factor: Any, spec: Any, drop_rows: Any, reduced_rank: bool = False
    ) -> Any:
        if factor.expr not in spec.encoder_state:  # else these are further rows, whose levels the fit knows
            _check_levels(factor)
        return super()._encode_evaled_factor(factor, spec, drop_rows, reduced_rank)


def _numbered(made: Any) -> Any:
    """Return what a call made; columns of an array without names are numbered from 1, as in R."""
    values = getattr(made, "__wrapped__", made)
    metadata = getattr(made, "__formulaic_metadata__", None)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or getattr(metadata, "column_names", None):
        return made
    return FactorValues(made, column_names=tuple(str(j) for j in range(1, values.shape[1] + 1)))


def _check_levels(factor: Any) -> None:
    """Raise `OneLevelError` for a factor that takes one value."""
    if factor.metadata.kind is not Factor.Kind.CATEGORICAL:
        return
    values = getattr(factor.values, "__wrapped__", factor.values)
    if np.ndim(values) != 1:
        return
    levels = pd.Series(values).dropna().unique()
    if len(levels) == 1:
        raise OneLevelError(factor.expr, levels[0])
