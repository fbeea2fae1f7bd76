"""Indices by their distribution."""

from functools import cache

import torch
from torch import Generator, Tensor

from .corpus import build_corpus
from .workloads import Workload

EXPONENT = 1.05  # of Zipf's law, as words and clicks have it


@cache
def _text() -> Tensor:
    return build_corpus().tokens


def draw(workload: Workload, generator: Generator) -> Tensor:
    """int64 indices of the workload's shape, in [0, V), on the CPU.

    uniform: every row alike. zipf: the k-th most frequent row in proportion to k^-1.05. text: the words of Python's own
    documentation in their order, from a random place on, and from its beginning again where it ends. hot: one row.
    sorted: uniform, ascending. For zipf and text, where in the table a frequent row lies is random.
    """
    return _DRAW[workload.distribution](workload.V, workload.N, generator).view(workload.shape)


def _uniform(V: int, N: int, generator: Generator) -> Tensor:
    return torch.randint(V, (N,), generator=generator)


def _zipf(V: int, N: int, generator: Generator) -> Tensor:
    weights = torch.arange(1, V + 1, dtype=torch.float64).pow_(-EXPONENT).cumsum_(0)
    at = torch.rand(N, dtype=torch.float64, generator=generator) * weights[-1]
    ranks = torch.searchsorted(weights, at).clamp_(max=V - 1)
    return torch.randperm(V, generator=generator)[ranks]


def _natural(V: int, N: int, generator: Generator) -> Tensor:
    tokens = _text()
    start = int(torch.randint(len(tokens), (), generator=generator))
    words = tokens[(start + torch.arange(N)) % len(tokens)]
    return torch.randperm(V, generator=generator)[words % V]


def _hot(V: int, N: int, generator: Generator) -> Tensor:
    return torch.randint(V, (1,), generator=generator).expand(N).clone()


def _sorted(V: int, N: int, generator: Generator) -> Tensor:
    return _uniform(V, N, generator).sort().values


_DRAW = {"uniform": _uniform, "zipf": _zipf, "text": _natural, "hot": _hot, "sorted": _sorted}
