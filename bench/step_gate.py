"""What a step of training has to get right before it is timed: the table after it, against the same step in float64."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from tembed.parity.oracle import ACCUMULATOR, ROUNDOFF, UNDERFLOW

from .gate import Run, Wrong, checksum
from .gradient_gate import WIDE, narrow, require
from .inputs import Inputs
from .step import RATE, StepInputs
from .sums import Rows, Sums, name_of, sums

# Roundings in the table's type on the way from a gradient to a row of the table: see _compare.
ROUNDINGS = 4


def check_step(run: Run, inputs: Inputs, indices: Tensor, as_stock: bool) -> str:
    """Runs a step, and judges the table: rows that were looked up as float64 has them, all others unchanged.

    The step that it is compared with is the same optimizer's, of the float64 sums of the gradient, from the same state.
    `as_stock` allows what sums in the table's own type may be off by, to those that do no better.

    Returns:
        By what it was judged.

    Raises:
        Wrong: it is not so.
    """
    assert isinstance(inputs, StepInputs)
    inputs.restore()
    rows, weight = Rows.of(indices), inputs.weight.detach()
    before = {name: table[rows.unique] for name, table in inputs.tables().items()}
    start, counts = weight[rows.unique], dict(inputs.counts)
    others = checksum(weight) - checksum(start)
    run()
    if checksum(weight) - checksum(weight[rows.unique]) != others:
        raise Wrong("rows of the table were changed that were not looked up")
    factor, slack = _renormed(start, inputs)
    judged = WIDE
    for its in sums(inputs.grad_of(indices), rows, exact=indices is inputs.fresh):
        state = {name: table[:, its.columns].double() for name, table in before.items()}
        begun = start[:, its.columns].double() * factor
        found = weight[:, its.columns][rows.unique].double()
        error, bounds = _compare(found, begun, state, counts, its, inputs, rows, slack)
        if not as_stock:
            require(error, bounds[0], its, rows, "table")
        elif not (error <= bounds[0]).all():
            judged = narrow(weight.dtype)
            require(error, bounds[1], its, rows, "table")
    return judged


def _renormed(start: Tensor, inputs: Inputs) -> tuple[Tensor | float, float]:
    """What max_norm multiplies each row with, and how far off the product may be, relative to it."""
    limit, name = inputs.workload.max_norm, name_of(start.dtype)
    if limit is None:
        return 1.0, 0.0
    norm = torch.linalg.vector_norm(start, dim=1, keepdim=True, dtype=torch.float64)
    relative = ROUNDOFF[ACCUMULATOR[name]] * (start.shape[1] + 4) * 2 + 3.1 * ROUNDOFF[name]
    return torch.where(norm > limit, limit / (norm + 1e-7), 1.0), relative


def _compare(
    found: Tensor, begun: Tensor, state: dict[str, Tensor], counts: dict[str, Any], its: Sums, inputs: StepInputs,
    rows: Rows, slack: float,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # fmt: skip
    """How far the table is off, and may be: if sums are in float32, and if they are in the table's type.

    A step is as far off as one from the ends of the interval in which the gradient lies, twice over for those between
    them. The gradient counts as off by a few roundings of itself and of the state, from which it is taken; the change
    of a row by a few of its own; the row by one. SGD adds an uncoalesced gradient term by term, each with a rounding of
    the row, that is off by no more than the term.
    """
    u = ROUNDOFF[name_of(inputs.weight.dtype)]
    wanted = _stepped(inputs, begun, state, counts, its.value)
    nearby = its.value.abs() + sum(table.abs() for table in state.values())
    bounds = []
    for bound in (its.bound, its.narrow):
        off = bound + ROUNDINGS * u * nearby
        ends = [_stepped(inputs, begun, state, counts, its.value + sign * off) for sign in (1, -1)]
        spread = 2 * torch.maximum(*((end - wanted).abs() for end in ends))
        rounded = 2 * ROUNDINGS * u * (wanted - begun).abs() + 2 * u * torch.maximum(wanted.abs(), begun.abs())
        bounds.append(spread + rounded + slack * begun.abs() + UNDERFLOW[name_of(inputs.weight.dtype)])
    if isinstance(inputs.optimizer, SGD):
        terms = RATE * its.size
        n = rows.number.double()[:, None]
        bounds[1] = bounds[1] + torch.minimum(n * u * 1.01 * (begun.abs() + terms), 1.01 * terms)
    return (found - wanted).abs(), (bounds[0], bounds[1])


def _stepped(
    inputs: StepInputs, begun: Tensor, state: dict[str, Tensor], counts: dict[str, Any], grad: Tensor
) -> Tensor:  # fmt: skip
    """Some columns of the rows after a step from this state, by the same optimizer, in float64."""
    weight = begun.clone().requires_grad_()
    optimizer = inputs.make([weight])
    copied = {name: x.clone() if torch.is_tensor(x) else x for name, x in (state | counts).items()}
    optimizer.state[weight].update(copied)
    where = torch.arange(len(grad), device=grad.device)[None]
    weight.grad = torch.sparse_coo_tensor(where, grad.clone(), grad.shape, is_coalesced=True, check_invariants=False)
    optimizer.step()
    return weight.detach()
