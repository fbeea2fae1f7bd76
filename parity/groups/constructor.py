"""api: the constructor's arguments, what it stores of them, and what it refuses."""

from typing import Any

import numpy as np
import torch
from torch import nn

from ..cases import dtype_of, feature, product
from ..compare import require, same, same_bits, same_error
from ..subject import DEFAULTS, Implementation, offered, wanted

OPTIONS: dict[str, Any] = {
    "padding_idx": 1,
    "max_norm": 2.0,
    "norm_type": 3.0,
    "scale_grad_by_freq": True,
    "sparse": True,
}
SIZES = {"num_embeddings": 4, "embedding_dim": 3}
PADDING = "Padding_idx must be within num_embeddings"
FLOATING = "Only Tensors of floating point and complex dtype can require gradients"


@feature("api", "subclass")
def subclass(subject: Implementation) -> None:
    """The class is a subclass of nn.Embedding, which parallel plans, quantizers and weight initialisation look for."""
    bases = [base.__qualname__ for base in subject.cls.__mro__]
    require(isinstance(subject.make(2, 2), nn.Embedding), f"the class and its bases: {', '.join(bases)}")


@feature("api", "arguments", cases=product(given=("by position", "by name")))
def arguments(subject: Implementation, given: str) -> None:
    """The constructor takes num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
    sparse, _weight, _freeze, device and dtype, in this order and by these names."""
    weight = torch.ones(4, 3, device=subject.device)
    named = {**SIZES, **OPTIONS, "_weight": weight, "_freeze": True, "device": subject.device, "dtype": torch.float32}
    wanted(subject.cls, named)
    module = subject.cls(**named) if given == "by name" else subject.cls(*named.values())
    for name, value in (SIZES | OPTIONS).items():
        same(offered(module, name), value, name)
    same(module.weight.data_ptr(), weight.data_ptr(), "address of the table given")
    same(module.weight.requires_grad, False, "requires_grad of a frozen table")


@feature("api", "attributes", cases=product(name=(*SIZES, *OPTIONS)))
def attributes(subject: Implementation, name: str) -> None:
    """Every size and option is an attribute of the same name."""
    module = subject.make(4, 3, **{name: OPTIONS[name]} if name in OPTIONS else {})
    same(offered(module, name), (SIZES | OPTIONS)[name], name)


@feature("api", "defaults", cases=product(name=DEFAULTS))
def defaults(subject: Implementation, name: str) -> None:
    """Left out, padding_idx and max_norm are None, norm_type is 2.0, scale_grad_by_freq and sparse are False."""
    same(offered(subject.make(4, 3), name), DEFAULTS[name], name)


@feature("api", "options-unchecked", cases=product(name=list(OPTIONS)[1:]))
def options_unchecked(subject: Implementation, name: str) -> None:
    """The constructor keeps max_norm, norm_type, scale_grad_by_freq and sparse as given, whatever they are."""
    for value in (-1, "a", None):
        found = offered(subject.make(4, 3, **{name: value}), name)
        require(type(found) is type(value) and found == value, f"{name}: {found!r}, should be {value!r}")


@feature("api", "padding-wrapped", cases=product(padding_idx=(0, 3, -1, -4)))
def padding_wrapped(subject: Implementation, padding_idx: int) -> None:
    """A negative padding_idx counts from the end and is stored wrapped."""
    same(offered(subject.make(4, 3, padding_idx=padding_idx), "padding_idx"), padding_idx % 4, "padding_idx")


@feature("api", "padding-integers", cases=product(kind=("0-d tensor", "numpy int64"), padding_idx=(1, -3)))
def padding_integers(subject: Implementation, kind: str, padding_idx: int) -> None:
    """padding_idx may be a 0-d tensor or an integer of numpy's."""
    module = subject.make(4, 3, padding_idx=torch.tensor(padding_idx) if "tensor" in kind else np.int64(padding_idx))
    require(offered(module, "padding_idx") == 1, f"padding_idx: {module.padding_idx!r}, should equal 1")
    same(module.weight[1].tolist(), [0.0] * 3, "the padding row")
    module(torch.tensor([1, 2], device=subject.device)).sum().backward()
    same(module.weight.grad.to_dense().tolist(), [[0.0] * 3, [0.0] * 3, [1.0] * 3, [0.0] * 3], "gradient")


