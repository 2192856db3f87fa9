"""`ns` and `bs` of formulas: natural cubic splines and B-splines, as in R's package splines.

Notation: u = (x − low)/(high − low) between the boundary knots, t the knots in u, k the degree. Beyond the boundary
knots a B-spline goes on as its end's polynomial, a natural spline as its end's tangent.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from math import factorial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from formulaic.materializers.types import FactorValues
from formulaic.utils.stateful_transforms import stateful_transform
from scipy.interpolate import BSpline
from scipy.linalg import qr

from mixedfit.core.arrays import Array
from mixedfit.core.errors import FormulaError
from mixedfit.core.format import count_noun

__all__ = ["EXTRAPOLATIONS", "bs", "ns"]

Extrapolation: TypeAlias = Literal["raise", "extend", "clip", "zero", "na"]

EXTRAPOLATIONS: tuple[str, ...] = get_args(Extrapolation)
"""What `bs` may do with values beyond its boundary knots."""

State: TypeAlias = MutableMapping[str, Any]
"""What a spline learnt: ``lower_bound``, ``upper_bound`` and ``knots``; those of `bs` hold the boundary's, repeated."""

ZERO = 1e-9
"""Largest coefficient of the constant 1 in a basis of numbers of the order of 1 that counts as 0."""


@stateful_transform  # type: ignore[untyped-decorator]
def ns(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    intercept: bool = False,
    *,
    Boundary_knots: Any = None,
    _state: State,
) -> Any:
    """Return the natural cubic splines of R's ``splines::ns``: cubic between knots, linear beyond the boundary knots.

    Parameters
    ----------
    x : array of float, shape (n,)
    df : int, optional
        Columns. ``df - 1 - intercept`` knots are put at equally spaced quantiles (R's type 7) of all rows.
    knots : array, optional
        Inner knots, in place of `df`.
    intercept : bool
        Whether the columns span a constant too.
    Boundary_knots : pair of float, optional
        ``Boundary.knots`` in formulas; by default the range of x.

    Raises
    ------
    FormulaError
        If an argument does not fit.
    """
    values = _numbers("ns", x)
    if not _state:
        low, high = _boundary("ns", values, Boundary_knots)
        inner = _inner("ns", values, df, knots, least=1 + _flag("ns", intercept), bounds=(low, high))
        _state.update(lower_bound=low, upper_bound=high, knots=inner)
    low, high = _state["lower_bound"], _state["upper_bound"]
    basis, one = _natural((values - low) / (high - low), _unit(_state["knots"], low, high), bool(intercept))
    return _columns(basis, int(np.flatnonzero(np.abs(one) > ZERO)[-1]) if intercept else None)


@stateful_transform  # type: ignore[untyped-decorator]
def bs(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    *,
    Boundary_knots: Any = None,
    include_intercept: bool = False,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
    extrapolation: Extrapolation | None = None,
    _state: State,
) -> Any:
    """Return the B-splines of R's ``splines::bs``.

    Parameters
    ----------
    x : array of float, shape (n,)
    df : int, optional
        Columns. ``df - degree - intercept`` knots are put at equally spaced quantiles (R's type 7) of the rows between
        the boundary knots.
    knots : array, optional
        Inner knots, in place of `df`.
    degree : int
    intercept, include_intercept : bool
        Two names of one option: whether the columns span a constant too.
    Boundary_knots : pair of float, optional
        ``Boundary.knots`` in formulas; by default the range of x. `lower_bound` and `upper_bound` give one each.
    extrapolation : {"raise", "extend", "clip", "zero", "na"}, optional
        Values beyond the boundary knots: refused, on the polynomials of the ends, as the nearest boundary knot, without
        any spline, missing. By default "raise", with `Boundary_knots` "extend" as in R.

    Raises
    ------
    FormulaError
        If an argument does not fit, or values lie beyond the boundary knots.
    """
    values = _numbers("bs", x)
    full = _flag("bs", intercept) or _flag("bs", include_intercept)
    k = _whole("bs", "degree", degree, 1)
    mode = extrapolation or ("raise" if Boundary_knots is None else "extend")
    if mode not in EXTRAPOLATIONS:
        raise FormulaError(
            f"bs: extrapolation={mode!r} is not known; use one of {', '.join(EXTRAPOLATIONS)}."
        )
    if not _state:
        low, high = _boundary("bs", values, Boundary_knots, lower_bound, upper_bound)
        inner = _inner("bs", values, df, knots, least=k + full, bounds=(low, high))
        whole = [low] * (k + 1) + inner + [high] * (k + 1)
        _state.update(lower_bound=low, upper_bound=high, knots=whole, spare=len(whole) - k - 2)
    low, high = _state["lower_bound"], _state["upper_bound"]
    values, beyond = _beyond(values, low, high, mode)
    inner = list(_state["knots"])[k + 1 : -k - 1]
    basis = _b_splines((values - low) / (high - low), _unit(inner, low, high), k, order=k)
    if mode == "zero":
        basis[beyond] = 0.0
    # fits that were saved without "spare" left out the first
    return _columns(basis if full else basis[:, 1:], _state.get("spare", 0) if full else None)


