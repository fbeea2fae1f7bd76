"""What a bad index on an accelerator does: the three modes, and who chooses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from . import kernels

MODES = ("deferred", "immediate", "off")
# Whether a bad index on the CPU raises at the call in every mode: there is no device to wait for. False where the CPU,
# its kernels interpreted, stands for a device.
CPU_RAISES = True


def _mode(name: str) -> str:
    if name not in MODES:
        raise ValueError(f"index checks must be one of {', '.join(map(repr, MODES))}, not {name!r}")
    return name


_default = _mode(os.environ.get("TEMBED_INDEX_CHECKS", "deferred"))
_here: ContextVar[str | None] = ContextVar("tembed_index_checks", default=None)


def mode() -> str:
    """What a bad index on an accelerator does here and now: "deferred", "immediate" or "off"."""
    return _here.get() or _default


def at_call(device_type: str) -> bool:
    """Whether no kernel reports a bad index: on the CPU, and on devices that kernels do not run on."""
    return (device_type == "cpu" and CPU_RAISES) or not kernels.drives(device_type)


# for compilers, as torch.compiler.assume_constant_result marks it, which imports them
at_call._dynamo_marked_constant = True  # type: ignore[attr-defined]


def set_index_checks(mode: str) -> None:
    """Chooses what a bad index on an accelerator does, in the whole process.

    Args:
        mode: "deferred": nothing waits for the device. The row is zeros and takes no part in gradients, counts and
            renorm; the next lookup or backward on that device, or `check_indices()`, raises IndexError.
            "immediate": IndexError at the call, which then waits for the device; nothing is changed.
            "off": as "deferred", and nothing is raised.
            The default is the environment variable TEMBED_INDEX_CHECKS, else "deferred".

    On the CPU a bad index always raises at the call. So it does for "deferred" on accelerators that the kernels do not
    run on, as nobody could report it later.

    Raises:
        ValueError: there is no such mode.
    """
    global _default
    _default = _mode(mode)


@contextmanager
def index_checks(mode: str) -> Iterator[None]:
    """`set_index_checks(mode)` for the body of a `with` statement, in this thread or task.

    Not in a backward on an accelerator, which torch runs on threads of its own, recomputed checkpoints included: there
    the process's mode holds. Not inside of code compiled with fullgraph=True; around it, yes.

    Raises:
        ValueError: there is no such mode.
    """
    token = _here.set(_mode(mode))
    try:
        yield
    finally:
        _here.reset(token)
