"""A process that judges what it is asked, a line of JSON at a time, so that a crash costs one case only."""

import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TextIO

import torch

from . import peers
from .cases import all_cases
from .compare import describe
from .judge import FAILED, judge
from .setting import setting
from .subject import Implementation

Tell = Callable[[dict[str, Any]], None]


def answer(subject: Implementation, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """The result of one request: {"case": name} or {"seed": seed, "examples": number}."""
    if case := all_cases().get(request.get("case", "")):
        return judge(case, subject).data()
    from . import fuzz  # needs hypothesis

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


def pipes() -> tuple[TextIO, TextIO]:
    """Requests and answers, where the implementation neither reads nor prints."""
    requests, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def outlived_by(parent: int) -> None:
    """Ends this process, hung or not, once its parent has ended; never returns."""
    while os.getppid() == parent:
        time.sleep(1)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> int:
    """Reads what to run from the first argument, requests from standard input; answers on standard output."""
    settings = json.loads(sys.argv[1])
    threading.Thread(target=outlived_by, args=(settings["parent"],), daemon=True).start()
    requests, answers = pipes()
    warnings.simplefilter("ignore")

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    with ExitStack() as stack:
        try:
            subject = peers.find(settings["spec"], device=settings["device"])
            stack.enter_context(setting(settings["under"]))
            all_cases()  # their imports count as starting, not as the first case
        except Exception as error:
            tell({"error": describe(error)})
            return 2
        tell({"ready": True})
        for line in requests:
            found = answer(subject, json.loads(line), tell)
            if found.get("outcome") in FAILED and not usable(settings["device"]):
                print(found["message"], file=sys.stderr)
                os._exit(70)  # the destructors of a dead context hang
            tell(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
