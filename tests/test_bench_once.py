"""What a profiler is shown: each call once, warm, in a range of its name."""

import planted_lookups as planted
import pytest
import torch

from tembed import kernels
from tembed.bench import cli, once
from tembed.bench.providers import PROVIDERS

no_times = pytest.mark.skipif(kernels.interpreted(), reason="the command refuses, as all that has to do with time")


@no_times
def test_every_call_has_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["once", "--workload", "kg/40k x 128/N=65536/*", "--operation", "forward", "--operation", "backward"]
    assert cli.main([*words, "--scale", "4096", "--device", "cpu"]) == 0
    lines = capfd.readouterr().out.splitlines()
    called = [line for line in lines if line.endswith(": called")]
    assert {line.partition(": ")[2] for line in lines if line not in called} == {
        "max_norm has no part in a backward: the same as without"
    }
    assert len(called) == len(lines) // 2 > 0
    assert sum(", tembed: " in line for line in lines) == len(lines) // 2


@no_times
def test_nothing_is_called_beyond_the_budget(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["once", "--workload", "llm/gpt2/N=64/*", "--device", "cpu", "--budget", "0"]) == 0
    outcomes = {line.rpartition(": ")[2] for line in capfd.readouterr().out.splitlines()}
    assert outcomes == {"the budget was spent"}


@no_times
def test_a_call_that_fails_is_named(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "make_inputs", lambda workload, device: 1 / 0)
    assert cli.main(["once", "--workload", "llm/gpt2/N=64/fp32/text", "--device", "cpu"]) == 1
    assert "stock: FAILED: ZeroDivisionError: division by zero" in capfd.readouterr().out


class Watcher:
    """torch.cuda, as far as a profiler is concerned."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.profiler = self.nvtx = self

    def synchronize(self, device: object) -> None:
        self.log.append("synchronize")

    def start(self) -> None:
        self.log.append("start")

    def stop(self) -> None:
        self.log.append("stop")

    def range_start(self, name: str) -> int:
        self.log.append(name)
        return 7

    def range_end(self, opened: int) -> None:
        self.log.append(f"end {opened}")


def test_the_profiler_sees_nothing_but_the_second_call(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher()
    monkeypatch.setattr(once.torch, "cuda", watcher)

    def call() -> None:
        with once.watched("name", torch.device("cuda")):
            watcher.log.append("call")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call()
    assert watcher.log == ["synchronize", "start", "name", "call", "end 7", "stop"]
    with once.watched("name", torch.device("cpu")):
        assert len(watcher.log) == 6


def test_a_call_is_made_twice_on_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []

    def lookup(weight: torch.Tensor, indices: torch.Tensor, max_norm: float | None) -> torch.Tensor:
        tables.append(weight.detach().clone())
        return PROVIDERS["tembed"].function(weight, indices, max_norm)

    provider = planted.Provider("counted", "", lookup)
    assert once.call_once(provider, once.chosen_operations([])[0], planted.RENORM["all"], torch.device("cpu")) == ""
    assert len(tables) == 2
    assert torch.equal(*tables)
