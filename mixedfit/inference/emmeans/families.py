"""Families of contrasts of means: their names and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest

from .multiplicity import Adjust

__all__ = [
    "Interaction",
    "Method",
    "contrast_weights",
    "default_adjustment",
    "interaction_weights",
    "is_all_pairs",
]

Method: TypeAlias = (
    Literal[
        "pairwise",
        "revpairwise",
        "trt.vs.ctrl",
        "trt.vs.ctrl1",
        "trt.vs.ctrlk",
        "consec",
        "mean_chg",
        "eff",
        "del.eff",
        "poly",
        "identity",
        "tukey",
        "dunnett",
    ]
    | Mapping[str, Sequence[float] | Mapping[Any, float]]
)
"""Name of a family of contrasts, or weights by name."""

Interaction: TypeAlias = bool | str | Sequence[str] | Mapping[str, str]
"""Families whose products are taken, one for each variable of the specs; True: pairs of each."""

_DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")

_Made: TypeAlias = tuple[list[str], Array]


def _differences(labels: Sequence[str], pairs: Sequence[tuple[int, int]]) -> _Made:
    unit = np.eye(len(labels))
    return [f"{labels[i]} - {labels[j]}" for i, j in pairs], np.array([unit[i] - unit[j] for i, j in pairs])


def _pairwise(labels: Sequence[str], reverse: bool) -> _Made:
    k = len(labels)
    if reverse:
        return _differences(labels, [(j, i) for j in range(k) for i in range(j)])
    return _differences(labels, [(i, j) for i in range(k) for j in range(i + 1, k)])


def _consecutive(labels: Sequence[str], reverse: bool) -> _Made:
    steps = range(len(labels) - 1)
    return _differences(labels, [(i, i + 1) if reverse else (i + 1, i) for i in steps])


def _mean_changes(labels: Sequence[str], reverse: bool) -> _Made:
    k, sign = len(labels), -1.0 if reverse else 1.0
    rows = [np.repeat([-sign / i, sign / (k - i)], [i, k - i]) for i in range(1, k)]
    return [f"{labels[i - 1]}|{labels[i]}" for i in range(1, k)], np.array(rows)


def _effects(labels: Sequence[str], reverse: bool) -> _Made:
    k = len(labels)
    weights = np.eye(k) - 1.0 / k
    return [f"{label} effect" for label in labels], -weights if reverse else weights


def _deleted_effects(labels: Sequence[str], reverse: bool) -> _Made:
    names, weights = _effects(labels, reverse)
    return names, weights * len(labels) / (len(labels) - 1.0)


def _polynomial(labels: Sequence[str], reverse: bool) -> _Made:
    k = len(labels)
    weights = polynomials(k)[:6]
    return list(_DEGREES[: k - 1]), -weights if reverse else weights


def _identity(labels: Sequence[str], reverse: bool) -> _Made:
    return list(labels), -np.eye(len(labels)) if reverse else np.eye(len(labels))


@dataclass(frozen=True, slots=True)
class _Family:
    """A family: how it is made of labels, and the default adjustment."""

    adjust: Adjust
    made: Callable[[Sequence[str], bool], _Made] | None = None


_FAMILIES: dict[str, _Family] = {
    "pairwise": _Family("tukey", _pairwise),
    "revpairwise": _Family("tukey", lambda labels, reverse: _pairwise(labels, not reverse)),
    "trt.vs.ctrl": _Family("dunnett"),
    "trt.vs.ctrl1": _Family("dunnett"),
    "trt.vs.ctrlk": _Family("dunnett"),
    "consec": _Family("mvt", _consecutive),
    "mean_chg": _Family("mvt", _mean_changes),
    "eff": _Family("fdr", _effects),
    "del.eff": _Family("fdr", _deleted_effects),
    "poly": _Family("none", _polynomial),
    "identity": _Family("none", _identity),
    "tukey": _Family("tukey", _pairwise),
    "dunnett": _Family("dunnett"),
}

_CONTROL = ("trt.vs.ctrl", "trt.vs.ctrl1", "trt.vs.ctrlk", "dunnett")

_PAIRS = ("pairwise", "revpairwise", "tukey")


def default_adjustment(method: Any) -> Adjust:
    """Return the adjustment of a family if none is chosen: R's, with Dunnett's exact distribution."""
    return _FAMILIES[method].adjust if isinstance(method, str) and method in _FAMILIES else "none"


def is_all_pairs(method: Any) -> bool:
    """Return whether a family has all pairs of means."""
    return isinstance(method, str) and method in _PAIRS


def contrast_weights(
    method: Any, labels: Sequence[str], *, reverse: bool = False, ref: Any = None
) -> tuple[list[str], Array]:
    """Return names of the contrasts, and their weights, shape (contrasts, means).

    Raises
    ------
    ModelError
        If the method or the reference is unknown, there is only one mean, or the number of weights is wrong.
    """
    if isinstance(method, Mapping):
        return _custom(method, labels)
    if not isinstance(method, str) or method not in _FAMILIES:
        raise ModelError(
            f"method={method!r} is not known; expected one of {', '.join(map(repr, _FAMILIES))}, or a mapping "
            f"of names to weights such as {{'first': {_example(labels)}}}. {nearest(str(method), _FAMILIES)}".rstrip()
        )
    if ref is not None and method not in _CONTROL:
        raise ModelError(
            f"ref={ref!r} is the mean that others are compared with; use it with method='trt.vs.ctrl'."
        )
    if len(labels) < 2 and method != "identity":
        raise ModelError(f"there is one mean ({labels[0]}); contrasts need at least two.")
    if method in _CONTROL:
        return _against(labels, _controls(labels, ref, last=reverse != (method == "trt.vs.ctrlk")))
    made = _FAMILIES[method].made
    assert made is not None
    return made(labels, reverse)


def _example(labels: Sequence[str]) -> list[int]:
    """Return the weights of the first mean less the last."""
    return [1, *[0] * (len(labels) - 2), -1][-len(labels) :]


def _controls(labels: Sequence[str], ref: Any, *, last: bool) -> list[int]:
    """Return the positions of the control, or of several controls."""
    if ref is None:
        return [len(labels) - 1 if last else 0]
    known = [str(label) for label in labels]
    wanted = [ref] if isinstance(ref, str) or np.ndim(ref) == 0 else list(ref)
    texts = [_label(value) for value in wanted]
    for text in texts:
        if text not in known:
            raise ModelError(
                f"ref={text!r} is not one of the means ({', '.join(known)}). {nearest(text, known)}".rstrip()
            )
    return sorted({known.index(text) for text in texts})


def _against(labels: Sequence[str], controls: list[int]) -> _Made:
    """Return the differences of all other means from the mean of the controls."""
    if len(controls) == 1:
        return _differences(labels, [(i, controls[0]) for i in range(len(labels)) if i != controls[0]])
    control = np.zeros(len(labels))
    control[controls] = 1.0 / len(controls)
    name = f"avg({', '.join(labels[i] for i in controls)})"
    others = [i for i in range(len(labels)) if i not in controls]
    if not others:
        raise ModelError("ref names all means; leave at least one to compare with them.")
    return [f"{labels[i]} - {name}" for i in others], np.array(
        [np.eye(len(labels))[i] - control for i in others]
    )


def _label(value: Any) -> str:
    """Return a level as the means are labelled."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _custom(method: Mapping[str, Any], labels: Sequence[str]) -> _Made:
    return [str(name) for name in method], np.array([_weights(n, w, labels) for n, w in method.items()])


