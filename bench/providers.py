"""Whose lookup is timed."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import tembed

from .workloads import Workload

Function = Callable[[Tensor, Tensor, float | None], Tensor]  # weight, indices, max_norm
Lookup = Callable[[Tensor, Tensor], Tensor]  # weight, indices


def stock(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    """Torch's own."""
    return F.embedding(indices, weight, max_norm=max_norm)


def ours(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    """This package's."""
    return tembed.embedding(indices, weight, max_norm=max_norm)


def liger(weight: Tensor, indices: Tensor, max_norm: float | None) -> Tensor:
    """What LigerEmbedding calls when it has no padding_idx."""
    from liger_kernel.transformers.experimental.embedding import LigerEmbeddingFunction

    out: Tensor = LigerEmbeddingFunction.apply(weight, indices)
    return out


def _anything(workload: Workload, device: torch.device) -> str:
    return ""


def _liger_lacks(workload: Workload, device: torch.device) -> str:
    if find_spec("liger_kernel") is None:
        return "not installed"
    if workload.max_norm is not None:
        return "has no max_norm"
    return "" if device.type == "cuda" else "needs a GPU"


@dataclass(frozen=True)
class Provider:
    """An implementation under a name.

    Args:
        says: what it is, in words.
        function: the lookup.
        compiled: whether torch compiles it, for static shapes.
        lacks: why it cannot do a workload on a device; nothing if it can.
    """

    name: str
    says: str
    function: Function
    compiled: bool = False
    lacks: Callable[[Workload, torch.device], str] = _anything

    def lookup(self, max_norm: float | None) -> Lookup:
        """Its lookup, compiled afresh by the first call if it is to be compiled."""
        function: Any = torch.compile(self.function, dynamic=False) if self.compiled else self.function

        def call(weight: Tensor, indices: Tensor) -> Tensor:
            out: Tensor = function(weight, indices, max_norm)
            return out

        return call


def _liger_version() -> str:
    try:
        return f" {version('liger-kernel')}"
    except PackageNotFoundError:
        return ""


STOCK = "stock"
PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(STOCK, "F.embedding", stock),
        Provider("stock compiled", "torch.compile(F.embedding)", stock, compiled=True),
        Provider("tembed", f"tembed.embedding {tembed.__version__}", ours),
        Provider("tembed compiled", "torch.compile(tembed.embedding)", ours, compiled=True),
        Provider("liger", f"Liger-Kernel's experimental embedding{_liger_version()}", liger, lacks=_liger_lacks),
    )
}
