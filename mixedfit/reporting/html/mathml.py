"""The model as MathML.

y_i = β₀ + β₁x_i + … + b₀[group] + … + ε_i, with the estimated covariances. Models with many terms are written with
matrices.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.format import number
from mixedfit.core.names import plain_name
from mixedfit.design.design import RandomBlock
from mixedfit.estimation.fit import Fitted, fit_of
from mixedfit.estimation.labels import Named, NamedDesign

__all__ = ["covariance_math", "model_math", "residual_math", "statement_math"]

_PLUS = '<mo form="infix">+</mo>'

MOST_TERMS = 8
"""Largest number of terms of an equation that is written without matrices."""

LINE, BESIDE = 34, 6
"""Characters in a line of an equation that most phones can show, and characters of a term beside its name."""

MOST_EFFECTS = 4
"""Largest number of effects per level whose covariance matrix is shown."""


def _text(name: str) -> str:
    return f"<mtext>{html.escape(plain_name(name))}</mtext>"


def _letter(letter: str) -> str:
    return f"<mi>{html.escape(letter)}</mi>"


def _number(value: float) -> str:
    return ("<mo>−</mo>" if value < 0 else "") + f"<mn>{number(abs(value))}</mn>"


def _sub(base: str, below: str) -> str:
    return f"<msub>{base}<mrow>{below}</mrow></msub>"


def _wrap(body: str, spoken: str) -> str:
    return f'<math display="block" alttext="{html.escape(spoken)}">{body}</math>'


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        '<mtr><mtd style="text-align:right">'
        f'<mrow>{left}</mrow></mtd><mtd style="text-align:left"><mrow>{right}</mrow></mtd></mtr>'
        for left, right in rows
    )
    return f'<mtable columnalign="right left" displaystyle="true">{cells}</mtable>'


def model_math(results: Fitted | NamedDesign) -> str:
    """Return the equation of one row."""
    fit: Named = results if isinstance(results, NamedDesign) else fit_of(results)
    named = plain_name(fit.formula.split("~", 1)[0].strip())
    names = list(fit.coefficient_names)
    effects = sum(block.k for block in fit.design.blocks)
    if len(names) > MOST_TERMS or effects > MOST_TERMS:
        body = "<mrow><mi>y</mi><mo>=</mo><mi>X</mi><mi>β</mi>"
        body += ("<mo>+</mo><mi>Z</mi><mi>b</mi>" if effects else "") + "<mo>+</mo><mi>ε</mi></mrow>"
        spoken = "y = X β + Z b + ε" if effects else "y = X β + ε"
        return _wrap(body, spoken)
    fixed = [_times(_sub(_letter("β"), f"<mn>{j}</mn>"), name) for j, name in enumerate(names)]
    spoken = f"{named} = " + " + ".join(_spoken(f"β{j}", name) for j, name in enumerate(names))
    left = f"{_sub(_text(named), _letter('i'))}<mo>=</mo>"
    lines = _lines(fixed, [_name_width(name) for name in names])
    rows = [
        (left if not at else "", _PLUS * (at > 0) + line) for at, line in enumerate(lines or ["<mn>0</mn>"])
    ]
    for block in fit.design.blocks:
        parts = []
        for letter, effect in enumerate(block.effects):
            below = f"<mn>{letter}</mn><mo>,</mo>{_text(block.name)}<mo>[</mo><mi>i</mi><mo>]</mo>"
            parts.append(_times(_sub(_letter("b"), below), effect))
            spoken += " + " + _spoken(f"b{letter} of its {block.name}", effect)
        sizes = [_name_width(effect) + len(block.name) + 3 for effect in block.effects]
        rows += [("", f"{_PLUS}{line}") for line in _lines(parts, sizes)]
    if fit.design.offset is not None:
        rows.append(("", f"{_PLUS}{_sub(_text('offset'), _letter('i'))}"))
    rows.append(("", f"{_PLUS}{_sub(_letter('ε'), _letter('i'))}"))
    return _wrap(_rows(rows), spoken + " + ε")


def _name_width(name: str) -> int:
    """Return the number of characters of a column's name in an equation; 0 for the intercept."""
    return 0 if name == "(Intercept)" else len(plain_name(name))


