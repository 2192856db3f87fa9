"""Keys of a mapping of priors: the keys of a model, equivalent spellings, and errors for unknown keys."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.design import Design, RandomBlock

__all__ = [
    "CENTRED",
    "check_known",
    "check_scopes",
    "known_keys",
    "plain_key",
    "term_keys",
    "with_known_keys",
]


CENTRED = "centred (Intercept)"
"""Key of the prior of the mean response at the means of the predictors, also spelt "centered"."""


def plain_key(key: str) -> str:
    """Return a term without the spaces and brackets around it."""
    text = key.strip()
    if text == "centered (Intercept)":
        return CENTRED
    if "|" not in text:
        return text
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return "|".join(part.strip() for part in text.split("|"))


def term_keys(design: Design, block: RandomBlock) -> list[str]:
    """Return the key of the formula's term for each part of a block's structure."""
    columns = set(block.name.split(":"))
    terms = [
        t for t in design.formula.random if set(t.group.columns) == columns or t.group.name == block.name
    ]
    return [plain_key(str(term)) for term in terms for _ in range(term.n_structures)]


def check_scopes(design: Design, block: RandomBlock, priors: Mapping[str, Any]) -> None:
    """Raise if two keys of the priors stand for the same effects of a block: its factor, a term, or a single SD."""
    scopes: dict[str, set[int]] = {block.name: set(range(block.k))}
    for key, (_, _, here) in zip(term_keys(design, block), block.structure.slices(), strict=True):
        scopes.setdefault(key, set()).update(range(block.k)[here])
    scopes |= {f"sd_{effect}|{block.name}": {i} for i, effect in enumerate(block.effects)}
    given: dict[frozenset[int], str] = {}
    for key, effects in scopes.items():
        if key in priors:
            other = given.setdefault(frozenset(effects), key)
            if other != key:
                raise ModelError(
                    f"{_as_term(other)!r} and {_as_term(key)!r} are the same in this model; give one prior."
                )


def _as_term(key: str) -> str:
    """Return a key with the brackets and spaces of a term, if it is one."""
    head, bar, group = key.partition("|")
    if not bar or key.startswith("sd_"):
        return key
    return f"({head} {'||' if group.startswith('|') else '|'} {group.lstrip('|')})"


def known_keys(design: Design, names: list[str]) -> list[str]:
    """Return all keys of a design: fixed effects, grouping factors, terms, standard deviations and σ."""
    centred = [CENTRED] if "(Intercept)" in names else []
    keys = ["fixed", "sigma", *names, *centred, *(block.name for block in design.blocks)]
    keys += [plain_key(str(term)) for term in design.formula.random]
    keys += [f"sd_{effect}|{block.name}" for block in design.blocks for effect in block.effects]
    return list(dict.fromkeys(keys))


def with_known_keys(priors: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """Return priors by the keys of the model.

    ``(1 + Days | Subject)`` becomes ``(Days | Subject)``, ``b:a`` becomes ``a:b``, and ``I(day-22)`` becomes
    ``I(day - 22)``, if that is the model's key.

    Raises
    ------
    ModelError
        If two keys are equivalent.
    """
    equivalent: dict[Hashable, list[str]] = {}
    for key in known:
        equivalent.setdefault(_canonical(key), []).append(key)
    out: dict[str, Any] = {}
    user_keys: dict[str, str] = {}
    for key, prior in priors.items():
        plain = plain_key(key)
        matches = equivalent.get(_canonical(plain), [])
        name = plain if plain in known or len(matches) != 1 else matches[0]
        if name in out:
            raise ModelError(f"{user_keys[name]!r} and {key!r} are the same; give one prior.")
        out[name], user_keys[name] = prior, key
    return out


def _canonical(key: str) -> Hashable:
    """Return a form of a key in which order and spaces do not count and the implied intercept is explicit."""
    key = re.sub(r"\s*([^\w\s])\s*", r"\1", key)
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


def check_known(known: list[str], dropped: list[str], unknown: set[str]) -> None:
    """Raise if there are keys of no parameter of the model."""
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
            "mf.priors.LKJ(2) or mf.priors.HuangWand(scale), by the name of its grouping factor or term."
        )
    special = (
        "nu, nu|group with StudentT('estimate'); sigma0, nu0 in place of sigma with sigma='by:g'; phi, ratio with a "
        "residual structure"
    )
    raise ModelError(
        f"a prior is given for {key!r}, which is not in the model (known: {', '.join(known)}; {special}). "
        f"{nearest(key, known)}".rstrip()
    )
