"""Faults at every point of a step at which Python has a say: before an operation of torch's, before and after a launch.

`points` counts those that a call passes, `fault_at` raises at one of them. Operations that Triton's interpreter calls
while it runs a kernel do not count: a device has none.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tembed import kernels


class Point(NamedTuple):
    """What happens there, and whether it is about to, or has."""

    name: str
    when: str
    allocates: bool


@dataclass
class _Recorder:
    """Collects points; raises `error` at the one of number `at`."""

    points: list[Point]
    at: int = -1
    error: BaseException | None = None
    launching: bool = False

    def add(self, name: str, when: str, allocates: bool = False) -> None:
        self.points.append(Point(name, when, allocates))
        if len(self.points) - 1 == self.at:
            assert self.error is not None
            raise self.error


def _storages(tree: Any) -> set[int]:
    """What memory tensors have, by its address; those of no elements have none."""
    tensors = [x for x in tree_leaves(tree) if isinstance(x, Tensor)]
    sparse = [part for x in tensors if x.is_sparse for part in (x._indices(), x._values())]
    plain = [x for x in tensors if x.layout == torch.strided]
    return {address for x in plain + sparse if (address := x.untyped_storage().data_ptr())}


class _Operations(TorchDispatchMode):
    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        recorder, kwargs = self.recorder, kwargs or {}
        if recorder.launching:
            return func(*args, **kwargs)
        recorder.add(str(func), "before")
        out = func(*args, **kwargs)
        fresh = _storages(out) - _storages((args, kwargs))
        if fresh:  # the operation before it
            last = len(recorder.points) - 1
            recorder.points[last] = recorder.points[last]._replace(allocates=True)
        return out


def _watched(recorder: _Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder.add(self.fn.__name__, "before")
        recorder.launching = True
        try:
            out = original(self, *args, **kwargs)
        finally:
            recorder.launching = False
        recorder.add(self.fn.__name__, "after")
        return out

    return run


@contextmanager
def _recording(recorder: _Recorder) -> Iterator[None]:
    if not kernels.installed():
        with _Operations(recorder):
            yield
        return
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    runs = [patch.object(kind, "run", _watched(recorder, kind.run)) for kind in (InterpretedFunction, JITFunction)]
    with runs[0], runs[1], _Operations(recorder):
        yield


def points(call: Callable[[], Any]) -> list[Point]:
    """The points that the call passes, in their order."""
    recorder = _Recorder([])
    with _recording(recorder):
        call()
    return recorder.points


@contextmanager
def fault_at(number: int, error: BaseException) -> Iterator[None]:
    """Within it, `error` is raised at the point of that number."""
    with _recording(_Recorder([], number, error)):
        yield


def free(lock: Any) -> bool:
    """Whether another thread gets the lock."""
    got: list[bool] = []

    def ask() -> None:
        got.append(lock.acquire(timeout=5))
        if got[0]:
            lock.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return got[0]
