"""The implementation under test: a module class, a function, or both, called the same way whatever it offers."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# What a lookup does when nothing is said; an implementation need not have an argument to be asked for this.
DEFAULTS: dict[str, Any] = {
    "padding_idx": None,
    "max_norm": None,
    "norm_type": 2.0,
    "scale_grad_by_freq": False,
    "sparse": False,
}


class Mismatch(AssertionError):
    """The implementation does something else than the feature says."""


class AsStock(Exception):
    """The implementation does what torch.nn.Embedding does, where the feature says what would be better."""


class Missing(Exception):
    """The implementation does not offer this, and says so: no such argument, no such form, NotImplementedError."""


class Unshown(Exception):
    """This machine cannot show it; the message says why."""


@dataclass(frozen=True)
class Implementation:
    """An embedding as the cases see it, on one device.

    Args:
        name: shown in reports.
        module: a class whose constructor takes (num_embeddings, embedding_dim, **options), or None.
        functional: a function of (input, weight, **options), or None.
        device: where tables and indices are put.
        deviations: what is better than stock that it is held to, by number; for the rest stock's way passes too.
    """

    name: str
    module: type[nn.Module] | None = None
    functional: Callable[..., Tensor] | None = None
    device: str = "cpu"
    deviations: frozenset[int] = frozenset()

    def call(self, input: Any, weight: Any, **options: Any) -> Tensor:
        """The lookup through the function, or through a module that is given this weight."""
        if self.functional is not None:
            options = wanted(self.functional, options)
            with refusals(options):
                return self.functional(input, weight, **options)
        V, D = weight.shape if isinstance(weight, Tensor) and weight.dim() == 2 else (1, 1)
        module = self.make(V, D, **options)
        if "weight" not in dict(module.named_parameters(recurse=False)):
            raise Missing("a parameter `weight`, to give it a table")
        # functional_call lets the gradient reach the tensor given, which a new Parameter would not
        return torch.func.functional_call(module, {"weight": weight}, (input,))

    def make(self, V: int, D: int, **options: Any) -> Any:
        """A module with a table of its own, on the device where its constructor allows that."""
        options = wanted(self.cls, options)
        with refusals(options):
            module = self.cls(V, D, **options)
        return module if "device" in options else module.to(self.device)

    def build(self, V: int, D: int, **options: Any) -> Any:
        """A module as its constructor leaves it, with a table made on the device rather than moved there."""
        if self.device != "cpu":
            options = {"device": self.device, **options}
        return self.cls(V, D, **wanted(self.cls, options))

    def offers(self, option: str) -> bool:
        """Whether the lookup has this argument."""
        try:
            wanted(self.functional or self.cls, {option: ...})
        except Missing:
            return False
        return True

    @property
    def cls(self) -> Any:
        """The module class."""
        if self.module is None:
            raise Missing("a module class")
        return self.module

    @property
    def function(self) -> Callable[..., Tensor]:
        """The function."""
        if self.functional is None:
            raise Missing("a functional form")
        return self.functional


def wanted(target: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options that differ from their defaults; Missing where the target has no argument for one."""
    options = {name: value for name, value in options.items() if not _default(name, value)}
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # written in C, say
        return options
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return options
    if absent := [name for name in options if name not in parameters]:
        raise Missing(", ".join(f"the argument {name}" for name in absent))
    return options


@contextmanager
def refusals(options: dict[str, Any]) -> Iterator[None]:
    """Missing where something further in, that **kwargs were handed on to, has no argument for one of the options."""
    try:
        yield
    except TypeError as error:
        refused = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if refused and refused[1] in options:
            raise Missing(f"the argument {refused[1]}") from error
        raise


def offered(owner: Any, name: str) -> Any:
    """The attribute of this name; Missing if there is none."""
    if not hasattr(owner, name):
        raise Missing(f"the attribute {name}")
    return getattr(owner, name)


def _default(name: str, value: Any) -> bool:
    return name in DEFAULTS and type(value) is type(DEFAULTS[name]) and value == DEFAULTS[name]


def load(path: str) -> Any:
    """The object that "package.module:name" stands for."""
    module, colon, name = path.partition(":")
    if not colon or not module or not name:
        raise ValueError(f"{path!r} is not of the form package.module:name")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
