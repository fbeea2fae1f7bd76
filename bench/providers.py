"""Whose lookup is timed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import tembed

from .modes import deterministic
from .workloads import Workload

Function = Callable[..., Tensor]  # weight, indices, max_norm; sparse=True, where that is asked for
Lookup = Callable[[Tensor, Tensor], Tensor]  # weight, indices


def stock(weight: Tensor, indices: Tensor, max_norm: float | None, sparse: bool = False) -> Tensor:
    """Torch's own."""
    return F.embedding(indices, weight, max_norm=max_norm, sparse=sparse)


def ours(weight: Tensor, indices: Tensor, max_norm: float | None, sparse: bool = False) -> Tensor:
    """This package's."""
    return tembed.embedding(indices, weight, max_norm=max_norm, sparse=sparse)


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


def _always_sparse(workload: Workload) -> str:
    return ""


def _liger_is_dense(workload: Workload) -> str:
    return "has no sparse gradients"


def _compiled_is_dense(workload: Workload) -> str:
    return "" if workload.max_norm is None else "compiled with max_norm, its gradient is dense"


@dataclass(frozen=True)
class Provider:
    """An implementation under a name.

    Args:
        says: what it is, in words.
        function: the lookup.
        compiled: whether torch compiles it, for static shapes.
        lacks: why it cannot do a workload on a device; nothing if it can.
        as_stock: whether its sums may be off by what stock's may.
        within: what is on during its calls.
        forward_is: whose lookups its are, if only its backwards are its own.
        backward_is: whose backwards its are, if only its lookups are its own.
        no_sparse: why it gives no sparse gradient of a workload; nothing if it does.
    """

    name: str
    says: str
    function: Function
    compiled: bool = False
    lacks: Callable[[Workload, torch.device], str] = _anything
    as_stock: bool = False
    within: Callable[[], AbstractContextManager[None]] = nullcontext
    forward_is: str = ""
    backward_is: str = ""
    no_sparse: Callable[[Workload], str] = _always_sparse

    def unable(self, workload: Workload, device: torch.device, backward: bool, sparse: bool) -> str:
        """Why it cannot do a workload, with a backward or with a sparse one; nothing if it can."""
        if self.forward_is and not backward:
            return f"as {self.forward_is}: only backwards differ"
        if self.backward_is and backward:
            return f"as {self.backward_is}: only lookups differ"
        return (sparse and self.no_sparse(workload)) or self.lacks(workload, device)

    def lookup(self, max_norm: float | None, sparse: bool = False) -> Lookup:
        """Its lookup, compiled afresh by the first call if it is to be compiled."""
        function: Any = torch.compile(self.function, dynamic=False) if self.compiled else self.function
        options = {"sparse": True} if sparse else {}

        def call(weight: Tensor, indices: Tensor) -> Tensor:
            out: Tensor = function(weight, indices, max_norm, **options)
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
        Provider(STOCK, "F.embedding", stock, as_stock=True),
        Provider(
            "stock compiled", "torch.compile(F.embedding)", stock,
            compiled=True, as_stock=True, no_sparse=_compiled_is_dense,
        ),
        Provider(
            "stock deterministic", "F.embedding under use_deterministic_algorithms(True), fresh memory not filled",
            stock, as_stock=True, within=deterministic, forward_is=STOCK,
        ),
        Provider("tembed", f"tembed.embedding {tembed.__version__}", ours),
        Provider(
            "tembed unreported", 'tembed.embedding with index_checks("off")', ours,
            within=partial(tembed.index_checks, "off"), backward_is="tembed",
        ),
        # under torch.compile the gradient is stock's
        Provider(
            "tembed compiled", "torch.compile(tembed.embedding)", ours,
            compiled=True, as_stock=True, no_sparse=_compiled_is_dense,
        ),
        Provider(
            "liger", f"Liger-Kernel's experimental embedding{_liger_version()}", liger,
            lacks=_liger_lacks, as_stock=True, no_sparse=_liger_is_dense,
        ),
    )
}  # fmt: skip
