"""Laws of saved fits: the fit that is read answers as the one in memory, or is not saved and the reason is given."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

N = 96
CODES = np.random.default_rng(5).permutation(np.arange(N) % 4)


def numbers() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {"x": rng.normal(size=N), "z": rng.uniform(1, 2, size=N), "s": np.repeat(range(12), 8)}
    )
    frame["w"] = rng.uniform(0.5, 2, size=N)
    frame["y"] = frame["x"] + 0.7 * CODES + rng.normal(size=12)[frame["s"]] + rng.normal(size=N)
    return frame


def categories(labels: list[Any], *, ordered: bool = False) -> pd.Categorical:
    holder = np.empty(len(labels), dtype=object)
    holder[:] = labels
    return pd.Categorical.from_codes(CODES, categories=pd.Index(holder).infer_objects(), ordered=ordered)


STAMPS = pd.date_range("2024-02-28", periods=4)
KINDS: dict[str, Callable[[], Any]] = {
    "text": lambda: np.array(["b", "a", "d", "c"])[CODES],
    "odd text": lambda: categories(["", "a:b", "a\tb|c/d.e", "'é\"`\u2028"]),
    "brackets": lambda: categories(["[0, 1)", "a]", "x[T.b]", "{y}"]),
    "pd.cut": lambda: pd.cut(np.linspace(0, 1, N)[np.argsort(np.argsort(CODES + np.arange(N) / N))], 4),
    "pd.qcut": lambda: pd.qcut(CODES + np.arange(N) / N, 4),
    "cut with labels": lambda: pd.cut(CODES, [-1, 0, 1, 2, 3], labels=["a", "b", "c", "d"]),
    "ordered": lambda: categories(["low", "mid", "high", "top"], ordered=True),
    "dates": lambda: categories(list(STAMPS)),
    "dates of a zone": lambda: categories(list(STAMPS.tz_localize("Europe/Paris"))),
    "date objects": lambda: categories([stamp.date() for stamp in STAMPS]),
    "times": lambda: categories([datetime.time(hour) for hour in (3, 1, 9, 12)]),
    "durations": lambda: categories(list(pd.to_timedelta([1, 2, 5, 9], unit="h"))),
    "periods": lambda: categories(list(pd.period_range("2024-01", periods=4, freq="M"))),
    "mixed": lambda: categories([1, "1", 2.5, "b"]),
    "booleans": lambda: CODES > 1,
    "labels True and False": lambda: pd.Categorical(CODES > 1),
    "integers": lambda: np.array([7, 3, -2, 11])[CODES],
    "labels of integers": lambda: categories([7, 3, -2, 11]),
    "large integers": lambda: categories([2**62 + 1, 2**62, 2**62 + 3, 5]),
    "labels of floats": lambda: categories([0.1, 1e300, -2.5, 3.0]),
    "nullable integers": lambda: pd.array(CODES, dtype="Int64"),
    "nullable text": lambda: pd.array(np.array(list("bacd"))[CODES], dtype="string"),
    "bytes": lambda: categories([b"a", b"\xff", b"", b"b"]),
    "tuples": lambda: categories([(1, "a"), (1, "b"), (2, "a"), (2, "b")]),
    "decimals": lambda: categories([Decimal("0.10"), Decimal("1.5"), Decimal(2), Decimal(3)]),
    "objects of numbers": lambda: CODES.astype(object),
}
MODELS = [
    "y ~ x * f + (1 | s)",
    "y ~ 0 + f + (1 | s)",
    "y ~ C(f, contr.sum) * x + (1 | s)",
    "y ~ x + (x | f)",
    "y ~ x + (1 | s/f)",
    "y ~ 1 + (0 + f || s)",
]


def answers(fit: Any, rows: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    """Return the questions that a fit can be asked, each to be asked on its own."""
    group = next(iter(fit.ngroups))
    return {
        **{name: lambda name=name: getattr(fit, name) for name in ATTRIBUTES},
        "repr": lambda: str(fit.summary()),
        "coefficients": lambda: fit.tidy("fixed"),
        "variances": lambda: fit.tidy("ran_pars"),
        "effects": lambda: fit.tidy("ran_vals"),
        "glance": lambda: fit.glance(),
        "augment": lambda: fit.augment(),
        "augment rows": lambda: fit.augment(rows),
        "conf_int": lambda: fit.conf_int(),
        "predict": lambda: fit.predict(),
        "rows": lambda: fit.predict(rows),
        "some rows": lambda: fit.predict(rows.iloc[[5, 60, 7]], interval="prediction"),
        "fixed part": lambda: fit.predict(rows, re_form="none"),
        "new level": lambda: fit.predict(
            rows.head(3).assign(s=99), new_levels="marginal", interval="confidence"
        ),
        "simulate": lambda: fit.simulate(2, seed=1),
        "simulate rows": lambda: fit.simulate(2, newdata=rows.head(9), seed=1),
        "anova": lambda: fit.anova(),
        "emmeans": lambda: fit.emmeans("f"),
        "contrasts": lambda: fit.emmeans("f").contrasts("pairwise"),
        "ranova": lambda: fit.ranova(),
        "bootstrap": lambda: fit.bootstrap(3, seed=1).table,
        "refit": lambda: fit.refit(np.asarray(rows["y"]) ** 2).params,
        "influence": lambda: fit.diagnostics.influence(group).cooks_distance,
        "r_squared": lambda: fit.diagnostics.r_squared(),
        "leverages": lambda: fit.diagnostics.leverages,
        "residuals": lambda: fit.diagnostics.residuals,
    }


ATTRIBUTES = [
    "formula",
    "reml",
    "nobs",
    "ngroups",
    "df_resid",
    "params",
    "bse",
    "tvalues",
    "pvalues",
    "df",
    "sigma",
    "theta",
    "varcorr",
    "cov_re",
    "random_effects",
    "random_effects_cov",
    "group_coefs",
    "deviance",
    "llf",
    "aic",
    "bic",
    "aicc",
    "fittedvalues",
    "resid",
    "scaled_resid",
    "converged",
    "singular",
]


def ask(question: Callable[[], Any]) -> Any:
    """Return the answer, or the text of the error."""
    try:
        return question()
    except mf.MixedfitError as error:
        return f"{type(error).__name__}: {error}"


def same(one: Any, other: Any) -> None:
    """Assert that two answers are the same, labels and types included, but for rounding."""
    assert type(one) is type(other), (one, other)
    if isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, rtol=1e-7, atol=1e-9)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other), rtol=1e-7, atol=1e-9)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, float | np.ndarray):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
    else:
        assert str(one) == str(other)


def check_saved(fit: Any, rows: pd.DataFrame, folder: Path) -> None:
    fit.save(folder / "fit.npz")
    loaded = mf.load(folder / "fit.npz")
    asked, again = answers(fit, rows), answers(loaded, rows)
    for name, question in asked.items():
        here, there = ask(question), ask(again[name])
        try:
            same(here, there)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


@pytest.mark.everyday(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_loaded_fit_must_answer_as_the_fit_in_memory_when_a_column_is_of_any_kind(
    kind: str, tmp_path: Path
) -> None:
    data = numbers().assign(f=KINDS[kind]())
    for formula in MODELS if kind != "mixed" else [m for m in MODELS if "f)" in m]:  # 1 and "1" are alike
        check_saved(mf.lmm(formula, data).fit(), data, tmp_path)


INDICES: dict[str, Callable[[], Any]] = {
    "text": lambda: [f"row:{i}" for i in range(N)],
    "named": lambda: pd.RangeIndex(5, 5 + N, name="row"),
    "dates": lambda: pd.date_range("2024-01-01", periods=N, freq="h", tz="Europe/Paris", name="when"),
    "periods": lambda: pd.period_range("1990-01", periods=N, freq="Q"),
    "durations": lambda: pd.timedelta_range("1h", periods=N),
    "intervals": lambda: pd.interval_range(0, N),
    "categories": lambda: pd.CategoricalIndex(list("abcd"), ordered=True)[CODES],
    "tuples of labels": lambda: pd.MultiIndex.from_product([range(12), list("abcdefgh")], names=["s", None]),
    "nullable": lambda: pd.Index(pd.array(range(N), dtype="Int64")),
    "mixed": lambda: pd.Index([1, "1", 2.5, None] * 24, dtype=object),
    "bytes": lambda: pd.Index([b"%d" % i for i in range(N)], dtype=object),
    "date objects": lambda: pd.Index([datetime.date(2024, 1, 1 + i % 31) for i in range(N)], dtype=object),
}


@pytest.mark.parametrize("kind", INDICES)
def test_loaded_fit_must_have_the_same_labels_of_rows_when_the_index_is_of_any_kind(
    kind: str, tmp_path: Path
) -> None:
    data = numbers().set_axis(pd.Index(INDICES[kind]()), axis=0)
    fit = mf.lmm("y ~ x + (1 | s)", data).fit()
    fit.save(tmp_path / "fit.npz")
    index = mf.load(tmp_path / "fit.npz").fittedvalues.index
    pd.testing.assert_index_equal(index, fit.fittedvalues.index, exact=True)
    assert [type(label) for label in index] == [type(label) for label in fit.fittedvalues.index]
    assert getattr(index, "freq", None) == getattr(fit.fittedvalues.index, "freq", None)


FORMULAS = [
    "y ~ np.log(z) + np.sqrt(z) + (1 | s)",
    "y ~ I(z - 2000000) + I(z / 86400000) + (1 | s)",
    "y ~ log(z) + scale(x) + bs(z, df=4) + cr(x, df=3) + (1 | s)",
    "y ~ C(k, levels=[3, 2, 1, 0]) + (1 | s)",
    "y ~ bs(x, knots=[-0.5, 0.5], extrapolation='extend') + (1 | s)",
    "y ~ C(k, contr.treatment(base=2)):x + (1 | s)",
    "y ~ I(t == 'b') * x + (1 | s)",
    "y ~ x + offset(log(z)) + (poly(x, 2) | s)",
    "y ~ I(x > shift) + I(x * slope) + (I(z - shift) | s)",
    "y ~ C + C(C) + C(t, contr.sum) + (1 | s)",
    "log(y + 20) ~ t:x + (1 | s:t)",
    "y ~ many + x + (1 | s)",
]


@pytest.mark.everyday(2)
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_loaded_fit_must_answer_as_the_fit_in_memory_when_the_formula_is_saved(
    formula: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 20)
    data = numbers().assign(
        k=CODES, t=np.array(list("abcd"))[CODES], C=CODES + 0.0, f=1.0, many=np.arange(N) // 4
    )
    data["many"] = data["many"].map("m{:02d}".format)
    context = {"shift": 0.25, "slope": np.float64(3.0), "unused": print}
    check_saved(mf.lmm(formula, data, weights="w", context=context).fit(), data.assign(w=data["w"]), tmp_path)


class Shade:
    """A label of a type that no file can hold."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __lt__(self, other: Shade) -> bool:
        return self.name < other.name


