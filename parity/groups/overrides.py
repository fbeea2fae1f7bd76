"""api: __torch_function__, default devices, and the function's own signature."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, resolve_name

from ..cases import feature, product
from ..compare import require, same, same_bits, same_error
from ..subject import DEFAULTS, Implementation, wanted

OPTIONS = {"padding_idx": -2, "max_norm": 3.0, "norm_type": 1.0, "scale_grad_by_freq": True, "sparse": True}
SUBCLASSED = ("input", "weight", "both")


class Recorder(Tensor):
    """Keeps what __torch_function__ was given, and answers for the function."""

    calls: ClassVar[list[tuple[Any, ...]]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.calls.append((func, types, args, kwargs))
        return "handled"


class Refuser(Tensor):
    """Overrides nothing that it is asked for."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return NotImplemented


class Plain(Tensor):
    """A subclass with nothing of its own."""


class Watcher(TorchFunctionMode):
    """Keeps the calls that it sees, and lets them pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append((func, types, args, kwargs))
        return func(*args, **(kwargs or {}))


def tensors(device: str, which: str, cls: type[Tensor]) -> tuple[Tensor, Tensor]:
    """Indices and a table, one of them or both as a subclass."""
    indices, weight = torch.tensor([1, 2, 1], device=device), torch.randn(4, 3, device=device)
    return (
        indices.as_subclass(cls) if which in ("input", "both") else indices,
        weight.as_subclass(cls) if which in ("weight", "both") else weight,
    )


def recorded(call: Callable[[], object]) -> tuple[Any, ...]:
    """What an override was given in a call whose result is its answer."""
    Recorder.calls = []
    found = call()
    names = [resolve_name(func) or str(func) for func, *_ in Recorder.calls]
    require(names[:1] == ["torch.nn.functional.embedding"], f"the override was asked for {names or 'nothing'}")
    same(found, "handled", "the result")
    call_seen: tuple[Any, ...] = Recorder.calls[0]
    return call_seen


@feature("api", "function-arguments", cases=product(given=("by position", "by name")))
def function_arguments(subject: Implementation, given: str) -> None:
    """The function takes input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq and sparse, in this order
    and by these names."""
    named: dict[str, Any] = {
        "input": torch.tensor([1, 2, 2], device=subject.device),
        "weight": torch.full((4, 4), 8.0, device=subject.device, requires_grad=True),
        "padding_idx": 1, "max_norm": 4.0, "norm_type": 1.0, "scale_grad_by_freq": True, "sparse": False,
    }  # fmt: skip
    wanted(subject.function, named)
    out = subject.function(**named) if given == "by name" else subject.function(*named.values())
    out.sum().backward()
    same(out.sum(1).round().tolist(), [4.0] * 3, "sums of rows whose 1-norm may be 4")
    same(named["weight"].grad.sum(1).tolist(), [0.0, 0.0, 4.0, 0.0], "gradient of the rows")


@feature("api", "override", cases=product(subclassed=SUBCLASSED, options=("defaults", "all options")))
def override(subject: Implementation, subclassed: str, options: str) -> None:
    """A tensor subclass's __torch_function__ gets nn.functional.embedding, the indices and the table by position, and
    all five options by name."""
    indices, weight = tensors(subject.device, subclassed, Recorder)
    given = wanted(subject.function, OPTIONS if options == "all options" else {})
    func, types, args, keywords = recorded(lambda: subject.function(indices, weight, **given))
    require(func is F.embedding, f"the function asked for is {func}")
    require(Recorder in types, f"the types {types} leave out the override's own")
    require(len(args) == 2 and args[0] is indices and args[1] is weight, f"{len(args)} other arguments by position")
    same(keywords, {**DEFAULTS, **given}, "arguments by name")


BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "padding_idx": {"padding_idx": 99},
    "sparse": {"sparse": 1},
    "max_norm": {"max_norm": "a"},
}


@feature("api", "override-first", cases=product(wrong=BAD_OPTIONS))
def override_first(subject: Implementation, wrong: str) -> None:
    """An override is asked before any argument is checked, and gets the arguments as they were given."""
    indices, weight = tensors(subject.device, "weight", Recorder)
    given = wanted(subject.function, BAD_OPTIONS[wrong])
    *_, keywords = recorded(lambda: subject.function(indices, weight, **given))
    same(keywords, {**DEFAULTS, **given}, "arguments by name")


@feature("api", "override-module")
def override_module(subject: Implementation) -> None:
    """A module asks the override of its indices' type, and names its own table and options."""
    indices, _ = tensors(subject.device, "input", Recorder)
    module = subject.make(4, 3, **OPTIONS)
    func, _, args, keywords = recorded(lambda: module(indices))
    require(func is F.embedding, f"the function asked for is {func}")
    require(len(args) == 2 and args[1] is module.weight, "the second argument is not the module's table")
    same(keywords, {**OPTIONS, "padding_idx": 2}, "arguments by name")


