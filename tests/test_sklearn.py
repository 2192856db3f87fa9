"""The regressor for scikit-learn: its checks, and pipelines, grouped folds, searches, copies and processes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from mixedfit.sklearn import MixedRegressor

DATA = mf.load_dataset("sleepstudy")
X, Y = DATA[["Days", "Subject"]], DATA["Reaction"]
SLOPES = "~ Days + (Days | Subject)"
EXACT = "its data lie on a line exactly: there is no residual variance, and a mixed model raises an error"

EXPECTED_FAILURES = {
    "check_sample_weights_shape": EXACT,
    "check_sample_weights_not_overwritten": EXACT,
    "check_sample_weight_equivalence_on_dense_data": EXACT,
    "check_regressors_no_decision_function": EXACT,
}
"""Checks of scikit-learn that fail, and why."""


@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn_must_pass_but_for_those_whose_data_have_no_residual_variance() -> None:
    failed = {}
    outcomes = check_estimator(MixedRegressor(), on_skip=None, on_fail=None)
    for outcome in outcomes:
        if outcome["status"] == "failed":
            failed[outcome["check_name"]] = str(outcome["exception"])
    assert set(failed) <= set(EXPECTED_FAILURES), failed
    assert all("reproduce the response" in text for text in failed.values()), failed
    assert sum(outcome["status"] == "passed" for outcome in outcomes) > 40


def test_fit_must_be_that_of_the_formula() -> None:
    model = MixedRegressor(SLOPES, reml=False).fit(X, Y)
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", DATA).fit(reml=False)
    np.testing.assert_allclose(model.result_.params, fit.params, rtol=1e-10)
    assert model.result_.llf == pytest.approx(fit.llf, rel=1e-12)
    np.testing.assert_allclose(model.predict(X), fit.fittedvalues, rtol=1e-9)
    new = pd.DataFrame({"Days": [3.0, 4.0], "Subject": ["308", "new"]})
    found = model.predict(new)
    assert found[1] == pytest.approx(fit.params @ [1.0, 4.0])
    assert found[0] == pytest.approx(fit.group_coefs["Subject"].loc["308"] @ [1.0, 3.0])
    none = MixedRegressor(SLOPES, reml=False, re_form="none").fit(X, Y).predict(new)
    np.testing.assert_allclose(none, [fit.params @ [1.0, 3.0], fit.params @ [1.0, 4.0]])


def test_new_level_must_raise_where_the_population_is_not_wanted() -> None:
    model = MixedRegressor(SLOPES, new_levels="error").fit(X, Y)
    with pytest.raises(mf.MixedfitError, match="Subject"):
        model.predict(pd.DataFrame({"Days": [1.0], "Subject": ["new"]}))


def test_weights_must_be_inverse_variances() -> None:
    weights = np.linspace(0.5, 2.0, len(DATA))
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", DATA, weights=weights).fit()
    model = MixedRegressor("~ Days + (1 | Subject)").fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(model.result_.params, fit.params, rtol=1e-10)


def test_columns_without_a_formula_must_be_fixed_effects_whatever_their_names() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=["y", "odd name", "x"])
    response = frame.to_numpy() @ [1.0, -2.0, 0.5] + rng.normal(size=40)
    model = MixedRegressor().fit(frame, response)
    design = np.column_stack([np.ones(40), frame])
    expected = np.linalg.lstsq(design, response, rcond=None)[0]
    np.testing.assert_allclose(model.result_.params, expected)
    np.testing.assert_allclose(
        MixedRegressor().fit(frame.to_numpy(), response).predict(frame.to_numpy()), design @ expected
    )
    assert list(frame) == ["y", "odd name", "x"]


def test_grouped_folds_must_predict_new_groups_by_the_population() -> None:
    folds = GroupKFold(3)
    found = cross_val_predict(MixedRegressor(SLOPES), X, Y, cv=folds, groups=DATA["Subject"])
    expected = np.empty(len(DATA))
    for train, test in folds.split(X, Y, DATA["Subject"]):
        fit = mf.lmm("Reaction ~ Days + (Days | Subject)", DATA.iloc[train]).fit()
        expected[test] = fit.params["(Intercept)"] + fit.params["Days"] * DATA["Days"].iloc[test]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pipeline_must_pass_the_grouping_factor_on() -> None:
    scale = ColumnTransformer(
        [("days", StandardScaler(), ["Days"])], remainder="passthrough", verbose_feature_names_out=False
    )
    pipeline = make_pipeline(scale, MixedRegressor(SLOPES)).set_output(transform="pandas").fit(X, Y)
    np.testing.assert_allclose(pipeline.predict(X), MixedRegressor(SLOPES).fit(X, Y).predict(X), rtol=1e-5)


def test_search_over_formulas_must_choose_the_better_one() -> None:
    options = {"formula": ["~ 1", "~ Days"], "reml": [True, False]}
    search = GridSearchCV(MixedRegressor(), options, cv=GroupKFold(3)).fit(X, Y, groups=DATA["Subject"])
    assert search.best_params_["formula"] == "~ Days"


@pytest.mark.slow
def test_processes_must_give_the_same_scores() -> None:
    one, two = (cross_val_score(MixedRegressor("~ Days"), X, Y, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_allclose(one, two)


def test_clone_must_have_the_settings_and_no_fit_and_a_pickle_the_fit() -> None:
    model = MixedRegressor(SLOPES, reml=False).fit(X, Y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "result_")
    again: Any = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_transformed_response_must_raise_with_the_way_out() -> None:
    with pytest.raises(mf.FormulaError, match="TransformedTargetRegressor"):
        MixedRegressor("log(Reaction) ~ Days").fit(X, Y)


def test_missing_value_must_raise() -> None:
    with pytest.raises(mf.DataError, match=r"missing values \(Days: 18\).*drops none"):
        MixedRegressor("~ Days").fit(X.assign(Days=X["Days"].where(X["Days"] > 0)), Y)
    with pytest.raises(mf.DataError, match=r"missing values \(y: \d+\)"):
        MixedRegressor("~ Days").fit(X, Y.where(Y > 210))
    odd = X.assign(other=np.nan)  # a column that the formula does not have
    np.testing.assert_allclose(
        MixedRegressor("~ Days").fit(odd, Y).predict(X.assign(other=0.0)).shape, len(X)
    )


def test_array_in_place_of_a_frame_must_raise_with_the_way_out() -> None:
    with pytest.raises(mf.DataError, match=r"columns are called x0, x1.*Give a frame"):
        MixedRegressor(SLOPES).fit(X[["Days", "Subject"]].astype(float).to_numpy(), Y)
    with pytest.raises(mf.DataError, match="give a frame with the columns Days, Subject"):
        MixedRegressor(SLOPES).fit(X[["Days", "Subject"]], Y).predict(np.zeros((2, 2)))


def test_polars_frame_must_be_taken() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"Days": X["Days"].to_numpy(), "Subject": X["Subject"].astype(str).tolist()})
    np.testing.assert_allclose(
        MixedRegressor(SLOPES).fit(frame, Y).predict(frame), MixedRegressor(SLOPES).fit(X, Y).predict(X)
    )
