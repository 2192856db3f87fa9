"""What users of SAS, nlme and mmrm trip over: orders of text, covariates, matrices by arm, spellings, baseline rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

R = mf.residuals


def visits() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    covariance = 0.8 ** np.abs(np.subtract.outer(range(4), range(4)))
    y = rng.multivariate_normal(np.zeros(4), covariance, 60)
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(60), 4), "t": np.tile(np.arange(1, 5), 60), "y": y.ravel()}
    )
    return frame.assign(arm=np.where(frame["id"] % 2, "a", "b"), base=np.repeat(y[:, 0], 4))


def fit(residual: Any, formula: str = "y ~ 1", frame: pd.DataFrame | None = None) -> mf.MixedResults:
    return mf.lmm(formula, visits() if frame is None else frame, residual=residual).fit()


TEXTS = {
    "one without a number": ["baseline", "week 2", "week 4", "week 8"],
    "numbers out of order": ["week 16", "week 2", "week 4", "week 8"],
    "words": ["screening", "baseline", "mid", "end"],
    "months": ["Jan", "Feb", "Mar", "Apr"],
    "dates": ["2024-01-02", "2024-01-05", "2024-01-10", "2024-01-17"],
    "dates of another form": ["02.01.2024", "05.01.2024", "10.01.2024", "17.01.2024"],
}
STRUCTURES: dict[str, Callable[[str], Any]] = {
    "AR1": lambda name: {"residual": R.AR1(name, "id")},
    "Toeplitz": lambda name: {"residual": R.Toeplitz(name, "id")},
    "AnteDependence": lambda name: {"residual": R.AnteDependence(name, "id")},
    "ar1": lambda name: {"formula": f"y ~ 1 + ar1(0 + {name} | id)"},
    "hetar1": lambda name: {"formula": f"y ~ 1 + hetar1(0 + {name} | id)"},
    "toep": lambda name: {"formula": f"y ~ 1 + toep(0 + {name} | id)"},
}


@pytest.mark.everyday(18)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("text", TEXTS)
def test_times_as_text_must_be_refused_unless_their_order_is_sure(text: str, structure: str) -> None:
    """The rival takes the order of the alphabet and fits another model."""
    frame = visits().assign(v=lambda d: d["t"].map(dict(enumerate(TEXTS[text], 1))))
    options = {"formula": "y ~ 1", **STRUCTURES[structure]("v")}
    with pytest.raises(mf.DataError, match=r"to_datetime" if "dates" in text else r"ordered=True"):
        mf.lmm(options["formula"], frame, residual=options.get("residual"))


@pytest.mark.parametrize(
    "labels", [["week 02", "week 04", "week 08", "week 16"], ["a", "b", "c", "d"], ["v1", "v2", "v3", "v4"]]
)
def test_text_in_the_order_of_time_must_be_the_numbers(labels: list[str]) -> None:
    frame = visits().assign(v=lambda d: d["t"].map(dict(enumerate(labels, 1))))
    expected = fit(R.AR1("t", "id")).reml_criterion
    assert fit(R.AR1("v", "id"), frame=frame).reml_criterion == pytest.approx(expected, abs=1e-8)
    ordered = frame.assign(v=pd.Categorical(frame["t"].map({1: "z", 2: "b", 3: "y", 4: "a"}), list("zbya")))
    assert fit(R.AR1("v", "id"), frame=ordered).reml_criterion == pytest.approx(expected, abs=1e-8)
    words = frame.assign(v=frame["t"].map({1: "screening", 2: "baseline", 3: "mid", 4: "end"}))
    assert fit(R.Unstructured("v", "id"), frame=words).converged  # no order is needed


@pytest.mark.parametrize("made", [R.VarPower, R.VarExp, R.VarConstPower, R.VarIdent])
def test_response_must_not_be_the_covariate_of_its_own_variance(made: Any) -> None:
    frame = visits().assign(y=lambda d: np.abs(d["y"]) + 1)
    for formula in ("y ~ 1", "log(y) ~ 1"):
        with pytest.raises(mf.ModelError, match="'y' is the response"):
            mf.lmm(formula, frame, residual=made("y"))


@pytest.mark.parametrize("nugget", [0.2, 1, "yes", None])
def test_nugget_must_be_true_or_false(nugget: Any) -> None:
    with pytest.raises(mf.ModelError, match=r"nugget is .*expected True"):
        R.Exponential("t", "id", nugget=nugget)


NESTED = {
    "one matrix, two": (R.Unstructured("t", "id"), R.Unstructured("t", "id", by="arm"), 10),
    "one correlation, two": (R.AR1("t", "id"), R.AR1("t", "id", by="arm"), 2),
    "compound symmetry": (R.CompoundSymmetry("id"), R.CompoundSymmetry("id", by="arm"), 2),
    "one SD, several": (R.Unstructured("t", "id", homogeneous=True), R.Unstructured("t", "id"), 3),
    "SDs by one column of two": (R.VarIdent("arm"), R.VarIdent("arm:t"), 6),
    "AR1 in a matrix by arm": (R.AR1("t", "id"), R.Unstructured("t", "id", by="arm"), 18),
}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("case", NESTED)
def test_matrices_of_each_arm_must_contain_the_common_one(case: str) -> None:
    small, large, df = NESTED[case]
    found = mf.anova(fit(small), fit(large))
    assert not any("Not nested" in note for note in found.notes)
    assert 0 < found.table["p_value"].iloc[1] < 1
    assert found.table["df"].iloc[1] == df
    other = mf.anova(fit(R.AR1("t", "id", by="arm")), fit(R.Unstructured("t", "id")))
    assert any("Not nested" in note for note in other.notes)


@pytest.mark.parametrize(
    "residual", [R.CompoundSymmetry("id"), R.Unstructured("t", "id"), R.AR1("t", "id") * R.VarIdent("arm")]
)
def test_effect_sizes_must_be_available_with_residual_structures(residual: Any) -> None:
    own = fit(residual, "y ~ arm")
    means = own.emmeans("arm")
    table = means.effect_sizes(sigma="residual").table
    expected = means.contrasts().table["estimate"].iloc[0] / own.sigma
    assert table["estimate"].iloc[0] == pytest.approx(expected, rel=1e-10)
    assert 0 < table["std_error"].iloc[0] < 1


def test_compound_symmetry_must_have_the_effect_size_of_its_random_intercept() -> None:
    one = fit(R.CompoundSymmetry("id"), "y ~ arm").emmeans("arm").effect_sizes().table
    other = mf.lmm("y ~ arm + (1 | id)", visits()).fit().emmeans("arm").effect_sizes().table
    np.testing.assert_allclose(one[["estimate", "std_error"]], other[["estimate", "std_error"]], rtol=2e-3)


@pytest.mark.filterwarnings("ignore::mixedfit.ConvergenceWarning")
def test_rows_without_change_at_baseline_must_be_a_likelihood_without_a_maximum() -> None:
    """Changes from baseline with the baseline rows left in: y is 0 there, and so is its variance."""
    frame = visits().assign(y=lambda d: (d["y"] - d["base"]).where(d["t"] > 1, 0.0))
    found = fit(R.Unstructured("t", "id"), "y ~ arm * factor(t)", frame).convergence
    assert found.status == "unbounded"
    assert "no maximum" in found.message
    assert "optimum" not in found.message


UNKNOWN = [".", "NA", "nan", "*", "-", "unknown", "None", "00", "0.0", " ", "N/A", 0, None, float("nan")]


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_every_way_to_write_an_unknown_parent_must_be_one(unknown: Any) -> None:
    """The rival makes it an animal, whose offspring are related."""
    frame = pd.DataFrame({"animal": list("abcd")})
    frame["sire"], frame["dam"] = [unknown, unknown, "a", "a"], [unknown, unknown, "b", "b"]
    known = mf.Known.from_pedigree(frame)
    expected = [[1, 0, 0.5, 0.5], [0, 1, 0.5, 0.5], [0.5, 0.5, 1, 0.5], [0.5, 0.5, 0.5, 1]]
    np.testing.assert_allclose(known.covariance.loc[list("abcd"), list("abcd")], expected, atol=1e-12)
    assert len(known) == 4


HINTS: dict[str, tuple[Callable[[], Any], str]] = {
    "nlme": (lambda: R.corAR1, "use AR1"),
    "SAS": (lambda: R.UN, "use Unstructured"),
    "case": (lambda: R.varident, "use VarIdent"),
    "none": (lambda: R.whatever, "it has AR1, ARMA"),
}


@pytest.mark.parametrize("case", HINTS)
def test_names_of_other_programs_must_be_answered(case: str) -> None:
    asked, words = HINTS[case]
    with pytest.raises(AttributeError, match=words):
        asked()


def test_ways_to_write_structures_elsewhere_must_be_answered() -> None:
    with pytest.raises(mf.ModelError, match=r"multiplied.*AR1\(time='t', group='id'\) \* VarIdent"):
        R.AR1("t", "id") + R.VarIdent("arm")
    with pytest.raises(mf.ModelError, match=r'write the columns apart: AR1\("t", "id"\)'):
        R.AR1("~ t | id")
    with pytest.raises(mf.DataError, match="Give the group of the rows"):
        fit(R.Unstructured("t"))
    with pytest.raises(TypeError, match=r"residual=mixedfit\.residuals\.Unstructured"):
        mf.lmm("y ~ 1", visits(), repeated="t")  # type: ignore[call-arg]


def test_messages_must_name_what_was_typed() -> None:
    """An unstructured covariance has SDs of its own. Rival: the name of that inner part, ``VarIdent(by='arm:t')``."""
    frame = visits()
    frame = frame[(frame["arm"] == "b") | (frame["t"] < 4) | (frame["id"] == 1)]
    with pytest.raises(mf.ModelError, match=r"^Unstructured\(visit='t'.*: level a:4 of arm:t has 1 row"):
        fit(R.Unstructured("t", "id", by="arm"), frame=frame)


def test_crossed_means_must_be_read_with_or_without_a_tilde() -> None:
    own = fit("us(t | id)", "y ~ arm * C(t)")
    for text in ("arm*t", "arm:t"):
        pd.testing.assert_frame_equal(own.emmeans(text).table, own.emmeans("~ arm * t").table)
    with pytest.raises(mf.ModelError, match="'arn' is not a variable"):
        own.emmeans("arn*t")


@pytest.mark.parametrize(
    ("residual", "words"),
    [
        ("us(t | id)", r"the standard deviation of a row, [\d.]+, whose variance is averaged over rows"),
        ("cs(t | id)", r"the standard deviation of a row, [\d.]+\)"),
    ],
)
def test_sentence_must_say_which_standard_deviation_d_has(residual: str, words: str) -> None:
    own = fit(residual, "y ~ arm")
    pairs = own.emmeans("arm").contrasts("pairwise")
    text = own.sentence(pairs)
    rows = np.concatenate([np.diag(own.residual_cov(group)) for group in range(60)])
    d = float(pairs.table["estimate"].iloc[0] / np.sqrt(rows.mean()))
    assert f"d = {d:.2f}".replace("-", "−") in text
    assert re.search(words, text)


def test_dates_that_are_times_and_levels_must_print_as_dates(tmp_path: Path) -> None:
    """Rival: days since 1970. The correlation is that of days in either case."""
    frame = visits().assign(n=lambda d: 2 * d["t"] + 19_722)
    frame["day"] = pd.Timestamp("1970-01-01") + pd.to_timedelta(frame["n"], unit="D")
    own, plain = (fit(R.AR1(name, "id") * R.VarIdent(name), frame=frame) for name in ("day", "n"))
    expected = [f"ratio(2024-01-{day:02d})" for day in (4, 6, 8)]
    assert list(own.residual_params.index) == ["phi", *expected]
    assert "sigma is the residual SD at day = 2024-01-02." in str(own.summary())
    np.testing.assert_allclose(own.residual_params["estimate"], plain.residual_params["estimate"], rtol=1e-6)
    own.save(tmp_path / "fit.npz")
    assert list(mf.load(tmp_path / "fit.npz").residual_params.index) == ["phi", *expected]
    new = {"day": [pd.Timestamp("2024-01-06")], "id": [1000]}
    assert own.forecast(new)["se"][0] == pytest.approx(plain.forecast({"n": [19_728], "id": [1000]})["se"][0])
    assert not own.bootstrap(2, type="cases", seed=1).failed.any()


def test_midnights_of_a_zone_must_be_dates_where_the_clock_changes(tmp_path: Path) -> None:
    """Berlin's clocks change in the night to 31 March 2024. Rival: universal time, where that day has 23 hours."""
    frame = visits()
    naive = pd.Timestamp("2024-03-29") + pd.to_timedelta(frame["t"], unit="D")
    zoned = naive.dt.tz_localize("Europe/Berlin")
    offsets = pd.Series([pd.Timestamp(own.isoformat()) for own in zoned], dtype=object)
    plain = fit(R.AR1("t", "id"), "y ~ 1 + (1 | id)", frame)
    for own in (naive, zoned, offsets):
        found = fit(R.AR1("day", "id"), "y ~ 1 + (1 | id)", frame.assign(day=own))
        assert found.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-9)
        assert "2024-03-31" in found.residual_cov(0).index
    later = pd.Timestamp("2024-04-10")
    found.save(tmp_path / "fit.npz")
    for new in (later, later.tz_localize("Europe/Berlin")):
        one = mf.load(tmp_path / "fit.npz").forecast({"day": [new], "id": [0]})
        assert one["mean"][0] == pytest.approx(plain.forecast({"t": [12], "id": [0]})["mean"][0])


