"""A scorer predicts what `predict` does, row by row and in batches, and says what is wrong as `predict` does."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import mixedfit as mf
from mixedfit.prediction import predict

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x * f + z:f + (x + z | g) + (1 | h)",
    "y ~ C(f, contr.sum) * b + (0 + f | g) + (1 | g:h)",
    "y ~ f + C(h) + (x || g)",
    "y ~ x",
    "y ~ 0 + f + x:z + (1 | h/g)",
]
GENERAL = [
    "y ~ log(x) + (1 | g)",
    "y ~ x + C(g)",
    "y ~ poly(x, 2) + offset(z) + (1 | h)",
    "y ~ x + t + (1 | g)",
]
"""Formulas whose rows take the way of `predict`."""


def rows(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "x": rng.uniform(1, 4, n),
            "z": rng.normal(size=n),
            "f": rng.choice(["a", "b", "c"], n),
            "b": rng.choice(["no", "yes"], n),
            "t": rng.random(n) < 0.5,
            "g": rng.integers(0, 8, n),
            "h": pd.Categorical(rng.choice(list("uvwx"), n)),
            "o": rng.normal(size=n),
        }
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=8)[frame["g"]] * frame["x"] + frame["o"]
    return frame


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def fitted(formula: str, **options: Any) -> mf.MixedResults:
    return mf.lmm(formula, rows(), **options).fit()


@pytest.mark.everyday(4)
@pytest.mark.parametrize("re_form", ["all", "none"])
@pytest.mark.parametrize("formula", FORMULAS + GENERAL)
def test_rows_must_have_the_numbers_of_predict(formula: str, re_form: Any) -> None:
    fit, new = fitted(formula), rows().sample(25, random_state=1)
    expected = fit.predict(new, re_form=re_form).to_numpy()
    score = fit.scorer(re_form=re_form)
    assert (score._plan is None) == (formula in GENERAL)
    np.testing.assert_allclose(score(records(new)), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(score(new), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(score({k: v.to_numpy() for k, v in new.items()}), expected, rtol=1e-12)
    assert isinstance(score(records(new)[0]), float)


def test_offset_and_numpy_values_must_count() -> None:
    fit = fitted("y ~ x + (x | g)", offset="o")
    row = {"x": np.float32(2.5), "g": np.int64(3), "o": np.int8(2)}
    expected = fit.predict(pd.DataFrame({k: [v] for k, v in row.items()})).iloc[0]
    assert fit.scorer()(row) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows_kept", [True, False])
def test_saved_fit_must_score(rows_kept: bool, tmp_path: Path) -> None:
    fit, new = fitted(FORMULAS[1]), rows()[:10]
    fit.save(tmp_path / "fit.npz", rows=rows_kept)
    score = mf.load(tmp_path / "fit.npz").scorer()
    np.testing.assert_allclose(score(records(new)), fit.predict(new), rtol=1e-8)


ROW = {"x": 2.0, "z": 0.5, "f": "a", "b": "no", "g": 1, "h": "u"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"g": 99}, "'g' has levels that the fit did not see: 99"),
        ({"g": "1"}, "The fit has 1 of type int, and '1' here is of type str"),
        ({"f": "new"}, "'f' has values that the fit did not have"),
        ({"x": "2.0"}, "'x' was numbers in the fit"),
    ],
)
def test_wrong_row_must_be_refused_as_predict_does(change: dict[str, Any], words: str) -> None:
    score = fitted(FORMULAS[1]).scorer()
    with pytest.raises(mf.DataError, match=words):
        score({**ROW, **change})


def test_row_without_a_column_must_be_refused() -> None:
    with pytest.raises(mf.DataError, match="'z'"):
        fitted(FORMULAS[1]).scorer()({k: v for k, v in ROW.items() if k != "z"})


@pytest.mark.parametrize("change", [{"x": np.nan}, {"g": None}, {"f": None}, {"x": None}])
def test_missing_value_must_give_a_missing_prediction(change: dict[str, Any]) -> None:
    assert np.isnan(fitted(FORMULAS[1]).scorer()({**ROW, **change}))


@pytest.mark.parametrize("new_levels", ["population", "marginal"])
def test_new_level_must_have_no_effect_where_it_is_allowed(new_levels: Any) -> None:
    fit, row = fitted(FORMULAS[0]), {"x": 2.0, "g": 99}
    score = fit.scorer(new_levels=new_levels)
    expected = fit.predict(pd.DataFrame([row]), new_levels=new_levels).iloc[0]
    assert score(row) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(score(pd.DataFrame([row])), expected)


IDS: dict[str, tuple[list[Any], Any, str]] = {
    "text for numbers": ([1, 2, 3], "2", "has 2 of type int, and '2' here is of type str"),
    "float in text": ([1, 2, 3], "2.0", "has 2 of type int"),
    "numbers for text": (["1", "2", "3"], 2, "has '2' of type str, and 2 here is of type int"),
    "numbers of a column with gaps": (["1", "2", "3"], 2.0, "has '2' of type str"),
    "padded": ([7, 8, 9], "007", "has 7 of type int"),
    "dates": (list(pd.date_range("2020-01-01", periods=3)), "2020-01-02", "of type Timestamp"),
    "text of truth": ([True, False], "True", "of type bool"),
}


@pytest.mark.everyday(10)
@pytest.mark.parametrize("new_levels", ["error", "population", "marginal"])
@pytest.mark.parametrize("case", IDS)
def test_ids_of_another_type_must_not_be_taken_for_new_levels(case: str, new_levels: Any) -> None:
    """The rival looks labels up and finds none: every row gets the population's mean."""
    levels, label, words = IDS[case]
    frame = rows().assign(g=lambda d: pd.Categorical(pd.Series(levels)[np.arange(len(d)) % len(levels)]))
    fit = mf.lmm("y ~ x + (1 | g)", frame).fit()
    score = fit.scorer(new_levels=new_levels)
    row = {"x": 2.0, "g": label}
    for scored in (
        lambda: score(row),
        lambda: score(pd.DataFrame([row])),
        lambda: fit.predict(pd.DataFrame([row]), new_levels=new_levels),
        lambda: fit.predict(pd.DataFrame([row]), new_levels=new_levels, se=True),
        lambda: fit.simulate(1, newdata=pd.DataFrame([row]), re_form="all", new_levels=new_levels),
    ):
        with pytest.raises(mf.DataError, match=words):
            scored()
    if new_levels != "error":
        other = {
            **row,
            "g": type(levels[0])(5) if not isinstance(levels[0], pd.Timestamp) else pd.Timestamp(0),
        }
        if case != "text of truth":
            assert np.isfinite(score(other))
    alone = fit.predict(pd.DataFrame([row]), re_form="none", new_levels=new_levels)
    assert np.isfinite(alone).all()


