"""The targets, as data: each number that the project has set itself stands here."""

from dataclasses import dataclass

from .backward import BACKWARD, BOTH, dense_bytes
from .forward import FORWARD
from .providers import STOCK
from .step import OPTIMIZERS
from .targets_numbers import Pick, call, ratio, reports, share
from .workloads import Workload

LARGE = 256_000_000  # bytes from which on the bandwidth is what counts
FEW = 16  # rows, at most, of a table of a few
# What looks for bad indices before a compiled lookup: seconds of a launch, and bytes read and written for each.
LOOK = 2e-6, 16
DIGITS = {"": 3, "%": 1, " us": 2}  # of numbers as they are printed, and judged, by unit
TARGET, PREDICTED, INFORMATION = "Targets", "Predictions", "For information"


@dataclass(frozen=True)
class Target:
    """A number that something is to be, at most or at least.

    Args:
        says: what, in words.
        limit: in its unit.
        pick: finds the numbers in a document.
        unit: of DIGITS; a ratio has none.
        least: whether it is to be at least that.
        mean: whether the geometric mean is to be, instead of each.
        kind: whether it is a target, was only predicted, or is for information.
    """

    says: str
    limit: float
    pick: Pick
    unit: str = ""
    least: bool = False
    mean: bool = False
    kind: str = TARGET


def _plain(workload: Workload) -> bool:
    return workload.max_norm is None


def _none_over(workload: Workload) -> bool:
    return workload.max_norm is not None and workload.over == "none"


def _all_over(workload: Workload) -> bool:
    return workload.max_norm is not None and workload.over == "all"


def _large_output(workload: Workload) -> bool:
    return workload.output_bytes >= LARGE


def _large_backward(workload: Workload) -> bool:
    return dense_bytes(workload, workload.N) >= LARGE


def _few_rows(workload: Workload) -> bool:
    return workload.distribution == "hot" or workload.V <= FEW


def _sixteen_bits(workload: Workload) -> bool:
    return workload.itemsize == 2


_FORWARD = ratio(STOCK, FORWARD.name, _plain)
_BACKWARD = ratio(STOCK, BACKWARD.name)
_COMPILED = ratio("stock compiled", FORWARD.name, ours="tembed compiled")
_COMPILED_BUT_LOOK = ratio("stock compiled", FORWARD.name, ours="tembed compiled", spared=LOOK)
_MB = f"{LARGE / 1e6:g} MB"

TARGETS = (
    Target("forward, no max_norm: time / stock's", 1.05, _FORWARD),
    Target("forward, no max_norm: time / stock's, mean", 0.9, _FORWARD, mean=True),
    Target(f"forward, outputs from {_MB} on: of the copy bandwidth", 92, share(FORWARD.name, _large_output), "%", True),
    Target("max_norm, no row over: time / stock's", 0.25, ratio(STOCK, FORWARD.name, _none_over)),
    Target("max_norm, all rows over: time / stock's", 0.25, ratio(STOCK, FORWARD.name, _all_over)),
    Target("call for 8 lookups, function: wall clock / stock's", 1.3, call("function")),
    Target("call for 8 lookups, module: wall clock / stock's", 1.3, call("module")),
    Target("compiled forward, but for the look at indices: time / compiled stock's", 1.0, _COMPILED_BUT_LOOK),
    Target("dense backward: time / stock's", 1.0, _BACKWARD),
    Target("dense backward: time / stock's, mean", 0.5, _BACKWARD, mean=True),
    Target(f"dense backward, hot row or at most {FEW} rows: time / stock deterministic's", 0.1,
           ratio("stock deterministic", BACKWARD.name, _few_rows)),
    Target(f"dense backward, gradients from {_MB} on: of the copy bandwidth", 75,
           share(BACKWARD.name, _large_backward), "%", True),
    Target("dense backward, 16 bits: time / compiled stock's", 0.33,
           ratio("stock compiled", BACKWARD.name, _sixteen_bits)),
    *(Target(f"sparse step of training, {name}: time / stock's", 0.5, ratio(STOCK, f"step:{name}"))
      for name in OPTIMIZERS),
    Target("reports of bad indices, forward: time / without", 1.01, ratio("tembed unreported", FORWARD.name),
           kind=PREDICTED),
    Target("reports of bad indices: wall clock added to a call", 1, reports, " us", kind=PREDICTED),
    Target("compiled forward, the look at indices with it: time / compiled stock's", 1.0, _COMPILED, kind=INFORMATION),
    *(Target(f"{name}: time / liger's", 1.0, ratio("liger", name), kind=INFORMATION)
      for name in (FORWARD.name, BACKWARD.name, BOTH.name)),
)  # fmt: skip
