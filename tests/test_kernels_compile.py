"""The kernels as they are built for each target, without a GPU: they compile, nothing spills, accesses are wide."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tembed.bench.static import TARGETS, THOROUGH
from tembed.bench.static_tables import COPIES, faults


def run(*arguments: str, interpret: str = "0") -> subprocess.CompletedProcess[str]:
    """In a process of its own: this one may interpret."""
    environment = {**os.environ, "TRITON_INTERPRET": interpret}
    command = [sys.executable, "-m", "tembed.bench.static", "--jobs", "1", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def reports(*arguments: str) -> list[dict[str, Any]]:
    done = run(*arguments)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()[1:]]


def check(found: list[dict[str, Any]]) -> None:
    assert len(found) >= 10
    assert [fault for kernel in found for fault in faults(kernel)] == []


# A process each, of which each takes seconds to start.
GROUPS = [[THOROUGH], *([t for t in TARGETS if t.startswith(kind) and t != THOROUGH] for kind in ("cuda", "hip"))]


@pytest.mark.parametrize("targets", GROUPS, ids=" ".join)
def test_kernels_build_without_spills_or_atomics_and_with_wide_accesses(targets: list[str]) -> None:
    without = [] if targets == [THOROUGH] else ["--without-sass"]
    found = reports(*targets, *without, "--dtypes", "bf16", "--lengths", "768")
    for target in targets:
        check([kernel for kernel in found if kernel["target"] == target])


def test_every_target_is_in_one_group() -> None:
    assert sorted(target for group in GROUPS for target in group) == sorted(TARGETS)


def test_rows_are_moved_16_bytes_at_a_time_by_every_tile_without_divisions() -> None:
    dtypes = ["bf16", "fp32"]
    found = reports(THOROUGH, "--without-sass", "--dtypes", *dtypes, "--lengths", "0", "--kernels", *COPIES)
    check(found)
    for name, dtype in product(COPIES, dtypes):
        these = [kernel for kernel in found if (kernel["kernel"], kernel["dtype"]) == (name, dtype)]
        assert len({(kernel["rows"], kernel["columns"], kernel["warps"]) for kernel in these}) >= 5


def test_command_leaves_the_interpreter_and_writes_numbers_and_tables(tmp_path: Path) -> None:
    files = {kind: tmp_path / f"static.{kind}" for kind in ("json", "markdown")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    chosen = ["--dtypes", "fp32", "--lengths", "64", "--kernels", "gather"]
    done = run("cuda:90", "hip:gfx942", *chosen, *options, interpret="1")
    assert done.returncode == 0, done.stdout + done.stderr
    environment, *found = map(json.loads, files["json"].read_text().splitlines())
    assert "static" in environment["environment"]["command"]
    assert [(kernel["target"], kernel["kernel"]) for kernel in found] == [
        ("cuda:90", "gather"),
        ("hip:gfx942", "gather"),
    ]
    assert found[0]["arguments"]["weight_ptr"] == {"load": {"128": found[0]["loads"]["128"]}}
    for text in ("## cuda:90", "indices 64, weight 128", "hip:gfx942", "0 faults"):
        assert text in files["markdown"].read_text()


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_kernels_build_for_every_dtype_and_length(target: str) -> None:
    check(reports(target))