WAYS: dict[str, Any] = {
    "file": lambda score, folder: score.save(folder / "s.npz") or mf.load(folder / "s.npz"),
    "pickle": lambda score, folder: pickle.loads(pickle.dumps(score)),
    "copy": lambda score, folder: copy.deepcopy(score),
}


@pytest.mark.everyday(3)
@pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "formula", [*FORMULAS, "y ~ poly(x, 2) + (1 | h)", "y ~ x + C(g)", "y ~ f + x + I(2 * x) + (1 | g)"]
)
def test_scorer_that_is_read_must_score_as_before(formula: str, way: str, tmp_path: Path) -> None:
    fit = fitted(formula)
    for re_form in ("all", "none"):
        score = fit.scorer(re_form=re_form, new_levels="population")
        again = WAYS[way](score, tmp_path)
        assert repr(again) == repr(score)
        np.testing.assert_array_equal(again(rows()), score(rows()))
        assert [again(row) for row in records(rows())[:20]] == [score(row) for row in records(rows())[:20]]
        if "C(g)" not in formula:
            new = {**records(rows())[0], "g": 99}
            assert again(new) == score(new)


def test_scorer_with_levels_stored_as_codes_must_be_saved(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"m": [f"m{i:03d}" for i in np.arange(900) % 300], "x": rng.normal(size=900)})
    frame["g"], frame["y"] = rng.integers(0, 8, 900), rng.normal(size=900)
    fit = mf.lmm("y ~ x + m + (1 | g)", frame).fit()
    fit.scorer().save(tmp_path / "s.npz")
    np.testing.assert_allclose(mf.load(tmp_path / "s.npz")(frame[:50]), fit.predict(frame[:50]), rtol=1e-12)


def test_scorer_must_hold_the_estimates_and_no_rows(tmp_path: Path) -> None:
    """The rival keeps the fit, whose rows and factors are many times larger."""
    rng = np.random.default_rng(1)
    n = 40_000
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "g": rng.integers(0, 500, n), "h": rng.integers(0, 300, n)}
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=500)[frame["g"]]
    fit = mf.lmm("y ~ x + (1 | g) + (1 | h)", frame).fit()
    fit.save(tmp_path / "fit.npz", rows=False)
    streamed = mf.lmm("y ~ x + (1 | g) + (1 | h)", [frame[:1000], frame[1000:]]).fit()
    for one in (fit, mf.load(tmp_path / "fit.npz"), streamed):
        score = one.scorer()
        score.save(tmp_path / "s.npz")
        assert (tmp_path / "s.npz").stat().st_size < 20_000
        assert len(pickle.dumps(score)) < 60_000


