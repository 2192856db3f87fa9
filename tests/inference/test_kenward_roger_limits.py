"""Kenward and Roger's method where the data hardly determine the variances, or do not at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

pytestmark = pytest.mark.filterwarnings("ignore")


def small(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(3, 6))
    n = groups * int(rng.integers(3, 7))
    frame = pd.DataFrame(
        {"g": np.arange(n) % groups, "x": rng.normal(size=n), "A": rng.integers(0, 3, n).astype(str)}
    )
    return frame.assign(y=rng.normal(size=n) + rng.normal(size=groups)[frame["g"]])


@pytest.mark.everyday(1)
@pytest.mark.parametrize("formula", ["y ~ A + x + (A | g)", "y ~ A*x + (x | g)"])
def test_f_must_be_nan_with_the_reason_when_the_approximation_fails(formula: str) -> None:
    """The rival is pbkrtest's formula, whose F is negative there."""
    failed = 0
    for seed in range(30):
        try:
            fit = mf.lmm(formula, small(seed)).fit()
        except mf.ModelError:
            continue
        try:
            found = fit.anova(ddf="kenward-roger")
        except mf.ModelError as error:
            refusal = str(error)
            assert "too few digits" in refusal
            continue
        table = found.table
        assert not (table["statistic"] < 0).any()
        assert not (table["mean_sq"] < 0).any()
        lost = table.index[table["statistic"].isna() & (table["df_num"] > 0)]
        note = next((n for n in found.notes if "Kenward-Roger has failed for" in n), "")
        assert all(term in note for term in lost)
        assert "satterthwaite" in note or not len(lost)
        failed += len(lost)
        names = list(fit.params.dropna().index)
        tests = fit.t_test(names, ddf="kenward-roger")
        assert (tests.table["std_error"] > 0).sum() + tests.table["std_error"].isna().sum() == len(names)
        assert tests.table["std_error"].isna().any() == any("failed" in n for n in tests.notes)
        summary = fit.summary(ddf="kenward-roger")
        assert any("failed" in n for n in summary.notes) == tests.table["std_error"].isna().any()
    assert failed > 0


def test_joint_tests_must_say_that_the_approximation_failed() -> None:
    fit = mf.lmm("y ~ A + x + (A | g)", small(11)).fit()
    test = fit.f_test("A1 = 0, A2 = 0", ddf="kenward-roger")
    assert np.isnan([test.statistic, test.p_value, test.df_denom]).all()
    assert "has failed" in str(test)
    assert "parametric_bootstrap_test" in str(fit.wald_test("A1 = 0, A2 = 0", ddf="kenward-roger"))


@pytest.mark.everyday(6)
@pytest.mark.parametrize(("groups", "rows"), [(3, 90), (6, 4), (5, 7), (2, 30), (12, 3), (4, 11)])
@pytest.mark.parametrize("information", ["expected", "observed"])
def test_factor_that_is_fixed_too_must_leave_the_tests_of_the_linear_model(
    groups: int, rows: int, information: str
) -> None:
    """Its variance is not in the criterion. The rival is a degree of freedom of 0, with limits of 1e146."""
    rng = np.random.default_rng(groups * rows)
    frame = pd.DataFrame({"g": np.repeat([f"g{i}" for i in range(groups)], rows)})
    frame["y"] = rng.normal(size=groups * rows) + np.repeat(rng.normal(size=groups) * 3, rows)
    method = mf.KenwardRoger(information=information)  # type: ignore[arg-type]
    fit = mf.lmm("y ~ g + (1 | g)", frame).fit()
    plain = mf.lmm("y ~ g", frame).fit()
    for ours, theirs in (
        (fit.anova(ddf=method).table, plain.anova(ddf="residual").table),
        (fit.t_test(list(fit.params.index), ddf=method).table, plain.t_test(list(fit.params.index)).table),
    ):
        np.testing.assert_allclose(ours.to_numpy(float), theirs.to_numpy(float), rtol=1e-6)


def test_huge_limits_must_be_printed_with_an_exponent() -> None:
    from mixedfit.core.format import format_by_error

    assert format_by_error([-7.7e146, 1.25], [5.42]) == ["-7.700e+146", "1.25"]
