"""Sizes of groups in their own fits."""

from __future__ import annotations

import mixedfit as mf
from mixedfit.diagnostics.group_fits import group_fits


def test_sizes_must_leave_out_rows_of_weight_zero() -> None:
    """Ten days a subject, of which days 1, 5 and 9 have weight 0. The rival counts all."""
    data = mf.load_dataset("sleepstudy")
    data["w"] = (data["Days"] % 4 != 1).astype(float)
    found = group_fits(mf.lmm("Reaction ~ Days + (Days | Subject)", data, weights="w").fit(), 0)
    assert found.sizes.tolist() == [7] * 18
