"""The command that tries variations of the table of tiles: what it times, writes, prints and refuses."""

from pathlib import Path

import planted_lookups as planted
import pytest
import torch
from planted_variations import FULL, VARIATIONS

from tembed import kernels
from tembed.bench import candidates, cli, compare, plot, tune, tuned
from tembed.bench.candidates import BASE, CONTROL, provider_of
from tembed.bench.documents import failures, read_document
from tembed.bench.variations import AREAS, DENSE, FORWARD
from tembed.bench.workloads import Workload

pytestmark = pytest.mark.usefixtures("no_warm_up")


def test_a_variation_takes_part_where_it_launches_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates.tembed, "path", lambda device: "kernels")
    its = {v.name: provider_of(v) for v in VARIATIONS}
    device, gpt2 = torch.device("cpu"), next(w for w in FULL if "gpt2" in w.name)

    def unable(name: str, workload: Workload, backward: bool, sparse: bool = False) -> bool:
        return bool(its[name].unable(workload, device, backward, sparse))

    assert not unable("FEW=0", gpt2, True)
    assert not unable("FEW=0", gpt2, True, sparse=True)
    assert unable("FEW=0", gpt2, False)
    assert unable("FEW=1024", gpt2, True)
    assert unable("rank.BLOCK=1024", gpt2, True, sparse=True)
    assert not unable("rank.BLOCK=1024", gpt2, True)
    assert unable("ACCESSES[gather]=4", gpt2, True)
    kg = next(w for w in FULL if w.suite == "kg")
    assert unable("ACCESSES[gather]=4", kg, False)
    assert not unable("ACCESSES[renorm]=4", kg, False)


def test_areas_have_the_workloads_and_operations_that_they_concern() -> None:
    its = {area.name: area for area in candidates.areas([], FULL)}
    assert tuple(its) == AREAS
    assert {w.suite for w in its["renorm"].workloads} == {"kg"}
    assert "kg" not in {w.suite for area in AREAS if area not in ("renorm", "warps") for w in its[area].workloads}
    assert [operation.name for operation in its["fill"].operations] == [DENSE]
    assert [p.name for p in its["walk"].providers][:2] == [BASE.name, CONTROL]
    assert candidates.areas(["renorm"], [w for w in FULL if w.suite == "llm"]) == []


def test_better_is_what_both_quartiles_say_and_the_control() -> None:
    found = {CONTROL: (1.0, 0.98, 1.2), "near": (0.8, 0.7, 1.0), "good": (0.95, 0.9, 0.99), "best": (0.9, 0.8, 0.99)}
    about = {"area": "a", "workload": "w", "operation": FORWARD}
    rows = [{**about, "variation": name, "ratio": x, "ratio_quartiles": its} for name, (x, *its) in found.items()]
    assert [row["variation"] for row in tuned.better(rows)] == ["best"]
    assert tuned.better(rows[:2]) == []
    rows[0]["ratio_quartiles"] = (0.89, 1.2)
    assert tuned.better(rows) == []


SMALL_RUN = (
    "tune",
    "--device",
    "cpu",
    "--scale",
    "4096",
    "--rounds",
    "2",
    "--workload",
    "*1024x768*",
    "--area",
    "gather",
)


@pytest.mark.skipif(kernels.interpreted(), reason="the interpreter tells nothing of time: the other lane does")
def test_command_writes_a_document_that_others_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tune, "timer_on", lambda device: planted.quick_timer())
    path = tmp_path / "tune.json"
    assert cli.main([*SMALL_RUN, "--area", "walk", "--json", str(path)]) == 0
    out, document = capfd.readouterr().out, read_document(path)
    assert out.splitlines()[0].endswith(tune.REHEARSAL)
    assert failures(document) == []
    assert [row["area"] for row in document["workloads"]] == ["gather", "walk", "walk"]
    for row in document["workloads"]:
        assert {len(its["samples_s"]) for its in row["providers"].values() if "samples_s" in its} == {2}
        assert all(its["of_copy"] for its in row["providers"].values() if "samples_s" in its)
    assert set(document["workloads"][1]["providers"]) == {
        BASE.name,
        CONTROL,
        *(f"WALKED={n}" for n in (32, 64, 256, 512)),
    }
    assert "\n| ACCESSES[gather]=4 " in out
    assert "WALKED=64" in compare.report(document, document)
    assert len(plot.draw(document, tmp_path, "tune")) == 6


@pytest.mark.skipif(kernels.interpreted(), reason="the interpreter tells nothing of time: the other lane does")
def test_spent_budget_skips_and_says_so(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tune, "timer_on", lambda device: planted.quick_timer())
    assert cli.main([*SMALL_RUN, "--budget", "0"]) == 0
    assert "  gather: the budget of 0 s was spent (1)" in capfd.readouterr().out


WRONG = {
    ("--area", "nothing"): "no area is called nothing",
    ("--workload", "nothing"): "no workload is called that in quick: nothing",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_is_named(words: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", "--device", "cpu", *words]) == 2
    assert WRONG[words] in capfd.readouterr().err


@pytest.mark.skipif(not kernels.interpreted(), reason="this lane does not interpret")
def test_interpreter_is_not_timed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SMALL_RUN]) == 2
    assert "Triton's interpreter tells nothing of time" in capfd.readouterr().err
