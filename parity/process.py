"""A process that judges, as its parent sees it: started when it is first asked, ended with all that it started."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

# Seconds that a process may take to import everything; and between two looks at whether it still lives.
START = 300.0
LOOK = 0.2
# Bytes of its standard error that are searched for the last line.
TAIL = 2**16


class UsageError(Exception):
    """What was asked for cannot be done: one line, and status 2."""


class Stopped(Exception):
    """Somebody asked everything to stop."""


class Died(Exception):
    """The process ended or hung; what it was trying last, and how many configurations it had begun."""

    def __init__(self, how: str, trying: dict[str, Any] | None = None, tried: int = 0) -> None:
        super().__init__(how)
        self.trying, self.tried = trying, tried


@dataclass(frozen=True)
class Setup:
    """What every process is started with; `timeout` in seconds for one case, `ready` once one of them has loaded it."""

    spec: str
    device: str = "cpu"
    under: tuple[str, ...] = ()
    timeout: float = 300.0
    ready: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)


class Worker:
    """One process, started when it is first asked, and again after it died."""

    def __init__(self, setup: Setup, stop: threading.Event) -> None:
        self.setup, self.stopping = setup, stop
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any], on_try: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The answer; on_try is called for each configuration that it begins.

        Raises:
            UsageError: the implementation has never been loaded, and cannot be.
            Died: the process does not answer.
            Stopped: somebody set `stop`.
        """
        process = self.process or self._start()
        self.mark = os.fstat(self.errors.fileno()).st_size
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # the answer says how it ended
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        trying, tried = None, 0
        try:
            while "trying" in (found := self._line(process, self.setup.timeout)):
                trying, tried = found["trying"], tried + 1
                on_try()
        except Died as death:
            raise Died(str(death), trying, tried) from None
        return found

    def stop(self) -> None:
        """Ends the process, and those that it started."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            self.process = None
            self.errors.close()

    def _start(self) -> "subprocess.Popen[str]":
        setup = self.setup
        settings = {"spec": setup.spec, "device": setup.device, "under": setup.under, "parent": os.getpid()}
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        self.mark = 0
        self.lines: queue.Queue[str] = queue.Queue()
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", "tembed.parity.worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(process.stdout, self.lines), daemon=True).start()
        try:
            error = self._line(process, START).get("error")
        except Died as death:
            error = str(death)
        if error:
            self.stop()
            if setup.ready.is_set():  # it has been loaded before, so that this is no wrong usage
                raise Died(f"the process could not be started again: {error}")
            raise UsageError(f"{setup.spec}: {error}")
        setup.ready.set()
        return process

    @staticmethod
    def _read(pipe: Iterable[str], lines: "queue.Queue[str]") -> None:
        for line in pipe:
            lines.put(line)
        lines.put("")

    def _line(self, process: "subprocess.Popen[str]", timeout: float) -> dict[str, Any]:
        """What the process says next."""
        until, ended = time.monotonic() + timeout, False
        while True:
            try:
                line = self.lines.get(timeout=LOOK)
                break
            except queue.Empty:
                if self.stopping.is_set():
                    raise Stopped from None
                if ended:  # and a process that it forked keeps the pipe open
                    line = ""
                    break
                ended = process.poll() is not None
                if not ended and time.monotonic() >= until:
                    self.stop()
                    raise Died(f"no answer within {timeout:g} s") from None
        if line:
            return dict(json.loads(line))
        how = self._end(process)
        self.stop()
        raise Died(how)

    def _end(self, process: "subprocess.Popen[str]") -> str:
        """How a process ended that says nothing more, with the last line of its standard error."""
        try:
            code = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "the process closed the pipe for its answers"
        how = f"exit status {code}"
        if code < 0:
            with suppress(ValueError):  # a signal without a name
                how = signal.Signals(-code).name
        size = os.fstat(self.errors.fileno()).st_size
        begin = max(self.mark, size - TAIL)
        text = os.pread(self.errors.fileno(), size - begin, begin).decode(errors="replace")
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
        return f"the process ended with {how}" + (f": {last[:300]}" if last else "")
