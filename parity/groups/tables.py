"""api: the table that a new module has, drawn or given."""

from typing import Any

import torch
from torch import Tensor, nn

from ..cases import dtype_of, feature, product
from ..compare import require, same, same_bits, same_error
from ..inputs import LAYOUTS
from ..subject import Implementation

DRAWN = (
    *product(dtype=("default",), padding_idx=(None, 1)),
    *product(dtype=("float16", "bfloat16", "float64", "complex64", "complex128"), padding_idx=(1,)),
)


class Tagged(Tensor):
    """A tensor subclass with nothing of its own."""


def random_state(device: str) -> Tensor:
    """Where the device's generator of random numbers stands."""
    return torch.cuda.get_rng_state(device) if device.startswith("cuda") else torch.get_rng_state()


def of_dtype(dtype: str) -> dict[str, Any]:
    """The options for a table of this dtype; none for "default"."""
    return {} if dtype == "default" else {"dtype": dtype_of(dtype)}


@feature("api", "initial-values", cases=DRAWN)
def initial_values(subject: Implementation, dtype: str, padding_idx: int | None) -> None:
    """A new table holds what torch.empty(V, D).normal_() draws from the same seed, and draws no more than that; the
    padding row is drawn too, then zeroed."""
    options = of_dtype(dtype)
    torch.manual_seed(3)
    weight = subject.build(5, 7, padding_idx=padding_idx, **options).weight
    end = random_state(subject.device)
    torch.manual_seed(3)
    plain = torch.empty(5, 7, device=subject.device, **options).normal_()
    if padding_idx is not None:
        plain[padding_idx] = 0
    same_bits(weight, plain, "the new table")
    require(torch.equal(end, random_state(subject.device)), "the generator is left where another draw would leave it")


@feature("api", "initial-padding", cases=product(padding_idx=(0, 2, -1)))
def initial_padding(subject: Implementation, padding_idx: int) -> None:
    """The padding row of a new table is zero, no other row is."""
    weight = subject.make(4, 3, padding_idx=padding_idx).weight
    zero = (weight == 0).all(1).nonzero().flatten().tolist()
    same(zero, [padding_idx % 4], "rows that are zero")


@feature("api", "initial-version", cases=product(padding_idx=(None, 0, -1)))
def initial_version(subject: Implementation, padding_idx: int | None) -> None:
    """The version counter of a new table is 1, with a padding row 2."""
    weight = subject.build(4, 3, padding_idx=padding_idx).weight
    same(weight._version, 1 if padding_idx is None else 2, "version of the table")


@feature("api", "default-dtype", cases=product(dtype=("float64", "bfloat16")))
def default_dtype(subject: Implementation, dtype: str) -> None:
    """A new table has torch's default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype_of(dtype))
    try:
        same(subject.make(4, 3).weight.dtype, dtype_of(dtype), "dtype of the table")
    finally:
        torch.set_default_dtype(before)


@feature("api", "default-device")
def default_device(subject: Implementation) -> None:
    """A new table is on torch's default device."""
    with torch.device("meta"):
        weight = subject.cls(4, 3).weight
    same(weight.device.type, "meta", "device of the table")


@feature("api", "meta-table")
def meta_table(subject: Implementation) -> None:
    """A table on the meta device has the shape and dtype asked for, and draws no random numbers."""
    before = torch.get_rng_state()
    weight = subject.make(4, 3, padding_idx=1, device="meta", dtype=torch.float16).weight
    same((weight.device.type, weight.dtype, tuple(weight.shape)), ("meta", torch.float16, (4, 3)), "the table")
    require(torch.equal(before, torch.get_rng_state()), "random numbers were drawn")


@feature("api", "frozen", cases=product(frozen=(True, False), given=(True, False)))
def frozen_table(subject: Implementation, frozen: bool, given: bool) -> None:
    """The table requires a gradient unless _freeze is true, new or given."""
    options = {"_weight": torch.ones(4, 3, device=subject.device)} if given else {}
    same(subject.make(4, 3, _freeze=frozen, **options).weight.requires_grad, not frozen, "requires_grad")


@feature("api", "given-shared", cases=product(layout=("contiguous", "transposed", "every second column")))
def given_shared(subject: Implementation, layout: str) -> None:
    """A table given as _weight becomes a Parameter over the same memory, with its strides and values, its padding
    row too; no random numbers are drawn."""
    table = LAYOUTS[layout](torch.randn(4, 3, device=subject.device))
    kept, strides, before = table.clone(), table.stride(), random_state(subject.device)
    weight = subject.make(4, 3, padding_idx=1, _weight=table).weight
    require(isinstance(weight, nn.Parameter), f"the table is a {type(weight).__name__}, should be a Parameter")
    same(weight.data_ptr(), table.data_ptr(), "address of the table")
    same(weight.stride(), strides, "strides of the table")
    same_bits(weight, kept, "the table given")
    same(weight._version, 0, "version of the table")
    require(torch.equal(before, random_state(subject.device)), "random numbers were drawn")


@feature("api", "given-as-it-is")
def given_as_it_is(subject: Implementation) -> None:
    """The arguments device and dtype mean nothing where a table is given."""
    table = torch.ones(4, 3, device=subject.device)
    weight = subject.make(4, 3, _weight=table, device="meta", dtype=torch.float16).weight
    same(weight.device, table.device, "device of the table")
    same_bits(weight, table, "the table")


@feature("api", "given-leaf")
def given_leaf(subject: Implementation) -> None:
    """A given table that was computed becomes a leaf: the gradient stays in the module."""
    source = torch.ones(4, 3, device=subject.device, requires_grad=True)
    module = subject.make(4, 3, _weight=source * 2)
    require(module.weight.is_leaf, "the table is no leaf")
    module(torch.tensor([1], device=subject.device)).sum().backward()
    same(module.weight.grad.to_dense().sum(1).tolist(), [0.0, 3.0, 0.0, 0.0], "gradient of the rows")
    same(source.grad, None, "gradient of what the table was computed from")


@feature("api", "given-type")
def given_type(subject: Implementation) -> None:
    """A given table that is a tensor subclass keeps its type, and is a Parameter too."""
    weight = subject.make(4, 3, _weight=torch.ones(4, 3, device=subject.device).as_subclass(Tagged)).weight
    same(type(weight), Tagged, "type of the table")
    require(isinstance(weight, nn.Parameter), "the table is no Parameter")


@feature("api", "given-shape", claim="same error", cases=product(shape=((3, 4), (4,), (4, 3, 1))))
def given_shape(subject: Implementation, shape: tuple[int, ...]) -> None:
    """A given table of another shape is an AssertionError."""
    table = torch.ones(shape, device=subject.device)
    text = "Shape of weight does not match num_embeddings and embedding_dim"
    same_error(lambda: subject.make(4, 3, _weight=table), AssertionError, text)
