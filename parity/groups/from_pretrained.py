"""api: from_pretrained, a module around a table that exists."""

from typing import Any

import torch

from ..cases import dtype_of, feature, product
from ..compare import require, same, same_bits, same_error
from ..subject import Implementation, offered, wanted
from .constructor import FLOATING, OPTIONS, PADDING


def pretrained(subject: Implementation, table: Any, **options: Any) -> Any:
    """cls.from_pretrained(table, **options); Missing where that is not offered."""
    maker = offered(subject.cls, "from_pretrained")
    return maker(table, **wanted(maker, options))


@feature("api", "pretrained-table", cases=product(freeze=(True, False)))
def pretrained_table(subject: Implementation, freeze: bool) -> None:
    """from_pretrained makes a module of its class over the same memory and version counter, the padding row kept."""
    table = torch.ones(4, 3, device=subject.device).mul_(2)
    module = pretrained(subject, table, freeze=freeze, padding_idx=1)
    same(type(module), subject.cls, "type of the module")
    same(tuple(module.weight.shape), (4, 3), "shape of the table")
    same(module.weight.requires_grad, not freeze, "requires_grad")
    same(module.weight.data_ptr(), table.data_ptr(), "address of the table")
    same_bits(module.weight, torch.full((4, 3), 2.0), "the table")
    same(module.weight._version, 1, "version of the table")
    table.add_(1)
    same(module.weight._version, 2, "version of the table once the source was changed")


@feature("api", "pretrained-frozen")
def pretrained_frozen(subject: Implementation) -> None:
    """from_pretrained freezes unless told otherwise, even if the source requires a gradient."""
    module = pretrained(subject, torch.ones(4, 3, device=subject.device, requires_grad=True))
    same(module.weight.requires_grad, False, "requires_grad")


@feature("api", "pretrained-arguments", cases=product(given=("by position", "by name")))
def pretrained_arguments(subject: Implementation, given: str) -> None:
    """from_pretrained takes embeddings, freeze, padding_idx, max_norm, norm_type, scale_grad_by_freq and sparse, in
    this order and by these names."""
    maker = offered(subject.cls, "from_pretrained")
    named = {"embeddings": torch.ones(4, 3, device=subject.device), "freeze": False, **OPTIONS}
    wanted(maker, named)
    module = maker(**named) if given == "by name" else maker(*named.values())
    for name, value in {"num_embeddings": 4, "embedding_dim": 3, **OPTIONS}.items():
        same(offered(module, name), value, name)
    same(module.weight.requires_grad, True, "requires_grad")


@feature("api", "pretrained-dtypes", cases=product(dtype=("int64", "bool", "float8_e4m3fn")))
def pretrained_dtypes(subject: Implementation, dtype: str) -> None:
    """from_pretrained with freeze=True takes a table of any dtype."""
    table = torch.tensor([[1, 0], [0, 0], [0, 1]], device=subject.device).to(dtype_of(dtype))
    module = pretrained(subject, table)
    out = module(torch.tensor([2, 0], device=subject.device))
    same_bits(out, torch.tensor([[0, 1], [1, 0]]).to(dtype_of(dtype)), "what is looked up")


@feature("api", "pretrained-integers", claim="same error", cases=product(dtype=("int64", "bool")))
def pretrained_integers(subject: Implementation, dtype: str) -> None:
    """from_pretrained with freeze=False refuses a table of integers or booleans."""
    table = torch.ones(3, 2, device=subject.device).to(dtype_of(dtype))
    same_error(lambda: pretrained(subject, table, freeze=False), RuntimeError, FLOATING)


@feature("api", "pretrained-rank", claim="same error", cases=product(rank=(0, 1, 3)))
def pretrained_rank(subject: Implementation, rank: int) -> None:
    """from_pretrained refuses a table that is not 2-dimensional."""
    table = torch.ones([2] * rank, device=subject.device)
    text = "Embeddings parameter is expected to be 2-dimensional"
    same_error(lambda: pretrained(subject, table), AssertionError, text)


