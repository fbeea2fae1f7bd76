"""What can be timed, by name."""

from .backward import BACKWARD, BOTH, SPARSE_BACKWARD
from .forward import FORWARD, Operation
from .step import OPTIMIZERS, operation
from .step_gate import check_step

OPERATIONS = {
    its.name: its
    for its in (FORWARD, BACKWARD, BOTH, SPARSE_BACKWARD, *(operation(name, check_step) for name in OPTIMIZERS))
}
# Names for several.
GROUPS = {"step": [name for name in OPERATIONS if name.startswith("step:")], "all": [*OPERATIONS]}
NAMES = [*OPERATIONS, *GROUPS]


def chosen(names: list[str]) -> list[Operation]:
    """Those asked for, each once, in their order; the forward pass, if nothing is."""
    wanted = {name for asked in names or [FORWARD.name] for name in GROUPS.get(asked, [asked])}
    return [its for name, its in OPERATIONS.items() if name in wanted]
