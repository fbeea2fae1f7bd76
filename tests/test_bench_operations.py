"""Every operation from end to end on the CPU, by every provider, and what is printed and drawn of several."""

from pathlib import Path
from typing import Any

import pytest
from planted_lookups import RENORM, TINY
from planted_runs import ran

from tembed import kernels
from tembed.bench import cli, plot
from tembed.bench.compare import report
from tembed.bench.documents import by_operation, failures, timed
from tembed.bench.printing import outcome
from tembed.bench.providers import STOCK
from tembed.bench.timed import NAMES, OPERATIONS, chosen

SPARSE = [name for name, its in OPERATIONS.items() if its.sparse]


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    if kernels.interpreted():
        pytest.skip("the interpreter tells nothing of time: the other lane does")
    return ran(["all"])


def test_names_stand_for_operations() -> None:
    assert [its.name for its in chosen([])] == ["forward"]
    assert [its.name for its in chosen(["all"])] == [*OPERATIONS]
    assert [its.name for its in chosen(["step", "backward", "step:SGD"])] == [
        "backward", "step:SGD", "step:SparseAdam", "step:Adagrad",
    ]  # fmt: skip
    assert {*NAMES} == {*OPERATIONS, "step", "all"}


def test_every_provider_is_timed_at_every_operation_or_says_why_not(everything: dict[str, Any]) -> None:
    assert failures(everything) == []
    assert [*by_operation(everything)] == [*OPERATIONS]
    for row in everything["workloads"]:
        renorm = row["workload"] == RENORM["all"].name
        if renorm and row["operation"] in ("backward", "sparse backward"):
            assert row["skipped"] == "max_norm has no part in a backward: the same as without"
            continue
        missing = {"liger"}
        missing.add("stock deterministic" if row["operation"] == "forward" else "tembed unreported")
        if renorm and row["operation"] in SPARSE:
            missing |= {"stock compiled", "tembed compiled"}
        providers = row["providers"]
        assert {name for name, its in providers.items() if "unsupported" in its} == missing
        assert {len(its["samples_s"]) for name, its in providers.items() if name not in missing} == {1}
        assert providers[STOCK]["ratio"] == 1


def test_bytes_are_those_of_the_operation(everything: dict[str, Any]) -> None:
    rows = {row["operation"]: row for row in everything["workloads"] if row["workload"] == TINY.name}
    U, row = rows["forward"]["unique"], 16 * 4
    forward = 20 * 8 + (20 + U) * row
    moved = {name: its["useful_bytes"] for name, its in rows.items()}
    assert moved == {
        "forward": forward,
        "backward": (20 + 50) * row,
        "forward+backward": forward + (20 + 50) * row,
        "sparse backward": (20 + U) * row,
        "step:SGD": forward + (20 + U + 3 * U) * row,
        "step:SparseAdam": forward + (20 + U + 7 * U) * row,
        "step:Adagrad": forward + (20 + U + 5 * U) * row,
    }


def test_tables_means_and_comparisons_are_by_operation(everything: dict[str, Any]) -> None:
    text = outcome(everything)
    parts = {name: text.index(f"\n\n{name}:\n| workload") for name in OPERATIONS if name != "forward"}
    assert [*parts.values()] == sorted(parts.values())
    assert text.count("Geometric means of the ratios") == len(OPERATIONS)
    assert text.count("stock deterministic: as stock: only backwards differ (2)") == 1
    assert text.count("liger: has no sparse gradients") == len(SPARSE)
    assert text.count("GB/s: each row of the output's gradient and of the table's,") == 1
    assert f"{TINY.name}, backward" not in text
    assert f"{RENORM['all'].name}, backward: max_norm has no part" in text
    compared = report(everything, everything)
    assert f"| {TINY.name}, step:Adagrad " in compared
    assert "geometric mean of tembed, sparse backward: 1.000" in compared
    assert "geometric mean of tembed: 1.000" in compared


def test_documents_by_operation_hold_their_rows_alone(everything: dict[str, Any]) -> None:
    for name, its in by_operation(everything).items():
        assert {row["operation"] for row in its["workloads"]} == {name}
        assert its["environment"] is everything["environment"]
    assert {key[1] for key in timed(everything)} == {*OPERATIONS}


def test_pictures_are_named_after_the_operation(
    everything: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(plot, "_picture", lambda document, *_: titles.append(document["title"]))
    its = {**everything, "workloads": [row for row in everything["workloads"] if row["operation"] != "step:SGD"]}
    saved = [path.name for path in plot.draw(its, tmp_path, "a")]
    assert saved[:4] == ["a-copy.png", "a-ratio.png", "a-backward-copy.png", "a-backward-ratio.png"]
    assert len(saved) == len({*saved}) == len(titles) == 2 * (len(OPERATIONS) - 1)
    assert titles[2].endswith(": backward")


def test_unknown_operations_are_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--device", "cpu", "--operation", "sideways"]) == 2
    assert capfd.readouterr().err == f"error: no operation is called sideways; there are {', '.join(NAMES)}\n"
