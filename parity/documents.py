"""The document of results: written as strict JSON, read again from earlier ones, and what it says of success."""

import json
import math
from pathlib import Path
from typing import Any

from .cases import DEVIATIONS, Case
from .judge import FAILED, OUTCOMES
from .process import UsageError

Data = dict[str, Any]


def feature_data(case: Case) -> Data:
    """A case's feature as plain data."""
    f = case.feature
    return {
        "group": f.group,
        "name": f.name,
        "says": f.says,
        "claim": f.claim,
        "deviation": f.deviation,
        "deviation_says": DEVIATIONS[f.deviation] if f.deviation else None,
    }


def plain(value: Any) -> Any:
    """What strict JSON in UTF-8 can hold: infinity, NaN and other objects by their repr, half characters escaped."""
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return repr(value)


def strict(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes."""
    return json.dumps(value, indent=indent, allow_nan=False)


def write_json(document: Data, path: Path) -> None:
    """The document with one result a line, so that versions of it can be compared."""
    columns = document["implementations"]
    marks = [f"@results {i}@" for i in range(len(columns))]
    bare = [{**c, "results": mark} for c, mark in zip(columns, marks, strict=True)]
    text = strict({**document, "implementations": bare}, indent=1)
    for mark, c in zip(marks, columns, strict=True):
        lines = ",\n".join(strict({k: v for k, v in r.items() if v != ""}) for r in c["results"])
        text = text.replace(f'"{mark}"', f"[\n{lines}\n]")
    path.write_text(text + "\n")


def read_json(path: Path) -> Data:
    """An earlier document; UsageError if it is not there, or not one of ours."""
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    try:
        for feature in found["features"]:
            _ = [feature[key] for key in ("group", "name", "says", "claim", "deviation", "deviation_says")]
        for column in found["implementations"]:
            _ = [column[key] for key in ("name", "spec", "what")]
            column.setdefault("environment", found["environment"])
            # empty ones are not written
            column["results"] = [{"message": "", "note": "", **result} for result in column["results"]]
            for result in column["results"]:
                _ = [result[key] for key in ("case", "group", "feature")], OUTCOMES[result["outcome"]]
    except (LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no document of results ({type(error).__name__}: {error})") from None
    return dict(found)


def failures(column: Data) -> list[Data]:
    """The results that failed or crashed."""
    return [result for result in column["results"] if result["outcome"] in FAILED]


def shortcomings(column: Data) -> list[str]:
    """What besides failures speaks against a column: nothing passed, or fewer ran than were asked for."""
    fuzz, found = column.get("fuzz") or {}, []
    ran, asked = fuzz.get("ran", 0), fuzz.get("asked", 0)
    crashes = [result for result in column["results"] if result["group"] == "fuzz" and result["outcome"] in FAILED]
    if ran < asked and not crashes:
        found.append(f"only {ran} of {asked} random configurations ran")
    outcomes = {result["outcome"] for result in column["results"]}
    if not outcomes & {"pass", "as stock"} and ran - fuzz.get("missing", 0) - len(crashes) <= 0:
        judged = outcomes - {"skip"} or ran
        found.append("nothing passed" if judged else "nothing was judged: this device cannot show any of the cases")
    return found
