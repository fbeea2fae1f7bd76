"""Time of a call for 8 indices, wall clock, tembed against stock in one run.

    python -m tembed.bench.call_time [--json FILE]

The two take turns, a block of calls each; the ratio is the median of the ratios of neighbouring blocks.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import tembed
from tembed.bench.environment import environment

V, D, N = 100, 16, 8
CALLS, BLOCKS = 500, 200

Lookup = Callable[[], Tensor]


def pairs(device: str) -> dict[str, tuple[Lookup, Lookup]]:
    """What is compared: stock, ours."""
    found: dict[str, tuple[Lookup, Lookup]] = {}
    indices = torch.randint(0, V, (N,), device=device)
    for dtype in (torch.float32, torch.float64):
        name = str(dtype).removeprefix("torch.")
        weight = torch.nn.Parameter(torch.randn(V, D, dtype=dtype, device=device))
        found[f"function, {name}"] = partial(F.embedding, indices, weight), partial(tembed.embedding, indices, weight)
        stock = torch.nn.Embedding(V, D, _weight=weight.detach())
        ours = tembed.Embedding(V, D, _weight=weight.detach())
        found[f"module, {name}"] = partial(stock, indices), partial(ours, indices)
    return found


def _block(call: Lookup, calls: int, device: str) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    if device != "cpu":
        torch.accelerator.synchronize()
    return (time.perf_counter() - start) / calls


def measure(stock: Lookup, ours: Lookup, device: str, calls: int = CALLS, blocks: int = BLOCKS) -> dict[str, Any]:
    """Seconds a call, block by block, and the ratio of ours to stock's. Refuses to time different results."""
    if not torch.equal(stock(), ours()):
        raise RuntimeError("the results differ; nothing is timed")
    for call in (stock, ours):
        _block(call, calls, device)
    samples = []
    for block in range(blocks):
        order = (stock, ours) if block % 2 == 0 else (ours, stock)
        first, second = (_block(call, calls, device) for call in order)
        samples.append((first, second) if block % 2 == 0 else (second, first))
    ratios = sorted(b / a for a, b in samples)
    return {
        "stock_us": statistics.median(a for a, _ in samples) * 1e6,
        "tembed_us": statistics.median(b for _, b in samples) * 1e6,
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
        "samples_s": samples,
    }


def main() -> None:
    """Prints a table, and writes every sample when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    print(f"{N} indices, {V} x {D}, {arguments.device}: {tembed.path(arguments.device)}")
    results = {}
    for name, (stock, ours) in pairs(arguments.device).items():
        result = results[name] = measure(stock, ours, arguments.device)
        low, high = result["ratio_quartiles"]
        print(
            f"  {name:<18} stock {result['stock_us']:6.2f} us   tembed {result['tembed_us']:6.2f} us   "
            f"ratio {result['ratio']:.3f} ({low:.3f} to {high:.3f})"
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"environment": environment(arguments.device), "results": results}, indent=1)
        )


if __name__ == "__main__":
    main()
