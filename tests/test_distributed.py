"""Real processes on this machine, two and four, against one: each scenario's outcome, of all worlds run once."""

import importlib
import os
from pathlib import Path

import pytest
import torch

from tembed import kernels

pytest.importorskip("fcntl")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("needs torch.distributed with gloo", allow_module_level=True)

from worlds import SIZES, chosen, outcomes

MODULES = tuple(
    f"scenarios_{name}" for name in ("placements", "dtensors", "errors", "data_parallel", "tensor_parallel")
)
NAMES = [(size, name) for size in SIZES for name in chosen(MODULES, size, kernels.interpreted())]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "worlds"


@pytest.mark.parametrize(("size", "name"), NAMES)
def test_processes(size: int, name: str, directory: Path) -> None:
    error = outcomes(MODULES, directory).get(f"{size} {name}")
    if error is None:
        pytest.skip("did not run: one before it failed, or the processes did not end as they should")
    assert not error, error


def test_processes_end(directory: Path) -> None:
    assert not outcomes(MODULES, directory)["all"]


@pytest.mark.skipif(kernels.interpreted(), reason="saved in the other lane")
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_checkpoint_of_four_processes_is_trained_on_by_one(directory: Path) -> None:
    if outcomes(MODULES, directory).get("4 a_checkpoint_is_saved") != "":
        pytest.skip("none was saved")
    module = importlib.import_module("scenarios_tensor_parallel")
    module.load_and_compare(module.Model(seed=2), directory)
