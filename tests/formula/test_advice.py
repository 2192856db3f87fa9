"""What an error advises to write is the model that was meant: its columns span the same space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

QUANTILES = {
    3: [0.1, 0.5, 0.9],
    4: [0.05, 0.35, 0.65, 0.95],
    5: [0.05, 0.275, 0.5, 0.725, 0.95],
}
"""Where rcs puts its knots (Harrell, Regression Modeling Strategies, table 2.3)."""


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "x": rng.gamma(2.0, 1.0, 120).round(2)})
    frame["f"], frame["h"] = rng.choice(list("abc"), 120), rng.choice(list("uvw"), 120)
    return frame.assign(y=rng.standard_normal(20)[frame["g"]] + rng.standard_normal(120))


def same_space(first: Any, second: Any) -> bool:
    """Return whether the columns of two matrices span one space."""
    scaled = [np.asarray(m, dtype=float) / np.linalg.norm(m, axis=0) for m in (first, second)]
    ranks = {np.linalg.matrix_rank(m, tol=1e-8) for m in (*scaled, np.hstack(scaled))}
    return len(ranks) == 1


def advised(formula: str, rows: pd.DataFrame) -> Any:
    return mf.lmm(f"y ~ {formula} + (1 | g)", rows).design.X


def restricted_cubic(x: pd.Series, knots: list[float]) -> np.ndarray:
    """Return 1, x, and Harrell's truncated powers: cubics that are straight beyond the outer knots."""
    *inner, near, last = knots
    cube = [np.clip(x - knot, 0, None) ** 3 for knot in knots]
    columns = [
        cube[j] - cube[-2] * (last - knot) / (last - near) + cube[-1] * (near - knot) / (last - near)
        for j, knot in enumerate(inner)
    ]
    return np.column_stack([np.ones(len(x)), x, *columns])


@pytest.mark.parametrize("k", [3, 4, 5])
def test_natural_spline_must_be_the_space_of_rcs_with_its_knots(rows: pd.DataFrame, k: int) -> None:
    """The rivals: ns(x, df), with boundary knots at the range, and cr(x, df), with a dimension less."""
    knots = [float(q) for q in rows["x"].quantile(QUANTILES[k])]
    spline = f"ns(x, knots={knots[1:-1]}, Boundary.knots={[knots[0], knots[-1]]})"
    meant = restricted_cubic(rows["x"], knots)
    assert same_space(advised(spline, rows), meant)
    assert not same_space(advised(f"ns(x, df={k - 1})", rows), meant)


def test_columns_of_other_advice_must_span_what_r_fits(rows: pd.DataFrame) -> None:
    x, one = rows["x"], np.ones((120, 1))
    cells = pd.get_dummies(rows["f"] + rows["h"]).to_numpy()
    levels = pd.get_dummies(rows["f"]).to_numpy()
    assert same_space(advised("f:h", rows), cells)
    for term in ("C(f, contr.poly)", 'C(f, contr.treatment(base="b"))'):
        assert same_space(advised(term, rows), levels)
    assert same_space(advised("I(x > 2)", rows), np.column_stack([one, x > 2]))
    assert same_space(advised("I(f.isin(['a', 'b']))", rows), np.column_stack([one, rows["f"] != "c"]))
    assert same_space(advised("poly(x, 2, raw=True)", rows), np.column_stack([one, x, x**2]))
    assert same_space(advised("scale(x, scale=False)", rows), np.column_stack([one, x]))


def test_pieces_of_pd_cut_must_be_those_of_cut(rows: pd.DataFrame) -> None:
    """R's cut(x, 3): three equal pieces of the range, closed on the right."""
    low, width = rows["x"].min(), np.ptp(rows["x"]) / 3
    piece = np.clip(np.ceil((rows["x"] - low) / width - 1e-12), 1, 3)
    cut = advised("C(z)", rows.assign(z=pd.cut(rows["x"], 3)))
    assert same_space(cut, pd.get_dummies(piece).to_numpy())


@pytest.mark.parametrize("call", ["bs(x, df=5)", "bs(x, df=4, degree=2)", "bs(x, knots=[1, 2])"])
def test_extended_spline_must_be_the_same_model_on_the_rows_of_the_fit(rows: pd.DataFrame, call: str) -> None:
    plain = mf.lmm(f"y ~ 0 + {call} + (1 | g)", rows)
    with pytest.raises(mf.DataError, match="extrapolation") as caught:
        plain.fit().predict(rows.assign(x=50.0))
    text = f'{call[:-1]}, extrapolation="extend")'
    assert text in str(caught.value)
    assert same_space(advised(text, rows), np.column_stack([np.ones(120), plain.design.X]))
    assert np.isfinite(mf.lmm(f"y ~ {text} + (1 | g)", rows).fit().predict(rows.assign(x=50.0))).all()


def test_advice_on_dates_must_keep_the_time_of_day(rows: pd.DataFrame) -> None:
    times = pd.Series(pd.date_range("2024-03-01 06:00", periods=120, freq="7h"))
    with pytest.raises(
        mf.DataError, match=r"t = pd\.to_datetime\(data\['x'\]\); t = \(t - t\.min\(\)\) / pd\.Time"
    ):
        mf.lmm("y ~ x + (1 | g)", rows.assign(x=times))
    t = pd.to_datetime(times)
    days = advised("x", rows.assign(x=(t - t.min()) / pd.Timedelta(days=1)))
    assert same_space(days, np.column_stack([np.ones(120), 7 * np.arange(120)]))


@pytest.mark.parametrize(
    ("coding", "advice"),
    [
        ("'contr.sum'", "C(f, contr.sum)"),
        ("sum", "C(f, contr.sum)"),
        ("contr.sum(2)", "C(f, contr.sum)"),
        ("contr.sdif", "contr.diff"),
    ],
)
def test_codings_as_r_writes_them_must_be_answered_with_the_spelling(coding: str, advice: str) -> None:
    data = mf.load_dataset("sleepstudy")
    data["A"] = np.where(data["Days"] % 2, "u", "v")
    with pytest.raises(mf.FormulaError) as error:
        mf.lmm(f"Reaction ~ C(A, {coding}) + (1 | Subject)", data)
    assert advice in str(error.value)
