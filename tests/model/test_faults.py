"""Faults of files and disks: a clear error or the right fit, and files that were there stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.design.stream import checkpoint

FORMULA = "y ~ x + (x | g)"


def rows(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "g": rng.integers(0, 12, n), "f": rng.choice(["a", "b"], n)}
    )
    frame["y"] = rng.normal(size=n) + rng.normal(size=12)[frame["g"]]
    return frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "rows"
    out.mkdir()
    for i, start in enumerate(range(0, 300, 60)):
        rows()[start : start + 60].to_parquet(out / f"{i}.parquet")
    return out


@pytest.fixture(params=["stream", "workers"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "stream":
        yield None
        return
    with ThreadPoolExecutor(2) as pool:
        yield pool


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def other_text(path: Path) -> None:
    pd.read_parquet(path).assign(x="text").to_parquet(path)


def other_column(path: Path) -> None:
    pd.read_parquet(path).rename(columns={"x": "z"}).to_parquet(path)


@pytest.mark.everyday(4)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (truncate, r"rows.* cannot be read"),
        (lambda path: path.write_bytes(b""), r"rows.* cannot be read"),
        (other_text, r"'x' holds labels in one batch and numbers in earlier"),
        (other_column, r"3\.parquet.*(no column 'x'|cannot be read)|no column 'x'"),
    ],
)
def test_faulty_file_of_a_folder_must_be_refused(
    fault: Callable[[Path], Any], words: str, folder: Path, executor: Executor | None
) -> None:
    fault(folder / "3.parquet")
    with pytest.raises(mf.DataError, match=words):
        mf.lmm(FORMULA, folder, batch_rows=60, executor=executor)


def test_file_without_a_complete_row_must_count_for_nothing(folder: Path, executor: Executor | None) -> None:
    pd.read_parquet(folder / "3.parquet").assign(x=np.nan).to_parquet(folder / "3.parquet")
    with pytest.warns(mf.MissingRowsWarning, match="60 of 300 rows"):
        fit = mf.lmm(FORMULA, folder, batch_rows=60, executor=executor).fit()
    frame = rows().drop(index=range(180, 240))
    np.testing.assert_allclose(fit.params, mf.lmm(FORMULA, frame).fit().params, rtol=1e-9)


def test_file_that_changes_between_the_passes_must_be_refused(
    folder: Path, executor: Executor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixedfit.model import lmm

    made = lmm.streamed_design

    def then_changed(*arguments: Any, **options: Any) -> Any:
        out = made(*arguments, **options)
        frame = pd.read_parquet(folder / "3.parquet")
        frame.assign(x=frame["x"] + 1e-9).to_parquet(folder / "3.parquet")
        return out

    monkeypatch.setattr(lmm, "streamed_design", then_changed)
    with pytest.raises(mf.DataError, match="gave other values than in the first pass"):
        mf.lmm(FORMULA, folder, batch_rows=60, executor=executor)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes."""
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# an older numpy leaves an archive that could not be written to the garbage collector
old_archives = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. .function ZipFile.__del__:pytest.PytestUnraisableExceptionWarning"
)


@old_archives
@pytest.mark.parametrize("kept", [True, False])
def test_fit_saved_before_must_stay_when_the_disk_is_full(kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    old = mf.lmm("y ~ x + (1 | g)", rows()).fit()
    old.save(path, rows=kept)
    with full_disk(1000), pytest.raises(mf.DataError, match=r"cannot write .*fit\.npz"):
        mf.lmm(FORMULA, rows()).fit().save(path, rows=kept)
    assert mf.load(path).formula == old.formula
    assert [one.name for one in tmp_path.iterdir()] == ["fit.npz"]


WRITERS: dict[str, Callable[[Path], Any]] = {
    "products": lambda path: mf.lmm(FORMULA, rows()).cross_products().save(path),
    "recipe": lambda path: mf.site_recipe("y ~ x + f + (1 | g)", rows()).save(path),
    "predictions": lambda path: mf.lmm(FORMULA, rows()).fit().scorer().to_parquet(rows(), path),
}


@old_archives
@pytest.mark.parametrize("what", WRITERS)
def test_no_part_of_a_file_must_be_left_when_the_disk_is_full(what: str, tmp_path: Path) -> None:
    with full_disk(100), pytest.raises(mf.DataError, match="cannot write"):
        WRITERS[what](tmp_path / "out")
    assert not list(tmp_path.iterdir())


@old_archives
def test_checkpoint_must_stay_readable_when_the_disk_is_full(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    kept = tmp_path / "kept"
    frames = [rows()[a : a + 50] for a in range(0, 300, 50)]
    own, calls = checkpoint.write_state, []

    def third_fails(path: Any, state: Any) -> None:
        calls.append(1)
        with full_disk(100 if len(calls) == 3 else 1 << 30):
            own(path, state)

    monkeypatch.setattr(checkpoint, "write_state", third_fails)
    with pytest.raises(mf.DataError, match=r"cannot write .*kept"):
        mf.lmm(FORMULA, frames, checkpoint=kept)
    fit = mf.lmm(FORMULA, frames, checkpoint=kept).fit()
    assert fit.params.tolist() == mf.lmm(FORMULA, frames).fit().params.tolist()
