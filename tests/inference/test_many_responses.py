"""One model fitted to many responses gives what a fit to each gives."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, t

import mixedfit as mf
from mixedfit.inference.bootstrap import replicates

FORMULA = "y ~ x + f + (x | g)"


def rows(n: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"x": rng.normal(size=n), "f": rng.choice(["a", "b"], n), "g": np.arange(n) % 9})
    frame["w"], frame["o"] = rng.choice([0.0, 1.0, 2.0], n, p=[0.1, 0.5, 0.4]), rng.normal(size=n)
    frame["h"] = rng.choice(list("pqrst"), n)
    frame["y"] = rng.normal(size=n) + rng.normal(size=9)[frame["g"]]
    return frame


def responses(count: int = 6, n: int = 90) -> Any:
    """Return responses with and without effects of groups: some fits are singular."""
    rng = np.random.default_rng(9)
    effects = rng.normal(size=(9, 2, count)) * (np.arange(count) % 2)
    frame, g = rows(n), np.arange(n) % 9
    slopes = effects[g, 0] + effects[g, 1] * frame["x"].to_numpy()[:, None]
    return 3.0 + slopes + rng.normal(size=(n, count)) * 10.0 ** rng.integers(-3, 4, count)


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    ("formula", "options"),
    [
        (FORMULA, {}),
        (FORMULA, {"weights": "w", "offset": "o"}),
        ("y ~ x + I(2 * x) + (1 | g) + (1 | h)", {}),
        ("y ~ x + f", {}),
    ],
)
@pytest.mark.parametrize("reml", [True, False])
def test_table_must_have_the_fit_of_each_response(formula: str, options: dict[str, str], reml: bool) -> None:
    """A dropped column is NaN; singular fits are marked; the offset is subtracted from each response."""
    frame, Y = rows(), responses()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many = mf.lmm(formula, frame, **options).fit_many(Y, reml=reml, ddf="satterthwaite").table
        for j in range(Y.shape[1]):
            fit = mf.lmm(formula, frame.assign(y=Y[:, j]), **options).fit(reml=reml)
            row = many.loc[j]
            assert row["status"] == ("singular" if fit.singular else "regular")
            assert row["criterion"] == pytest.approx(fit.reml_criterion if reml else fit.deviance, abs=1e-6)
            assert row["sigma"] == pytest.approx(fit.sigma, rel=1e-4)
            for name in fit.params.index:
                assert row[name] == pytest.approx(
                    fit.params[name], rel=1e-3, abs=1e-5 * fit.sigma, nan_ok=True
                )
                assert row[f"se_{name}"] == pytest.approx(fit.bse[name], rel=1e-3, nan_ok=True)
            if not fit.singular:
                df = fit.summary(ddf="satterthwaite").coefficients["df"]
                own = [row[f"df_{name}"] for name in df.index]
                np.testing.assert_allclose(own, df, rtol=1e-3)
                np.testing.assert_allclose(
                    [row[f"theta_{name}"] for name in fit.theta.index], fit.theta, rtol=1e-5, atol=1e-3
                )


def test_kinds_of_matrices_must_give_the_same_fits(tmp_path: Path) -> None:
    """A frame in another order of rows is matched by its index; a memory-mapped array is read block by block."""
    frame, Y = rows(), responses()
    model = mf.lmm(FORMULA, frame)
    expected = model.fit_many(Y).table
    np.save(tmp_path / "Y.npy", Y)
    mapped = np.load(tmp_path / "Y.npy", mmap_mode="r")
    named = pd.DataFrame(Y, index=frame.index, columns=[f"gene {j}" for j in range(6)])
    for other in (mapped, np.asfortranarray(Y), named.sample(frac=1.0, random_state=1), named):
        table = model.fit_many(other).table
        np.testing.assert_array_equal(table.drop(columns="status"), expected.drop(columns="status"))
    assert model.fit_many(named).table.index.tolist() == list(named.columns)
    assert model.fit_many(Y, n_jobs=2).table.equals(expected)


def test_failures_must_be_marked_and_counted() -> None:
    Y = responses()
    Y[3, 1], Y[:, 2], Y[5, 4] = np.nan, 7.0, np.inf
    with pytest.warns(mf.ConvergenceWarning, match=r"3 of 6 fits failed \(2 times: the response has missing"):
        many = mf.lmm(FORMULA, rows()).fit_many(Y)
    assert many.table["status"].eq("failed").tolist() == [False, True, True, False, True, False]
    assert many.table.loc[[1, 2, 4], ["sigma", "x"]].isna().all(axis=None)
    assert many.reasons == {
        "the response has missing or infinite values": 2,
        "the fixed effects reproduce the response exactly, or it is constant": 1,
    }
    assert "3 failed" in repr(many)
    assert many.tests("x")["q_value"].isna().sum() == 3


def test_blocks_of_responses_must_give_the_table_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """With failures in the second block and in the third. Rival: failures counted from the start of a block."""
    Y = responses()
    Y[3, 3], Y[:, 4] = np.nan, 7.0
    tables = []
    for size in (64, 2):
        monkeypatch.setattr(replicates, "LARGEST_BLOCK", size)
        with pytest.warns(mf.ConvergenceWarning, match="2 of 6 fits failed"):
            tables.append(mf.lmm(FORMULA, rows()).fit_many(Y).table)
    assert tables[1]["status"].eq("failed").tolist() == [False, False, False, True, True, False]
    pd.testing.assert_frame_equal(tables[0], tables[1], rtol=1e-5, atol=1e-6)


def test_tests_must_have_false_discovery_rates_of_the_fits_that_succeeded() -> None:
    """Rivals: normal tails, p-values over all responses."""
    Y = responses()
    Y[0, 0] = np.nan
    with pytest.warns(mf.ConvergenceWarning):
        many = mf.lmm(FORMULA, rows()).fit_many(Y, ddf="satterthwaite")
    tests = many.tests("x")[1:]
    expected = 2 * t.sf(abs(tests["statistic"]), many.table["df_x"][1:])
    np.testing.assert_allclose(tests["p_value"], expected, rtol=1e-10)
    np.testing.assert_allclose(tests["q_value"], false_discovery_control(expected), rtol=1e-10)
    assert many.tests("x", df="residual")["df"].eq(87).all()
    assert np.isinf(many.tests("x", df="normal")["df"]).all()
    assert many.tests("x", df=8)["df"].eq(8).all()


@pytest.mark.parametrize(
    ("Y", "words"),
    [
        (responses().T, r"shape \(6, 90\); expected 90 rows.*such as Y.T"),
        (np.zeros(90), r"shape \(90,\)"),
        (np.full((90, 2), "a"), "expected numbers"),
        (pd.DataFrame({"a": ["x"] * 90}), "response 'a' is not numbers"),
        (pd.DataFrame({"a": np.zeros(10)}), "index of Y is not that of the data"),
    ],
)
def test_responses_must_be_refused_when_they_do_not_fit(Y: Any, words: str) -> None:
    with pytest.raises(mf.DataError, match=words):
        mf.lmm(FORMULA, rows()).fit_many(Y)


def test_questions_must_be_refused_in_words() -> None:
    frame = rows()
    many = mf.lmm(FORMULA, frame).fit_many(responses())
    with pytest.raises(mf.ModelError, match=r"no coefficient 'X'.*Did you mean 'x'"):
        many.tests("X")
    with pytest.raises(mf.ModelError, match="ddf='satterthwaite'"):
        many.tests("x", df="satterthwaite")
    with pytest.raises(mf.ModelError, match="df='wrong'"):
        many.tests("x", df="wrong")
    with pytest.raises(mf.ModelError, match="not in memory"):
        mf.lmm(FORMULA, [frame]).fit_many(responses())
    with pytest.raises(mf.ModelError, match="fits to many responses"):
        mf.lmm(FORMULA, frame, residual=mf.residuals.VarIdent("f")).fit_many(responses())
