"""Variations as providers, and which of them, with which workloads, are timed together."""

from dataclasses import dataclass, replace
from functools import partial

import torch

import tembed

from .forward import Operation
from .plans import plan
from .providers import PROVIDERS, Provider
from .timed import chosen
from .variations import AREAS, FORWARD, SPARSE, variations
from .varied import Patch, Variation, patched, patches_of
from .workloads import Workload

BASE = PROVIDERS["tembed"]
CONTROL = "control"
SAME = "launches what the present table does"


def provider_of(variation: Variation | None) -> Provider:
    """This package's lookup with a variation; with none, a control: what the method tells apart though it is the same.

    On a device that runs no kernels all are alike, and all take part.
    """
    patches = patches_of(variation)
    within = partial(patched, patches)
    if variation is None:
        return replace(BASE, name=CONTROL, says="the present table, under another name", within=within)

    def lacks(workload: Workload, device: torch.device) -> str:
        if not tembed.path(device).startswith("kernels"):
            return ""
        return "" if any(changes(patches, workload, name) for name in variation.operations) else SAME

    def no_sparse(workload: Workload) -> str:
        return "" if SPARSE in variation.operations else SAME

    backward = any(name != FORWARD for name in variation.operations)
    return replace(
        BASE, name=variation.name, says=variation.expected, within=within, lacks=lacks, no_sparse=no_sparse,
        forward_is="" if FORWARD in variation.operations else BASE.name, backward_is="" if backward else BASE.name,
    )  # fmt: skip


def changes(patches: list[Patch], workload: Workload, operation: str) -> bool:
    """Whether other kernels or tiles are launched for a workload than now."""
    before = plan(workload, operation)
    with patched(patches):
        return plan(workload, operation) != before


@dataclass(frozen=True)
class Area:
    """What is timed together: the present table, the control and variations of one area."""

    name: str
    providers: list[Provider]
    operations: list[Operation]
    workloads: list[Workload]

    @property
    def pairs(self) -> int:
        """Workloads by operations."""
        return len(self.operations) * len(self.workloads)


def areas(names: list[str], workloads: list[Workload]) -> list[Area]:
    """Those of these names, or all, each with the workloads at which one of its variations launches something else."""
    found = []
    for name in AREAS:
        rows = [row for row in variations() if row.area == name and (not names or name in names)]
        operations = [its for its in chosen(["all"]) if any(its.name in row.operations for row in rows)]
        kept = [(row, patches_of(row)) for row in rows]
        concerned = [
            w for w in workloads
            if any(not its.skips(w) and its.name in row.operations and changes(patches, w, its.name)
                   for row, patches in kept for its in operations)
        ]  # fmt: skip
        if concerned:
            found.append(Area(name, [BASE, provider_of(None), *map(provider_of, rows)], operations, concerned))
    return found
