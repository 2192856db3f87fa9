"""An interrupt keeps the work that is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.bayes.criticism import loo as loo_module
from mixedfit.bayes.sampler.chain import Chain
from mixedfit.core.progress import Progress


def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"g": np.repeat(range(20), 6), "h": np.tile(range(12), 10), "x": rng.normal(size=120)}
    )
    frame["y"] = (
        frame["x"] + rng.normal(size=20)[frame["g"]] + rng.normal(size=12)[frame["h"]] + rng.normal(size=120)
    )
    return frame


def interrupt_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Raise KeyboardInterrupt at the look of the line of progress after some."""
    seen = iter(range(10_000))

    def look(*_: object) -> None:
        if next(seen) == looks:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "count", look)


@pytest.mark.parametrize(
    ("group", "refit"), [("g", True), (None, True), ("g", False)], ids=["levels", "rows", "held variances"]
)
def test_influence_must_keep_the_cases_that_are_done_when_interrupted(
    group: str | None, refit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = mf.lmm("y ~ x + (1 | g) + (1 | h)", data()).fit()
    whole = fit.diagnostics.influence(group, refit=refit)
    interrupt_after(monkeypatch, 7)
    with pytest.warns(
        mf.ConvergenceWarning, match=f"stopped after 7 of {len(whole.table)} cases, which are kept"
    ):
        part = fit.diagnostics.influence(group, refit=refit)
    for name in ("table", "dfbetas", "params", "variances", "variance_changes", "criterion"):
        np.testing.assert_array_equal(getattr(part, name).iloc[:7], getattr(whole, name).iloc[:7])
    assert part.cooks_distance.isna().to_list() == [False] * 7 + [True] * (len(whole.table) - 7)
    assert part.variances.iloc[7:].isna().all(axis=None)
    assert f"{len(whole.table) - 7} without estimates: not reached before the interrupt" in str(part)


def test_influence_must_pass_an_interrupt_on_when_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = mf.lmm("y ~ x + (1 | g) + (1 | h)", data()).fit()
    interrupt_after(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        fit.diagnostics.influence("g", refit=True)


def test_loo_must_keep_the_refits_that_are_done_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = mf.lmm("y ~ x + (1 | g)", data()).gibbs(draws=100, tune=100, chains=2, seed=1)
    monkeypatch.setattr(loo_module, "khat_threshold", lambda _: -10.0)  # every row is refitted
    asked: list[int] = []
    refit = loo_module._refit

    def counted(drawn: Any, by: str | None, unit: int, label: Any) -> tuple[float, float]:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(unit)
        return refit(drawn, by, unit, label)

    plain = posterior.loo()
    monkeypatch.setattr(loo_module, "_refit", counted)
    with pytest.warns(
        mf.SamplingWarning, match="stopped after 3 of 120 refits, which are kept; the other rows have"
    ):
        found = posterior.loo(refit=True)
    assert list(found.refitted) == [0, 1, 2]
    np.testing.assert_array_equal(found.pointwise.iloc[3:], plain.pointwise.iloc[3:])


def test_refit_of_loo_must_stop_and_not_keep_a_part_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rival counts a posterior of some draws as a refit and goes on with the next."""
    posterior = mf.lmm("y ~ x + (1 | g)", data()).gibbs(draws=100, tune=100, chains=2, seed=1)
    monkeypatch.setattr(loo_module, "khat_threshold", lambda _: -10.0)
    advance, calls = Chain.advance, iter(range(10_000))

    def interrupted(chain: Chain) -> bool:
        if next(calls) >= 40:
            raise KeyboardInterrupt
        return advance(chain)

    monkeypatch.setattr(Chain, "advance", interrupted)
    with pytest.warns(mf.SamplingWarning, match="of 120 refits, which are kept"):
        found = posterior.loo(refit=True)
    assert len(found.refitted) < 20
