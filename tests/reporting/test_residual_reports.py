"""The report page and pictures of fits with a residual structure."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

import mixedfit as mf

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

R = mf.residuals


def words(fit: mf.MixedResults, path: Path, **options: Any) -> str:
    page = Path(mf.report(fit, path / "page.html", **options)).read_text(encoding="utf-8")
    page = re.sub(r"<svg.*?</svg>|<style.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_report_must_describe_the_residual_structure(tmp_path: Path) -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, residual=R.AR1("Days", "Subject")).fit()
    text = words(fit, tmp_path, profile=True)
    assert (
        "normal, with a covariance between rows. Residuals within a level of Subject have a first-order"
        in text
    )
    assert "autoregressive correlation over Days. AR1(time='Days', group='Subject')" in text
    assert "Correlated within Subject (18 groups)." in text
    assert "Residual phi" in text
    assert "independent between rows" not in text
    assert "the intraclass correlation" not in text  # two rows of a subject are correlated in other ways too


def test_report_of_generalised_least_squares_must_not_call_it_exact(tmp_path: Path) -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days", data, residual=R.AR1("Days", "Subject")).fit()
    text = words(fit, tmp_path, profile=False)
    assert "The fit converged" in text
    assert "Residual variance and correlation" in text


def test_report_must_say_which_residual_parameter_is_at_its_limit(tmp_path: Path) -> None:
    data = mf.load_dataset("sleepstudy")
    data["y"] = data.groupby("Subject", observed=True)["Reaction"].transform("mean") + 1e-4 * data["Reaction"]
    fit = mf.lmm("y ~ 1", data, residual=R.AR1("Days", "Subject")).fit()
    assert "Of the residual structure phi is at its upper limit 1." in words(fit, tmp_path, profile=False)


def test_pictures_must_be_drawn() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, residual=R.AR1("Days", "Subject")).fit()
    for draw in (
        fit.plot.residuals_fitted,
        fit.plot.qq_residuals,
        fit.plot.caterpillar,
        fit.plot.fitted_lines,
    ):
        assert draw() is not None
    assert fit.plot.profile_zeta(["phi"]) is not None
    assert mf.plots.influence(fit.diagnostics.influence("Subject")) is not None
    with pytest.raises(mf.ModelError, match=r"See fit\.residual_cov"):
        fit.plot.within_group()
    plt.close("all")
