"""Runs cases in processes of their own, several at a time; one that dies or hangs costs its case only."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .cases import Case
from .fuzz import case_of
from .judge import Result

# Random configurations that one process draws from one seed.
BATCH = 500
# Seconds that a process may take to import everything.
START = 300.0


class Died(Exception):
    """The process ended or hung; what it was trying last, and how it ended."""

    def __init__(self, how: str, trying: dict[str, Any] | None) -> None:
        super().__init__(how)
        self.trying = trying


@dataclass(frozen=True)
class Setup:
    """What every process is started with; `timeout` in seconds for one case."""

    spec: str
    device: str = "cpu"
    under: tuple[str, ...] = ()
    timeout: float = 300.0


class Worker:
    """One process, started when it is first asked, and again after it died."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer; ValueError if the implementation cannot be loaded, Died if the process does not answer."""
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.mark = self.errors.seek(0, os.SEEK_END)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says how it ended
        trying = None
        while "trying" in (found := self._line(self.setup.timeout, trying)):
            trying = found["trying"]
        return found

    def stop(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _start(self) -> None:
        settings = {"spec": self.setup.spec, "device": self.setup.device, "under": self.setup.under}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the process)
        self.mark = 0
        self.lines: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tembed.parity.worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        )
        threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True).start()
        if (found := self._line(START)).get("error"):
            self.stop()
            raise ValueError(f"{self.setup.spec}: {found['error']}")

    @staticmethod
    def _read(pipe: Iterable[str], lines: "queue.Queue[str]") -> None:
        for line in pipe:
            lines.put(line)
        lines.put("")

    def _line(self, timeout: float, trying: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            self.stop()
            raise Died(f"no answer within {timeout:g} s", trying) from None
        if line:
            return dict(json.loads(line))
        assert self.process is not None
        code = self.process.wait()
        self.process = None
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        self.errors.seek(self.mark)
        last = next((text.strip() for text in reversed(self.errors.readlines()) if text.strip()), "")
        raise Died(f"the process ended with {how}" + (f": {last[:300]}" if last else ""), trying)


def _spread(
    setup: Setup, requests: Sequence[dict[str, Any]], jobs: int, on_answer: Callable[[int, dict[str, Any]], None]
) -> None:
    """Asks each request of one of so many processes; the first exception but Died ends all and is raised."""
    waiting = deque(enumerate(requests))
    lock = threading.Lock()
    errors: list[BaseException] = []

    def serve() -> None:
        worker = Worker(setup)
        try:
            while not errors:
                with lock:
                    if not waiting:
                        return
                    i, request = waiting.popleft()
                try:
                    found = worker.ask(request)
                except Died as death:
                    found = {"died": str(death), "trying": death.trying}
                with lock:
                    on_answer(i, found)
        except BaseException as error:
            errors.append(error)
        finally:
            worker.stop()

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(max(1, min(jobs, len(requests))))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def run(cases: Sequence[Case], setup: Setup, jobs: int, on_result: Callable[[Result], None]) -> list[Result]:
    """Results in the order of the cases."""
    results: dict[int, Result] = {}

    def keep(i: int, found: dict[str, Any]) -> None:
        case = cases[i]
        if "died" in found:
            results[i] = Result(case.name, case.feature.group, case.feature.name, "crash", found["died"])
        else:
            results[i] = Result(**found)
        on_result(results[i])

    _spread(setup, [{"case": case.name} for case in cases], jobs, keep)
    return [results[i] for i in range(len(cases))]


@dataclass(frozen=True)
class Batch:
    """Random configurations of one seed: how many ran, and the smallest that failed."""

    seed: int
    ran: int
    failure: Result | None = None


def run_fuzz(setup: Setup, examples: int, seed: int, jobs: int, on_batch: Callable[[Batch], None]) -> list[Batch]:
    """Runs random configurations in batches, of seed, seed + 1, …; each ends at its first failure."""
    sizes = [min(BATCH, examples - begin) for begin in range(0, examples, BATCH)]
    batches: dict[int, Batch] = {}

    def keep(i: int, found: dict[str, Any]) -> None:
        died = found.get("died", "")
        failed, failure = found["trying"] if died else found["failure"], None
        if died or failed is not None:
            name = case_of(failed or {}).name
            outcome, message = ("crash", died) if died else ("fail", found["message"])
            failure = Result(name, "fuzz", "random configurations", outcome, message)
        batches[i] = Batch(seed + i, found.get("ran", 0), failure)
        on_batch(batches[i])

    _spread(setup, [{"seed": seed + i, "examples": n} for i, n in enumerate(sizes)], jobs, keep)
    return [batches[i] for i in range(len(sizes))]
