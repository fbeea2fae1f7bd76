"""api: calling a module, and changing it after it was made."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..cases import dtype_of, feature, product
from ..compare import same, same_bits
from ..lookups import lookup
from ..subject import Implementation, offered, wanted
from .constructor import OPTIONS
from .from_pretrained import check_effect


@feature("api", "forward-argument")
def forward_argument(subject: Implementation) -> None:
    """The argument of forward is called input."""
    module = subject.make(4, 3)
    indices = torch.tensor([2], device=subject.device)
    same_bits(module(**wanted(module.forward, {"input": indices})), module.weight[indices], "what is looked up")


@feature("api", "converted", cases=product(dtype=("float64", "bfloat16")))
def converted(subject: Implementation, dtype: str) -> None:
    """After module.to(dtype) lookups are in that dtype."""
    module = subject.make(4, 3).to(dtype_of(dtype))
    indices = torch.tensor([2, 0], device=subject.device)
    same(module.weight.dtype, dtype_of(dtype), "dtype of the table")
    same_bits(module(indices), module.weight[indices], "what is looked up")


@feature("api", "table-replaced", cases=product(way=("parameter", "data"), rows=(4, 9)))
def table_replaced(subject: Implementation, way: str, rows: int) -> None:
    """A lookup takes the table that the module has at the time, even one with more rows than the constructor made."""
    module = subject.make(4, 3)
    table = torch.randn(rows, 3, device=subject.device)
    if way == "parameter":
        module.weight = nn.Parameter(table)
    else:
        module.weight.data = table
    indices = torch.tensor([rows - 1, 0], device=subject.device)
    out = module(indices)
    same_bits(out, table[indices], "what is looked up")
    out.sum().backward()
    same(tuple(module.weight.grad.shape), (rows, 3), "shape of the gradient")


@feature("api", "table-tied")
def table_tied(subject: Implementation) -> None:
    """Two modules may have one table: its gradient is the sum of both."""
    first, second = subject.make(4, 3), subject.make(4, 3)
    second.weight = first.weight
    indices = torch.tensor([1, 2], device=subject.device)
    (first(indices).sum() + second(indices[:1]).sum()).backward()
    same(first.weight.grad.to_dense().tolist(), [[0.0] * 3, [2.0] * 3, [1.0] * 3, [0.0] * 3], "gradient")


EFFECTIVE = {**OPTIONS, "norm_type": 1.0}  # which makes of a row of four 8s, with max_norm 4, a row of 1s


@feature("api", "options-changed", cases=product(option=OPTIONS))
def options_changed(subject: Implementation, option: str) -> None:
    """An option that is set on a module takes effect from the next lookup on."""
    module = subject.make(4, 4, max_norm=4.0 if option == "norm_type" else None)
    offered(module, option)
    module.weight.data.fill_(8.0)
    setattr(module, option, EFFECTIVE[option])
    out = module(torch.tensor([1, 1, 3], device=subject.device))
    check_effect(module, out, option)


# The 1-norm of every row of 16 is over 5, the 2-norm of some only.
NORM = {"max_norm": 5.0, "norm_type": 1.0}
EVERY: dict[str, dict[str, Any]] = {
    "no options": {},
    "padding": {"padding_idx": 1},
    "scale": {"scale_grad_by_freq": True},
    "sparse": {"sparse": True},
    "norm": NORM,
    "norm float64": {**NORM, "dtype": "float64", "index_dtype": "int32"},
    "padding, scale, norm": {**NORM, "padding_idx": -3, "scale_grad_by_freq": True},
    "padding, sparse, norm": {**NORM, "padding_idx": -3, "sparse": True},
}


@feature("api", "module-numbers", claim="bound", cases=product(options=EVERY, shape=((200,), (4, 5, 10))))
def module_numbers(subject: Implementation, options: str, shape: tuple[int, ...]) -> str | None:
    """A module's lookups and gradients have the numbers of the function's, with every option."""
    _ = subject.cls  # Missing without one
    alone = replace(subject, functional=None)
    return lookup(alone, what="all", V=40, D=16, shape=shape, **EVERY[options])
