"""``(f || g)`` by contrasts, as afex and lme4 2 expand it, and by levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from random_terms import REFERENCE, assert_lme4s, rows

import mixedfit as mf

CONTRASTS = REFERENCE["contrasts"]
SHORT = [record["short"] for record in CONTRASTS]


@pytest.mark.everyday(3)
@pytest.mark.filterwarnings("ignore::mixedfit.FormulaWarning")
@pytest.mark.parametrize("record", CONTRASTS, ids=SHORT)
def test_contrasts_must_fit_as_their_columns_written_out(record: dict[str, object]) -> None:
    """The rivals: by levels, with an effect of each level, and the correlated term."""
    formula = f"y ~ x + {record['short']}"
    fit = mf.lmm(formula, rows(), expand="contrasts").fit()
    assert_lme4s(fit, record)
    assert len(fit.theta) == len(record["sds"]) - 1 + record["short"].count("(x | b)")  # type: ignore[arg-type, attr-defined]
    by_levels = mf.lmm(formula, rows()).fit()
    assert abs(by_levels.reml_criterion - fit.reml_criterion) > 1e-3


def columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the data with the columns of f * h by treatment contrasts."""
    v, w, q = frame["f"] == "v", frame["f"] == "w", frame["h"] == "q"
    made = {"v": v, "w": w, "q": q, "vq": v & q, "wq": w & q, "xv": frame["x"] * v, "xw": frame["x"] * w}
    return frame.assign(**{name: 1.0 * np.asarray(values, dtype=float) for name, values in made.items()})


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    ("short", "written"),
    [
        ("(f || a)", "(v + w || a)"),
        ("(0 + f || a)", "(0 + u + v + w || a)"),
        ("(f + h || a)", "(v + w + q || a)"),
        ("(f * h || a)", "(v + w + q + vq + wq || a)"),
        ("(f * x || a)", "(v + w + x + xv + xw || a)"),
        ("(f:h || a)", "(q + v:p + w:p + v:q + w:q || a)"),
        ("(x || a) + (f || b)", "(x || a) + (v + w || b)"),
        ("(f || a) + (1 | b)", "(v + w || a) + (1 | b)"),
        ("(f || a/b)", "(v + w || a/b)"),
        ("(f | a) + (h || b)", "(v + w | a) + (q || b)"),
        ("(log(x + 9) + f || a)", "(log(x + 9) + v + w || a)"),
    ],
)
def test_contrasts_must_be_the_model_of_numeric_columns(short: str, written: str, tmp_path: Path) -> None:
    data = columns(rows()).assign(u=lambda d: 1.0 * (d["f"] == "u"), p=lambda d: 1 - d["q"])
    fit = mf.lmm(f"y ~ x + {short}", data, expand="contrasts").fit()
    expected = mf.lmm(f"y ~ x + {written}", data).fit()
    assert fit.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-6)
    assert fit.fittedvalues.to_numpy() == pytest.approx(expected.fittedvalues.to_numpy(), abs=1e-3)
    few = data.iloc[[3, 60, 100]]
    assert fit.predict(few).to_numpy() == pytest.approx(fit.fittedvalues.iloc[[3, 60, 100]].to_numpy())
    assert fit.predict(few, re_form=f"~ {short}").to_numpy() == pytest.approx(fit.predict(few).to_numpy())
    fit.save(tmp_path / "fit.npz")
    loaded = mf.load(tmp_path / "fit.npz")
    assert loaded.predict(few).to_numpy() == pytest.approx(fit.predict(few).to_numpy())
    pd.testing.assert_frame_equal(loaded.varcorr, fit.varcorr)


@pytest.mark.parametrize(
    "short", ["(x || a)", "(1 + x || a)", "(0 + x || a)", "(poly(x, 2) || a)", "(f | a)", "(1 | a/b)"]
)
def test_terms_without_uncorrelated_factors_must_not_change(short: str) -> None:
    one, two = (mf.lmm(f"y ~ x + {short}", rows(), expand=e).fit() for e in ("levels", "contrasts"))
    assert two.reml_criterion == pytest.approx(one.reml_criterion, abs=1e-9)
    pd.testing.assert_frame_equal(two.varcorr, one.varcorr, rtol=1e-4)


def test_levels_must_have_a_variance_each_also_in_interactions() -> None:
    names = mf.lmm("y ~ x + (f * h || a)", rows()).fit().varcorr["var1"].dropna()
    assert list(names) == [
        "(Intercept)",
        "fu",
        "fv",
        "fw",
        "hp",
        "hq",
        *(f"f{f}:h{h}" for h in "pq" for f in "uvw"),
    ]


def test_contrasts_must_be_tested_by_term() -> None:
    fit = mf.lmm("y ~ x + (f || a)", rows(), expand="contrasts").fit()
    table = fit.ranova().table
    assert list(table.index) == ["<none>", "(Intercept) | a", "f | a"]
    assert table.loc["f | a", "df"] == 2
    without = mf.lmm("y ~ x + (1 | a)", rows()).fit()
    assert table.loc["f | a", "chisq"] == pytest.approx(without.reml_criterion - fit.reml_criterion, abs=1e-6)


def test_studies_must_take_contrasts() -> None:
    params = {"(Intercept)": 0, "x": 0, "sd_(Intercept)|a": 0, "sd_fv|a": 1, "sd_fw|a": 0, "sigma": 1e-9}
    data = rows()
    drawn = mf.simulate_lmm("~ x + (f || a)", data, params, seed=1, expand="contrasts").to_numpy()
    moved = np.abs(drawn) > 1e-6
    assert (moved == (data["f"] == "v")).all()


def test_contrasts_must_have_draws_reports_and_priors_of_their_term(tmp_path: Path) -> None:
    model = mf.lmm("y ~ x + (f || a) + (1 | b)", rows(), expand="contrasts")
    prior = mf.priors.HalfT(3, 1)
    posterior = model.gibbs({"(f || a)": prior, "sd_fv|a": mf.priors.Known(0.5)}, draws=40, tune=20, seed=1)
    assert (np.asarray(posterior["sd_fv|a"]) == 0.5).all()
    assert np.asarray(posterior["sd_fw|a"]).std() > 0
    mf.report(model.fit(), tmp_path / "report.html")
    with pytest.raises(mf.ModelError, match="same model"):
        mf.compare(mf.lmm("y ~ x + (f || a) + (1 | b)", rows()).fit(), posterior)


def test_unknown_expansion_must_be_refused() -> None:
    with pytest.raises(mf.FormulaError, match="'contrasts'"):
        mf.lmm("y ~ x + (f || a)", rows(), expand="contrast")  # type: ignore[arg-type]
