"""The ways to sort lookups are timed only if they are right."""

import json
from functools import partial
from pathlib import Path

import planted_lookups as planted
import pytest
import torch
from conftest import DEVICE
from torch import Tensor

import tembed
from tembed import kernels
from tembed.bench import cli, sort_time
from tembed.bench.gate import Wrong


def test_every_way_has_samples_and_a_ratio_to_the_first() -> None:
    found = sort_time.measure(planted.quick_timer(), 70, 100, rounds=2)
    assert set(found["ways"]) == {f"torch.sort, {way}" for way in ("int8", "int16", "int32", "int64", "packed")}
    assert found["ways"][sort_time.BASE]["ratio"] == 1
    assert {len(its["samples_s"]) for its in found["ways"].values()} == {2}
    assert "torch.sort, int8" not in sort_time.measure(planted.quick_timer(), 70, 128, rounds=2)["ways"]


@pytest.mark.skipif(not kernels.drives(DEVICE), reason="needs kernels")
def test_kernels_are_among_the_ways_where_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tembed, "path", lambda device: "kernels")
    indices = torch.randint(0, 30, (100,), device=DEVICE)
    found = dict(sort_time.ways(indices, 30))
    expected = indices.sort(stable=True).indices
    assert {"kernels, few", "kernels, many"} < set(found)
    assert [name for name, way in found.items() if not torch.equal(way().long(), expected)] == []
    many = torch.zeros(5000, dtype=torch.int64, device=DEVICE)
    assert "kernels, few" not in dict(sort_time.ways(many, 30))


def test_an_unstable_way_gets_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def unstable(keys: Tensor) -> Tensor:
        return len(keys) - 1 - torch.sort(keys.flip(0), stable=True).indices

    ways = sort_time.ways
    monkeypatch.setattr(sort_time, "ways", lambda x, V: [*ways(x, V), ("wrong", partial(unstable, x))])
    with pytest.raises(Wrong, match="wrong, N=70, V=9: the order is not the stable one"):
        sort_time.measure(planted.quick_timer(), 70, 9, rounds=2)


def test_command_prints_a_table_and_writes_every_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tembed, "path", lambda device: "reference")
    monkeypatch.setattr(sort_time, "NUMBERS", (64,))
    monkeypatch.setattr(sort_time, "timer_on", lambda device: planted.quick_timer())
    path = tmp_path / "sort.json"
    assert cli.main(["sort", "--device", "cpu", "--json", str(path)]) == 0
    assert "| 64  | 50,257 | torch.sort, packed |" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert [its["V"] for its in found["results"]] == [*sort_time.ROWS]
    assert all(len(way["samples_s"]) == sort_time.ROUNDS for its in found["results"] for way in its["ways"].values())
    assert "commit" in found["environment"]
