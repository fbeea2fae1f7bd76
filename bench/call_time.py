"""Time of a call for 8 indices, wall clock, tembed against stock in one run, and with reports against without.

The two take turns, a block of calls each; the ratio is the median of the ratios of neighbouring blocks. With stubbed
launches, on a machine without a GPU: what the host does for a lookup by the kernels, all but the launch itself, against
stock's whole lookup on the CPU.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import tembed
from tembed.parity.checks import check_device, check_file
from tembed.parity.process import UsageError

from .environment import current_device, environment
from .stubbed import NoStub, stubbed_launches
from .summary import summary

V, D, N = 100, 64, 8
CALLS, BLOCKS = 500, 200

Lookup = Callable[[], Tensor]
REPORTS = "reports, "  # of bad indices: lookups that report them compared with ones that do not


@dataclass(frozen=True)
class Off:
    """A lookup with index checks off."""

    call: Lookup


def pairs(device: str, reporting: bool = False) -> dict[str, tuple[Lookup | Off, Lookup]]:
    """What is compared: stock and ours; and ours without and with reports, if this path reports bad indices."""
    found: dict[str, tuple[Lookup | Off, Lookup]] = {}
    indices = torch.randint(0, V, (N,), device=device)
    for dtype in (torch.float32, torch.float64):
        name = str(dtype).removeprefix("torch.")
        weight = torch.nn.Parameter(torch.randn(V, D, dtype=dtype, device=device))
        found[f"function, {name}"] = partial(F.embedding, indices, weight), partial(tembed.embedding, indices, weight)
        stock = torch.nn.Embedding(V, D, _weight=weight.detach())
        ours = tembed.Embedding(V, D, _weight=weight.detach())
        found[f"module, {name}"] = partial(stock, indices), partial(ours, indices)
        if reporting:
            found[f"{REPORTS}{name}"] = Off(partial(tembed.embedding, indices, weight)), found[f"function, {name}"][1]
    return found


def _block(call: Lookup | Off, calls: int, device: str) -> float:
    """Seconds a call."""
    with tembed.index_checks("off") if isinstance(call, Off) else nullcontext():
        call = call.call if isinstance(call, Off) else call
        start = time.perf_counter()
        for _ in range(calls):
            call()
        if device != "cpu":
            torch.get_device_module(device).synchronize()
        return (time.perf_counter() - start) / calls


def measure(
    stock: Lookup | Off,
    ours: Lookup,
    device: str,
    calls: int = CALLS,
    blocks: int = BLOCKS,
    same: Callable[[Tensor, Tensor], bool] | None = torch.equal,
) -> dict[str, Any]:
    """Seconds a call, block by block, and the ratio of ours to stock's.

    Args:
        same: whether two results are what they should be; nothing is timed if not. None: nobody asks.

    Raises:
        RuntimeError: the results are not the same.
    """
    if same is not None and not same((stock.call if isinstance(stock, Off) else stock)(), ours()):
        raise RuntimeError("the results differ; nothing is timed")
    for call in (stock, ours):
        _block(call, calls, device)
    samples = []
    for block in range(blocks):
        order = (stock, ours) if block % 2 == 0 else (ours, stock)
        first, second = (_block(call, calls, device) for call in order)
        samples.append((first, second) if block % 2 == 0 else (second, first))
    theirs, mine = ([pair[k] for pair in samples] for k in (0, 1))
    of_stock, of_ours = summary(theirs, None), summary(mine, theirs)
    return {
        "stock_us": of_stock["median_s"] * 1e6,
        "tembed_us": of_ours["median_s"] * 1e6,
        "ratio": of_ours["ratio"],
        "ratio_quartiles": of_ours["ratio_quartiles"],
        "samples_s": samples,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda, cuda:1, or cpu")
    says = "the kernels' path with launches that launch nothing; without a GPU only"
    parser.add_argument("--stubbed", action="store_true", help=says)
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every sample there")


def command(args: argparse.Namespace) -> int:
    """Prints a table, and writes every sample when asked."""
    check_device(args.device)
    check_file("--json", args.json)
    if tembed.path(args.device) == "kernels (interpreter)":
        raise UsageError("Triton's interpreter tells nothing of time: unset TRITON_INTERPRET")
    current_device(args.device)
    about = environment(args.device)
    if args.stubbed:
        about["path"] = "kernels, launches stubbed"
    print(f"{N} indices, {V} x {D}, {args.device}: {about['path']}")
    results = {}
    reporting = args.stubbed or args.device != "cpu"
    for name, (stock, ours) in pairs(args.device, reporting).items():
        result = results[name] = _stubbed(stock, ours) if args.stubbed else measure(stock, ours, args.device)
        low, high = result["ratio_quartiles"]
        other = "off  " if name.startswith(REPORTS) else "stock"
        print(
            f"  {name:<18} {other} {result['stock_us']:6.2f} us   tembed {result['tembed_us']:6.2f} us   "
            f"ratio {result['ratio']:.3f} ({low:.3f} to {high:.3f})"
        )
        if args.json:  # each time, in case that it is ended before the last
            args.json.write_text(json.dumps({"environment": about, "results": results}, indent=1) + "\n")
    return 0


def _stubbed(stock: Lookup | Off, ours: Lookup) -> dict[str, Any]:
    """Launches compute nothing, so nothing can be compared."""
    try:
        with stubbed_launches():
            return measure(stock, ours, "cpu", same=None)
    except NoStub as error:
        raise UsageError(str(error)) from error
