"""Samples: how they are taken, in which order, and what they come to."""

from typing import Any

import planted_lookups as planted
import pytest
import torch
from planted_lookups import RENORM, TINY

from tembed.bench import ceiling, measure, providers, timing
from tembed.bench.call_time import measure as call_time
from tembed.bench.providers import PROVIDERS
from tembed.bench.summary import geometric_mean, ratios, summary
from tembed.bench.timing import Timer, take_turns

pytestmark = pytest.mark.usefixtures("no_warm_up")

CPU = torch.device("cpu")


def test_ratio_is_that_of_pairs_and_not_of_medians() -> None:
    found = summary([3.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert ratios([3.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == [3.0, 0.5, 2 / 3]
    assert found == {
        "median_s": 2.0,
        "quartiles_s": [1.5, 2.5],
        "ratio": pytest.approx(2 / 3),
        "ratio_quartiles": [pytest.approx((0.5 + 2 / 3) / 2), pytest.approx((3 + 2 / 3) / 2)],
    }
    assert summary([4.0], None) == {
        "median_s": 4.0,
        "quartiles_s": [4.0, 4.0],
        "ratio": None,
        "ratio_quartiles": None,
    }
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0], [1.0, 2.0])


def test_geometric_mean_of_a_number_and_its_inverse_is_one() -> None:
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1)
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4)
    assert geometric_mean([]) is None


def test_turns_are_taken_in_reversed_order_every_other_round() -> None:
    seen: list[str] = []
    samplers = {name: lambda name=name: seen.append(name) or float(len(seen)) for name in "abc"}
    samples, failed = take_turns(samplers, lambda done: done == 3)
    assert "".join(seen) == "abc" + "cba" + "abc"
    assert samples == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}
    assert failed == {}


def test_one_that_raises_in_a_later_round_loses_its_samples_only() -> None:
    turns = iter([1.0, 2.0])
    samples, failed = take_turns({"a": lambda: 5.0, "b": lambda: next(turns), "c": lambda: 7.0}, lambda done: done == 4)
    assert samples == {"a": [5.0] * 4, "c": [7.0] * 4}
    assert failed == {"b": "StopIteration: "}
    assert take_turns({"b": lambda: next(turns)}, lambda done: False)[0] == {}


def test_sample_restores_and_flushes_before_the_clock_starts() -> None:
    log: list[str] = []
    timer = Timer(CPU, 64, clock=lambda: log.append("clock") or float(len(log)))
    timer.flush = lambda: log.append("flush")  # type: ignore[method-assign]
    assert timer.sample(lambda: log.append("call"), lambda: log.append("restore")) == 2.0
    assert log == ["restore", "flush", "clock", "call", "clock"]


def test_rounds_end_with_the_seconds_but_not_before_the_least() -> None:
    stock = [PROVIDERS["stock"]]
    for rounds, seconds, wanted in ((50, 0, measure.LEAST_ROUNDS), (3, 0, 3), (8, 1e9, 8)):
        row = measure.measure(TINY, stock, planted.quick_timer(), rounds, seconds, clock=planted.ticking())
        assert row["rounds"] == wanted
    row = measure.measure(TINY, stock, planted.quick_timer(), 50, 30, clock=planted.ticking())
    assert measure.LEAST_ROUNDS < row["rounds"] < 40


@pytest.mark.parametrize("call", [3, 7])
def test_a_provider_that_raises_once_has_no_numbers_though_it_recovers(call: int) -> None:
    """Two calls are checked, one shows the memory, the others are samples, of the warm-up first."""
    calls: list[None] = []

    def once(weight: torch.Tensor, indices: torch.Tensor, max_norm: float | None) -> torch.Tensor:
        calls.append(None)
        if len(calls) == call + 1:
            raise planted.Broken("once")
        return providers.stock(weight, indices, max_norm)

    chosen = [planted.planted("once", once), PROVIDERS["stock"]]
    row = measure.measure(TINY, chosen, planted.quick_timer(), rounds=8, seconds=1e9)
    assert row["providers"]["once"] == {"failed": "Broken: once"}
    assert len(row["providers"]["stock"]["samples_s"]) == 8


