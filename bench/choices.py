"""What a command is to run: the names that it was given, as what they stand for."""

import argparse

import torch

import tembed
from tembed.parity.checks import check_device
from tembed.parity.process import UsageError

from . import timed
from .forward import Operation
from .providers import PROVIDERS, Provider
from .workloads import SUITES, Workload, select


def chosen_workloads(args: argparse.Namespace) -> list[Workload]:
    """Those asked for; UsageError for a suite or a pattern that there is not."""
    for suite in args.suite:
        if suite not in SUITES:
            raise UsageError(f"no suite is called {suite}; there are {', '.join(SUITES)}")
    for pattern in args.workload:
        if not select(args.suite, [pattern]):
            suites = f" in {', '.join(args.suite)}" if args.suite else ""
            raise UsageError(f"no workload is called that{suites}: {pattern}")
    return select(args.suite, args.workload)


def chosen_providers(names: list[str]) -> list[Provider]:
    """Those asked for, in their order, or all."""
    for name in names:
        if name not in PROVIDERS:
            raise UsageError(f"no provider is called {name}; there are {', '.join(PROVIDERS)}")
    return [provider for name, provider in PROVIDERS.items() if not names or name in names]


def chosen_operations(names: list[str]) -> list[Operation]:
    """Those asked for, in their order; the forward pass if nothing is."""
    for name in names:
        if name not in timed.NAMES:
            raise UsageError(f"no operation is called {name}; there are {', '.join(timed.NAMES)}")
    return timed.chosen(names)


def check_timeable(device: str) -> None:
    """UsageError if no time can be taken there."""
    check_device(device)
    if torch.device(device).type not in ("cuda", "cpu"):
        raise UsageError(f"--device {device}: times are taken on cuda and cpu")
    if tembed.path(device) == "kernels (interpreter)":
        raise UsageError("Triton's interpreter tells nothing of time: unset TRITON_INTERPRET")
