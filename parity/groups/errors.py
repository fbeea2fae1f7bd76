"""errors: arguments of a wrong kind, one at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cases import dtype_of, feature, product
from ..compare import same_bits, same_error
from ..subject import Implementation
from .constructor import PADDING

INDICES = "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int"
RENORM_INDICES = INDICES.replace("#1", "#2")


def rows(device: str) -> Tensor:
    """A table [4, 3] in which every row's norm is over 1."""
    return torch.arange(1.0, 13, device=device).reshape(4, 3)


def three(device: str) -> Tensor:
    """Indices of rows of it."""
    return torch.tensor([1, 2, 1], device=device)


@feature("errors", "padding-range", claim="same error", cases=product(padding_idx=(4, -5)))
def padding_range(subject: Implementation, padding_idx: int) -> None:
    """A padding_idx outside [-V, V) is an AssertionError."""
    weight = rows(subject.device)
    same_error(lambda: subject.call(three(subject.device), weight, padding_idx=padding_idx), AssertionError, PADDING)


@feature("errors", "padding-no-rows", claim="same error", cases=product(padding_idx=(1, -1)))
def padding_no_rows(subject: Implementation, padding_idx: int) -> None:
    """In a table without rows every padding_idx but 0 is an AssertionError, even for an empty input."""
    weight, empty = torch.empty(0, 3, device=subject.device), torch.empty(0, dtype=torch.int64, device=subject.device)
    same_error(lambda: subject.call(empty, weight, padding_idx=padding_idx), AssertionError, PADDING)


INPUTS: dict[str, Any] = {"list": [1, 2], "None": None, "int": 1, "ndarray": torch.tensor([1, 2]).numpy()}


@feature("errors", "input-type", claim="same error", cases=product(kind=INPUTS))
def input_type(subject: Implementation, kind: str) -> None:
    """An input that is no tensor is a TypeError which names the argument and the type."""
    named = {"None": "NoneType", "ndarray": "numpy.ndarray"}.get(kind, kind)
    text = f"embedding(): argument 'indices' (position 2) must be Tensor, not {named}"
    same_error(lambda: subject.call(INPUTS[kind], rows(subject.device)), TypeError, text)


@feature("errors", "weight-type", claim="same error", cases=product(kind=("list", "None")))
def weight_type(subject: Implementation, kind: str) -> None:
    """A table that is no tensor is a TypeError which names the argument and the type."""
    weight: Any = [[1.0]] if kind == "list" else None
    text = f"embedding(): argument 'weight' (position 1) must be Tensor, not {'list' if weight else 'NoneType'}"
    same_error(lambda: subject.function(three(subject.device), weight), TypeError, text)


def by_function(subject: Implementation) -> Callable[..., Tensor]:
    """The lookup by function alone: what a module's constructor refuses never reaches its lookup."""
    _ = subject.function  # Missing without one
    return subject.call


LOOKUP, RENORM = "embedding(): argument ", "embedding_renorm_(): argument "
# The options, and what is said of them.
OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "padding_idx float": ({"padding_idx": 1.0}, LOOKUP + "'padding_idx' (position 3) must be int, not float"),
    "padding_idx bool": ({"padding_idx": True}, LOOKUP + "'padding_idx' (position 3) must be int, not bool"),
    "padding_idx str": ({"padding_idx": "1"}, "'>' not supported between instances of 'str' and 'int'"),
    "scale int": ({"scale_grad_by_freq": 1}, LOOKUP + "'scale_grad_by_freq' (position 4) must be bool, not int"),
    "sparse int": ({"sparse": 1}, LOOKUP + "'sparse' (position 5) must be bool, not int"),
    "sparse None": ({"sparse": None}, LOOKUP + "'sparse' (position 5) must be bool, not NoneType"),
    "max_norm str": ({"max_norm": "1"}, RENORM + "'max_norm' (position 3) must be float, not str"),
    "norm_type str": ({"max_norm": 1.0, "norm_type": "2"}, RENORM + "'norm_type' (position 4) must be float, not str"),
    "norm_type None": (
        {"max_norm": 1.0, "norm_type": None},
        RENORM + "'norm_type' (position 4) must be float, not NoneType",
    ),
}


@feature("errors", "option-type", claim="same error", cases=product(option=OPTIONS))
def option_type(subject: Implementation, option: str) -> None:
    """An option of a wrong type is a TypeError which names it; a bool is not an int here, nor an int a bool."""
    options, text = OPTIONS[option]
    call = by_function(subject) if "padding" in option else subject.call
    same_error(lambda: call(three(subject.device), rows(subject.device), **options), TypeError, text)


@feature("errors", "norm-type-unread")
def norm_type_unread(subject: Implementation) -> None:
    """Without max_norm nobody looks at norm_type."""
    weight = rows(subject.device)
    same_bits(subject.call(three(subject.device), weight, norm_type="2"), weight[three("cpu")], "what is looked up")


@feature("errors", "table-rank", claim="same error", cases=product(rank=(0, 1, 3)))
def table_rank(subject: Implementation, rank: int) -> None:
    """A table that is not 2-dimensional is a RuntimeError."""
    weight = torch.full([4] * rank, 9.0, device=subject.device)
    same_error(lambda: subject.call(three(subject.device), weight), RuntimeError, "'weight' must be 2-D")


@feature("errors", "table-rank-max_norm", claim="same error", cases=product(rank=(0, 1, 3)))
def table_rank_max_norm(subject: Implementation, rank: int) -> None:
    """With max_norm a table that is not 2-dimensional is a RuntimeError which gives its rank."""
    weight = torch.full([4] * rank, 9.0, device=subject.device)
    text = f"Expected 2-dimensional tensor, but got {rank}-dimensional tensor for argument #1 'self'"
    same_error(lambda: subject.call(three(subject.device), weight, max_norm=1.0), RuntimeError, text)


DTYPES = product(dtype=("float32", "uint8", "int16", "bool"), empty=(False, True))


@feature("errors", "index-dtype", claim="same error", cases=DTYPES)
def index_dtype(subject: Implementation, dtype: str, empty: bool) -> None:
    """Indices of any dtype but int32 and int64 are a RuntimeError, even if there are none."""
    indices = three(subject.device)[: 0 if empty else 3].to(dtype_of(dtype))
    same_error(lambda: subject.call(indices, rows(subject.device)), RuntimeError, INDICES)


@feature("errors", "index-dtype-max_norm", claim="same error", cases=DTYPES[:4], needs="cpu")
def index_dtype_max_norm(subject: Implementation, dtype: str, empty: bool) -> None:
    """With max_norm too, indices of any dtype but int32 and int64 are a RuntimeError, and the table stays as it is."""
    weight = rows(subject.device)
    indices = three(subject.device)[: 0 if empty else 3].to(dtype_of(dtype))
    same_error(lambda: subject.call(indices, weight, max_norm=1.0), RuntimeError, RENORM_INDICES)
    same_bits(weight, rows("cpu"), "the table")
