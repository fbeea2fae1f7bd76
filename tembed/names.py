"""Names of modules, for errors that tell of one of several tables."""

import threading
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn import Embedding as StockEmbedding

_names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
_lock = threading.RLock()


def name_embeddings(model: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    """Has errors about a bad index say which embedding of `model` it was given to.

    `replace_embeddings` does that by itself; this is for models that were built of tembed.Embedding, and for names
    other than those of `model.named_modules()`. Modules are held weakly, and not changed.

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
    found: dict[str, nn.Module] = {
        ".".join(filter(None, (prefix, name))): module
        for name, module in model.named_modules()
        if isinstance(module, StockEmbedding)
    }
    with _lock:
        for name, module in found.items():
            _names[module] = name
    return found


def forget(module: nn.Module) -> None:
    """The module has no name any more."""
    with _lock:
        _names.pop(module, None)


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
