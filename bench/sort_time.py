"""What sorting lookups takes, way by way: compared with all others, by torch's sort of keys of each width, and packed.

It is what decides how many lookups are few, and whether a key and a position packed into one number would sort faster.
Times are the device's own, from a cold cache, each way's order found right before. On a CPU kernels run in no time that
means anything, and torch's sorts alone are timed.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tembed
from tembed.parity.checks import check_file

from .ceiling import timer_on
from .choices import check_timeable
from .environment import current_device, environment
from .gate import Wrong
from .summary import summary
from .tables import table
from .timing import Timer, take_turns

NUMBERS = (64, 512, 1024, 2048, 4096, 8192, 65_536, 1_048_576)
ROWS = (100, 25_000, 50_257)  # keys of 8, 16 and 32 bits
ROUNDS = 30
BASE = "torch.sort, int64"

Way = Callable[[], Tensor]  # gives the order [N]


def ways(indices: Tensor, V: int) -> Iterator[tuple[str, Way]]:
    """Each way to sort the indices [N], of [0, V), by name."""
    N = len(indices)
    for dtype in (torch.int8, torch.int16, torch.int32, torch.int64):
        if torch.iinfo(dtype).max >= V:
            keys = indices.to(dtype)
            yield f"torch.sort, {str(dtype).removeprefix('torch.')}", partial(_sorted, keys)
    if V * N < 2**63:
        yield "torch.sort, packed", partial(_packed, indices, N)
    if tembed.path(indices.device) == "kernels":
        from tembed.kernels.rank import MOST
        from tembed.kernels.runs import sort_few, sort_many

        yield "kernels, many", partial(_by, sort_many, indices, V)
        if MOST.value >= N:
            yield "kernels, few", partial(_by, sort_few, indices, V)


def _sorted(keys: Tensor) -> Tensor:
    return torch.sort(keys, stable=True).indices


def _packed(indices: Tensor, N: int) -> Tensor:
    return torch.sort(indices * N + torch.arange(N, device=indices.device)).values % N


def _by(sort: Callable[..., tuple[Tensor, Tensor]], indices: Tensor, V: int) -> Tensor:
    return sort(indices, V, -1)[1]


def measure(timer: Timer, N: int, V: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of each way for N lookups, evenly of V rows: samples, and their ratio to torch's sort of the indices.

    Raises:
        Wrong: a way's order is not the stable one.
    """
    generator = torch.Generator().manual_seed(N)
    indices = torch.randint(0, V, (N,), generator=generator).to(timer.device)
    expected = torch.sort(indices, stable=True).indices
    samplers = {}
    for name, way in ways(indices, V):
        if not torch.equal(way().long(), expected):
            raise Wrong(f"{name}, N={N}, V={V}: the order is not the stable one")
        samplers[name] = partial(timer.sample, timer.prepare(way).launch)
    take_turns(samplers, lambda done: done >= 3)
    samples, failed = take_turns(samplers, lambda done: done >= rounds)
    found = {name: {**summary(its, samples[BASE]), "samples_s": its} for name, its in samples.items()}
    return {"N": N, "V": V, "ways": found, "failed": failed}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, help=f"cuda, cuda:1, or cpu for torch's sorts alone ({default})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every sample there")


def command(args: argparse.Namespace) -> int:
    """Prints a table, and writes every sample when asked; 1 if a way failed."""
    check_timeable(args.device)
    check_file("--json", args.json)
    device = current_device(args.device)
    timer = timer_on(device)
    about, results = environment(str(device)), []
    for N, V in product(NUMBERS, ROWS):
        results.append(measure(timer, N, V))
        if args.json:  # each time, in case that it is ended before the last
            args.json.write_text(json.dumps({"environment": about, "results": results}, indent=1) + "\n")
    print(table(("N", "V", "way", "us", "/ torch.sort, int64"), _lines(results), left=3))
    failed = [f"N={r['N']}, V={r['V']}: {name}: {why}" for r in results for name, why in r["failed"].items()]
    print(*failed, sep="\n")
    return int(bool(failed))


def _lines(results: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for its in results:
        for name, found in its["ways"].items():
            yield f"{its['N']:,}", f"{its['V']:,}", name, f"{found['median_s'] * 1e6:,.2f}", f"{found['ratio']:.3f}"
