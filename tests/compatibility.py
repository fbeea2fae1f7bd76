"""The suite by the versions it runs under: `python tests/compatibility.py run` adds this Python's, `show` the table.

`run` takes the installed torch, Triton and Python as they are, runs the suite in every lane that they have, and keeps
what came of it in tests/compatibility.json. Cells are of what was run; nothing is claimed of what was not.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from tembed import kernels
from tembed.bench.environment import commit

HERE = Path(__file__).parent
RESULTS = HERE / "compatibility.json"
OWN = "tests/test_guide.py::test_the_guide_says_what_was_tried"  # of what this records
BUILDS = "tests/test_kernels_compile.py"  # the kernels for other devices
ROWS = ("2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "2.13")  # of torch, from the oldest that could be asked for
LANES = {"reference": "0", "interpreter": "1"}
HEAD = ("torch", "Triton", "Python", "CPU: reference", "CPU: kernels interpreted", "CUDA", "ROCm", "XPU")


def version(torch_version: str) -> str:
    """2.13 of 2.13.0+cpu."""
    return ".".join(torch_version.split(".")[:2])


def lane(interpret: str, device: str, words: list[str]) -> dict[str, Any]:
    """Runs the suite, and counts. Tests of the kernels themselves are for lanes that run them."""
    if not (torch.cuda.is_available() or int(interpret)):
        words = [word for word in words if "/test_kernels_" not in word]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={path}", f"--deselect={OWN}", *words]
        subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": interpret}, cwd=HERE.parent, check=False)
        suite = ElementTree.parse(path).getroot()[0].attrib
    total, failed, skipped = (int(suite[name]) for name in ("tests", "failures", "skipped"))
    failed += int(suite["errors"])
    return {"device": device, "passed": total - failed - skipped, "failed": failed, "skipped": skipped, "words": words}


def run(words: list[str]) -> int:
    """Runs all lanes; what is given goes on to pytest. 1 if a test failed."""
    gpu = torch.cuda.is_available()
    lanes = {"ROCm" if torch.version.hip else "CUDA": "0"} if gpu else {}
    lanes |= {"reference": "0"} if gpu else LANES
    device = torch.cuda.get_device_name() if gpu else platform.machine()
    row: dict[str, Any] = {"torch": torch.__version__, "triton": kernels.version(), "python": platform.python_version(),
                           "commit": commit(), "lanes": {}}  # fmt: skip
    others = [other for other in rows() if any(other[name] != row[name] for name in ("torch", "triton", "python"))]
    for name, interpret in lanes.items():
        row["lanes"][name] = lane(interpret, device, words)
        RESULTS.write_text(json.dumps([*others, row], indent=1) + "\n")
    return int(any(its["failed"] for its in row["lanes"].values()))


def rows() -> list[dict[str, Any]]:
    """What was run so far."""
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return found


def cell(row: dict[str, Any], name: str, target: str = "") -> str:
    """What is known of a lane: tested, built for it only, or neither."""
    its = row["lanes"].get(name)
    if its:
        some = " of those chosen" if files(row, name) else ""
        return f"{its['passed']:,} passed{some}" + (f", {its['failed']} failed" if its["failed"] else "")
    chosen = files(row, "interpreter") if "interpreter" in row["lanes"] else ["none"]
    return "built only" if target and (not chosen or BUILDS in chosen) else "untested"


def files(row: dict[str, Any], name: str) -> list[str]:
    """Those that a lane was told to run; none if it ran all."""
    return [word for word in row["lanes"][name]["words"] if word.startswith("tests/")]


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    versions = row["torch"].split("+")[0], row["triton"].split()[-1], row["python"]
    cpu = cell(row, "reference"), cell(row, "interpreter")
    return *versions, *cpu, cell(row, "CUDA", "cuda"), cell(row, "ROCm", "hip"), cell(row, "XPU")


def table() -> str:
    """All rows in Markdown, the newest torch first."""
    lines: list[tuple[str, ...]] = [HEAD, ("---",) * len(HEAD)]
    for wanted in reversed(ROWS):
        ran = [line(row) for row in rows() if version(row["torch"]) == wanted]
        no = "needs torch 2.8" if wanted == ROWS[0] else "untested"
        lines += ran or [(wanted, "", "", *(no,) * 5)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        sys.exit(run(sys.argv[2:]))
    print(table())