def test_table_is_restored_before_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    timer, seen = planted.quick_timer(), []
    sample = timer.sample

    def watched(launch: Any, restore: Any = None) -> float:
        found = sample(lambda: (seen.append(launch.args[0].detach().norm(dim=1).max().item()), launch()), restore)
        return found

    monkeypatch.setattr(timer, "sample", watched)
    measure.measure(RENORM["all"], [PROVIDERS["stock"], planted.planted("other", providers.stock)], timer, 4, 0)
    assert len(seen) >= 8
    assert min(seen) > 1.4


def test_ratios_are_of_times_taken_by_one_method(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = planted.quick_timer()
    methods = iter(["graph", "graph", "events"])
    monkeypatch.setattr(timer, "prepare", lambda run: timing.Prepared(next(methods), run))
    chosen = [PROVIDERS["stock"], *(planted.planted(name, providers.stock) for name in ("alike", "other"))]
    found = measure.measure(TINY, chosen, timer, 2, 0)["providers"]
    assert found["alike"]["ratio"] > 0
    assert (found["other"]["ratio"], found["other"]["ratio_quartiles"]) == (None, None)
    assert len(found["other"]["samples_s"]) == 2


def test_useful_bytes_count_a_row_once_and_what_is_written_back() -> None:
    rows = {over: measure.measure(w, [PROVIDERS["stock"]], planted.quick_timer(), 2, 0) for over, w in RENORM.items()}
    unique = rows["none"]["unique"]
    assert rows["none"]["useful_bytes"] == 20 * 8 + (20 + unique) * 16 * 4
    assert rows["all"]["useful_bytes"] == 20 * 8 + (20 + 2 * unique) * 16 * 4
    its = rows["all"]["providers"]["stock"]
    assert its["bytes_per_s"] == rows["all"]["useful_bytes"] / its["median_s"]


def test_each_workload_is_compiled_once_and_for_static_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo as dynamo

    asked = []
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **how: asked.append(how) or compile_(function, backend="eager", **how)
    )
    chosen = [PROVIDERS[name] for name in ("stock", "stock compiled", "tembed compiled")]
    for workload in (TINY, TINY, RENORM["all"]):
        dynamo.utils.counters.clear()
        row = measure.measure(workload, chosen, planted.quick_timer(), 3, 0)
        assert dynamo.utils.counters["frames"] == {"total": 2, "ok": 2}
        assert {name: its.get("gate") for name, its in row["providers"].items()} == {p.name: "passed" for p in chosen}
    assert asked == [{"dynamic": False}] * 6


def test_flush_is_larger_than_the_last_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for cache, wanted in ((1 << 20, 64 << 20), (100 << 20, 200 << 20), (-1, 64 << 20)):
        monkeypatch.setattr("os.sysconf", lambda name, cache=cache: cache)
        monkeypatch.setattr(torch, "zeros", lambda size, device: torch.empty(0))
        assert ceiling.timer_on(CPU).flush_bytes == wanted


def test_ceilings_are_measured_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = planted.quick_timer()
    timer.copied = (4096, 8192, 1 << 50)
    seconds = {4096: 2.0, 8192: 2.5}
    monkeypatch.setattr(timer, "sample", lambda launch: seconds[launch.args[0].nbytes])
    copied = ceiling.copy_bandwidth(timer)
    assert copied["bytes_per_s"] == 2 * 8192 / 2.5
    assert [(s["bytes"], s["samples_s"][0], len(s["samples_s"])) for s in copied["sizes"]] == [
        (8192, 2.0, ceiling.SAMPLES),
        (16384, 2.5, ceiling.SAMPLES),
    ]
    floor = ceiling.method_floor(planted.quick_timer())
    assert floor["method"] == "wall"
    assert 0 < floor["median_s"] < 1


def test_call_time_compares_any_two_calls() -> None:
    calls: list[str] = []
    stock, ours = (lambda name=name: calls.append(name) or torch.tensor(name == "a") for name in "ab")
    with pytest.raises(RuntimeError, match="the results differ"):
        call_time(stock, ours, "cpu", calls=1, blocks=1)
    calls.clear()
    found = call_time(stock, ours, "cpu", calls=2, blocks=3, same=None)
    assert "".join(calls) == "aabb" + "aabb" + "bbaa" + "aabb"
    assert [len(pair) for pair in found["samples_s"]] == [2, 2, 2]
    assert found["ratio"] == sorted(b / a for a, b in found["samples_s"])[1]
