"""``missing="exclude"``: R's na.exclude, row-wise answers on all rows of the data, NaN where a row was left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

FORMULA = "Reaction ~ Days + (Days | Subject)"
LEFT_OUT = [3, 50, 51, 120, 179]


def gaps() -> pd.DataFrame:
    """Return sleepstudy with missing responses, a missing predictor and a missing subject."""
    frame = mf.load_dataset("sleepstudy").astype({"Reaction": float, "Days": float})
    frame["Subject"] = frame["Subject"].astype(object)
    frame.loc[[3, 50, 179], "Reaction"] = np.nan
    frame.loc[51, "Days"] = np.nan
    frame.loc[120, "Subject"] = None
    return frame.set_index(pd.Index([f"r{i}" for i in range(180)], name="row"))


def fits(**options: Any) -> tuple[mf.MixedResults, mf.MixedResults, pd.DataFrame]:
    """Return fits that exclude and that drop rows, and the data."""
    data = gaps()
    kept = mf.lmm(FORMULA, data.dropna(), **options).fit()
    return mf.lmm(FORMULA, data, missing="exclude", **options).fit(), kept, data


ROW_WISE: dict[str, Callable[[mf.MixedResults], Any]] = {
    "fittedvalues": lambda fit: fit.fittedvalues,
    "resid": lambda fit: fit.resid,
    "scaled_resid": lambda fit: fit.scaled_resid,
    "predict": lambda fit: fit.predict(),
    "predict without effects": lambda fit: fit.predict(re_form="none"),
    "predict with errors": lambda fit: fit.predict(se=True),
    "predict with limits": lambda fit: fit.predict(interval="prediction", ddf="satterthwaite"),
    "simulate": lambda fit: fit.simulate(3, seed=1),
    "simulate given effects": lambda fit: fit.simulate(2, seed=1, re_form="all"),
    "residuals": lambda fit: fit.diagnostics.residuals,
    "decorrelated": lambda fit: fit.diagnostics.scaled_residuals,
    "simulated residuals": lambda fit: fit.diagnostics.simulated_residuals(20, seed=1),
    "leverages": lambda fit: fit.diagnostics.leverages,
    "cooks_distance": lambda fit: fit.diagnostics.cooks_distance,
    "augment": lambda fit: fit.augment(),
}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("name", ROW_WISE)
def test_answer_by_rows_must_have_all_rows_with_nan_where_left_out(name: str, tmp_path: Path) -> None:
    fit, expected, data = fits()
    fit.save(tmp_path / "fit.npz")
    for asked in (fit, mf.load(tmp_path / "fit.npz")):
        own, kept = ROW_WISE[name](asked), ROW_WISE[name](expected)
        assert own.index.equals(data.index)
        assert own.index.name == kept.index.name or asked is not fit
        assert type(own) is type(kept)
        assert own.iloc[LEFT_OUT].isna().to_numpy().all()
        assert own.drop(own.index[LEFT_OUT]).index.equals(kept.index)
        for column in own.columns if isinstance(own, pd.DataFrame) else [None]:
            one, two = (table if column is None else table[column] for table in (own, kept))
            if column == "Subject":
                assert one.drop(one.index[LEFT_OUT]).tolist() == two.tolist()
                continue
            assert one.drop(one.index[LEFT_OUT]).tolist() == pytest.approx(
                two.tolist(), rel=1e-8, nan_ok=True
            )


def test_estimates_must_be_those_of_the_complete_rows() -> None:
    fit, expected, _ = fits()
    assert (fit.nobs, fit.reml_criterion) == (175, expected.reml_criterion)
    pd.testing.assert_frame_equal(fit.varcorr, expected.varcorr)
    assert str(fit.summary()).splitlines()[:20] == str(expected.summary()).splitlines()[:20]
    assert "5 rows dropped for missing values" in str(fit.summary())


def test_excluded_rows_must_not_warn_nor_matter_where_there_are_none() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm(FORMULA, data, missing="exclude").fit()
    pd.testing.assert_series_equal(fit.resid, mf.lmm(FORMULA, data).fit().resid)


def test_augment_must_keep_all_rows_and_columns_of_the_data() -> None:
    fit, _, data = fits()
    table = fit.augment(data)
    pd.testing.assert_frame_equal(table[list(data)], data)
    np.testing.assert_array_equal(table[".resid"].isna(), data.isna().any(axis=1))
    assert (table["Reaction"] - table[".fitted"]).to_numpy() == pytest.approx(
        table[".resid"].to_numpy(), nan_ok=True
    )
    shuffled = data.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(fit.augment(shuffled), table)


def test_rows_with_equal_labels_must_keep_their_order() -> None:
    data = gaps().set_axis([0, 1] * 90)
    fit = mf.lmm(FORMULA, data, missing="exclude").fit()
    table = fit.augment(data)
    assert np.flatnonzero(table[".resid"].isna()).tolist() == LEFT_OUT
    assert fit.resid.to_numpy() == pytest.approx(table[".resid"].to_numpy(), nan_ok=True)
    again = fit.refit(fit.fittedvalues + fit.resid)
    assert again.reml_criterion == pytest.approx(fit.reml_criterion)


@pytest.mark.parametrize("kind", ["all rows", "series", "kept rows", "kept series", "list"])
def test_refit_must_take_a_response_for_all_rows_or_for_those_of_the_fit(kind: str) -> None:
    fit, kept, data = fits()
    drawn = fit.simulate(1, seed=3)["sim_1"]
    complete = drawn.dropna()
    given = {
        "all rows": drawn.to_numpy(),
        "series": drawn,
        "kept rows": complete.to_numpy(),
        "kept series": complete,
        "list": drawn.fillna(1e9).tolist(),
    }[kind]
    again = fit.refit(given)
    assert again.deviance == pytest.approx(kept.refit(complete.to_numpy()).deviance, abs=1e-7)
    assert again.resid.index.equals(data.index)


def test_refit_must_refuse_missing_values_in_rows_of_the_fit() -> None:
    fit, _, _ = fits()
    y = fit.simulate(1, seed=3)["sim_1"]
    y.iloc[0] = np.nan
    with pytest.raises(mf.DataError, match="missing or infinite"):
        fit.refit(y)
    with pytest.raises(mf.DataError, match=r"shape \(170,\)"):
        fit.refit(np.zeros(170))


@pytest.mark.parametrize("missing", ["weights", "offset", "offset term"])
def test_rows_that_weights_or_offsets_cost_must_be_nan(missing: str) -> None:
    data = mf.load_dataset("sleepstudy").assign(w=1.0, o=0.5)
    data.loc[7, "w" if missing == "weights" else "o"] = np.nan
    formula = FORMULA + (" + offset(o)" if missing == "offset term" else "")
    options = {"weights": {"weights": "w"}, "offset": {"offset": "o"}}.get(missing, {})
    fit = mf.lmm(formula, data, missing="exclude", **options).fit()
    assert np.flatnonzero(fit.resid.isna()).tolist() == [7]
    assert np.flatnonzero(fit.augment()[".weights"].isna()).tolist() == [7]


def test_deletions_bootstraps_posteriors_and_pictures_must_be_of_the_rows_of_the_fit(tmp_path: Path) -> None:
    fit, kept, data = fits()
    for refit in (False, True):
        own = fit.diagnostics.influence("Subject", refit=refit).table
        pd.testing.assert_frame_equal(own, kept.diagnostics.influence("Subject", refit=refit).table)
    assert len(fit.diagnostics.influence().table) == 175
    for kind in ("parametric", "residual", "cases"):
        one, two = (f.bootstrap(40, seed=1, type=kind).conf_int(kind="percentile") for f in (fit, kept))
        pd.testing.assert_frame_equal(one, two)
    lines = fit.bootstrap(40, seed=1, statistic=lambda f: [len(f.resid), f.resid.abs().sum()])
    assert np.isfinite(lines.conf_int(kind="percentile").to_numpy()).all()
    pd.testing.assert_frame_equal(fit.conf_int(method="profile"), kept.conf_int(method="profile"))
    pytest.importorskip("matplotlib")
    fit.plot()
    fit.plot.fitted_lines(x=data["Days"])
    fit.plot.fitted_lines(x=data["Days"].to_numpy())
    mf.report(fit, tmp_path / "report.html", profile=False)
    posterior = mf.lmm(FORMULA, data, missing="exclude").gibbs(draws=20, tune=20, seed=1)
    posterior.save(tmp_path / "posterior.npz")
    for asked in (posterior, mf.load(tmp_path / "posterior.npz")):
        assert np.asarray(asked.replicate(2, seed=1)).shape == (2, 175)


def test_unknown_treatment_of_missing_rows_must_be_refused() -> None:
    with pytest.raises(mf.DataError, match="'exclude'"):
        mf.lmm(FORMULA, gaps(), missing="omit")  # type: ignore[arg-type]
