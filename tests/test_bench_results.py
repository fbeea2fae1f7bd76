"""What the README says of speed and size is what the committed results say."""

import json
import re
from pathlib import Path
from typing import Any

from tembed.bench.gradient_moved import GRADIENTS, LIMIT, SHORT_LIMIT
from tembed.bench.operations import OPERATIONS
from tembed.bench.static import TARGETS
from tembed.bench.static_tables import faults
from tembed.bench.workloads import SUITES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
README = (ROOT / "README.md").read_text()


def read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def ratios(operation: str, to: str) -> list[float]:
    return [row["ratios"][to] for row in read("traffic.json")["rows"] if row["operation"] == operation]


def test_readme_says_what_lookups_move() -> None:
    gathers = ratios("gather", "to_floor")
    assert f"{len(gathers)} workloads on a smaller scale | {min(gathers):.3f} to {max(gathers):.3f} |" in README
    none, every = (ratios(f"max_norm, {over} over", "to_compared") for over in ("none", "all"))
    assert f"no row over, all rows over | {max(none):.3f}, {max(every):.3f} |" in README


def test_traffic_is_of_every_workload_and_within_the_gates() -> None:
    document = read("traffic.json")
    rows = document["rows"]
    names = {name for row in rows for name in row["workloads"]}
    assert names == {workload.name for suite, its in SUITES.items() if suite != "quick" for workload in its}
    assert document["broken"] == []
    assert [row for row in rows if row["total"] > OPERATIONS[row["operation"]].limit * row["compared"]] == []


def test_compiled_kernels_are_of_every_target_and_without_faults() -> None:
    found = [json.loads(line) for line in (RESULTS / "static.jsonl").read_text().splitlines()[1:]]
    assert {kernel["target"] for kernel in found} == {*TARGETS}
    assert [fault for kernel in found for fault in faults(kernel)] == []


def test_readme_says_what_calls_take() -> None:
    for file, pattern in (
        ("cpu_call_time.json", r"function; module \| ([\d.]+); ([\d.]+) × stock's \|"),
        (
            "stubbed_call_time.json",
            r"launch itself left out; what reports of bad indices add to it \| ([\d.]+); ([\d.]+) × .* CPU; ([\d.]+) ×",
        ),
    ):
        said = re.search(pattern, README)
        assert said
        results = read(file)["results"]
        for claimed, form in zip(said.groups(), ("function", "module", "reports"), strict=False):
            measured = [result["ratio"] for name, result in results.items() if name.startswith(form)]
            digits = len(claimed.partition(".")[2])
            assert float(claimed) == round(max(measured), digits), (file, form, measured)


def test_gradients_of_every_workload_are_within_the_gates() -> None:
    rows = read("traffic.json")["gradients"]
    names = {name for row in rows for name in row["workloads"]}
    assert names == {workload.name for suite, its in SUITES.items() if suite != "quick" for workload in its}
    assert {row["operation"] for row in rows} == {*GRADIENTS}
    assert [row for row in rows if not row["floor"] <= row["rows"] <= row["limit"] * row["floor"]] == []
    assert [row for row in rows if row["beyond"] > row["beyond_allowed"]] == []


def test_readme_says_what_gradients_move_and_take() -> None:
    rows = read("traffic.json")["gradients"]
    worst = [max(row["to_floor"] for row in rows if row["limit"] <= limit) for limit in (SHORT_LIMIT, LIMIT)]
    assert f"short runs; any, at worst | {worst[0]:.3f}; {worst[1]:.3f} |" in README
    assert f"at worst | {max(row['beyond'] / row['beyond_allowed'] for row in rows):.3f} |" in README
