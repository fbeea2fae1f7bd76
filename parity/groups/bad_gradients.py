"""errors: what a backward is given wrongly."""

from collections.abc import Callable
from typing import Any

import torch

from ..bad_inputs import declare
from ..cases import dtype_of
from ..rows import Row
from ..scene import Act, Scene


def given(
    *shape: int, dtype: str = "float32", empty: bool = False, device: str | None = None, **options: Any
) -> Callable[[Scene], Act]:
    """A backward with a grad_output of this shape; of three lookups, or none."""

    def prepare(s: Scene) -> Act:
        input = s.indices()[: 0 if empty else 3]
        out = s.output(s.keep(input, "input"), s.table(grad=True), **options)
        grad_output = s.keep(torch.ones(shape, device=device or s.device).to(dtype_of(dtype)), "grad_output")
        return lambda: out.backward(grad_output)

    return prepare


declare(
    "grad_output",
    "A grad_output that does not fit what was looked up is refused before there is a gradient.",
    Row(
        "more lookups",
        given(4, 3),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([4, 3]) and output[0] has a",
    ),
    Row(
        "fewer lookups",
        given(2, 3),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([2, 3]) and output[0] has a",
    ),
    Row(
        "other columns",
        given(3, 2),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([3, 2]) and output[0] has a",
    ),
    Row(
        "other rank",
        given(9),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([9]) and output[0] has a",
    ),
    Row(
        "scalar",
        given(),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([]) and output[0] has a shape",
    ),
    Row(
        "transposed sizes, sparse",
        given(4, 3, sparse=True),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([4, 3]) and output[0] has a",
    ),
    Row(
        "more lookups, scale_grad_by_freq",
        given(4, 3, scale_grad_by_freq=True),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([4, 3]) and output[0] has a",
    ),
    Row(
        "more lookups, max_norm",
        given(4, 3, max_norm=99.0),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([4, 3]) and output[0] has a",
    ),
    Row(
        "one for no lookups",
        given(1, 3, empty=True),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([1, 3]) and output[0] has a",
    ),
    Row(
        "one for no lookups, sparse",
        given(1, 3, empty=True, sparse=True),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([1, 3]) and output[0] has a",
    ),
    Row(
        "table's shape for no lookups",
        given(4, 3, empty=True),
        RuntimeError,
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([4, 3]) and output[0] has a",
    ),
    Row(
        "complex",
        given(3, 3, dtype="complex64"),
        RuntimeError,
        "For complex Tensors, both grad_output and output are required to have the same dtype.",
    ),
    Row(
        "on the meta device",
        given(3, 3, device="meta"),
        RuntimeError,
        "invalid gradient at index 0 - expected device cpu but got meta",
    ),
    Row(
        "on the meta device, sparse",
        given(3, 3, device="meta", sparse=True),
        RuntimeError,
        "invalid gradient at index 0 - expected device cpu but got meta",
    ),
    cpu_only=True,
)
declare(
    "grad_output-taken",
    "A grad_output of another dtype is what torch makes of it.",
    Row("float64", given(3, 3, dtype="float64")),
    Row("bfloat16", given(3, 3, dtype="bfloat16")),
    Row("int64", given(3, 3, dtype="int64")),
    Row("bool", given(3, 3, dtype="bool")),
    Row("float64, sparse", given(3, 3, dtype="float64", sparse=True)),
    Row("no lookups", given(0, 3, empty=True)),
    cpu_only=True,
)
