"""Sampling until there are enough effective draws: the same draws, the limits, the printout, and the advice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal

import mixedfit as mf
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.draws.convergence import Mixing
from mixedfit.bayes.draws.queries import mixing_of
from mixedfit.bayes.sampler import arrays
from mixedfit.bayes.sampler.run_length import run_length

SEEDLINGS = "SeedlingWeight ~ Genotype + (1 | Tray)"


def seedlings() -> mf.LinearMixedModel:
    return mf.lmm(SEEDLINGS, mf.load_dataset("seedling_weight"))


MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "cross-products": ("sleepstudy", "Reaction ~ Days + (Days | Subject)", {}),
    "heavy tails": ("seedling_weight", SEEDLINGS, {"errors": mf.distributions.StudentT(5), "thin": 2}),
    "one factor at a time": ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", {}),
}


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
@pytest.mark.parametrize("name", MODELS)
def test_draws_must_be_those_of_a_fixed_number_when_the_run_is_extended(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chains that started anew, or adapted again, at an extension would differ after the first check."""
    dataset, formula, options = MODELS[name]
    if name == "one factor at a time":
        monkeypatch.setattr(arrays, "LARGEST_TAIL", 0)
    model = mf.lmm(formula, mf.load_dataset(dataset))
    options = {**options, "tune": 100, "chains": 2, "seed": 1}
    extended = model.gibbs(ess=700, max_draws=600, max_seconds=60, **options)
    fixed = model.gibbs(draws=extended.draws + 7, **options)
    assert extended.draws > 350  # the first check is at 350 draws
    for own, other in zip(extended.effects, fixed.effects, strict=True):
        np.testing.assert_array_equal(own, other[:, : extended.draws])
    for parameter in extended.names:
        np.testing.assert_array_equal(extended[parameter], fixed[parameter][:, : extended.draws])


def test_every_parameter_must_have_the_effective_draws_wanted() -> None:
    """Bulk alone would end too early where tails mix more slowly."""
    posterior = seedlings().gibbs(ess=1500, seed=1)
    table = posterior.summary()
    assert table[["ess_bulk", "ess_tail"]].to_numpy().min() >= 1500
    assert table["rhat"].max() <= 1.01
    assert posterior.draws < 4000
    least = mixing_of(posterior)
    assert posterior.ess_wanted == 1500
    assert posterior.ess[least.name] == posterior.ess.min() == pytest.approx(least.ess)
    assert posterior.rhat.equals(table["rhat"])
    assert f"Effective draws: {least.ess:.0f} for {least.name}, which has the fewest; wanted: 1500" in str(
        posterior
    )


@pytest.mark.parametrize(("ess", "limit", "first"), [(400, 9000, 250), (4000, 9000, 1000), (4000, 600, 600)])
def test_first_check_must_come_when_independent_draws_would_be_enough(
    ess: float, limit: int, first: int
) -> None:
    """Of four chains. Rival: as many draws of each chain as of all together."""
    length = run_length(None, ess, limit, None, 4)
    assert (length.draws, length.max_draws) == (first, limit)


def test_run_must_go_on_until_chains_have_mixed_when_so_many_draws_tell() -> None:
    """Below 100 effective draws a chain estimates of R̂ are not reliable, and do not count."""
    many, few = (run_length(None, ess, 9000, None, 4) for ess in (400, 399))
    assert many.is_enough(Mixing("x", 400, 1.01), 4)
    assert not many.is_enough(Mixing("x", 399, 1.0), 4)
    assert not many.is_enough(Mixing("x", 4000, 1.02), 4)
    assert few.is_enough(Mixing("x", 399, 1.5), 4)


@pytest.mark.parametrize(
    ("size", "drawn", "limit", "more"),
    [(200.0, 250, 9000, 300), (399.0, 250, 9000, 63), (1.0, 250, 9000, 750), (1.0, 250, 600, 350)],
)
def test_further_draws_must_be_as_predicted_within_limits(
    size: float, drawn: int, limit: int, more: int
) -> None:
    """1.1 × 400/ess × draws so far: at least a quarter more, at most four times, and not beyond the limit."""
    assert run_length(None, 400, limit, None, 4).more(Mixing("x", size, 1.0), drawn) == more


