"""The device's own clock, by way of a torch.cuda that is none; and what only a GPU can show."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from planted_lookups import RENORM, TINY

from tembed.bench import ceiling, measure
from tembed.bench.cuda_timing import CudaTimer
from tembed.bench.forward import Operation
from tembed.bench.providers import PROVIDERS
from tembed.bench.timed import OPERATIONS

pytestmark = pytest.mark.usefixtures("no_warm_up")

CPU = torch.device("cpu")


def test_cuda_flush_is_twice_the_cache_and_a_quarter_of_a_gigabyte_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "CudaTimer", lambda device, flush_bytes: (device, flush_bytes))
    for cache, wanted in ((50 << 20, 256 << 20), (200 << 20, 400 << 20)):
        about = SimpleNamespace(L2_cache_size=cache)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, about=about: about)
        assert ceiling.timer_on(torch.device("cuda:1")) == (torch.device("cuda:1"), wanted)


class FakeCuda:
    """What CudaTimer asks of torch.cuda, with a device whose every call takes a millisecond."""

    def __init__(self, capture_fails: bool = False) -> None:
        self.log: list[str] = []
        self.capture_fails, self.mode, self.now = capture_fails, 0, 0.0
        self.synchronize = self.reset_peak_memory_stats = self.empty_cache = lambda: None
        self.memory_stats = lambda: {"requested_bytes.all.current": 100, "requested_bytes.all.peak": 350}
        self.mem_get_info = lambda: (10_000_000, 20_000_000)
        self.get_sync_debug_mode = lambda: self.mode
        fake = self

        class Stream:
            def wait_stream(self, other: Any) -> None:
                fake.log.append("wait")

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                fake.log.append("record")
                self.at = fake.now

            def synchronize(self) -> None:
                fake.log.append("synchronize")

            def elapsed_time(self, end: Any) -> float:
                return float(end.at - self.at)

        class CUDAGraph:
            def replay(self) -> None:
                fake.log.append("replay")
                fake.now += 1

        self.Stream, self.Event, self.CUDAGraph, self.current_stream = Stream, Event, CUDAGraph, Stream

    def set_sync_debug_mode(self, mode: Any) -> None:
        self.mode = mode

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.log.append("side")
        yield
        self.log.append("main")

    @contextmanager
    def graph(self, graph: Any, stream: Any) -> Iterator[None]:
        assert isinstance(stream, self.Stream)
        self.log.append("capture")
        yield
        if self.capture_fails:
            raise RuntimeError("operation not permitted when stream is capturing")


def test_cuda_call_is_captured_after_a_warm_up_on_the_side_and_replayed_between_events() -> None:
    fake = FakeCuda()
    timer = CudaTimer(CPU, 4096, fake)
    out = torch.zeros(3)
    prepared = timer.prepare(lambda: fake.log.append("call") or out)
    assert fake.log == ["wait", "side", *["call"] * 4, "main", "wait", "capture", "call"]
    assert (prepared.method, prepared.note, prepared.output) == ("graph", "", out)
    fake.log.clear()
    timer.flush = lambda: fake.log.append("flush")  # type: ignore[method-assign]
    assert timer.sample(prepared.launch, lambda: fake.log.append("restore")) == 1e-3
    assert fake.log == ["restore", "flush", "record", "replay", "record", "synchronize"]
    assert prepared.launch() is out
    assert timer.peak(lambda: out) == 250
    assert timer.free() == 9_000_000


def test_cuda_flush_writes_all_of_a_buffer_and_reads_it() -> None:
    timer = CudaTimer(CPU, 4096, FakeCuda())
    timer.buffer.fill_(1)
    timer.total.fill_(1)
    timer.flush()
    assert (timer.buffer.numel(), timer.buffer.any().item(), timer.total.item()) == (1024, False, 0)


def test_cuda_call_that_waits_for_the_device_is_timed_as_it_is() -> None:
    fake = FakeCuda()

    def run() -> torch.Tensor:
        if fake.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")
        fake.now += 2
        return torch.zeros(3)

    timer = CudaTimer(CPU, 4096, fake)
    prepared = timer.prepare(run)
    assert (prepared.method, prepared.launch, prepared.output) == ("events", run, None)
    assert prepared.note == "RuntimeError: called a synchronizing CUDA operation"
    assert "capture" not in fake.log
    assert fake.mode == 0
    assert timer.sample(prepared.launch) == 2e-3


def test_cuda_call_whose_capture_fails_is_timed_as_it_is() -> None:
    prepared = CudaTimer(CPU, 4096, FakeCuda(capture_fails=True)).prepare(lambda: torch.zeros(3))
    assert prepared.method == "events"
    assert "not permitted when stream is capturing" in prepared.note


@pytest.mark.parametrize("stale", [False, True])
def test_what_a_graph_gives_is_checked_too(stale: bool) -> None:
    """A graph whose replay writes nothing leaves NaN where its output was."""
    timer = CudaTimer(CPU, 4096, FakeCuda())
    prepare = timer.prepare

    def replaying(run: Any) -> Any:
        prepared = prepare(run)

        def launch() -> torch.Tensor:
            if not stale:
                prepared.output.detach().copy_(run())
            return prepared.launch()

        return type(prepared)("graph", launch, prepared.output)

    timer.prepare = replaying  # type: ignore[method-assign]
    its = measure.measure(TINY, [PROVIDERS["stock"]], timer, 2, 0)["providers"]["stock"]
    if stale:
        assert its["failed"].startswith("Wrong: the output is not the table's row")
    else:
        assert (its["method"], its["peak_bytes"], its["samples_s"]) == ("graph", 250, [1e-3] * 2)


@pytest.fixture
def _as_users_have_it() -> Iterator[None]:
    """Without deterministic algorithms, by which fresh memory is filled in all tests, and Inductor's code waits."""
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(True, warn_only=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.usefixtures("_as_users_have_it")
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_provider_is_right_and_timed_on_a_gpu(operation: Operation) -> None:
    timer = ceiling.timer_on(torch.device("cuda", torch.cuda.current_device()))
    for workload in (TINY, *RENORM.values()):
        row = measure.measure(workload, PROVIDERS.values(), timer, 6, 5, operation)
        for name, its in row.get("providers", {}).items():
            assert "failed" not in its, (name, its)
            if workload.max_norm is None and "unsupported" not in its:
                assert its["method"] == ("events" if operation.sparse else "graph"), (name, its)
                assert 0 < its["median_s"] < 1e-1  # others may use the device, too
    assert 0 < ceiling.method_floor(timer)["median_s"] < 1e-2
