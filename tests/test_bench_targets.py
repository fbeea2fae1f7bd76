"""What runs say of the targets: every answer here was computed by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from planted_targets import (
    ABOUT,
    ADAGRAD,
    ADAM,
    ALL,
    BACKWARD,
    BACKWARD_COPY,
    BACKWARD_MEAN,
    COMPILED,
    COMPILED_ALL,
    FEW_ROWS,
    FORWARD,
    FORWARD_COPY,
    FORWARD_MEAN,
    FUNCTION,
    GPT2,
    HOT,
    LONG,
    NARROW,
    NONE,
    OVER_ALL,
    OVER_NONE,
    REPORTS,
    REPORTS_CALL,
    SGD,
    TEXT,
    TYPES,
    row,
    run,
)

from tembed.bench.targets import judged, report
from tembed.bench.targets_table import TARGETS

UNKNOWN = ["not measured", "", "", ""]


def lines(*documents: dict[str, Any]) -> dict[str, Sequence[str]]:
    """What the table says of each target but its name: of documents in files a, b, ..."""
    files = dict(zip("abc", documents, strict=False))
    return {line[0]: [line[1], *line[3:]] for line in (judged(target, files) for target in TARGETS)}


def test_forward_is_judged_by_its_worst_and_its_mean() -> None:
    found = lines(
        run(
            row(GPT2, stock=[2, 2, 4], tembed=[1, 1, 1.2], liger=1),
            row(TEXT, stock=10, tembed=11.1, of_copy=0.2),
            row(LONG, stock=10, tembed=8, of_copy=0.925),
            row(NONE, stock=4, tembed=1, tembed_unreported=0.8),
            row(ALL, stock=10, tembed=3, tembed_unreported=3),
        )
    )
    assert found[FORWARD] == ["missed by 0.060", "1.110", "2 of 3 met", f"{TEXT} (a)"]
    # (0.5 x 1.11 x 0.8) ^ (1/3)
    assert found[FORWARD_MEAN] == ["met", "0.763", "3", f"{TEXT} (a)"]
    assert found[FORWARD_COPY] == ["met", "92.5%", "1 of 1 met", f"{LONG} (a)"]
    assert found[OVER_NONE] == ["met", "0.250", "1 of 1 met", f"{NONE} (a)"]
    assert found[OVER_ALL] == ["missed by 0.050", "0.300", "0 of 1 met", f"{ALL} (a)"]
    assert found[REPORTS] == ["missed by 0.240", "1.250", "1 of 2 met", f"{NONE} (a)"]
    assert found["forward: time / liger's"] == ["met", "1.000", "1 of 1 met", f"{GPT2} (a)"]
    for name in (COMPILED, COMPILED_ALL, BACKWARD, BACKWARD_MEAN, FUNCTION, SGD, REPORTS_CALL):
        assert found[name] == UNKNOWN


def test_launch_that_looks_at_indices_is_taken_off_a_compiled_lookup() -> None:
    # 2 us, and 64 x 16 bytes at 2e12 a second: 0.000512 us
    found = lines(run(row(GPT2, stock_compiled=4, tembed_compiled=6.000512)))
    assert found[COMPILED] == ["met", "1.000", "1 of 1 met", f"{GPT2} (a)"]
    assert found[COMPILED_ALL] == ["missed by 0.500", "1.500", "0 of 1 met", f"{GPT2} (a)"]
    without_copies = run(row(GPT2, stock_compiled=4, tembed_compiled=6.4), copy={"bytes_per_s": None})
    assert lines(without_copies)[COMPILED][:2] == ["missed by 0.100", "1.100"]


def test_backward_and_steps_are_judged() -> None:
    found = lines(
        run(
            row(HOT, "backward", 0.7, stock=100, tembed=50, stock_deterministic=1000, stock_compiled=200),
            row(TYPES, "backward", 0.1, stock=10, tembed=12, stock_deterministic=60, stock_compiled=30),
            row(GPT2, "backward", 0.1, stock=10, tembed=10, stock_deterministic=10, stock_compiled=10),
            row(GPT2, "step:SGD", stock=10, tembed=5),
            row(GPT2, "step:SparseAdam", stock=10, tembed=5.01),
        )
    )
    assert found[BACKWARD] == ["missed by 0.200", "1.200", "2 of 3 met", f"{TYPES} (a)"]
    # (0.5 x 1.2 x 1) ^ (1/3)
    assert found[BACKWARD_MEAN] == ["missed by 0.343", "0.843", "3", f"{TYPES} (a)"]
    assert found[FEW_ROWS] == ["missed by 0.100", "0.200", "1 of 2 met", f"{TYPES} (a)"]
    assert found[BACKWARD_COPY] == ["missed by 5.0%", "70.0%", "0 of 1 met", f"{HOT} (a)"]
    assert found[NARROW] == ["missed by 0.070", "0.400", "1 of 2 met", f"{TYPES} (a)"]
    assert found[SGD] == ["met", "0.500", "1 of 1 met", f"{GPT2} (a)"]
    assert found[ADAM] == ["missed by 0.001", "0.501", "0 of 1 met", f"{GPT2} (a)"]
    assert found[ADAGRAD] == found[FORWARD] == UNKNOWN


def test_two_methods_make_no_ratio() -> None:
    mixed = row(GPT2, stock=10, tembed=20)
    mixed["providers"]["stock"]["method"] = "events"
    assert lines(run(mixed))[FORWARD] == ["not measured", "", "1 left out", ""]
    assert lines(run(mixed, row(TEXT, stock=10, tembed=10)))[FORWARD] == [
        "met", "1.000", "1 of 1 met, 1 left out", f"{TEXT} (a)",
    ]  # fmt: skip


def test_what_failed_has_no_numbers_and_is_named() -> None:
    failed, unsupported = row(GPT2, stock=10), row(TEXT, stock=10)
    failed["providers"]["tembed"] = {"failed": "Wrong: no"}
    unsupported["providers"]["tembed"] = {"unsupported": "cannot"}
    document = run(
        failed, unsupported, row(LONG, tembed=5), {"workload": HOT, "operation": "forward", "skipped": "late"}
    )
    assert lines(document)[FORWARD] == UNKNOWN
    text = report({"a.json": document})
    assert "1 of 4 skipped, 1 failed" in text
    assert text.endswith(f"Failed, so there are no numbers:\n\n- a.json: {GPT2}: tembed: Wrong: no\n")


def test_of_several_files_the_worst_decides_and_a_workload_counts_once() -> None:
    both = run(row(GPT2, stock=10, tembed=20), row(TEXT, stock=8, tembed=4))
    found = lines(run(row(GPT2, stock=10, tembed=5)), both)
    assert found[FORWARD] == ["missed by 0.950", "2.000", "1 of 2 met", f"{GPT2} (b)"]
    # of 2 and 0.5
    assert found[FORWARD_MEAN] == ["missed by 0.100", "1.000", "2", f"{GPT2} (b)"]
    # times of two runs make no ratio
    assert lines(run(row(GPT2, stock=10)), run(row(GPT2, tembed=5)))[FORWARD] == UNKNOWN


def test_files_that_differ_in_commit_or_device_are_said_to() -> None:
    other = {**ABOUT, "commit": "def-dirty", "device": "Other GPU"}
    text = report({"a.json": run(), "b.json": run(about=other)})
    assert "\n- device differs: Great GPU and Other GPU\n- commit differs: abc and def-dirty\n" in text
    assert "| b.json | Other GPU | 1      | 2     | triton 3 | def-dirty |" in text
    assert "differs" not in report({"a.json": run(), "b.json": run()})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"scale": 16.0}, "sizes divided by 16"),
        ({"device": "cpu", "interrupted": True}, "on a CPU, interrupted"),
    ],
)
def test_rehearsal_is_headed_as_one(more: dict[str, Any], says: str) -> None:
    rehearsed = report({"a.json": run(row(GPT2, stock=10, tembed=20), **more), "b.json": run()})
    assert rehearsed.startswith("# A rehearsal: these numbers mean nothing\n")
    assert f"| {says} |" in rehearsed
    assert "missed by 0.950" in rehearsed
