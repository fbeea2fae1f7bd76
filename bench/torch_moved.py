"""Bytes that torch's own operations move between the launches of kernels, by formula, from watching what is called.

An operation reads each tensor it is given and writes each that it returns or changes, once; one that fills only writes;
a sort reads and writes its keys and the order once, whatever passes it makes. Views and fresh memory move nothing.
"""

import traceback
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

FILLS = ("zeros", "zeros_like", "new_zeros", "zero_", "fill_", "full", "full_like", "new_full", "ones", "arange")
ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "set_", "detach", "alias")
# Wraps tensors that are there already.
WRAPPERS = ("_sparse_coo_tensor_with_dims_and_tensors", "_sparse_coo_tensor_unsafe")
INTERPRETER = "triton/runtime/interpreter.py"


class TorchMoved(TorchDispatchMode):
    """Collects `operations`: name, bytes read and written, and whether all of its tensors are of integers.

    What Triton's interpreter does to bring arguments to a kernel and back is none of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[dict[str, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:  # fmt: skip
        """Runs the operation and notes it."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if func.is_view or name in (*ALLOCATIONS, *WRAPPERS) or interpreting():
            return result
        given, made = tensors_in((args, kwargs)), tensors_in(result)
        read, written = _moved(name, given, made, func._schema.is_mutable)
        if read or written:
            integers = not any(x.is_floating_point() or x.is_complex() for x in (*given, *made))
            self.operations.append({"operation": name, "load": read, "store": written, "integers": integers})
        return result


def _moved(name: str, given: list[Tensor], made: list[Tensor], mutable: bool) -> tuple[int, int]:
    """Bytes read and written."""
    written = sum(x.nbytes for x in made)
    if name in FILLS:
        return 0, written
    if name == "sort":
        return written, written
    if name == "_local_scalar_dense":  # a number for the host
        return sum(x.nbytes for x in given), 0
    read = given[1:] if mutable and name in ("copy_", "index_copy_") else given
    return sum(x.nbytes for x in read), written


def tensors_in(x: Any) -> list[Tensor]:
    """All strided tensors among arguments or results."""
    found: list[Tensor] = []
    torch.utils._pytree.tree_map_only(Tensor, found.append, x)
    return [tensor for tensor in found if tensor.layout == torch.strided]


def interpreting() -> bool:
    """Whether the call comes out of Triton's interpreter."""
    return any(frame.f_code.co_filename.endswith(INTERPRETER) for frame, _ in traceback.walk_stack(None))
