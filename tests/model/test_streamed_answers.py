"""A fit to rows in batches answers as the fit to a frame; what needs the rows in memory is refused in words."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.estimation import residual_quantiles

FORMULA = "y ~ x * f + (x | g) + (1 | h)"


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 400
    frame = pd.DataFrame(
        {
            "x": rng.normal(5, 2, n),
            "g": rng.integers(0, 15, n),
            "h": rng.choice(list("abcdefg"), n),
            "f": rng.choice(["lo", "mid", "hi"], n),
            "w": rng.choice([0.0, 1.0, 2.0], n, p=[0.1, 0.5, 0.4]),
            "o": rng.normal(size=n),
        }
    )
    effects = rng.normal(size=(15, 2))[frame["g"]]
    frame["y"] = effects[:, 0] + effects[:, 1] * frame["x"] / 3 + rng.normal(size=n)
    return frame


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "weighted"])
def fits(request: pytest.FixtureRequest) -> tuple[mf.MixedResults, mf.MixedResults]:
    frame = rows()
    options = {"weights": "w", "offset": "o"} if request.param else {}
    batches = [frame.iloc[a : a + 60] for a in range(0, 400, 60)]
    return mf.lmm(FORMULA, frame, **options).fit(), mf.lmm(FORMULA, batches, **options).fit()


NEW = rows().sample(8, random_state=1)

ANSWERS: dict[str, Callable[[Any], Any]] = {
    "params": lambda fit: fit.params,
    "standard errors": lambda fit: fit.bse,
    "covariance": lambda fit: fit.cov_params(),
    "variances": lambda fit: fit.varcorr,
    "criteria": lambda fit: fit.glance(),
    "intervals": lambda fit: fit.conf_int(),
    "Kenward-Roger": lambda fit: fit.summary(ddf="kenward-roger").coefficients,
    "tests of terms": lambda fit: fit.anova(type=2).table,
    "random terms": lambda fit: fit.ranova().table,
    "means": lambda fit: fit.emmeans("f").table,
    "random effects": lambda fit: fit.random_effects["g"],
    "predictions": lambda fit: fit.predict(NEW, interval="confidence"),
    "R2": lambda fit: fit.diagnostics.r_squared(),
    "ICC": lambda fit: fit.diagnostics.icc(),
    "fitted values": lambda fit: fit.fittedvalues,
    "residuals": lambda fit: fit.resid,
    "scaled residuals": lambda fit: fit.scaled_resid,
    "covariance of variances": lambda fit: fit.vcov_varpar(),
    "augmented rows": lambda fit: pd.concat(list(fit.augment_batches())),
}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_must_be_that_of_the_frame(answer: str, fits: tuple[Any, Any]) -> None:
    expected, found = (pd.DataFrame(ANSWERS[answer](fit)) for fit in fits)
    assert list(found.columns) == list(expected.columns)
    assert found.index.tolist() == expected.index.tolist()
    numbers = expected.select_dtypes("number").columns
    np.testing.assert_allclose(
        found[numbers].to_numpy(float), expected[numbers].to_numpy(float), rtol=1e-6, atol=1e-9
    )


def test_summary_must_be_that_of_the_frame(fits: tuple[Any, Any]) -> None:
    """Except for the Newton decrement, which is a rounding error."""
    texts = [re.sub(r"decrement \S+e-\d+", "", str(fit.summary())) for fit in fits]
    assert texts[0] == texts[1]


def test_profile_must_be_that_of_the_frame() -> None:
    frame = rows()
    fits = [mf.lmm("y ~ x + (1 | g)", data).fit() for data in (frame, [frame[:100], frame[100:]])]
    one, other = (fit.conf_int(method="profile") for fit in fits)
    np.testing.assert_allclose(other.to_numpy(), one.to_numpy(), rtol=1e-6)


def test_models_must_be_compared_when_their_rows_are_the_same(fits: tuple[Any, Any]) -> None:
    """The rows of one model are in memory, those of the other are not."""
    frame = rows()
    smaller = mf.lmm("y ~ x + f + (x | g) + (1 | h)", [frame[200:], frame[:200]]).fit()
    whole = mf.lmm(FORMULA, frame).fit()
    table = mf.anova(smaller, whole).table
    assert table["df"].iloc[1] == 2
    assert 0 < table["p_value"].iloc[1] < 1
    changed = frame.assign(y=frame["y"] + 1.0)
    with pytest.raises(mf.ModelError, match="different rows, responses or weights"):
        mf.anova(mf.lmm("y ~ x + f + (x | g)", [changed]).fit(), whole)


def test_models_of_other_columns_must_not_count_as_nested() -> None:
    frame = rows()
    one, other = (mf.lmm(f, [frame]).fit() for f in ("y ~ x + (1 | h)", "y ~ f + (x | g)"))
    table = mf.anova(one, other)
    assert np.isnan(table.table["p_value"].iloc[1])
    assert "Not nested" in str(table)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "bootstrap": lambda fit: fit.bootstrap(5, seed=1),
    "simulated responses": lambda fit: fit.simulate(2, seed=1),
    "another response": lambda fit: fit.refit(np.arange(400.0)),
    "influence": lambda fit: fit.diagnostics.influence("g"),
    "leverages": lambda fit: fit.diagnostics.leverages,
    "lines of groups": lambda fit: fit.plot.fitted_lines(),
    "pattern of the matrices": lambda fit: fit.plot.matrix_pattern(),
    "rows with leverages": lambda fit: fit.augment(),
}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("question", REFUSED)
def test_question_about_rows_must_be_refused_in_words(question: str, fits: tuple[Any, Any]) -> None:
    with pytest.raises(mf.ModelError, match=r"rows of this model are not in memory.*augment_batches.*frame"):
        REFUSED[question](fits[1])


def test_sampler_must_be_refused_in_words() -> None:
    with pytest.raises(mf.ModelError, match="not in memory"):
        mf.lmm("y ~ x + (1 | g)", [rows()]).gibbs(draws=10, tune=10, chains=1, seed=1)


def test_pickled_fit_must_answer_without_its_rows(fits: tuple[Any, Any]) -> None:
    again = pickle.loads(pickle.dumps(fits[1]))
    assert again.params.equals(fits[1].params)
    pd.testing.assert_frame_equal(
        again.predict(NEW, interval="confidence"), fits[1].predict(NEW, interval="confidence")
    )
    with pytest.raises(mf.ModelError, match="not in memory"):
        _ = again.resid


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_quantiles_in_batches_must_be_exact(size: int) -> None:
    """Ties, negative numbers, zeros and numbers of many sizes; the rival takes the middle of a bin."""
    rng = np.random.default_rng(size)
    values = np.concatenate([rng.normal(size=size) ** 5, np.zeros(size), -np.ones(size), [1e300, -1e-300]])
    probabilities = [0, 0.25, 0.5, 0.75, 1]
    found = residual_quantiles.batched_quantiles(
        lambda: iter(np.array_split(values, 3)), values.size, probabilities
    )
    np.testing.assert_allclose(found, np.quantile(values, probabilities), rtol=1e-12, atol=1e-300)


def test_progress_must_be_shown_while_rows_are_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mixedfit.core import progress

    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    frame = rows()
    mf.lmm("y ~ x + (1 | g)", [frame[:100], frame[100:]], progress=True)
    text = capsys.readouterr().err
    assert "100 of 400 rows learnt" in text
    assert "400 of 400 rows summed" in text
