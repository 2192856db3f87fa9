"""Numbers as the American Psychological Association writes them (7th edition, sections 6.36 and 6.45)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .format import MOST_DECIMALS, decimals_of_error, format_fixed

__all__ = ["by_error", "df_text", "fixed", "p_text"]


def fixed(value: float, decimals: int = 2) -> str:
    """Return a number with a minus sign and fixed decimals."""
    return format_fixed([float(value)], decimals, missing="not known", infinite="∞")[0].replace("-", "−")


def df_text(value: float) -> str:
    """Return degrees of freedom: two decimals, none if they are whole."""
    return format_fixed([float(value)], 2, whole=True, missing="not known", infinite="∞")[0]


def p_text(p: float) -> str:
    """Return a p-value with three decimals and without the zero before the point.

    Examples
    --------
    >>> p_text(0.0312), p_text(2e-5), p_text(0.9999)
    ('.031', '< .001', '> .999')
    """
    if np.isnan(p):
        return "not known"
    if p < 0.001:
        return "< .001"
    text = f"{p:.3f}"
    return "> .999" if text == "1.000" else text[1:]


def by_error(values: Sequence[float], error: float, digits: int = 2) -> list[str]:
    """Return values in the unit of an estimate with common decimals.

    They are at least two, and show the standard error to `digits` significant digits, two or three.

    Examples
    --------
    >>> by_error([-10.4673, 1.5458], 1.5458), by_error([0.00213], 0.00042)
    (['−10.47', '1.55'], ['0.00213'])
    """
    three = decimals_of_error([error])
    decimals = 2 if three is None else max(three - (3 - digits), 2)
    if decimals > MOST_DECIMALS:
        return [f"{v:.3g}".replace("-", "−") for v in values]
    return [fixed(v, decimals) for v in values]
