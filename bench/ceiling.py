"""What bounds a time from below on this device: moving the bytes, and the method itself."""

import os
from functools import partial
from typing import Any

import numpy as np
import torch

from .cuda_timing import CudaTimer
from .summary import summary
from .timing import MB, Timer

SAMPLES = 20
WARM_UP = 3


def timer_on(device: torch.device) -> Timer:
    """The timer of a device, with a buffer of at least twice its last cache."""
    if device.type == "cuda":
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        return CudaTimer(device, max(2 * cache, 256 * MB))
    try:
        cache = os.sysconf("SC_LEVEL3_CACHE_SIZE")
    except (AttributeError, ValueError):
        cache = 0
    return Timer(device, max(2 * cache, 64 * MB))


def _samples(timer: Timer, launch: Any) -> list[float]:
    return [timer.sample(launch) for _ in range(WARM_UP + SAMPLES)][WARM_UP:]


def copy_bandwidth(timer: Timer) -> dict[str, Any]:
    """Bytes read and written a second by copies on the device: the best of the medians of several sizes."""
    generator = torch.Generator(timer.device).manual_seed(0)
    sizes: list[dict[str, Any]] = []
    for size in timer.copied:
        if 2 * size > timer.free():
            continue
        source = torch.empty(size // 8, dtype=torch.int64, device=timer.device).random_(generator=generator)
        seconds = _samples(timer, partial(torch.empty_like(source).copy_, source))
        sizes.append({"bytes": 2 * size, "samples_s": seconds})
    best = max((s["bytes"] / float(np.median(s["samples_s"])) for s in sizes), default=None)
    return {"bytes_per_s": best, "sizes": sizes}


def method_floor(timer: Timer) -> dict[str, Any]:
    """What the method measures of a call that does next to nothing: adding 1 to one number."""
    prepared = timer.prepare(partial(torch.zeros(1, device=timer.device).add_, 1))
    samples = _samples(timer, prepared.launch)
    return {"method": prepared.method, "note": prepared.note, **summary(samples, None), "samples_s": samples}