SHADES = [Shade(name) for name in "abcd"]


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("y ~ half(x) + (1 | s)", "half of context="),
        ("y ~ x + (half(x) | s)", "half of context="),
        ("y ~ I(x - np.mean(x)) + (1 | s)", r"np\.mean"),
        ("y ~ I(x.clip(0, 1)) + (1 | s)", r"x\.clip"),
        ("y ~ shade + (1 | s)", "'shade'.*Shade"),
        ("y ~ x + (1 | shade)", "'shade'.*Shade"),
        ("y ~ x + (1 | s:shade)", "'s:shade'.*Shade"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fit_must_not_be_saved_and_say_why_when_the_file_could_not_answer(
    formula: str, says: str, tmp_path: Path
) -> None:
    data = numbers().assign(shade=pd.Categorical.from_codes(CODES, categories=pd.Index(SHADES, dtype=object)))
    fit = mf.lmm(formula, data, context={"half": lambda x: x / 2}).fit()
    assert fit.predict(data).notna().all()
    with pytest.raises(mf.MixedfitError, match=f"(?s)cannot be saved.*{says}.*pickle"):
        fit.save(tmp_path / "fit.npz")
    assert not (tmp_path / "fit.npz").exists()


def test_fit_must_not_be_saved_and_say_why_when_rows_have_labels_of_other_types(tmp_path: Path) -> None:
    fit = mf.lmm("y ~ x + (1 | s)", numbers().set_axis(pd.Index(SHADES * 24, dtype=object), axis=0)).fit()
    with pytest.raises(mf.DataError, match=r"cannot be saved.*labels of the rows.*Shade.*reset_index"):
        fit.save(tmp_path / "fit.npz")
