"""Lookups under torch.func: vmap, grad, jvp and what is made of them."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch._C import _TorchDispatchModeKey as ModeKey
from torch._C._functorch import TransformType, is_functorch_wrapped_tensor

from . import checks
from .batches import Call
from .transformable import Lookup

TRACERS = (ModeKey.FAKE, ModeKey.PROXY, ModeKey.FUNCTIONAL)


def handles(input: Tensor, weight: Tensor) -> bool:
    """Whether the lookup is one under transforms, or of tensors that outlived one, on memory and not traced."""
    if torch.compiler.is_compiling() or not (
        torch._C._are_functorch_transforms_active()
        or is_functorch_wrapped_tensor(weight)
        or is_functorch_wrapped_tensor(input)
    ):
        return False
    traced = (
        torch._C._get_tracing_state() is not None
        or any(map(torch._C._get_dispatch_mode, TRACERS))
        or any(key == TransformType.Functionalize for key, _ in _transforms())
    )
    return not traced and not weight.is_meta and _plain(weight) and _plain(input)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int,
    max_norm: float | None,
    norm_type: float,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """tembed.embedding(), with -1 for no padding_idx. Checks in stock's order, of indices in the innermost call."""
    renorm = None if max_norm is None else checks.check_renorm(input, weight, max_norm, norm_type)
    checks.check_types(input, weight, padding_idx, scale_grad_by_freq, sparse)
    checks.check_tensors(input, weight)
    checks.check_differentiable(weight)
    if renorm is not None:
        _refuse_captured(weight)
    out: Tensor = Lookup.apply(weight, input, Call(input.dim(), int(padding_idx), scale_grad_by_freq, sparse, renorm))
    if renorm is not None:
        for layer in _layers(weight):
            if functorch.is_gradtrackingtensor(layer):  # which has a version of its own
                torch.autograd.graph.increment_version(layer)
    return out


def _refuse_captured(weight: Tensor) -> None:
    """Raises what torch has against changing, within a transform that differentiates, a table that is not its argument.

    What it saved of such a table has no version by which the change would be noticed.
    """
    levels = {functorch.maybe_get_level(layer) for layer in _layers(weight)}
    if any(key in (TransformType.Grad, TransformType.Jvp) and level not in levels for key, level in _transforms()):
        nothing = torch.empty(0, dtype=torch.int64, device=weight.device)
        torch.embedding_renorm_(weight.detach(), nothing, 1.0, 2.0)


def _transforms() -> Iterator[tuple[TransformType, int]]:
    """Kind and level of each transform under way."""
    for interpreter in functorch.get_interpreter_stack() or ():
        yield interpreter.key(), interpreter.level()


def _layers(tensor: Tensor) -> Iterator[Tensor]:
    """What each of the transforms sees of a tensor, from the innermost out, and last its memory."""
    yield tensor
    while is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
        yield tensor


def _plain(tensor: Tensor) -> bool:
    """Whether a tensor is memory of torch's own kind, under whatever transforms."""
    *_, memory = _layers(tensor)
    return (
        memory.layout == torch.strided
        and type(memory).__torch_dispatch__ is Tensor.__torch_dispatch__
        and not functorch.is_legacy_batchedtensor(memory)
        and not torch._is_functional_tensor(memory)
    )
