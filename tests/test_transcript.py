"""The classic mistake, a batch of another vocabulary on a GPU: an IndexError that tells of it, and training goes on."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tembed import kernels

PROGRAM = Path(__file__).with_name("mismatch.py")


def transcript(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", str(PROGRAM), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_process_with_a_bad_batch_trains_on_to_the_same_losses(device: str) -> None:
    if not kernels.drives(device):
        pytest.skip("needs kernels, which report: their reference raises at the call")
    without, with_mistake = transcript(), transcript("5")
    assert without["errors"] == []
    (text,) = with_mistake["errors"]
    expected = (
        r"index out of range in self: index [678]\d at position \[0, 3\] of an input of shape \[4, 8\], in a table "
    )
    expected += r"of 60 rows, that of 'tokens'; found on (cpu|cuda:0) by an earlier lookup, whose row was zeros"
    assert re.fullmatch(expected, text)
    assert len(without["losses"]) == 12
    assert without["losses"][-1] < without["losses"][0]
    assert with_mistake["losses"] == without["losses"]
    assert with_mistake["sum"] == without["sum"]
