"""embedding(...): which error a wrong call raises, in which order faults are looked for, and that nothing changes."""

import re
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

import tembed

Maker = Callable[[str], Any]


@pytest.fixture(autouse=True)
def _immediate() -> Any:
    with tembed.index_checks("immediate"):
        yield


def rows(device: str) -> Tensor:
    """A table [4, 3] of which every row's norm is over 1."""
    return torch.arange(1.0, 13, device=device).reshape(4, 3)


def call(device: str, faults: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    """A good call's arguments, with the faults in place of some."""
    arguments = {"input": torch.tensor([1, 2, 1], device=device), "weight": rows(device), **options}
    for fault in faults:
        name, make = FAULTS[fault]
        arguments[name] = make(device)
    return arguments


def outcome(function: Callable[..., Tensor], arguments: dict[str, Any]) -> tuple[type | None, str]:
    """The error's type, and its message without what depends on the device."""
    try:
        function(**arguments)
    except Exception as error:
        text = str(error).split("\n")[0].replace("torch.cuda.", "torch.")
        return type(error), re.sub(r'"\w+_(cpu|cuda)"', '"..."', text)
    return None, ""


# What can be wrong with an argument, by itself or together with another.
FAULTS: dict[str, tuple[str, Maker]] = {
    "0-D table": ("weight", lambda d: torch.tensor(9.0, device=d)),
    "1-D table": ("weight", lambda d: torch.full((4,), 9.0, device=d)),
    "3-D table": ("weight", lambda d: torch.full((4, 3, 2), 9.0, device=d)),
    "no rows": ("weight", lambda d: torch.empty(0, 3, device=d)),
    "int64 table": ("weight", lambda d: rows(d).long()),
    "float8 table": ("weight", lambda d: rows(d).to(torch.float8_e4m3fn)),
    "complex table with gradient": ("weight", lambda d: rows(d).to(torch.complex64).requires_grad_()),
    "table expanded along D": ("weight", lambda d: torch.full((4, 1), 9.0, device=d).expand(4, 3)),
    "list of indices": ("input", lambda d: [1, 2]),
    "float indices": ("input", lambda d: torch.tensor([1.0, 2.0], device=d)),
    "no float indices": ("input", lambda d: torch.empty(0, device=d)),
    "uint8 indices": ("input", lambda d: torch.tensor([1, 2], dtype=torch.uint8, device=d)),
    "index too large": ("input", lambda d: torch.tensor([1, 7], device=d)),
    "index negative": ("input", lambda d: torch.tensor([1, -1], device=d)),
    "padding too large": ("padding_idx", lambda d: 4),
    "padding too negative": ("padding_idx", lambda d: -5),
    "padding float": ("padding_idx", lambda d: 1.0),
    "padding str": ("padding_idx", lambda d: "1"),
    "padding bool": ("padding_idx", lambda d: True),
    "max_norm str": ("max_norm", lambda d: "1"),
    "norm_type str": ("norm_type", lambda d: "2"),
    "norm_type None": ("norm_type", lambda d: None),
    "scale int": ("scale_grad_by_freq", lambda d: 1),
    "sparse int": ("sparse", lambda d: 1),
}

# An expanded table fails when a row is over, that is in the renorm itself, after all that is checked before it.
PAIRED = [fault for fault in FAULTS if fault != "table expanded along D"]
PAIRS = [pair for pair in combinations(PAIRED, 2) if FAULTS[pair[0]][0] != FAULTS[pair[1]][0]]
COMBINATIONS = [(fault,) for fault in FAULTS] + PAIRS


def stock_outcome(faults: tuple[str, ...], **options: Any) -> tuple[type | None, str]:
    """Stock's error on the CPU; where max_norm met a bad index, that of the lookup proper.

    Stock renorms without looking at the range, so it changes rows before it fails, or wraps a negative
    index; tembed looks before it changes anything, where the lookup would.
    """
    found = outcome(F.embedding, call("cpu", faults, **options))
    if "select(): index" in found[1]:
        return outcome(F.embedding, call("cpu", faults, max_norm=None))
    return found


@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}], ids=["plain", "max_norm"])
@pytest.mark.parametrize("faults", COMBINATIONS, ids=" + ".join)
def test_embedding_raises_what_stock_raises_first(
    faults: tuple[str, ...], options: dict[str, Any], device: str
) -> None:
    arguments = call(device, faults, **options)
    weight = arguments["weight"]
    before, version = weight.detach().clone(), weight._version
    error, text = outcome(tembed.embedding, arguments)
    stock_error, stock_text = stock_outcome(faults, **options)
    assert error is stock_error, text
    assert stock_text in text
    if error is not None:
        assert weight._version == version
        assert torch.equal(weight.detach().cpu().to(torch.complex64), before.cpu().to(torch.complex64))


def test_combinations_are_faulty() -> None:
    """Guards the test above: stock fails for nearly all of them, in many ways."""
    found = [stock_outcome(faults, max_norm=1.0) for faults in COMBINATIONS]
    assert [faults for faults, (error, _) in zip(COMBINATIONS, found, strict=True) if error is None] == []
    assert len({text for _, text in found}) >= 20


PAD = (AssertionError, "Padding_idx must be within num_embeddings")
RANGE = (IndexError, "index out of range in self")
INDICES = "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
RENORM_INDICES = INDICES.replace("#1", "#2")
LOOKUP, RENORM = " instead (while checking arguments for embedding)", "(while checking arguments for embedding_renorm_)"
RENORM_RANK = "Expected 2-dimensional tensor, but got 1-dimensional tensor for argument #1 'self' " + RENORM
ONE_PLACE = "unsupported operation: more than one element of the written-to tensor refers to a single memory location."

