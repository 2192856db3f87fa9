"""A fit in the hands of the marginaleffects package."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

import mixedfit as mf

# polars 1.4x on what marginaleffects 0.6 calls; other warnings are errors here too
pytestmark = pytest.mark.filterwarnings("ignore:`cat.get_categories:DeprecationWarning")

SLEEP = mf.load_dataset("sleepstudy")
CAKE = mf.load_dataset("cake")


def cake() -> tuple[mf.MixedResults, Any]:
    fit = mf.lmm("angle ~ recipe * temp + (1 | recipe:replicate)", CAKE).fit()
    return fit, mf.for_marginaleffects(fit, CAKE)


def test_slopes_must_be_those_of_the_formula() -> None:
    me = pytest.importorskip("marginaleffects")
    fit, model = cake()
    found = me.avg_slopes(model, variables="temp", by="recipe", eps_vcov=1e-3)
    direct = fit.t_test(["temp", "temp + recipeB:temp", "temp + recipeC:temp"], ddf="normal").table
    np.testing.assert_allclose(found["estimate"], direct["estimate"], rtol=1e-6)
    np.testing.assert_allclose(found["std_error"], direct["std_error"], rtol=1e-4)


def test_predictions_must_be_marginal_means_and_know_the_learnt_transforms() -> None:
    me = pytest.importorskip("marginaleffects")
    fit = mf.lmm("angle ~ recipe + poly(temp, 2) + (1 | recipe:replicate)", CAKE).fit()
    model = mf.for_marginaleffects(fit, CAKE)
    found = me.predictions(model, newdata=me.datagrid(model, recipe=["A", "B", "C"], temp=[200]))
    means = fit.emmeans("recipe", at={"temp": 200}, ddf="normal").table
    np.testing.assert_allclose(found["estimate"], means["estimate"], rtol=1e-6)
    np.testing.assert_allclose(found["std_error"], means["std_error"], rtol=1e-4)


def test_comparisons_must_be_contrasts_of_means_with_the_covariance_asked_for() -> None:
    me = pytest.importorskip("marginaleffects")
    fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", CAKE).fit()
    model = mf.for_marginaleffects(fit, CAKE)
    found = me.avg_comparisons(model, variables={"recipe": "reference"}, vcov="kenward-roger")
    direct = fit.t_test(["recipeB", "recipeC"], ddf="kenward-roger").table
    np.testing.assert_allclose(found["estimate"], direct["estimate"], rtol=1e-6)
    np.testing.assert_allclose(found["std_error"], direct["std_error"], rtol=1e-4)


def test_adapter_must_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("marginaleffects"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(mf.ModelError, match="pip install marginaleffects"):
        mf.for_marginaleffects(mf.lmm("Reaction ~ Days + (1 | Subject)", SLEEP).fit(), SLEEP)
