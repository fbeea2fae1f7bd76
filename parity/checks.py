"""What the arguments choose, and whether it can be done, before anything is judged."""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import torch

from .arguments import FUZZ
from .cases import Case, select
from .compare import describe
from .configuration import Configuration, make_inputs
from .inputs import DISTRIBUTIONS
from .process import UsageError


def chosen_cases(args: argparse.Namespace) -> list[Case]:
    """The cases asked for, in their order; a random configuration's name stands for itself."""
    random = [name for name in dict.fromkeys(args.case) if name.startswith("fuzz/")]
    if args.group and (random or (args.group == "fuzz" and args.case)):
        raise UsageError(f"--group {args.group} and --case {(random or args.case)[0]} contradict each other")
    if args.group == "fuzz":
        return []
    found: dict[str, Case] = {}
    for pattern in args.case or [None]:
        if pattern not in random:
            matched = {case.name: case for case in select(args.group, pattern)}
            if not matched:
                raise UsageError(f"no case is called that: {pattern}" + f" in {args.group}" * bool(args.group))
            found |= matched
    ordered = [case for case in select(args.group) if case.name in found and case.feature.group not in args.without]
    cases = [*ordered, *map(configuration, random)]
    if not cases:
        raise UsageError("--without leaves no case")
    return cases


def configuration(name: str) -> Case:
    """The random configuration of this name, which has to be one whose inputs can be made."""
    try:
        data = json.loads(name.removeprefix("fuzz/"))
    except ValueError:
        raise UsageError(
            f"--case {name}: after fuzz/ comes one configuration in JSON; new ones are drawn by --fuzz N --seed S"
        ) from None
    try:
        if not isinstance(data, dict):
            raise TypeError("not an object")
        for field in fields(Configuration):
            if field.name in data and not _fits(data[field.name], field.type):
                raise TypeError(f"{field.name} is {data[field.name]!r}")
        if data.get("distribution", DISTRIBUTIONS[0]) not in DISTRIBUTIONS:
            raise ValueError(f"no distribution is called {data['distribution']}")
        make_inputs(Configuration.of(data), "cpu")
    except Exception as error:
        raise UsageError(f"--case {name}: no configuration: {describe(error)}") from None
    return needing_hypothesis().case_of(data)


def _fits(value: object, kind: Any) -> bool:
    """Whether a value of JSON is of a field's type."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if isinstance(value, list):
        return tuple[int, ...] in kinds and all(type(n) is int for n in value)
    return type(value) in kinds or (type(value) is int and float in kinds)


def needing_hypothesis() -> Any:
    """The module `fuzz`."""
    try:
        from . import fuzz
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise UsageError("random configurations need hypothesis: pip install 'tembed[parity]'") from None
    return fuzz


def number_of_random(args: argparse.Namespace) -> int:
    """What --fuzz is, said or not; none if it was not said and hypothesis is not there."""
    if args.group == "fuzz" and not args.fuzz:
        raise UsageError("--group fuzz judges random configurations only: say how many, --fuzz 1000")
    wanted = args.fuzz if args.fuzz is not None else 0 if args.case or args.group else FUZZ
    try:
        if wanted:
            needing_hypothesis()
    except UsageError as error:
        if args.fuzz:
            raise
        print(f"none drawn: {error}", file=sys.stderr)
        return 0
    return int(wanted)


def check_device(name: str) -> None:
    """UsageError if there is no such device here."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if (device.index or 0) >= count:
                raise UsageError(f"--device {name}: torch sees {count} GPUs here")
        elif device.type != "cpu":
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"--device {name}: {describe(error)}") from None


def check_file(option: str, path: Path | None) -> None:
    """UsageError if the file cannot be written; its folder is made."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        path.open("a").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from None
