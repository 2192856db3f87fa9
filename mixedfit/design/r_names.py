"""R's names of the columns of a model matrix, from formulaic's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from formulaic.transforms.contrasts import HelmertContrasts, SumContrasts

from mixedfit.formula.r_syntax import unquoted

__all__ = ["r_names"]

NUMBERED = (SumContrasts, HelmertContrasts)
"""Contrasts whose columns R numbers, since none stands for a level: ``C(f, contr.sum)1``."""

_LEVEL = re.compile(r"\[(?:[TSHD]\.)?([^\]]*)\]$")


def r_names(spec: Any, others: Iterable[Any] = ()) -> tuple[str, ...]:
    """Return the names of the columns of formulaic's model specification as R writes them.

    ``(Intercept)``, ``GenotypeB`` for ``Genotype[T.B]``, ``C(f, contr.sum)1`` for ``C(f, contr.sum)[S.a]``. `others`
    are the specifications of the other parts of the formula: a factor that two parts share is recorded once.
    """
    known: dict[str, str] = {}
    for part in (*others, spec):
        known |= _coded(part)
    return tuple(_r_name(str(name), known) for name in spec.column_names)


def _coded(spec: Any) -> dict[str, str]:
    """Return R's name of every column that codes a factor."""
    out = {}
    for expression, (_, state) in spec.encoder_state.items():
        if "contrasts" not in state:
            continue
        contrasts, levels = state["contrasts"].contrasts, list(state["categories"])
        for reduced in (False, True):
            form = contrasts.get_factor_format(levels, reduced_rank=reduced)
            fields = contrasts.get_coding_column_names(levels, reduced_rank=reduced)
            for number, field in enumerate(fields, start=1):
                own = number if reduced and isinstance(contrasts, NUMBERED) else field
                out[form.format(name=expression, field=field)] = f"{expression}{own}"
    return out


def _r_name(name: str, known: dict[str, str]) -> str:
    if name == "Intercept":
        return "(Intercept)"
    parts, rest = [], name
    while rest:
        cuts = [len(rest), *(i for i in range(len(rest) - 1, 0, -1) if rest[i] == ":")]
        cut = next((c for c in cuts if rest[:c] in known), None)
        if cut is None:
            cut = next((c for c in reversed(cuts) if _is_closed(rest[:c])), len(rest))
            parts.append(_LEVEL.sub(r"\1", rest[:cut]))
        else:
            parts.append(known[rest[:cut]])
        rest = rest[cut + 1 :]
    return unquoted(":".join(parts))


def _is_closed(text: str) -> bool:
    """Return whether a text closes the brackets that it opens."""
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]"))
