"""errors: what from_pretrained and load_state_dict are given wrongly."""

from collections.abc import Callable

import numpy as np
import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene
from .bad_constructors import on

declare(
    "pretrained",
    "What from_pretrained is given wrongly is refused as torch refuses it.",
    Row(
        "0-d",
        lambda s: s.pretrained(torch.tensor(1.0, device=s.device)),
        AssertionError,
        "Embeddings parameter is expected to be 2-dimensional",
    ),
    Row(
        "1-D", lambda s: s.pretrained(on(s, 4)), AssertionError, "Embeddings parameter is expected to be 2-dimensional"
    ),
    Row(
        "3-D",
        lambda s: s.pretrained(on(s, 4, 3, 2)),
        AssertionError,
        "Embeddings parameter is expected to be 2-dimensional",
    ),
    Row("list", lambda s: s.pretrained([[1.0]]), AttributeError, "'list' object has no attribute 'dim'"),
    Row(
        "ndarray",
        lambda s: s.pretrained(np.ones((4, 3))),
        AttributeError,
        "'numpy.ndarray' object has no attribute 'dim'",
    ),
    Row("None", lambda s: s.pretrained(None), AttributeError, "'NoneType' object has no attribute 'dim'"),
    Row(
        "int64, to be trained",
        lambda s: s.pretrained(on(s, 4, 3, dtype="int64"), freeze=False),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
    Row(
        "bool, to be trained",
        lambda s: s.pretrained(on(s, 4, 3, dtype="bool"), freeze=False),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
    Row("float8, frozen", lambda s: s.pretrained(on(s, 4, 3, dtype="float8_e5m2"))),
    Row(
        "padding_idx V",
        lambda s: s.pretrained(on(s, 4, 3), padding_idx=4),
        AssertionError,
        "Padding_idx must be within num_embeddings",
    ),
    Row(
        "padding_idx str",
        lambda s: s.pretrained(on(s, 4, 3), padding_idx="1"),
        TypeError,
        "'>' not supported between instances of 'str' and 'int'",
    ),
    Row("no rows, padding_idx 0", lambda s: s.pretrained(on(s, 0, 3), padding_idx=0)),
    Row("module's parameter", lambda s: s.pretrained(s.module().weight)),
)


def state(changes: dict[str, object | None], strict: bool = True, assign: bool = False) -> Callable[[Scene], Act]:
    """load_state_dict of a good state with changes; None for an entry that is left out."""

    def prepare(s: Scene) -> Act:
        module = s.module()
        found = {"weight": module.weight.detach().clone(), **changes}
        loaded = s.keep({key: value for key, value in found.items() if value is not None}, "state")
        return lambda: module.load_state_dict(loaded, strict=strict, assign=assign)

    return prepare


declare(
    "state",
    "A state that does not fit is refused by load_state_dict, and the table stays as it is.",
    Row(
        "fewer rows", state({"weight": torch.ones(3, 3)}), RuntimeError, "Error(s) in loading state_dict for Embedding:"
    ),
    Row(
        "more rows", state({"weight": torch.ones(5, 3)}), RuntimeError, "Error(s) in loading state_dict for Embedding:"
    ),
    Row(
        "other columns",
        state({"weight": torch.ones(4, 2)}),
        RuntimeError,
        "Error(s) in loading state_dict for Embedding:",
    ),
    Row("1-D", state({"weight": torch.ones(12)}), RuntimeError, "Error(s) in loading state_dict for Embedding:"),
    Row(
        "other rows, not strict",
        state({"weight": torch.ones(5, 3)}, strict=False),
        RuntimeError,
        "Error(s) in loading state_dict for Embedding:",
    ),
    Row(
        "other rows, assigned",
        state({"weight": torch.ones(5, 3)}, assign=True),
        RuntimeError,
        "Error(s) in loading state_dict for Embedding:",
    ),
    Row("no weight", state({"weight": None}), RuntimeError, "Error(s) in loading state_dict for Embedding:"),
    Row(
        "unknown entry",
        state({"bias": torch.ones(3)}),
        RuntimeError,
        "Error(s) in loading state_dict for Embedding:",
        moves=("module.weight",),
    ),
    Row("list", state({"weight": [[1.0]]}), RuntimeError, "Error(s) in loading state_dict for Embedding:"),
    Row("complex", state({"weight": torch.ones(4, 3, dtype=torch.complex64)})),
    Row("no weight, not strict", state({"weight": None}, strict=False)),
    Row("integers", state({"weight": torch.ones(4, 3, dtype=torch.int64)})),
    Row(
        "no dict",
        lambda s: (lambda m: lambda: m.load_state_dict([1]))(s.module()),
        TypeError,
        "Expected state_dict to be dict-like, got <class 'list'>.",
    ),
)
