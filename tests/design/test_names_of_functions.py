"""Columns that bear the name of a function: what stands before a bracket is the function, all else the column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

NAMES = ["C", "I", "log", "scale", "poly", "bs", "ns", "sqrt", "contr", "np", "Q"]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(12), 10), "x": rng.uniform(1, 2, 120), "f": list("abc") * 40}
    )
    data["y"] = rng.standard_normal(12)[data["g"]] + rng.standard_normal(120) + data["x"]
    return data


@pytest.mark.everyday(9)
@pytest.mark.parametrize(
    ("template", "labels"),
    [
        ("y ~ C({}) + (1 | g)", True),
        ("y ~ C({}, contr.sum) + x + (1 | g)", True),
        ("y ~ {} + C(f, contr.sum) + (1 | g)", False),
        ("y ~ x * C({}) + (1 | g)", True),
        ("y ~ x + (0 + C({}) | g)", True),
        ("y ~ log({}) + (1 | g)", False),
        ("y ~ np.log({}) + (1 | g)", False),
        ("y ~ scale({}) + (1 | g)", False),
        ("y ~ center({}) + (1 | g)", False),
        ("y ~ poly({}, 2) + (1 | g)", False),
        ("y ~ bs({}, df=4) + (1 | g)", False),
        ("y ~ ns({}, df=3) + (1 | g)", False),
        ("y ~ cr({}, df=3, constraints='center') + (1 | g)", False),
        ("y ~ I({}**2) + (1 | g)", False),
        ("y ~ {} + I({}**3) + sqrt({}) + (1 | g)", False),
        ("y ~ x + ({} | g)", False),
        ("y ~ x + (1 | {})", True),
        ("{} ~ f + (1 | g)", False),
        ("log({}) ~ f + (1 | g)", False),
        ("y ~ f + offset(0.1 * {}) + (1 | g)", False),
        ("y ~ {}:f + (1 | g)", False),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_fit_must_be_that_of_the_column_under_another_name(
    template: str, labels: bool, name: str, tmp_path: Path
) -> None:
    data = frame()
    values = data["f"] if labels else data["x"] + 0.1 * np.sin(np.arange(120))
    other = mf.lmm(template.replace("{}", "other"), data.assign(other=values)).fit(reml=False)
    same = mf.lmm(template.replace("{}", name), data.assign(**{name: values})).fit(reml=False)
    assert same.deviance == pytest.approx(other.deviance, rel=1e-10)
    assert len(same.params) == len(other.params)
    assert [key for key in same.params.index if "_function_" in key] == []
    rows = data.assign(**{name: values, "other": values})[5:9]
    expected = other.predict(rows).to_numpy()
    assert same.predict(rows).to_numpy() == pytest.approx(expected, rel=1e-10)
    same.save(tmp_path / "fit.npz")
    try:
        loaded = mf.load(tmp_path / "fit.npz").predict(rows)
    except mf.ModelError:
        return  # functions such as np.log are not called from a file
    assert loaded.to_numpy() == pytest.approx(expected, rel=1e-10)


def test_missing_values_of_a_column_must_not_cost_rows_when_only_the_function_is_named() -> None:
    data = frame().assign(C=np.nan, log=np.nan)
    assert mf.lmm("y ~ C(f) + log(x) + (1 | g)", data).fit().nobs == 120
