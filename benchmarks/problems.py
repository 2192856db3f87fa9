"""The models that are timed, and where their data come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["PROBLEMS", "STARTUPS", "Problem", "locate"]

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
SHARED = HERE.parent.parent / "shared" / "data"
MADE = HERE / ".envs" / "data"

SEED = 20260
"""Seed of the simulated data."""


@dataclass(frozen=True)
class Problem:
    """A model on data.

    Attributes
    ----------
    name : str
    formula : str
        As lme4 reads it.
    fixed : str
        Its fixed part, for programs that take the random part apart.
    terms : tuple of (str, str)
        Its random terms: effects and grouping factor.
    reml : bool
        REML, or maximum likelihood.
    factors : tuple of str
        Columns that hold labels, used or not.
    source : str or callable
        File name of the data, or a function that simulates them.
    spelled : str
        The formula with interactions as columns of the data, for parsers that know none.
    small : bool
        Whether a fit is so short that it is timed in more rounds.
    """

    name: str
    formula: str
    fixed: str
    terms: tuple[tuple[str, str], ...]
    reml: bool
    factors: tuple[str, ...]
    source: str | Callable[[], pd.DataFrame]
    spelled: str = ""
    small: bool = False

    @property
    def criterion(self) -> str:
        """What is minimised."""
        return "REML" if self.reml else "ML"

    def request(self, path: Path) -> dict[str, Any]:
        """Return what a worker is told of the problem."""
        told = {key: value for key, value in asdict(self).items() if key != "source"}
        return {**told, "path": str(path)}


def slopes(rows: int, groups: int) -> Callable[[], pd.DataFrame]:
    """Return a simulator of y = 1 + x/2 + b0 + b1 x + e in groups of unequal size, rows in random order.

    SD of b0 1, of b1 0.5, correlation 0.3; SD of e 1.
    """

    def simulate() -> pd.DataFrame:
        rng = np.random.default_rng([SEED, rows, groups])
        g = rng.integers(groups, size=rows)
        x = rng.standard_normal(rows)
        first, second = rng.standard_normal((2, groups))
        slope = 0.5 * (0.3 * first + np.sqrt(1 - 0.3**2) * second)
        y = 1 + 0.5 * x + first[g] + slope[g] * x + rng.standard_normal(rows)
        return pd.DataFrame({"y": y.round(6), "x": x.round(6), "g": g + 1})

    return simulate


def crossed(rows: int, a_levels: int, b_levels: int) -> Callable[[], pd.DataFrame]:
    """Return a simulator of y = 1 + x/2 + a + b + e, levels of a and b drawn independently for each row.

    SD of a 1, of b 0.5, of e 1.
    """

    def simulate() -> pd.DataFrame:
        rng = np.random.default_rng([SEED, rows, a_levels, b_levels])
        a, b = rng.integers(a_levels, size=rows), rng.integers(b_levels, size=rows)
        x = rng.standard_normal(rows)
        effects = rng.standard_normal(a_levels)[a] + 0.5 * rng.standard_normal(b_levels)[b]
        y = 1 + 0.5 * x + effects + rng.standard_normal(rows)
        return pd.DataFrame({"y": y.round(6), "x": x.round(6), "a": a + 1, "b": b + 1})

    return simulate


def slope_problem(name: str, rows: int, groups: int) -> Problem:
    """Return the problem of a random intercept and slope on simulated data."""
    return Problem(
        name, "y ~ x + (1 + x | g)", "y ~ x", (("1 + x", "g"),), True, ("g",), slopes(rows, groups)
    )


SLEEPSTUDY = Problem(
    "sleepstudy",
    "Reaction ~ Days + (Days | Subject)",
    "Reaction ~ Days",
    (("1 + Days", "Subject"),),
    True,
    ("Subject",),
    "sleepstudy.csv",
    small=True,
)
PENICILLIN = Problem(
    "penicillin",
    "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "diameter ~ 1",
    (("1", "plate"), ("1", "sample")),
    True,
    ("plate", "sample"),
    "Penicillin.csv",
    small=True,
)
PROBLEMS = {
    problem.name: problem
    for problem in (
        SLEEPSTUDY,
        PENICILLIN,
        Problem(
            "pastes",
            "strength ~ 1 + (1 | batch/cask)",
            "strength ~ 1",
            (("1", "batch"), ("1", "batch:cask")),
            True,
            ("batch", "cask", "sample"),
            "Pastes.csv",
            small=True,
        ),
        Problem(
            "machines",
            "score ~ Machine + (0 + Machine | Worker)",
            "score ~ Machine",
            (("0 + Machine", "Worker"),),
            True,
            ("Machine", "Worker"),
            "Machines.csv",
            small=True,
        ),
        Problem(
            "kb07",
            "RTtrunc ~ S*P*C + (S + P + C | subj) + (S + P + C | item)",
            "RTtrunc ~ S*P*C",
            (("1 + S + P + C", "subj"), ("1 + S + P + C", "item")),
            False,
            ("subj", "item"),
            "kb07.csv",
            spelled="RTtrunc ~ S + P + C + SP + SC + PC + SPC + (S + P + C | subj) + (S + P + C | item)",
        ),
        Problem(
            "insteval",
            "y ~ service + (1 | s) + (1 | d) + (1 | dept)",
            "y ~ service",
            (("1", "s"), ("1", "d"), ("1", "dept")),
            False,
            ("s", "d", "dept", "service"),
            "InstEval.csv.gz",
        ),
        slope_problem("slopes-1e4", 10_000, 1_000),
        slope_problem("slopes-1e5", 100_000, 10_000),
        slope_problem("slopes-1e6", 1_000_000, 50_000),
        slope_problem("slopes-1e6-many", 1_000_000, 100_000),
        Problem(
            "crossed",
            "y ~ x + (1 | a) + (1 | b)",
            "y ~ x",
            (("1", "a"), ("1", "b")),
            False,
            ("a", "b"),
            crossed(200_000, 20_000, 2_000),
        ),
    )
}

STARTUPS = {"startup": SLEEPSTUDY, "startup-crossed": PENICILLIN}
"""Problems on which a program is timed from the start of its process to its first fit."""


def locate(problem: Problem) -> Path | str:
    """Return the file of the problem's data, simulated if need be, or the reason why there is none."""
    if isinstance(problem.source, str):
        for folder in (DATA, SHARED):
            if (folder / problem.source).is_file():
                return folder / problem.source
        return f"the data file {problem.source} is not there"
    path = MADE / f"{problem.name}-{SEED}.csv"
    if not path.is_file():
        MADE.mkdir(parents=True, exist_ok=True)
        problem.source().to_csv(path, index=False)
    return path
