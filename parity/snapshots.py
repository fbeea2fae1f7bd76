"""What can be read of tensors, modules and optimizers, before and after a call: the proof that it changed nothing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn, optim

from .compare import require, same

Facts = dict[str, Any]
ROUNDINGS, GPU_ROUNDINGS = 4, 16  # by which results may differ: a GPU's powers are approximate


def record(things: dict[str, Any]) -> Facts:
    """Every fact about the things by its path, as plain data that shares no memory with them.

    Of a tensor: the bytes of all its memory, gaps and what other tensors see of it included, its shape, strides,
    version and gradient. Of the process: the generator of random numbers and the modes of autograd.
    """
    facts: Facts = {
        "random numbers": torch.get_rng_state().numpy().tobytes(),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()),
    }
    for name, thing in things.items():
        facts.update(_facts(name, thing))
    return facts


def changes(before: Facts, after: Facts) -> list[str]:
    """The paths of facts that are not what they were."""
    return [path for path in {**before, **after} if path not in before or before[path] != after.get(path, ...)]


def _facts(path: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """The facts about one thing."""
    yield f"{path}: type", type(thing)
    if isinstance(thing, Tensor):
        yield from _tensor(path, thing)
    elif isinstance(thing, np.ndarray):
        yield path, (thing.dtype, thing.shape, thing.tobytes())
    else:
        parts = dict(_parts(thing))
        if parts:
            yield f"{path}: parts", list(parts)
        else:
            yield path, repr(thing)
        for name, part in parts.items():
            yield from _facts(f"{path}.{name}", part)


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a module, an optimizer or a collection consists of."""
    if isinstance(thing, nn.Module):
        yield from thing._parameters.items()
        yield from thing._buffers.items()
        yield from thing._modules.items()
        yield from ((name, value) for name, value in vars(thing).items() if not name.startswith("_"))
    elif isinstance(thing, optim.Optimizer):
        for i, group in enumerate(thing.param_groups):
            yield f"group {i}", {name: value for name, value in group.items() if name != "params"}
            yield f"state {i}", [thing.state.get(parameter) for parameter in group["params"]]
    elif isinstance(thing, dict):
        yield from ((str(name), value) for name, value in thing.items())
    elif isinstance(thing, list | tuple):
        yield from ((str(i), value) for i, value in enumerate(thing))


def _tensor(path: str, x: Tensor) -> Iterator[tuple[str, Any]]:
    yield path, (x.dtype, x.layout, tuple(x.shape), x.device, x.requires_grad, x.is_leaf, x.is_inference())
    if not x.is_inference():
        yield f"{path}: version", x._version
    if x.layout == torch.strided:
        yield f"{path}: strides", (x.stride(), x.storage_offset(), x.is_conj(), x.is_neg(), x.data_ptr())
        yield f"{path}: memory", _memory(x)
    elif x.layout == torch.sparse_coo:
        yield f"{path}: coalesced", x.is_coalesced()
        yield from _facts(f"{path} indices", x._indices())
        yield from _facts(f"{path} values", x._values())
    elif x.layout == torch.sparse_csr:
        yield from _facts(f"{path} columns", x.col_indices())
        yield from _facts(f"{path} values", x.values())
    if x.is_leaf or x.retains_grad:
        yield f"{path}: gradient", x.grad is not None
        if x.grad is not None:
            yield from _facts(f"{path}.grad", x.grad)


def _memory(x: Tensor) -> bytes:
    """The bytes of a tensor's whole storage; none on the meta device."""
    storage = x.untyped_storage()
    if x.is_meta or not storage.nbytes():
        return b""
    all_of_it = torch.empty(0, dtype=torch.uint8, device=x.device).set_(storage)
    return bytes(all_of_it.cpu().numpy().tobytes())


def alike(found: Any, wanted: Any, what: str, outer: bool = True) -> None:
    """Mismatch unless both are the same as far as a caller can tell: sparse ones as tensors, numbers to four roundings.

    Args:
        outer: whether the version counter counts too, which it does not for gradients and results.
    """
    if not isinstance(wanted, Tensor):
        parts = _compared(wanted)
        if parts:
            others = _compared(found)
            same(list(others), list(parts), f"parts of {what}")
            for name, part in parts.items():
                alike(others[name], part, f"{what}.{name}", outer)
        elif isinstance(wanted, int | float | str | bool):
            require(
                found == wanted or (found != found and wanted != wanted), f"{what}: {found!r}, should be {wanted!r}"
            )
        return
    require(isinstance(found, Tensor), f"{what} is a {type(found).__name__}, should be a tensor")
    for fact in ("dtype", "layout", "shape", "requires_grad", "is_meta", *(["_version"] if outer else [])):
        if fact == "_version" and wanted.is_inference():
            continue
        same(getattr(found, fact), getattr(wanted, fact), f"{fact} of {what}")
    same(found.is_inference(), wanted.is_inference(), f"is_inference of {what}")
    if not wanted.is_meta and _held(wanted):
        _same_numbers(found, wanted, what)
    if wanted.is_leaf:
        same(found.grad is None, wanted.grad is None, f"{what} is without a gradient")
        if wanted.grad is not None:
            alike(found.grad, wanted.grad, f"gradient of {what}", outer=False)


def _compared(thing: Any) -> Facts:
    """The parts that are to be alike: of a module its tensors, as others have attributes of other names."""
    return {name: part for name, part in _parts(thing) if not isinstance(thing, nn.Module) or isinstance(part, Tensor)}


def _held(x: Tensor) -> bool:
    """Whether the tensor's memory has all its numbers; and they are few, or one repeated."""
    if x.layout != torch.strided:
        return True
    return bool(x.untyped_storage().nbytes()) and x.numel() < 2**20


def _same_numbers(found: Tensor, wanted: Tensor, what: str) -> None:
    roundings = ROUNDINGS if found.is_cpu else GPU_ROUNDINGS
    found, wanted = (x.detach().to_dense().resolve_neg().cpu() for x in (found, wanted))
    wide = torch.complex128 if wanted.is_complex() else torch.float64
    rtol = roundings * torch.finfo(wanted.dtype).eps if wanted.is_floating_point() or wanted.is_complex() else 0.0
    close = torch.isclose(found.to(wide), wanted.to(wide), rtol=rtol, atol=0.0, equal_nan=True)
    require(bool(close.all()), f"{what}: {found.flatten()[:8].tolist()}, should be {wanted.flatten()[:8].tolist()}")