# The texts of semantics.md, so that they hold whichever torch is installed.
DOCUMENTED: list[tuple[str, dict[str, Any], type, str]] = [
    ("padding too large", {}, *PAD),
    ("padding too negative", {}, *PAD),
    ("list of indices", {}, TypeError, "embedding(): argument 'indices' (position 2) must be Tensor, not list"),
    ("padding float", {}, TypeError, "embedding(): argument 'padding_idx' (position 3) must be int, not float"),
    ("scale int", {}, TypeError, "embedding(): argument 'scale_grad_by_freq' (position 4) must be bool, not int"),
    ("sparse int", {}, TypeError, "embedding(): argument 'sparse' (position 5) must be bool, not int"),
    ("0-D table", {}, RuntimeError, "'weight' must be 2-D"),
    ("1-D table", {}, RuntimeError, "'weight' must be 2-D"),
    ("3-D table", {}, RuntimeError, "'weight' must be 2-D"),
    ("float indices", {}, RuntimeError, INDICES + "torch.FloatTensor" + LOOKUP),
    ("no float indices", {}, RuntimeError, INDICES + "torch.FloatTensor" + LOOKUP),
    ("uint8 indices", {}, RuntimeError, INDICES + "torch.ByteTensor" + LOOKUP),
    ("index too large", {}, *RANGE),
    ("index negative", {}, *RANGE),
    ("no rows", {}, RuntimeError, "index_select(): self indexing axis dim should be positive"),
    ("complex table with gradient", {}, RuntimeError,
     "embedding does not support automatic differentiation for outputs with complex dtype."),
    ("index too large", {"max_norm": 1.0}, *RANGE),
    ("index negative", {"max_norm": 1.0}, *RANGE),
    ("int64 table", {"max_norm": 1.0}, RuntimeError,
     "norm(): input dtype should be either floating point or complex. Got Long instead."),
    ("1-D table", {"max_norm": 1.0}, RuntimeError, RENORM_RANK),
    ("uint8 indices", {"max_norm": 1.0}, RuntimeError, RENORM_INDICES + "torch.ByteTensor instead " + RENORM),
    ("table expanded along D", {"max_norm": 1.0}, RuntimeError, ONE_PLACE),
    ("max_norm str", {}, TypeError, "embedding_renorm_(): argument 'max_norm' (position 3) must be float, not str"),
    ("norm_type str", {"max_norm": 1.0}, TypeError,
     "embedding_renorm_(): argument 'norm_type' (position 4) must be float, not str"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "options", "error", "text"), DOCUMENTED, ids=[" with ".join([row[0], *row[1]]) for row in DOCUMENTED]
)
def test_embedding_raises_the_documented_text(
    fault: str, options: dict[str, Any], error: type, text: str, device: str
) -> None:
    found, message = outcome(tembed.embedding, call(device, (fault,), **options))
    assert found is error
    assert text in message


def test_embedding_names_a_list_for_a_table(device: str) -> None:
    arguments = {"input": torch.tensor([0], device=device), "weight": [[1.0]]}
    found = outcome(tembed.embedding, arguments)
    assert found == (TypeError, "embedding(): argument 'weight' (position 1) must be Tensor, not list")


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_embedding_of_no_rows_accepts_no_indices(max_norm: float | None, device: str) -> None:
    empty = torch.empty(2, 0, dtype=torch.int32, device=device)
    assert tembed.embedding(empty, torch.empty(0, 3, device=device), max_norm=max_norm).shape == (2, 0, 3)


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_embedding_refuses_meta_indices_in_a_cpu_table(max_norm: float | None) -> None:
    weight = rows("cpu")
    with pytest.raises(RuntimeError, match="on the same device"):
        tembed.embedding(torch.tensor([1, 2], device="meta"), weight, max_norm=max_norm)
    assert torch.equal(weight, rows("cpu"))
    assert weight._version == 0


def test_embedding_in_a_meta_table_is_meta(device: str) -> None:
    out = tembed.embedding(torch.tensor([[1, 99]], device=device), torch.empty(4, 3, device="meta"))
    assert out.is_meta
    assert out.shape == (1, 2, 3)


def test_embedding_of_complex_rows_needs_no_gradient_to_work(device: str) -> None:
    weight = rows(device).to(torch.complex64).requires_grad_()
    indices = torch.tensor([2, 0], device=device)
    with torch.no_grad():
        assert torch.equal(tembed.embedding(indices, weight), weight[indices])


@pytest.mark.parametrize("max_norm", [None, 99.0])
def test_embedding_of_complex_rows_has_a_forward_derivative(max_norm: float | None, device: str) -> None:
    weight, tangent = rows(device).to(torch.complex64), rows(device).to(torch.complex64) * 1j
    indices = torch.tensor([2, 0], device=device)
    with forward_ad.dual_level():
        plain = tembed.embedding(indices, weight, max_norm=max_norm)
        dual = tembed.embedding(indices, forward_ad.make_dual(weight, tangent), max_norm=max_norm)
        found = forward_ad.unpack_dual(dual)
    assert torch.equal(plain, weight[indices])
    assert torch.equal(found.primal, weight[indices])
    assert torch.equal(found.tangent, tangent[indices])
