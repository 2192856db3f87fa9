"""The printout of a bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..rformat import format_by_error, text_columns

if TYPE_CHECKING:
    import pandas as pd

    from .bootstrap_record import Bootstrap

__all__ = ["describe"]

TITLES = {
    "parametric": "Parametric bootstrap",
    "residual": "Residual bootstrap",
    "cases": "Bootstrap of whole groups",
}

MOST_ROWS = 40
"""Parameters printed at most."""


def describe(outcome: Bootstrap) -> str:
    """Return the table of a bootstrap with what its reader must know: singular, failed, Monte-Carlo error."""
    fit = outcome.jackknife.fit
    title = (
        f"{TITLES[outcome.type]} of {fit.design.formula.source}\n{outcome.n} replicate{'s' * (outcome.n != 1)} "
        f"refitted by {'REML' if fit.reml else 'ML'}; 95% percentile intervals (others: conf_int(level, kind))"
    )
    return "\n".join([title, "", *_rows(outcome), "", *_notes(outcome)])


def _rows(outcome: Bootstrap) -> list[str]:
    table = outcome.summary_table()
    shown = table.head(MOST_ROWS)
    meanings = shown.pop("meaning")
    lines = text_columns(["", *shown.columns], [[str(name) for name in shown.index], *_cells(shown)], left=1)
    fixed = meanings.str.startswith("fixed effect ").tolist()
    words = ["" if known else word for known, word in zip(fixed, meanings, strict=True)]
    width = max(map(len, lines))
    out = [
        lines[0],
        *(f"{line.ljust(width)}  {word}".rstrip() for line, word in zip(lines[1:], words, strict=True)),
    ]
    if len(table) > MOST_ROWS:
        out.append(f"… and {len(table) - MOST_ROWS} more in .table")
    return out


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [format_by_error(column.tolist(), table["std_error"], "") for _, column in table.items()]


def _notes(outcome: Bootstrap) -> list[str]:
    notes = []
    if outcome.n < outcome.requested:
        notes.append(f"Stopped after {outcome.n} of {outcome.requested} replicates.")
    singular, failed = int(outcome.singular.sum()), int(outcome.failed.sum())
    if outcome.jackknife.fit.design.blocks:
        what = "singular (a variance of 0 or a correlation of ±1)"
        notes.append(
            f"{_share(singular, outcome.n)} {what}. That is an outcome like others: they count."
            if singular
            else f"No replicate is {what}."
        )
    undefined = outcome.replicates[~outcome.failed].isna().sum()
    for name, count in undefined.items():
        if 0 < count < outcome.n - failed:
            notes.append(f"{name} is not defined in {count} of them and is summarised over the others.")
    if failed:
        why = "; ".join(f"{count} × {reason}" for reason, count in outcome.reasons.items())
        notes.append(
            f"{_share(failed, outcome.n)} failed and left out ({why}). The others are not a random sample: "
            "intervals may be too short."
        )
    else:
        notes.append("No replicate failed.")
    return [*notes, *_precision(outcome)]


def _precision(outcome: Bootstrap) -> list[str]:
    if too_few := outcome.too_few_for(0.95):
        return [too_few]
    table = outcome.table
    relative = np.asarray(table["mc_error"] / table["std_error"], dtype=float)
    known = relative[np.isfinite(relative)]
    if known.size == 0:
        return []
    return [
        f"Monte-Carlo error of the intervals' ends (mc_error): up to {100 * known.max():.0f}% of a standard error; "
        "four times the replicates halve it."
    ]


def _share(count: int, n: int) -> str:
    return f"{count} of {n} replicates {'is' if count == 1 else 'are'}"
