"""`python faults_interrupted.py SECONDS`: steps, on the CPU, that signals interrupt at any time."""

import json
import random
import signal
import sys
import time
from types import FrameType

import pytest
import torch
from faults_steps import CASES, same, short_chunks
from injected import free
from torch import Tensor

from tembed import kernels


def whole_rows(after: Tensor, before: Tensor, wanted: Tensor) -> bool:
    """Whether every row is one of both, of which all are the same unless kernels are interpreted, row by row."""
    old, new = (after == before).all(1), (after == wanted).all(1)
    return bool((old | new).all()) and (kernels.interpreted() or bool(old.all() or new.all()))


def interrupted(seconds: float) -> None:
    """Whoever started this sends SIGINT at random; prints how many steps there were, and how many were broken off."""
    armed, count, steps = False, 0, 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    short_chunks(pytest.MonkeyPatch())
    whole: dict[str, dict[str, Tensor | None]] = {}
    for name in CASES if not kernels.interpreted() else ("dense", "sparse", "max_norm"):
        CASES[name].run(state := CASES[name].state("cpu"))
        whole[name] = state.bits()
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = random.choice([*whole])
        state = CASES[name].state("cpu")
        before, wanted = state.bits(), whole[name]
        steps += 1
        try:
            armed = True
            CASES[name].run(state)
            armed = False
        except KeyboardInterrupt:
            count += 1
            after = state.bits()
            assert whole_rows(after["weight"], before["weight"], wanted["weight"]), name  # type: ignore[arg-type]
            assert all(same(after[k], before[k]) or same(after[k], wanted[k]) for k in after if k != "weight"), name
            if kernels.interpreted():
                from tembed.kernels.launch import INTERPRETER

                assert free(INTERPRETER)
            CASES[name].next_step(state)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(json.dumps({"steps": steps, "broken off": count}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    interrupted(float(sys.argv[1]))
