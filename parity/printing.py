"""What a person reads while it runs and afterwards: progress, failures with a command for each, tables."""

import argparse
import io
import os
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import report
from .arguments import TIMEOUT
from .cases import Case
from .documents import Data, failures, feature_data, shortcomings

SHOWN = 10  # failures printed; the JSON file and the report have all
EVERY = 30.0  # seconds between lines of progress where there is no bar


def safe_output() -> None:
    """Standard output escapes what its encoding lacks, instead of raising."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def to_reader() -> Iterator[None]:
    """For printing to a pipe whose reader may leave: the rest is dropped then."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


class Progress:
    """A bar where standard error is a terminal and tqdm is there, a plain line now and then elsewhere."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done, self.seen = 0, Counter[str]()
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        self.begin, self.ended, self.lock = time.monotonic(), threading.Event(), threading.Lock()
        if self.total and sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                pass
            else:
                self.bar = tqdm(total=self.total, unit=self.unit, desc=self.what)
        if self.total and self.bar is None:
            threading.Thread(target=self._lines, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        if self.bar is not None:
            self.bar.close()

    def step(self, outcome: str = "pass") -> None:
        """One more; those beyond the total, of shrinking, are not counted."""
        with self.lock:
            self.seen[outcome] += 1
            if self.done < self.total:
                self.done += 1
                if self.bar is not None:
                    self.bar.set_postfix({k: v for k, v in self.seen.items() if k != "pass"}, refresh=False)
                    self.bar.update()

    def _lines(self) -> None:
        while not self.ended.wait(EVERY):
            others = "".join(f", {n} {outcome}" for outcome, n in self.seen.items() if outcome != "pass")
            seconds = time.monotonic() - self.begin
            text = f"{self.what}: {self.done} of {self.total} {self.unit}s in {seconds:.0f} s{others}"
            print(text, file=sys.stderr, flush=True)


def listing(cases: list[Case]) -> None:
    """Prints the cases under the features they belong to."""
    last = None
    for case in cases:
        if case.feature is not last:
            last = case.feature
            tag = last.claim + (f", deviation {last.deviation}" if last.deviation else "")
            print(f"\n{last.group}/{last.name}: {last.says} [{tag}]")
        print(f"    {case.name}")
    features = {tuple(feature_data(case).values()) for case in cases}
    print(f"\n{len(cases)} cases of {len(features)} features")


def outcome(document: Data, args: argparse.Namespace) -> None:
    """Prints what came out: each implementation's random configurations and first failures, then the table."""
    for column in document["implementations"]:
        name, bad = column["name"], failures(column)
        if column.get("fuzz") and not column.get("earlier"):
            print(random_configurations(name, column["fuzz"], bad))
        for result in telling(bad)[:SHOWN]:
            again = repeat(column, result["case"], args)
            print(f"{result['outcome'].upper()}  {result['case']}\n    {result['message']}\n    {again}")
        if len(bad) > SHOWN:
            print(f"… and {len(bad) - SHOWN} more of {name}: --report and --json have all")
        for text in [] if document["interrupted"] else shortcomings(column):
            print(f"{name}: {text}")
    if any(column["results"] for column in document["implementations"]):
        print("\n" + report.table(document), end="")
    if document["interrupted"]:
        print("\ninterrupted: this is what there was by then")


def telling(bad: list[Data]) -> list[Data]:
    """The failures, first one of each group, then one of each feature, then the others."""
    groups = {result["group"]: i for i, result in reversed([*enumerate(bad)])}
    features = {(result["group"], result["feature"]): i for i, result in reversed([*enumerate(bad)])}
    order = dict.fromkeys([*sorted(groups.values()), *sorted(features.values()), *range(len(bad))])
    return [bad[i] for i in order]


def random_configurations(name: str, fuzz: Data, bad: list[Data]) -> str:
    """A sentence on how many ran."""
    seeds = [*map(int, fuzz["seeds"])]
    of_seeds = f" of seeds {seeds[0]} to {seeds[-1]}" if seeds else ""
    failed = sum(result["group"] == "fuzz" for result in bad)
    missing = f"{fuzz['missing']} needed what it does not offer, " if fuzz["missing"] else ""
    ended = "; a seed ends at its first failure" if failed else ""
    ran = f"{fuzz['ran']} of {fuzz['asked']} random configurations"
    return f"{name}: {ran}{of_seeds} in {fuzz['seconds']:g} s, {missing}{failed} failed{ended}"


def repeat(column: Data, case: str, args: argparse.Namespace) -> str:
    """The command that judges one case again as it was judged."""
    if column.get("earlier"):
        return report.command(column["spec"], case, column["environment"])
    words = ["python", "-m", "tembed.parity", "run", "--impl", column["spec"]]
    _, is_seed, seed = case.partition("fuzz/seed ")
    if is_seed:
        fuzz = column["fuzz"]
        count = min(fuzz["asked"], fuzz["batch"])
        words += ["--group", "fuzz", "--fuzz", str(count), "--batch", str(fuzz["batch"]), "--seed", seed]
    else:
        words += ["--case", case]
    words += ["--device", args.device] if args.device != "cpu" else []
    words += ["--timeout", f"{args.timeout:g}"] if args.timeout != TIMEOUT else []
    for name in args.under:
        words += ["--under", name]
    interpreted = column["environment"].get("path") == "kernels (interpreter)"
    return "TRITON_INTERPRET=1 " * interpreted + shlex.join(words)
