"""What a result file says of where it was made."""

import platform
import subprocess
import sys
from typing import Any

import torch

import tembed
from tembed import kernels


def environment(device: str) -> dict[str, Any]:
    """Device, driver, versions, commit and command."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "path": tembed.path(device),
        "tembed": tembed.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "kernels": kernels.version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "commit": _output("git", "describe", "--always", "--dirty", "--abbrev=40"),
        "command": " ".join(["python", "-m", *_module(), *sys.argv[1:]]),
    }


def _module() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [spec.name.removesuffix(".__main__")] if spec else []


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
