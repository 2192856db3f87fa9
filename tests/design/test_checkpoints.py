"""A pass that was interrupted goes on from its checkpoint and gives the fit of an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import interrupted
import numpy as np
import pandas as pd
import pytest
from paths import ROOT

import mixedfit as mf
from mixedfit.core.state_file import read_state, write_state
from mixedfit.design.stream import checkpoint as module

FORMULA = interrupted.FORMULA


def rows(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "x": rng.normal(2, 1, n) + np.arange(n) / 50,
            "f": rng.choice(["lo", "mid", "hi"], n),
            "g": rng.integers(0, 15, n),
            "h": rng.choice(list("abcdefg"), n),
            "w": rng.choice([1.0, 2.0], n),
        }
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=15)[frame["g"]] * frame["x"]
    return frame


def parts() -> list[pd.DataFrame]:
    frame = rows()
    return [frame.iloc[a : a + 40] for a in range(0, 400, 40)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "rows"
    out.mkdir()
    for i, part in enumerate(parts()):
        part.to_parquet(out / f"{i:02}.parquet")
    return out


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.0)


class Stops:
    """Frames that end in an error in some walk, and count those that were yielded."""

    def __init__(self, walk: int, after: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.walk, self.after, self.error = walk, after, error
        self.walks, self.yielded = 0, 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.walks += 1
        for i, part in enumerate(parts()):
            if self.walks == self.walk and i == self.after:
                raise self.error
            self.yielded += 1
            yield part


def stopped_at(kept: Path, walk: int, after: int, formula: str = FORMULA, **options: Any) -> None:
    """Leave the checkpoint of a pass that an interrupt ended; the first walk of frames is for their columns."""
    with pytest.raises(KeyboardInterrupt):
        mf.lmm(formula, Stops(walk, after), checkpoint=kept, **options)
    assert kept.exists()


@pytest.mark.everyday(1)
@pytest.mark.parametrize(("walk", "after", "weights"), [(2, 9, None), (3, 1, None), (3, 6, "w")])
def test_pass_must_go_on_to_the_same_fit(walk: int, after: int, weights: str | None, tmp_path: Path) -> None:
    """Bit for bit: rounding depends on the batches, which are the same."""
    kept = tmp_path / "kept"
    stopped_at(kept, walk, after, weights=weights)
    found = mf.lmm(FORMULA, parts(), weights=weights, checkpoint=kept)
    assert not kept.exists()
    expected = mf.lmm(FORMULA, parts(), weights=weights)
    one, other = expected.fit(), found.fit()
    assert other.params.tolist() == one.params.tolist()
    assert other.theta.tolist() == one.theta.tolist()
    np.testing.assert_array_equal(other.fittedvalues, one.fittedvalues)
    pd.testing.assert_frame_equal(other.emmeans("f").table, one.emmeans("f").table)


@pytest.mark.everyday(1)
@pytest.mark.parametrize("formula", ["y ~ poly(x, 2) + (1 | f)", "y ~ C(g) + (1 | h)", "y ~ x + f"])
def test_formula_must_go_on_to_the_same_fit(formula: str, tmp_path: Path) -> None:
    for walk in (2, 3):
        stopped_at(tmp_path / "kept", walk, 4, formula)
        found = mf.lmm(formula, parts(), checkpoint=tmp_path / "kept").fit()
        assert found.params.tolist() == mf.lmm(formula, parts()).fit().params.tolist()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_killed_and_interrupted_programs_must_go_on(folder: Path, tmp_path: Path) -> None:
    """SIGKILL in the first pass, SIGINT in the second; no part is read again before the place where it stopped."""
    kept, begun = tmp_path / "kept", []
    for sign, count in ((signal.SIGKILL, 4), (signal.SIGINT, 10)):
        with subprocess.Popen(
            [sys.executable, "-m", "interrupted", str(folder), str(kept)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                **os.environ,
                "MIXEDFIT_COMPILE": "always",
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            },
        ) as program:
            assert program.stdout is not None
            lines = [program.stdout.readline().strip() for _ in range(count)]
            program.send_signal(sign)
            assert program.wait(60) != 0
        begun.append(lines)
    names = [Path(line).name for line in begun[1]]
    start = int(names[0].split(".")[0])
    assert 2 <= start <= 8
    assert names == [f"{(start + i) % 10:02}.parquet" for i in range(10)]
    stored = read_state(kept)
    assert stored["pass"] == "second"
    assert stored["parts"] >= 1
    fit = mf.lmm(FORMULA, folder, batch_rows=40, checkpoint=kept).fit()
    assert fit.params.tolist() == mf.lmm(FORMULA, folder, batch_rows=40).fit().params.tolist()


def test_parts_of_files_must_not_be_read_again(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    kept, read = tmp_path / "kept", []
    from mixedfit.design.stream.pieces import ParquetRows

    own = ParquetRows.__call__

    def noting(self: ParquetRows, names: Any) -> Iterator[Any]:
        read.append(Path(self.pieces[0][0]).name)
        if len(read) == 10 + 6:
            raise KeyboardInterrupt
        yield from own(self, names)

    monkeypatch.setattr(ParquetRows, "__call__", noting)
    with pytest.raises(KeyboardInterrupt):
        mf.lmm(FORMULA, folder, batch_rows=40, checkpoint=kept)
    mf.lmm(FORMULA, folder, batch_rows=40, checkpoint=kept)
    assert read[16:] == [f"{i:02}.parquet" for i in range(5, 10)]


CHANGES: dict[str, Callable[[list[pd.DataFrame]], Any]] = {
    "a value": lambda own: [own[0].assign(y=1.0), *own[1:]],
    "fewer rows": lambda own: own[:3],
}


@pytest.mark.everyday(2)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("walk", [2, 3])
def test_changed_frames_must_be_refused(change: str, walk: int, tmp_path: Path) -> None:
    stopped_at(tmp_path / "kept", walk, 4)
    with pytest.raises(mf.DataError, match=r"has changed since the checkpoint .* Remove the checkpoint"):
        mf.lmm(FORMULA, CHANGES[change](parts()), checkpoint=tmp_path / "kept")


def test_changed_file_must_be_refused(tmp_path: Path) -> None:
    path, kept = tmp_path / "rows.csv", tmp_path / "kept"
    rows().to_csv(path, index=False)
    with pytest.raises(KeyboardInterrupt):
        mf.lmm("y ~ stop(x) + (1 | g)", path, batch_rows=50, checkpoint=kept, context={"stop": interrupt})
    rows().iloc[1:].to_csv(path, index=False)
    with pytest.raises(mf.DataError, match="other sizes or times"):
        mf.lmm("y ~ stop(x) + (1 | g)", path, batch_rows=50, checkpoint=kept, context={"stop": interrupt})


def interrupt(x: Any) -> Any:
    if len(x) == 50:
        raise KeyboardInterrupt
    return x


def test_checkpoint_of_another_model_must_be_refused(tmp_path: Path) -> None:
    stopped_at(tmp_path / "kept", 2, 4)
    with pytest.raises(
        mf.DataError, match=r"is of another model: formula was .* and is 'y ~ x \+ \(1 \| g\)'"
    ):
        mf.lmm("y ~ x + (1 | g)", parts(), checkpoint=tmp_path / "kept")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 damaged"])
def test_damaged_checkpoint_must_be_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(content)
    with pytest.raises(mf.DataError, match=r"is damaged"):
        mf.lmm(FORMULA, parts(), checkpoint=tmp_path / "kept")


def test_state_of_something_else_must_be_refused(tmp_path: Path) -> None:
    write_state(tmp_path / "kept", {"n": 1})
    with pytest.raises(mf.DataError, match="is no checkpoint"):
        mf.lmm(FORMULA, parts(), checkpoint=tmp_path / "kept")


def test_frame_in_memory_must_be_refused(tmp_path: Path) -> None:
    with pytest.raises(mf.ModelError, match=r"checkpoint= is for sources"):
        mf.lmm(FORMULA, rows(), checkpoint=tmp_path / "kept")
