"""Principal components of each factor's random effects: how many directions do they really vary in?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..fit import Fit

__all__ = ["component_table", "loading_table"]


def component_table(fit: Fit) -> pd.DataFrame:
    """Return a row a component of every factor.

    Bates, Kliegl, Vasishth & Baayen (2015), Parsimonious mixed models, section 3; lme4's rePCA, whose ``sdev`` is
    `relative_sd`. The singular values of λ; proportions are those of the squares.
    """
    rows = []
    for block, lam in zip(fit.design.blocks, fit.lam, strict=True):
        values = np.linalg.svd(lam, compute_uv=False)
        squares, total = values**2, float(np.sum(values**2))
        shares = squares / total if total > 0 else np.zeros_like(squares)
        for i, (value, share, sum_) in enumerate(zip(values, shares, np.cumsum(shares), strict=True)):
            name = f"PC{i + 1}"
            rows.append((block.name, name, float(fit.sigma * value), float(value), float(share), float(sum_)))
    columns = ["group", "component", "sd", "relative_sd", "proportion", "cumulative"]
    return pd.DataFrame(rows, columns=columns).set_index(["group", "component"])


def loading_table(fit: Fit) -> pd.DataFrame:
    """Return what one unit of each component is in terms of the effects: rows (group, effect), a column a component.

    The sign of a component is arbitrary; here its largest loading is positive.
    """
    index, rows = [], []
    widest = max((block.k for block in fit.design.blocks), default=0)
    for block, lam in zip(fit.design.blocks, fit.lam, strict=True):
        left = np.linalg.svd(lam)[0]
        largest = left[np.abs(left).argmax(axis=0), np.arange(block.k)]
        left = left * np.where(largest < 0, -1.0, 1.0)
        for effect, row in zip(block.effects, left, strict=True):
            index.append((block.name, effect))
            rows.append([*row, *[np.nan] * (widest - block.k)])
    names = pd.MultiIndex.from_tuples(index, names=["group", "effect"]) if index else None
    return pd.DataFrame(rows, index=names, columns=[f"PC{i + 1}" for i in range(widest)])
