"""What a result file says of where it was made."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import tembed
from tembed import kernels

COMMIT = "TEMBED_COMMIT"  # says what runs where there is no repository
RESULTS = (":(top,exclude)bench/results", ":(top,exclude)parity/results")


def current_device(name: str) -> torch.device:
    """The device of a name, with its index, made torch's current one; "cuda" is the one that is current already."""
    device = torch.device(name)
    if device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        torch.cuda.set_device(device)
    return device


def environment(device: str) -> dict[str, Any]:
    """Device, driver, versions, commit and command."""
    where = torch.device(device)
    return {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else platform.machine(),
        "gpu": gpu(where) if where.type == "cuda" else None,
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"),
        "path": tembed.path(device),
        "tembed": tembed.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "kernels": kernels.version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "commit": commit() or os.environ.get(COMMIT) or None,
        "command": shlex.join(["python", "-m", *_module(), *sys.argv[1:]]),
    }


def commit() -> str | None:
    """The commit that runs; with "-dirty" if files were changed since, results left out. None outside a repository."""
    git = ("git", "-C", str(Path(__file__).parent))
    if not _output(*git, "ls-files", "--error-unmatch", Path(__file__).name):
        return None
    changed = _output(*git, "status", "--porcelain", "--untracked-files=no", "--", ":/", *RESULTS)
    return f"{_output(*git, 'rev-parse', 'HEAD')}{'-dirty' if changed else ''}"


def gpu(device: torch.device) -> dict[str, Any]:
    """A GPU's sizes, and its clocks as they are and at most, with the power limit, from NVIDIA's tool."""
    about = torch.cuda.get_device_properties(device)
    identity = getattr(about, "uuid", None)
    query = "--query-gpu=clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit"
    return {
        "index": torch.cuda.current_device() if device.index is None else device.index,
        "capability": f"{about.major}.{about.minor}",
        "multiprocessors": about.multi_processor_count,
        "memory_bytes": about.total_memory,
        "l2_bytes": about.L2_cache_size,
        "clocks": _output("nvidia-smi", query, "--format=csv", f"--id=GPU-{identity}") if identity else None,
    }


def _module() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [spec.name.removesuffix(".__main__")] if spec else []


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
