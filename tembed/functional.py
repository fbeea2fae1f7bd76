"""embedding: the signature, checks and errors of torch.nn.functional.embedding, and the choice of a path."""

import torch
from torch import Tensor, float32, float64
from torch import embedding as torch_embedding
from torch._C import _TorchDispatchModeKey as ModeKey
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack, handle_torch_function, has_torch_function_variadic
from torch.utils._device import DeviceContext

from . import checks, compiled, dtensor, kernels, ops, reports, transforms
from .autograd import differentiable, record

# False where the kernels run on CPU tables, in an interpreter; fixed for the life of the process.
REFERENCE_ON_CPU = not kernels.drives("cpu")
PLAIN = (torch.nn.Parameter, Tensor)
TRACERS = (ModeKey.FAKE, ModeKey.PROXY, ModeKey.FUNCTIONAL)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """out[..., :] = weight[input[...], :]; a drop-in for torch.nn.functional.embedding.

    Args:
        input: int32 or int64 indices of any shape and strides, each in [0, V).
        weight: [V, D] by any strides, which is never copied. Gradients for float16, bfloat16, float32 and
            float64; every other dtype can be looked up.
        padding_idx: a row that gets no gradient; negative counts from the end.
        max_norm: rows looked up whose norm is larger are first scaled to it, in place: row *= max_norm /
            (norm + 1e-7). The gradient passes straight through.
        norm_type: p of that norm, as torch.linalg.vector_norm defines it.
        scale_grad_by_freq: divides a row's gradient by how often `input` has it.
        sparse: the gradient of weight is a sparse tensor, coalesced: each row once, ascending.

    Returns:
        input.shape + (D,), contiguous, in the dtype of weight, equal to its rows bit for bit.

    Raises:
        IndexError: an index outside [0, V), with its value, position and V, before anything is changed. On an
            accelerator such a row is zeros and takes no part in gradients, and the error is raised by the next lookup
            or backward there, or by `tembed.check_indices()`; see `tembed.set_index_checks`. Under tracers, for
            tensor subclasses other than DTensor, and under torch.compile for CPU tables, DTensors and 8-bit floats,
            the lookup is torch's own, and so is what a bad index does.
        AssertionError, RuntimeError, TypeError: as torch raises them.

    Determinism: gradients are bitwise equal from run to run. 16-bit ones are summed in float32, rounded once.

    Source: semantics of torch.nn.functional.embedding; algorithms ours, see tembed/kernels.
    """
    if has_torch_function_variadic(input, weight) and not _only_device_modes(input, weight):
        return handle_torch_function(
            F.embedding,
            (input, weight),
            input,
            weight,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )
    if padding_idx is None:
        padding_idx = -1
    elif padding_idx > 0:
        if padding_idx >= weight.size(0):
            checks.raise_padding_idx(padding_idx, weight.size(0))
    elif padding_idx < 0:
        if padding_idx < -weight.size(0):
            checks.raise_padding_idx(padding_idx, weight.size(0))
        padding_idx = weight.size(0) + padding_idx
    try:
        native = (
            max_norm is None
            and not (scale_grad_by_freq or sparse)
            and REFERENCE_ON_CPU
            and type(weight) in PLAIN
            and weight.is_cpu
            and input.is_cpu
            and not torch._C._are_functorch_transforms_active()
            and input.numel()
            and ((dtype := weight.dtype) is float32 or dtype is float64 or not weight.requires_grad)
        )
    except AttributeError:  # not tensors, of which torch's own types of error tell
        native = False
    if not native:
        return _embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    try:
        return torch_embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)
    except (IndexError, RuntimeError) as error:
        raise checks.explained(error, input, weight) from None


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int,
    max_norm: float | None,
    norm_type: float,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """embedding() once padding_idx is settled, for all but the plain case on the CPU. Checks in stock's order."""
    if isinstance(weight, Tensor) and isinstance(input, Tensor) and _unlike_others(input, weight):
        return _another_way(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if max_norm is not None:
        if not isinstance(input, Tensor):
            input = input.contiguous()  # Python's own complaint, as in stock
        if not isinstance(weight, Tensor):
            weight = weight.detach()
        max_norm, norm_type = checks.check_renorm(input, weight, max_norm, norm_type)
    checks.check_types(input, weight, padding_idx, scale_grad_by_freq, sparse)
    checks.check_tensors(input, weight)
    report = reports.check(input, weight.shape[0], weight)
    if differentiable(weight):
        checks.check_differentiable(weight, input)
        options = int(padding_idx), scale_grad_by_freq, sparse
        return record(weight, input, options, None if max_norm is None else (max_norm, norm_type), report)
    if max_norm is None:
        return ops.lookup(weight, input, report=report)
    return ops.renorm_lookup(weight, input, max_norm, norm_type, report=report)


def _only_device_modes(input: Tensor, weight: Tensor) -> bool:
    """Whether __torch_function__ is asked for by a default device alone, which means nothing to a lookup."""
    modes = _get_current_function_mode_stack()
    return type(input) in PLAIN and type(weight) in PLAIN and all(type(mode) is DeviceContext for mode in modes)


def _another_way(
    input: Tensor,
    weight: Tensor,
    padding_idx: int,
    max_norm: float | None,
    norm_type: float,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """embedding() of sharded tables, under transforms and compilers; all that remains is torch's own operation's."""
    for way in (compiled, dtensor, transforms):
        if way.handles(input, weight):
            return way.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    return F.embedding(
        input, weight, None if padding_idx == -1 else padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
    )


def _unlike_others(input: Tensor, weight: Tensor) -> bool:
    """Whether something other than the kernels or their reference has to see the lookup.

    That is so for meta and sparse tables, sparse indices, tensor subclasses, function transforms and tensors that
    outlived one, and under a tracer or compiler.
    """
    return (
        weight.is_meta
        or weight.layout != torch.strided
        or input.layout != torch.strided
        or type(weight).__torch_dispatch__ is not Tensor.__torch_dispatch__
        or type(input).__torch_dispatch__ is not Tensor.__torch_dispatch__
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or is_functorch_wrapped_tensor(weight)
        or is_functorch_wrapped_tensor(input)
        or torch._C._get_tracing_state() is not None
        or (torch._C._len_torch_dispatch_stack() > 0 and any(map(torch._C._get_dispatch_mode, TRACERS)))
    )
