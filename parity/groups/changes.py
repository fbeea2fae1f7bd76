"""api: calling a module, and changing it after it was made."""

import torch
from torch import nn

from ..cases import dtype_of, feature, product
from ..compare import same, same_bits
from ..subject import Implementation, offered, wanted
from .constructor import OPTIONS


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


@feature("api", "options-changed", cases=product(option=("padding_idx", "max_norm", "scale_grad_by_freq", "sparse")))
def options_changed(subject: Implementation, option: str) -> None:
    """An option that is set on a module takes effect from the next lookup on."""
    module = subject.make(4, 4)
    offered(module, option)
    module.weight.data.fill_(8.0)
    setattr(module, option, OPTIONS[option])
    out = module(torch.tensor([1, 1, 3], device=subject.device))
    out.sum().backward()
    rows = {"padding_idx": [0.0, 0.0, 0.0, 4.0], "scale_grad_by_freq": [0.0, 4.0, 0.0, 4.0]}
    same(module.weight.grad.is_sparse, option == "sparse", "sparseness of the gradient")
    found = module.weight.grad.to_dense().sum(1).tolist()
    same(found, rows.get(option, [0.0, 8.0, 0.0, 4.0]), "gradient of the rows")
    same(round(out[0].norm().item()), 2 if option == "max_norm" else 16, "norm of a row looked up")
