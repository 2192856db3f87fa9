"""Columns of numbers that were read as labels: more effects than rows are refused at once, with the column's name."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"subj": np.repeat(np.arange(30), 8), "x": rng.normal(size=240).round(2), "y": rng.normal(size=240)}
    )
    data["item"] = [f"i{i % 8}" for i in range(240)]
    return data


@pytest.mark.everyday(10)
@pytest.mark.parametrize(
    ("template", "looks"),
    [
        ("{:.2f}", "with pd.to_numeric"),
        ("{:.2e}", "with pd.to_numeric"),
        ("comma", r"replace\(',', '.'\).astype\(float\)"),
    ],
)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ 1 + (v | subj)",
        "y ~ x + (v | subj)",
        "y ~ 1 + (0 + v | subj)",
        "y ~ 1 + (x + v | subj)",
        "y ~ 1 + (1 | item) + (v | subj)",
        "y ~ v + (1 | subj)",
        "y ~ x * v + (1 | subj)",
    ],
)
def test_numbers_read_as_text_must_be_named(formula: str, template: str, looks: str) -> None:
    data = frame().assign(n=np.arange(240) * 1.01)
    text = "{:.2f}" if template == "comma" else template
    values = data["n"] if " v + (1" in formula or "* v" in formula else data["x"]
    data["v"] = [text.format(v).replace(".", "," if template == "comma" else ".") for v in values]
    begun = perf_counter()
    with pytest.raises(mf.ModelError, match=f"'v' is a factor.*{looks}"):
        mf.lmm(formula, data).fit()
    assert perf_counter() - begun < 5.0


def test_levels_of_the_grouping_factor_itself_must_not_be_effects() -> None:
    data = frame().assign(s=lambda d: "s" + d["subj"].astype(str))
    with pytest.raises(mf.ModelError, match=r"'s' has 900 random effects \(30 for each of 30 levels\)"):
        mf.lmm("y ~ 1 + (1 + s | s)", data).fit()


def test_as_many_effects_must_be_fitted_when_the_residual_deviation_is_held() -> None:
    data = frame()[lambda d: d["item"].isin(["i0", "i1", "i2"])]
    model = mf.lmm("y ~ 1 + (0 + item | subj)", data)
    with pytest.warns(mf.IdentifiabilityWarning, match="30 levels of 3 effects for 90 rows"):
        model.fit()
    assert model.fit(sigma=0.5).sigma == 0.5
