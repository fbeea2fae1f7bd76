"""Runs cases in processes of their own, several at a time; one that dies or hangs costs its case only."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .cases import Case
from .judge import Result
from .process import LOOK, Died, Setup, Stopped, Worker

# Random configurations that one process draws from one seed.
BATCH = 500
# The feature that results of random configurations belong to.
RANDOM = "random configurations"


def _spread(
    setup: Setup,
    requests: Sequence[dict[str, Any]],
    jobs: int,
    on_answer: Callable[[int, dict[str, Any]], None],
    stop: threading.Event,
    on_try: Callable[[], None] = lambda: None,
) -> None:
    """Asks each request of one of so many processes, until `stop`; the first exception but Died stops all."""
    waiting = deque(enumerate(requests))
    lock = threading.Lock()
    errors: list[BaseException] = []

    def serve() -> None:
        worker = Worker(setup, stop)
        try:
            while not stop.is_set():
                with lock:
                    if not waiting:
                        return
                    i, request = waiting.popleft()
                try:
                    found = worker.ask(request, on_try)
                except Died as death:
                    found = {"died": str(death), "trying": death.trying, "ran": death.tried}
                with lock:
                    on_answer(i, found)
        except Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            worker.stop()

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(max(1, min(jobs, len(requests))))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(LOOK)
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise errors[0]


def run(
    cases: Sequence[Case],
    setup: Setup,
    jobs: int,
    on_result: Callable[[Result], None],
    stop: threading.Event | None = None,
) -> list[Result]:
    """Results in the order of the cases; those that there are, once `stop` is set."""
    results: dict[int, Result] = {}

    def keep(i: int, found: dict[str, Any]) -> None:
        case = cases[i]
        if "died" in found:
            results[i] = Result(case.name, case.feature.group, case.feature.name, "crash", found["died"])
        else:
            results[i] = Result(**found)
        on_result(results[i])

    _spread(setup, [{"case": case.name} for case in cases], jobs, keep, stop or threading.Event())
    return [results[i] for i in sorted(results)]


@dataclass(frozen=True)
class Batch:
    """Random configurations of one seed: how many ran, the smallest that failed, how many it does not offer."""

    seed: int
    ran: int
    failure: Result | None = None
    missing: int = 0

    @property
    def result(self) -> Result:
        """The failure, or that there was none."""
        outcome = "missing" if self.ran and self.missing == self.ran else "pass"
        message = "options that it does not offer" if outcome == "missing" else ""
        return self.failure or Result(f"fuzz/seed {self.seed}", "fuzz", RANDOM, outcome, message, f"{self.ran} of them")


def failure_of(seed: int, found: dict[str, Any]) -> Result | None:
    """The failure in an answer; its name has the configuration, or only the seed if the process died before it."""
    from .fuzz import case_of  # needs hypothesis

    died = found.get("died")
    data = found["trying"] if died else found["failure"]
    if not died and data is None:
        return None
    name = case_of(data).name if data else f"fuzz/seed {seed}"
    outcome, message = ("crash", died) if died else ("fail", found["message"])
    return Result(name, "fuzz", RANDOM, outcome, message)


def run_fuzz(
    setup: Setup,
    examples: int,
    seed: int,
    jobs: int,
    on_batch: Callable[[Batch], None] = lambda batch: None,
    on_try: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
    batch: int = BATCH,
) -> list[Batch]:
    """Runs random configurations in batches of so many, of seed, seed + 1, …; each ends at its first failure.

    on_try is called when one is begun, those of shrinking included.
    """
    sizes = [min(batch, examples - begin) for begin in range(0, examples, batch)]
    batches: dict[int, Batch] = {}

    def keep(i: int, found: dict[str, Any]) -> None:
        ran = min(found["ran"], sizes[i])
        batches[i] = Batch(seed + i, ran, failure_of(seed + i, found), found.get("missing", 0))
        on_batch(batches[i])

    requests = [{"seed": seed + i, "examples": n} for i, n in enumerate(sizes)]
    _spread(setup, requests, jobs, keep, stop or threading.Event(), on_try)
    return [batches[i] for i in sorted(batches)]
