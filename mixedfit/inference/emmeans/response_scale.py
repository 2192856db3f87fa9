"""Back-transformation of means of a transformed response.

The left side of a formula, g(y) = η, is read as a chain of known functions of one column, and inverted function by
function. h = g⁻¹ comes with its first three derivatives, by the chain rule. With bias adjustment the mean of the
response is h(η) + h″(η)τ²/2, τ² the variance of a response on the scale of η (second-order Taylor expansion).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.format import without_quotes
from mixedfit.formula.tokens import is_column

__all__ = ["ResponseScale", "response_scale"]

Jet: TypeAlias = tuple[Array, Array, Array, Array]
"""A function's value and its first three derivatives."""

Step: TypeAlias = Callable[[Array], Jet]


def _exponential(base: float) -> Step:
    c = np.log(base)
    return lambda x: (base**x, c * base**x, c**2 * base**x, c**3 * base**x)


def _power(p: float) -> Step:
    def step(x: Array) -> Jet:
        factors = np.cumprod([1.0, p, p - 1.0, p - 2.0])
        return tuple(  # type: ignore[return-value]
            f * x ** (p - k) if f != 0 else np.zeros_like(x) for k, f in enumerate(factors)
        )

    return step


def _affine(slope: float, shift: float) -> Step:
    return lambda x: (slope * x + shift, np.full_like(x, slope), np.zeros_like(x), np.zeros_like(x))


def _log1p(x: Array) -> Jet:
    return np.log1p(x), 1 / (1 + x), -1 / (1 + x) ** 2, 2 / (1 + x) ** 3


def _tangent(x: Array) -> Jet:
    t = np.tanh(x)
    d = 1 - t**2
    return t, d, -2 * t * d, (6 * t**2 - 2) * d


_INVERSES: dict[str, Step] = {
    "log": _exponential(np.e),
    "log2": _exponential(2.0),
    "log10": _exponential(10.0),
    "log1p": lambda x: (np.expm1(x), np.exp(x), np.exp(x), np.exp(x)),
    "exp": lambda x: (np.log(x), 1 / x, -1 / x**2, 2 / x**3),
    "expm1": _log1p,
    "sqrt": _power(2.0),
    "cbrt": _power(3.0),
    "square": _power(0.5),
    "arcsin": lambda x: (np.sin(x), np.cos(x), -np.sin(x), -np.cos(x)),
    "arctanh": _tangent,
    "arcsinh": lambda x: (np.sinh(x), np.cosh(x), np.sinh(x), np.cosh(x)),
}
"""The inverse of each function that a formula may have on its left side."""

_SAME = {"asin": "arcsin", "atanh": "arctanh", "asinh": "arcsinh"}

_COLUMN = re.compile(r"""`[^`]*`|Q\(\s*(['"]).*?\1\s*\)|[^\W\d]\w*(\.\w+)+(?!\w*\s*\()""")
"""Names of columns that are no names in Python."""

_BASES = {"log": np.e, "log2": 2.0, "log10": 10.0, "log1p": np.e}


@dataclass(frozen=True, eq=False, slots=True)
class ResponseScale:
    """The scale of a transformed response.

    Attributes
    ----------
    text : str
        The left side of the formula.
    steps : tuple of callable
        Inverse functions, the first applied to η.
    log_base : float
        b if η is log_b of the response times or plus constants, so that differences of η are ratios; else NaN.
    log_slope : float
        Factor of that logarithm.
    column : str
        The column of the data that is transformed.
    """

    text: str
    steps: tuple[Step, ...]
    log_base: float = float("nan")
    log_slope: float = 1.0
    column: str = ""

    @property
    def ratios(self) -> bool:
        """Whether differences on this scale are logarithms of ratios."""
        return bool(np.isfinite(self.log_base))

    def ratio(self, differences: Array) -> tuple[Array, Array]:
        """Return the ratios that differences stand for, and their derivatives."""
        c = np.log(self.log_base) / self.log_slope
        return np.exp(c * differences), c * np.exp(c * differences)

    def jet(self, eta: Array) -> Jet:
        """Return h(η) with its first three derivatives (Faà di Bruno's formula)."""
        eta = np.asarray(eta, dtype=np.float64)
        g = (eta, np.ones_like(eta), np.zeros_like(eta), np.zeros_like(eta))
        with np.errstate(all="ignore"):
            for step in self.steps:
                f = step(g[0])
                g = (
                    f[0],
                    f[1] * g[1],
                    f[2] * g[1] ** 2 + f[1] * g[2],
                    f[3] * g[1] ** 3 + 3 * f[2] * g[1] * g[2] + f[1] * g[3],
                )
        return g

    def response(self, eta: Array, variance: float = 0.0) -> tuple[Array, Array]:
        """Return means of the response and their derivatives, adjusted for bias if a variance is given."""
        value, first, second, third = self.jet(eta)
        return value + 0.5 * variance * second, first + 0.5 * variance * third


