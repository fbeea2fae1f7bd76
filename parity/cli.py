"""The command line: list the cases, run one implementation, compare several."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tembed.bench.environment import environment

from . import fuzz, report
from .cases import DEVIATIONS, GROUPS, Case, select
from .instruments import INSTRUMENTS
from .judge import FAILED, Result
from .peers import PEERS
from .runner import Setup, run, run_fuzz

SHOWN = 10  # failures printed; the JSON file and the report have all

DESCRIPTION = "What it takes to replace torch.nn.Embedding, as cases that any implementation can be judged by."
EPILOG = """\
An implementation is one of {peers}, or package.module:Class, package.module:function, or both with a comma between.
Exit status: 0 nothing failed (what an implementation does not offer is listed, and is no failure), 1 something failed
or crashed, 2 wrong usage. Set TRITON_INTERPRET=1 to run Triton kernels on a machine without a GPU.
""".format(peers=", ".join(PEERS))


def parser() -> argparse.ArgumentParser:
    """The arguments of the three commands."""
    top = argparse.ArgumentParser(prog="python -m tembed.parity", description=DESCRIPTION, epilog=EPILOG)
    commands = top.add_subparsers(dest="command", required=True)
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--group", choices=(*GROUPS, "fuzz"), help="only this group; fuzz: only random configurations")
    chosen.add_argument("--without", choices=GROUPS, action="append", default=[], help="not this group")
    chosen.add_argument("--case", metavar="NAME", help="only cases of this name; * and ? stand for others")
    chosen.add_argument("--json", type=Path, metavar="FILE", help="writes everything there")
    judged = argparse.ArgumentParser(add_help=False, parents=[chosen])
    judged.add_argument("--device", default="cpu", help="where the tables are (cpu)")
    judged.add_argument("--fuzz", type=int, default=0, metavar="N", help="random configurations besides")
    judged.add_argument("--seed", type=int, default=0, metavar="S", help="of the random configurations (0)")
    judged.add_argument("--under", action="append", default=[], choices=sorted(INSTRUMENTS), help="an instrument")
    judged.add_argument("--report", type=Path, metavar="FILE.html", help="writes a page to open in a browser")
    judged.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    judged.add_argument("--timeout", type=float, default=300.0, metavar="S", help="seconds for one case (300)")
    commands.add_parser("list", parents=[chosen], help="the cases and what they say")
    one = commands.add_parser("run", parents=[judged], help="judges one implementation", epilog=EPILOG)
    one.add_argument("--impl", default=None, metavar="SPEC", help="the implementation; a module class, say")
    one.add_argument("--functional", default=None, metavar="SPEC", help="its function: package.module:function")
    several = commands.add_parser("compare", parents=[judged], help="puts several side by side", epilog=EPILOG)
    several.add_argument("impls", nargs="+", metavar="SPEC", help="the implementations; or a --json file of earlier")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status."""
    top = parser()
    args = top.parse_args(arguments)
    try:
        cases = [c for c in chosen_cases(args.group, args.case) if c.feature.group not in args.without]
        if not cases and args.group != "fuzz":
            raise ValueError("no case is called that")
        if args.command == "list":
            return listing(cases, args.json)
        specs = args.impls if args.command == "compare" else [",".join(filter(None, (args.impl, args.functional)))]
        if not all(specs):
            top.error("run needs --impl, or --functional, or both")
        return judging(specs, cases, args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def chosen_cases(group: str | None, pattern: str | None) -> list[Case]:
    """The cases asked for; a random configuration's name stands for itself."""
    if pattern and pattern.startswith("fuzz/"):
        return [fuzz.find(pattern)]
    return [] if group == "fuzz" else select(group, pattern)


def listing(cases: list[Case], path: Path | None) -> int:
    """Prints the cases under the features they belong to."""
    if path:
        rows = [{"case": c.name, "parameters": dict(c.parameters), **feature_data(c)} for c in cases]
        path.write_text(json.dumps(rows, indent=1) + "\n")
    last = None
    for case in cases:
        if case.feature is not last:
            last = case.feature
            tag = last.claim + (f", deviation {last.deviation}" if last.deviation else "")
            print(f"\n{last.group}/{last.name}: {last.says} [{tag}]")
        print(f"    {case.name}")
    features = {(c.feature.group, c.feature.name) for c in cases}
    print(f"\n{len(cases)} cases of {len(features)} features")
    return 0


def feature_data(case: Case) -> dict[str, Any]:
    """A case's feature as plain data."""
    f = case.feature
    return {
        "group": f.group,
        "name": f.name,
        "says": f.says,
        "claim": f.claim,
        "deviation": f.deviation,
        "deviation_says": DEVIATIONS[f.deviation] if f.deviation else None,
    }


def judging(specs: list[str], cases: list[Case], args: argparse.Namespace) -> int:
    """Judges the implementations one after the other, prints and writes what came out."""
    here = environment(args.device)
    columns: list[dict[str, Any]] = []
    features = {(c.feature.group, c.feature.name): feature_data(c) for c in cases}
    for spec in specs:
        if spec.endswith(".json"):
            earlier = json.loads(Path(spec).read_text())
            columns += earlier["implementations"]
            features = {(f["group"], f["name"]): f for f in earlier["features"]} | features
        else:
            columns.append(column(spec, cases, Setup(spec, args.device, tuple(args.under), args.timeout), args))
            columns[-1]["environment"] = here
    if any(r["group"] == "fuzz" for c in columns for r in c["results"]):
        features["fuzz", "random configurations"] = feature_data(fuzz.case_of({})) | {"name": "random configurations"}
    document = {
        "title": f"Drop-in for torch.nn.Embedding: {', '.join(c['name'] for c in columns)}",
        "environment": here,
        "command": here["command"],
        "features": list(features.values()),
        "implementations": columns,
    }
    failed = [failures(c, args) for c in columns]
    if any(c["results"] for c in columns):
        print("\n" + report.table(document), end="")
    if args.json:
        write_json(document, args.json)
    if args.report:
        report.write(document, args.report)
    return int(any(failed))


def column(spec: str, cases: list[Case], setup: Setup, args: argparse.Namespace) -> dict[str, Any]:
    """One implementation's results, with those of random configurations that failed."""
    begin = time.perf_counter()
    results = judged(spec, cases, setup, args.jobs)
    seconds = round(time.perf_counter() - begin, 1)
    fuzzed = random_configurations(setup, args) if args.fuzz else None
    if fuzzed:
        results += fuzzed.pop("failures")
    what = PEERS[spec][0] if spec in PEERS else ""
    rows = [r.data() for r in results]
    return {"name": spec, "what": what, "spec": spec, "seconds": seconds, "fuzz": fuzzed, "results": rows}


def write_json(document: dict[str, Any], path: Path) -> None:
    """The document with one result a line, so that versions of it can be compared."""
    columns = document["implementations"]
    marks = [f"@results {i}@" for i in range(len(columns))]
    bare = [{**c, "results": mark} for c, mark in zip(columns, marks, strict=True)]
    text = json.dumps({**document, "implementations": bare}, indent=1)
    for mark, c in zip(marks, columns, strict=True):
        lines = ",\n".join(json.dumps({k: v for k, v in r.items() if v != ""}) for r in c["results"])
        text = text.replace(f'"{mark}"', f"[\n{lines}\n]")
    path.write_text(text + "\n")


def judged(spec: str, cases: list[Case], setup: Setup, jobs: int) -> list[Result]:
    """The cases' results, under a progress bar."""
    seen: Counter[str] = Counter()
    with tqdm(total=len(cases), unit="case", desc=spec, disable=None if cases else True) as bar:

        def show(result: Result) -> None:
            seen[result.outcome] += 1
            bar.set_postfix({k: v for k, v in seen.items() if k != "pass"}, refresh=False)
            bar.update()

        return run(cases, setup, jobs, show)


def random_configurations(setup: Setup, args: argparse.Namespace) -> dict[str, Any]:
    """What became of --fuzz: how many ran, of which seeds, in what time, and those that failed, each once."""
    begin = time.perf_counter()
    with tqdm(total=args.fuzz, unit="configuration", desc=f"{setup.spec}, fuzz", disable=None) as bar:
        batches = run_fuzz(setup, args.fuzz, args.seed, args.jobs, lambda batch: bar.update(batch.ran))
    found = {b.failure.case: b.failure for b in batches if b.failure}
    ran, seconds = sum(b.ran for b in batches), round(time.perf_counter() - begin, 1)
    print(
        f"{setup.spec}: {ran} random configurations of seeds {args.seed} to {batches[-1].seed} in {seconds:g} s, "
        f"{len(found)} failed"
    )
    seeds = {b.seed: b.ran for b in batches}
    return {"asked": args.fuzz, "ran": ran, "seconds": seconds, "seeds": seeds, "failures": list(found.values())}


def failures(column: dict[str, Any], args: argparse.Namespace) -> bool:
    """Prints the first failures, each with a command that repeats it; whether there were any."""
    bad = [r for r in column["results"] if r["outcome"] in FAILED]
    under = "".join(f" --under {name}" for name in args.under)
    for result in bad[:SHOWN]:
        again = report.command(column["spec"], result["case"], column["environment"]) + under
        print(f"{result['outcome'].upper()}  {result['case']}\n    {result['message']}\n    {again}")
    if len(bad) > SHOWN:
        print(f"… and {len(bad) - SHOWN} more of {column['name']}")
    return bool(bad)