def test_other_times_with_a_zone_must_be_instants() -> None:
    """02:00 comes twice in the night of 27 October 2024. Rival: the times that clocks show."""
    frame = visits()
    utc = pd.Timestamp("2024-10-26 23:00", tz="UTC") + pd.to_timedelta(frame["t"], unit="h")
    frame = frame.assign(hour=utc.dt.tz_convert("Europe/Berlin"), h=frame["t"] / 24)
    found, plain = (fit(R.CAR1(name, "id"), "y ~ 1", frame) for name in ("hour", "h"))
    assert found.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-6)
    labels = fit(R.AnteDependence("hour", "id"), "y ~ 1", frame).residual_params.index
    assert any("02:00:00+02:00" in label and "02:00:00+01:00" in label for label in labels)
    with pytest.raises(mf.DataError, match="without a time zone"):
        found.forecast({"hour": [pd.Timestamp("2024-10-27 09:00")], "id": [0]})
    mixed = [own.tz_localize(None) if i else own for i, own in enumerate(frame["hour"])]
    frame["hour"] = pd.Series(mixed, dtype=object)
    with pytest.raises(mf.DataError, match="Give all of them one"):
        fit(R.CAR1("hour", "id"), "y ~ 1", frame)


@pytest.mark.parametrize("unit", [1e-4, 1e5])
def test_verdict_must_not_depend_on_the_unit_of_time(unit: float) -> None:
    """Per unit φ is 0 or 1 to five digits; the rival calls that a limit and advises a simpler structure."""
    frame = visits().assign(u=lambda d: d["t"] * unit)
    found, plain = (fit(R.CAR1(name, "id"), "y ~ arm", frame) for name in ("u", "t"))
    assert found.convergence.status == plain.convergence.status == "converged"
    assert found.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-8)
    phi = plain.residual_params["estimate"]["phi"]
    assert f"the correlation at the shortest gap of rows is {phi:.4g}." in str(found.summary())


