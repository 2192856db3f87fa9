"""A worker process: asked in JSON lines, watched for time and memory."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from programs import Start

__all__ = ["Worker", "WorkerError"]

WATCH = 0.2
"""Seconds between two looks at a busy worker's memory."""

GRACE = 5.0
"""Seconds that a worker is given to end by itself."""


class WorkerError(Exception):
    """A worker process ended or was ended, with the reason."""


class Worker:
    """A process that answers one request at a time.

    Parameters
    ----------
    start : Start
    timeout : float
        Seconds for an answer, unless `ask` says otherwise.
    memory : float
        MB of resident memory at which the process is ended.
    """

    def __init__(self, start: Start, *, timeout: float, memory: float) -> None:
        self.timeout, self.memory = timeout, memory
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            start.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **start.environment},
            bufsize=0,
        )
        self._unread = b""

    def ask(self, request: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Return the answer to a request.

        Raises
        ------
        WorkerError
            If the process has ended, or takes more time or memory than it is allowed.
        """
        assert self._process.stdin is not None
        limit = self.timeout if timeout is None else timeout
        with suppress(BrokenPipeError):  # reading tells why
            self._process.stdin.write((json.dumps(request) + "\n").encode())
        answer: dict[str, Any] = json.loads(self._read_line(monotonic() + limit, limit))
        return answer

    def _read_line(self, deadline: float, limit: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], WATCH)
            if ready:
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    raise WorkerError(self._last_words())
                self._unread += chunk
            elif monotonic() > deadline:
                self.close(at_once=True)
                raise WorkerError(f"stopped after {limit:.0f} s")
            elif (self.resident() or 0.0) > self.memory:
                self.close(at_once=True)
                raise WorkerError(f"stopped at {self.memory / 1000:.1f} GB of memory")
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _last_words(self) -> str:
        """Return why the process ended: its signal or code, and the last line of its errors."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = [text for text in self._errors.read().decode(errors="replace").splitlines() if text.strip()]
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{how}: {lines[-1].strip()[:120]}" if lines else how

    def resident(self) -> float | None:
        """Return the resident memory, MB; None where the system does not tell."""
        return self._status("VmRSS")

    def peak(self) -> float | None:
        """Return the greatest resident memory since `reset_peak`, MB."""
        return self._status("VmHWM")

    def reset_peak(self) -> None:
        """Let the peak begin anew at the present level (Linux; elsewhere `peak` says nothing)."""
        try:
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return

    def _status(self, field: str) -> float | None:
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            return None
        return next((int(x.split()[1]) * 1024 / 1e6 for x in lines if x.startswith(f"{field}:")), None)

    def close(self, at_once: bool = False) -> None:
        """End the process."""
        if self._process.poll() is None and not at_once:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(b'{"do": "quit"}\n')
                self._process.wait(GRACE)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                at_once = True
        if self._process.poll() is None and at_once:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
