"""The numbers behind the pictures of the NELS schools, and the pictures of docs/pictures.md."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paths import DOCS

import mixedfit as mf
from mixedfit import plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SPEC = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
assert SPEC is not None
assert SPEC.loader is not None
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)


@pytest.fixture(autouse=True)
def _no_figure_must_stay_open() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def schools(shared_data: Path) -> tuple[mf.MixedResults, plots.GroupFits]:
    assert (shared_data / "nels.csv").exists()
    fit = pictures.nels_slopes()
    return fit, plots.group_fits(fit, 0)


def test_least_squares_of_schools_must_be_those_of_the_lecture_note(
    schools: tuple[mf.MixedResults, plots.GroupFits],
) -> None:
    """Averages and covariances that the note prints, over the schools that determine a line."""
    alone = schools[1].alone.dropna()
    single = schools[1].alone.index.difference(alone.index)  # one status: R's lm gives an intercept, no slope
    level = pictures.nels()["mscore"][pictures.nels()["school"].isin(single)].mean()
    np.testing.assert_allclose((alone["(Intercept)"].sum() + level) / 684, 50.618228, rtol=1e-8)
    np.testing.assert_allclose(alone["ses"].mean(), 3.672483, rtol=1e-6)
    covariance = [[26.795851, 1.001585], [1.001585, 15.818939]]
    np.testing.assert_allclose(alone.cov(), covariance, rtol=1e-6)


def test_shrunken_coefficients_must_be_those_of_the_notes_formula(
    schools: tuple[mf.MixedResults, plots.GroupFits],
) -> None:
    """(XᵀX/σ² + Σ⁻¹)⁻¹ (Xᵀy/σ² + Σ⁻¹β̂) for some schools; the rival is least squares."""
    fit, fits = schools
    inner, s2 = np.linalg.inv(fit._fit.omega[0]), fit.scale
    for school, rows in list(pictures.nels().groupby("school"))[::60]:
        X = np.column_stack([np.ones(len(rows)), rows["ses"]])
        left = X.T @ X / s2 + inner
        expected = np.linalg.solve(left, X.T @ rows["mscore"].to_numpy() / s2 + inner @ fit.params.to_numpy())
        np.testing.assert_allclose(fits.shrunken.loc[school], expected, rtol=1e-7)
        assert np.abs(fits.alone.loc[school] - expected).max() > 1e-3


def test_shrinkage_must_narrow_the_range_most_for_small_schools(
    schools: tuple[mf.MixedResults, plots.GroupFits],
) -> None:
    """Each school's weight by its size: |β̃ − β̂_j| falls with n; numbers printed in docs/pictures.md."""
    _, fits = schools
    ok = fits.determined
    np.testing.assert_allclose(fits.alone[ok].std().round(2), [5.18, 3.98])
    np.testing.assert_allclose(fits.shrunken.std().round(2), [3.02, 0.49])
    moved = (fits.alone - fits.shrunken).abs()[ok]
    sizes = fits.sizes[ok]
    small, large = sizes <= 10, sizes >= 25
    assert (moved[small].mean() > 2 * moved[large].mean()).all()
    assert fits.sizes.sum() == 12974


def test_macro_effects_must_be_those_of_the_lecture_note(
    schools: tuple[mf.MixedResults, plots.GroupFits],
) -> None:
    coefs, flp = pictures.by_flp()
    assert flp.value_counts().sort_index().tolist() == [226, 257, 201]
    pd.testing.assert_frame_equal(coefs, schools[1].shrunken, check_names=False)
    means = coefs.groupby(flp.loc[coefs.index].to_numpy()).mean()
    assert means["(Intercept)"].is_monotonic_decreasing
    assert means["ses"].is_monotonic_decreasing
    macro = pictures.nels_macro()
    assert macro.params.round(4).tolist() == [55.3975, -2.4062, 4.4909, -0.1931]
    assert macro.bse.round(4).tolist() == [0.3860, 0.1819, 0.3327, 0.1587]


def test_within_school_correlation_must_follow_from_the_notes_covariance(
    schools: tuple[mf.MixedResults, plots.GroupFits],
) -> None:
    """From the variances that the note prints: 12.2231940, 0.4887692, 1.5148005 and 67.345."""
    implied = plots.implied_covariance(schools[0])
    x = np.array([pictures.nels()["ses"].min(), pictures.nels()["ses"].max()])
    z = np.column_stack([np.ones(2), x])
    expected = z @ [[12.2231940, 0.4887692], [0.4887692, 1.5148005]] @ z.T
    ends = implied.covariance[np.ix_([0, -1], [0, -1])]
    np.testing.assert_allclose(ends, expected, rtol=1e-4)
    total = np.diag(expected) + 67.345
    np.testing.assert_allclose(implied.variance[[0, -1]], total, rtol=1e-4)
    correlation = expected / np.sqrt(np.outer(total, total))
    assert correlation.round(2).tolist() == [[0.2, 0.07], [0.07, 0.23]]
    share = 1 - schools[0].scale / implied.variance
    assert (round(100 * share.min()), round(100 * share.max())) == (15, 23)


@pytest.mark.parametrize("name", list(pictures.FROM_NELS))
def test_pictures_of_nels_must_be_drawn(name: str, shared_data: Path) -> None:
    figure = pictures.figure_of(pictures.FROM_NELS[name]())
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in figure.axes)


def test_page_on_pictures_must_run_and_show_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "pictures.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(code, "pictures.md", "exec"), {})
    assert "Fixed effects (standard errors)" in capsys.readouterr().out
    shown = re.findall(r"!\[[^\]]{15,}\]\(images/(\w+)\.png\)", text)
    assert len(shown) == text.count("![")
    for name in shown:
        assert (DOCS / "images" / f"{name}.png").exists(), name
    assert set(shown) <= set(pictures.SHIPPED) | set(pictures.FROM_NELS)
