"""Each call once, for a profiler: in an NVTX range of its name, with the profiler on for that alone.

Before it the same call has compiled what it needs, and, with Nsight Compute's own flush, caches are cold.
"""

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import torch

from tembed.parity.compare import describe

from .arguments import add_place, add_providers, add_workloads, least
from .choices import check_timeable, chosen_operations, chosen_providers, chosen_workloads
from .documents import label
from .environment import current_device
from .forward import Operation
from .inputs import make_inputs
from .providers import Provider
from .workloads import Workload

PROVIDERS = ("stock", "tembed")


@contextmanager
def watched(name: str, device: torch.device) -> Iterator[None]:
    """What a profiler that waits for the program to start it is to see, under a name."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    torch.cuda.profiler.start()
    opened = torch.cuda.nvtx.range_start(name)  # of all threads: autograd launches from its own
    try:
        yield
        torch.cuda.synchronize(device)
    finally:
        torch.cuda.nvtx.range_end(opened)
        torch.cuda.profiler.stop()


def call_once(provider: Provider, operation: Operation, workload: Workload, device: torch.device) -> str:
    """Calls it twice, the second time watched; why it could not, or nothing."""
    unable = operation.skips(workload) or provider.unable(workload, device, operation.backward, operation.sparse)
    if unable:
        return unable
    inputs = operation.extend(make_inputs(workload, device))
    with provider.within():
        lookup = provider.lookup(workload.max_norm, operation.sparse)
        run = operation.prepare(lookup, inputs, inputs.indices)
        run()
        inputs.restore()
        with watched(f"{label(workload.name, {'operation': operation.name})}, {provider.name}", device):
            run()
    return ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_workloads(parser)
    add_providers(parser, " and ".join(PROVIDERS))
    add_place(parser)
    says = "for all; what is left when it is spent is not called"
    parser.add_argument("--budget", type=least(float, 0), default=math.inf, metavar="SECONDS", help=says)


def command(args: argparse.Namespace) -> int:
    """Prints a line for each call; 1 if one failed."""
    check_timeable(args.device)
    workloads, operations = chosen_workloads(args), chosen_operations(args.operation)
    providers = chosen_providers(args.provider or [*PROVIDERS])
    device, failed, end = current_device(args.device), False, time.monotonic() + args.budget
    for workload, operation, provider in product(workloads, operations, providers):
        scaled = workload if args.scale == 1 else workload.scaled(args.scale)
        try:
            spent = time.monotonic() >= end
            outcome = "the budget was spent" if spent else call_once(provider, operation, scaled, device) or "called"
        except Exception as error:
            outcome, failed = f"FAILED: {describe(error)}", True
        print(f"{label(workload.name, {'operation': operation.name})}, {provider.name}: {outcome}", flush=True)
    return int(failed)