def response_scale(text: str) -> ResponseScale | None:
    """Return the scale of the left side of a formula; None if it is a column, or cannot be inverted."""
    text = text.strip()
    if is_column(text):
        return None
    plain = _COLUMN.sub("_y", text.replace("^", "**"))
    try:
        node: ast.expr = ast.parse(plain, mode="eval").body
    except SyntaxError:
        return None
    steps: list[Step] = []
    outside, inside, base = 1.0, 1.0, float("nan")
    while not isinstance(node, ast.Name):
        found = _outermost(node)
        if found is None:
            return None
        name, step, factor, node = found
        steps += [] if step is None else [step]
        if np.isfinite(base):
            inside *= factor
        elif name in _BASES and np.isfinite(outside):
            base = _BASES[name]
        else:
            outside *= factor
    ratios = np.isfinite([base, outside, inside]).all()
    quoted = _COLUMN.search(text)
    column = node.id if quoted is None else without_quotes(quoted.group())
    return ResponseScale(text, tuple(steps), base if ratios else np.nan, outside, column) if steps else None


def _outermost(node: ast.expr) -> tuple[str, Step | None, float, ast.expr] | None:
    """Return a function's name, its inverse, the factor if it is linear (else NaN), and what it is applied to."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        name = _SAME.get(name, name)
        if name == "I":
            return name, None, 1.0, node.args[0]
        return (name, _INVERSES[name], np.nan, node.args[0]) if name in _INVERSES else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return "-", _affine(-1.0, 0.0), -1.0, node.operand
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _constant(node.left), _constant(node.right)
    if (left is None) == (right is None):
        return None
    if right is not None:
        return _with_constant(node.op, right, node.left)
    assert left is not None
    return _constant_first(node.op, left, node.right)


def _with_constant(op: ast.operator, c: float, inside: ast.expr) -> tuple[str, Step, float, ast.expr] | None:
    """Return the inverse of x + c, x − c, x · c, x / c or x ** c."""
    if isinstance(op, ast.Add | ast.Sub):
        return "+", _affine(1.0, -c if isinstance(op, ast.Add) else c), 1.0, inside
    if isinstance(op, ast.Mult | ast.Div) and c != 0:
        factor = c if isinstance(op, ast.Mult) else 1.0 / c
        return "*", _affine(1.0 / factor, 0.0), factor, inside
    if isinstance(op, ast.Pow) and c != 0:
        return "**", _power(1.0 / c), np.nan, inside
    return None


def _constant_first(op: ast.operator, c: float, inside: ast.expr) -> tuple[str, Step, float, ast.expr] | None:
    """Return the inverse of c + x, c − x, c · x or c / x."""
    if isinstance(op, ast.Add | ast.Mult):
        return _with_constant(op, c, inside)
    if isinstance(op, ast.Sub):
        return "-", _affine(-1.0, c), -1.0, inside
    if isinstance(op, ast.Div) and c != 0:
        return (
            "/",
            lambda x: (c / x, -c / x**2, 2 * c / x**3, -6 * c / x**4),
            np.nan,
            inside,
        )
    return None


def _constant(node: ast.expr) -> float | None:
    """Return the value of an expression without names, or None."""
    if any(isinstance(part, ast.Name) for part in ast.walk(node)):
        return None
    try:
        value = ast.literal_eval(node)
    except ValueError:
        if not isinstance(node, ast.BinOp):
            return None
        left, right = _constant(node.left), _constant(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Div) and right != 0:
            return left / right
        return left * right if isinstance(node.op, ast.Mult) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
