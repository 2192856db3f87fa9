"""What must be refused before any criterion is computed."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfit as mf


def test_rows_of_weight_zero_must_not_count_when_fixed_effects_are_as_many_as_the_others() -> None:
    """Three of six rows count, and there are three fixed effects. The rival counts all six."""
    rng = np.random.default_rng(1)
    frame = {
        "y": rng.normal(size=6),
        "x": rng.normal(size=6),
        "z": rng.normal(size=6),
        "g": [0, 0, 0, 1, 1, 1],
    }
    model = mf.lmm("y ~ x + z + (1 | g)", frame, weights=np.array([1.0, 0, 1, 0, 1, 0]))
    with pytest.raises(mf.ModelError, match=r"^3 rows cannot determine 3 fixed effects"):
        model.fit()
