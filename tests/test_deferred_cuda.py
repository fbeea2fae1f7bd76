"""What only a GPU shows of deferred reports: CUDA graphs, streams, a queue of launches, several devices."""

import pytest
import torch

import tembed
from tembed import slots

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
LATE = 200_000_000  # cycles that a device sleeps


def bad(device: str = "cuda") -> torch.Tensor:
    return torch.tensor([[0, 5], [9, -1]], device=device)


def told(text: str = "index 9 at position [1, 0] of an input of shape [2, 2], in a table of 6 rows") -> None:
    with pytest.raises(IndexError) as caught:
        tembed.check_indices()
    assert str(caught.value).count("index out of range in self") == 1
    assert text in str(caught.value)
    tembed.check_indices()


def test_memory_is_pinned(deferring: str) -> None:
    table = tembed.Embedding(6, 3, device="cuda")
    table(bad())
    told()
    assert slots.memories[0].words.is_pinned()


@pytest.mark.parametrize("mode", ["deferred", "immediate"])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_captured_lookup_reports_at_every_replay(max_norm: float | None, mode: str, deferring: str) -> None:
    table = tembed.Embedding(6, 3, device="cuda", max_norm=max_norm)
    indices = torch.zeros(2, 2, dtype=torch.int64, device="cuda")
    table(indices)  # its output is not kept, or the gradient would be made on its stream instead of the captured one
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        table(indices).sum().backward()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with tembed.index_checks(mode), torch.cuda.graph(graph):
        out = table(indices)
        out.sum().backward()
    for _ in range(3):
        indices.copy_(bad())
        graph.replay()
        told()
        assert not out[1].any()
        indices.copy_(torch.tensor([[1, 2], [3, 4]]))
        graph.replay()
        tembed.check_indices()
        assert torch.equal(out, table.weight[indices])


def test_the_next_lookup_after_a_replay_raises(deferring: str) -> None:
    table = tembed.Embedding(6, 3, device="cuda")
    indices = torch.zeros(2, 2, dtype=torch.int64, device="cuda")
    table(indices)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        table(indices)
    indices.copy_(bad())
    graph.replay()
    torch.cuda.synchronize()
    with pytest.raises(IndexError, match="index 9 at position"):
        table(torch.zeros(1, dtype=torch.int64, device="cuda"))
    tembed.check_indices()


def test_nothing_is_raised_during_capture(deferring: str) -> None:
    table = tembed.Embedding(6, 3, device="cuda")
    table(torch.zeros(1, dtype=torch.int64, device="cuda"))
    indices = torch.zeros(2, 2, dtype=torch.int64, device="cuda")
    table(bad())
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        table(indices)
    told()


def test_lookups_ahead_of_the_device_are_all_told_of(deferring: str) -> None:
    table, indices = tembed.Embedding(6, 3, device="cuda"), bad()
    good = torch.zeros(1, dtype=torch.int64, device="cuda")
    table(good)
    torch.cuda._sleep(LATE)
    with torch.no_grad():
        table(indices)
        for _ in range(500):
            table(good)
    told()


def test_lookups_on_other_streams_report(deferring: str) -> None:
    table, indices = tembed.Embedding(6, 3, device="cuda"), bad()
    streams = [torch.cuda.Stream() for _ in range(4)]
    for stream in streams:
        stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad():
        torch.cuda._sleep(LATE)
        for stream in streams:
            with torch.cuda.stream(stream):
                torch.cuda._sleep(LATE)
                table(indices)
    with pytest.raises(IndexError) as caught:
        tembed.check_indices()
    assert str(caught.value).count("index 9 at position") == len(streams)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_devices_report_apart(deferring: str) -> None:
    tables = [tembed.Embedding(6, 3, device=f"cuda:{k}") for k in (0, 1)]
    tables[1](bad("cuda:1"))
    torch.cuda.synchronize(1)
    tables[0](torch.zeros(1, dtype=torch.int64, device="cuda:0"))
    told("found on cuda:1")


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_code_leaves_the_context_usable(mode: str, deferring: str) -> None:
    table = tembed.Embedding(6, 3, device="cuda")
    compiled = torch.compile(table, mode=mode)
    good = torch.tensor([[0, 5], [1, 2]], device="cuda")
    for _ in range(3):
        compiled(good).sum().backward()
        torch.cuda.synchronize()
    compiled(bad())
    told()
    assert torch.equal(compiled(good), table.weight[good])
