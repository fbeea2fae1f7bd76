"""errors: states that an optimizer cannot use."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn, optim

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene

SIZES = "The size of tensor a (7) must match the size of tensor b (4) at non-singleton dimension 0"
STATE = ("optimizer",)
DENSE: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "Adam": (optim.Adam, SIZES, STATE),
    "AdamW": (optim.AdamW, SIZES, ("module.weight", *STATE)),  # which decays first
    "RMSprop": (optim.RMSprop, SIZES, STATE),
    "Adagrad": (optim.Adagrad, SIZES, STATE),
}


SPARSE: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "SGD, momentum, sparse": (
        partial(optim.SGD, lr=0.5, momentum=0.5),
        "add: expected sizes of 'self' and 'other' to match, but [7, 3] != [4, 3]",
        STATE,
    ),
    "SparseAdam": (
        optim.SparseAdam,
        "sparse_mask(): operands have incompatible sizes; self has size [7, 3] but mask has size [4, 3]",
        STATE,
    ),
}


def foreign(make: Callable[..., Any], sparse: bool) -> Callable[[Scene], Act]:
    """A step with the state of an optimizer that trained a table of more rows."""

    def prepare(s: Scene) -> Act:
        other = nn.Embedding(7, 3, sparse=sparse, device=s.device)
        first = make(other.parameters())
        other(s.indices()).sum().backward()
        first.step()
        _, optimizer = s.trained(make, sparse=sparse)
        optimizer.load_state_dict(first.state_dict())
        return optimizer.step

    return prepare


declare(
    "foreign-state",
    "A step with the state of an optimizer of another table is a RuntimeError, which comes no later than with stock.",
    *(
        Row(name, foreign(make, name in SPARSE), RuntimeError, text, moves=moves)
        for name, (make, text, moves) in (DENSE | SPARSE).items()
    ),
    cpu_only=True,
)


def states(change: Callable[[dict[str, Any]], object]) -> Callable[[Scene], Act]:
    """load_state_dict of a state that is changed."""

    def prepare(s: Scene) -> Act:
        _, optimizer = s.trained(optim.Adam)
        state = s.keep(optimizer.state_dict(), "state")
        change(state)
        return lambda: optimizer.load_state_dict(state)

    return prepare


declare(
    "optimizer-state",
    "A state that an optimizer refuses leaves it as it is.",
    Row(
        "more groups",
        states(lambda state: state["param_groups"].append(state["param_groups"][0])),
        ValueError,
        "loaded state dict has a different number of parameter groups",
    ),
    Row(
        "more tables",
        states(lambda state: state["param_groups"][0]["params"].append(1)),
        ValueError,
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's",
    ),
    Row("no groups", states(lambda state: state.pop("param_groups")), KeyError, "'param_groups'"),
)