def test_parameter_without_an_effective_size_must_not_be_the_worst() -> None:
    """A parameter that is constant has none. Rival: NaN, which no number of draws exceeds."""
    assert Mixing.worst({"a": np.nan, "b": 50.0, "c": 60.0}, 1.0) == Mixing("b", 50.0, 1.0)
    assert Mixing.worst({"a": np.nan}, 1.0).ess == np.inf


def test_limit_must_be_in_the_printout_when_it_ends_the_run(tmp_path: Any) -> None:
    posterior = seedlings().gibbs(ess=399, max_draws=60, seed=1)
    assert posterior.draws == 60
    assert "wanted: 399; max_draws=60 ended the run" in str(posterior)
    assert "max_draws=" in posterior.warnings[-1]
    posterior.save(tmp_path / "posterior.npz")
    assert str(mf.load(tmp_path / "posterior.npz")) == str(posterior)


def test_time_must_end_the_run_and_keep_its_draws() -> None:
    seedlings().gibbs(draws=4, tune=0, seed=1)  # compiles
    with pytest.warns(mf.SamplingWarning, match=r"draws a chain by max_seconds=0\.2; these are kept"):
        posterior = seedlings().gibbs(ess=1e9, max_draws=10**8, tune=10, max_seconds=0.2, seed=1)
    assert posterior.draws >= 4
    assert posterior.seconds < 20
    with pytest.raises(mf.ModelError, match="there are no draws; give more time"):
        seedlings().gibbs(ess=100, tune=10**6, max_seconds=0.01, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 10, "ess": 100}, "both given"),
        ({"ess": 0}, "ess is 0"),
        ({"ess": True}, "ess is True"),
        ({"ess": float("nan")}, "ess is nan"),
        ({"ess": 100, "max_draws": 0}, "max_draws is 0"),
        ({"max_seconds": 0}, "max_seconds is 0"),
        ({"max_seconds": "1"}, "max_seconds is '1'"),
    ],
)
def test_options_that_are_not_valid_must_be_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        seedlings().gibbs(**options)


def autoregressive(correlation: float, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Four stationary chains x_t = ρ x_{t−1} + ε_t."""
    noise = rng.standard_normal((4, draws))
    noise[:, 0] /= np.sqrt(1 - correlation**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -correlation], noise, axis=1))


@pytest.mark.parametrize("correlation", [0.8, 0.95, 0.98])
def test_number_of_draws_advised_must_be_enough_nearly_always(correlation: float) -> None:
    """The plain ratio of effective draws wanted and present would be too few in about half of the runs."""
    rng = np.random.default_rng(1)
    enough = []
    for _ in range(60):
        size = convergence.ess_bulk(autoregressive(correlation, 500, rng))
        needed = convergence.draws_needed(500, size, 400)
        tau = (1 + correlation) / (1 - correlation)
        enough.append(4 * needed / tau >= 400)
    assert np.mean(enough) > 0.9


def test_one_warning_must_state_what_the_printout_says_when_draws_are_worth_few() -> None:
    """Only the printout said so, which a script does not show."""
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    errors = mf.distributions.StudentT("estimate")
    with pytest.warns(mf.SamplingWarning) as caught:
        posterior = model.gibbs(draws=100, seed=1, errors=errors, sigma="by:Subject")
    assert len(caught) == 1
    assert str(caught[0].message) == " ".join(posterior.warnings)
    least = mixing_of(posterior)
    assert least.ess < 100  # of 400 draws
    assert f"{least.name} has {least.ess:.0f} effective draws, fewer than 400; take draws=" in str(posterior)


@pytest.mark.parametrize("options", [{"draws": 99, "tune": 20}, {"draws": 120}])
def test_nothing_must_be_warned_when_few_draws_were_wanted(options: dict[str, Any]) -> None:
    posterior = seedlings().gibbs(seed=1, **options)
    assert posterior.warnings  # fewer than 400 effective draws, or R̂ by chance: the printout has it
