"""Grouping factors of a formula: the names and labels that lme4 gives nested ones."""

from __future__ import annotations

import mixedfit as mf
from mixedfit.formula.parse import parse_formula


def test_nested_groups_must_be_named_inner_first_as_in_lme4() -> None:
    """lme4's ?Pastes: (1|batch/cask) has the groups "cask:batch" and "batch". The rival writes the outer one first."""
    assert [term.group.name for term in parse_formula("y ~ 1 + (1 | a/b)").random] == ["a", "b:a"]
    assert [term.group.name for term in parse_formula("y ~ 1 + (1 | a/b/c)").random] == ["a", "b:a", "c:b:a"]
    assert [term.group.name for term in parse_formula("y ~ 1 + (1 | a:b)").random] == ["a:b"]


def test_labels_of_nested_groups_must_be_those_of_lme4() -> None:
    """ranef(lmer(strength ~ 1 + (1 | batch/cask), Pastes)) has the rows a:A, a:B, … of cask:batch."""
    fit = mf.lmm("strength ~ 1 + (1 | batch/cask)", mf.load_dataset("Pastes")).fit()
    assert list(fit.varcorr["grp"]) == ["cask:batch", "batch", "Residual"]
    assert list(fit.random_effects["cask:batch"].index[[0, 1, 10, 29]]) == ["a:A", "a:B", "b:A", "c:J"]
