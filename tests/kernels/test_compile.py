"""When kernels are compiled, and that Python and machine code give the same fits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
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


@pytest.mark.everyday(2)
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


@pytest.mark.usefixtures("interpreting")
def test_python_must_give_the_relationships_of_a_pedigree() -> None:
    """A child of full sibs has F = 1/4. Rival: numpy's sum of two booleans is a boolean, and each has one parent."""
    known = mf.Known.from_pedigree({"animal": [3, 4, 5], "sire": [1, 1, 3], "dam": [2, 2, 4]})
    assert known.inbreeding is not None
    assert known.inbreeding.to_dict() == {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.25}
    assert known.covariance.loc[3, 4] == pytest.approx(0.5)
    assert known.covariance.loc[5, 5] == pytest.approx(1.25)


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


def test_numbers_in_tuples_must_count(toy: Any) -> None:
    assert _compile._elements((np.ones(3), (np.ones(4), (np.ones(5), 2.0)))) == 12
    assert _compile._elements(((np.random.default_rng(1),),)) == np.inf


def test_few_numbers_must_take_the_compiled_version_once_there_is_one(toy: Any) -> None:
    """Rival: Python runs small calls until the budget is spent."""
    toy(np.ones(_compile.FEW + 1))
    toy(np.ones(1000))
    assert _compile._Account.left == 1.0


def test_kernel_must_call_others_in_python_while_python_runs_it(toy: Any) -> None:
    """Rival: the inner kernel has more numbers than Python takes, and is compiled for one small call."""

    def repeated(values: Any) -> float:
        return float(toy(np.repeat(values, _compile.FEW)))

    outer = Kernel(repeated, numba.njit(lambda values: 0.0))
    assert outer(np.ones(2)) == 2.0 * _compile.FEW
    assert not toy.dispatcher.signatures
    assert not _compile._mode.inside
    toy(np.ones(_compile.FEW + 1))
    assert toy.dispatcher.signatures


def test_error_in_a_kernel_must_end_the_run_in_python(toy: Any) -> None:
    def failing(values: Any) -> float:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        Kernel(failing, numba.njit(failing))(np.ones(1))
    assert not _compile._mode.inside


@pytest.mark.parametrize(
    ("ages", "expected"), [([], False), ([-10.0], False), ([10.0], True), ([-10.0, 10.0], True)]
)
def test_compiled_version_must_count_unless_it_is_older_than_the_source(
    ages: list[float], expected: bool, tmp_path: Path
) -> None:
    """`ages` are the seconds after the source at which index files were written. Rivals: any file; the oldest one."""
    source = tmp_path / "source.py"
    source.write_text("def twice(values):\n    return 2.0 * values.sum()\n")
    names: dict[str, Any] = {}
    exec(compile(source.read_text(), str(source), "exec"), names)
    made = Kernel(names["twice"], numba.njit(names["twice"]))
    written = source.stat().st_mtime
    for number, age in enumerate(ages):
        path = tmp_path / f"source.twice-1.py31{number}.nbi"
        path.touch()
        os.utime(path, (written + age, written + age))
    (tmp_path / "source.twice_more-1.py311.nbi").touch()
    (tmp_path / "source.twice-7.py311.nbi").touch()
    made.dispatcher = SimpleNamespace(stats=SimpleNamespace(cache_path=str(tmp_path)))
    assert made.is_cached() == expected


def test_few_numbers_must_take_the_version_on_disk(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "is_cached", lambda self: True)
    assert toy(np.ones(3)) == 3.0
    assert toy.dispatcher.signatures


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


@pytest.mark.everyday(2)
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
