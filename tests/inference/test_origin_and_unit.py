"""Inference must not depend on where a covariate's origin lies nor on its unit.

Every number that a method returns is compared with that of the covariate as it is, turned by the algebra of the shift
and the scale: days since 2000 BC or seconds for days are the same model.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

CHANGES = [
    pytest.param(2000.0, 1.0, id="calendar year"),
    pytest.param(45_000.0, 1.0, id="spreadsheet date"),
    pytest.param(-1e6, 1.0, id="shift -1e6"),
    pytest.param(1e7, 1.0, id="shift 1e7"),
    pytest.param(0.0, 3000.0, id="scale 3000"),
    pytest.param(0.0, 1e8, id="scale 1e8"),
    pytest.param(0.0, 1e-8, id="scale 1e-8"),
    pytest.param(45_000 * 86_400.0, 86_400.0, id="seconds since 1900"),
]
"""x = scale · Days + shift."""

MODELS = {
    "slopes": "Reaction ~ x + (x | Subject)",
    "interaction": "Reaction ~ arm * x + (x | Subject)",
    "crossed": "Reaction ~ x + (x | Subject) + (1 | item)",
    "intercepts": "Reaction ~ arm + x + (1 | Subject)",
    "uncorrelated": "Reaction ~ x + (x || Subject)",
}
DDF: list[Any] = ["satterthwaite", "kenward-roger", mf.KenwardRoger("observed"), "normal"]


def frame(shift: float, scale: float) -> pd.DataFrame:
    data = mf.load_dataset("sleepstudy")
    codes = data["Subject"].cat.codes.to_numpy()
    data["arm"] = np.array(["a", "b", "c"])[codes % 3]
    data["item"] = (np.arange(len(data)) * 7 % 11).astype(str)
    data["x"] = scale * data["Days"] + shift
    return data[(3 * (codes + 1) + data["Days"]) % 5 != 0].reset_index(drop=True)  # unbalanced


@cache
def fitted(model: str, shift: float, scale: float, reml: bool = True) -> mf.MixedResults:
    return mf.lmm(MODELS[model], frame(shift, scale)).fit(reml=reml)


def cases() -> Iterator[Any]:
    for model in MODELS:
        for change in CHANGES:
            shift, _ = change.values
            if (
                model != "uncorrelated" or shift == 0.0
            ):  # uncorrelated effects at another origin are another model
                yield pytest.param(model, *change.values, id=f"{model}-{change.id}")


def numbers(table: pd.DataFrame) -> np.ndarray:
    return table.select_dtypes("number").to_numpy(dtype=float)


def agree(found: Any, expected: Any, relative: float = 1e-6) -> None:
    assert np.asarray(found, dtype=float) == pytest.approx(
        np.asarray(expected, dtype=float), rel=relative, abs=1e-9, nan_ok=True
    )


@pytest.mark.everyday(4)
@pytest.mark.parametrize(("model", "shift", "scale"), list(cases()))
def test_tests_and_means_must_stay_when_the_covariate_is_shifted_and_scaled(
    model: str, shift: float, scale: float
) -> None:
    plain, moved = fitted(model, 0.0, 1.0), fitted(model, shift, scale)
    for ddf in DDF:
        if model != "interaction":
            then, now = (fit.t_test("x", ddf=ddf).table.iloc[0] for fit in (plain, moved))
            agree(now[["df", "statistic", "p_value"]], then[["df", "statistic", "p_value"]])
            agree(now[["std_error", "lower"]] * scale, then[["std_error", "lower"]])
        means = [
            fit.emmeans("x", at={"x": [unit * day + origin for day in (4.0, 10.0)]}, ddf=ddf).table
            for fit, origin, unit in ((plain, 0.0, 1.0), (moved, shift, scale))
        ]
        agree(
            numbers(means[1].drop(columns="x", errors="ignore")),
            numbers(means[0].drop(columns="x", errors="ignore")),
        )
        agree(*(joint(fit, o, u, ddf) for fit, o, u in ((moved, shift, scale), (plain, 0.0, 1.0))))


def joint(fit: mf.MixedResults, shift: float, scale: float, ddf: Any) -> list[float]:
    """Return the F test that the means at days 4 and 7 are 0."""
    at = list(fit.params.index).index("x")
    L = np.zeros((2, len(fit.params)))
    L[:, 0], L[:, at] = 1.0, [4.0 * scale + shift, 7.0 * scale + shift]
    test = fit.f_test(L, ddf=ddf)
    return [test.statistic, test.df_num, test.df_denom]


@pytest.mark.everyday(3)
@pytest.mark.parametrize(("shift", "scale"), CHANGES)
def test_contrasts_and_terms_must_stay_when_the_covariate_is_shifted_and_scaled(
    shift: float, scale: float
) -> None:
    for ddf in DDF:
        tables = []
        for origin, unit in ((0.0, 1.0), (shift, scale)):
            fit = fitted("interaction", origin, unit)
            means = fit.emmeans("arm", at={"x": [4.0 * unit + origin]}, ddf=ddf)
            terms = fit.anova(type=3, ddf=ddf).table.loc[["arm:x"]]
            additive = fitted("intercepts", origin, unit).anova(ddf=ddf).table
            tables.append(
                [numbers(t) for t in (means.table, means.contrasts("pairwise").table, terms, additive)]
            )
        for then, now in zip(*tables, strict=True):
            agree(now, then)


@pytest.mark.everyday(5)
@pytest.mark.parametrize(("model", "shift", "scale"), list(cases()))
@pytest.mark.parametrize("ddf", ["normal", "satterthwaite", "kenward-roger"])
def test_prediction_errors_must_stay_when_the_covariate_is_shifted_and_scaled(
    model: str, shift: float, scale: float, ddf: Any
) -> None:
    rows = {"arm": ["a", "b", "c"], "Subject": ["308", "309", "new"], "item": ["1", "2", "3"]}
    for interval in ("confidence", "prediction"):
        then, now = (
            fitted(model, o, u)
            .predict(
                {**rows, "x": [u * day + o for day in (4.0, 10.0, 2.0)]},
                interval=interval,  # type: ignore[call-overload]
                ddf=ddf,
                new_levels="marginal",
            )
            .to_numpy()
            for o, u in ((0.0, 1.0), (shift, scale))
        )
        agree(now, then)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("shift", "scale"), CHANGES)
def test_errors_of_variance_parameters_must_turn_with_the_covariate(
    shift: float, scale: float, reml: bool
) -> None:
    plain, moved = fitted("slopes", 0.0, 1.0, reml), fitted("slopes", shift, scale, reml)
    expected = turned_errors(plain, shift, scale)
    found = np.sqrt(np.diag(moved.vcov_varpar()))
    agree(found[:3] / expected, np.ones(3))
    agree(found[3], np.sqrt(plain.vcov_varpar().iloc[3, 3]))
    joint_then, joint_now = plain.vcov_varpar(joint=True), moved.vcov_varpar(joint=True)
    agree(joint_now.loc["x", "x"] * scale**2, joint_then.loc["x", "x"])


def turned_errors(fit: mf.MixedResults, shift: float, scale: float) -> np.ndarray:
    """Return the standard errors of SD, correlation, SD at another origin and unit: the delta method in 60 digits.

    With x = scale · d + shift the slope is b₁/scale and the intercept b₀ − (shift/scale) b₁, so that Ω' = AΩAᵀ.
    """
    omega = fit.cov_re["Subject"].to_numpy()
    covariance = fit.vcov_varpar(scale="variance").to_numpy()[:3, :3]  # of Ω₁₁, Ω₂₁, Ω₂₂
    with localcontext() as context:
        context.prec = 60
        c = Decimal(shift) / Decimal(scale)
        w11, w21, w22 = (Decimal(float(v)) for v in (omega[0, 0], omega[1, 0], omega[1, 1]))
        first, cross = w11 - 2 * c * w21 + c * c * w22, w21 - c * w22  # scale of the slope drops out of ρ
        slopes_first, slopes_cross = [Decimal(1), -2 * c, c * c], [Decimal(0), Decimal(1), -c]
        below = (first * w22).sqrt()
        rows = [
            [s / (2 * first.sqrt()) for s in slopes_first],
            [
                b / below - cross / (2 * below) * (a / first + (Decimal(1) if i == 2 else Decimal(0)) / w22)
                for i, (a, b) in enumerate(zip(slopes_first, slopes_cross, strict=True))
            ],
            [Decimal(0), Decimal(0), 1 / (2 * w22.sqrt()) / Decimal(scale)],
        ]
        V = [[Decimal(float(v)) for v in row] for row in covariance]
        variances = [sum(r[i] * V[i][j] * r[j] for i in range(3) for j in range(3)) for r in rows]
        return np.array([float(v.sqrt()) for v in variances])


def test_delta_interval_of_a_correlation_near_its_limit_must_hold_the_estimate() -> None:
    for shift in (2000.0, 45_000.0, 1e6):
        row = (
            fitted("slopes", shift, 1.0)
            .tidy("ran_pars", conf_int=True)
            .set_index("term")
            .loc["cor__(Intercept).x"]
        )
        assert -1.0 <= row["conf.low"] < row["estimate"] < row["conf.high"] < -0.99


@pytest.mark.everyday(3)
@pytest.mark.parametrize(("shift", "scale"), CHANGES)
def test_profile_intervals_must_stay_when_the_covariate_is_shifted_and_scaled(
    shift: float, scale: float
) -> None:
    then, now = (
        fitted("slopes", o, u).conf_int(method="profile", names="long")
        for o, u in ((0.0, 1.0), (shift, scale))
    )
    agree(now.loc[["sd_x|Subject", "x"]] * scale, then.loc[["sd_x|Subject", "x"]])
    agree(now.loc["sigma"], then.loc["sigma"])
    if abs(shift) < 1e6 * scale:  # nearer to -1 a correlation has no digits left
        assert now.loc["cor_x.(Intercept)|Subject"].between(-1.0, 1.0).all()
