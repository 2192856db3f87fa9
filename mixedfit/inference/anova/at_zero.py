"""Terms that F tests of type II and III take at the value 0 of a number.

A factor f and a number x with an interaction f:x have an effect of f for each value of x. SAS's containment, which the
hypotheses follow, does not count f as a part of f:x, so f is tested where x is 0 (SAS/STAT, The Four Types of Estimable
Functions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixedfit.core.format import join_words
from mixedfit.core.names import plain_name
from mixedfit.design.recipe import FixedTerm, Recipe, Variable

__all__ = ["at_zero", "at_zero_notes"]


def at_zero(recipe: Recipe, terms: Sequence[FixedTerm]) -> dict[str, tuple[str, ...]]:
    """Return the terms tested where a number is 0 although this is not its middle, each with these numbers.

    Numbers count if they have two values, of which 0 is not the middle, or if 0 is outside of their values. Expressions
    such as ``scale(x)`` do not count.
    """
    found = {term.name: tuple(_numbers_at_zero(recipe, terms, term)) for term in terms}
    return {name: numbers for name, numbers in found.items() if numbers}


def _numbers_at_zero(recipe: Recipe, terms: Sequence[FixedTerm], term: FixedTerm) -> list[str]:
    own = set(term.factors)
    if not own:  # a factor stored as codes, which has no interactions
        return []
    larger = [other for other in terms if own < set(other.factors)]
    numeric = {n for other in larger for product in other.products for n in product.numbers}
    rest = [factor for other in larger for factor in other.factors if factor not in own and factor in numeric]
    names = [name for name in dict.fromkeys(map(plain_name, rest)) if name in recipe.variables]
    return [name for name in names if _is_odd(recipe.variables[name])]


def _is_odd(variable: Variable) -> bool:
    """Return whether 0 is no sensible value to hold a number at."""
    if variable.kind != "number":
        return False
    if variable.two_valued:
        return abs(variable.low + variable.high) > 1e-8 * max(abs(variable.low), abs(variable.high))
    return not variable.low <= 0.0 <= variable.high


def at_zero_notes(recipe: Recipe, held: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a note for each number at whose value 0 terms are tested, with what to do."""
    notes = []
    for name in dict.fromkeys(name for names in held.values() for name in names):
        own = [plain_name(term) for term, names in held.items() if name in names]
        variable = recipe.variables[name]
        low, high = f"{variable.low:.6g}", f"{variable.high:.6g}"
        tested = f"{join_words(own)}: tested at {name} = 0"
        if variable.two_valued:
            where = (
                ""
                if 0.0 in (variable.low, variable.high)
                else f", which is not one of its values {low} and {high}"
            )
            one = "is a simple effect" if len(own) == 1 else "are simple effects"
            notes.append(
                f"{tested}{where}, since {name} is a number in an interaction. {'This' if len(own) == 1 else 'These'} "
                f"{one}, not averaged over both values. For main effects write C({name}) in the formula, or code the "
                "column as -0.5 and 0.5."
            )
        else:
            notes.append(
                f"{tested}, outside of its values ({low} to {high}), since {name} is in an interaction. Centre it, "
                f"as in data[{name!r}] - data[{name!r}].mean(), to test at its mean."
            )
    return notes
