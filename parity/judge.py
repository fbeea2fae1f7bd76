"""One case, one implementation, one verdict."""

import re
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .cases import Case
from .compare import describe
from .subject import DEFAULTS, AsStock, Implementation, Mismatch, Missing, Unshown

# From best to worst, as reports order them.
OUTCOMES = {
    "pass": "does what the feature says",
    "as stock": "does what torch.nn.Embedding does, where the feature says what would be better",
    "missing": "does not offer it",
    "skip": "this device cannot show it",
    "fail": "does something else, or raises",
    "crash": "took the process down, or never ended",
}
FAILED = ("fail", "crash")
# Arguments that a constructor or a function may lack.
OPTIONS = (*DEFAULTS, "_weight", "_freeze", "freeze", "device", "dtype")


@dataclass(frozen=True)
class Result:
    """What became of a case; `message` says what is wrong or missing, `note` what else was seen."""

    case: str
    group: str
    feature: str
    outcome: str
    message: str = ""
    note: str = ""
    seconds: float = 0.0

    def data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def unfit(case: Case, device: str) -> str:
    """Why this device cannot show the case; empty if it can."""
    kind, need = torch.device(device).type, case.feature.needs
    if need is not None and kind != need:
        return f"needs a table on {need}"
    if case.feature.memory and kind == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if free < case.feature.memory:
            return f"needs {case.feature.memory / 2**30:.0f} GiB of device memory, {free / 2**30:.0f} are free"
    return ""


def verdict(error: Exception, case: Case, subject: Implementation) -> tuple[str, str]:
    """Outcome and message for what a check, or the implementation in it, has raised."""
    text = str(error)
    if isinstance(error, Unshown):
        return "skip", text
    if type(error).__name__ == "InterpreterError" and "Unsupported data type" in text:
        return "skip", "Triton's interpreter has no atomics of this type"
    if isinstance(error, AsStock):
        return ("fail" if held(case, subject) else "as stock"), text
    refused = re.search(r"unexpected keyword argument '(\w+)'", text) if isinstance(error, TypeError) else None
    if isinstance(error, Missing | NotImplementedError) or (refused and refused[1] in OPTIONS):
        # who promises to be better than stock offers everything
        return ("fail" if subject.deviations else "missing"), text if isinstance(error, Missing) else describe(error)
    return "fail", text if isinstance(error, Mismatch) else f"raised {describe(error)}"


def held(case: Case, subject: Implementation) -> bool:
    """Whether an implementation that does as stock does fails this case."""
    deviation = case.feature.deviation
    return bool(subject.deviations) if deviation is None else deviation in subject.deviations


def judge(case: Case, subject: Implementation) -> Result:
    """Runs the case in this process."""
    begin = time.perf_counter()
    outcome, message, note = "pass", "", ""
    if why := unfit(case, subject.device):
        outcome, message = "skip", why
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                note = case.run(subject) or ""
        except Exception as error:
            outcome, message = verdict(error, case, subject)
    seconds = round(time.perf_counter() - begin, 4)
    return Result(case.name, case.feature.group, case.feature.name, outcome, message, note, seconds)
