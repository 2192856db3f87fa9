"""The residual structure of a fit in words, and its parameters as a table."""

from __future__ import annotations

import pandas as pd

from .fit import Fit

__all__ = ["residual_lines", "residual_table"]


def residual_table(fit: Fit) -> pd.DataFrame:
    """Return the natural parameters of the residual structure: columns estimate, lower and upper (their limits)."""
    own = fit.residual
    rows = [] if own is None else own.model.natural(own.x)
    return pd.DataFrame(
        {
            "estimate": [float(p.value) for p in rows],
            "lower": [p.lower for p in rows],
            "upper": [p.upper for p in rows],
        },
        index=pd.Index([p.name for p in rows], name="parameter"),
    )


def residual_lines(fit: Fit) -> list[str]:
    """Return the structure, its formula, its groups and the meaning of σ, a sentence each; empty without one."""
    if fit.residual is None:
        return []
    model = fit.residual.model
    lines = [f"Structure: {model.structure}."]
    lines += [f"{part.strip()}." for part in model.structure.describe().split(";")]
    if model.layout is not None:
        name = model.layout.group_name
        where = f"within {name} ({model.layout.sizes.size} groups)" if name else "between all rows, as one group"
        why = ""
        if model.default_group:
            why = ", the innermost grouping factor" if name else ", since no group was given"
        lines.append(f"Correlated {where}{why}.")
    lines += _baselines(fit)
    return lines


def _baselines(fit: Fit) -> list[str]:
    """Return of which rows sigma is the standard deviation."""
    assert fit.residual is not None
    model = fit.residual.model
    out = []
    for factor, law in zip(model.structure.variances, model.variances, strict=True):
        levels = getattr(law, "levels", None)
        if levels is not None:
            out.append(f"{':'.join(factor.own_columns)} = {levels[0]}")
        else:
            out.append(f"multiplier 1 of {factor}")
    return [f"sigma is the residual SD at {' and '.join(out)}."] if out else []