@feature("api", "padding-range", claim="same error", cases=product(padding_idx=(4, -5)))
def padding_range(subject: Implementation, padding_idx: int) -> None:
    """The constructor refuses a padding_idx outside [-V, V) with an AssertionError."""
    same_error(lambda: subject.make(4, 3, padding_idx=padding_idx), AssertionError, PADDING)


@feature("api", "padding-first", claim="same error")
def padding_first(subject: Implementation) -> None:
    """padding_idx is checked before memory for the table is taken."""
    same_error(lambda: subject.make(2**40, 2**20, padding_idx=2**40), AssertionError, PADDING)


@feature("api", "padding-no-rows", claim="same error", cases=product(padding_idx=(0, 1, -1)))
def padding_no_rows(subject: Implementation, padding_idx: int) -> None:
    """A new table without rows has no padding row: 0 is an IndexError, any other padding_idx an AssertionError."""
    kind, text = (AssertionError, PADDING) if padding_idx else (IndexError, "index 0 is out of bounds for dimension 0")
    same_error(lambda: subject.make(0, 3, padding_idx=padding_idx), kind, text)


@feature("api", "padding-no-rows-given")
def padding_no_rows_given(subject: Implementation) -> None:
    """For a table without rows that is given, padding_idx=0 is accepted."""
    module = subject.make(0, 3, padding_idx=0, _weight=torch.empty(0, 3, device=subject.device))
    same(offered(module, "padding_idx"), 0, "padding_idx")


@feature("api", "padding-type", claim="same error", cases=product(kind=("float", "str")))
def padding_type(subject: Implementation, kind: str) -> None:
    """A float padding_idx is the IndexError of subscripting with it, a string the TypeError of comparing with it."""
    if kind == "float":
        same_error(lambda: subject.make(4, 3, padding_idx=1.0), IndexError, "only integers, slices (")
    else:
        same_error(lambda: subject.make(4, 3, padding_idx="a"), TypeError, "'>' not supported between instances of")


@feature("api", "negative-rows", claim="same error")
def negative_rows(subject: Implementation) -> None:
    """A negative number of rows is torch's RuntimeError."""
    text = "Trying to create tensor with negative dimension -1: [-1, 3]"
    same_error(lambda: subject.build(-1, 3), RuntimeError, text)


@feature("api", "float-rows", claim="same error")
def float_rows(subject: Implementation) -> None:
    """A number of rows that is no integer is torch's TypeError."""
    rows: Any = 2.0
    same_error(lambda: subject.build(rows, 3), TypeError, "empty()")


@feature("api", "integer-table", claim="same error", cases=product(dtype=("int64", "bool")))
def integer_table(subject: Implementation, dtype: str) -> None:
    """A new table of integers or booleans cannot be trained, and says so."""
    same_error(lambda: subject.build(4, 3, dtype=dtype_of(dtype)), RuntimeError, FLOATING)


NO_NORMAL = (
    {"dtype": "int64", "frozen": True},
    {"dtype": "bool", "frozen": True},
    {"dtype": "float8_e5m2", "frozen": True},
    {"dtype": "float8_e4m3fn", "frozen": False},
)


@feature("api", "no-normal-numbers", claim="same error", cases=NO_NORMAL)
def no_normal_numbers(subject: Implementation, dtype: str, frozen: bool) -> None:
    """A new table whose dtype has no normal numbers is a NotImplementedError: integers if frozen, float8 always."""
    named = {"int64": "Long", "bool": "Bool", "float8_e5m2": "Float8_e5m2", "float8_e4m3fn": "Float8_e4m3fn"}[dtype]
    options = {"dtype": dtype_of(dtype), **({"_freeze": True} if frozen else {})}
    same_error(lambda: subject.build(4, 3, **options), NotImplementedError, f"not implemented for '{named}'")


@feature("api", "empty-table", cases=product(shape=((0, 3), (4, 0), (0, 0))))
def empty_table(subject: Implementation, shape: tuple[int, int]) -> None:
    """A table may have no rows or no columns; a lookup of nothing in it has the right shape."""
    module = subject.make(*shape)
    same(tuple(module.weight.shape), shape, "shape of the table")
    out = module(torch.empty(2, 0, dtype=torch.int64, device=subject.device))
    same_bits(out, torch.empty(2, 0, shape[1]), "what is looked up")
