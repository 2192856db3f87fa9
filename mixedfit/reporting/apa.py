"""Numbers and methods as the American Psychological Association writes them (7th edition, sections 6.36 and 6.45)."""

from __future__ import annotations

from mixedfit.core.apa_numbers import by_error, df_text, fixed, p_text

__all__ = ["by_error", "degrees_words", "df_text", "fixed", "p_text"]


def degrees_words(method: str) -> str:
    """Return the method of degrees of freedom as a phrase."""
    if method == "normal":
        return "normal approximation"
    if method == "Satterthwaite":
        return "Satterthwaite's degrees of freedom"
    name, _, rest = method.partition(" (")
    which = f", {rest.removesuffix(')')}" if rest else ""
    return f"{name.replace('-', '–')} degrees of freedom{which}"
