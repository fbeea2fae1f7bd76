"""The table of bad inputs: every row done for tembed, on the reference and on the kernels, in Markdown and JSON."""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from tembed.bench.environment import environment
from tembed.ops import path

from . import peers
from .bad_inputs import TABLES, Finding, examine
from .cases import all_cases
from .compare import describe
from .documents import plain, strict
from .setting import setting
from .subject import Mismatch

Data = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
COMMAND = "python -m tembed.parity bad-inputs --write"
GPU = "needs a GPU"
LONGEST = 220
COLUMNS = ("| row | stock | tembed | unchanged |", "| --- | --- | --- | --- |")
HEAD = """\
# Bad inputs

{count} things that a caller can get wrong, {held} of them done here: the message is tembed's own, stock's was raised in
the same run, and the row holds only if it is what `parity/groups` says. *Unchanged*: every byte of every tensor, module
and optimizer that the caller holds, with gradients, strides and version counters, was recorded before the call and
compared after it. Where stock takes the input, results and all that the caller holds are equal to stock's, numbers to
four roundings.

Done on: {paths}; where the words of the two differ, both stand. {skipped} rows need a GPU. torch {torch}; by
`{command}`.
"""


def names() -> list[str]:
    """Every row: kind/name."""
    all_cases()
    return [f"{table.name}/{row}" for table in TABLES.values() for row in table.rows]


def done() -> list[Data]:
    """Every row in this process, on what the CPU runs here."""
    all_cases()
    subject, found = peers.find("tembed"), []
    with setting(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for table in TABLES.values():
            for row in table.rows.values():
                held, finding = True, Finding(GPU, GPU, GPU)
                if table.needs != "cuda":
                    try:
                        finding = examine(row, subject)
                    except Exception as error:
                        why = str(error) if isinstance(error, Mismatch) else describe(error)
                        held, finding = False, Finding("", f"FAILED: {why}", "")
                found.append({"row": f"{table.name}/{row.name}", "held": held, **vars(finding)})
    return found


def both() -> Data:
    """The rows of two processes, one for the reference and one for the kernels."""
    all_cases()
    lanes = [_process(interpreted) for interpreted in ("0", "1")]
    rows = [
        {
            **first,
            "held": first["held"] and second["held"] and first["stock"] == second["stock"],
            "kernels": "" if second["found"] == first["found"] else second["found"],
            "unchanged": first["unchanged"] if first["unchanged"] == second["unchanged"] else "differs",
        }
        for first, second in zip(*(lane["rows"] for lane in lanes), strict=True)
    ]
    here = environment("cpu") | {"path": [lane["path"] for lane in lanes]}
    return dict(plain({"title": "Bad inputs", "command": COMMAND, "environment": here, "rows": rows}))


def _process(interpreted: str) -> Data:
    """What a process of its own finds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tembed.parity", "bad-inputs", "--json", str(file)]
        # the exit status says whether all rows held, which the file says too
        subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": interpreted}, stdout=subprocess.DEVNULL)
        return dict(json.loads(file.read_text()))


def text(document: Data) -> str:
    """The document in Markdown: a table for every kind."""
    rows = document["rows"]
    skipped = sum(row["stock"] == GPU for row in rows)
    here = document["environment"]
    lines = [
        HEAD.format(
            count=len(rows),
            held=sum(row["held"] for row in rows) - skipped,
            paths=" and ".join(here["path"]),
            skipped=skipped,
            torch=here["torch"],
            command=document["command"],
        )
    ]
    for table in TABLES.values():
        lines += [
            f"\n## {table.name}\n\n{table.says}\n",
            *COLUMNS,
        ]
        for row in rows:
            kind, _, name = row["row"].partition("/")
            if kind == table.name:
                found = _cell(row["found"], row["stock"])
                found += f"<br>kernels: {_cell(row['kernels'], row['stock'])}" if row["kernels"] else ""
                lines.append(f"| {name} | {_cell(row['stock'])} | {found} | {row['unchanged']} |")
    return "\n".join(lines) + "\n"


def _cell(message: str, stock: str = "") -> str:
    """A message in one line, or that it is stock's."""
    if message == stock != GPU:
        return "the same"
    line = " ".join(message.split())
    line = line if len(line) <= LONGEST else line[:LONGEST] + "…"
    return line.replace("|", "\\|").replace("<", "&lt;")


def main(write: bool, file: Path | None) -> int:
    """Does the rows, here or in both ways for the files of results; the exit status."""
    document = both() if write else {"path": path("cpu"), "rows": done()}
    if write:
        lines = ",\n".join(strict(row) for row in document["rows"])
        whole = strict({**document, "rows": "@rows@"}, indent=1).replace('"@rows@"', f"[\n{lines}\n]")
        (RESULTS / "bad_inputs.json").write_text(whole + "\n")
        (RESULTS / "bad_inputs.md").write_text(text(document))
    elif file:
        file.write_text(strict(plain(document), indent=1) + "\n")
    failed = [row for row in document["rows"] if not row["held"]]
    for row in failed:
        print(f"{row['row']}: {row['found']}", *filter(None, [row.get("kernels")]), sep="; kernels: ")
    print(f"{len(document['rows']) - len(failed)} of {len(document['rows'])} rows held")
    return int(bool(failed))
