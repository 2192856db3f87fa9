"""Weights and offsets that are Series: matched to the rows of the data by their labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    labels = [f"row {i}" for i in range(12)]
    return pd.DataFrame({"y": rng.normal(size=12), "g": np.repeat(list("abcd"), 3)}, index=labels)


@pytest.mark.parametrize("what", ["weights", "offset"])
def test_series_must_be_matched_by_its_labels_when_in_another_order(what: str, frame: pd.DataFrame) -> None:
    """The rival goes by position."""
    values = {label: 1.0 + i for i, label in enumerate(frame.index)}
    turned = pd.Series(values)[::-1]
    design = mf.lmm("y ~ 1 + (1 | g)", frame, **{what: turned}).design
    expected = [values[label] for label in frame.index]
    np.testing.assert_array_equal(getattr(design, what), expected)
    assert expected != turned.tolist()


@pytest.mark.parametrize("what", ["weights", "offset"])
def test_series_must_be_refused_when_its_labels_are_not_those_of_the_data(
    what: str, frame: pd.DataFrame
) -> None:
    with pytest.raises(mf.DataError, match="whose index is not that of the data"):
        mf.lmm("y ~ 1 + (1 | g)", frame, **{what: pd.Series(np.ones(12))})