def test_weekly_times_must_not_hold_a_search_at_no_correlation() -> None:
    """φ⁷ is flat at φ = 0, where a search that starts near it ends; the optimum has φ < 0."""
    frame = visits().assign(w=lambda d: d["t"] * 7)
    frame["y"] *= np.where(frame["t"] % 2, 1, -1)
    design = mf.lmm("y ~ 1", frame, residual=R.AR1("w", "id"))
    law = design.fit()._fit.residual.model.correlation
    assert law.other_side(np.array([0.3]))[0] == pytest.approx(np.arctanh(-(0.1 ** (1 / 7))))
    assert law.other_side(np.array([0.9])) is None
    plain = fit(R.AR1("t", "id"), frame=frame)
    assert design.fit().reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-6)


def test_forecasts_of_rows_without_a_visit_must_be_missing() -> None:
    frame = visits().assign(visit=lambda d: "v" + d["t"].astype(str))
    for structure in (R.AR1("t", "id"), R.Toeplitz("visit", "id")):
        new = pd.DataFrame({"id": [99, 99], "t": [np.nan, 3.0], "visit": [None, "v3"]})
        assert fit(structure, frame=frame).forecast(new).isna().all(axis=1).tolist() == [True, False]


def test_power_must_not_copy_rows_to_one_time_of_a_residual_structure() -> None:
    assumed = {"(Intercept)": 0, "armb": 1, "sigma": 1}
    options: dict[str, Any] = {"n": 2, "seed": 1, "within": {"id": 6}}
    with pytest.raises(mf.ModelError, match=r"allows one row at each t\. Ask for at most 4"):
        mf.power("y ~ arm", visits(), assumed | {"phi": 0.5}, "armb", residual=R.AR1("t", "id"), **options)


def test_coverage_must_have_the_methods_of_the_model_by_default() -> None:
    """The rival refuses credible intervals, for which nobody asked."""
    own = fit(R.CompoundSymmetry("id"), "y ~ arm")
    found = mf.coverage(
        "y ~ arm", visits(), own, residual=R.CompoundSymmetry("id"), n=1, replicates=10, parameters="armb"
    )
    assert set(found.table["method"]) == {"wald", "satterthwaite", "kenward-roger", "profile", "bootstrap"}
