"""What "drop-in for torch.nn.Embedding" means, as data: features, each with a claim and its named cases.

A feature is a sentence about an embedding and a function that checks it; its cases are the
parameters that the function is run with. The modules of `groups` declare them.
"""

import itertools
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

import torch

from .subject import Implementation

GROUPS = (
    "api",
    "forward",
    "dense-gradient",
    "sparse-gradient",
    "max_norm",
    "optimizers",
    "transforms",
    "errors",
    "device",
)
# exact: bit for bit, or the very same attribute. bound: as near to float64 as its rounding allows, and derived.
# same error: stock's type, and a message that contains stock's.
CLAIMS = ("exact", "bound", "same error")
# Where tembed is better than stock on purpose. A case of these passes for an implementation that does as stock does.
DEVIATIONS = {
    1: "sparse gradients are coalesced: unique, ascending, int64, in storage of their own",
    2: "sparse works with scale_grad_by_freq",
    3: "double backward divides by the counts, and works for an empty input",
    4: "sparse works with a 0-d index and padding_idx",
    5: "a bad index is an IndexError with its value and position, before anything is changed",
    6: "16-bit gradients are summed in float32",
    7: "max_norm by the CPU's definition on every device, for every norm and strided tables",
    8: "deterministic without being asked",
    9: "vmap does what a loop does, max_norm, sparse and counts included; torch.compile takes sparse with padding_idx",
    10: "a CPU table with meta indices raises",
    11: "row-sharded tables keep row-sharded gradients, and take max_norm",
}

Parameters = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Feature:
    """One sentence of the contract.

    Args:
        check: called with the implementation and a case's parameters. Returns None or a note for the report;
            raises Mismatch (or any other exception) when it fails, AsStock, or Missing.
        needs: "cpu" or "cuda" where only tables there can show it; `memory` the bytes it takes on the device.
    """

    group: str
    name: str
    says: str
    claim: str
    check: Callable[..., str | None]
    cases: tuple[Parameters, ...]
    deviation: int | None = None
    needs: str | None = None
    memory: int = 0


@dataclass(frozen=True, eq=False)
class Case:
    """A feature with one set of parameters; its name is what the command line takes."""

    feature: Feature
    parameters: Parameters

    @property
    def name(self) -> str:
        """group/feature, or group/feature/parameters."""
        stem = f"{self.feature.group}/{self.feature.name}"
        values = [_text(name, value) for name, value in self.parameters.items()]
        return f"{stem}/{','.join(values)}" if values else stem

    def run(self, subject: Implementation) -> str | None:
        """Checks it, with the same random numbers every time."""
        torch.manual_seed(0)
        return self.feature.check(subject, **self.parameters)


FEATURES: list[Feature] = []


def feature(
    group: str,
    name: str,
    claim: str = "exact",
    cases: Iterable[Parameters] = ({},),
    deviation: int | None = None,
    needs: str | None = None,
    memory: int = 0,
) -> Callable[[Callable[..., str | None]], Callable[..., str | None]]:
    """Declares the function under it as the check of a feature; its docstring is the sentence."""
    assert group in GROUPS
    assert claim in CLAIMS
    assert deviation is None or deviation in DEVIATIONS

    def declare(check: Callable[..., str | None]) -> Callable[..., str | None]:
        says = " ".join((check.__doc__ or "").split())
        assert says, f"{name} says nothing"
        FEATURES.append(Feature(group, name, says, claim, check, tuple(cases), deviation, needs, memory))
        return check

    return declare


def product(**axes: Iterable[Any]) -> tuple[Parameters, ...]:
    """Parameters for every combination of the values."""
    return tuple(dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def dtype_of(name: str) -> torch.dtype:
    """torch.float32 for "float32": parameters are plain data."""
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found


def _text(name: str, value: object) -> str:
    if value is True:
        return name
    if value is False or value is None:
        return f"no {name}"
    if isinstance(value, tuple | list):
        return "x".join(map(str, value)) or "0-d"
    return value if isinstance(value, str) else f"{name}={value}"


@cache
def all_cases() -> dict[str, Case]:
    """Every case by its name, group by group."""
    from . import groups

    for found in pkgutil.iter_modules(groups.__path__):
        import_module(f"{groups.__name__}.{found.name}")
    ordered = sorted(FEATURES, key=lambda f: GROUPS.index(f.group))
    cases = [Case(f, parameters) for f in ordered for parameters in f.cases]
    named = {case.name: case for case in cases}
    assert len(named) == len(cases), "two cases have one name"
    return named


def select(group: str | None = None, pattern: str | None = None) -> list[Case]:
    """The cases of a group whose names match a pattern of the shell's kind; a feature's name stands for its cases."""
    return [
        case
        for name, case in all_cases().items()
        if (group is None or case.feature.group == group)
        and (pattern is None or name == pattern or name.startswith(f"{pattern}/") or fnmatchcase(name, pattern))
    ]
