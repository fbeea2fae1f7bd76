"""One patch of Triton's interpreter, which shows each launch and each access to memory to all observers.

Observers nest: the one entered last sees an access first, and passes on what the others shall see.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from tembed.kernels import interpreted

from .memory import Region
from .observer import METHODS, Access, Finding, Launch, Observer, Program

SomeObserver = TypeVar("SomeObserver", bound=Observer)
_observers: list[Observer] = []
_running: list[Launch] = []


@contextmanager
def observed(observer: SomeObserver) -> Iterator[SomeObserver]:
    """Within it, the observer sees every interpreted launch of the process."""
    require_interpreter()
    if not _observers:
        _patch()
    _observers.append(observer)
    try:
        yield observer
    finally:
        _observers.remove(observer)
        if not _observers:
            _restore()


def require_interpreter() -> None:
    """RuntimeError unless kernels are interpreted in this process."""
    if not interpreted():
        raise RuntimeError("this instrument watches Triton's interpreter: set TRITON_INTERPRET=1 before the start")


class _Programs:
    """Stands for a kernel in the interpreter's loop over the grid: all programs run at the turn of the last."""

    def __init__(self, kernel: Callable[..., Any], launch: Launch) -> None:
        self.kernel, self.launch = kernel, launch
        self.waiting: list[Program] = []
        # what the interpreter reads from a kernel
        self.__signature__ = inspect.signature(kernel)
        self.__name__, self.__globals__ = kernel.__name__, kernel.__globals__

    def __call__(self, **arguments: Any) -> None:
        from triton.runtime.interpreter import interpreter_builder

        self.waiting.append(self.launch.program)
        if len(self.waiting) < math.prod(interpreter_builder.grid_dim):
            return
        for observer in _observers:
            observer.launch(self.launch)
            arguments = observer.arguments(self.launch, arguments)

        def run(program: Program) -> None:
            interpreter_builder.set_grid_idx(*program)
            self.kernel(**arguments)

        def run_all(programs: list[Program]) -> None:
            for program in programs:
                run(program)

        self.launch.run = run
        proceed = run_all
        for observer in _observers:
            proceed = partial(observer.programs, self.launch, proceed=proceed)
        proceed(self.waiting)
        for observer in _observers:
            observer.done(self.launch)


def _launch(executor: Any, *arguments: Any, **named: Any) -> None:
    """In the place of GridExecutor.__call__."""
    launch = Launch(executor.fn.__name__)
    prepare = executor._init_args_hst

    def prepared(arguments: Any, named: Any) -> Any:
        host, host_named = prepare(arguments, named)
        by_name = {**dict(zip(executor.arg_names, host, strict=False)), **host_named}
        tensors = {name: by_name[name] for name in executor.arg_names if hasattr(by_name.get(name), "data_ptr")}
        launch.regions = {name: Region.of(tensor) for name, tensor in tensors.items()}
        return host, host_named

    executor._init_args_hst, executor.fn = prepared, _Programs(executor.fn, launch)
    _running.append(launch)
    try:
        _originals["__call__"](executor, *arguments, **named)
    except Exception as error:
        # the interpreter wraps what a kernel raises, once for each function that it calls
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, Finding):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None
    finally:
        _running.pop()


def _accessing(method: str) -> Callable[..., Any]:
    """In the place of a method of the interpreter's that touches memory."""

    def perform(builder: Any, access: Access) -> Any:
        return _originals[method](builder, *access.arguments, **access.options)

    def access(builder: Any, *arguments: Any, **options: Any) -> Any:
        proceed: Callable[[Access], Any] = partial(perform, builder)
        for observer in _observers:
            proceed = partial(observer.access, _running[-1], proceed=proceed)
        return proceed(Access(method, arguments, options))

    return access


def _barrier(builder: Any) -> Any:
    for observer in _observers:
        observer.barrier(_running[-1])
    return _originals["create_barrier"](builder)


_originals: dict[str, Callable[..., Any]] = {}
_REPLACED: dict[str, Callable[..., Any]] = {method: _accessing(method) for method in METHODS}
_REPLACED |= {"create_barrier": _barrier, "__call__": _launch}


def _owner(name: str) -> Any:
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    return GridExecutor if name == "__call__" else InterpreterBuilder


def _patch() -> None:
    for name, method in _REPLACED.items():
        _originals[name] = getattr(_owner(name), name)
        setattr(_owner(name), name, method)


def _restore() -> None:
    for name in _REPLACED:
        setattr(_owner(name), name, _originals.pop(name))
