"""Hostile designs, fitted and compared with the dense search: no silent wrong fit, no foreign error, true verdicts.

MIXEDFIT_SWEEP=625 pytest -m slow tests/sweep     # 10,000 designs
export PYTHONPATH=tests:tests/sweep:.
python tests/sweep/test_sweep.py 100 0 plain tiny # cases a family, first seed, families: prints what was found
"""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from dense_search import DenseSearch, Found
from families import FAMILIES, Case
from problems import block_diagonal

from mixedfit import MixedfitError

CASES = int(os.environ.get("MIXEDFIT_SWEEP", "60"))
"""Designs of each family."""

GAP = 1e-5
"""Difference of the criterion that counts: a likelihood ratio of 1 + 5e-6."""

TINY = 1e-5
"""Share of the least-squares residual SD below which σ̂ counts as gone to 0."""

SMALL = 1e-3
"""Share of the least-squares residual SD below which all estimates are compared with exact ones."""

EVERY = 10
"""One in so many of the others is compared too."""

DIGITS = 1e-5
"""Largest error of σ̂ and standard errors relative to themselves, and of fixed effects relative to their errors."""

LOST = 1e-4
"""Share below which a fit may be refused, since the digits of the data do not determine σ."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one design: the verdict of the fit, and what is wrong with it, if anything."""

    status: str
    fault: str | None


def case_of(family: str, seed: int) -> Case:
    """Return a family's design number `seed`."""
    return FAMILIES[family](np.random.default_rng([seed, list(FAMILIES).index(family)]))


def outcome_of(family: str, seed: int) -> Outcome:
    """Fit a design and compare it with the best of the dense search."""
    case = case_of(family, seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = case.problem.fit(**case.options)
    except MixedfitError as error:
        return Outcome("refused", refusal_fault(case, str(error), seed))
    except Exception as error:
        return Outcome("crashed", f"{type(error).__name__}: {error}")
    status = fit.convergence.status
    found = searched(case, seed)
    fault = fit_fault(case, fit, found, status)
    if fault is None and status != "unbounded" and (found.relative_sigma < SMALL or seed % EVERY == 0):
        fault = estimates_fault(case, fit)
    return Outcome(status, fault)


def searched(case: Case, seed: int) -> Found:
    """Return the best of the dense search."""
    search = DenseSearch(case.problem, case.options.get("reml", True), case.options.get("sigma"))
    return search.best(8, np.random.default_rng(seed))


def refusal_fault(case: Case, message: str, seed: int) -> str | None:
    """Return why a refusal is wrong: the residual variance is not gone to 0, or a factor has several levels."""
    if "one level" in message:
        return (
            None if any(len(set(case.problem.codes(t.group))) == 1 for t in case.problem.terms) else message
        )
    if "reproduce" in message or "rounding errors" in message:
        found = searched(case, seed)
        if found.relative_sigma < LOST or unbounded_fault(case) is None:
            return None
        return f"refused, but sigma is {found.relative_sigma:.2g}"
    rows = len(case.problem.dense().rows)
    if "cannot determine" in message and case.problem.X.shape[1] >= rows:
        return None
    if "as many levels as there are rows" in message:
        return (
            None
            if any(len(set(case.problem.codes(t.group))) >= rows for t in case.problem.terms)
            else message
        )
    return message


def fit_fault(case: Case, fit: Any, found: Found, status: str) -> str | None:
    """Return what is wrong with a fit, by exact arithmetic where the floats of the dense search disagree."""
    reml = bool(case.options["reml"])
    value = fit.reml_criterion if reml else fit.deviance
    if status == "failed":
        return f"failed, {value - found.value:+.2g} from the best"
    if status == "unbounded":
        return unbounded_fault(case)
    if value - found.value < GAP and found.relative_sigma > TINY and abs(value - found.value) < 1e-2:
        return None
    exact = case.problem.dense(exact=True)
    options = {"reml": reml, "sigma": case.options.get("sigma")}
    ours = exact.criterion(case.problem.lams(fit.theta.to_numpy()), **options)
    theirs = exact.criterion(by_group(case, found.lams), **options)
    if ours - theirs > GAP and not (found.relative_sigma < 1e-6 and "Residual" in fit.convergence.singular):
        return f"{status}, {ours - theirs:.2g} above the best (sigma {found.relative_sigma:.1g})"
    if abs(ours - value) > 10 * GAP:
        return f"{status}, criterion off by {value - ours:.2g} (sigma {found.relative_sigma:.1g})"
    return None


def estimates_fault(case: Case, fit: Any) -> str | None:
    """Return which estimates differ from those of the dense formulas in exact arithmetic at the θ of the fit."""
    reml, sigma = bool(case.options["reml"]), case.options.get("sigma")
    exact = case.problem.dense(exact=True).at(case.problem.lams(fit.theta.to_numpy()), reml=reml, sigma=sigma)
    errors = np.sqrt(np.diag(exact.beta_covariance))
    for what, ours, theirs, unit in (
        ("sigma", np.array([fit.sigma]), np.array([exact.sigma]), exact.sigma),
        ("a standard error", fit.bse.to_numpy(), errors, errors),
        ("a fixed effect", fit.params.to_numpy(), exact.beta, errors),
    ):
        off = float(np.nanmax(np.abs(ours - theirs) / unit, initial=0.0))
        if off > DIGITS:
            return f"{what} off by {off:.1g}"
    return None


def unbounded_fault(case: Case) -> str | None:
    """Return None if the criterion has no minimum."""
    search = DenseSearch(case.problem, bool(case.options["reml"]))
    return None if search.falls_without_bound() else "unbounded, but the criterion has a minimum"


def by_group(case: Case, lams: list[Any]) -> list[Any]:
    """Return λ of every grouping factor from λ of every term."""
    terms = case.problem.terms
    return [
        block_diagonal([lam for term, lam in zip(terms, lams, strict=True) if term.group == group])
        for group in case.problem.groups()
    ]


def sweep(families: list[str], cases: int, first: int = 0) -> tuple[dict[str, Counter[str]], list[str]]:
    """Return verdicts by family, and all faults."""
    verdicts: dict[str, Counter[str]] = {}
    faults = []
    for family in families:
        counts = verdicts[family] = Counter()
        for seed in range(first, first + cases):
            outcome = outcome_of(family, seed)
            counts[outcome.status] += 1
            if outcome.fault is not None:
                faults.append(f"{family} {seed}: {outcome.fault}")
    return verdicts, faults


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_fits_of_hostile_designs_must_be_the_best_or_say_why_not(family: str) -> None:
    _, faults = sweep([family], CASES)
    assert not faults


if __name__ == "__main__":
    found_verdicts, found_faults = sweep(sys.argv[3:] or list(FAMILIES), int(sys.argv[1]), int(sys.argv[2]))
    for name, counted in found_verdicts.items():
        print(name, dict(counted))
    print(*found_faults, f"{len(found_faults)} faults", sep="\n")
