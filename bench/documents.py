"""The document of a run: what it holds, how it is written, and read again."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tembed.parity.documents import plain, strict
from tembed.parity.process import UsageError

Data = dict[str, Any]

FORWARD = "forward"  # what runs are of that say nothing else
NUMBERS = ("median_s", "quartiles_s", "samples_s", "bytes_per_s", "ratio", "ratio_quartiles", "peak_bytes", "method")


def new_document(
    environment: Data,
    device: str,
    providers: dict[str, str],
    scale: float,
    suites: list[str],
    operations: Sequence[str] = (FORWARD,),
) -> Data:
    """A document without results."""
    where = f"CPU ({environment['device']})" if device == "cpu" else environment["device"]
    rehearsal = "" if scale == 1 else f", sizes divided by {scale:g}"
    return {
        "title": f"Time of a lookup, {', '.join(operations)}, on {where}{rehearsal}",
        "environment": environment,
        "device": device,
        "suites": suites,
        "operations": [*operations],
        "scale": scale,
        "interrupted": False,
        "copy": None,
        "floor": None,
        "providers": providers,
        "workloads": [],
    }


def write_document(document: Data, path: Path) -> None:
    """One workload a line; all of it, or the file as it was."""
    lines = ",\n".join(strict(plain(row)) for row in document["workloads"])
    text = strict(plain({**document, "workloads": "@"}), indent=1).replace('"@"', f"[\n{lines}\n]")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text + "\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_document(path: Path) -> Data:
    """An earlier document; UsageError if it is not there, or not one of a run."""
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    try:
        _ = [found[key] for key in ("title", "device", "scale", "providers", "copy", "floor")]
        _ = [found["environment"][key] for key in ("device", "commit", "torch", "kernels")]
        for row in found["workloads"]:
            _ = [row[key] for key in ("workload", "suite", "operation")]
            for its in row.get("providers", {}).values():
                if "samples_s" in its:
                    _ = [its[key] for key in NUMBERS]
    except (LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no document of a run ({type(error).__name__}: {error})") from None
    return dict(found)


def timed(document: Data) -> dict[tuple[str, str, str], Data]:
    """What has numbers, by workload, operation and provider."""
    return {
        (row["workload"], row["operation"], name): its
        for row in document["workloads"]
        for name, its in row.get("providers", {}).items()
        if "samples_s" in its
    }


def failures(document: Data) -> list[str]:
    """A line for each provider that failed at a workload."""
    return [
        f"{label(row['workload'], row)}: {name}: {its['failed']}"
        for row in document["workloads"]
        for name, its in row.get("providers", {}).items()
        if "failed" in its
    ]


def label(what: str, row: Data) -> str:
    """What is spoken of, and the row's operation, if it is not the forward pass."""
    return what if row["operation"] == FORWARD else f"{what}, {row['operation']}"


def by_operation(document: Data) -> dict[str, Data]:
    """For each operation, in order, the document of its rows alone."""
    names = dict.fromkeys(row["operation"] for row in document["workloads"])
    return {
        name: {**document, "workloads": [row for row in document["workloads"] if row["operation"] == name]}
        for name in names
    }
