"""api: what a module shows, copies, saves and loads."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..cases import feature, product
from ..compare import require, same, same_bits
from ..subject import Implementation, offered
from .constructor import OPTIONS

SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "(4, 3)"),
    "everything": (
        OPTIONS,
        "(4, 3, padding_idx=1, max_norm=2.0, norm_type=3.0, scale_grad_by_freq=True, sparse=True)",
    ),
    "wrapped padding": ({"padding_idx": -1}, "(4, 3, padding_idx=3)"),
    "max_norm 0": ({"max_norm": 0.0, "norm_type": 2}, "(4, 3, max_norm=0.0)"),
    "0 for False": ({"scale_grad_by_freq": 0, "sparse": 0}, "(4, 3, scale_grad_by_freq=0, sparse=True)"),
    "frozen": ({"_freeze": True}, "(4, 3)"),
}


def saved(module: nn.Module) -> nn.Module:
    """The module through torch.save and torch.load."""
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    twin = torch.load(buffer, weights_only=False)
    assert isinstance(twin, nn.Module)
    return twin


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": saved,
}


@feature("api", "repr", cases=product(given=SHOWN))
def shown(subject: Implementation, given: str) -> None:
    """repr shows the sizes and those options that are not the defaults: padding_idx and max_norm that are not None,
    norm_type other than 2, scale_grad_by_freq and sparse that are not False."""
    options, text = SHOWN[given]
    same(repr(subject.make(4, 3, **options)), subject.cls.__name__ + text, "repr")


@feature("api", "state")
def state(subject: Implementation) -> None:
    """The state_dict holds weight and nothing else; weight is the one Parameter, and there are no buffers."""
    module = subject.make(4, 3, padding_idx=1)
    same(list(module.state_dict()), ["weight"], "keys of the state_dict")
    same([name for name, _ in module.named_parameters()], ["weight"], "parameters")
    same([name for name, _ in module.named_buffers()], [], "buffers")


@feature("api", "constants")
def constants(subject: Implementation) -> None:
    """__constants__ names the sizes and options, which TorchScript looks for."""
    names = ["num_embeddings", "embedding_dim", *OPTIONS]
    same(list(offered(subject.cls, "__constants__")), names, "__constants__")


@feature("api", "load", cases=product(direction=("from stock", "into stock")))
def load_state(subject: Implementation, direction: str) -> None:
    """state_dicts of nn.Embedding load, and load into nn.Embedding; the padding row is overwritten like others."""
    modules = [subject.make(4, 3, padding_idx=1), nn.Embedding(4, 3, padding_idx=1, device=subject.device)]
    source, target = modules if direction == "into stock" else modules[::-1]
    with torch.no_grad():
        source.weight.copy_(torch.randn(4, 3))
    target.load_state_dict(source.state_dict())
    same_bits(target.weight, source.weight, "the table")


@feature("api", "copies", cases=product(way=COPIES, options=("padding", "all options")))
def copies(subject: Implementation, way: str, options: str) -> None:
    """deepcopy, pickle and torch.save make a module of the same class and options, with a table of its own."""
    given = OPTIONS if options == "all options" else {"padding_idx": 1}
    module = subject.make(4, 3, **given).eval().requires_grad_(False)
    twin = COPIES[way](module)
    same(type(twin), type(module), "type of the copy")
    for name in given:
        same(offered(twin, name), getattr(module, name), name)
    same_bits(twin.weight, module.weight, "the copy's table")
    require(twin.weight.data_ptr() != module.weight.data_ptr(), "the copy shares the table's memory")
    same((twin.weight.requires_grad, twin.training), (False, False), "requires_grad and training")


@feature("api", "reset", cases=product(padding_idx=(None, 1), frozen=(True, False)))
def reset(subject: Implementation, padding_idx: int | None, frozen: bool) -> None:
    """reset_parameters draws the table anew, as a new module does, and zeroes the padding row; whether the table
    requires a gradient stays as it is."""
    module = subject.make(5, 7, padding_idx=padding_idx).requires_grad_(not frozen)
    again = offered(module, "reset_parameters")
    module.weight.data.fill_(7)
    torch.manual_seed(5)
    again()
    torch.manual_seed(5)
    drawn = torch.empty(5, 7, device=subject.device).normal_()
    if padding_idx is not None:
        drawn[padding_idx] = 0
    same_bits(module.weight, drawn, "the table")
    same(module.weight.requires_grad, not frozen, "requires_grad")


@feature("api", "materialised")
def materialised(subject: Implementation) -> None:
    """A module made on the meta device gets its table from to_empty and reset_parameters."""
    module = subject.make(4, 3, padding_idx=1, device="meta").to_empty(device=subject.device)
    offered(module, "reset_parameters")()
    same((module.weight == 0).all(1).nonzero().tolist(), [[1]], "rows that are zero")
