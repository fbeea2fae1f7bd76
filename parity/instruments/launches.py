"""Kernel launches, and places where the host waits for the device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .observer import Finding

A = torch.ops.aten
# Operations whose result, or its shape, the host has to know.
WAITING = (
    A._local_scalar_dense, A.nonzero, A.masked_select, A.unique_consecutive, A._unique2, A.unique_dim,
    A.bincount, A.repeat_interleave, A.equal, A.is_nonzero,
)  # fmt: skip
INDEXING = (A.index, A.index_put, A.index_put_, A._index_put_impl_)
FAKE_DEVICE = "fakegpu"

Result = TypeVar("Result")


class Launched(NamedTuple):
    """A kernel by its name, and the grid of the launch."""

    kernel: str
    grid: tuple[int, ...]


@contextmanager
def launches(stub: bool = False) -> Iterator[list[Launched]]:
    """Collects the launches within it, compiled or interpreted; `stub` leaves them out."""
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    found: list[Launched] = []
    originals = {kind: kind.run for kind in (InterpretedFunction, JITFunction)}

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
            if not warmup:
                named = {**dict(zip(self.arg_names, args, strict=False)), **kwargs}
                found.append(Launched(self.fn.__name__, tuple(grid(named) if callable(grid) else grid)))
            return None if stub else original(self, *args, grid=grid, warmup=warmup, **kwargs)

        return run

    for kind, original in originals.items():
        kind.run = counting(original)
    try:
        yield found
    finally:
        for kind, original in originals.items():
            kind.run = original


class _Waits(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        indices = args[1] if func.overloadpacket in INDEXING else ()
        if func.overloadpacket in WAITING or any(i is not None and i.dtype == torch.bool for i in indices):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def waits() -> Iterator[list[str]]:
    """Collects the names of operations within it for which the host waits, indexing with a mask included.

    Copies between devices are not seen, and a CPU has none: `on_fake_device` sees them.
    """
    with _Waits() as mode:
        yield mode.seen


class HostWaits(Finding):
    """The host needs what only the device knows."""


class _Copies(TorchDispatchMode):
    """Raises at what fake tensors let pass: copies between devices, and indexing with masks or the host's indices."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for index in args[1] if func.overloadpacket in INDEXING else ():
            if index is not None and (index.dtype in (torch.bool, torch.uint8) or index.device != args[0].device):
                raise HostWaits(f"{func}: a mask, or indices on the host")
        if func in (A._to_copy.default, A.copy_.default):
            source = args[1] if func is A.copy_.default else args[0]
            if source.device.type != out.device.type and source.numel():
                raise HostWaits(f"{func}: from {source.device.type} to {out.device.type}")
        return out


@cache
def _register_fake_device() -> None:
    """A device that torch accepts and no machine has; a process can have one, and keeps it.

    It is what torch.accelerator speaks of from then on: where there is a GPU, its streams and pinned memory were lost.
    """
    if torch.cuda.is_available():
        raise RuntimeError("a process that has a GPU cannot have a fake device")
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(FAKE_DEVICE)
    module = torch.get_device_module(FAKE_DEVICE)
    # what launchers enter, to make a device current
    module.device = lambda device: nullcontext()
    # what torch asks every device for, checkpoints of a CPU's included
    module.get_amp_supported_dtype = lambda: []
    module.get_rng_state = lambda device=None: torch.empty(0, dtype=torch.uint8)
    module.set_rng_state = lambda state, device=None: None


def on_fake_device(call: Callable[..., Result], *args: Any, **kwargs: Any) -> tuple[Result, list[Launched]]:
    """What the call returns for its tensors on a device that computes nothing, and the kernels that it launches.

    Raises:
        HostWaits: where it needs a value, or a shape that depends on values; or copies between host and device.
    """
    from torch._subclasses import fake_tensor

    _register_fake_device()

    def fake(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        made = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=FAKE_DEVICE)
        return made.requires_grad_(x.requires_grad)

    with fake_tensor.FakeTensorMode(), launches(stub=True) as found:
        arguments, named = [fake(x) for x in args], {name: fake(x) for name, x in kwargs.items()}
        with _Copies():
            try:
                return call(*arguments, **named), found
            except fake_tensor.DynamicOutputShapeException as error:
                raise HostWaits(f"{error.func}: the output's shape depends on values") from error
            except fake_tensor.DataDependentOutputException as error:
                raise HostWaits(f"{error.func}: the host reads a value") from error
