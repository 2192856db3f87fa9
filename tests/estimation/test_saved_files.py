"""Files that an earlier version saved must load and answer as they did (`tests/reference/saved/make.py` wrote them)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from paths import REFERENCE_FOLDER

import mixedfit as mf

SAVED = REFERENCE_FOLDER / "saved"
ANSWERS: dict[str, dict[str, Any]] = json.loads((SAVED / "answers.json").read_text(encoding="utf-8"))
FITS = [name for name in ANSWERS if name != "posterior"]


@pytest.mark.parametrize("name", FITS)
def test_saved_fit_must_answer_as_when_it_was_saved(name: str) -> None:
    fit, then = mf.load(SAVED / f"{name}.npz"), ANSWERS[name]
    for coefficient, value in then["params"].items():
        assert fit.params[coefficient] == pytest.approx(value, rel=1e-9)
    assert fit.sigma == pytest.approx(then["sigma"], rel=1e-9)
    assert fit.aic == pytest.approx(then["aic"], rel=1e-10)
    if "theta" in then:
        assert fit.theta.to_numpy() == pytest.approx(np.array(then["theta"]), rel=1e-9)
        assert fit.convergence.status == then["status"]
    if "predict" in then:
        assert fit.predict(then["new"]).to_numpy() == pytest.approx(np.array(then["predict"]), rel=1e-9)


@pytest.mark.parametrize("name", ["reml", "held_sigma", "crossed"])
def test_summary_of_a_saved_fit_must_be_that_of_then(name: str) -> None:
    assert str(mf.load(SAVED / f"{name}.npz").summary()) == ANSWERS[name]["summary"]


def test_saved_posterior_must_answer_as_when_it_was_saved() -> None:
    posterior, then = mf.load(SAVED / "posterior.npz"), ANSWERS["posterior"]
    assert list(posterior.names) == then["names"]
    assert list(posterior.priors) == then["priors"]
    for name, mean in then["mean"].items():
        assert posterior[name].mean() == pytest.approx(mean, rel=1e-12)