def _weights(name: str, weights: Any, labels: Sequence[str]) -> Array:
    """Return the weights of one contrast, given in the order of the means or by their labels."""
    if isinstance(weights, Mapping):
        for label in weights:
            if _label(label) not in labels:
                raise ModelError(
                    f"contrast {name!r} has a weight for {_label(label)!r}, which is not one of the means "
                    f"({', '.join(labels)}). {nearest(_label(label), labels)}".rstrip()
                )
        given = {_label(label): weight for label, weight in weights.items()}
        weights = [given.get(label, 0.0) for label in labels]
    try:
        row = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        row = np.array(np.nan)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise ModelError(
            f"contrast {name!r} is {weights!r}; expected a number for each mean ({', '.join(labels)}), or a mapping "
            f"of means to numbers such as {{{labels[0]!r}: 1, {labels[-1]!r}: -1}}."
        )
    if len(row) != len(labels):
        raise ModelError(
            f"contrast {name!r} has {len(row)} weights for {len(labels)} means ({', '.join(labels)}); give one for "
            "each, or a mapping of means to weights."
        )
    return row


def interaction_weights(
    interaction: Interaction, names: Sequence[str], labels: Sequence[Sequence[str]], *, reverse: bool = False
) -> _Made:
    """Return products of contrasts of several variables, shape (contrasts, means); the first varies fastest.

    Parameters
    ----------
    interaction : True, str, sequence or mapping
        The family of every variable.
    names : sequence of str
    labels : sequence of sequence of str
        Levels of every variable.
    reverse : bool

    Raises
    ------
    ModelError
        If the families do not fit the variables.
    """
    if interaction is True:
        interaction = "pairwise"
    if isinstance(interaction, Mapping):
        missing = [name for name in names if name not in interaction]
        if missing or len(interaction) != len(names):
            raise ModelError(
                f"interaction names {', '.join(map(repr, interaction))}; expected a family for each of "
                f"{', '.join(names)}."
            )
        methods = [interaction[name] for name in names]
    else:
        methods = [interaction] * len(names) if isinstance(interaction, str) else list(interaction)  # type: ignore[arg-type]
    if len(methods) != len(names):
        raise ModelError(
            f"interaction has {len(methods)} families for {len(names)} variables ({', '.join(names)}); give one for "
            "each, or one for all."
        )
    texts = [""]
    weights: Array = np.ones((1, 1))
    for method, own in zip(methods, labels, strict=True):
        found, part = contrast_weights(method, own, reverse=reverse)
        texts = [f"{text} : {name}" if text else name for name in found for text in texts]
        weights = np.asarray(np.kron(part, weights))
    return texts, weights


def polynomials(k: int) -> Array:
    """Return integer orthogonal polynomials on k equally spaced points, shape (k − 1, k), by ascending degree."""
    x = np.arange(k) - 0.5 * (k - 1)
    basis = np.linalg.qr(np.vander(x, k, increasing=True))[0].T
    out = []
    for row in basis[1:]:
        row = row * np.sign(row[-1])
        positive = row[row > 1e-8]
        scaled = row / positive.min()
        while np.abs(scaled - np.round(scaled)).max() > 0.05:
            scaled = scaled / np.abs(scaled - np.round(scaled)).max()
        out.append(np.round(scaled))
    return np.array(out)