@feature("api", "pretrained-type", claim="same error", cases=product(kind=("list", "ndarray")))
def pretrained_type(subject: Implementation, kind: str) -> None:
    """from_pretrained asks its table for `dim`, which a list or a numpy array does not have: an AttributeError."""
    table = [[1.0]] if kind == "list" else torch.ones(2, 2).numpy()
    same_error(lambda: pretrained(subject, table), AttributeError, "has no attribute 'dim'")


@feature("api", "pretrained-padding", claim="same error", cases=product(padding_idx=(2, -3)))
def pretrained_padding(subject: Implementation, padding_idx: int) -> None:
    """from_pretrained refuses a padding_idx outside [-V, V)."""
    table = torch.ones(2, 2, device=subject.device)
    same_error(lambda: pretrained(subject, table, padding_idx=padding_idx), AssertionError, PADDING)


@feature("api", "pretrained-gradient", cases=product(source=("leaf", "computed")))
def pretrained_gradient(subject: Implementation, source: str) -> None:
    """With freeze=False the gradient lands on the module's weight; the source's stays None."""
    table = torch.ones(4, 3, device=subject.device, requires_grad=True)
    module = pretrained(subject, table if source == "leaf" else table * 1, freeze=False)
    module(torch.tensor([1, 1, 3], device=subject.device)).sum().backward()
    same(module.weight.grad.to_dense().sum(1).tolist(), [0.0, 6.0, 0.0, 3.0], "gradient of the rows")
    same(table.grad, None, "gradient of the source")


def check_effect(module: Any, out: torch.Tensor, option: str) -> None:
    """Mismatch unless the option shows: rows 1, 1 and 3 were looked up, of a table of 4 by 4 eights."""
    out.sum().backward()
    rows = {"padding_idx": [0.0, 0.0, 0.0, 4.0], "scale_grad_by_freq": [0.0, 4.0, 0.0, 4.0]}
    same(module.weight.grad.is_sparse, option == "sparse", "sparseness of the gradient")
    found = module.weight.grad.to_dense().sum(1).tolist()
    same(found, rows.get(option, [0.0, 8.0, 0.0, 4.0]), "gradient of the rows")
    norms = [2 if "norm" in option else 16] * 3
    same(out.norm(dim=1).round().tolist(), norms, "norms of what is looked up")


@feature("api", "pretrained-options", cases=product(option=OPTIONS))
def pretrained_options(subject: Implementation, option: str) -> None:
    """The options given to from_pretrained take effect."""
    table = torch.full((4, 4), 8.0, device=subject.device)
    # a norm_type of 1 and max_norm 4 make of a row of four 8s a row of 1s
    given = {"norm_type": 1.0, "max_norm": 4.0} if option == "norm_type" else {option: OPTIONS[option]}
    module = pretrained(subject, table, freeze=False, **given)
    out = module(torch.tensor([1, 1, 3], device=subject.device))
    check_effect(module, out, option)


@feature("api", "pretrained-subclass")
def pretrained_subclass(subject: Implementation) -> None:
    """from_pretrained of a subclass calls its constructor with keywords alone, _weight and _freeze among them."""
    offered(subject.cls, "from_pretrained")
    received: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    base: Any = subject.cls

    class Recorder(base):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            received.append((args, kwargs))
            super().__init__(*args, **kwargs)

    table = torch.ones(4, 3, device=subject.device)
    module = Recorder.from_pretrained(table, freeze=False, **OPTIONS)
    same(type(module), Recorder, "type of the module")
    same(len(received), 1, "constructor calls")
    args, kwargs = received[0]
    same(args, (), "arguments by position")
    require(kwargs.pop("_weight", None) is table, "_weight is not the table given")
    same(kwargs, {"num_embeddings": 4, "embedding_dim": 3, "_freeze": False, **OPTIONS}, "arguments by name")
