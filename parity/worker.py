"""A process that judges what it is asked, a line of JSON at a time, so that a crash costs one case only."""

import json
import os
import sys
import warnings
from contextlib import ExitStack
from typing import Any

import torch

from . import fuzz, peers
from .compare import describe
from .judge import FAILED, judge
from .setting import setting
from .subject import Implementation


def answer(subject: Implementation, request: dict[str, Any], tell: Any) -> dict[str, Any]:
    """The result of one request: {"case": name} or {"seed": seed, "examples": number}."""
    if "case" in request:
        return judge(fuzz.find(request["case"]), subject).data()
    return fuzz.explore(subject, request["seed"], request["examples"], tell)


def usable(device: str) -> bool:
    """Whether the device still answers; after an illegal access it never does in this process."""
    try:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def main() -> int:
    """Reads what to run from the first argument, requests from standard input; answers on standard output."""
    settings = json.loads(sys.argv[1])
    # what the implementation prints must not mix with the answers
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    with ExitStack() as stack:
        try:
            subject = peers.find(settings["spec"], device=settings["device"])
            stack.enter_context(setting(settings["under"]))
        except Exception as error:
            tell({"error": describe(error)})
            return 2
        tell({"ready": True})
        for line in sys.stdin:
            found = answer(subject, json.loads(line), tell)
            if found.get("outcome") in FAILED and not usable(settings["device"]):
                print(found["message"], file=sys.stderr)
                os._exit(70)  # the destructors of a dead context hang
            tell(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
