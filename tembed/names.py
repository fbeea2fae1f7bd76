"""Names of modules, for errors that tell of one of several tables."""

import os
import threading
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn import Embedding as StockEmbedding

_names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
_lock = threading.RLock()


def _after_fork() -> None:
    """A child's own, for a thread that it does not have may hold its parent's."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def name_embeddings(model: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    """Has errors about a bad index say which embedding of `model` it was given to.

    `replace_embeddings` does that by itself, for those that have no name yet; this is for models that were built of
    tembed.Embedding, and for names other than those of `model.named_modules()`. Modules are held weakly, and not
    changed.

    Args:
        model: any module; it may be an embedding itself.
        prefix: stands before each name, with a dot between.

    Returns:
        The embeddings, by the names that they have got. One that the model holds twice has the first.

    Raises:
        TypeError: `model` is not a torch.nn.Module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    found = _embeddings(model, prefix)
    with _lock:
        for name, module in found.items():
            _names[module] = name
    return found


def name_nameless(model: nn.Module) -> dict[nn.Module, str]:
    """Gives the embeddings of a model that nobody has named the names that they have in it: these, and those."""
    with _lock:
        found = {module: name for name, module in _embeddings(model).items() if module not in _names}
        _names.update(found)
    return found


def forget(module: nn.Module, name: str | None) -> None:
    """The module has no name any more, if it was this one."""
    with _lock:
        if name is not None and _names.get(module) == name:
            del _names[module]


def _embeddings(model: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    return {
        ".".join(filter(None, (prefix, name))): module
        for name, module in model.named_modules()
        if isinstance(module, StockEmbedding)
    }


def address_of(weight: Tensor) -> int:
    """Where a table lies, by which it is known again; for a DTensor the part that is here. 0 where it has no memory."""
    try:
        return getattr(weight, "_local_tensor", weight).data_ptr()
    except RuntimeError:  # of tensors that a tracer made up
        return 0


def name_at(address: int, rows: int) -> str | None:
    """The name of the module whose table of so many rows lies there."""
    with _lock:
        named = [*_names.items()] if address else []
    for module, name in named:
        weight = module._parameters.get("weight")
        if weight is not None and weight.shape[:1] == (rows,) and address_of(weight) == address:
            return name
    return None
