"""A GPU that is not there: all that the host does for a launch but the launch, on tensors of the CPU.

Triton's own compiler, binder and cache run as they would; its driver is replaced by one that launches nothing. So the
host's time can be measured, and which of the compiled kernels a launch leads to, on any machine. What comes out is
uninitialised memory. Needs a process that does not interpret.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from tembed import functional, kernels, modes

CAPABILITY = 90


class NoStub(RuntimeError):
    """Launches cannot be stubbed in this process."""


class StubbedLaunch(NamedTuple):
    """The compiled kernel, by its hash and its name; the grid; all arguments."""

    hash: str
    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[Any, ...]


class _Binaries:
    """In place of what loads machine code."""

    @staticmethod
    def load_binary(name: str, kernel: bytes, shared: int, device: int) -> tuple[int, int, int, int, int]:
        """Module, function, registers, spills and most threads, as of a kernel that was loaded."""
        return 1, 1, 32, 0, 1024

    @staticmethod
    def get_device_properties(device: int) -> dict[str, int]:
        """What Triton asks of a device."""
        return {"max_shared_mem": 232_448, "multiprocessor_count": 132}


class _Driver:
    """In place of Triton's driver for CUDA."""

    utils = _Binaries()
    seen: list[StubbedLaunch] | None = None

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """What launches one compiled kernel: nothing, and a note of it while somebody wants notes."""

        def launch(x: int, y: int, z: int, *rest: Any) -> None:
            if self.seen is not None:
                self.seen.append(StubbedLaunch(metadata.hash, metadata.name, (x, y, z), rest[6:]))

        return launch

    def get_current_device(self) -> int:
        """The one there is."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """The default stream."""
        return 0

    def get_current_target(self) -> Any:
        """What is compiled for."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", CAPABILITY, 32)

    def get_active_torch_device(self) -> torch.device:
        """Where the tensors are."""
        return torch.device("cpu")


# one for the process: what Triton has compiled keeps the launcher that it was given
_DRIVER = _Driver()


@contextmanager
def stubbed_launches(record: bool = False) -> Iterator[list[StubbedLaunch]]:
    """Within it, tembed takes the CPU for a device that the kernels drive, and launches nothing; noted if `record`.

    Raises:
        NoStub: there is a GPU, no Triton, or kernels are interpreted.
    """
    if torch.cuda.is_available() or kernels.interpreted() or not kernels.installed():
        raise NoStub("a stubbed launch needs Triton, no GPU, and no TRITON_INTERPRET")
    from triton.runtime.driver import driver

    found: list[StubbedLaunch] = []
    before = driver._active
    driver.set_active(_DRIVER)
    _DRIVER.seen = found if record else None
    try:
        with (
            patch.object(kernels, "drives", lambda device_type: True),
            patch.object(functional, "REFERENCE_ON_CPU", False),
            patch.object(modes, "CPU_RAISES", False),
        ):
            yield found
    finally:
        driver._active = before