KEYS = [
    ({"Days": 1, "subject": 308}, "Did you mean 'subject' for 'Subject'"),
    ({"days": 1, "SUBJECT": 308}, "has no 'Days', 'Subject'"),
    ({"Day": 1, "Subject": 308}, "Did you mean 'Day'"),
    ({"Subject": 308}, "its keys: Subject; needed: Days, Subject"),
    ({}, "its keys: none"),
]


@pytest.mark.parametrize(("row", "words"), KEYS)
def test_key_that_is_misspelt_must_be_named_with_the_one_that_is_meant(
    row: dict[str, Any], words: str
) -> None:
    frame = mf.load_dataset("sleepstudy").astype({"Subject": int})
    score = mf.lmm("Reaction ~ Days + (Days | Subject)", frame).fit().scorer()
    with pytest.raises(mf.DataError) as error:
        score(row)
    assert words in str(error.value)
    assert "Did you mean 'Subject'" not in str(error.value)
    with pytest.raises(mf.DataError, match=r"rows\[1\]: the row has no"):
        score([{"Days": 1, "Subject": 308}, row])


def test_columns_that_are_not_needed_may_be_absent() -> None:
    score = fitted(FORMULAS[0]).scorer(re_form="none")
    assert score.columns == ("x",)
    assert np.isfinite(score({"x": 1.0}))


def test_sources_must_be_scored_in_batches(tmp_path: Path) -> None:
    fit, frame = fitted(FORMULAS[1]), rows()
    expected = fit.predict(frame).to_numpy()
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    score = fit.scorer()
    for source in (path, frame, [frame[:100], frame[100:]]):
        found = list(score.batches(source, batch_rows=70))
        assert max(map(len, found)) <= 70
        np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-9)
    score.to_parquet(path, tmp_path / "means.parquet", keep=["b", "g"], batch_rows=50)
    written = pq.read_table(tmp_path / "means.parquet").to_pandas()
    assert list(written.columns) == ["b", "g", "mean"]
    assert written["g"].tolist() == frame["g"].tolist()
    np.testing.assert_allclose(written["mean"], expected, rtol=1e-9)


@pytest.mark.everyday(3)
@pytest.mark.parametrize("formula", FORMULAS)
def test_long_frames_must_be_predicted_in_parts_as_short_ones_are(
    monkeypatch: pytest.MonkeyPatch, formula: str
) -> None:
    """With missing values, and with levels and labels that are new in some row."""
    fit, new = fitted(formula), rows().sample(60, random_state=2)
    new.loc[new.index[17], "x"] = np.nan
    odd = new.assign(
        g=np.where(np.arange(60) == 50, 99, new["g"]), f=np.where(np.arange(60) == 40, "new", new["f"])
    )

    def answers() -> list[Any]:
        out: list[Any] = [fit.predict(new), fit.predict(new, re_form="none")]
        out.append(fit.predict(odd.assign(f=new["f"]), new_levels="population"))
        for wrong in (odd.assign(f=new["f"]), odd.assign(g=new["g"])):
            try:
                out.append(fit.predict(wrong))
            except mf.MixedfitError as error:
                out.append(str(error))
        return out

    expected = answers()
    monkeypatch.setattr(predict, "LONG", 10)
    monkeypatch.setattr(predict, "PART", 7)
    for own, other in zip(answers(), expected, strict=True):
        if isinstance(other, str):
            assert own == other
        else:
            pd.testing.assert_series_equal(own, other, rtol=1e-12)


def test_one_row_must_take_less_than_a_millisecond() -> None:
    """On any machine: it takes some ten microseconds, `predict` takes milliseconds."""
    score = fitted(FORMULAS[1]).scorer()
    times = []
    for _ in range(200):
        begun = perf_counter()
        score(ROW)
        times.append(perf_counter() - begun)
    assert np.median(times) < 1e-3


def test_columns_to_keep_must_be_there_and_not_be_called_mean(tmp_path: Path) -> None:
    """The rival overwrites a column called mean."""
    score, path = fitted(FORMULAS[0]).scorer(), tmp_path / "means.parquet"
    with pytest.raises(mf.DataError, match="keep= has 'zz', which is no column of the frames"):
        score.to_parquet(rows(), path, keep=["x", "zz"])
    with pytest.raises(mf.DataError, match="'mean', which is the name of the column of predictions"):
        score.to_parquet(rows().assign(mean=1.0), path, keep="mean")
    score.to_parquet(rows(), path, keep="x")
    assert pq.read_table(path).column_names == ["x", "mean"]
