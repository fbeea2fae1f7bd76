"""The commands: list the cases, run one implementation, compare several, do the bad inputs."""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tembed.bench.environment import environment

from . import bad_inputs_table, printing, report
from .arguments import parser
from .cases import Case
from .checks import check_device, check_file, chosen_cases, needing_hypothesis, number_of_random
from .documents import Data, failures, feature_data, plain, read_json, shortcomings, strict, write_json
from .judge import Result
from .peers import what
from .process import Setup, UsageError
from .runner import RANDOM, run, run_fuzz

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status."""
    printing.safe_output()
    top = parser()
    args = top.parse_args(arguments)
    try:
        check_file("--json", args.json)
        if args.command == "bad-inputs":
            return bad_inputs_table.main(args.write, args.json)
        cases = chosen_cases(args)
        if args.command == "list":
            return listing(cases, args.json)
        specs = args.impls if args.command == "compare" else [",".join(filter(None, (args.impl, args.functional)))]
        if not all(specs):
            top.error("run needs --impl, or --functional, or both")
        check_file("--report", args.report)
        check_device(args.device)
        earlier = {spec: read_json(Path(spec)) for spec in specs if spec.endswith(".json")}
        args.fuzz = number_of_random(args) if len(earlier) < len(set(specs)) else 0
        with interruptible() as stop:
            document = judging(specs, earlier, cases, args, stop)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return finish(document, args)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; when it is set already, they raise KeyboardInterrupt."""
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # a shell that starts a command in the background has Ctrl-C ignored there
        wanted = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listing(cases: list[Case], path: Path | None) -> int:
    """Writes and prints the cases."""
    if path:
        rows = [{"case": c.name, "parameters": dict(c.parameters), **feature_data(c)} for c in cases]
        path.write_text(strict(plain(rows), indent=1) + "\n")
    with printing.to_reader():
        printing.listing(cases)
    return 0


def judging(
    specs: list[str], earlier: dict[str, Data], cases: list[Case], args: argparse.Namespace, stop: threading.Event
) -> Data:
    """Judges the implementations one after the other: the document of what came out."""
    here = environment(args.device)
    columns: list[Data] = []
    features = {(c.feature.group, c.feature.name): feature_data(c) for c in cases}
    for spec in specs:
        if spec in earlier:
            columns += [{**column, "earlier": spec} for column in earlier[spec]["implementations"]]
            features = {(f["group"], f["name"]): f for f in earlier[spec]["features"]} | features
        elif not stop.is_set():
            setup = Setup(spec, args.device, tuple(args.under), args.timeout)
            columns.append({**column(setup, cases, args, stop), "environment": here})
    if any(r["feature"] == RANDOM for c in columns for r in c["results"]) and ("fuzz", RANDOM) not in features:
        features["fuzz", RANDOM] = feature_data(needing_hypothesis().case_of({})) | {"name": RANDOM}
    document = {
        "title": f"Drop-in for torch.nn.Embedding: {', '.join(c['name'] for c in columns)}",
        "environment": here,
        "command": here["command"],
        "interrupted": stop.is_set(),
        "features": list(features.values()),
        "implementations": columns,
    }
    return dict(plain(document))


def finish(document: Data, args: argparse.Namespace) -> int:
    """Writes, then prints; the exit status."""
    if args.json:
        write_json(document, args.json)
    if args.report:
        report.write(document, args.report)
    with printing.to_reader():
        printing.outcome(document, args)
    if document["interrupted"]:
        return INTERRUPTED
    return int(any(failures(c) or shortcomings(c) for c in document["implementations"]))


def column(setup: Setup, cases: list[Case], args: argparse.Namespace, stop: threading.Event) -> Data:
    """One implementation's results, with those of random configurations."""
    begin, spec = time.perf_counter(), setup.spec
    results: list[Result] = []
    if cases:
        with printing.Progress(spec, len(cases), "case") as progress:
            results = run(cases, setup, args.jobs, lambda result: progress.step(result.outcome), stop)
    seconds = round(time.perf_counter() - begin, 1)
    fuzzed = random_configurations(setup, args, stop) if args.fuzz and not stop.is_set() else None
    if fuzzed:
        results += fuzzed.pop("results")
    rows = [r.data() for r in results]
    return {"name": spec, "what": what(spec), "spec": spec, "seconds": seconds, "fuzz": fuzzed, "results": rows}


def random_configurations(setup: Setup, args: argparse.Namespace, stop: threading.Event) -> Data:
    """What became of --fuzz: how many ran, of which seeds, in what time, and a result for each seed."""
    begin = time.perf_counter()
    with printing.Progress(f"{setup.spec}, fuzz", args.fuzz, "configuration") as progress:
        batches = run_fuzz(setup, args.fuzz, args.seed, args.jobs, on_try=progress.step, stop=stop, batch=args.batch)
    return {
        "asked": args.fuzz,
        "batch": args.batch,
        "ran": progress.done if stop.is_set() else sum(b.ran for b in batches),  # a batch cut short has no answer
        "missing": sum(b.missing for b in batches),
        "seconds": round(time.perf_counter() - begin, 1),
        "seeds": {b.seed: b.ran for b in batches},
        # batches may shrink to the same configuration
        "results": list({b.result.case: b.result for b in batches}.values()),
    }
