"""Pictures, report and tables of models without fixed effects, with variances by level, crossed factors and so on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

FORMULAS = [
    "y ~ 0 + (1 | s)",
    "y ~ 0 + (x | s)",
    "y ~ 0 + (1 | s) + (1 | k)",
    "y ~ 0 + x + (1 | s)",
    "y ~ A + (A || s)",
    "y ~ 0 + (A || s)",
    "y ~ 0 + (0 + A || s)",
    "y ~ x + (x | s) + (0 + A || s)",
    "noise ~ 0 + (x || s)",
    "noise ~ A + (A | s)",
    "y ~ x",
    "y ~ x + (1 | B)",
]


def data() -> pd.DataFrame:
    rng = np.random.default_rng(42)
    frame = pd.DataFrame(
        {"s": np.repeat(range(12), 12), "A": np.tile(list("abc"), 48), "x": rng.normal(size=144)}
    )
    frame["k"], frame["B"], frame["noise"] = (
        np.arange(144) % 8,
        np.repeat(["u", "v"], 72),
        rng.normal(size=144),
    )
    frame["y"] = rng.normal(size=12)[frame["s"]] + rng.normal(size=144)
    return frame


def fitted(formula: str) -> mf.MixedResults:
    return mf.lmm(formula, data()).fit()


@pytest.mark.everyday(1)
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_picture_must_be_drawn_or_refused_with_a_reason(formula: str) -> None:
    fit = fitted(formula)
    variable = "A" if "A" in formula.split("(")[0] else "x"
    arguments = {"means": ["~ 1"], "effect": [variable], "slopes": ["~ 1", variable]}
    pictures = fit.plot
    names, reasons = [name for name in dir(pictures) if not name.startswith("_")], []
    for name in names:
        try:
            getattr(pictures, name)(*arguments.get(name, []))
        except mf.MixedfitError as error:
            reasons.append(str(error))
        plt.close("all")
    assert len(names) - len(reasons) >= 5
    known = (
        "no random effects|no random slope|two are needed|no residual correlation|no fixed effects to draw"
    )
    known += "|fixed part has no variables|not a numeric variable of the fixed part|not a variable of the fixed part"
    assert all(re.search(known, reason) for reason in reasons), reasons


@pytest.mark.everyday(1)
@pytest.mark.parametrize("formula", FORMULAS[:9])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_report_and_tables_must_be_made(formula: str, tmp_path: Path) -> None:
    fit = fitted(formula)
    page = Path(mf.report(fit, tmp_path / "page.html")).read_text(encoding="utf-8")
    assert "Fixed effects" in page
    for ddf in ("satterthwaite", "kenward-roger", "residual", "normal", "none"):
        summary = fit.summary(ddf=ddf, correlation=True)
        assert "Fixed effects" in str(summary)
        assert mf.to_latex(summary)
    for method in ("wald", "profile"):
        assert list(fit.conf_int(method=method, parameters="fixed").index) == list(fit.params.index)
    for effects in ("fixed", "ran_pars", "ran_vals", "ran_coefs"):
        assert mf.to_markdown(fit.tidy(effects)) is not None
    assert mf.to_html(mf.compare_models([fit, fit]))


def test_report_must_say_that_a_model_has_no_fixed_effects(tmp_path: Path) -> None:
    page = Path(mf.report(fitted("y ~ 0 + (1 | s)"), tmp_path / "page.html")).read_text(encoding="utf-8")
    assert "There are no fixed effects: the mean of every row is 0." in page
    assert "Each level of s has its own mean, a random intercept." in page
    assert "one mean for all rows" not in page


def test_shrinkage_by_size_must_show_the_levels_when_none_has_least_squares_of_its_own() -> None:
    """The indicators of A sum to the intercept in every level, so that its own rows do not determine the effects."""
    fit = fitted("y ~ A + (A || s)")
    ax = fit.plot.shrinkage_by_size()
    assert ax.get_title("left") == "12 without least squares of their own"
    ours = np.asarray(ax.collections[-1].get_offsets())[:, 1]
    np.testing.assert_allclose(np.sort(ours), np.sort(fit.group_coefs["s"]["(Intercept)"]))
    plt.close("all")
