"""Keys of a mapping of priors, and their synonyms."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.design import Design, RandomBlock

__all__ = ["known_keys", "plain_key", "refuse_unknown", "term_keys", "with_known_keys"]


def plain_key(key: str) -> str:
    """Return a term without the spaces and brackets around it."""
    text = key.strip()
    if "|" not in text:
        return text
    if text.startswith(("sd_", "cor_")):
        return "|".join(part.strip() for part in text.split("|"))
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return "|".join(part.strip() for part in text.split("|"))


def term_keys(design: Design, block: RandomBlock) -> list[str]:
    """Return the key of the term behind each part of a block's structure."""
    columns = set(block.name.split(":"))
    terms = [
        t for t in design.formula.random if set(t.group.columns) == columns or t.group.name == block.name
    ]
    return [plain_key(str(term)) for term in terms for _ in term.parts]


def known_keys(design: Design, names: list[str]) -> list[str]:
    """Return the keys that a design's priors can have: of fixed effects, factors, terms, SDs and σ."""
    keys = ["fixed", "sigma", *names, *(block.name for block in design.blocks)]
    keys += [plain_key(str(term)) for term in design.formula.random]
    keys += [f"sd_{effect}|{block.name}" for block in design.blocks for effect in block.effects]
    return list(dict.fromkeys(keys))


def with_known_keys(given: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """Return priors by the keys of the model: ``(1 + Days | Subject)`` for ``(Days | Subject)``, ``b:a`` for ``a:b``.

    Raises
    ------
    ModelError
        If two keys mean the same.
    """
    same: dict[Hashable, list[str]] = {}
    for key in known:
        same.setdefault(_meaning(key), []).append(key)
    out: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, prior in given.items():
        plain = plain_key(key)
        meant = same.get(_meaning(plain), [])
        name = plain if plain in known or len(meant) != 1 else meant[0]
        if name in out:
            raise ModelError(f"{written[name]!r} and {key!r} are the same; give one prior.")
        out[name], written[name] = prior, key
    return out


def _meaning(key: str) -> Hashable:
    """Return the normalised form of a key: parts in order, with an explicit intercept."""
    head, bar, group = key.partition("|")
    if not bar:
        return frozenset(part.strip() for part in key.split(":")) if ":" in key else key
    double, group = group.startswith("|"), group.lstrip("|").strip()
    columns = frozenset(part.strip() for part in group.split(":"))
    if head.startswith(("sd_", "cor_")):
        return head.strip(), columns
    parts = {part.strip() for part in re.sub(r"-\s*1(?![\w.])", "+ 0", head).split("+")} - {""}
    if "0" not in parts:
        parts.add("1")
    return double, frozenset(parts), columns


def refuse_unknown(design: Design, known: list[str], dropped: list[str], unknown: set[str]) -> None:
    """Refuse keys that are about nothing in the model."""
    if not unknown:
        return
    key = sorted(unknown)[0]
    if key in dropped:
        raise ModelError(
            f"a prior is given for {key!r}, whose column was dropped, since the others determine it: it has no "
            "coefficient."
        )
    if key.startswith("cor_"):
        raise ModelError(
            f"a prior is given for {key!r}; a correlation has none of its own. The covariance matrix has, such as "
            "mf.priors.HuangWand(scale), by the name of its grouping factor or term."
        )
    special = "nu, nu|group with StudentT('estimate'); sigma0, nu0 in place of sigma with sigma='by:g'"
    raise ModelError(
        f"a prior is given for {key!r}, which is not in the model (known: {', '.join(known)}; {special}). "
        f"{nearest(key, known)}".rstrip()
    )
