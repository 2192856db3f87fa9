"""The covariance of variance parameters against numerical derivatives in R and in a dense likelihood."""

from __future__ import annotations

import json

import numpy as np
import pytest
from paths import REFERENCE_FOLDER
from published_cases import data_of

import mixedfit as mf

REFERENCE = json.loads((REFERENCE_FOLDER / "intervals.json").read_text(encoding="utf-8"))
NAMES = [name for name, case in REFERENCE.items() if "vcov_varpar" in case]


@pytest.mark.parametrize("kind", ["reml", "ml"])
@pytest.mark.parametrize("name", NAMES)
def test_covariance_must_be_the_inverse_of_rs_numerical_second_derivative(name: str, kind: str) -> None:
    """The rival is the other criterion: they differ by several percent."""
    case = REFERENCE[name]
    fit = mf.lmm(case["formula"], data_of(name)).fit(reml=kind == "reml")
    ours, theirs = fit.vcov_varpar().to_numpy(), np.array(case["vcov_varpar"][kind])
    size = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    assert np.abs((ours - theirs) / size).max() < 1e-6
    other = np.array(case["vcov_varpar"]["ml" if kind == "reml" else "reml"])
    assert np.abs((other - theirs) / size).max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_joint_covariance_must_be_the_inverse_of_rs_numerical_second_derivative(name: str) -> None:
    """R lists the fixed effects first. The rival is block-diagonal: it lacks what variances add to fixed effects."""
    case = REFERENCE[name]
    fit = mf.lmm(case["formula"], data_of(name)).fit(reml=False)
    ours = fit.vcov_varpar(joint=True)
    fixed = list(fit.params.index)
    order = [*fixed, *(n for n in ours.index if n not in fixed)]
    theirs = np.array(case["vcov_varpar"]["joint_ml"])
    size = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    assert np.abs((ours.loc[order, order].to_numpy() - theirs) / size).max() < 1e-5


def test_scales_must_agree_by_the_delta_method() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    sd, variance = fit.vcov_varpar(), fit.vcov_varpar(scale="variance")
    tau = fit.varcorr["sdcor"].iloc[0]
    assert variance.loc[".sig01", ".sig01"] == pytest.approx(
        (2 * tau) ** 2 * sd.loc[".sig01", ".sig01"], rel=1e-10
    )
    assert variance.loc[".sigma", ".sigma"] == pytest.approx(
        (2 * fit.sigma) ** 2 * sd.loc[".sigma", ".sigma"], rel=1e-10
    )


def test_balanced_one_way_data_must_have_the_closed_form() -> None:
    """REML: σ̂² and the between mean square are independent, with variances 2σ⁴/(l(m − 1)) and 2 E²/(l − 1)."""
    data = mf.load_dataset("Dyestuff")
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", data).fit()
    levels, rows = 6, 5
    within, between = fit.scale, fit.scale + rows * fit.varcorr["vcov"].iloc[0]
    v_within, v_between = 2 * within**2 / (levels * (rows - 1)), 2 * between**2 / (levels - 1)
    ours = fit.vcov_varpar(scale="variance").to_numpy()
    expected = [[(v_between + v_within) / rows**2, -v_within / rows], [-v_within / rows, v_within]]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_parameter_on_the_boundary_must_be_missing() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit(reml=False)
    ours = fit.vcov_varpar()
    assert ours.loc[".sig01"].isna().all()
    assert ours.loc[".sigma", ".sigma"] == pytest.approx(fit.scale / (2 * 30), rel=1e-8)
    assert np.isnan(fit.conf_int(delta=True).loc[".sig01", "lower"])


def test_held_sigma_must_have_no_row() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit(sigma=50.0)
    assert list(fit.vcov_varpar().index) == [".sig01"]
    assert list(fit.conf_int().index) == [".sig01", "(Intercept)"]


def test_unknown_scale_must_be_refused() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    with pytest.raises(mf.ModelError, match="Did you mean 'variance'"):
        fit.vcov_varpar(scale="variances")  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [3, 5])
def test_kenward_roger_must_be_the_exact_f_test_of_balanced_one_way_data(levels: int) -> None:
    """Groups nested in treatments, all of one size: F = MS(treatment)/MS(groups) on exact degrees of freedom."""
    rng = np.random.default_rng(levels)
    treatment, group = np.repeat(np.arange(levels), 12), np.repeat(np.arange(4 * levels), 3)
    y = rng.normal(size=4 * levels)[group] * 2 + rng.normal(size=12 * levels) + 0.3 * treatment
    data = {"y": y, "t": np.char.add("t", treatment.astype(str)), "g": np.char.add("g", group.astype(str))}
    fit = mf.lmm("y ~ t + (1 | g)", data).fit()
    assert fit.varcorr["vcov"].iloc[0] > 0
    test = fit.f_test([{name: 1.0} for name in fit.params.index[1:]], ddf="kenward-roger")
    means = np.array([y[group == j].mean() for j in range(4 * levels)])
    by_treatment = means.reshape(levels, 4)
    between = 4 * np.sum((by_treatment.mean(1) - means.mean()) ** 2) / (levels - 1)
    within = np.sum((by_treatment - by_treatment.mean(1, keepdims=True)) ** 2) / (3 * levels)
    assert test.df_denom == pytest.approx(3 * levels, rel=1e-6)
    assert test.statistic == pytest.approx(between / within, rel=1e-6)