def _natural(u: Array, inner: Array, intercept: bool) -> tuple[Array, Array]:
    """Return the natural splines and their coefficients in the constant 1.

    They are B-splines turned to a basis without second derivatives at the boundary knots, by R's Householder rotation.
    """
    first = 0 if intercept else 1
    second = np.stack([_at_boundary(inner, 3, end, 2) for end in (0, 1)])
    rotation, _ = qr(second[:, first:].T)
    natural = rotation[:, 2:]
    return np.asarray(_b_splines(u, inner, 3, order=1)[:, first:] @ natural), natural.sum(axis=0)


def _b_splines(u: Array, inner: Array, degree: int, *, order: int) -> Array:
    """Return the B-splines at u, shape (n, knots + degree + 1); beyond [0, 1] their Taylor polynomials of an order."""
    out = np.asarray(_spline(inner, degree)(np.clip(u, 0.0, 1.0)), dtype=np.float64)
    for end, rows in ((0, u < 0.0), (1, u >= 1.0)):
        if rows.any():
            step = (u[rows] - end)[:, None]
            terms = [step**d / factorial(d) * _at_boundary(inner, degree, end, d) for d in range(order + 1)]
            out[rows] = np.sum(terms, axis=0)
    return out


def _spline(inner: Array, degree: int) -> BSpline:
    t = np.concatenate([np.zeros(degree + 1), inner, np.ones(degree + 1)])
    return BSpline(t, np.eye(t.size - degree - 1), degree)


def _at_boundary(inner: Array, degree: int, end: int, derivative: int) -> Array:
    """Return a derivative of every B-spline at 0 or 1, from inside; inner knots may lie on the boundary."""
    if end == 0:
        return np.asarray(_spline(inner, degree)(0.0, derivative), dtype=np.float64)
    mirrored = np.asarray(_spline(1.0 - inner[::-1], degree)(0.0, derivative), dtype=np.float64)
    return mirrored[::-1] * (-1.0) ** derivative


def _columns(basis: Array, spare: int | None) -> Any:
    """Return a basis for formulaic, columns numbered from 1; `spare` is left out beside a constant, None if none is."""
    return FactorValues(
        {str(j + 1): basis[:, j] for j in range(basis.shape[1])},
        kind="numerical",
        spans_intercept=spare is not None,
        drop_field=None if spare is None else str(spare + 1),
        format="{name}[{field}]",
        encoded=False,
    )


def _numbers(call: str, x: Any) -> Array:
    """Return x as numbers, one a row."""
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1 or getattr(x, "dtype", None) == "category":
        raise FormulaError(f"{call}(…) takes one column of numbers; its first argument is not one.")
    if np.isinf(values).any():
        raise FormulaError(
            f"{call}(…): its first argument is infinite in {count_noun(int(np.isinf(values).sum()), 'row')}."
        )
    return values


