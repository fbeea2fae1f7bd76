"""What a lookup has to get right before it is timed: every bit, and under max_norm every row within rounding."""

from collections.abc import Callable

import torch
from torch import Tensor

from tembed.parity.oracle import renorm

from .inputs import Inputs

Run = Callable[[], Tensor]

BITS = {2: torch.int16, 4: torch.int32}
CHUNK = 1 << 28  # bytes that are compared at a time
EVERY_BIT = "every bit"


class Wrong(Exception):
    """A result that is not what it has to be; says where."""


def check_forward(run: Run, inputs: Inputs, indices: Tensor, as_stock: bool = False) -> str:
    """Runs a lookup of these indices on the table as it was made, and judges output and table.

    The output is the table's rows, bit for bit, as indexing finds them. The table is unchanged; under max_norm its rows
    over it are the float64 computation's within the rounding of the norm, the factor and the product, all others
    unchanged bit for bit. That is asked of everyone, whether they are judged as stock or not.

    Returns:
        By what it was judged.

    Raises:
        Wrong: it is not so.
    """
    inputs.restore()
    weight = inputs.weight.detach()
    before = checksum(weight)
    # what is freed here is likely to be the memory of the output, and shows where nothing was written
    torch.full((*indices.shape, weight.shape[1]), float("nan"), dtype=weight.dtype, device=weight.device)
    out = run()
    for what, found, wanted in (
        ("shape", tuple(out.shape), (*indices.shape, weight.shape[1])),
        ("dtype", out.dtype, weight.dtype),
        ("requires_grad", out.requires_grad, True),
    ):
        if found != wanted:
            raise Wrong(f"the output's {what} is {found}, should be {wanted}")
    if inputs.workload.max_norm is not None:
        check_table(inputs, indices)
    elif checksum(weight) != before:
        raise Wrong("the table was changed")
    _check_rows(out.detach(), weight, indices)
    return EVERY_BIT


def rows_at_once(table: Tensor) -> int:
    """How many rows are compared at a time."""
    return max(1, CHUNK // max(1, table.shape[1] * table.element_size()))


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(BITS[x.element_size()])


def checksum(table: Tensor) -> int:
    """Of all bits; for parts of a table, these add up."""
    return sum(int(_bits(part).sum(dtype=torch.int64)) for part in table.split(rows_at_once(table)))


def _check_rows(out: Tensor, weight: Tensor, indices: Tensor) -> None:
    flat, rows, step = indices.reshape(-1), out.reshape(-1, weight.shape[1]), rows_at_once(weight)
    for begin in range(0, len(flat), step):
        chunk = flat[begin : begin + step]
        wrong = (_bits(rows[begin : begin + step]) != _bits(weight[chunk])).any(1)
        if wrong.any():
            first = int(wrong.int().argmax())
            where = f"lookup {begin + first}, of row {int(chunk[first])}"
            raise Wrong(f"the output is not the table's row, bit for bit: {where} ({int(wrong.sum())} such here)")


def check_table(inputs: Inputs, indices: Tensor) -> None:
    """That a table which was `pristine` is as max_norm has it after a lookup of the indices."""
    workload, weight, pristine = inputs.workload, inputs.weight.detach(), inputs.pristine
    assert pristine is not None
    assert workload.max_norm is not None
    changed = (_bits(weight) != _bits(pristine)).any(1)
    rows, compact = indices.unique(return_inverse=True)
    dtype = str(weight.dtype).removeprefix("torch.")
    table = pristine[rows].double().cpu().numpy()
    wanted = renorm(table, compact.cpu().numpy(), workload.max_norm, 2.0, dtype)
    assert not wanted.undecided.any(), "a row whose norm is next to max_norm"
    scaled = torch.from_numpy(wanted.bound.any(1)).to(rows.device)
    changed[rows[scaled]] = False
    if changed.any():
        raise Wrong(f"row {int(changed.int().argmax())} of the table was changed, and is not over max_norm")
    found = weight[rows].double().cpu().numpy()
    wrong = ~(abs(found - wanted.value) <= wanted.bound).all(1)
    if wrong.any():
        row = int(rows[int(wrong.argmax())])
        raise Wrong(f"row {row} of the table is over max_norm and was not scaled to it ({wrong.sum()} such)")
