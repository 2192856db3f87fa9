"""The models with a residual structure that are timed, and their simulated data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from problems import SEED, Problem

__all__ = ["SCALED", "STRUCTURED", "StructuredProblem", "ar1_rows", "irregular_rows", "trial_rows"]

Array = np.ndarray


@dataclass(frozen=True)
class StructuredProblem(Problem):
    """A model with a residual structure, without random terms, by REML.

    Attributes
    ----------
    spelled_by : mapping of str to str
        The structure as each program spells it: mixedfit's and gls's arguments, or a random term.
    goal : str
        What the time is held to, in words.
    """

    spelled_by: Mapping[str, str] = field(default_factory=dict)
    goal: str = ""


def _autoregressive(phi: Array, groups: Array, rng: np.random.Generator) -> Array:
    """Return residuals with variance 1 and correlation `phi` of each row with the one before in its group."""
    opens = np.concatenate([[True], groups[1:] != groups[:-1]])
    phi = np.where(opens, 0.0, phi)
    out, before = rng.standard_normal(phi.size) * np.sqrt(1.0 - phi**2), 0.0
    for t, value in enumerate(phi):
        before = out[t] = value * before + out[t]
    return out


def ar1_rows(rows: int, size: int = 100) -> pd.DataFrame:
    """Return y = 1 + x/2 + 2e, e autoregressive with φ = 0.6 over times 1, 2, … in groups of `size` rows."""
    rng = np.random.default_rng([SEED, rows, size])
    g = np.repeat(np.arange(rows // size), size)
    x = rng.standard_normal(g.size)
    y = 1 + 0.5 * x + 2 * _autoregressive(np.full(g.size, 0.6), g, rng)
    return pd.DataFrame(
        {"y": y.round(6), "x": x.round(6), "t": np.tile(np.arange(size), rows // size) + 1, "g": g + 1}
    )


def irregular_rows(rows: int, size: int = 20) -> pd.DataFrame:
    """Return the same with correlation exp(−|s − t|/2), uniform times in (0, size), about `size` rows a group."""
    rng = np.random.default_rng([SEED, rows, size, 1])
    g, t = np.sort(rng.integers(rows // size, size=rows)), rng.uniform(0, size, rows).round(6)
    order = np.lexsort([t, g])
    t = t[order]
    keep = np.concatenate([[True], (np.diff(t) != 0) | (np.diff(g) != 0)])
    g, t = g[keep], t[keep]
    phi = np.exp(-0.5 * np.abs(np.diff(t, prepend=0.0)))
    x = rng.standard_normal(t.size)
    y = 1 + 0.5 * x + 2 * _autoregressive(phi, g, rng)
    return pd.DataFrame({"y": y.round(6), "x": x.round(6), "t": t, "g": g + 1})


def trial_rows(subjects: int = 1000, visits: int = 10) -> pd.DataFrame:
    """Return the change from baseline of subjects of two arms and three races at visits of which some are missed.

    As in mmrm's example of visual acuity: 3 % of visits are missed at random, and about a third of the subjects leave
    early. The covariance of visits has growing variances and correlations that fall with time.
    """
    rng = np.random.default_rng([SEED, subjects, visits])
    t = np.arange(visits)
    arm, race = rng.integers(2, size=subjects), rng.integers(3, size=subjects)
    base = rng.normal(75, 10, subjects).round(1)
    sd = np.sqrt(2.0 + 0.4 * t)
    covariance = np.outer(sd, sd) * (
        0.5 * 0.9 ** np.abs(np.subtract.outer(t, t)) + 0.3 + 0.2 * np.eye(visits)
    )
    y = 5 + 0.1 * base[:, None] + 0.5 * t + arm[:, None] * (0.5 + 0.2 * t) + 0.5 * (race == 1)[:, None]
    y = y + rng.multivariate_normal(np.zeros(visits), covariance, size=subjects)
    seen = (rng.random((subjects, visits)) > 0.03) & (t < rng.geometric(0.028, size=subjects)[:, None])
    frame = pd.DataFrame(
        {
            "chg": y.ravel().round(4),
            "base": np.repeat(base, visits),
            "arm": np.repeat(np.array(["CTL", "TRT"])[arm], visits),
            "race": np.repeat(np.array(["A", "B", "W"])[race], visits),
            "visit": np.tile([f"V{v + 1:02d}" for v in t], subjects),
            "id": np.repeat(np.arange(subjects) + 1, visits),
        }
    )
    return frame[seen.ravel()]


def _problem(
    name: str,
    formula: str,
    factors: tuple[str, ...],
    rows: Callable[[], pd.DataFrame],
    goal: str,
    **spelled: str,
) -> StructuredProblem:
    return StructuredProblem(name, formula, formula, (), True, factors, rows, spelled_by=spelled, goal=goal)


STRUCTURED = {
    problem.name: problem
    for problem in (
        _problem(
            "ar1-1e5",
            "y ~ x",
            ("g",),
            lambda: ar1_rows(100_000),
            "20 times gls's speed",
            mixedfit='AR1("t", "g")',
            gls="correlation = corAR1(form = ~ t | g)",
            glmmTMB="ar1(0 + factor(t) | g)",
        ),
        _problem(
            "trial-us",
            "chg ~ base + race + arm * visit",
            ("id", "visit", "arm", "race"),
            trial_rows,
            "mmrm's speed, 5 times glmmTMB's, 40 times gls's",
            mixedfit='Unstructured("visit", "id")',
            gls="correlation = corSymm(form = ~ as.integer(visit) | id), weights = varIdent(form = ~ 1 | visit)",
            glmmTMB="us(0 + visit | id)",
            mmrm="us(visit | id)",
        ),
        _problem(
            "car1-1e6",
            "y ~ x",
            ("g",),
            lambda: irregular_rows(1_000_000),
            "5 seconds",
            mixedfit='CAR1("t", "g")',
            gls="correlation = corCAR1(form = ~ t | g)",
        ),
    )
}

SCALED: dict[str, tuple[str, Callable[[int], pd.DataFrame]]] = {
    "AR1": ('AR1("t", "g")', ar1_rows),
    "CAR1": ('CAR1("t", "g")', irregular_rows),
    "CompoundSymmetry": ('CompoundSymmetry("g")', ar1_rows),
    "VarIdent": ('VarIdent("k")', lambda rows: ar1_rows(rows).assign(k=lambda d: d["t"] % 4)),
}
"""Structures whose cost is measured at growing numbers of rows, with their data."""
