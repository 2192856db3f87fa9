"""The parametric bootstrap test where statistics are 0, and with an offset."""

from __future__ import annotations

import numpy as np

import mixedfit as mf


def test_p_value_must_be_one_when_the_larger_model_is_no_better() -> None:
    """All statistics are at least 0 = the one observed: (1 + n)/(n + 1). The rival counts larger ones only."""
    data = mf.load_dataset("Dyestuff2")
    larger = mf.lmm("Yield ~ 1 + (1 | Batch)", data).fit()
    found = mf.parametric_bootstrap_test(mf.lmm("Yield ~ 1", data).fit(), larger, n=40, seed=1)
    assert found.statistic < 1e-9
    assert (found.replicates < 1e-6).any()
    assert (found.exceeding, found.p_value) == (40, 1.0)


def test_replicates_must_be_those_of_the_response_less_the_offset() -> None:
    """y with offset o is y − o without. The rival fits y* + o where y* is meant."""
    data = mf.load_dataset("sleepstudy")
    data["shift"] = 20.0 * (data["Days"].to_numpy() % 3) ** 2
    less = data.assign(Reaction=data["Reaction"] - data["shift"])
    drawn = []
    for frame, offset in ((data, "shift"), (less, None)):
        small, large = (
            mf.lmm(f"Reaction ~ Days + {term}", frame, offset=offset).fit()
            for term in ("(1 | Subject)", "(Days | Subject)")
        )
        drawn.append(mf.parametric_bootstrap_test(small, large, n=8, seed=3))
    np.testing.assert_allclose(drawn[0].replicates, drawn[1].replicates, atol=1e-5)
    assert abs(drawn[0].statistic - drawn[1].statistic) < 1e-6
    assert np.ptp(drawn[1].replicates) > 0.1