def _boundary(call: str, x: Array, given: Any, low: Any = None, high: Any = None) -> tuple[float, float]:
    """Return the boundary knots: those given, else the range of x."""
    known = x[~np.isnan(x)]
    if given is not None:
        ends = _sorted(call, "Boundary.knots", given)
        if ends.size != 2 or ends[0] == ends[1]:
            raise FormulaError(
                f"{call}: Boundary.knots={given!r} must be two different numbers, [low, high]."
            )
        return float(ends[0]), float(ends[1])
    first = float(known.min()) if low is None else float(low)
    last = float(known.max()) if high is None else float(high)
    if not first < last:
        raise FormulaError(
            f"{call}(…) needs values that differ, or boundary knots that do; here they are {first:g} and {last:g}."
        )
    return first, last


def _inner(
    call: str, x: Array, df: Any, knots: Any, *, least: int, bounds: tuple[float, float]
) -> list[float]:
    """Return the inner knots, given or at quantiles of x; with `least` columns there are none."""
    low, high = bounds
    count = 0 if df is None else _whole(call, "df", df, least) - least
    if knots is not None:
        inner = _sorted(call, "knots", knots)
        if inner.size and not low <= inner[0] <= inner[-1] <= high:
            raise FormulaError(
                f"{call}: knots={knots!r} must lie between the boundary knots, {low:g} and {high:g}; to move "
                "these, give Boundary.knots=[low, high]."
            )
        if df is not None and inner.size != count:
            raise FormulaError(
                f"{call}: df={df} and {inner.size} knots are at odds ({inner.size + least} columns). Give one of them."
            )
        return [float(knot) for knot in inner]
    if count + least > x.size:
        raise FormulaError(f"{call}: df={df} is more than the {x.size} rows; give fewer columns.")
    inside = x[(x >= low) & (x <= high)]
    if count and not inside.size:
        raise FormulaError(f"{call}: no value lies between the boundary knots, {low:g} and {high:g}.")
    return [float(q) for q in np.quantile(inside, np.linspace(0, 1, count + 2)[1:-1])] if count else []


def _unit(knots: Any, low: float, high: float) -> Array:
    return (np.asarray(knots, dtype=np.float64) - low) / (high - low)


def _beyond(x: Array, low: float, high: float, mode: str) -> tuple[Array, Any]:
    """Return x as the mode wants it, and which rows lie beyond the boundary knots."""
    beyond = (x < low) | (x > high)
    if mode == "raise" and beyond.any():
        raise FormulaError(
            f"bs(…) has {count_noun(int(beyond.sum()), 'value')} beyond the boundary knots, {low:g} and {high:g}; say "
            "by extrapolation= what to do with them, such as extrapolation='extend'."
        )
    if mode in ("clip", "zero"):
        return np.clip(x, low, high), beyond
    return np.where(beyond, np.nan, x) if mode == "na" else x, beyond


def _sorted(call: str, what: str, values: Any) -> Array:
    try:
        out = np.sort(np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel())
    except (TypeError, ValueError):
        out = np.array([np.nan])
    if not np.isfinite(out).all():
        raise FormulaError(f"{call}: {what}={values!r} must be finite numbers, such as {what}=[1, 2].")
    return out


def _whole(call: str, what: str, value: Any, least: int) -> int:
    if (
        isinstance(value, bool | np.bool_)
        or not isinstance(value, int | float | np.number)
        or value != int(value)
    ):
        raise FormulaError(f"{call}: {what}={value!r} must be a whole number.")
    if value < least:
        raise FormulaError(f"{call}: {what}={value!r} is too small; {what} is at least {least} here.")
    return int(value)


def _flag(call: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise FormulaError(f"{call}: intercept={value!r} must be True or False.")
    return bool(value)
