"""errors: tables and indices on different devices."""

from typing import Any

import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene

APART = "Expected all tensors to be on the same device"
META = f"{APART}, but got index is on meta, different from other tensors on "


def meta(s: Scene, **options: Any) -> Act:
    """Indices on the meta device."""
    return s.call(s.indices(device="meta"), s.table(), **options)


declare(
    "meta-indices",
    "Indices on the meta device are an error in a table that is not, which is left as it is.",
    Row("lookup", meta, better=(RuntimeError, META + "cpu (when checking argument in method embedding)")),
    Row(
        "trained",
        lambda s: s.call(s.indices(device="meta"), s.table(grad=True)),
        better=(RuntimeError, META + "cpu (when checking argument in method embedding)"),
    ),
    Row(
        "max_norm",
        lambda s: meta(s, max_norm=1.0),
        NotImplementedError,
        "Cannot inplace into non-meta tensor with meta tensor argument",
        better=(RuntimeError, META + "cpu (when checking argument in method embedding)"),
    ),
    deviation=10,
    needs="cpu",
)


def in_meta(s: Scene, *values: int, **options: Any) -> Act:
    """A table on the meta device."""
    return s.call(s.indices(*values), s.keep(torch.empty(4, 3, device="meta", requires_grad=True), "weight"), **options)


declare(
    "meta-table",
    "A lookup in a meta table has the right shape and dtype, and reads no index, so that none is out of range.",
    Row("good indices", in_meta),
    Row("bad indices", lambda s: in_meta(s, 99, -1)),
    Row(
        "0-d",
        lambda s: s.call(
            s.keep(torch.tensor(99, device=s.device), "input"), s.keep(torch.empty(4, 3, device="meta"), "weight")
        ),
    ),
)
declare(
    "meta-table-wrong",
    "What needs no numbers to be found is an error in a meta table too.",
    Row(
        "float indices",
        lambda s: s.call(s.indices(dtype="float32"), s.keep(torch.empty(4, 3, device="meta"), "weight")),
        RuntimeError,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types:",
    ),
    Row(
        "3-D",
        lambda s: s.call(s.indices(), s.keep(torch.empty(4, 3, 2, device="meta"), "weight")),
        AssertionError,
        "'weight' must be 2-D, got 3-D",
    ),
    Row(
        "padding_idx V",
        lambda s: in_meta(s, padding_idx=4),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 4, num_embeddings 4",
    ),
    needs="cpu",
)


def apart(input: str, **options: Any) -> Any:
    """Indices on `input`, a table on the other of CPU and GPU."""

    def prepare(s: Scene) -> Act:
        device = s.device if input == "cpu" else "cpu"
        weight = s.keep(torch.full((4, 3), 9.0, device=device), "weight")
        return s.call(s.indices(device="cpu" if input == "cpu" else s.device), weight, **options)

    return prepare


declare(
    "devices",
    "Indices on one device and a table on another are a RuntimeError.",
    Row("cpu", apart("cpu"), RuntimeError, APART, exact=False),
    Row("cuda", apart("cuda"), RuntimeError, APART, exact=False),
    Row("cpu, sparse", apart("cpu", sparse=True), RuntimeError, APART, exact=False),
    Row("cpu, scale_grad_by_freq", apart("cpu", scale_grad_by_freq=True), RuntimeError, APART, exact=False),
    needs="cuda",
)