@feature("api", "override-refused", claim="same error", cases=product(subclassed=("input", "weight")))
def override_refused(subject: Implementation, subclassed: str) -> None:
    """A subclass that answers NotImplemented makes the lookup a TypeError which names nn.functional.embedding."""
    indices, weight = tensors(subject.device, subclassed, Refuser)
    call = subject.call if subclassed == "input" else subject.function
    same_error(lambda: call(indices, weight), TypeError, "torch.nn.functional.embedding")


@feature("api", "plain-subclass", cases=product(subclassed=SUBCLASSED))
def plain_subclass(subject: Implementation, subclassed: str) -> None:
    """A subclass without overrides of its own is what a lookup in it returns, with the rows and gradients of a
    plain tensor."""
    indices, weight = tensors(subject.device, subclassed, Plain)
    weight.requires_grad_()
    out = subject.call(indices, weight)
    same(type(out), Plain, "type of the output")
    same_bits(out.as_subclass(Tensor), weight.as_subclass(Tensor)[indices.as_subclass(Tensor)], "what is looked up")
    out.backward(torch.ones_like(out))
    require(weight.grad is not None, "the table has no gradient")
    same(torch.as_tensor(weight.grad).sum(1).tolist(), [0.0, 6.0, 3.0, 0.0], "gradient of the rows")


@contextmanager
def _set_default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


ENTER: dict[str, Callable[[str], AbstractContextManager[Any]]] = {
    "torch.device": torch.device,
    "set_default_device": _set_default_device,
}


@feature("api", "mode", cases=product(default_device=(True, False)))
def mode(subject: Implementation, default_device: bool) -> None:
    """A TorchFunctionMode sees nn.functional.embedding, with the indices and the table by position, and all five
    options by name."""
    indices, weight = tensors(subject.device, "", Plain)
    given = wanted(subject.function, {"padding_idx": -1})
    with torch.device(subject.device) if default_device else nullcontext(), Watcher() as watcher:
        out = subject.function(indices, weight, **given)
    calls = [call for call in watcher.calls if call[0] is F.embedding]
    same(len(calls), 1, "calls of nn.functional.embedding that the mode saw")
    _, _, args, keywords = calls[0]
    require(len(args) == 2 and args[0] is indices and args[1] is weight, f"{len(args)} other arguments by position")
    same(keywords, {**DEFAULTS, **given}, "arguments by name")
    same_bits(out, weight[indices], "what is looked up")


@feature("api", "default-device-ignored", cases=product(by=ENTER, where=("cpu", "meta")))
def default_device_ignored(subject: Implementation, by: str, where: str) -> None:
    """Under a default device lookups and gradients stay where the table is."""
    indices, weight = tensors(subject.device, "", Plain)
    look: Callable[..., Tensor] | None = subject.functional
    if look is None:
        module = subject.make(4, 3)
        weight, look = module.weight, lambda indices, _: module(indices)
    weight.requires_grad_()
    with ENTER[by](where):
        out = look(indices, weight)
        out.sum().backward()
    same_bits(out, weight[indices], "what is looked up")
    require(weight.grad is not None, "the table has no gradient")
    same(torch.as_tensor(weight.grad).sum(1).tolist(), [0.0, 6.0, 3.0, 0.0], "gradient of the rows")
    same(out.device, weight.device, "device of the output")
