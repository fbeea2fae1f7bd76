"""A run over several workloads: what is kept of it, and what it costs."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import planted_lookups as planted
import pytest
import torch
from planted_lookups import RENORM, TINY

from tembed.bench import measure, runner
from tembed.bench.arguments import SHARE
from tembed.bench.documents import failures, new_document, read_document, timed, write_document
from tembed.bench.providers import PROVIDERS, STOCK, Provider, stock
from tembed.bench.runner import terminable
from tembed.bench.workloads import SUITES, Workload

pytestmark = pytest.mark.usefixtures("no_warm_up")

ABOUT = {"device": "x86_64", "commit": "abc", "torch": "2", "kernels": "none"}
WORKLOADS = [TINY, RENORM["none"], RENORM["all"]]


def fill(providers: list[Provider], path: Path, budget: float = 1e9, scale: float = 1.0, **more: Any) -> dict[str, Any]:
    document = new_document(ABOUT, "cpu", {p.name: p.says for p in providers}, scale, ["mine"])
    saved: list[str] = []

    def save(outcome: str) -> None:
        saved.append(outcome)
        write_document(document, path)

    runner.run(document, WORKLOADS, providers, planted.quick_timer(), 3, budget, save, **more)
    return {**document, "saved": saved}


def test_document_is_strict_json_with_every_sample_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    document = fill([PROVIDERS[STOCK], PROVIDERS["liger"], planted.planted("wrong", planted.shifted_row)], path)
    assert document["saved"] == ["fail"] * 3
    found = read_document(path)
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert [row["workload"] for row in found["workloads"]] == [w.name for w in WORKLOADS]
    assert found["title"] == "Time of a lookup, forward, on CPU (x86_64)"
    assert found["floor"]["method"] == "wall"
    assert found["copy"]["sizes"][0]["samples_s"]
    for row in found["workloads"]:
        its = row["providers"][STOCK]
        assert (its["gate"], its["method"], len(its["samples_s"]), its["ratio"]) == ("passed", "wall", 3, 1)
        assert its["peak_bytes"] is None
        assert its["of_copy"] == pytest.approx(its["bytes_per_s"] / found["copy"]["bytes_per_s"])
        assert set(row["providers"]["wrong"]) == {"failed"}
        assert set(row["providers"]["liger"]) == {"unsupported"}
        assert row["operation"] == "forward"
    assert {key[2] for key in timed(found)} == {STOCK}
    assert len(failures(found)) == 3
    assert "wrong: Wrong: the output is not" in failures(found)[0]


def test_file_is_written_after_every_workload_and_whole_at_any_time(tmp_path: Path) -> None:
    path, numbers = tmp_path / "found.json", []

    def watching(weight: Any, indices: Any, max_norm: Any) -> Any:
        numbers.append(len(read_document(path)["workloads"]) if path.exists() else 0)
        return stock(weight, indices, max_norm)

    fill([planted.planted("watching", watching)], path)
    assert sorted(set(numbers)) == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["found.json"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "found.json"
    path.write_text("before")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_document({"workloads": []}, path)
    assert path.read_text() == "before"
    assert len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize("when", ["first", "later"])
def test_interrupt_keeps_what_was_there(tmp_path: Path, when: str) -> None:
    path = tmp_path / "found.json"

    def interrupted(weight: Any, indices: Any, max_norm: Any) -> Any:
        if when == "first" or max_norm is not None:
            raise KeyboardInterrupt
        return stock(weight, indices, max_norm)

    document = fill([PROVIDERS[STOCK], planted.planted("interrupted", interrupted)], path)
    assert document["interrupted"]
    wanted = [] if when == "first" else [TINY.name]
    assert [row["workload"] for row in document["workloads"]] == wanted
    if wanted:
        assert [row["workload"] for row in read_document(path)["workloads"]] == wanted


def test_budget_ends_rounds_and_then_workloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []

    def measured(
        workload: Workload, providers: Any, timer: Any, rounds: int, seconds: float, *_: Any
    ) -> dict[str, Any]:
        shares.append(seconds)
        return {"providers": {}}

    monkeypatch.setattr(runner, "measure", measured)
    # read once at the start, and before each workload: at 10, 20 and 30
    document = fill([PROVIDERS[STOCK]], tmp_path / "a.json", budget=25, clock=planted.ticking(10))
    assert shares == [(25 - 10) / 3, (25 - 20) / 2]
    assert document["workloads"][2]["skipped"] == "the budget of 25 s was spent"
    assert document["saved"] == ["pass", "pass", "skip"]


def test_a_workload_that_cannot_be_made_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = measure.make_inputs

    def failing(workload: Workload, device: torch.device) -> Any:
        if workload.over == "all":
            raise RuntimeError("no such table")
        if workload.max_norm is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(workload, device)

    monkeypatch.setattr(measure, "make_inputs", failing)
    document = fill([PROVIDERS[STOCK]], tmp_path / "a.json")
    reasons = [row.get("skipped") for row in document["workloads"]]
    assert reasons == [None, "OutOfMemoryError: CUDA out of memory", "RuntimeError: no such table"]


def test_scaled_workloads_keep_their_names_and_the_title_tells(tmp_path: Path) -> None:
    document = fill([PROVIDERS[STOCK]], tmp_path / "a.json", scale=5.0)
    assert document["title"].endswith("on CPU (x86_64), sizes divided by 5")
    assert document["workloads"][0]["workload"] == TINY.name
    assert (document["workloads"][0]["V"], document["workloads"][0]["N"]) == (10, 4)


def test_sigterm_is_an_interrupt_while_timing_only() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminable():
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == before


def test_default_budget_of_quick_leaves_a_minute_of_five_for_the_last_workload() -> None:
    assert SHARE * len(SUITES["quick"]) <= 4 * 60
