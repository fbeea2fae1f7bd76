"""The kernels as they are built for each target, without a GPU: they compile, nothing spills, accesses are wide."""

import functools
import json
import os
import subprocess
import sys

import pytest

from tembed.bench.static import TARGETS

COPIES = ("gather", "renorm p=2.0", "write back", "sum scale=False", "merge scale=False")


@functools.cache
def reports(target: str, *arguments: str) -> list[dict[str, object]]:
    """In a process of its own: this one may interpret."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tembed.bench.static", target, *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()[1:]]


def check(found: list[dict[str, object]]) -> None:
    assert len(found) >= 10
    for kernel in found:
        assert kernel["spills"] == 0, kernel
        assert kernel["atomics"] == 0, kernel
        if kernel["kernel"] != "renorm p=any":  # which goes by way of exp2 and log2
            assert kernel.get("approximations", 0) == 0, kernel
        if kernel["kernel"] in COPIES:
            # the table's rows, 16 bytes at a time; whatever is narrower is an index, a key or a flag
            assert kernel["loads"].get("128", 0) > 0, kernel  # type: ignore[attr-defined]
            assert not {"8", "16"} & kernel["loads"].keys() - ({"8"} if kernel["kernel"] == "write back" else set()), (
                kernel
            )  # type: ignore[attr-defined, operator]
            assert kernel["stores"].get("128", 0) > 0, kernel  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_build_without_spills_or_atomics_and_with_wide_accesses(target: str) -> None:
    check(reports(target, "--dtypes", "bf16", "--lengths", "768"))


@pytest.mark.parametrize("target", ["cuda:90"])
def test_kernels_access_short_rows_16_bytes_at_a_time(target: str) -> None:
    check(reports(target, "--dtypes", "bf16", "--lengths", "24"))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_kernels_build_for_every_dtype_and_length(target: str) -> None:
    check(reports(target))
