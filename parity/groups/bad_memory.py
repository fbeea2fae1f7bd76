"""errors: tables whose memory is shared, computed, kept by a graph, or of inference mode."""

from typing import Any

import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene


def shared(rows: bool, *values: int, **options: Any) -> Any:
    """A table whose rows, or columns, are one in memory."""

    def prepare(s: Scene) -> Act:
        one = torch.full((1, 3) if rows else (4, 1), 9.0, device=s.device)
        return s.call(s.indices(*values), s.keep(one.expand(4, 3), "weight"), **options)

    return prepare


declare(
    "shared-memory",
    "With max_norm a table whose columns are one number in memory is a RuntimeError once a row is to be scaled.",
    Row(
        "columns",
        shared(False, max_norm=1.0),
        RuntimeError,
        "unsupported operation: more than one element of the written-to tensor refers to a single",
    ),
    Row(
        "columns, trained",
        lambda s: s.call(
            s.indices(),
            s.keep(torch.full((4, 1), 9.0, device=s.device).expand(4, 3).requires_grad_(), "weight"),
            max_norm=1.0,
        ),
        RuntimeError,
        "unsupported operation: more than one element of the written-to tensor refers to a single",
    ),
    Row("columns, no row over", shared(False, max_norm=99.0)),
    Row("rows", shared(True, 1, max_norm=1.0)),
    needs="cpu",
)


def non_leaf(s: Scene, **options: Any) -> Act:
    """max_norm in a table that was computed."""
    source = s.table(grad=True)
    return s.call(s.indices(), s.keep(source * 2, "computed"), max_norm=1.0, **options)


def view(s: Scene, detached: bool) -> Act:
    """max_norm in half of a table that is trained."""
    source = s.table(8, grad=True)
    return s.call(s.indices(), s.keep((source.detach() if detached else source)[:4], "half"), max_norm=1.0)


def used_before(s: Scene) -> Act:
    """A table that the graph keeps, scaled before the backward."""
    weight, input = s.table(grad=True), s.indices()
    loss = (weight * weight).sum() + s.output(input, weight, max_norm=1.0).sum()
    return loss.backward


declare(
    "computed-table",
    "max_norm in a table that is computed, or part of another, scales what torch scales.",
    Row("computed", non_leaf),
    Row("computed, sparse", lambda s: non_leaf(s, sparse=True)),
    Row("part of a trained table", lambda s: view(s, False)),
    Row("part of a detached table", lambda s: view(s, True)),
)
declare(
    "kept-by-the-graph",
    "A table that is scaled after the graph has kept it is a RuntimeError in the backward.",
    Row(
        "squared",
        used_before,
        RuntimeError,
        "one of the variables needed for gradient computation has been modified by an inplace",
    ),
    needs="cpu",
)


def inference(s: Scene, *made: str, grad: bool = False, **options: Any) -> Act:
    """A lookup outside inference mode of what was made in it."""
    with torch.inference_mode("weight" in made):
        weight = s.table(grad=grad)
    with torch.inference_mode("input" in made):
        input = s.indices()
    return s.call(input, weight, **options)


declare(
    "inference",
    "Tensors of inference mode do outside it what they do in torch.",
    Row("table", lambda s: inference(s, "weight")),
    Row("table with gradient", lambda s: inference(s, "weight", grad=True)),
    Row("table, max_norm", lambda s: inference(s, "weight", max_norm=1.0)),
    Row("table, max_norm, no row over", lambda s: inference(s, "weight", max_norm=99.0)),
    Row("indices", lambda s: inference(s, "input")),
    Row(
        "indices, trained table",
        lambda s: inference(s, "input", grad=True),
        RuntimeError,
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in",
    ),
    Row(
        "indices, trained table, sparse",
        lambda s: inference(s, "input", grad=True, sparse=True),
        RuntimeError,
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in",
    ),
    Row(
        "indices, trained table, max_norm",
        lambda s: inference(s, "input", grad=True, max_norm=1.0),
        RuntimeError,
        "Inference tensors cannot be saved for backward. Please do not use Tensors created in",
    ),
)
