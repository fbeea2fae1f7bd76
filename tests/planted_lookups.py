"""Providers, right and wrong, and a timer whose clock does what it is told, for tests of the benchmark."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tembed.bench.providers import Provider, stock
from tembed.bench.timing import Timer
from tembed.bench.workloads import Workload

TINY = Workload("mine", "tiny", 50, 16, (4, 5), "fp32", "uniform")
RENORM = {over: Workload("mine", "norms", 50, 16, (20,), "fp32", "zipf", 1.0, over) for over in ("none", "all")}


def planted(name: str, function: Callable[..., Tensor], **more: Any) -> Provider:
    return Provider(name, "planted", function, **more)


def shifted_row(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    return stock(weight, (indices + 1) % weight.shape[0], max_norm)


def one_bit_flipped(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    out = stock(weight, indices, max_norm)
    out.detach().view(-1, weight.shape[1])[-1].view(torch.int32)[3] ^= 1
    return out


def last_lookup_forgotten(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    out = stock(weight, indices, max_norm)
    out.detach().view(-1, weight.shape[1])[-1] = 0
    return out


def table_changed(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    weight.detach()[indices.reshape(-1)[0]] += 1
    return stock(weight, indices, max_norm)


def without_gradient(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    return stock(weight, indices, max_norm).detach()


def in_double(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    return stock(weight, indices, max_norm).double()


def flattened(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    return stock(weight, indices.reshape(-1), max_norm)


def remembering() -> Callable[..., Tensor]:
    """A lookup of the indices of its first call, whatever it is asked."""
    first: list[Tensor] = []

    def lookup(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
        first.append(indices)
        return stock(weight, first[0], max_norm)

    return lookup


def norm_ignored(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    return stock(weight, indices, None)


def table_not_scaled(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    kept = weight.detach().clone()
    out = stock(weight, indices, max_norm)
    weight.detach().copy_(kept)
    return out


def output_not_scaled(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    out = stock(weight, indices, None)
    stock(weight, indices, max_norm)
    return out


def slightly_too_small(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    assert max_norm is not None
    return stock(weight, indices, max_norm * (1 - 1e-4))


def all_rows_scaled(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    stock(weight, torch.arange(weight.shape[0], device=weight.device), max_norm)
    return stock(weight, indices, max_norm)


def scaled_though_under(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    return stock(weight, indices, None if max_norm is None else max_norm / 2)


class Broken(Exception):
    pass


def raising(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    raise Broken("no such luck")


def quick_timer() -> Timer:
    timer = Timer(torch.device("cpu"), 4096)
    timer.copied = (4096,)
    return timer


def ticking(step: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by a step whenever it is read."""
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock
