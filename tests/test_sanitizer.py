"""What a compute-sanitizer's log says of the kernels; and one that is none, which a GPU's place is taken by."""

import os
import stat
from pathlib import Path

import pytest
import sanitizer

HEAD, CLEAN = "========= COMPUTE-SANITIZER\n", "========= ERROR SUMMARY: 0 errors\n"
OURS = """\
========= Invalid __global__ read of size 16 bytes
=========     at gather_rows_kernel+0xec0 in gather.py:61
=========     by thread (18,0,0) in block (0,0,0)
=========     Access to 0x74505bcccca0 is out of bounds
"""
RACE = """\
========= Error: Race reported between Write access at sum_chunks_kernel+0x120 in chunks.py:80
=========     and Read access at sum_chunks_kernel+0x1b0 in chunks.py:81 [32 hazards]
"""
OTHERS = """\
========= Uninitialized __global__ memory read of size 1 bytes
=========     at void at::native::radix<(int)256>(unsigned int const *)+0x150
=========     by thread (1,0,0) in block (0,0,0)
========= Uninitialized __global__ memory read of size 1 bytes
=========     at 0x150 in void cub::DeviceRadixSort<int=256>(int*)
"""
NAMELESS = """\
========= Host API memory access error at host access to 0x7fcdcc01200 of size 400 bytes
=========     Uninitialized access at 0x7fcdcc01300 on access by cudaMemcpy source
"""


def test_ours_are_found_in_the_sources() -> None:
    names = sanitizer.names_of_ours()
    assert {"gather_rows_kernel", "renorm_rows_kernel", "finish_kernel", "rank_lookups_kernel"} <= {*names}
    assert len(names) == len({*names}) == 11


@pytest.mark.parametrize(
    ("log", "by"),
    [
        ("", []),
        (OURS, ["gather_rows_kernel"]),
        (RACE, ["sum_chunks_kernel"]),
        (OTHERS, ["another", "another"]),
        (NAMELESS, [""]),
        (OTHERS + OURS + NAMELESS, ["another", "another", "gather_rows_kernel", ""]),
    ],
)
def test_reports_are_told_apart(log: str, by: list[str]) -> None:
    found = sanitizer.reports(HEAD + log + CLEAN)
    assert [sanitizer.blamed(report) for report in found] == by
    faults = sanitizer.verdict("memcheck", HEAD + log + CLEAN, 0)
    assert len(faults) == len([name for name in by if name != "another"])


def test_reports_that_were_not_printed_are_a_failure() -> None:
    log = HEAD + OTHERS + "========= ERROR SUMMARY: 5000 errors\n"
    log += "========= ERROR SUMMARY: 4000 errors were not printed. Use --print-limit option to adjust the number\n"
    assert sanitizer.verdict("initcheck", log, 0) == ["initcheck: 4000 reports were not printed: whose, nobody knows"]


def test_a_report_keeps_all_its_lines() -> None:
    (report,) = sanitizer.reports(HEAD + OURS + CLEAN)
    assert report.count("\n") == 3
    assert report.endswith("is out of bounds")


@pytest.mark.parametrize("log", ["", HEAD, HEAD + "========= Device not supported\n"])
def test_a_run_that_was_none_is_a_failure(log: str) -> None:
    assert sanitizer.verdict("racecheck", log, 0) == ["racecheck: no summary: it did not run to its end"]


def test_a_tour_that_fails_is_a_failure() -> None:
    assert sanitizer.verdict("racecheck", HEAD + CLEAN, 1) == ["racecheck: the tour ended with status 1"]


@pytest.mark.parametrize(("log", "wanted"), [(OTHERS, 0), (OURS, 1)])
def test_every_tool_is_run(
    log: str, wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "compute-sanitizer"
    # finds the name after --log-file
    program.write_text(
        f"#!/bin/sh\nwhile [ $1 != --log-file ]; do shift; done\ncat > $2 <<'END'\n{HEAD}{log}{CLEAN}END\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    tour = tmp_path / "tour.py"
    tour.write_text("")
    monkeypatch.setattr(sanitizer, "TOUR", tour)
    assert sanitizer.main(tmp_path) == wanted
    printed = capfd.readouterr().out
    for tool in sanitizer.TOOLS:
        assert f"{tool}: {wanted} of ours, {2 if log == OTHERS else 0} of kernels that are not" in printed
        assert (tmp_path / f"sanitizer_{tool}.txt").read_text().startswith(HEAD)
    tour.write_text("raise SystemExit(3)")
    assert sanitizer.main(tmp_path) == 1
    assert "the tour fails by itself" in capfd.readouterr().out