def _lines(parts: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """Return sums of terms, broken into lines of about `LINE` characters.

    Parameters
    ----------
    parts : sequence of str
        MathML of each term.
    sizes : sequence of int
        Number of characters of each term's name.
    """
    lines: list[list[str]] = []
    width = LINE
    for part, size in zip(parts, sizes, strict=True):
        width += size + BESIDE
        if width > LINE:
            lines.append([])
            width = size + BESIDE
        lines[-1].append(part)
    return [_sum(line) for line in lines]


def _sum(parts: Sequence[str]) -> str:
    return "<mo>+</mo>".join(parts)


def _times(coefficient: str, name: str) -> str:
    if name == "(Intercept)":
        return coefficient
    return f"{coefficient}<mo>&#x2062;</mo>{_sub(_text(name), _letter('i'))}"


def _spoken(coefficient: str, name: str) -> str:
    return coefficient if name == "(Intercept)" else f"{coefficient} times {plain_name(name)}"


def covariance_math(results: Fitted, block: int) -> str:
    """Return the distribution of the effects of a factor, with the estimated covariance; "" if it is too large."""
    fit = fit_of(results)
    own = fit.design.blocks[block]
    if own.k > MOST_EFFECTS:
        return ""
    if own.k == 1:
        left = _sub(_letter("b"), f"<mn>0</mn><mo>,</mo>{_text(own.name)}")
        variance = float(fit.omega[block][0, 0])
        law = _number(variance) + _own_relationship(own)
        body = f"<mrow>{left}<mo>∼</mo><mi>N</mi><mo>(</mo><mn>0</mn><mo>,</mo>{law}<mo>)</mo></mrow>"
        times = "" if own.known is None else " times its element of A"
        return _wrap(body, f"b0 of {own.name} is normal with mean 0 and variance {number(variance)}{times}")
    vector = _matrix([[_sub(_letter("b"), f"<mn>{j}</mn><mo>,</mo>{_text(own.name)}")] for j in range(own.k)])
    omega = _matrix([[_number(float(v)) for v in row] for row in _without_rounding_errors(fit.omega[block])])
    law = omega + _own_relationship(own)
    body = f"<mrow>{vector}<mo>∼</mo><mi>N</mi><mo>(</mo><mn>0</mn><mo>,</mo>{law}<mo>)</mo></mrow>"
    numbers = "; ".join(
        " ".join(number(float(v)) for v in row) for row in _without_rounding_errors(fit.omega[block])
    )
    names = " and ".join(f"b{j}" for j in range(own.k))
    times = "" if own.known is None else " times the level's element of A"
    return _wrap(
        body, f"{names} of {own.name} are normal with mean 0 and the covariance matrix {numbers}{times}"
    )


def statement_math(statement: str) -> str:
    """Return a statement such as ``τ[(Intercept) | Tray] ~ half-t(3, 4.1)`` as MathML, with names as subscripts.

    Examples
    --------
    >>> "<msub><mi>β</mi>" in statement_math("β[x] ~ N(0, 2²)"), "<mo>∼</mo>" in statement_math("σ ~ half-t(3, 1)")
    (True, True)
    """
    parts = []
    for piece in re.split(r"(\w[²]?\[[^\]]*\](?!⁻)| ~ | ∝ | = )", statement):
        subscript = re.fullmatch(r"(\w[²]?)\[(.*)\]", piece)
        if subscript:
            below = "".join(f"<mrow>{_text(subscript[2])}</mrow>")
            parts.append(f"<msub>{_letter(subscript[1])}{below}</msub>")
        elif piece in (" ~ ", " ∝ ", " = "):
            parts.append(f"<mo>{piece.strip().replace('~', '∼')}</mo>")
        elif len(piece) == 1:
            parts.append(_letter(piece))
        elif piece:
            parts.append(f"<mtext>{html.escape(piece)}</mtext>")
    return _wrap(f"<mrow>{''.join(parts)}</mrow>", statement)


def _own_relationship(block: RandomBlock) -> str:
    """Return A_jj, by which the covariance of a level's effects is multiplied where levels are related."""
    if block.known is None:
        return ""
    return f"<mo>&#x2062;</mo>{_sub(_letter('A'), '<mi>j</mi><mi>j</mi>')}"


def _without_rounding_errors(omega: Array) -> Array:
    """Return a covariance with elements that are rounding errors set to 0."""
    scale = np.sqrt(np.outer(np.diag(omega), np.diag(omega)))
    return np.where(np.abs(omega) < 1e-12 * scale, 0.0, omega)


def _matrix(rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<mtr>{''.join(f'<mtd>{cell}</mtd>' for cell in row)}</mtr>" for row in rows)
    return f'<mtable class="brackets">{cells}</mtable>'


def residual_math(results: Fitted) -> str:
    """Return the distribution of a residual; with a residual structure that of all, with R its covariance over σ²."""
    fit = fit_of(results)
    if fit.residual is not None:
        variance = f"{_number(fit.sigma**2)}<mi>R</mi>"
        spoken = (
            f"ε is normal with mean 0 and covariance {number(fit.sigma**2)} times R, the residual structure"
        )
        return _wrap(
            f"<mrow>{_letter('ε')}<mo>∼</mo><mi>N</mi><mo>(</mo><mn>0</mn><mo>,</mo>{variance}<mo>)</mo></mrow>",
            spoken,
        )
    left = _sub(_letter("ε"), _letter("i"))
    variance = _number(fit.sigma**2)
    spoken = f"ε is normal with mean 0 and variance {number(fit.sigma**2)}"
    if fit.design.weights is not None:
        variance += f"<mo>/</mo>{_sub(_text('weight'), _letter('i'))}"
        spoken += " over the row's weight"
    return _wrap(
        f"<mrow>{left}<mo>∼</mo><mi>N</mi><mo>(</mo><mn>0</mn><mo>,</mo>{variance}<mo>)</mo></mrow>", spoken
    )
