"""The suite runs on what the machine has: kernels on a GPU, kernels in the interpreter, or the torch reference.

`make test` runs it twice on a machine without a GPU, with TRITON_INTERPRET=1 and without.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch

import tembed
from tembed import kernels, modes
from tembed.bench import measure
from tembed.parity.instruments.poison import poisoned_memory
from tembed.parity.setting import hardware

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PATH = tembed.path(DEVICE)
without_gpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason="the fake device would take the GPU's place for the rest of the process"
)

# transformers asks for a published package of this name, and would find the folder where python -m pytest was started.
sys.modules["kernels"] = None  # type: ignore[assignment]

# Tests of the kernels themselves need a device that runs them; the other lane has it.
collect_ignore_glob = [] if kernels.drives(DEVICE) else ["test_kernels_*"]


def pytest_report_header() -> str:
    return f"tembed on {DEVICE}: {PATH}"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The suite's processes share the cores already, and what it computes is small."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _hardware() -> Iterator[None]:
    with hardware():
        yield


@pytest.fixture(autouse=True)
def _poisoned_memory() -> Iterator[None]:
    """Fresh memory holds NaN and the largest integers, so that an output nobody wrote shows."""
    torch.manual_seed(0)
    with poisoned_memory():
        yield


@pytest.fixture
def device() -> str:
    return DEVICE


@pytest.fixture
def deferring(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where bad indices are reported later: a GPU, or the CPU, taken for one, whose kernels are interpreted."""
    if not kernels.drives(DEVICE):
        pytest.skip("needs kernels, which report: their reference raises at the call")
    monkeypatch.setattr(modes, "CPU_RAISES", False)
    monkeypatch.setattr(modes, "_default", "deferred")
    with suppress(IndexError):
        tembed.check_indices()
    yield DEVICE
    with suppress(IndexError):  # for the tests after it
        tembed.check_indices()


@pytest.fixture
def no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks call what they time no more often than they must."""
    monkeypatch.setattr(measure, "WARM_UP_SECONDS", 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.config.getoption("-m"):
            item.add_marker(pytest.mark.skip(reason="long sweep: make sweep"))
