"""What a gradient has to get right before it is timed: rows within rounding of float64, and zeros everywhere else."""

import torch
from torch import Tensor

from .gate import Run, Wrong, check_table, checksum, rows_at_once
from .inputs import Inputs
from .sums import Rows, Sums, name_of, sums

WIDE = "sums in float32, rounded once"


def narrow(dtype: torch.dtype) -> str:
    """By what the sums of those are judged that may be off as stock's."""
    return f"sums in {name_of(dtype)}, as stock's may be"


def check_dense(run: Run, inputs: Inputs, indices: Tensor, as_stock: bool) -> str:
    """Runs a backward of these indices, and judges the gradient; and the table, under max_norm or unchanged.

    Rows that were looked up are float64's sums within the rounding of sums in float32 and of the result; where the
    gradient is whole numbers, to the last bit. All others are zero. `as_stock` allows for 16-bit numbers what sums
    in their own type may be off by, to those that do no better.

    Returns:
        By what it was judged.

    Raises:
        Wrong: it is not so.
    """
    weight = inputs.weight.detach()
    # what is freed here is likely to be the memory of the gradient, and shows where nothing was written
    torch.full_like(weight, float("nan"))
    found = _run(run, inputs, indices, torch.strided)
    rows = Rows.of(indices)
    _check_untouched(found, rows)
    return _judge(found, rows.unique, inputs, indices, rows, as_stock)


def check_sparse(run: Run, inputs: Inputs, indices: Tensor, as_stock: bool) -> str:
    """The same of a sparse gradient that is coalesced: its rows are those that were looked up, once each, in order."""
    found = _run(run, inputs, indices, torch.sparse_coo)
    rows = Rows.of(indices)
    if not found.is_coalesced():
        raise Wrong("the gradient is not coalesced")
    listed = found.indices()
    if listed.shape[0] != 1 or not torch.equal(listed[0], rows.unique):
        raise Wrong(
            f"the gradient lists {listed.shape[1]} rows, not the {len(rows.unique)} looked up, once each, in order"
        )
    everything = torch.arange(len(rows.unique), device=listed.device)
    return _judge(found.values(), everything, inputs, indices, rows, as_stock)


def _run(run: Run, inputs: Inputs, indices: Tensor, layout: torch.layout) -> Tensor:
    inputs.restore()
    weight = inputs.weight.detach()
    before = checksum(weight)
    found = run()
    for what, its, wanted in (
        ("layout", found.layout, layout),
        ("shape", tuple(found.shape), tuple(weight.shape)),
        ("dtype", found.dtype, weight.dtype),
    ):
        if its != wanted:
            raise Wrong(f"the gradient's {what} is {its}, should be {wanted}")
    if inputs.workload.max_norm is not None:
        check_table(inputs, indices)
    elif checksum(weight) != before:
        raise Wrong("the table was changed")
    return found.detach()


def _check_untouched(found: Tensor, rows: Rows) -> None:
    touched = torch.zeros(len(found), dtype=torch.bool, device=found.device)
    touched[rows.unique] = True
    step = rows_at_once(found)
    for begin in range(0, len(found), step):
        wrong = (found[begin : begin + step] != 0).any(1) & ~touched[begin : begin + step]
        if wrong.any():
            raise Wrong(f"row {begin + int(wrong.int().argmax())} of the gradient is not zero, and was not looked up")


def _judge(found: Tensor, where: Tensor, inputs: Inputs, indices: Tensor, rows: Rows, as_stock: bool) -> str:
    """Compares the rows `where` with the sums of `rows`."""
    grad_output = inputs.grad_of(indices)
    narrower = as_stock and found.element_size() == 2
    judged = WIDE
    for its in sums(grad_output, rows, exact=indices is inputs.fresh):
        error = (found[:, its.columns][where].double() - its.value).abs()
        if not narrower:
            require(error, its.bound, its, rows, "gradient")
        elif not (error <= its.bound).all():
            judged = narrow(found.dtype)
            require(error, its.narrow, its, rows, "gradient")
    return judged


def require(error: Tensor, bound: Tensor, its: Sums, rows: Rows, what: str) -> None:
    """Wrong unless no error is over its bound."""
    wrong = ~(error <= bound)
    if wrong.any():
        row, column = divmod(int(wrong.int().argmax()), wrong.shape[1])
        where = f"row {int(rows.unique[row])}, column {its.columns.start + column} of the {what}"
        off = f"off by {float(error[row, column]):.2g}, {float(bound[row, column]):.2g} allowed"
        raise Wrong(f"{where} is {off}, looked up {int(rows.number[row])} times ({int(wrong.sum())} such here)")
