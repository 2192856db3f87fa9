"""When kernels are compiled, and that Python and machine code give the same fits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import mixedfit as mf
from mixedfit.kernels import _compile, compiled
from mixedfit.kernels._compile import Kernel

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "Pastes": "strength ~ 1 + (1 | batch/cask)",
    "Machines": "score ~ Machine + (Machine | Worker)",
    "Dyestuff2": "Yield ~ 1 + (1 | Batch)",
}


@pytest.fixture
def interpreting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python run all kernels."""
    monkeypatch.setattr(Kernel, "__call__", lambda self, *arguments: self.py_func(*arguments))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A kernel of which nothing is compiled, with a second to spend, and what it sums up."""
    monkeypatch.setattr(_compile._Account, "left", 1.0)

    def total(values: Any, rng: Any = None) -> float:
        out = 0.0
        for value in values:
            out += value
        return out

    return Kernel(total, numba.njit(total))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("interpreting")
def test_python_must_give_the_fit_of_machine_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mf.load_dataset(name)
    with np.errstate(all="ignore"):
        ours = mf.lmm(MODELS[name], data).fit()
    monkeypatch.undo()
    theirs = mf.lmm(MODELS[name], data).fit()
    assert ours.reml_criterion == pytest.approx(theirs.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(ours.theta, theirs.theta, atol=1e-6)
    assert ours.convergence.status == theirs.convergence.status


def test_few_numbers_must_not_be_compiled_for(toy: Any) -> None:
    assert toy(np.arange(4.0)) == 6.0
    assert not toy.dispatcher.signatures


def test_many_numbers_must_be_compiled_for(toy: Any) -> None:
    assert toy(np.ones(_compile.FEW + 1)) == _compile.FEW + 1
    assert toy.dispatcher.signatures


def test_calls_after_the_budget_must_be_compiled_for(toy: Any) -> None:
    toy(np.ones(3))
    _compile._Account.left = 0.0
    assert toy(np.ones(3)) == 3.0
    assert toy.dispatcher.signatures


def test_time_that_python_takes_must_count(toy: Any) -> None:
    toy(np.ones(1000))
    assert _compile._Account.left < 1.0


def test_loops_that_draw_must_be_compiled_for(toy: Any) -> None:
    toy(np.ones(3), np.random.default_rng(1))
    assert toy.dispatcher.signatures


def test_compiled_must_compile_and_then_give_the_budget_back(toy: Any) -> None:
    with compiled():
        toy(np.ones(3))
    assert toy.dispatcher.signatures
    assert _compile._Account.left == 1.0


def test_division_by_zero_must_not_warn() -> None:
    def over(values: Any) -> float:
        return float(1.0 / values[0])

    assert Kernel(over, numba.njit(over))._interpreted((np.zeros(1),)) == np.inf


def test_a_kernel_called_by_a_compiled_one_must_be_compiled_into_it(toy: Any) -> None:
    @numba.njit
    def twice(values: Any) -> float:
        return 2.0 * toy(values)

    assert twice(np.ones(3)) == 6.0


def test_a_first_small_fit_must_compile_nothing(tmp_path: Path) -> None:
    code = f"""
import mixedfit as mf
from pathlib import Path
data = mf.load_dataset("sleepstudy")
mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit().summary()
print(len(list(Path({str(tmp_path)!r}).rglob("*.nbc"))))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    environment.pop("MIXEDFIT_COMPILE", None)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["0"]


@pytest.mark.parametrize("name", MODELS)
def test_whole_and_stepwise_search_must_give_equal_digits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mf.lmm(MODELS[name], mf.load_dataset(name))
    found = []
    for ready in (False, True):
        monkeypatch.setattr(Kernel, "is_ready", lambda self, ready=ready: ready)
        found.append(model.fit())
    assert np.array_equal(found[0].theta, found[1].theta)
    assert found[0].reml_criterion == found[1].reml_criterion


def test_kernel_must_be_ready_once_it_is_compiled(toy: Any) -> None:
    assert not toy.is_ready()
    _compile._Account.left = 0.0
    toy(np.ones(3))
    assert toy.is_ready()
