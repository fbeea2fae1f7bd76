"""The kernels under NVIDIA's compute-sanitizer: `python sanitizer.py FOLDER`, where its logs go.

Each tool watches a tour of all kernels, on a GPU. What it reports of one of ours, or of no kernel by name, is a
failure; what it reports of others', of torch's sort say, is counted and told.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

TOOLS = ("memcheck", "racecheck", "initcheck")
# Calls of the driver that torch expects to fail are no reports of kernels.
OPTIONS = ("--report-api-errors", "no", "--print-limit", "100000", "--show-backtrace", "no")
TOUR = Path(__file__).with_name("tour.py")
KERNELS = Path(__file__).parent.parent / "kernels"
# Allocations of their own, or an access past one is one of its neighbour in the same block of memory; for memcheck with
# a gap behind each.
ALONE = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
MARK = "========= "
UNPRINTED = re.compile(r"(\d+) \w+ were not printed")
SUMMARY = re.compile(r"(ERROR|RACECHECK|LEAK) SUMMARY: ")
NO_REPORTS = re.compile(r"COMPUTE-SANITIZER|Target application|This tool")


@cache
def names_of_ours() -> tuple[str, ...]:
    """Every kernel that the sources launch."""
    sources = "".join(path.read_text() for path in KERNELS.glob("*.py"))
    return tuple(re.findall(r"^def (\w+_kernel)\(", sources, re.MULTILINE))


def reports(log: str) -> list[str]:
    """What a tool reported, a text of several lines each."""
    found: list[str] = []
    for line in log.splitlines():
        text = line.removeprefix(MARK)
        if text == line or SUMMARY.match(text) or NO_REPORTS.match(text):
            continue
        if text[:1].isspace():
            found[-1:] = [f"{found[-1]}\n{text}"] if found else []
        elif text:
            found.append(text)
    return found


def blamed(report: str) -> str:
    """The kernel that a report is of: ours by its name, "another" of somebody else's, "" where none is named."""
    for name in names_of_ours():
        if re.search(rf"\b{name}\b", report):
            return name
    return "another" if re.search(r"\bat \S.*\+0x|\bat 0x\w+ in ", report) else ""


def verdict(tool: str, log: str, status: int) -> list[str]:
    """Why the run was not clean, a line each; none if it was."""
    if not SUMMARY.search(log):
        return [f"{tool}: no summary: it did not run to its end"]
    bad = [report for report in reports(log) if blamed(report) != "another"]
    faults = [f"{tool}: {report}" for report in bad]
    faults += [f"{tool}: {number} reports were not printed: whose, nobody knows" for number in UNPRINTED.findall(log)]
    return faults or ([f"{tool}: the tour ended with status {status}"] if status else [])


def main(folder: Path) -> int:
    """Runs the tour alone, which compiles the kernels, then under every tool; 1 if anything was reported of ours."""
    command = [sys.executable, str(TOUR)]
    if subprocess.run(command, check=False).returncode:
        print("the tour fails by itself")
        return 1
    failed = False
    for tool in TOOLS:
        path = folder / f"sanitizer_{tool}.txt"
        gaps = ["--padding", "4096"] if tool == "memcheck" else []
        watched = ["compute-sanitizer", "--tool", tool, *OPTIONS, *gaps, "--log-file", str(path), *command]
        watching = subprocess.Popen(
            watched, env={**os.environ, **ALONE}, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            status = watching.wait()
        finally:  # of an interrupt too: what is watched outlives the tool
            with suppress(ProcessLookupError):
                os.killpg(watching.pid, signal.SIGKILL)
        log = path.read_text() if path.exists() else ""
        faults = verdict(tool, log, status)
        others = sum(blamed(report) == "another" for report in reports(log))
        print(f"{tool}: {len(faults)} of ours, {others} of kernels that are not", *faults, sep="\n", flush=True)
        failed |= bool(faults)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
